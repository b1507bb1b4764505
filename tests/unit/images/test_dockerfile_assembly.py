"""Images from Dockerfiles through the commands, with a registry and a buildx that answer as the real ones do."""

from dataclasses import replace

import fake_registry
import pytest
from fake_registry import digest, index, values_of
from image_workspace import STATIC
from machines import settings

from buildlib.core.errors import BuildError, Refused
from buildlib.core.plan import Status
from buildlib.core.request import Request
from buildlib.core.targets import TARGETS
from buildlib.image_gate.manifests import index_of
from buildlib.images import bases, image
from buildlib.images.dockerfile_assembly import DockerfileAssembly
from buildlib.images.image import ImageOptions

BASE = f"sha256:{'b' * 64}"
TARGETS_ = (TARGETS["amd64"], TARGETS["arm64"])


class Project:
    """A project with the binary `a` and images from Dockerfiles; `checked` are the names of those that were checked."""

    def __init__(self, tmp_path, monkeypatch):
        self.root, self.checked, self.refused, self.base = tmp_path, [], set(), BASE
        self.context = fake_registry.prepare(tmp_path, monkeypatch)()
        self.images = {}
        monkeypatch.setattr(DockerfileAssembly, "check_layouts", lambda assembly, layouts: self._check(assembly))
        monkeypatch.setattr(bases, "checked_bases", self._bases)

    def _check(self, assembly):
        self.checked.append(assembly.name)
        if assembly.name in self.refused:
            raise Refused(f"{assembly.name}: no")

    def _bases(self, context, images, *, strict):
        return {
            one.name: {name.name: self.base for base in one.sources.bases for name in base.images.values()
                       if name.name not in one.own}
            for one in images
        }  # fmt: skip

    def add(self, name, text, **table):
        (self.root / name).mkdir(exist_ok=True)
        (self.root / name / "Dockerfile").write_text(text)
        self.images[name] = {"dockerfile": "Dockerfile", "context": name, **table}

    def run(self, function, *more, names=None, targets=TARGETS_, binaries=False, nodes=(), **options):
        context = replace(
            self.context,
            config=settings(registry="r.test/acme", images=self.images, builder={"nodes": list(nodes)}),
            request=Request(no_binaries=not binaries),
        )
        options = ImageOptions(targets=targets, images=names or tuple(self.images), compile=False, **options)
        return function(context, options, *more)

    def push(self, **options):
        return self.run(image.push, **options)

    @property
    def titles(self):
        return self.context.run.titles


@pytest.fixture
def project(tmp_path, monkeypatch):
    return Project(tmp_path, monkeypatch)


def test_an_image_is_built_checked_uploaded_and_tagged_in_this_order(project):
    project.add("web", "FROM debian:trixie-slim\n")
    (result,) = project.push()
    text = project.context.run.manifests["r.test/acme/web:latest"]
    assert (result.status, result.tags, result.digest) == (Status.DONE, ("latest",), digest(text))
    assert project.titles == [
        "builders", "commit", "read r.test/acme/web:latest", "build web", "build web", f"read r.test/acme/web@{result.digest}",
        "tag r.test/acme/web", "read r.test/acme/web:latest",
        *(f"read r.test/acme/web@{one}" for one in index_of(text).images.values()),
    ]  # fmt: skip
    assert project.checked == ["web"]
    layout, pushed = project.context.run.argvs("build web")
    assert values_of(layout, "--output")[0].startswith("type=oci,")
    (output,) = values_of(pushed, "--output")
    assert "push-by-digest=true" in output
    assert f"annotation-index.buildlib.bases=debian:trixie-slim@{BASE}" in output
    assert project.push() == [replace(result, status=Status.UNCHANGED, layers={})]
    assert project.titles[10:] == ["builders", "commit", "read r.test/acme/web:latest"]


def test_the_command_line_of_a_build(project, tmp_path):
    (tmp_path / "npmrc").write_text("x")
    project.add(
        "web", "FROM debian:trixie-slim AS rt\n", target="rt", network="host", secrets=["id=npmrc,src=npmrc"], ssh=["k=key"],
        **{"build-args": {"N": 1, "B": True, "T": "a b"}},
    )  # fmt: skip
    project.push(force=True)
    first, second = project.context.run.argvs("build web")
    assert first[-1] == str(tmp_path / "web")
    assert values_of(first, "--build-arg") == ["BUILDKIT_MULTI_PLATFORM=1", "N=1", "B=true", "T=a b"]
    assert values_of(first, "--secret") == [f"id=npmrc,src={tmp_path / 'npmrc'}"]
    assert (values_of(first, "--ssh"), values_of(first, "--target")) == (["k=key"], ["rt"])
    assert (values_of(first, "--network"), values_of(first, "--allow")) == (["host"], ["network.host"])
    # What is uploaded is what was checked: only the first build ignores the cache.
    assert ("--no-cache" in first, "--no-cache" in second) == (True, False)


