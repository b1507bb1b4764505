"""sccache's server for one build: it has the store of the settings and the password, and no other program gets them.

It is started before the first compilation and ended after the last one. If it does not start, which is when its store does not answer,
or if its store fails later, the build goes on without: the scripts compile by themselves where there is no socket.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from buildlib.compiler_cache import containers
from buildlib.compiler_cache.scripts import SOCKET, CompilerCache, use
from buildlib.compiler_cache.store import problem, server_environment
from buildlib.core.errors import Interrupted
from buildlib.core.plan import Step
from buildlib.core.repeated import repeated
from buildlib.process.background import background
from buildlib.process.context import Context
from buildlib.process.files import read_text

START = 5.0  # seconds that a store has to answer
START_CONTAINER = 15.0  # with the creation of a container, which takes seconds on a busy machine
IDLE = "1800"  # seconds until a server ends by itself whose build was killed; a link may take long
INTERVAL = 5.0  # seconds between two looks at the server's numbers
# So many requests that the store refused, or one without any answer, for which sccache waits 60 seconds, and the build goes on
# without it.
LIMIT = 3


@contextmanager
def serving(context: Context, of_targets: Iterable[CompilerCache | None]) -> Iterator[None]:
    """Let the compilations meanwhile use the cache of the settings, if they name one and it answers; else a warning says why not.

    At the end a line for each target says how much of it came from the cache.
    """
    settings, root, found = context.config.cache, context.workspace.root, list(of_targets)
    caches = [one for one in found if one]
    why = problem(context.host, settings, root, trim=context.config.trim_paths)
    if settings.compiler and not why and None in found:
        why = "cross has no container engine that sees the files of this machine"
    if why:
        context.console.warn(f"no compiler cache: {why}")
    if not caches or context.run.dry:
        yield
        return
    with ExitStack() as stack:
        local = [one for one in caches if not one.engine]
        for group in ([local] if local else []) + [[one] for one in caches if one.engine]:
            stack.enter_context(_serving(context, group))
        yield
    for cache in caches:
        made = use(read_text(cache.log))
        if number := made["compilations"]:
            share = f"{made['hits']} of {number} compilations ({100 * made['hits'] // number} %)"
            context.console.note(f"{cache.arch}: {share} from the compiler cache")


@contextmanager
def _serving(context: Context, caches: list[CompilerCache]) -> Iterator[None]:
    """One server for all targets of this machine's compilers, or for one in a container."""
    with _started(context, caches) as (sccache, socket):
        if socket:
            with _watched(context, sccache, socket):
                yield
            context.run(_question(sccache, socket, "--stop-server"))  # which waits until everything is stored
        else:
            yield


@contextmanager
def _started(context: Context, caches: list[CompilerCache]) -> Iterator[tuple[Path, Path | None]]:
    """sccache, and the socket on which its server listens until the end; None if it does not start."""
    settings, one, socket = context.config.cache, caches[0], caches[0].socket
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_stale(context.host.cache / "sccache", socket)
    own = {"SCCACHE_START_SERVER": "1", "SCCACHE_NO_DAEMON": "1", "SCCACHE_IDLE_TIMEOUT": IDLE, SOCKET: str(socket)}
    env = server_environment(settings, context.workspace.root, caches, context.host.env) | own
    with ExitStack() as stack:
        stack.callback(_clean, context, one)
        failure: str | None = None
        if one.engine:  # without a container it is known sooner that the store does not answer
            with background((str(one.sccache),), env, until=socket.is_socket, seconds=START) as failure:
                pass
            socket.unlink(missing_ok=True)
        argv = _command(context, one, env) if failure is None else ()
        if argv:
            limit = START_CONTAINER if one.engine else START
            failure = stack.enter_context(background(argv, env, until=socket.is_socket, seconds=limit))
        elif failure is None:
            failure = "cross started no container when it was asked"
        if failure is not None:
            context.console.warn(f"no compiler cache: {_cause(failure, settings.compiler)}; compiling without it")
        yield one.sccache, socket if failure is None else None


def _clean(context: Context, cache: CompilerCache) -> None:
    """Remove what a server leaves."""
    cache.socket.unlink(missing_ok=True)
    if cache.engine:
        context.run.clean_up(containers.remove(cache))
        with suppress(OSError):
            cache.socket.parent.rmdir()


def _command(context: Context, cache: CompilerCache, env: Mapping[str, str]) -> tuple[str, ...]:
    """The command line of the server, for cross in a container; nothing if cross has not recorded how it starts one."""
    if not cache.probe:
        return (str(cache.sccache),)
    cache.container_options.unlink(missing_ok=True)  # those of an earlier build
    context.run.job(cache.probe)
    if not (options := read_text(cache.container_options)):
        return ()
    inspect, pull = containers.image(cache, options)
    if not context.run(inspect):
        context.run(pull)  # it takes longer than a server may
    if store := env.get("SCCACHE_DIR"):
        with suppress(OSError):  # the server says what is wrong with it
            Path(store).mkdir(parents=True, exist_ok=True)  # the engine would make it for root
    return containers.server(cache, options, env)


def _remove_stale(folder: Path, own: Path) -> None:
    """Remove the sockets of commands that were killed, one of which may have had this number."""
    for path in (*folder.glob("*.sock"), *folder.glob("*-*/s")):
        name = path.stem if path.suffix else path.parent.name
        if path == own or not _runs(name.partition("-")[0]):
            path.unlink(missing_ok=True)
            if path.parent not in (folder, own.parent):
                with suppress(OSError):
                    path.parent.rmdir()


def _runs(number: str) -> bool:
    """Whether there is a process with this number."""
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True


def _cause(failure: str, store: str) -> str:
    """What the server printed last, without the words of the program."""
    lines = [line.strip() for line in failure.splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if "caused by" not in line.lower()), "")
    if said:
        return f"{store}: {said.removeprefix('sccache: error: ')}"
    return f"{store} gives no answer within {START:.0f} s, or refuses the password"


def _watched(context: Context, sccache: Path, socket: Path) -> AbstractContextManager[None]:
    """Remove the socket when the store has failed: what begins afterwards is compiled without it."""

    def works() -> bool:
        try:
            answer = context.run(_question(sccache, socket, "--show-stats", "--stats-format=json"))
        except Interrupted:
            return False
        if answer and failed_requests(answer.stdout, read_only=context.config.cache.read_only) < LIMIT:
            return True
        socket.unlink(missing_ok=True)
        store = context.config.cache.compiler
        context.console.warn(f"no compiler cache any more: {store} does not answer; compiling without it")
        return False

    return repeated(works, INTERVAL)


def failed_requests(text: str, *, read_only: bool = False) -> int:
    """How many requests have failed, from the server's numbers as JSON, LIMIT for one without an answer; 0 for something else.

    With `read_only` sccache refuses each write itself, and counts it as an error.
    """
    try:
        stats: Mapping[str, object] = json.loads(text)["stats"]
        weights = {"cache_timeouts": LIMIT, "cache_read_errors": 1, "cache_write_errors": int(not read_only)}
        return sum(weight * int(str(stats.get(name, 0))) for name, weight in weights.items())
    except (ValueError, LookupError, TypeError, AttributeError):
        return 0


def _question(sccache: Path, socket: Path, *words: str) -> Step:
    return Step(
        title="compiler cache", argv=(str(sccache), *words), env={SOCKET: str(socket)}, stdout="keep", quiet=True, timeout=30.0
    )  # fmt: skip
