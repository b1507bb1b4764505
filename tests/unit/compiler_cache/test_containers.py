"""How cross's container gets the cache's files, with a stand-in for the engine."""

import os
import subprocess
from pathlib import Path

import pytest
from machines import Machine, settings

from buildlib.compiler_cache import containers
from buildlib.compiler_cache.scripts import CompilerCache
from buildlib.compiler_cache.store import compiler_cache
from buildlib.core.targets import TARGETS

ENGINE = """\
#!/bin/sh
[ "$1" = run ] || { echo "engine: $*"; exit; }
printf '%s\\n' "$@"
while [ "$1" != sh ]; do shift; done
exec "$@"
"""
STORE = {"cache.compiler": "redis://r:1"}


def cross_cache(host, tools):
    return compiler_cache(host, settings(**STORE).cache, Path("/ws"), tools, (), container=True)


def test_the_cache_of_a_container_has_a_socket_for_each_target_and_no_paths():
    host = Machine(("bash", "sccache", "docker", "podman"))
    cache = cross_cache(host, Path("/ws/target/arm64/tools"))
    assert cache == CompilerCache(
        sccache=Path(host.which("sccache")), socket=host.cache / "sccache" / f"{os.getpid()}-arm64.sock",
        folder=Path("/ws/target/arm64/tools/cached"), trims=(), engine=host.which("docker"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("programs", "env", "expected"),
    [
        (("docker", "podman"), {}, "docker"),
        (("podman",), {}, "podman"),
        (("docker", "podman"), {"CROSS_CONTAINER_ENGINE": "podman"}, "podman"),
        (("docker",), {"CROSS_CONTAINER_ENGINE": "podman"}, None),
        (("docker",), {"CROSS_REMOTE": "1"}, None),
        (("docker",), {"CROSS_CONTAINER_IN_CONTAINER": "true"}, None),
        ((), {}, None),
    ],
)
def test_it_is_the_engine_that_cross_chooses(programs, env, expected):
    host = Machine(("bash", "sccache", *programs), env=env)
    cache = cross_cache(host, Path("/ws/target/arm64/tools"))
    assert (cache and Path(cache.engine).name) == expected


@pytest.fixture
def cache(tmp_path):
    (tmp_path / "docker").write_text(ENGINE)
    (tmp_path / "docker").chmod(0o755)
    return CompilerCache(
        sccache=tmp_path / "sccache", socket=tmp_path / "s" / "1-arm64.sock", folder=tmp_path / "a b" / "cached", trims=(),
        engine=str(tmp_path / "docker"),
    )  # fmt: skip


def script(cache):
    def write(name, text):
        path = cache.folder.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    return write


@pytest.mark.processes
def test_the_container_is_written_down_when_asked_and_gets_the_files_otherwise(cache, tmp_path):
    env = containers.variables(cache, script(cache), TARGETS["arm64"])
    program = env["CROSS_CONTAINER_ENGINE"]
    started = (program, "run", "--rm", "-e", "X=a b", "image:1", "sh", "-c", "echo built, RUSTC=$RUSTC")

    def engine(*argv, **variables):
        return subprocess.run(
            argv, env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True, check=True
        ).stdout

    assert engine(program, "ps", "-a") == "engine: ps -a\n"
    assert engine(*started, **{containers.ASKS: "1"}) == ""
    assert cache.container.read_text() == "--rm\0-e\0X=a b\0image:1\0"
    *words, said = engine(*started).splitlines()
    tools, sockets, sccache = cache.folder.parent, tmp_path / "s", cache.sccache
    assert words == [
        "run", "--volume", f"{tools}:{tools}:z", "--volume", f"{sockets}:{sockets}:z", "--volume", f"{sccache}:{sccache}:ro",
        *(word for name in cache.environment for word in ("--env", name)),
        "--rm", "-e", "X=a b", "image:1", "sh", "-c", '. "$0"; eval "$1"', f"{cache.folder}/container",
        "echo built, RUSTC=$RUSTC",
    ]  # fmt: skip
    assert said == "built, RUSTC="  # without a server nothing is in rustc's place


def test_the_server_runs_in_a_container_like_that_with_the_store(cache, tmp_path):
    env = {"SCCACHE_DIR": "/store", "SCCACHE_REDIS_PASSWORD": "p", "https_proxy": "http://p:1", "HOME": "/h"}
    tools, sockets, sccache = cache.folder.parent, tmp_path / "s", cache.sccache
    assert containers.server(cache, "--rm\0-e\0X=a b\0-i\0-t\0image:1\0", env) == (
        cache.engine, "run", "--init", "--network", "host", "--volume", f"{tools}:{tools}:z", "--volume", f"{sockets}:{sockets}:z",
        "--volume", f"{sccache}:{sccache}:ro", "--volume", "/store:/store:z", "--env", "SCCACHE_DIR",
        "--env", "SCCACHE_REDIS_PASSWORD", "--env", "https_proxy", "--rm", "-e", "X=a b", "image:1", str(sccache),
    )  # fmt: skip
    asks, pull = containers.image(cache, "--rm\0-e\0X=a b\0image:1\0")
    assert (asks.argv, pull.argv) == ((cache.engine, "image", "inspect", "image:1"), (cache.engine, "pull", "image:1"))


def test_cross_is_asked_as_for_a_build():
    job = containers.question(("cross", "build"), {"PATH": "/bin"}, (), Path("/ws"))
    (step,) = job.steps
    assert (step.argv, step.env, step.cwd, step.quiet) == (
        ("cross", "build"), {"PATH": "/bin", containers.ASKS: "1"}, Path("/ws"), True,
    )  # fmt: skip
