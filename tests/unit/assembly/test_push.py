import json
import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import fake_registry
import machines
import pytest
from fake_registry import BUILDER, digest, index, values_of
from image_workspace import STATIC, add_binary, add_sbom
from machines import settings
from signing_keys import made

from buildlib.core.errors import BuildError, MissingRequirements, NetworkError, Refused
from buildlib.core.plan import Status
from buildlib.core.statements import PROVENANCE, SBOM, name_of
from buildlib.core.targets import TARGETS
from buildlib.image_gate import manifests
from buildlib.images import binary_assembly, image
from buildlib.images.image import ImageOptions
from buildlib.process.commit import Source
from buildlib.process.files import copy_files
from buildlib.signing.images import Attached

START = ["builders", "commit"]
READ = ["read r.test/acme/a:1.2.3", "read r.test/acme/a:latest"]


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    return fake_registry.prepare(tmp_path, monkeypatch)


def push(context, targets=STATIC, **options):
    """The result of one image. Its error is raised."""
    (result,) = image.push(context, ImageOptions(targets=targets, compile=False, **options))
    if result.error:
        raise result.error
    return result


def test_tags_are_moved_last_and_only_once(prepare):
    context = prepare()
    first = push(context)
    text = context.run.manifests["r.test/acme/a:latest"]
    assert (first.status, first.digest, first.tags) == (Status.DONE, digest(text), ("1.2.3", "latest"))
    assert context.run.titles == [
        *START, *READ, "build a", f"read r.test/acme/a@{first.digest}", "extract program of a", "start a", "tag r.test/acme/a",
        "read r.test/acme/a:1.2.3", *(f"read r.test/acme/a@{one}" for one in manifests.index_of(text).images.values()),
    ]  # fmt: skip
    assert push(context) == replace(first, status=Status.UNCHANGED, layers={})
    assert context.run.titles[12:] == [*START, *READ]


def test_the_layers_of_what_was_pushed_are_read_where_the_registry_tells(prepare):
    context = prepare()
    push(context)
    (platform, _), (_, known) = manifests.index_of(context.run.manifests["r.test/acme/a:latest"]).images.items()
    context.run.manifests[f"r.test/acme/a@{known}"] = fake_registry.manifest("linux/arm/v7")
    assert platform == "linux/amd64"  # whose manifest is not in the registry
    layers = {"linux/arm/v7": ((digest("layer linux/arm/v7"), 0),)}
    assert push(context, force=True, tags=("v2",)).layers == layers


def test_another_tag_for_the_same_image_needs_no_build(prepare):
    context = prepare()
    first = push(context)
    before = len(context.run.titles)
    tagged = push(context, tags=("latest", "v2"))
    assert tagged == replace(first, tags=("latest", "v2"))
    assert context.run.titles[before:][4:] == ["tag r.test/acme/a", "read r.test/acme/a:latest"]
    assert context.run.manifests["r.test/acme/a:v2"] == context.run.manifests["r.test/acme/a:1.2.3"]


def test_another_commit_with_the_same_binaries_is_the_same_image(prepare):
    context = prepare()
    first = push(context)
    context.run._commit = lambda _: "1800000000 def\n"
    assert push(context) == replace(first, status=Status.UNCHANGED)


@pytest.mark.parametrize(
    "table",
    [
        {"ports": [80]},
        {"base": "alpine:3"},
        {"env": {"A": "1"}},
        {"command": ["x"]},
        {"labels": {"a": "b"}},
        {"user": "7"},
    ],
)
def test_other_settings_give_another_image(prepare, table):
    context = prepare()
    context.run.manifests["alpine:3"] = "{}"
    push(context)
    other = replace(context, config=settings(engine="docker", registry="r.test/acme", components={"a": table}))
    before = len(context.run.titles)
    push(other)
    assert "build a" in context.run.titles[before:]


