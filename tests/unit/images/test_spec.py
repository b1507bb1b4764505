import json
from dataclasses import replace
from pathlib import Path

import pytest
from machines import Machine, Recorder, context, settings

from buildlib.images import spec, image, oci
from buildlib.binaries.elf import digest
from buildlib.images.dockerfile import Stage
from buildlib.core.errors import Refused, UsageError
from buildlib.process.files import layout
from buildlib.images.image import ImageOptions
from buildlib.core.plan import OciLayout, Outcome, Status
from buildlib.core.targets import TARGETS
from buildlib.machine.workspace import Component

STATIC = (TARGETS["amd64-musl"], TARGETS["armv7-musl"])
PART = Component(name="a", package="p", version="1.2.3", description="does it", license="MIT")
GIT = {"commit": (0, "1700000000 abc\n")}


class Hand(Recorder):
    """A recorder that writes layouts."""

    def __call__(self, act):
        if isinstance(act, OciLayout):
            self.asked.append(f"layout {act.folder.name}")
            layout(act)
            return Outcome(step=act, code=0, seconds=0)
        return super().__call__(act)


def here(tmp_path, answers=GIT, *, dry=False, env=None, **flags):
    """A workspace whose dist/ has the component for two platforms."""
    found = context(Machine(env=env or {}, cache=tmp_path / "cache"), Hand(answers, dry=dry), tmp_path, **flags)
    entries = []
    for target in STATIC:
        path = tmp_path / "dist" / target.name / "a"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"elf " + target.name.encode())
        entries.append({"path": f"{target.name}/a", "sha256": digest(path)})
    (tmp_path / "dist" / "manifest.json").write_text(json.dumps({"schema": 1, "binaries": entries}))
    return replace(found, workspace=replace(found.workspace, components=(PART,)))


def make(found, tmp_path, tags=()):
    return image.keep(found, ImageOptions(targets=STATIC, tags=tags, compile=False), tmp_path / "out")


def test_a_layout_for_all_platforms_then_nothing_to_do(tmp_path):
    found = here(tmp_path)
    (first,) = make(found, tmp_path)
    assert (first.status, first.platforms, first.tags) == (Status.DONE, ("linux/amd64", "linux/arm/v7"), ("1.2.3",))
    told = json.loads((tmp_path / "out" / "a" / "index.json").read_text())
    assert [m["digest"] for m in told["manifests"]] == [first.digest]
    (again,) = make(found, tmp_path)
    assert again == replace(first, status=Status.UNCHANGED)
    (tagged,) = make(found, tmp_path, ("1.2.3", "latest"))
    assert (tagged.status, tagged.digest) == (Status.DONE, first.digest)
    assert found.run.asked.count("layout a") == 2


def test_a_changed_binary_changes_its_image_and_leaves_no_blob_behind(tmp_path):
    found = here(tmp_path)
    (first,) = make(found, tmp_path)
    before = {path.name for path in (tmp_path / "out" / "a" / "blobs").glob("*/*")}
    path = tmp_path / "dist" / "amd64-musl" / "a"
    path.write_bytes(b"another")
    with pytest.raises(Refused, match="is not the file that passed the gate"):
        make(found, tmp_path)
    manifest = tmp_path / "dist" / "manifest.json"
    told = json.loads(manifest.read_text())
    told["binaries"][0]["sha256"] = digest(path)
    manifest.write_text(json.dumps(told))
    (second,) = make(found, tmp_path)
    after = {path.name for path in (tmp_path / "out" / "a" / "blobs").glob("*/*")}
    assert second.digest != first.digest
    # One platform's layer, configuration and manifest, and the index.
    assert (len(before - after), len(after - before), len(after)) == (4, 4, 7)


def test_a_missing_platform_is_refused(tmp_path):
    found = here(tmp_path)
    (tmp_path / "dist" / "armv7-musl" / "a").unlink()
    with pytest.raises(Refused, match="armv7-musl/a: is not in dist/"):
        make(found, tmp_path)
    assert not (tmp_path / "out" / "a").exists()


