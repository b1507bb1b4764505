"""sccache's server for one build: it has the store of the settings and the password, and no other program gets them.

It is started before the first compilation and ended after the last one. If it does not start, which is when its store does not answer,
or if its store fails later, the build goes on without: the scripts compile by themselves where there is no socket.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

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
    settings, root, caches = context.config.cache, context.workspace.root, [one for one in of_targets if one]
    if why := problem(context.host, settings, root, trim=context.config.trim_paths):
        context.console.warn(f"no compiler cache: {why}")
    if not caches or context.run.dry:
        yield
        return
    with _started(context, caches) as (sccache, socket):
        if socket:
            with _watched(context, sccache, socket):
                yield
            context.run(_question(sccache, socket, "--stop-server"))  # which waits until everything is stored
        else:
            yield
    for cache in caches:
        made = use(read_text(cache.log))
        if number := made["compilations"]:
            share = f"{made['hits']} of {number} compilations ({100 * made['hits'] // number} %)"
            context.console.note(f"{cache.arch}: {share} from the compiler cache")


@contextmanager
def _started(context: Context, caches: list[CompilerCache]) -> Iterator[tuple[Path, Path | None]]:
    """sccache, and the socket on which its server listens until the end; None if it does not start."""
    settings, sccache, socket = context.config.cache, caches[0].sccache, caches[0].socket
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for other in socket.parent.glob("*.sock"):  # of commands that were killed, one of which may have had this number
        if other == socket or not _runs(other.stem):
            other.unlink(missing_ok=True)
    env = server_environment(settings, context.workspace.root, caches, context.host.env)
    own = {"SCCACHE_START_SERVER": "1", "SCCACHE_NO_DAEMON": "1", "SCCACHE_IDLE_TIMEOUT": IDLE, SOCKET: str(socket)}
    try:
        with background((str(sccache),), {**env, **own}, until=socket.is_socket, seconds=START) as failure:
            if failure is not None:
                context.console.warn(f"no compiler cache: {_cause(failure, settings.compiler)}; compiling without it")
            yield sccache, socket if failure is None else None
    finally:
        socket.unlink(missing_ok=True)


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
