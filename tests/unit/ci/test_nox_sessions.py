import pytest

from buildlib.ci import nox_sessions as room

MANIFEST = '[package]\nname = "x"\n[package.metadata.buildlib]\narches = ["amd64", "linux/arm64", "riscv64-musl"]\n'


@pytest.fixture
def defined(tmp_path, monkeypatch):
    """The sessions of a workspace, and what one of them runs."""
    found = []

    def session(body, **facts):
        found.append((body, facts))

    monkeypatch.setattr(room.nox, "session", session)
    monkeypatch.setattr(room.platform, "machine", lambda: "x86_64")
    monkeypatch.chdir(tmp_path)

    def defined(manifest=MANIFEST, **more):
        (tmp_path / "Cargo.toml").write_text(manifest)
        room.sessions(**more)
        return found

    return defined


def test_a_session_for_each_configured_arch(defined):
    assert [facts for _, facts in defined()] == [
        {"name": f"{work}-{name}", "venv_backend": "none", "tags": [work, name, where], "default": work == "test"}
        for work in ("test", "smoke", "bench")
        for name, where in (("amd64", "native"), ("arm64", "emulated"), ("riscv64-musl", "emulated"))
    ]
    assert defined()[0][0].__doc__ == "The workspace's tests on amd64."
    assert not any(facts["default"] for _, facts in defined(default=())[-9:])


@pytest.mark.parametrize(("posargs", "rest"), [([], ()), (["-p", "a", "--", "x y"], ("--", "-p", "a", "--", "x y"))])
def test_a_session_is_one_command(defined, posargs, rest):
    class Session:
        def __init__(self):
            self.posargs = posargs

        def run(self, *argv, **facts):
            self.argv, self.facts = argv, facts

    session = Session()
    defined()[1][0](session)
    assert session.argv == (room.sys.executable, "-m", "buildlib", "test", "--arch", "arm64", *rest)
    assert session.facts == {"external": True}


def test_a_wrong_word_is_said_once(defined, capsys):
    with pytest.raises(SystemExit) as caught:
        defined(MANIFEST.replace("linux/arm64", "arm65"))
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said == (
        "error: Cargo.toml [package.metadata.buildlib]: no architecture is called 'arm65'\n  help: did you mean arm64?\n"
    )
