"""How cross's container gets the cache's files, with a stand-in for the engine."""

import os
import socket
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


def test_the_cache_of_a_container_has_a_directory_for_each_target_and_no_paths():
    host = Machine(("bash", "sccache", "docker", "podman"))
    cache = cross_cache(host, Path("/ws/target/arm64/tools"))
    assert cache == CompilerCache(
        sccache=Path(host.which("sccache")), socket=host.cache / "sccache" / f"{os.getpid()}-arm64" / "s",
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
        (("docker",), {"CROSS_REMOTE": "0", "CROSS_DOCKER_IN_DOCKER": "false"}, "docker"),
        (("docker",), {"CROSS_CONTAINER_IN_CONTAINER": "true"}, None),
        (("docker",), {"CROSS_DOCKER_IN_DOCKER": "true"}, None),
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
    (tmp_path / "1-arm64").mkdir()
    return CompilerCache(
        sccache=tmp_path / "sccache", socket=tmp_path / "1-arm64" / "s", folder=tmp_path / "a b" / "cached", trims=(),
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


def mounts(cache):
    tools, sockets = cache.folder.parent, cache.socket.parent
    folders = ("--volume", f"{tools}:{tools}:z", "--volume", f"{sockets}:{sockets}:z")
    return (*folders, "--volume", f"{cache.sccache}:/.buildlib/sccache:ro")


@pytest.mark.processes
def test_the_options_are_recorded_and_the_same_container_gets_the_files(cache):
    program = containers.variables(cache, script(cache), TARGETS["arm64"])["CROSS_CONTAINER_ENGINE"]
    command = "echo built, RUSTC=$RUSTC"
    started = ("run", "--rm", "-e", "X=1", "-v", "/a b:/b", "image:1", "sh", "-c", command)

    def engine(*argv, **variables):
        env = {"PATH": os.environ["PATH"], **cache.environment, **variables}
        done = subprocess.run((program, *argv), env=env, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    assert engine("ps", "-a") == ["engine: ps -a"]
    assert engine(*started, **{containers.ASKS: "1"}) == []
    assert cache.container_options.read_text() == "--rm\0-v\0/a b:/b\0image:1\0"
    assert engine(*started) == [*started, "built, RUSTC="]  # there is no server
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(cache.socket))
        assert engine(*started) == [
            "run", *mounts(cache), *(word for name in cache.environment for word in ("--env", name)), *started[1:-1],
            '[ ! -r "$0" ] || . "$0"; eval "$1"', f"{cache.folder}/container", command,
            f"built, RUSTC={cache.folder.parent}/inside/rustc",
        ]  # fmt: skip
        assert engine(*started[:3], "Y", *started[4:])[-1] == f"built, RUSTC={cache.folder.parent}/inside/rustc"
        other = (*started[:5], "/c:/b", *started[6:])
        assert engine(*other) == [*other, "built, RUSTC="]  # the server's container would not be like it


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ("--rm -e X", "--rm -e X"),
        ("-i -t --rm", "--rm"),
        ("-it --name x --name=y --rm --network n --network=n --net n -p 1:1 --cidfile f", "--rm"),
        ("-v /a:/b --user 0:0 --env-file f", "-v /a:/b --user 0:0 --env-file f"),
    ],
)
def test_the_server_runs_in_a_container_like_that_with_the_store(cache, options, kept):
    env = {"SCCACHE_DIR": "/store", "SCCACHE_REDIS_PASSWORD": "p", "https_proxy": "http://p:1", "HOME": "/h"}
    text = "\0".join((*options.split(), "image:1", ""))
    assert containers.server(cache, text, env) == (
        cache.engine, "run", *kept.split(), "--name", "buildlib-sccache-1-arm64", "--network", "host", *mounts(cache),
        "--volume", "/store:/store:z", "--env", "SCCACHE_DIR", "--env", "SCCACHE_REDIS_PASSWORD", "--env", "https_proxy",
        "image:1", *containers.UNTIL_ENDED, "/.buildlib/sccache",
    )  # fmt: skip
    inspect, pull = containers.image(cache, text)
    assert (inspect.argv, pull.argv) == (
        (cache.engine, "image", "inspect", "image:1"),
        (cache.engine, "pull", "image:1"),
    )
    assert containers.remove(cache).argv == (cache.engine, "rm", "--force", "buildlib-sccache-1-arm64")


def test_cross_is_asked_as_for_a_build():
    job = containers.probe(("cross", "build"), {"PATH": "/bin"}, (), Path("/ws"))
    (step,) = job.steps
    assert (step.argv, step.env, step.cwd, step.quiet) == (
        ("cross", "build"), {"PATH": "/bin", containers.ASKS: "1"}, Path("/ws"), True,
    )  # fmt: skip
