import pytest

import buildlib.sessions
from buildlib.ci import nox_sessions

MANIFEST = '[package]\nname = "x"\n[package.metadata.buildlib]\narches = ["amd64", "linux/arm64", "riscv64-musl"]\n'


@pytest.fixture
def define(tmp_path, monkeypatch):
    """Define the sessions of a workspace; returns each session's function with nox's options."""
    defined = []

    def session(**options):
        return lambda body: defined.append((body, options))

    monkeypatch.setattr(nox_sessions.nox, "session", session)
    monkeypatch.setattr(nox_sessions.platform, "machine", lambda: "x86_64")
    monkeypatch.chdir(tmp_path)

    def define(manifest=MANIFEST, **more):
        (tmp_path / "Cargo.toml").write_text(manifest)
        nox_sessions.sessions(**more)
        return defined

    return define


def test_each_configured_arch_has_a_session_of_each_kind(define):
    assert [options for _, options in define()] == [
        {"name": f"{kind}-{name}", "venv_backend": "none", "tags": [kind, name, machine], "default": kind == "test"}
        for kind in ("test", "smoke", "bench")
        for name, machine in (("amd64", "native"), ("arm64", "emulated"), ("riscv64-musl", "emulated"))
    ]
    assert define()[0][0].__doc__ == "The tests of the workspace on amd64."
    assert not any(options["default"] for _, options in define(default=())[-9:])


@pytest.mark.parametrize(
    ("number", "posargs", "words"),
    [
        (1, [], ("test", "--arch", "arm64")),
        (1, ["-p", "a", "--", "x y"], ("test", "--arch", "arm64", "--", "-p", "a", "--", "x y")),
        (4, ["--tag", "1.0"], ("smoke", "--arch", "arm64", "--tag", "1.0")),
        (7, ["crc"], ("bench", "--arch", "arm64", "--", "crc")),
    ],
)
def test_a_session_runs_one_command(define, number, posargs, words):
    class Session:
        def __init__(self):
            self.posargs = posargs

        def run(self, *argv, **options):
            self.argv, self.options = argv, options

    session = Session()
    define()[number][0](session)
    assert session.argv == (nox_sessions.sys.executable, "-m", "buildlib", *words)
    assert session.options == {"external": True}


def test_a_wrong_setting_is_one_message_and_an_exit_code(define, capsys):
    with pytest.raises(SystemExit) as caught:
        define(MANIFEST.replace("linux/arm64", "arm65"))
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "error: Cargo.toml [package.metadata.buildlib]: arches: unknown architecture 'arm65'\n"
        "  help: did you mean arm64?\n"
    )


def test_a_wrong_variable_is_one_message_and_an_exit_code(define, capsys, monkeypatch):
    monkeypatch.setenv("BUILDLIB_PROFIL", "release")
    with pytest.raises(SystemExit) as caught:
        define()
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "error: environment: unknown setting 'BUILDLIB_PROFIL'\n  help: did you mean 'BUILDLIB_PROFILE'?\n"
    )


def test_without_an_architecture_nox_does_not_succeed(define, capsys, monkeypatch):
    monkeypatch.setenv("BUILDLIB_ARCHES", "")
    with pytest.raises(SystemExit) as caught:
        define()
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: no architecture is selected\n")


def test_a_directory_without_a_workspace_is_one_message_and_an_exit_code(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        nox_sessions.sessions()
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(
        f"error: neither Cargo.toml nor buildlib.toml in {tmp_path} or above it\n  help: "
    )


def test_the_public_import_path():
    assert buildlib.sessions.sessions is nox_sessions.sessions
