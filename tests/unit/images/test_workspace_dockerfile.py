from dataclasses import replace
from types import SimpleNamespace

import machines
import pytest
from image_workspace import COMPONENT, workspace
from machines import settings

from buildlib.core.errors import Refused, UsageError
from buildlib.images import workspace_dockerfile
from buildlib.registry.session import DIRECT, Session


def test_the_dockerfile_is_written_again_but_never_over_an_edited_one(tmp_path):
    context = workspace(tmp_path)
    file, ignored = (action.path for action in workspace_dockerfile.write(context))
    assert file.read_text() == workspace_dockerfile.render(context)
    assert ignored.read_text().endswith("target\ndist\n")
    assert [action.path for action in workspace_dockerfile.write(context)] == [file, ignored]
    ignored.write_text("dist\n")
    assert [action.path for action in workspace_dockerfile.write(context)] == [file]
    file.write_text("FROM scratch\n")
    with pytest.raises(UsageError) as caught:
        workspace_dockerfile.write(context)
    assert caught.value.message == "Dockerfile.multiarch exists, and was not written by buildlib or was edited since"
    assert file.read_text() == "FROM scratch\n"


def test_a_dockerignore_is_kept_with_a_warning_about_files_of_an_image(tmp_path, capsys):
    context = replace(workspace(tmp_path), config=settings(components={"a": {"files": {"dist/a.toml": "/etc/"}}}))
    other = replace(context, config=settings(components={"a": {"files": {"b.toml": "/etc/"}}}))
    workspace_dockerfile.write(other)
    _, ignored = (action.path for action in workspace_dockerfile.write(context))
    assert ignored.read_text().endswith("target\ndist\n!dist/a.toml\n!dist/a.toml/**\n")
    workspace_dockerfile.write(context)
    assert capsys.readouterr().err == ""
    ignored.write_text("dist\n")
    workspace_dockerfile.write(context)
    assert capsys.readouterr().err == (
        "warning: Dockerfile.multiarch.dockerignore is kept; if it excludes files of an image, add !dist/a.toml "
        "!dist/a.toml/**\n"
    )
    assert ignored.read_text() == "dist\n"


def test_a_dockerfile_is_own_when_it_was_edited_and_out_of_date_when_the_settings_were(tmp_path):
    context = workspace(tmp_path)
    other = replace(context, config=settings(components={"a": {"ports": [80]}}))

    def state(context):
        return workspace_dockerfile.is_own(context), workspace_dockerfile.is_out_of_date(context)

    assert state(context) == (False, False)
    file = tmp_path / "Dockerfile.multiarch"
    file.write_text(workspace_dockerfile.render(context))
    assert state(context) == (False, False)
    assert state(other) == (False, True)
    file.write_text(workspace_dockerfile.render(context) + "LABEL more=1\n")
    assert state(context) == state(other) == (True, False)


def test_the_file_to_build_from(tmp_path):
    context = workspace(tmp_path)
    components = (COMPONENT, replace(COMPONENT, name="b"))
    context = replace(context, workspace=machines.workspace(*components, root=context.workspace.root))
    scratch = tmp_path / "scratch"
    file = workspace_dockerfile.file_of(context, scratch, components[1])
    assert file == scratch / "Dockerfile.multiarch"
    assert file.read_text() == workspace_dockerfile.render(context, components[1])
    assert " AS a\n" not in file.read_text()
    assert file.with_name("Dockerfile.multiarch.dockerignore").exists()
    own = tmp_path / "Dockerfile.multiarch"
    own.write_text("FROM scratch AS b\n")
    assert workspace_dockerfile.file_of(context, scratch, components[1]) == own


def test_the_base_image_is_read_through_the_gateway(tmp_path):
    context = workspace(tmp_path)
    session = Session(SimpleNamespace(name=lambda reference: f"127.0.0.1:5/{reference}"))
    context_of_base = {"alpine:3": "docker-image://127.0.0.1:5/alpine:3"}
    assert workspace_dockerfile.base_context(context, session, "alpine:3") == context_of_base
    assert workspace_dockerfile.base_context(context, session, "") == {}
    assert workspace_dockerfile.base_context(context, DIRECT, "alpine:3") == {}
    (tmp_path / "Dockerfile.multiarch").write_text("FROM scratch AS a\n")
    assert workspace_dockerfile.base_context(context, session, "alpine:3") == {}


def test_lint_warns_of_an_own_dockerfile_and_refuses_it_with_strict(tmp_path, capsys):
    context = workspace(tmp_path)
    workspace_dockerfile.lint_before_build(context, (), strict=True)  # no file of its own
    (tmp_path / "Dockerfile.multiarch").write_text("FROM --platform=linux/amd64 scratch AS a\n")
    workspace_dockerfile.lint_before_build(context, (), strict=False)
    warning = capsys.readouterr().err
    assert warning.startswith("warning: Dockerfile.multiarch:1: ")
    assert warning.endswith(" [hardcoded-platform]\n")
    with pytest.raises(Refused) as caught:
        workspace_dockerfile.lint_before_build(context, (), strict=True)
    assert caught.value.message == "Dockerfile.multiarch: 1 error"
    assert caught.value.help == "buildlib lint Dockerfile.multiarch"
