import json
from dataclasses import replace
from pathlib import Path

import pytest
import fake_registry
from machines import settings
from fake_registry import BUILDER, PAIR, after, index

from buildlib.images import buildx, spec, image
from buildlib.core.errors import BuildError, MissingRequirements, NetworkError, Refused, UsageError
from buildlib.images.image import ImageOptions
from buildlib.core.plan import Status
from buildlib.core.targets import TARGETS


@pytest.fixture
def ready(tmp_path, monkeypatch):
    return registry.ready(tmp_path, monkeypatch)


def pushed(context, targets=PAIR, **more):
    """One image, or the error that it ended with."""
    (made,) = image.push(context, ImageOptions(targets=targets, compile=False, **more))
    if made.error:
        raise made.error
    return made


START = ["builders", "commit"]
LOOK = ["read r.test/acme/a:1.2.3", "read r.test/acme/a:latest"]


def test_tags_come_last_and_only_once(ready):
    context = ready()
    first = pushed(context)
    raw = context.run.there["r.test/acme/a:latest"]
    assert (first.status, first.digest, first.tags) == (Status.DONE, registry.digest(raw), ("1.2.3", "latest"))
    assert context.run.titles == [
        *START, *LOOK, "build a", f"read r.test/acme/a@{first.digest}", "look into a", "start a", "tag r.test/acme/a",
        "read r.test/acme/a:1.2.3",
    ]  # fmt: skip
    assert pushed(context) == replace(first, status=Status.UNCHANGED)
    assert context.run.titles[10:] == [*START, *LOOK]


def test_another_tag_of_what_is_there_is_a_tag_and_no_build(ready):
    context = ready()
    first = pushed(context)
    before = len(context.run.titles)
    tagged = pushed(context, tags=("latest", "v2"))
    assert (tagged.status, tagged.digest) == (Status.DONE, first.digest)
    assert context.run.titles[before:][4:] == ["tag r.test/acme/a", "read r.test/acme/a:latest"]
    assert context.run.there["r.test/acme/a:v2"] == context.run.there["r.test/acme/a:1.2.3"]


def test_another_commit_of_the_same_binaries_is_no_other_image(ready):
    context = ready()
    first = pushed(context)
    context.run._commit = lambda _: "1800000000 def\n"
    assert pushed(context) == replace(first, status=Status.UNCHANGED)


@pytest.mark.parametrize("table", [{"ports": [80]}, {"base": "alpine:3"}, {"env": {"A": "1"}}])
def test_other_settings_are_another_image(ready, table):
    context = ready()
    context.run.there["alpine:3"] = "{}"
    pushed(context)
    other = replace(context, config=settings(registry="r.test/acme", components={"a": table}))
    before = len(context.run.titles)
    pushed(other)
    assert "build a" in context.run.titles[before:]


def test_a_base_image_that_was_renewed_is_another_image(ready):
    context = replace(ready(), config=settings(registry="r.test/acme", components={"a": {"base": "alpine:3"}}))
    context.run.there["alpine:3"] = "old"
    assert pushed(context).status is Status.DONE and pushed(context).status is Status.UNCHANGED
    context.run.there["alpine:3"] = "new"
    before = len(context.run.titles)
    pushed(context)
    assert "build a" in context.run.titles[before:]


def test_a_dockerfile_of_ones_own_is_built_each_time_and_tagged_once(ready):
    context = ready()
    (context.workspace.root / "Dockerfile.multiarch").write_text("FROM scratch AS a\n")
    first = pushed(context)
    again = pushed(context)
    assert (first.status, again.status, again.digest) == (Status.DONE, Status.UNCHANGED, first.digest)
    builds = [act.argv for act in context.run.acts if act.title == "build a"]
    assert len(builds) == 2 and builds[0][-1] == str(context.workspace.root)
    assert after(builds[0], "--file") == [str(context.workspace.root / "Dockerfile.multiarch")]
    assert context.run.titles.count("tag r.test/acme/a") == context.run.titles.count("look into a") == 1


def test_force_forgets_what_is_cached(ready):
    context = ready()
    pushed(context)
    pushed(context, force=True)
    first, second = [act.argv for act in context.run.acts if act.title == "build a"]
    assert "--no-cache" not in first and "--no-cache" in second


