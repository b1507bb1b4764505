import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_image import here

from buildlib import push
from buildlib.errors import BuildError, NetworkError, Refused, UsageError
from buildlib.plan import Outcome, Status, Step, Write
from buildlib.targets import TARGETS

PAIR = (TARGETS["amd64-musl"], TARGETS["armv7-musl"])
BUILDER = {
    "Name": "multiarch-builder",
    "Driver": "docker-container",
    "Nodes": [
        {"Flags": ["--allow-insecure-entitlement", "network.host"], "DriverOpts": {"network": "host"}},
    ],
}


def index(*platforms):
    entries = [
        {"platform": dict(zip(("os", "architecture", "variant"), p.split("/"), strict=False))} for p in platforms
    ]
    return json.dumps({"manifests": entries})


GOOD = index("linux/amd64", "linux/arm/v7", "unknown/unknown")


class Registry:
    """Stands for docker: answers as buildx does, and remembers tags. `faults` maps a title's start to an output."""

    def __init__(self, found, dist, raw=GOOD, faults=(), builders=(BUILDER,)):
        self.console, self.dry = found.run.console, False
        self.dist, self.raw, self.faults = dist, raw, dict(faults)
        self.builders = "".join(json.dumps(b) + "\n" for b in builders)
        self.digest = f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}"
        self.tags, self.titles, self.acts = {}, [], []

    def __call__(self, act):
        if isinstance(act, Write):
            act.path.parent.mkdir(parents=True, exist_ok=True)
            act.path.write_text(act.text)
            return Outcome(step=act, code=0, seconds=0)
        self.titles.append(act.title)
        self.acts.append(act)
        fault = next((text for start, text in self.faults.items() if act.title.startswith(start)), None)
        if fault:
            return Outcome(step=act, code=1, seconds=0, output=fault)
        return Outcome(step=act, code=self._do(act), seconds=0, stdout=self._say(act))

    def _say(self, act):
        reference = act.argv[-1]
        if act.title == "builders":
            return self.builders
        if act.title == "commit":
            return "1700000000 abc\n"
        if act.title.startswith("configuration"):
            return '{"os": "linux", "architecture": "arm64", "config": {}}'
        return self.tags.get(reference, self.raw if "@" in reference else "")

    def _do(self, act: Step):
        if act.title.startswith("read"):
            return 0 if "@" in act.argv[-1] or act.argv[-1] in self.tags else 1
        if act.title.startswith("build "):
            Path(act.argv[act.argv.index("--metadata-file") + 1]).write_text(
                json.dumps({"containerimage.digest": self.digest})
            )
        if act.title.startswith("look"):
            out = Path(next(w for w in act.argv if w.startswith("type=local")).split("dest=")[1])
            for target in PAIR:
                inside = out / target.oci.replace("/", "_") / "program"
                inside.parent.mkdir(parents=True)
                inside.write_bytes((self.dist / target.name / "a").read_bytes())
        if act.title.startswith("tag"):
            self.tags |= {w: self.raw for flag, w in zip(act.argv, act.argv[1:], strict=False) if flag == "--tag"}
        return 0


@pytest.fixture
def ready(tmp_path, monkeypatch):
    """A context whose registry answers, with an ELF gate that takes our stand-ins."""
    found = here(tmp_path, registry="r.test/acme")
    manifest = tmp_path / "dist" / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "binaries": [{**e, "floor": ""} for e in told["binaries"]]}))

    class Facts:
        def __init__(self, path):
            self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(push.artifacts, "read", Facts)
    monkeypatch.setattr(push.artifacts, "check", lambda *_: ())

    def make(**more):
        return replace(found, run=Registry(found, tmp_path / "dist", **more))

    return make


def pushed(context, **more):
    return push.push(context, PAIR, (), (), compile=False, **more)


def test_tags_come_last_and_only_once(ready):
    context = ready()
    (first,) = pushed(context)
    digest = context.run.digest
    assert (first.status, first.digest, first.tags) == (Status.DONE, digest, ("1.2.3", "latest"))
    assert context.run.titles == [
        "commit", "builders", "build a", f"read r.test/acme/a@{digest}", "read r.test/acme/a:1.2.3",
        "read r.test/acme/a:latest", "look into a", "start a", "tag r.test/acme/a",
    ]  # fmt: skip
    (again,) = pushed(context)
    assert again == replace(first, status=Status.UNCHANGED)
    assert context.run.titles[9:] == context.run.titles[:6]


def test_an_image_for_one_platform_is_found_inside_the_index_of_its_tag(ready):
    one = (TARGETS["arm64-musl"],)
    context = ready(raw='{"config": {}, "layers": []}')
    run = context.run
    run.tags = {
        f"r.test/acme/a:{tag}": json.dumps({"manifests": [{"digest": run.digest}]}) for tag in ("1.2.3", "latest")
    }
    made = push._Image(
        context=context, component=context.workspace.components[0], targets=one, scratch=context.dist.parent / "s", epoch=0,
        runtime=push.Runtime(entrypoint=("/usr/bin/a",)), tags=("1.2.3", "latest"), builder="b",
    )  # fmt: skip
    assert all(made._is_at(tag, run.digest) for tag in made.tags)
    assert not made._is_at("other", run.digest) and not made._is_at("latest", "sha256:0")
    made._read_back(run.digest)