@pytest.mark.parametrize(
    "change",
    [
        lambda project: project.add("web", "FROM debian:trixie-slim\nLABEL a=1\n"),
        lambda project: (project.root / "web" / "file").write_text("x"),
        lambda project: project.add("web", "FROM debian:trixie-slim\n", **{"build-args": {"A": 1}}),
        lambda project: project.add("web", "FROM debian:trixie-slim\n", health="true"),
        lambda project: setattr(project, "base", f"sha256:{'c' * 64}"),
    ],
)
def test_another_input_is_built_again(project, change):
    project.add("web", "FROM debian:trixie-slim\n")
    project.push()
    change(project)
    before = len(project.context.run.argvs("build web"))
    project.push()
    assert len(project.context.run.argvs("build web")) == before + 2


def test_an_unpinned_download_is_built_and_checked_each_time(project):
    project.add("web", "FROM scratch\nADD https://r.test/a /a\n")
    (first,) = project.push()
    (again,) = project.push()
    assert again == replace(first, status=Status.UNCHANGED)
    assert (len(project.context.run.argvs("build web")), project.checked) == (4, ["web", "web"])


def test_a_new_promise_is_checked_of_the_same_image_and_recorded(project):
    project.add("web", "FROM scratch\n")
    project.push()
    project.add("web", "FROM scratch\n", says={"all": ["ready"]})
    project.refused = {"web"}
    (result,) = project.push()
    assert result.status is Status.REFUSED
    project.refused = set()
    (result,) = project.push()
    assert (result.status, project.checked) == (Status.DONE, ["web"] * 3)
    assert [one.status for one in project.push()] == [Status.UNCHANGED]
    assert project.checked == ["web"] * 3


def test_force_checks_again(project):
    project.add("web", "FROM scratch\n")
    project.push()
    (result,) = project.push(force=True)
    assert (result.status, project.checked) == (Status.UNCHANGED, ["web", "web"])


def test_what_buildlib_writes_is_no_input_and_a_warning(project, capsys):
    project.add("web", "FROM scratch\n", context=".", dockerfile="web/Dockerfile")
    project.push()
    records = project.root / "target" / "buildlib"
    records.mkdir(parents=True)
    (records / "journal.jsonl").write_text("x")
    assert [one.status for one in project.push()] == [Status.UNCHANGED]
    assert capsys.readouterr().err.startswith(
        "warning: web: the context has target/buildlib, which buildlib writes; help: add it to .dockerignore\n"
    )


def test_a_refused_image_is_not_uploaded(project):
    project.add("web", "FROM scratch\n")
    project.refused = {"web"}
    (result,) = project.push()
    assert (result.status, result.error.message) == (Status.REFUSED, "web: no")
    assert project.context.run.tags == {}
    assert len(project.context.run.argvs("build web")) == 1


def test_a_registry_that_got_something_else_is_refused(project):
    project.add("web", "FROM scratch\n")
    write = project.context.run._write_layout
    other = f"sha256:{'0' * 64}"
    text = index("linux/amd64", "linux/arm64")

    def write_other(folder, platforms, multiple=False):
        write(folder, platforms, multiple)
        (blob,) = (one for one in (folder / "blobs").glob("*/*") if one.read_text().startswith('{"manifests"'))
        blob.write_text(blob.read_text().replace(digest(fake_registry.manifest("linux/arm64")), other))

    project.context.run._write_layout = write_other
    (result,) = project.push()
    assert (result.status, project.context.run.tags) == (Status.REFUSED, {})
    actual = digest(fake_registry.manifest("linux/arm64"))
    assert result.error.message == f"r.test/acme/web: linux/arm64: digest: {actual}, expected {other}"
    assert actual in text


def test_an_image_without_the_platforms_is_refused(project):
    project.add("web", "FROM scratch\n")
    project.context.run.platforms = ["linux/amd64", "linux/arm64", "linux/s390x"]
    (result,) = project.push()
    assert result.error.message.startswith("web: platforms: linux/amd64, linux/arm64, linux/s390x, expected ")
    assert project.context.run.tags == {}


def test_with_several_nodes_each_platform_is_built_where_it_is_native(project, monkeypatch):
    project.add("web", "FROM scratch\n")
    nodes = [{"endpoint": "ssh://a", "arches": ["arm64"]}]
    monkeypatch.setattr(image.builder_commands, "create", lambda *_, **__: None)
    (result,) = project.push(nodes=nodes)
    assert (result.status, result.platforms) == (Status.DONE, ("linux/amd64", "linux/arm64"))
    assert [values_of(argv, "--platform") for argv in project.context.run.argvs("build web")] == [
        ["linux/amd64"], ["linux/arm64"], ["linux/amd64"], ["linux/arm64"],
    ]  # fmt: skip
    (tag,) = project.context.run.argvs("tag r.test/acme/web")
    assert values_of(tag, "--annotation")[0].startswith("index:buildlib.inputs=")


# --- based on each other -----------------------------------------------------------------------------------------------------


def contexts(project, name):
    return {values_of(argv, "--build-context")[0] for argv in project.context.run.argvs(f"build {name}")}