def test_another_content_or_mode_of_a_file_gives_another_image(prepare):
    context = replace(
        prepare(),
        config=settings(engine="docker", registry="r.test/acme", components={"a": {"files": {"c/": "/etc/a"}}}),
    )
    file = context.workspace.root / "c" / "a.toml"
    file.parent.mkdir()
    file.write_text("x = 1\n")

    def builds():
        push(context)
        return len(context.run.argvs("build a"))

    assert builds() == 1
    file.chmod(0o600)
    os.utime(file, (1, 1))
    assert builds() == 1
    file.chmod(0o700)
    assert builds() == 2
    file.write_text("x = 2\n")
    assert builds() == 3


def test_the_build_context_has_the_files_with_fixed_modes_and_times(prepare):
    """buildx reads what was copied beside the Dockerfile: no .dockerignore of the workspace, no umask, no time matters."""
    context = replace(
        prepare(),
        config=settings(engine="docker", registry="r.test/acme", components={"a": {"files": {"c/": "/etc/a"}}}),
    )
    root, seen = context.workspace.root, {}
    (root / "c" / "sub").mkdir(parents=True)
    (root / "c" / "sub" / "run").write_text("#!")
    (root / "c" / "sub" / "run").chmod(0o711)
    (root / "c" / "link").symlink_to("sub/run")
    (root / "c" / "empty").mkdir()
    run = type(context.run).__call__

    def look(self, action):
        if getattr(action, "title", "") == "build a":
            folder = Path(action.argv[-1])
            for path in (folder, *folder.rglob("*")):
                seen[str(path.relative_to(folder))] = (oct(path.stat().st_mode), int(path.stat().st_mtime))
        return run(self, action)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(context.run), "__call__", look)
        push(context)
    folder, file = ("0o40755", 1700000000), ("0o100755", 1700000000)
    assert seen == {".": folder, "c": folder, "c/link": file, "c/sub": folder, "c/sub/run": file}


def test_another_version_of_the_base_image_gives_another_image(prepare):
    context = replace(
        prepare(), config=settings(engine="docker", registry="r.test/acme", components={"a": {"base": "alpine:3"}})
    )
    context.run.manifests["alpine:3"] = "old"
    assert [push(context).status, push(context).status] == [Status.DONE, Status.UNCHANGED]
    context.run.manifests["alpine:3"] = "new"
    before = len(context.run.titles)
    push(context)
    assert "build a" in context.run.titles[before:]


def test_an_own_dockerfile_is_built_each_time_and_tagged_once(prepare):
    context = prepare()
    (context.workspace.root / "Dockerfile.multiarch").write_text("FROM scratch AS a\n")
    first = push(context)
    assert first.status is Status.DONE
    assert push(context) == replace(first, status=Status.UNCHANGED)
    builds = context.run.argvs("build a")
    assert (len(builds), builds[0][-1]) == (2, str(context.workspace.root))
    assert values_of(builds[0], "--file") == [str(context.workspace.root / "Dockerfile.multiarch")]
    counts = [context.run.titles.count(title) for title in ("tag r.test/acme/a", "extract program of a", "start a")]
    assert counts == [1, 1, 1]


def test_force_ignores_what_is_cached(prepare):
    context = prepare()
    push(context)
    push(context, force=True)
    assert ["--no-cache" in argv for argv in context.run.argvs("build a")] == [False, True]


def test_one_platform_becomes_an_index_with_the_inputs(prepare):
    context = prepare()
    first = push(context, targets=STATIC[1:])
    text = context.run.manifests["r.test/acme/a:latest"]
    index = manifests.index_of(text)
    assert list(index.images) == ["linux/arm/v7"]
    assert index.inputs
    assert first.digest == digest(text)
    assert push(context, targets=STATIC[1:]) == replace(first, status=Status.UNCHANGED, layers={})


def test_with_several_nodes_each_platform_is_built_and_checked_alone(prepare):
    """When buildx merges the results of several nodes, it moves the tag `latest` by itself."""
    nodes = [{"endpoint": "ssh://a", "arches": ["armv7"]}]
    config = settings(engine="docker", registry="r.test/acme", builder={"nodes": nodes})
    context = replace(prepare(builders=()), config=config)
    result = push(context)
    builds = [values_of(argv, "--platform") for argv in context.run.argvs("build a")]
    assert builds == [["linux/amd64"], ["linux/arm/v7"]]
    (tag,) = context.run.argvs("tag r.test/acme/a")
    assert len([word for word in tag if "@sha256:" in word]) == 2
    (annotation,) = values_of(tag, "--annotation")
    index = manifests.index_of(context.run.manifests["r.test/acme/a:latest"])
    assert list(index.images) == ["linux/amd64", "linux/arm/v7"]
    assert annotation == f"index:buildlib.inputs={index.inputs}"
    assert push(context) == replace(result, status=Status.UNCHANGED, layers={})