@pytest.mark.parametrize(
    ("answers", "env", "wanted"),
    [
        (GIT, {}, (1700000000, "abc")),
        (GIT, {"SOURCE_DATE_EPOCH": "5"}, (5, "abc")),
        ({"commit": (128, "")}, {}, (0, "")),
    ],
)
def test_the_time_is_the_commit_s(tmp_path, answers, env, wanted):
    assert spec.commit(here(tmp_path, answers, env=env)) == wanted


def test_a_wrong_time_is_told(tmp_path):
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH='x' is not a number"):
        make(here(tmp_path, env={"SOURCE_DATE_EPOCH": "x"}), tmp_path)


def test_a_dry_run_writes_nothing(tmp_path):
    assert make(here(tmp_path, dry=True), tmp_path) == []
    assert not (tmp_path / "out").exists()


def test_labels_say_what_is_known():
    start = "org.opencontainers.image."
    assert spec.labels(PART, 0, "") == {
        f"{start}title": "a",
        f"{start}version": "1.2.3",
        f"{start}created": "1970-01-01T00:00:00Z",
        f"{start}licenses": "MIT",
        f"{start}description": "does it",
    }


def test_settings_become_the_part(tmp_path):
    table = {
        "ports": [80], "health": "a --health 'x y'", "env": {"N": 1}, "volumes": ["/var/lib/a"], "base": "alpine:3",
        "program": "/app/a",
    }  # fmt: skip
    runtime = oci.Runtime(
        entrypoint=("/app/a",), ports=(80,), health=("a", "--health", "x y"), env={"N": "1"}, volumes=("/var/lib/a",)
    )
    found = replace(here(tmp_path), config=settings(components={"a": table}))
    assert spec.stage_of(found, PART) == Stage(runtime=runtime, base="alpine:3")
    assert spec.stage_of(here(tmp_path), PART) == Stage(runtime=oci.Runtime(entrypoint=("/usr/bin/a",)))


@pytest.mark.parametrize(
    ("components", "message"),
    [
        ({"b": {}}, "settings: components has no 'b'"),
        ({"a": {"port": [1]}}, "settings: components.a has no 'port'"),
        ({"a": {"ports": 80}}, "settings: components.a.ports = 80 is not a list"),
        ({"a": {"ports": [0]}}, "settings: components.a.ports: 0 is no port"),
        ({"a": {"ports": [True]}}, "settings: components.a.ports: True is no port"),
        ({"a": {"health": "'"}}, "settings: components.a.health: No closing quotation"),
        ({"a": {"env": {"A": "1\n2"}}}, "settings: components.a.env: A is not one line of text"),
        ({"a": {"volumes": ["data"]}}, "settings: components.a.volumes: 'data' is no path"),
        ({"a": {"volumes": ["/a/../b"]}}, "settings: components.a.volumes: '/a/../b' is no path"),
        ({"a": {"program": "a b"}}, "settings: components.a.program: 'a b' is no path"),
        ({"a": {"says": ["x"]}}, "settings: components.a.says = ['x'] is not a table"),
        ({"a": {"says": {"all": "x"}}}, "settings: components.a.says: all = 'x' is no list of texts"),
        ({"a": {"says": {"aarch64": ["x"]}}}, "settings: components.a.says: 'aarch64'"),
        ({"a": {"says": {"arm65": ["x"]}}}, "no architecture is called 'arm65'"),
    ],
)
def test_wrong_settings_are_told(tmp_path, components, message):
    found = replace(here(tmp_path), config=settings(components=components))
    with pytest.raises(UsageError) as caught:
        spec.stage_of(found, PART)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("targets", "table", "wanted"),
    [
        (STATIC, {}, False),
        ((STATIC[0], TARGETS["arm64"]), {}, True),
        (STATIC, {"base": "alpine:3"}, True),
    ],
)
def test_what_needs_docker(tmp_path, targets, table, wanted):
    found = replace(here(tmp_path), config=settings(components={"a": table}))
    assert spec.needs_docker(found, targets, ()) is wanted


