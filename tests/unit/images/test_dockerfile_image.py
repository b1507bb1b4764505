from dataclasses import replace

import machines
import pytest
from machines import Machine, Recorder

from buildlib.assembly.spec import ImageResult
from buildlib.core.errors import Refused, UsageError
from buildlib.core.plan import Status
from buildlib.core.request import Request
from buildlib.core.targets import TARGETS
from buildlib.images import dockerfile_image
from buildlib.machine.workspace import Component

AMD64, ARM64, RISCV64 = TARGETS["amd64"], TARGETS["arm64"], TARGETS["riscv64"]
ALL = (AMD64, ARM64, RISCV64)
SERVER = Component(name="Server", package="server", version="1.0.0")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def described(root):
    """Describes images whose Dockerfiles are given as texts, in a project with the binary Server."""

    def describe(files, names=None, targets=ALL, tags=(), named=False, env=None, request=None, **tables):
        images = {}
        for name, text in files.items():
            (root / name).mkdir(exist_ok=True)
            (root / name / "Dockerfile").write_text(text)
            images[name] = {"dockerfile": "Dockerfile", "context": name, **tables.get(name, {})}
        describe.run = run = Recorder({})
        host = Machine(machine="x86_64", env=env or {}, cwd=root)
        context = machines.context(host, run, root=root, images=images, registry="r.test/acme")
        workspace = machines.workspace(SERVER, root=root)
        context = replace(context, workspace=workspace, request=request or Request(no_binaries=True))
        return dockerfile_image.describe(context, names or tuple(files), targets, tags, named=named)

    return describe


def test_an_image_has_the_arches_of_the_project_and_the_tag_latest(described, root):
    (image,) = described({"web": "FROM scratch\n"}).images
    assert (image.name, image.targets, image.tags, image.published) == ("web", ALL, ("latest",), True)
    assert (image.file, image.folder, image.own, image.secrets) == (root / "web" / "Dockerfile", root / "web", {}, ())


def test_static_targets_are_the_platform_and_each_platform_is_built_once(described):
    targets = (TARGETS["arm64-musl"], ARM64, TARGETS["amd64-musl"])
    (image,) = described({"web": "FROM scratch\n"}, targets=targets, tags=("1", "2")).images
    assert (image.targets, image.tags) == ((ARM64, AMD64), ("1", "2"))


@pytest.mark.parametrize(
    ("targets", "named", "expected"),
    [
        (ALL, False, (AMD64, TARGETS["ppc64le"])),
        (ALL, True, (AMD64,)),
        ((TARGETS["ppc64le"],), True, (TARGETS["ppc64le"],)),
    ],
)
def test_platforms_of_an_image_are_its_own(described, targets, named, expected):
    web = {"platforms": ["amd64", "ppc64le"]}
    (image,) = described({"web": "FROM scratch\n"}, targets=targets, named=named, web=web).images
    assert image.targets == expected


def test_an_image_without_the_named_platform_is_left_out_beside_others(described):
    files = {"web": "FROM scratch\n", "redis": "FROM scratch\n"}
    result = described(files, targets=(RISCV64,), named=True, web={"platforms": ["amd64"]})
    assert [image.name for image in result.images] == ["redis"]
    assert result.left_out == [ImageResult(component="web", status=Status.LEFT_OUT, where="web is not for riscv64")]


def test_a_call_in_which_nothing_is_left_is_an_error(described):
    with pytest.raises(UsageError) as caught:
        described({"web": "FROM scratch\n"}, targets=(RISCV64,), named=True, web={"platforms": ["amd64"]})
    assert caught.value.message == "web is not for riscv64"


# --- images based on each other ----------------------------------------------------------------------------------------------


def test_images_are_based_on_each_other_by_name_or_name_in_the_registry(described):
    files = {
        "top": "FROM middle AS a\nFROM r.test/acme/bottom:latest\nCOPY --from=a / /\nCOPY --from=r.test/acme/other:1 / /\n",
        "middle": "FROM r.test/acme/bottom\nRUN --mount=from=bottom true\n",
        "bottom": "FROM bottom:1 AS x\nFROM bottom\n",
        "other": "FROM scratch\n",
    }
    result = described(files)
    assert {image.name: dict(image.own) for image in result.images} == {
        "top": {"middle": "middle", "r.test/acme/bottom:latest": "bottom"},
        "middle": {"r.test/acme/bottom": "bottom", "bottom": "bottom"},
        "bottom": {},  # its own name is that of an image elsewhere
        "other": {},
    }
    assert dockerfile_image.order(result.images, ()) == [["bottom", "other"], ["middle"], ["top"]]


