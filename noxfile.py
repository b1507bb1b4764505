"""`nox` is the whole test suite; CI calls the same sessions. They run in the environment that nox is in.

`nox -s test-arm64` and its like are what any workspace gets; `real` runs them, too.
"""

import nox

from buildlib.ci.nox_sessions import sessions

nox.options.default_venv_backend = "none"
sessions(default=())


@nox.session
def lint(session: nox.Session) -> None:
    """Style and static checks, Python and Rust."""
    session.run("ruff", "check", ".")
    session.run("buildlib", "lint")
    session.run("ruff", "format", "--check", ".")
    session.run("cargo", "fmt", "--check", external=True)
    session.run(
        "cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings", external=True
    )


@nox.session
def unit(session: nox.Session) -> None:
    """Seconds: no process is started, no network is touched."""
    session.run("pytest", "tests/unit", *session.posargs)


@nox.session
def real(session: nox.Session) -> None:
    """Minutes: real compilers, real crates, real QEMU, real containers."""
    session.run("cargo", "test", "--workspace", "--locked", external=True)
    session.run("pytest", "tests/real", *session.posargs)