def test_one_platform_is_tagged_as_an_index_that_says_its_inputs(ready):
    context = ready()
    one = (TARGETS["armv7-musl"],)
    first = pushed(context, targets=one)
    told = json.loads(context.run.there["r.test/acme/a:latest"])
    assert [e["platform"]["variant"] for e in told["manifests"]] == ["v7"] and buildx.inputs_of(told)
    assert first.digest == registry.digest(context.run.there["r.test/acme/a:latest"])
    assert pushed(context, targets=one) == replace(first, status=Status.UNCHANGED)


def test_with_several_nodes_buildx_merges_nothing(ready):
    """Its merging would move the tag `latest`: each platform is built and looked into alone."""
    nodes = [{"endpoint": "ssh://a", "arches": ["armv7"]}]
    config = settings(registry="r.test/acme", builder={**settings().builder, "nodes": nodes})
    context = replace(ready(builders=()), config=config)
    made = pushed(context)
    builds = [after(act.argv, "--platform") for act in context.run.acts if act.title == "build a"]
    assert builds == [["linux/amd64"], ["linux/arm/v7"]]
    (tagging,) = [act.argv for act in context.run.acts if act.title.startswith("tag")]
    assert len([word for word in tagging if "@sha256:" in word]) == 2 and after(tagging, "--annotation")
    told = json.loads(context.run.there["r.test/acme/a:latest"])
    assert list(buildx.manifests(told)) == ["linux/amd64", "linux/arm/v7"]
    assert pushed(context) == replace(made, status=Status.UNCHANGED)


def test_two_c_libraries_are_two_calls(ready, tmp_path):
    context = ready()
    manifest = tmp_path / "dist" / "manifest.json"
    told = json.loads(manifest.read_text())
    (tmp_path / "dist" / "amd64").mkdir()
    (tmp_path / "dist" / "amd64" / "a").write_bytes(b"glibc")
    told["binaries"].append({"path": "amd64/a", "sha256": spec.artifacts.digest(tmp_path / "dist" / "amd64" / "a")})
    manifest.write_text(json.dumps(told))
    context.run.there["debian:trixie-slim"] = "{}"
    with pytest.raises(KeyError):  # our stand-in has no glibc binary to look into
        pushed(context, targets=(TARGETS["amd64"], PAIR[1]))
    builds = [act.argv for act in context.run.acts if act.title == "build a"]
    assert [(after(argv, "--platform"), after(argv, "--build-arg")[0]) for argv in builds] == [
        (["linux/amd64"], "LIBC="),
        (["linux/arm/v7"], "LIBC=-musl"),
    ]


def test_the_order_of_the_build_s_words(ready):
    context = ready()
    pushed(context)
    (build,) = [act for act in context.run.acts if act.title == "build a"]
    words = build.argv
    assert words[:7] == (
        "docker", "buildx", "build", "--builder", "multiarch-builder", "--platform", "linux/amd64,linux/arm/v7",
    )  # fmt: skip
    (output,) = after(words, "--output")
    assert output.startswith(
        "type=image,name=r.test/acme/a,push-by-digest=true,push=true,rewrite-timestamp=true,oci-mediatypes=true,"
        "annotation-index.buildlib.inputs="
    )
    assert after(words, "--build-context") == [f"binaries={context.dist}"] and "--provenance=false" in words
    assert "org.opencontainers.image.revision=abc" in words
    assert build.env == {"SOURCE_DATE_EPOCH": "1700000000"} and build.attempts > 1
    pushed(context, attested=("--sbom=true",), force=True)
    (_, build) = [act for act in context.run.acts if act.title == "build a"]
    assert "--sbom=true" in build.argv and "--provenance=false" not in build.argv


