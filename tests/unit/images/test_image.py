from dataclasses import replace

import machines
import pytest
from image_workspace import COMPONENT, EXECUTABLE, STATIC, static_workspace, workspace
from machines import settings

from buildlib.core.errors import Refused, UsageError
from buildlib.core.targets import TARGETS
from buildlib.images import image, without_engine, workspace_dockerfile
from buildlib.images.image import ImageOptions
from buildlib.process.history import History, read


def save(context, tmp_path, tags=()):
    return image.save(context, ImageOptions(targets=STATIC, tags=tags, compile=False), tmp_path / "out")


def test_an_image_is_recorded_with_its_layers(tmp_path):
    context = replace(static_workspace(tmp_path), history=History(tmp_path / "journal"))
    (result,) = image.save(context, ImageOptions(targets=EXECUTABLE, compile=False), tmp_path / "out")
    blobs = tmp_path / "out" / "a" / "blobs" / "sha256"
    (line,) = (line for line in read((tmp_path / "journal").read_text()) if line["kind"] == "image")
    assert list(line["platforms"]) == ["linux/amd64", "linux/arm64"]
    layers = [layer for platform in line["platforms"].values() for layer in platform]
    assert layers and all(
        (blobs / digest.removeprefix("sha256:")).stat().st_size == size > 0 for digest, size in layers
    )
    assert {key: line[key] for key in ("name", "status", "digest", "tags", "where")} == {
        "name": "a", "status": "done", "digest": result.digest, "tags": ["1.2.3"], "where": str(tmp_path / "out" / "a"),
    }  # fmt: skip


def test_a_missing_platform_is_refused_before_anything_is_written(tmp_path):
    context = workspace(tmp_path)
    (tmp_path / "dist" / "armv7-musl" / "a").unlink()
    with pytest.raises(Refused, match=r"armv7-musl/a: not in dist/"):
        save(context, tmp_path)
    assert not (tmp_path / "out" / "a").exists()


def test_a_wrong_time_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH='x' is not a number"):
        save(workspace(tmp_path, env={"SOURCE_DATE_EPOCH": "x"}), tmp_path)


def test_a_dry_run_writes_nothing(tmp_path):
    assert save(workspace(tmp_path, dry=True), tmp_path) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("targets", "table", "expected"),
    [
        (STATIC, {}, False),
        ((STATIC[0], TARGETS["arm64"]), {}, True),
        (STATIC, {"base": "alpine:3"}, True),
    ],
)
def test_what_needs_docker(tmp_path, targets, table, expected):
    context = replace(workspace(tmp_path), config=settings(components={"a": table}))
    assert without_engine.has_more(context, targets) is expected


def test_only_an_edited_dockerfile_needs_docker(tmp_path):
    context = workspace(tmp_path)
    (tmp_path / "Dockerfile.multiarch").write_text(workspace_dockerfile.render(context))
    assert not without_engine.has_more(context, STATIC)
    (tmp_path / "Dockerfile.multiarch").write_text(workspace_dockerfile.render(context) + "LABEL more=1\n")
    assert without_engine.has_more(context, STATIC)


def test_a_dockerfile_that_is_out_of_date_is_a_warning(tmp_path, capsys):
    context = workspace(tmp_path)
    (tmp_path / "Dockerfile.multiarch").write_text(workspace_dockerfile.render(context))
    image.validate(context, ImageOptions(targets=STATIC))
    assert capsys.readouterr().err == ""
    other = replace(context, config=settings(components={"a": {"ports": [80]}}))
    image.validate(other, ImageOptions(targets=STATIC))
    assert capsys.readouterr().err == (
        "warning: Dockerfile.multiarch differs from the settings; help: buildlib dockerfile --write\n"
    )


def test_a_missing_file_is_a_usage_error_and_a_dockerfile_of_the_workspace_decides_itself(tmp_path):
    context = replace(workspace(tmp_path), config=settings(components={"a": {"files": {"c/": "/etc/a"}}}))
    with pytest.raises(UsageError) as caught:
        image.validate(context, ImageOptions(targets=STATIC))
    assert caught.value.message == f"components.a.files: c/ does not exist in {tmp_path}"
    (tmp_path / "Dockerfile.multiarch").write_text("FROM scratch AS a\n")
    image.validate(context, ImageOptions(targets=STATIC))


def test_a_component_with_the_name_of_another_stage_is_a_usage_error(tmp_path):
    context = workspace(tmp_path)
    renamed = machines.workspace(replace(COMPONENT, name="Base"), root=context.workspace.root)
    with pytest.raises(UsageError) as caught:
        image.validate(replace(context, workspace=renamed), ImageOptions(targets=STATIC))
    assert caught.value.message == "'Base' is the name of another stage of the Dockerfile"


@pytest.mark.parametrize(
    ("targets", "tags", "message"),
    [
        ((TARGETS["arm64"], TARGETS["arm64-musl"]), (), "arm64-musl and arm64 are both linux/arm64"),
        (STATIC, ("a b",), "'a b' is not a tag"),
    ],
)
def test_wrong_options_are_a_usage_error(tmp_path, targets, tags, message):
    with pytest.raises(UsageError) as caught:
        image.validate(workspace(tmp_path), ImageOptions(targets=targets, tags=tags))
    assert caught.value.message == message


def test_several_platforms_for_the_daemon_are_a_usage_error(tmp_path):
    with pytest.raises(UsageError) as caught:
        image.load(workspace(tmp_path), ImageOptions(targets=STATIC))
    assert caught.value.message == "--load takes one platform, not amd64-musl,armv7-musl"


def test_a_push_without_a_registry_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError) as caught:
        image.push(workspace(tmp_path), ImageOptions(targets=STATIC, compile=False))
    assert caught.value.message == "no registry to push to"