def test_two_c_libraries_are_two_builds(prepare, tmp_path):
    context = prepare()
    add_binary(tmp_path / "dist", "amd64", "a", b"glibc")
    context.run.manifests["debian:trixie-slim"] = "{}"
    result = push(context, targets=(TARGETS["amd64"], STATIC[1]))
    assert (result.status, result.platforms) == (Status.DONE, ("linux/amd64", "linux/arm/v7"))
    builds = context.run.argvs("build a")
    assert [(values_of(argv, "--platform"), values_of(argv, "--build-arg")[0]) for argv in builds] == [
        (["linux/amd64"], "LIBC="),
        (["linux/arm/v7"], "LIBC=-musl"),
    ]


def test_the_command_line_of_a_build(prepare, monkeypatch):
    context, copied = prepare(), []
    monkeypatch.setattr(fake_registry, "copy_files", lambda action: copied.append(action) or copy_files(action))
    push(context)
    (step,) = [step for step in context.run.steps if step.title == "build a"]
    words = step.argv
    assert words[:7] == (
        "docker", "buildx", "build", "--builder", "multiarch-builder", "--platform", "linux/amd64,linux/arm/v7",
    )  # fmt: skip
    (output,) = values_of(words, "--output")
    assert output.startswith(
        "type=image,name=r.test/acme/a,push-by-digest=true,push=true,rewrite-timestamp=true,oci-mediatypes=true,"
        "annotation-index.buildlib.inputs="
    )
    # A file older than the commit would keep its time in the image.
    (binaries,) = [action for action in copied if action.folder.name == "binaries"]
    assert values_of(words, "--build-context") == [f"binaries={binaries.folder}"]
    assert binaries.modified == 1700000000
    assert binaries.files == tuple(
        (context.dist / f"{arch}/a", f"{arch}/a", 0o755) for arch in ("amd64-musl", "armv7-musl")
    )
    assert "--provenance=false" in words
    assert "org.opencontainers.image.revision=abc" in words
    assert step.env == {"SOURCE_DATE_EPOCH": "1700000000"}
    assert step.attempts > 1


def test_the_workspace_s_own_dockerfile_can_read_every_file_of_the_targets(prepare, monkeypatch, tmp_path):
    context, copied = prepare(), []
    monkeypatch.setattr(fake_registry, "copy_files", copied.append)
    (tmp_path / "Dockerfile.multiarch").write_text("FROM scratch\n")
    for name in ("amd64-musl/more/file", "arm64/a"):
        (tmp_path / "dist" / name).parent.mkdir(parents=True)
        (tmp_path / "dist" / name).touch(mode=0o600)
    push(context)
    (binaries,) = copied
    assert {name: mode for _, name, mode in binaries.files} == {
        "manifest.json": 0o644, "amd64-musl/a": 0o644, "armv7-musl/a": 0o644, "amd64-musl/more/file": 0o644,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("platforms", "actual"),
    [
        (["linux/amd64"], "linux/amd64"),
        (["linux/amd64", "linux/arm/v6"], "linux/amd64, linux/arm/v6"),
        (["linux/amd64", "linux/arm/v7", "linux/386"], "linux/386, linux/amd64, linux/arm/v7"),
        (["unknown/unknown", "unknown/unknown"], "none"),
    ],
)
def test_an_index_of_other_platforms_is_refused(prepare, platforms, actual):
    context = prepare(platforms=platforms)
    with pytest.raises(Refused) as caught:
        push(context)
    assert caught.value.message == f"r.test/acme/a: platforms: {actual}, expected linux/amd64, linux/arm/v7"
    assert context.run.tags == {}


