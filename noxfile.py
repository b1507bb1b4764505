"""`nox` is the whole test suite; CI calls the same sessions. They run in the environment that nox is in.

The sessions test-<arch>, smoke-<arch> and bench-<arch> are those that every workspace gets from `buildlib.sessions`.
"""

import nox

from buildlib.sessions import sessions

nox.options.default_venv_backend = "none"
sessions(default=())


@nox.session
def lint(session: nox.Session) -> None:
    """Style and static checks, Python and Rust."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("buildlib", "lint")
    session.run("cargo", "fmt", "--check", external=True)
    session.run(
        "cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings", external=True
    )


@nox.session
def unit(session: nox.Session) -> None:
    """Seconds: without network; the few tests that start processes have the marker `processes`."""
    session.run("pytest", "tests/unit", "--numprocesses", "auto", *session.posargs)


@nox.session
def real(session: nox.Session) -> None:
    """Real tools, in about 45 minutes on two cores with empty caches; part of every CI run.

    cargo, zig, GCC, QEMU, Docker with buildx and BuildKit, and a registry: `cargo test` of the workspace, builds and tests for the
    common architectures, images for four platforms, and every failure that is caused for real. Every kind of test has an example
    here: a published project (hexyl for two targets), std from source for one target, the backend `cross`, pushes through a faulty
    network.
    """
    session.run("cargo", "test", "--workspace", "--locked", external=True)
    session.run("pytest", "tests/real", "-m", "not extended", *session.posargs)


@nox.session(default=False)
def extended(session: nox.Session) -> None:
    """The real tests that take too long for every CI run, about an hour on two cores with empty caches.

    Published projects for all their architectures (ripgrep, xh), std for every architecture, the workspace's own tests under QEMU, a
    binary that hangs in a container until the time limit, more seeds of faults, with buildx alone for comparison, the steps of
    GitLab's pipeline, a compiler cache that fails during a build, and the published cosign, which takes ten minutes to compile.
    """
    session.run("pytest", "tests/real", "-m", "extended", *session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Write docs/settings.md and docs/schemas/ from the declarations; a unit test fails while they are out of date."""
    session.run("python", "-m", "buildlib.report.schemas")
