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
from buildlib.core.plan import Step
from buildlib.core.repeated import repeated
from buildlib.process.background import background
from buildlib.process.context import Context
from buildlib.process.files import read_text

START = 5.0  # seconds that a store has to answer
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
        why = "cross starts its containers on another machine"
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
    settings, sccache, socket = context.config.cache, caches[0].sccache, caches[0].socket
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for other in socket.parent.glob("*.sock"):  # of commands that were killed, one of which may have had this number
        if other == socket or not _runs(other.stem.partition("-")[0]):
            other.unlink(missing_ok=True)
    own = {"SCCACHE_START_SERVER": "1", "SCCACHE_NO_DAEMON": "1", "SCCACHE_IDLE_TIMEOUT": IDLE, SOCKET: str(socket)}
    env = server_environment(settings, context.workspace.root, caches, context.host.env) | own
    argv = _command(context, caches[0], env)
    if not argv:
        context.console.warn("no compiler cache: cross does not say how it starts its container; compiling without it")
        yield sccache, None
        return
    try:
        with background(argv, env, until=socket.is_socket, seconds=START) as failure:
            if failure is not None:
                context.console.warn(f"no compiler cache: {_cause(failure, settings.compiler)}; compiling without it")
            yield sccache, socket if failure is None else None
    finally:
        socket.unlink(missing_ok=True)


def _command(context: Context, cache: CompilerCache, env: Mapping[str, str]) -> tuple[str, ...]:
    """The command line of the server, for cross in a container; nothing if cross has not said how it starts one."""
    if not cache.question:
        return (str(cache.sccache),)
    cache.container.unlink(missing_ok=True)  # the answer of an earlier build
    context.run.job(cache.question)
    if not (answer := read_text(cache.container)):
        return ()
    asks, pull = containers.image(cache, answer)
    if not context.run(asks):
        context.run(pull)
    if store := env.get("SCCACHE_DIR"):
        with suppress(OSError):  # the server says what is wrong with it
            Path(store).mkdir(parents=True, exist_ok=True)  # the engine would make it for root
    return containers.server(cache, answer, env)


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
        answer = context.run(_question(sccache, socket, "--show-stats", "--stats-format=json"))
        if answer and failed_requests(answer.stdout) < LIMIT:
            return True
        socket.unlink(missing_ok=True)
        store = context.config.cache.compiler
        context.console.warn(f"no compiler cache any more: {store} does not answer; compiling without it")
        return False

    return repeated(works, INTERVAL)


def failed_requests(text: str) -> int:
    """How many requests have failed, from the server's numbers as JSON, LIMIT for one without an answer; 0 for something else."""
    try:
        stats: Mapping[str, object] = json.loads(text)["stats"]
        weights = {"cache_timeouts": LIMIT, "cache_read_errors": 1, "cache_write_errors": 1}
        return sum(weight * int(str(stats.get(name, 0))) for name, weight in weights.items())
    except (ValueError, LookupError, TypeError, AttributeError):
        return 0


def _question(sccache: Path, socket: Path, *words: str) -> Step:
    return Step(
        title="compiler cache", argv=(str(sccache), *words), env={SOCKET: str(socket)}, stdout="keep", quiet=True, timeout=30.0
    )  # fmt: skip