@pytest.mark.parametrize(
    ("faults", "kind", "message"),
    [
        (
            {"start": 'ERROR: process "/usr/bin/a --version" did not complete: exit code: 1'},
            Refused,
            "r.test/acme/a: does not run: process",
        ),
        (
            {
                "start": "#8 0.12 /usr/bin/a: error while loading shared libraries: libssl.so.3: cannot open\nERROR: exit code: 127"
            },
            Refused,
            "r.test/acme/a: does not run: libssl.so.3: cannot open",
        ),
        (
            {"extract": 'ERROR: failed to compute cache key: "/usr/bin/a": not found'},
            Refused,
            "r.test/acme/a: /usr/bin/a is not in the image",
        ),
        ({"start": "ERROR: failed to do request: dial tcp 192.0.2.1:443: i/o timeout"}, NetworkError, "start a: "),
        ({"build ": "ERROR: failed to solve: base not found"}, BuildError, "build a: "),
        ({"tag": "ERROR: 503 Service Unavailable"}, NetworkError, "tag r.test/acme/a: "),
        ({"tag": "unauthorized: authentication required"}, MissingRequirements, "tag r.test/acme/a: unauthorized: "),
        ({"tag": "x509: certificate signed by unknown authority"}, MissingRequirements, "tag r.test/acme/a: x509: "),
        (
            {"builders": "docker: 'buildx' is not a docker command.", "buildx": "no"},
            MissingRequirements,
            "docker has no plugin buildx",
        ),
    ],
)
def test_a_failure_leaves_the_tags_where_they_were(prepare, faults, kind, message):
    context = prepare(faults=faults)
    with pytest.raises(kind) as caught:
        push(context)
    assert caught.value.message.startswith(message)
    assert context.run.tags == {}


@pytest.mark.parametrize("metadata", ["", "{", "[]", "{}", '{"containerimage.digest": null}'])
def test_a_build_without_a_digest_is_an_error(prepare, metadata):
    context = prepare(metadata=metadata)
    with pytest.raises(BuildError) as caught:
        push(context)
    assert caught.value.message == "r.test/acme/a: docker buildx reported no digest for the pushed image"
    assert caught.value.help == "update Docker and buildx"
    assert context.run.tags == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid manifest: Input data was truncated"),
        ("[]", "invalid manifest: Expected `object`, got `array`"),
        ('{"manifests": [{}]}', "invalid manifest: Object missing required field `digest` - at `$.manifests[0]`"),
        ('{"schemaVersion": 1}', "manifest of schema 1, expected schema 2 or an OCI manifest"),
    ],
)
def test_a_broken_manifest_of_the_pushed_image_is_an_error(prepare, text, message):
    context = prepare(metadata=json.dumps({"containerimage.digest": digest(text)}))
    read = context.run._read
    context.run._read = lambda step: text if "@" in step.argv[-1] else read(step)
    with pytest.raises(BuildError) as caught:
        push(context)
    assert caught.value.message.startswith("r.test/acme/a@sha256:")
    assert caught.value.message.endswith(f": {message}")
    assert context.run.tags == {}


def test_another_manifest_than_the_pushed_one_is_refused(prepare):
    context = prepare()
    read, other = context.run._read, index(*(target.oci for target in STATIC)) + " "
    context.run._read = lambda step: other if "@" in step.argv[-1] else read(step)
    with pytest.raises(Refused) as caught:
        push(context)
    expected = context.run.steps[-1].argv[-1].partition("@")[2]
    assert caught.value.message == (
        f"r.test/acme/a@{expected}: digest mismatch: got {digest(other)}, expected {expected}"
    )
    assert context.run.tags == {}


def test_a_broken_configuration_of_the_pushed_image_is_an_error(prepare):
    context = prepare()
    context.run._configuration = lambda _: '{"os": 5}'
    with pytest.raises(BuildError, match=r"invalid configuration: Expected `str \| null`, got `int`"):
        push(context, targets=STATIC[1:])
    assert context.run.tags == {}


