"""Where a workspace is in its repository, and the command that installs buildlib in a job."""

from pathlib import Path

import pytest
from machines import settings

from buildlib.ci import project
from buildlib.ci.project import Project, install_command
from buildlib.core.errors import UsageError
from buildlib.machine.installation import Source
from buildlib.machine.workspace import Component, Workspace

COMPONENT = Component(name="api", package="api", version="1.0.0")


@pytest.fixture
def found(tmp_path):
    """The project of a workspace in this directory of a repository."""
    (tmp_path / "repository" / ".git").mkdir(parents=True)

    def found(folder="", target="target", has_rust=True, components=(COMPONENT,), **flags):
        root = tmp_path / "repository" / folder
        root.mkdir(parents=True, exist_ok=True)
        workspace = Workspace(root=root, target_dir=root / target, components=components, has_rust=has_rust)
        return project.of(workspace, settings(**flags))

    return found


def test_a_workspace_at_the_root(found, tmp_path):
    assert found() == Project(noxfile=False)
    (tmp_path / "repository" / "noxfile.py").touch()
    assert found(has_rust=False) == Project(rust=False)
    assert found(components=()) == Project(binaries=False)
    assert [one.is_divided for one in (found(), found(has_rust=False), found(components=()))] == [True, False, False]
    assert (found().prefix, found().locks) == ("", ("Cargo.lock", "rust-toolchain.toml"))


def test_a_workspace_below_the_root(found, tmp_path):
    (tmp_path / "repository" / "noxfile.py").touch()  # not that of the workspace
    below = found("services/api")
    assert below == Project(
        directory="services/api", build="services/api/target/buildlib", dist="services/api/dist", noxfile=False
    )
    assert below.locks == (
        "services/api/Cargo.lock", "services/api/rust-toolchain.toml", "services/rust-toolchain.toml", "rust-toolchain.toml",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "build", "dist"),
    [
        ({"target": "../../target", "dist": "../out"}, "target/buildlib", "services/out"),
        ({"target": "/elsewhere/target", "dist": "/elsewhere/dist"}, "", ""),
        ({"target": "../../../target", "dist": "../../../dist"}, "", ""),
        ({"target": "a//b/./c", "dist": "x/../y"}, "services/api/a/b/c/buildlib", "services/api/y"),
    ],
)
def test_other_directories(found, flags, build, dist):
    assert found("services/api", **flags) == Project(directory="services/api", build=build, dist=dist, noxfile=False)


@pytest.mark.parametrize("name", ["a b", "my api/v 2", "résumé", "1", "c++", "_-", ".hidden", "a.b"])
def test_names_of_directories_that_are_only_text(found, name):
    assert found(name).directory == name


@pytest.mark.parametrize(
    "name",
    [
        "-x",
        "a'b",
        'a"b',
        "$HOME",
        "${{ x }}",
        "a: b",
        "a #b",
        "@scope",
        "a@DIST@",
        "!x",
        "*",
        "a[b]",
        "a,b",
        "a\nb",
        "b ",
    ],
)
def test_names_that_mean_something_to_a_pipeline_are_errors(found, name):
    with pytest.raises(UsageError) as caught:
        found(name)
    assert (caught.value.message, caught.value.help) == (
        f"{name!r}: a pipeline cannot contain this path",
        "use letters, digits, spaces, '.', '_', '-' and '+' in names of directories",
    )


def test_the_variables_of_images(found):
    image = {"dockerfile": "Dockerfile", "context": ".", "secrets": ["NPM_TOKEN", "id=pip,env=PIP", "id=x,src=file"]}
    assert project.image_secrets(settings(images={"web": image, "api": image})) == ("NPM_TOKEN", "PIP")


# --- the command that installs buildlib in a job ------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The install command of a workspace below a repository, for an installation from this source."""
    root = tmp_path / "repository" / "workspace"
    root.mkdir(parents=True)
    (root.parent / ".git").mkdir()

    def command(**source):
        monkeypatch.setattr(project.installation, "source", lambda: Source(**source))
        return install_command(root)

    return command


def test_a_git_repository_is_installed_at_its_commit(command):
    commit = "5b58b10ff4a0e5ca6f9c2d3e4f5a6b7c8d9e0f1a"
    assert command(repository="git+https://github.com/acme/buildlib", commit=commit) == (
        f"pip install 'cargo-buildlib[host-tools] @ git+https://github.com/acme/buildlib@{commit}'"
    )


@pytest.mark.parametrize(
    ("folder", "editable", "expected"),
    [
        (".", True, "pip install -e '..[host-tools]'"), (".", False, "pip install '..[host-tools]'"),
        ("workspace", True, "pip install -e '.[host-tools]'"), ("workspace/x", True, "pip install -e './x[host-tools]'"),
        ("vendor/build lib", False, "pip install '../vendor/build lib[host-tools]'"),
    ],
)  # fmt: skip
def test_a_directory_in_the_repository_is_installed_by_its_relative_path(command, tmp_path, folder, editable, expected):
    assert command(directory=tmp_path / "repository" / folder, editable=editable) == expected


def test_symbolic_links_to_the_repository_are_followed(command, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "repository")
    assert command(directory=tmp_path / "link", editable=True) == "pip install -e '..[host-tools]'"


def test_a_workspace_outside_a_repository_is_its_own_root(tmp_path, monkeypatch):
    monkeypatch.setattr(project.installation, "source", lambda: Source(directory=tmp_path / "buildlib"))
    assert install_command(tmp_path) == "pip install './buildlib[host-tools]'"
    assert install_command(tmp_path, "cache") == "pip install './buildlib[host-tools,cache]'"


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        ({"directory": Path("/elsewhere/buildlib"), "editable": True}, "/elsewhere/buildlib"),
        ({"url": "https://acme.test/cargo_buildlib-0.1.0-py3-none-any.whl"},
         "https://acme.test/cargo_buildlib-0.1.0-py3-none-any.whl"),
        ({}, "a package index"),
    ],
    ids=str,
)  # fmt: skip
def test_other_sources_require_an_install_command(command, source, origin):
    with pytest.raises(UsageError) as caught:
        command(**source)
    assert (caught.value.message, caught.value.help) == (
        f"this buildlib was installed from {origin}, which a pipeline cannot use",
        "pass the command that installs it in a job: buildlib ci --install 'pip install …'",
    )
