"""The tokens of a jobserver: own ones, and those of a make that buildlib was started by."""

import os
import threading

import pytest

from buildlib.core.errors import Interrupted
from buildlib.core.stopping import Stop
from buildlib.process import jobserver

NEVER = Stop()


def pending(server):
    """How many tokens are in the pipe."""
    tokens = b""
    while True:
        try:
            tokens += os.read(server.read, 100)
        except BlockingIOError:
            break
    os.write(server.write, tokens)
    return len(tokens)


@pytest.fixture
def pipe():
    ends = os.pipe()
    for end in ends:
        os.set_inheritable(end, True)
    yield ends
    for end in ends:
        os.close(end)


def test_an_own_jobserver_has_one_token_less_than_jobs():
    with jobserver.opened({}, 3) as server:
        read, write = server.descriptors
        assert server.variables == {
            "CARGO_MAKEFLAGS": f"-j --jobserver-fds={read},{write} --jobserver-auth={read},{write}", "CARGO_BUILD_JOBS": "3",
        }  # fmt: skip
        with server.token(NEVER):
            assert pending(server) == 2  # the first holder has the token of this process
            with server.token(NEVER), server.token(NEVER):
                assert pending(server) == 0
            assert pending(server) == 2
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read)


def test_never_more_hold_a_token_than_there_are_jobs():
    running, most, lock = 0, 0, threading.Lock()
    with jobserver.opened({}, 2) as server:

        def work():
            nonlocal running, most
            with server.token(NEVER):
                with lock:
                    running += 1
                    most = max(most, running)
                threading.Event().wait(0.01)
                with lock:
                    running -= 1

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (running, most, pending(server), server.spare) == (0, 2, 1, True)


def test_tokens_that_a_killed_child_has_kept_are_waited_for_no_longer_than_the_others_run():
    with jobserver.opened({}, 2) as server:
        os.read(server.read, 1)
        for _ in range(2):
            with server.token(NEVER):
                assert (pending(server), server.spare) == (0, False)
        assert (pending(server), server.spare) == (0, True)


def test_whoever_waits_ends_with_the_command():
    stopped = Stop()
    with jobserver.opened({}, 1) as server, server.token(stopped):
        stopped.set()
        with pytest.raises(Interrupted), server.token(stopped):
            pass


@pytest.mark.parametrize(
    "flags",
    [
        "-j3 --jobserver-auth={},{}",
        " -kj3 --jobserver-fds={},{} -- A=1",
        "--jobserver-auth=98,99 --jobserver-auth={},{}",
    ],
)
@pytest.mark.parametrize("name", ["MAKEFLAGS", "CARGO_MAKEFLAGS"])
def test_the_jobserver_of_a_make_is_joined(pipe, flags, name):
    read, write = pipe
    os.write(write, b"+-")
    env = {name: flags.format(read, write)}
    assert jobserver.inherited_descriptors(env) == pipe
    with jobserver.opened(env, 8) as server:
        assert (server.descriptors, server.variables) == (pipe, {})
        with server.token(NEVER), server.token(NEVER), server.token(NEVER):
            assert pending(server) == 0
    assert sorted(os.read(read, 9)) == sorted(b"+-")  # make gets back the tokens that it gave


def test_a_pipe_that_another_user_has_opened_is_joined(pipe, monkeypatch):
    """The kernel refuses to open it once more; what was inherited can be used."""
    read, write = pipe
    os.write(write, b"+")

    def refused(path, flags):
        raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        with jobserver.opened({"MAKEFLAGS": f"-j2 --jobserver-auth={read},{write}"}, 8) as server:
            with server.token(NEVER), server.token(NEVER):
                assert (server.spare, server.descriptors) == (False, pipe)
            assert server.read not in pipe
    assert os.read(read, 9) == b"+"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(server.read)


def test_the_fifo_of_a_make_is_joined(tmp_path):
    fifo = tmp_path / "jobs"
    os.mkfifo(fifo)
    handle = os.open(fifo, os.O_RDWR)
    os.write(handle, b"+")
    env = {"MAKEFLAGS": f" -j2 --jobserver-auth=fifo:{fifo}"}
    assert jobserver.inherited_descriptors(env) == ()
    with jobserver.opened(env, 8) as server:
        assert (server.descriptors, server.variables) == ((), {})
        with server.token(NEVER), server.token(NEVER):
            assert pending(server) == 0
        assert pending(server) == 1
    os.close(handle)


def test_a_pipe_of_this_process_is_no_jobserver():
    ends = os.pipe()
    assert jobserver.inherited_descriptors({"MAKEFLAGS": "--jobserver-auth={},{}".format(*ends)}) == ()
    for end in ends:
        os.close(end)


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "-j4",
        "--jobserver-auth=997,998",
        "--jobserver-auth=0,1,",
        "--jobserver-auth=fifo:/nonexistent/x",
        "--jobserver-auth=-2,-2",
    ],
)
def test_a_jobserver_that_is_not_there_is_replaced(flags, tmp_path):
    """make names it to all commands, and gives it to those alone that it takes for a make."""
    with open(tmp_path / "file", "w") as file:
        env = {"MAKEFLAGS": flags.replace("0,1,", f"{file.fileno()},{file.fileno()}")}
        assert jobserver.inherited_descriptors(env) == ()
        with jobserver.opened(env, 2) as server:
            assert server.variables["CARGO_BUILD_JOBS"] == "2" and pending(server) == 1
