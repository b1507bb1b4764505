import json
from pathlib import Path

import pytest
from machines import Machine

from buildlib.core.errors import MissingRequirements, UsageError
from buildlib.core.plan import Outcome
from buildlib.process import context
from buildlib.process.console import Console
from buildlib.process.context import open_context
from buildlib.process.runner import DryRunner, Runner


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A workspace with the binary `app`, as cargo describes it; no process is started."""
    monkeypatch.setattr(context, "probe", lambda env, cwd: Machine(env=env, cwd=cwd))
    (tmp_path / "Cargo.toml").write_text("[package]\nname = 'app'\n")
    package = {
        "id": "a", "name": "app", "version": "1.0.0", "manifest_path": str(tmp_path / "Cargo.toml"),
        "targets": [{"name": "app", "kind": ["bin"]}, {"name": "app-lib", "kind": ["lib"]}],
    }  # fmt: skip
    answer = json.dumps({
        "workspace_root": str(tmp_path), "target_directory": str(tmp_path / "target"), "workspace_members": ["a"],
        "packages": [package],
    })  # fmt: skip
    steps = []

    def run(_, step):
        steps.append(step)
        return Outcome(step=step, code=0, seconds=0.0, stdout=answer)

    monkeypatch.setattr(Runner, "__call__", run)
    return tmp_path


def opened(folder, flags=(), **more):
    return open_context({"CARGO": "/cargo"}, folder, dict(flags), Console({}), **more)


def test_a_context_has_the_workspace_of_the_directory(workspace):
    (workspace / "src").mkdir()
    result = opened(workspace / "src", {"target_dir": "out", "glibc": ""}, command="build")
    assert [component.name for component in result.workspace.components] == ["app"]
    assert (result.workspace.root, result.workspace.target_dir) == (workspace, workspace / "out")
    assert result.history.path == workspace / "out" / "buildlib" / "journal.jsonl"
    assert (type(result.run), result.run.record) == (Runner, workspace / ".build-failures.log")
    assert (result.dist, result.reports) == (workspace / "dist", workspace / "out" / "buildlib" / "reports")
    write = result.report("test-arm64", {"ä": 1})
    assert (write.path, write.text) == (result.reports / "test-arm64.json", '{\n  "ä": 1\n}\n')


def test_the_history_has_the_command_line_without_secrets(workspace):
    command = "image --build-arg 'DB_PASS=a b' --registry-token abc --dist '/x y' --note s3cr3t-value"
    result = open_context(
        {"CARGO": "/cargo", "NPM_TOKEN": "s3cr3t-value", "PWD": "/x"}, workspace, {}, Console({}), command=command
    )
    assert result.history.run["command"] == (
        "image --build-arg DB_PASS=*** --registry-token *** --dist '/x y' --note ***"
    )


def test_the_key_and_its_password_are_passed_to_no_program(workspace):
    env = {"CARGO": "/cargo", "COSIGN_PASSWORD": "a", "SIGNING_KEY": "b", "OTHER": "c"}
    found = open_context(env, workspace, {"signing": {"key": "env://SIGNING_KEY"}}, Console({}))
    assert (found.run.env, found.host.env) == ({"CARGO": "/cargo", "OTHER": "c"}, env)
    assert open_context(env, workspace, {}, Console({})).run.env == {
        name: env[name] for name in env if name != "COSIGN_PASSWORD"
    }


def test_a_dry_run_writes_no_history(workspace):
    result = opened(workspace, dry=True)
    assert (type(result.run), result.history.path) == (DryRunner, None)


@pytest.mark.parametrize("scope", ["workspace", "project", "anywhere"])
def test_a_component_without_a_binary_is_an_error_of_every_command(workspace, scope):
    (workspace / "buildlib.toml").write_text("[components.ap]\nports = [80]\n")
    with pytest.raises(UsageError) as caught:
        opened(workspace, scope=scope)
    assert (caught.value.message, caught.value.help) == (
        "buildlib.toml: components has no 'ap': no binary has that name", "did you mean 'app'?",
    )  # fmt: skip
    (workspace / "buildlib.toml").write_text("[components.app]\nports = [80]\n")
    assert opened(workspace, scope=scope).config.components["app"].ports == (80,)


@pytest.mark.parametrize("scope", ["project", "anywhere"])
def test_a_project_without_rust_has_its_settings_alone(tmp_path, scope, monkeypatch):
    monkeypatch.setattr(context, "probe", lambda env, cwd: Machine(env=env, cwd=cwd))
    (tmp_path / "buildlib.toml").write_text('[images.a]\ndockerfile = "Dockerfile"\ncontext = "."\n')
    (tmp_path / "b").mkdir()
    result = opened(tmp_path / "b", scope=scope)
    assert (result.workspace.root, result.workspace.components, [*result.config.images]) == (tmp_path, (), ["a"])
    assert not result.workspace.has_rust
    with pytest.raises(UsageError, match=r"no Cargo\.toml in"):
        opened(tmp_path)


def test_outside_of_a_project_only_some_commands_work(tmp_path, monkeypatch):
    monkeypatch.setattr(context, "probe", lambda env, cwd: Machine(env=env, cwd=cwd))
    assert opened(tmp_path, scope="anywhere").workspace.root == tmp_path
    with pytest.raises(UsageError, match=r"neither Cargo\.toml nor buildlib\.toml in"):
        opened(tmp_path, scope="project")


def test_an_image_with_the_name_of_a_binary_is_an_error(workspace):
    (workspace / "buildlib.toml").write_text('[images.app]\ndockerfile = "Dockerfile"\ncontext = "."\n')
    with pytest.raises(UsageError) as caught:
        opened(workspace)
    assert (caught.value.message, caught.value.help) == (
        "buildlib.toml: images.app has the name of a binary of the workspace", "give it another name",
    )  # fmt: skip


def test_without_cargo_a_requirement_is_missing(workspace):
    with pytest.raises(MissingRequirements, match="no cargo on PATH"):
        open_context({"PATH": ""}, workspace, {}, Console({}))


def test_a_pin_that_is_not_installed_does_not_prevent_the_answer(workspace, monkeypatch):
    answers = [(1, "error: toolchain '1.80' is not installed"), (0, "{}")]
    toolchains = []

    def run(_, step):
        toolchains.append(step.env.get("RUSTUP_TOOLCHAIN"))
        code, text = answers[len(toolchains) - 1]
        return Outcome(step=step, code=code, seconds=0.0, stdout=text, output=text)

    monkeypatch.setattr(Runner, "__call__", run)
    runner = Runner(Console({}), {}, context.layers.resolve().retry)
    assert (context._metadata(runner, Path("/cargo"), workspace), toolchains) == ("{}", [None, "stable"])


@pytest.mark.parametrize(
    ("output", "kind", "message", "help_text"),
    [
        ("error: bad table\n --> Cargo.toml:1\n", UsageError, "bad table\n --> Cargo.toml:1", "fix Cargo.toml"),
        ("error: path contains invalid UTF-8\n", UsageError, "path contains invalid UTF-8", ""),
        ("", UsageError, "`/cargo metadata` exited with code 1 and no output", ""),
        (
            "error: rustup could not choose a version\nhelp: run rustup\n\nStack backtrace:\n 0: main\n", MissingRequirements,
            "rustup could not choose a version\nhelp: run rustup",
            "install a toolchain with rustup, or set CARGO to another cargo",
        ),
        (
            "error: could not create home directory: '/proc/.rustup'\n\nCaused by:\n    No such file or directory (os error 2)\n",
            MissingRequirements,
            "could not create home directory: '/proc/.rustup'\n\nCaused by:\n    No such file or directory (os error 2)",
            "check HOME, CARGO_HOME, RUSTUP_HOME and CARGO_TARGET_DIR: the directory cannot be created",
        ),
    ],
)  # fmt: skip
def test_a_failed_cargo_is_reported_in_its_own_words(output, kind, message, help_text, tmp_path):
    def query(step):
        return Outcome(step=step, code=1, seconds=0.0, output=output)

    with pytest.raises(kind) as caught:
        context._metadata(query, Path("/cargo"), tmp_path)
    assert (caught.value.message, caught.value.help) == (message, help_text)


@pytest.mark.parametrize(
    "answer", ["", "{", "[]", "{}", "5", '{"workspace_members": 5}', '{"workspace_members": ["a"], "packages": 1}']
)
def test_a_program_that_is_not_cargo(answer, workspace, monkeypatch):
    monkeypatch.setattr(Runner, "__call__", lambda _, step: Outcome(step=step, code=0, seconds=0.0, stdout=answer))
    with pytest.raises(MissingRequirements) as caught:
        opened(workspace)
    assert caught.value.message == "/cargo is not cargo: `metadata` prints no workspace"


def test_no_architecture_at_all_is_an_error(workspace):
    (workspace / "buildlib.toml").write_text("arches = []")
    for words, default in (((), "all"), (("",), "native"), ((",",), "all")):
        with pytest.raises(UsageError, match="no architecture is selected"):
            opened(workspace).targets(words, default)
    assert opened(workspace).targets((), "native")