@pytest.mark.parametrize("text", ["[]", '{"manifests": [{}]}', '{"schemaVersion": 1}', "<html>"])
def test_a_tag_that_points_to_anything_else_is_moved(prepare, text):
    context = prepare()
    context.run.manifests["r.test/acme/a:latest"] = text
    assert push(context).status is Status.DONE
    assert context.run.manifests["r.test/acme/a:latest"] == context.run.manifests["r.test/acme/a:1.2.3"] != text


def test_a_program_that_does_not_end_is_refused(prepare):
    context = prepare()
    runner = context.run

    def run(action):
        outcome = runner(action)
        return replace(outcome, code=124) if getattr(action, "title", "").startswith("start") else outcome

    run.console, run.dry, run.locked, run.stopped = runner.console, False, runner.locked, runner.stopped
    with pytest.raises(Refused, match=f"does not run: did not exit within {binary_assembly.START:.0f} s"):
        push(replace(context, run=run))
    (start,) = [step for step in runner.steps if step.title.startswith("start")]
    assert (start.timeout, runner.tags) == (binary_assembly.START, {})


def test_another_program_in_the_image_is_refused(prepare):
    context = prepare()
    extract = context.run._extract

    def replace_program(step):
        answer = extract(step)
        for path in Path(values_of(step.argv, "--output")[0].split("dest=")[1]).glob("linux_arm_v7/*"):
            path.write_bytes(b"another")
        return answer

    context.run._extract = replace_program
    actual = digest("another").removeprefix("sha256:")
    expected = digest("elf armv7-musl").removeprefix("sha256:")
    with pytest.raises(Refused) as caught:
        push(context)
    assert caught.value.message == f"r.test/acme/a: linux/arm/v7: /usr/bin/a: sha256: {actual}, expected {expected}"
    assert context.run.tags == {}


def test_a_missing_builder_is_created_and_another_one_only_recreated_with_force(prepare):
    create = ["create builder multiarch-builder0", "boot builder multiarch-builder"]
    missing, other = prepare(builders=()), prepare(builders=({**BUILDER, "Driver": "remote"},))
    push(missing)
    assert missing.run.titles[1:3] == create
    with pytest.raises(BuildError, match="builder multiarch-builder differs from the settings:\n  driver: remote"):
        push(other)
    assert other.run.titles == ["builders"]
    push(other, force=True)
    assert other.run.titles[1:5] == ["builders", "remove builder multiarch-builder", *create]


def test_a_builder_that_does_not_boot_is_removed_again(prepare):
    context = prepare(builders=(), faults={"boot": "ERROR: Cannot connect to the Docker daemon at unix:///x"})
    with pytest.raises(MissingRequirements, match="Cannot connect to the Docker daemon"):
        push(context)
    assert context.run.titles[-1] == "remove builder multiarch-builder"


def test_an_image_that_fails_does_not_stop_the_others(prepare, tmp_path):
    context = prepare(faults={"build a": "ERROR: failed to solve: base not found"})
    (component,) = context.workspace.components
    components = (component, replace(component, name="b"))
    context = replace(context, workspace=machines.workspace(*components, root=context.workspace.root))
    for target in STATIC:
        add_binary(tmp_path / "dist", target.name, "b", (tmp_path / "dist" / target.name / "a").read_bytes())
    first, second = image.push(context, ImageOptions(targets=STATIC, compile=False))
    assert (first.status, first.error.code, second.status) == (Status.FAILED, 1, Status.DONE)
    assert set(context.run.tags) == {"r.test/acme/b:1.2.3", "r.test/acme/b:latest"}


def test_the_pushed_index_has_the_digest_that_the_result_names(prepare):
    context = prepare()
    result = push(context)
    text = context.run.manifests[f"r.test/acme/a@{result.digest}"]
    assert json.loads(text)["annotations"] == {"buildlib.inputs": manifests.index_of(text).inputs}


# --- signatures --------------------------------------------------------------------------------------------------------------