def test_what_is_based_on_a_pushed_image_gets_it_by_digest(project, monkeypatch):
    project.add("top", "FROM bottom\n")
    project.add("bottom", "FROM scratch\n")
    top, bottom = project.push()
    assert [one.component for one in (top, bottom)] == ["top", "bottom"]
    assert contexts(project, "top") == {f"bottom=docker-image://r.test/acme/bottom@{bottom.digest}"}
    project.push()
    assert len(project.context.run.argvs("build top")) == 2
    (project.root / "bottom" / "new").write_text("x")
    project.push()  # another index, which records the new input, of the same images: nothing new is based on them
    assert len(project.context.run.argvs("build top")) == 2
    (project.root / "bottom" / "newer").write_text("x")
    manifest = fake_registry.manifest
    monkeypatch.setattr(fake_registry, "manifest", lambda platform: f"{manifest(platform)} ")
    project.push()
    assert len(project.context.run.argvs("build top")) == 4
    assert [one.status for one in project.push()] == [Status.UNCHANGED] * 2
    assert len(project.context.run.argvs("build top")) == 4


def test_a_base_that_was_not_asked_for_is_checked_and_not_published(project):
    project.add("top", "FROM bottom\n")
    project.add("bottom", "FROM scratch\n")
    (result,) = project.push(names=("top",))
    assert (result.component, sorted(project.context.run.tags)) == ("top", ["r.test/acme/top:latest"])
    assert project.checked == ["bottom", "top"]
    (context,) = contexts(project, "top")
    assert context.startswith("bottom=oci-layout:///")


def test_what_is_based_on_a_failed_image_fails_and_others_do_not(project):
    project.add("top", "FROM bottom\n")
    project.add("bottom", "FROM scratch\n")
    project.add("other", "FROM scratch\n")
    project.refused = {"bottom"}
    results = {one.component: one for one in project.push()}
    assert {name: one.status for name, one in results.items()} == {
        "top": Status.REFUSED, "bottom": Status.REFUSED, "other": Status.DONE,
    }  # fmt: skip
    assert results["top"].error.message == "top: its base image bottom failed"
    assert sorted(project.context.run.tags) == ["r.test/acme/other:latest"]


def test_a_failed_base_that_was_not_asked_for_is_reported(project):
    project.add("top", "FROM bottom\n")
    project.add("bottom", "FROM scratch\n")
    project.refused = {"bottom"}
    results = project.push(names=("top",))
    assert [(one.component, one.status) for one in results] == [("top", Status.REFUSED), ("bottom", Status.REFUSED)]


def test_binaries_and_images_in_one_call(project):
    project.add("web", "FROM a\n")
    binary, web = project.push(binaries=True, targets=STATIC)
    assert [(one.component, one.status, one.tags) for one in (binary, web)] == [
        ("a", Status.DONE, ("1.2.3", "latest")), ("web", Status.DONE, ("latest",)),
    ]  # fmt: skip
    assert contexts(project, "web") == {f"a=docker-image://r.test/acme/a@{binary.digest}"}


# --- on this machine ---------------------------------------------------------------------------------------------------------


def test_layouts_of_images_and_then_there_is_nothing_to_do(project):
    project.add("top", "FROM bottom\n")
    project.add("bottom", "FROM scratch\n")
    out = project.root / "out"
    top, bottom = project.run(image.save, out)
    assert [(one.status, one.where) for one in (top, bottom)] == [
        (Status.DONE, str(out / "top")), (Status.DONE, str(out / "bottom")),
    ]  # fmt: skip
    assert contexts(project, "top") == {f"bottom=oci-layout://{out / 'bottom'}@{bottom.digest}"}
    before = len(project.titles)
    assert [one.status for one in project.run(image.save, out)] == [Status.UNCHANGED] * 2
    assert project.titles[before:] == ["builders", "commit"]


def test_one_platform_is_loaded(project):
    project.add("top", "FROM bottom\n")
    project.add("bottom", "FROM scratch\n")
    top, bottom = project.run(image.load, targets=TARGETS_[:1])
    assert [(one.status, one.where) for one in (top, bottom)] == [
        (Status.DONE, "r.test/acme/top:latest"), (Status.DONE, "r.test/acme/bottom:latest"),
    ]  # fmt: skip
    assert project.checked == ["bottom", "top"]


def test_a_build_that_fails_is_one_error(project):
    project.add("web", "FROM scratch\n")
    project.context.run.faults["build web"] = "ERROR: failed to solve: no space left on device"
    (result,) = project.push()
    assert (result.status, type(result.error)) == (Status.FAILED, BuildError)
    assert "no space left on device" in result.error.message


def test_without_an_output_images_are_built_and_checked(project):
    project.add("web", "FROM a\n")
    binary, web = project.run(image.check, targets=STATIC, binaries=True)
    assert [(one.component, one.status, one.platforms, one.where, one.tags) for one in (binary, web)] == [
        ("a", Status.DONE, ("linux/amd64", "linux/arm/v7"), "", ()), ("web", Status.DONE, ("linux/amd64", "linux/arm/v7"), "", ()),
    ]  # fmt: skip
    assert (project.checked, project.context.run.tags) == (["web"], {})
    assert not any(title.startswith("tag ") for title in project.titles)
