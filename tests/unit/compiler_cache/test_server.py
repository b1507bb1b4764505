"""The server of a build: started, watched and ended; the build goes on where there is none."""

import os
import subprocess
from dataclasses import replace

import pytest
from machines import Machine, settings

from buildlib.compiler_cache import containers, server
from buildlib.compiler_cache.scripts import CompilerCache
from buildlib.core.plan import Job, Write
from buildlib.core.settings import Retry
from buildlib.machine.workspace import Workspace
from buildlib.process.console import Console
from buildlib.process.context import Context
from buildlib.process.runner import Runner

LISTENS = """\
#!/usr/bin/env python3
import os, signal, socket, sys
if "--show-stats" in sys.argv:
    print(open(os.path.join(os.path.dirname(__file__), "stats")).read())
elif "--stop-server" in sys.argv:
    open(os.path.join(os.path.dirname(__file__), "stopped"), "w").close()
else:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.environ["SCCACHE_SERVER_UDS"])
    signal.pause()
"""
FAILS = "#!/bin/sh\necho 'sccache: error: no such bucket' >&2\necho 'sccache: caused by: x' >&2\nexit 2\n"


class Build:
    """A build with a stand-in for sccache."""

    def __init__(self, folder, program, **flags):
        (folder / "server").write_text(program)
        (folder / "server").chmod(0o755)
        (folder / "stats").write_text('{"stats": {"cache_timeouts": 0}}')
        self.folder, self.said = folder, []
        host = Machine(("bash",), cache=folder)
        self.console = Console({})
        self.console.warn = self.console.note = self.said.append
        config = settings(**{"cache.compiler": "redis://r:1", **flags})
        workspace = Workspace(root=folder, target_dir=folder / "target", components=())
        run = Runner(self.console, {"PATH": "/usr/bin:/bin"}, Retry())
        self.context = Context(config=config, host=host, workspace=workspace, run=run, console=self.console)
        tools = folder / "arm64" / "tools" / "cached"
        tools.mkdir(parents=True)
        self.cache = CompilerCache(
            sccache=folder / "server",
            socket=folder / "sccache" / "1.sock",
            folder=tools,
            trims=(("/w", "/src"),),
        )


@pytest.mark.processes
def test_the_server_listens_during_the_build_and_its_use_is_told(tmp_path):
    build = Build(tmp_path, LISTENS)
    with server.serving(build.context, [build.cache]):
        assert build.cache.socket.is_socket()
        build.cache.log.write_text("rustc\nC\ncompiled\nrustc\n")
    assert (build.said, build.cache.socket.exists(), (tmp_path / "stopped").exists()) == (
        ["arm64: 2 of 3 compilations (66 %) from the compiler cache"], False, True,
    )  # fmt: skip


@pytest.mark.processes
def test_cross_has_a_server_of_its_own_in_a_container(tmp_path):
    build = Build(tmp_path, LISTENS)
    (tmp_path / "docker").write_text(
        '#!/bin/sh\necho "$@" >> "$0.started"\ncase $1 in image) exit 1 ;; run) exec "${0%docker}server" ;; esac\n'
    )
    (tmp_path / "docker").chmod(0o755)
    folder = tmp_path / "riscv64" / "tools" / "cached"
    folder.mkdir(parents=True)
    answer = Job(name="cross", steps=(Write(path=folder / "container-options", text="--rm\0image:1\0"),))
    inside = replace(
        build.cache, socket=tmp_path / "sccache" / "1-riscv64" / "s", folder=folder, engine=str(tmp_path / "docker"), probe=answer
    )  # fmt: skip
    with server.serving(build.context, [inside, None]):
        assert (inside.socket.is_socket(), build.cache.socket.exists()) == (True, False)
        inside.log.write_text("rustc\n")
    assert (build.said, inside.socket.exists(), (tmp_path / "stopped").exists()) == (
        ["no compiler cache: cross has no container engine that sees the files of this machine",
         "riscv64: 1 of 1 compilations (100 %) from the compiler cache"], False, True,
    )  # fmt: skip
    asked, pulled, started, removed = (tmp_path / "docker.started").read_text().splitlines()
    assert (asked, pulled, removed) == (
        "image inspect image:1",
        "pull image:1",
        "rm --force buildlib-sccache-1-riscv64",
    )
    assert started.startswith("run --rm --name buildlib-sccache-1-riscv64 --network host ")
    assert started.endswith(f" image:1 {' '.join(containers.UNTIL_ENDED)} /.buildlib/sccache")