def test_a_base_that_was_not_asked_for_is_built_and_not_published(described):
    files = {"top": "FROM middle\n", "middle": "FROM bottom\n", "bottom": "FROM scratch\n"}
    result = described(files, names=("top",), targets=(ARM64,), named=True)
    assert [(image.name, image.published, image.targets) for image in result.images] == [
        ("top", True, (ARM64,)), ("middle", False, (ARM64,)), ("bottom", False, (ARM64,)),
    ]  # fmt: skip


def test_a_base_has_the_platforms_of_all_that_are_based_on_it(described):
    files = {"a": "FROM base\n", "b": "FROM base\n", "base": "FROM scratch\n"}
    tables = {"a": {"platforms": ["amd64"]}, "b": {"platforms": ["arm64", "riscv64"]}}
    result = described(files, names=("a", "b"), **tables)
    (base,) = (image for image in result.images if image.name == "base")
    assert set(base.targets) == {AMD64, ARM64, RISCV64}


def test_a_base_without_a_platform_is_an_error(described):
    files = {"a": "FROM base\n", "base": "FROM scratch\n"}
    with pytest.raises(UsageError) as caught:
        described(files, base={"platforms": ["amd64"]})
    assert (caught.value.message, caught.value.help) == (
        "a: its base image base is not for arm64, riscv64", "add it to images.base.platforms, or leave it out with --arch",
    )  # fmt: skip


def test_a_binary_is_a_base_if_it_is_in_the_call(described):
    files = {"web": "FROM r.test/acme/server\nCOPY --from=server / /\n"}
    (image,) = described(files, request=Request()).images
    assert dict(image.own) == {"r.test/acme/server": "Server", "server": "Server"}
    assert dockerfile_image.order([image], ["Server"]) == [["Server"], ["web"]]
    with pytest.raises(UsageError) as caught:
        described(files)
    assert caught.value.help == "add --component Server"


def test_images_based_on_each_other_are_an_error(described):
    files = {"a": "FROM b\n", "b": "FROM c\n", "c": "FROM a\n"}
    with pytest.raises(UsageError) as caught:
        dockerfile_image.order(described(files).images, ())
    assert caught.value.message.startswith("images that are based on each other: ")
    assert set(caught.value.message.partition(": ")[2].split(" → ")) == {"a", "b", "c"}


# --- what is wrong -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"context": "no"}, "images.web.context: no is not a directory"),
        ({"context": ".."}, "images.web.context: .. is outside of the repository"),
        ({"context": "link"}, "images.web.context: link is outside of the repository"),
        ({"dockerfile": "No"}, "images.web.dockerfile: No is neither in the project nor in web"),
        ({"target": "rt"}, "web/Dockerfile: no stage 'rt'"),
        ({"secrets": ["TOKEN"]}, "images.web: the variable TOKEN is not set"),
        (
            {"secrets": ["id=a,src=no", "id=b,env=B"]},
            "images.web: the file no does not exist; the variable B is not set",
        ),
        ({"ssh": ["default"]}, "images.web: no SSH agent runs (SSH_AUTH_SOCK is not set)"),
    ],
)
def test_a_wrong_setting_is_one_message(described, root, table, message):
    (root / "link").symlink_to("/")
    with pytest.raises(UsageError) as caught:
        described({"web": "FROM scratch AS runtime\n"}, web=table)
    assert caught.value.message == message
    assert caught.value.help


def test_a_secret_that_the_dockerfile_requires_is_in_the_settings(described):
    text = "FROM scratch\nRUN --mount=type=secret,id=token,required=true true\n"
    with pytest.raises(UsageError) as caught:
        described({"web": text})
    assert caught.value.message == "images.web: the Dockerfile requires the secret token"
    (image,) = described({"web": text}, web={"secrets": ["id=token,env=TOKEN"]}, env={"TOKEN": "x"}).images
    assert image.secrets == ("id=token,env=TOKEN",)