@pytest.mark.parametrize(
    ("platforms", "message"),
    [
        (["linux/amd64"], "has linux/amd64, wanted linux/amd64, linux/arm/v7"),
        (["linux/amd64", "linux/arm/v6"], "has linux/amd64, linux/arm/v6, wanted linux/amd64, linux/arm/v7"),
        (["linux/amd64", "linux/arm/v7", "linux/386"], "has linux/386, linux/amd64, linux/arm/v7, wanted"),
        (["unknown/unknown", "unknown/unknown"], "has no platform, wanted"),
    ],
)
def test_an_index_of_other_platforms_is_refused(ready, platforms, message):
    context = ready(platforms=platforms)
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
        (
            {"look": 'ERROR: failed to compute cache key: "/usr/bin/a": not found'},
            Refused,
            "r.test/acme/a: has no /usr/bin/a",
        ),
        ({"start": "ERROR: failed to do request: dial tcp 192.0.2.1:443: i/o timeout"}, NetworkError, "start a: "),
        ({"build ": "ERROR: failed to solve: base not found"}, BuildError, "build a: "),
        ({"tag": "ERROR: 503 Service Unavailable"}, NetworkError, "tag r.test/acme/a: "),
        ({"builders": "docker: 'buildx' is not a docker command."}, MissingRequirements, "docker buildx: docker: 'buildx' is not"),
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
    run = context.run
    real = run.__class__.__call__

    class Slow(run.__class__):
        def __call__(self, act):
            outcome = real(self, act)
            return replace(outcome, code=124) if getattr(act, "title", "").startswith("start") else outcome

    run.__class__ = Slow
    with pytest.raises(Refused, match="does not run: no end within 60 s"):
        pushed(context)
    (start,) = [act for act in run.acts if act.title.startswith("start")]
    assert (start.timeout, run.tags) == (60.0, {})


def test_another_binary_inside_is_refused(ready):
    context = ready()
    run = context.run
    look = run._look

    def swap(act):
        said = look(act)
        for path in Path(after(act.argv, "--output")[0].split("dest=")[1]).glob("linux_arm_v7/*"):
            path.write_bytes(b"another")
        return said

    run._look = swap
    with pytest.raises(Refused, match="linux/arm/v7: /usr/bin/a: sha256: is "):
        pushed(context)
    assert run.tags == {}


def test_a_builder_is_made_when_missing_and_anew_only_when_told(ready):
    other = {**BUILDER, "Driver": "remote"}
    missing, drifted = ready(builders=()), ready(builders=(other,))
    pushed(missing)
    made = ["create builder multiarch-builder0", "boot builder multiarch-builder"]
    assert missing.run.titles[1:3] == made
    with pytest.raises(BuildError, match="builder multiarch-builder is another one:\n  driver: is remote"):
        pushed(drifted)
    assert drifted.run.titles == ["builders"]
    pushed(drifted, force=True)
    assert drifted.run.titles[1:5] == ["builders", "remove builder multiarch-builder", *made]


def test_a_builder_that_does_not_boot_is_taken_away_again(ready):
    context = ready(builders=(), faults={"boot": "ERROR: Cannot connect to the Docker daemon at unix:///x"})
    with pytest.raises(MissingRequirements, match="Cannot connect to the Docker daemon"):
        pushed(context)
    assert context.run.titles[-1] == "remove builder multiarch-builder"


def test_one_that_fails_does_not_keep_the_others_from_it(ready, tmp_path):
    context = ready(faults={"build a": "ERROR: failed to solve: base not found"})
    (part,) = context.workspace.components
    context = replace(context, workspace=replace(context.workspace, components=(part, replace(part, name="b"))))
    manifest = tmp_path / "dist" / "manifest.json"
    told = json.loads(manifest.read_text())
    for row in tuple(told["binaries"]):
        path = tmp_path / "dist" / row["path"].replace("/a", "/b")
        path.write_bytes((tmp_path / "dist" / row["path"]).read_bytes())
        told["binaries"].append({**row, "path": row["path"].replace("/a", "/b")})
    manifest.write_text(json.dumps(told))
    first, second = image.push(context, ImageOptions(targets=PAIR, compile=False))
    assert (first.status, first.error.code, second.status) == (Status.FAILED, 1, Status.DONE)
    assert set(context.run.tags) == {"r.test/acme/b:1.2.3", "r.test/acme/b:latest"}


def test_without_a_registry_there_is_nowhere_to_push(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="no registry to push to"):
        pushed(registry.ready(tmp_path, monkeypatch, registry="")())


def test_platforms_are_read_as_docker_writes_them():
    told = json.loads(index("linux/arm64/v8", "linux/arm/v7", "linux/amd64", "unknown/unknown"))
    assert list(buildx.manifests(told)) == ["linux/arm64", "linux/arm/v7", "linux/amd64"]
    assert buildx.read_index("no json") == buildx.read_index("[1]") == {}