class FakeSigner:
    """Remembers what was signed, and which steps had run before."""

    attest, source = ("sbom", "provenance"), Source(revision="0123", uri="https://git.test/a")

    def __init__(self, run, error=None):
        self.run, self.error, self.key, self.signed, self.known = run, error, made("cosign.key"), [], set()

    def put(self, name, data, digest):
        self.run.manifests[f"{name}@{digest}"] = data.decode()

    def sign(self, name, document, digest, predicates):
        if self.error:
            raise self.error
        platforms = ("", *manifests.read(document, name).images)
        said = {platform: dict(predicates(platform)) for platform in platforms}
        self.signed.append((name, digest, said, list(self.run.titles)))
        new = {digest} - self.known
        self.known |= new
        names = {platform: ("signature", *map(name_of, kinds)) for platform, kinds in said.items()}
        return [Attached(platform=one, digest=digest, names=names[one], added=bool(new)) for one in platforms]


@pytest.fixture
def signed(prepare, monkeypatch):
    """A function that returns a context whose images are signed, and its signer."""

    def signed(error=None, **options):
        context = prepare(**options)
        for target in STATIC:
            add_sbom(context.dist, target.name, "a", {"bomFormat": target.name})
        signer = FakeSigner(context.run, error)
        monkeypatch.setattr(image, "_signer", lambda _: nullcontext(signer))
        return context, signer

    return signed


def test_an_image_is_signed_before_a_tag_moves(signed):
    context, signer = signed()
    result = push(context)
    ((name, name_of_index, said, titles),) = signer.signed
    assert (name, name_of_index) == ("r.test/acme/a", result.digest)
    assert not any(title.startswith("tag") for title in titles) and titles[-1] == "start a"
    assert {platform: list(kinds) for platform, kinds in said.items()} == {
        "": [PROVENANCE], "linux/amd64": [SBOM, PROVENANCE], "linux/arm/v7": [SBOM, PROVENANCE],
    }  # fmt: skip
    assert said["linux/arm/v7"][SBOM] == {"bomFormat": "armv7-musl"}
    definition = said["linux/arm/v7"][PROVENANCE]["buildDefinition"]
    assert definition["externalParameters"] == {"image": "a", "platform": "linux/arm/v7"}
    (commit, binary) = definition["resolvedDependencies"]
    assert commit == {"uri": "git+https://git.test/a", "digest": {"gitCommit": "0123"}}
    assert (binary["name"], binary["annotations"]["target"]) == ("armv7-musl/a", "armv7-unknown-linux-musleabihf")
    assert (result.status, result.signed) == (Status.DONE, ("signature", "provenance", "sbom"))


def test_an_unchanged_image_gets_what_it_lacks(signed):
    context, signer = signed()
    first = push(context)
    assert push(context).status == Status.UNCHANGED
    signer.known.clear()
    again = push(context)
    assert (again.status, again.digest) == (Status.DONE, first.digest)
    assert [digest for _, digest, _, _ in signer.signed] == [first.digest] * 3


@pytest.mark.parametrize("error", [BuildError("cannot attach signatures"), NetworkError("no answer")])
def test_no_tag_moves_if_the_image_cannot_be_signed(signed, error):
    context, _ = signed(error)
    with pytest.raises(type(error)):
        push(context)
    assert context.run.tags == {}


def test_the_index_of_several_nodes_is_made_before_it_is_signed(signed):
    config = settings(
        engine="docker", registry="r.test/acme", builder={"nodes": [{"endpoint": "ssh://a", "arches": ["armv7"]}]}
    )
    context, signer = signed(builders=())
    context = replace(context, config=config)
    result = push(context)
    ((_, digest_of_index, said, titles),) = signer.signed
    assert result.digest == digest_of_index and set(said) == {"", "linux/amd64", "linux/arm/v7"}
    assert not any(title.startswith("tag") for title in titles)
    assert manifests.index_of(context.run.manifests["r.test/acme/a:latest"]).inputs


def test_an_sbom_that_is_asked_for_must_exist(signed):
    context, _ = signed()
    (context.dist / "armv7-musl" / "a.cdx.json").unlink()
    with pytest.raises(BuildError) as caught:
        push(context)
    assert caught.value.message == "armv7-musl/a: no SBOM to attach"
    assert context.run.tags == {}