@pytest.mark.processes
def test_without_an_answer_of_cross_there_is_no_server(tmp_path):
    build = Build(tmp_path, LISTENS)
    silent = replace(
        build.cache, engine="docker", probe=Job(name="cross", steps=(Write(path=tmp_path / "asked", text=""),))
    )
    silent.container_options.write_text("--rm\0image:1\0")  # of an earlier build
    with server.serving(build.context, [silent]):
        assert not silent.socket.exists()
    assert build.said == [
        "no compiler cache: redis://r:1: cross started no container when it was asked; compiling without it"
    ]


@pytest.mark.processes
def test_sockets_of_commands_that_were_killed_are_removed(tmp_path):
    build = Build(tmp_path, LISTENS)
    ended = subprocess.Popen(["true"])
    ended.wait()
    folder = build.cache.socket.parent
    folder.mkdir(parents=True)
    others = [folder / f"{name}.sock" for name in (ended.pid, "x", os.getpid())]
    containers_of = [folder / f"{number}-arm64" / "s" for number in (ended.pid, os.getpid())]
    for path in (*others, *containers_of, build.cache.socket):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with pytest.raises(KeyError), server.serving(build.context, [build.cache]):
        assert build.cache.socket.is_socket()
        raise KeyError
    assert set(folder.rglob("*")) == {others[2], containers_of[1].parent, containers_of[1]}


@pytest.mark.processes
def test_a_store_that_fails_later_is_not_used_any_more(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "INTERVAL", 0.01)
    build = Build(tmp_path, LISTENS)
    with server.serving(build.context, [build.cache]):
        (tmp_path / "stats").write_text('{"stats": {"cache_write_errors": 2, "cache_read_errors": 1}}')
        while build.cache.socket.exists():
            pass
    assert build.said == ["no compiler cache any more: redis://r:1 does not answer; compiling without it"]


@pytest.mark.processes
def test_a_server_that_does_not_start_is_a_warning(tmp_path, monkeypatch):
    build = Build(tmp_path, FAILS)
    with server.serving(build.context, [build.cache]):
        assert not build.cache.socket.exists()
    monkeypatch.setattr(server, "START", 0.2)
    (tmp_path / "s").mkdir()
    silent = Build(tmp_path / "s", "#!/bin/sh\nexec sleep 600\n")
    with server.serving(silent.context, [silent.cache]):
        assert not silent.cache.socket.exists()
    assert (build.said, silent.said) == (
        ["no compiler cache: redis://r:1: no such bucket; compiling without it"],
        ["no compiler cache: redis://r:1 gives no answer within 0 s, or refuses the password; compiling without it"],
    )


def test_a_build_that_cannot_use_the_store_says_why(tmp_path):
    build = Build(tmp_path, FAILS, trim_paths=False)
    with server.serving(build.context, [None]):
        pass
    assert build.said == ["no compiler cache: trim_paths is false, so what is compiled is for this directory alone"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ('{"stats": {"cache_timeouts": 2, "cache_read_errors": 1, "cache_write_errors": 4, "cache_hits": 9}}', 11),
        ('{"stats": {}}', 0), ('{"stats": {"cache_timeouts": "x"}}', 0), ('{"stats": 1}', 0), ("[]", 0), ("", 0), ("null", 0),
    ],
)  # fmt: skip
def test_the_requests_that_failed(text, number):
    assert server.failed_requests(text) == number


def test_writes_that_sccache_itself_refuses_are_no_failures_of_the_store():
    text = '{"stats": {"cache_timeouts": 0, "cache_read_errors": 1, "cache_write_errors": 400}}'
    assert server.failed_requests(text, read_only=True) == 1