def test_the_order_of_the_build_s_words(ready):
    context = ready()
    pushed(context)
    (build,) = [act for act in context.run.acts if act.title == "build a"]
    words = build.argv
    assert words[:7] == (
        "docker",
        "buildx",
        "build",
        "--builder",
        "multiarch-builder",
        "--platform",
        "linux/amd64,linux/arm/v7",
    )
    assert (
        "type=image,name=r.test/acme/a,push-by-digest=true,push=true,rewrite-timestamp=true,oci-mediatypes=true"
        in words
    )
    assert f"binaries={context.dist}" in words and "org.opencontainers.image.revision=abc" in words
    assert build.env == {"SOURCE_DATE_EPOCH": "1700000000"} and build.attempts > 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (index("linux/amd64"), "has linux/amd64, wanted linux/amd64, linux/arm/v7"),
        (index("linux/amd64", "linux/arm/v6"), "has linux/amd64, linux/arm/v6, wanted linux/amd64, linux/arm/v7"),
        (index("linux/amd64", "linux/arm/v7", "linux/386"), "has linux/386, linux/amd64, linux/arm/v7, wanted"),
        (index("unknown/unknown"), "has no platform, wanted"),
        ('{"config": {}, "layers": []}', "has linux/arm64, wanted linux/amd64, linux/arm/v7"),
    ],
)
def test_an_index_of_other_platforms_is_refused(ready, raw, message):
    context = ready(raw=raw)
    with pytest.raises(Refused, match=message):
        pushed(context)
    assert context.run.tags == {}


@pytest.mark.parametrize(
    ("faults", "kind", "message"),
    [
        (
            {"start": 'ERROR: process "/usr/bin/a --version" did not complete: exit code: 1'},
            Refused,
            "does not run: process",
        ),
        ({"start": "ERROR: failed to do request: dial tcp 192.0.2.1:443: i/o timeout"}, NetworkError, "start a: "),
        ({"build ": "ERROR: failed to solve: base not found"}, BuildError, "build a: "),
        ({"tag": "ERROR: 503 Service Unavailable"}, NetworkError, "tag r.test/acme/a: "),
        (
            {"builders": "docker: 'buildx' is not a docker command."},
            BuildError,
            "docker buildx: docker: 'buildx' is not",
        ),
    ],
)
def test_what_fails_leaves_the_tags_where_they_were(ready, faults, kind, message):
    context = ready(faults=faults)
    with pytest.raises(kind) as caught:
        pushed(context)
    assert message in caught.value.message
    assert context.run.tags == {}


def test_a_program_that_does_not_end_is_refused(ready):
    context = ready()
    do = context.run._do
    context.run._do = lambda act: 124 if act.title.startswith("start") else do(act)
    with pytest.raises(Refused, match="does not run: no end within 60 s"):
        pushed(context)
    (start,) = [act for act in context.run.acts if act.title.startswith("start")]
    assert (start.timeout, context.run.tags) == (60.0, {})


def test_another_binary_inside_is_refused(ready, tmp_path):
    context = ready()
    run = context.run
    do = run._do

    def swap(act):
        code = do(act)
        if act.title.startswith("look"):
            for path in Path(next(w for w in act.argv if w.startswith("type=local")).split("dest=")[1]).glob(
                "linux_arm_v7/*"
            ):
                path.write_bytes(b"another")
        return code

    run._do = swap
    with pytest.raises(Refused, match="linux/arm/v7: /usr/bin/a: sha256: is "):
        pushed(context)
    assert run.tags == {}


def test_a_builder_is_made_when_missing_and_anew_only_when_told(ready):
    other = {**BUILDER, "Driver": "remote"}
    missing, drifted = ready(builders=()), ready(builders=(other,))
    pushed(missing)
    assert missing.run.titles[2] == "create builder multiarch-builder"
    with pytest.raises(BuildError, match="builder multiarch-builder is another one:\n  driver: is remote"):
        pushed(drifted)
    assert drifted.run.titles == ["commit", "builders"]
    pushed(drifted, force=True)
    assert drifted.run.titles[4:6] == ["remove builder multiarch-builder", "create builder multiarch-builder"]


def test_without_a_registry_there_is_nowhere_to_push(tmp_path):
    with pytest.raises(UsageError, match="no registry to push to"):
        pushed(here(tmp_path))


def test_platforms_are_read_as_docker_writes_them():
    told = json.loads(index("linux/arm64/v8", "linux/arm/v7", "linux/amd64", "unknown/unknown"))
    assert push.platforms_of(told) == ["linux/arm64", "linux/arm/v7", "linux/amd64"]