def test_secrets_are_variables_or_files_of_the_project(described, root):
    (root / "npmrc").write_text("x")
    secrets = ["TOKEN", "id=npmrc,src=npmrc", "type=env,id=x,env=TOKEN"]
    (image,) = described({"web": "FROM scratch\n"}, web={"secrets": secrets}, env={"TOKEN": "x"}).images
    assert image.secrets == ("id=TOKEN,env=TOKEN", f"id=npmrc,src={root / 'npmrc'}", "id=x,env=TOKEN")


def test_the_dockerfile_is_in_the_project_or_in_the_context(described, root):
    (root / "deploy").mkdir()
    (root / "deploy" / "web.Dockerfile").write_text("FROM scratch\n")
    (image,) = described({"web": "FROM scratch\n"}, web={"dockerfile": "deploy/web.Dockerfile"}).images
    assert image.file == root / "deploy" / "web.Dockerfile"
    (root / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(UsageError) as caught:
        described({"web": "FROM scratch\n"})
    assert (caught.value.message, caught.value.help) == (
        "images.web.dockerfile: Dockerfile is in the project and in web", "write ./Dockerfile for that of the project",
    )  # fmt: skip
    (image,) = described({"web": "FROM scratch\n"}, web={"dockerfile": "./Dockerfile"}).images
    assert image.file == root / "Dockerfile"


def test_the_repository_may_be_larger_than_the_project(described, root):
    (root.parent / ".git").mkdir()
    (root.parent / "shared").mkdir()
    (image,) = described({"web": "FROM scratch\n"}, web={"context": "../shared", "dockerfile": "web/Dockerfile"}).images
    assert image.folder == root / "../shared"


# --- emulated compilers ------------------------------------------------------------------------------------------------------

COMPILES = "FROM scratch AS build\nRUN cargo build\nFROM scratch\nCOPY --from=build / /\n"


def refuse(described, value, text=COMPILES, targets=ALL, nodes=()):
    images = described({"web": text}, targets=targets, named=True).images
    builder = {"emulated_compilers": value, "nodes": list(nodes)}
    context = machines.context(Machine(machine="x86_64"), Recorder({}), builder=builder)
    dockerfile_image.refuse_emulated_compilers(context, images)


def test_emulated_compilers_are_refused_where_the_settings_say_so(described):
    with pytest.raises(Refused) as caught:
        refuse(described, "error")
    assert caught.value.message.startswith("web: Dockerfile:2: ")
    assert caught.value.message.endswith(" (arm64, riscv64)")
    assert "builder.emulated_compilers" in caught.value.help


@pytest.mark.parametrize(
    ("value", "more"),
    [
        ("warn", {}),
        ("allow", {}),
        ("error", {"targets": (AMD64,)}),
        ("error", {"text": COMPILES.replace("FROM scratch AS", "FROM --platform=$BUILDPLATFORM scratch AS")}),
        ("error", {"text": "FROM scratch AS build\nRUN cargo build\nFROM scratch\nCOPY . /\n"}),
        ("error", {"targets": (ARM64,), "nodes": ({"endpoint": "ssh://a", "arches": ["arm64"]},)}),
    ],
)
def test_other_builds_are_not_refused(described, value, more):
    refuse(described, value, **more)


def test_contents_of_secrets_are_hidden(described, root):
    (root / "npmrc").write_text("file-content\n")
    secrets = ["id=a,env=PLAIN_NAME", "id=b,src=npmrc"]
    described({"web": "FROM scratch\n"}, web={"secrets": secrets}, env={"PLAIN_NAME": "variable-content"})
    assert described.run.hidden == {"web/a": "variable-content", "web/b": "file-content\n"}


def test_a_name_without_a_value_is_an_error_before_a_build(described):
    with pytest.raises(UsageError) as caught:
        described({"web": "ARG A\nFROM debian:$A\n"})
    assert (caught.value.message, caught.value.help) == (
        "web/Dockerfile:2: FROM debian:$A: no value for A",
        "give a default in the Dockerfile, or set it in images.web.build-args",
    )
    assert described({"web": "ARG A\nFROM debian:$A\n"}, web={"build-args": {"A": 1}}).images