def test_a_dockerfile_of_ones_own_needs_docker_and_one_as_it_was_made_does_not(tmp_path, capsys):
    found = here(tmp_path)
    file = tmp_path / "Dockerfile.multiarch"
    file.write_text(spec.dockerfile_text(found))
    assert not spec.own_dockerfile(found) and not spec.needs_docker(found, STATIC, ())
    spec.validate(found, STATIC, (), ())
    assert capsys.readouterr().err == ""
    other = replace(found, config=settings(components={"a": {"ports": [80]}}))
    assert not spec.own_dockerfile(other)
    spec.validate(other, STATIC, (), ())
    assert "Dockerfile.multiarch is not what the settings make now" in capsys.readouterr().err
    file.write_text(spec.dockerfile_text(found) + "LABEL more=1\n")
    assert spec.own_dockerfile(found) and spec.needs_docker(found, STATIC, ()) and not spec.is_out_of_date(found)


@pytest.mark.parametrize(
    ("told", "cure"),
    [
        ("", "say --registry"),
        ("Ghcr.io/Acme", "did you mean 'ghcr.io/acme'?"),
        ("a//b", "write it"),
        ("https://a/b", "write it"),
    ],
)
def test_a_registry_that_is_none(tmp_path, told, cure):
    with pytest.raises(UsageError) as caught:
        spec.registry(here(tmp_path, registry=told))
    assert cure in caught.value.help


@pytest.mark.parametrize("told", ["ghcr.io/acme", "127.0.0.1:5000/a/b", "acme", "r.test:1/a__b/c-d.e"])
def test_registries(tmp_path, told):
    assert spec.registry(here(tmp_path, registry=told)) == told


def test_a_component_may_not_be_called_like_a_stage(tmp_path):
    found = here(tmp_path)
    named = replace(PART, name="Base")
    found = replace(found, workspace=replace(found.workspace, components=(named,)))
    with pytest.raises(UsageError, match="'Base' is the name of another stage"):
        spec.validate(found, STATIC, (), ())


def test_two_targets_for_one_platform_are_a_usage_error():
    with pytest.raises(UsageError, match="arm64-musl and arm64 are both linux/arm64"):
        spec.check_options((TARGETS["arm64"], TARGETS["arm64-musl"]), ())


def test_of_what_is_configured_one_for_each_platform():
    configured = [TARGETS[name] for name in ("amd64-musl", "amd64", "arm64", "armv7-musl")]
    pushed, laid_out = (spec.one_per_platform(configured, static=static) for static in (False, True))
    assert [target.name for target in pushed] == ["amd64", "arm64", "armv7-musl"]
    assert [target.name for target in laid_out] == ["amd64-musl", "armv7-musl"]
    with pytest.raises(UsageError, match="no static target is configured"):
        spec.one_per_platform([TARGETS["arm64"]], static=True)


@pytest.mark.parametrize("tag", ["", "-a", ".a", "a/b", "a:b", "ä", "a" * 129, "a\n"])
def test_a_tag_that_no_registry_takes(tag):
    with pytest.raises(UsageError):
        spec.check_options((), (tag,))


def test_tags_that_registries_take():
    assert spec.check_options(STATIC, ("latest", "1.2.3-rc.1_x", "_", "a" * 128)) is None  # and raises nothing


def test_a_layout_survives_a_writer_that_dies_half_way(tmp_path, monkeypatch):
    """Whatever write fails, the index that is there names blobs that are there."""
    found = here(tmp_path)
    make(found, tmp_path)
    folder = tmp_path / "out" / "a"
    old = (folder / "index.json").read_bytes()
    from buildlib.process import files

    real, count = files.write_whole, 0
    changed = replace(found, host=Machine(env={"SOURCE_DATE_EPOCH": "9"}, cache=tmp_path))
    for fail_at in range(10):
        count = 0

        def fails(path: Path, data, mode=0o644, limit=fail_at):
            nonlocal count
            count += 1
            if count > limit:
                raise OSError(28, "No space left on device", str(path))
            real(path, data, mode)

        monkeypatch.setattr(files, "write_whole", fails)
        try:
            make(changed, tmp_path)
        except OSError:
            assert (folder / "index.json").read_bytes() == old
        told = json.loads((folder / "index.json").read_text())
        (entry,) = told["manifests"]
        index = json.loads(files.blob_path(folder, entry["digest"]).read_bytes())
        assert all(files.blob_path(folder, m["digest"]).is_file() for m in index["manifests"])
    assert (folder / "index.json").read_bytes() != old
