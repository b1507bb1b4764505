"""Run a test binary for cargo: `main(SPEC, BINARY, ARGS...)` of the runner of a target (runners.py).

The program runs the binary under the emulator that SPEC names, forwards its output, kills it when it makes no progress, runs it
once more when the emulator crashed, and appends a line of JSON to a record. Programs that the binary starts run under the emulator
as well (child_processes.py). It runs before every test binary: it must start fast and imports nothing of buildlib.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import selectors
import signal
import subprocess
import sys
import time

TYPE_CHECKING = False  # type checkers take it for typing's, whose import would cost milliseconds in every start
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

# Set while a binary runs: a test that starts another program by the same runner starts it directly.
INSIDE = "_BUILDLIB_HARNESS"
SET_BY_CARGO = "CARGO_MANIFEST_DIR"  # cargo, nextest and rustdoc start test binaries with it
# Documented: tests that make no sense under emulation look for it.
EMULATED = "BUILDLIB_EMULATED"
LIST_TIMEOUT = 60.0  # seconds for a binary to list its tests
LINGER = 1.0  # seconds that processes which a test has left running may hold the pipes
STDOUT_LIMIT = 4 << 20  # bytes of stdout that are recorded; it names all tests
STDERR_LIMIT = 8 << 10  # bytes of stderr that are recorded
FINISHED = re.compile(rb"^test .+ \.\.\. ", re.MULTILINE)
LIBTEST = re.compile(rb"^running \d+ tests?$", re.MULTILINE)
# What QEMU prints when QEMU itself failed: signal.c and user-exec.c of linux-user, tcg.c, and GLib's assertions.
EMULATOR_CRASH = re.compile(
    rb"QEMU internal SIG|unhandled CPU exception|qemu: fatal:|tcg fatal error|^(\*\*\n)?ERROR:\S*(accel|tcg|linux-user|target)/"
    rb"|^qemu-\S+: \S+:\d+: [^\n]*Assertion",
    re.MULTILINE,
)
GUEST_SIGNAL = re.compile(rb"uncaught target signal (\d+)")
# Signals that a wrong translation raises in the guest; SIGABRT is raised by the program itself.
AMBIGUOUS = frozenset({signal.SIGILL, signal.SIGTRAP, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV})


class Run:
    """One run of the binary. The attributes are keys of the record.

    `code` is the exit code, negative for the signal that ended the process; `crash` is what classify_crash returned; `hung` says
    that the process was killed because it made no progress.
    """

    def __init__(self, *, code: int, seconds: float, hung: bool, crash: str, stdout: str, stderr: str) -> None:
        self.code = code
        self.seconds = seconds
        self.hung = hung
        self.crash = crash
        self.stdout = stdout
        self.stderr = stderr


def main(spec_path: str, binary: str, *args: str) -> None:
    """Run the binary, record the result, and exit as the binary did."""
    with open(spec_path, encoding="utf-8") as stream:
        spec = json.load(stream)
    if spec["libraries"]:
        os.environ["LD_LIBRARY_PATH"] = f"{os.environ.get('LD_LIBRARY_PATH', '')}:{spec['libraries']}".lstrip(":")
    words = [*spec["emulator"], binary, *args]
    # A test may have cleared the environment of what it starts, or call the runner with a program's launcher.
    if INSIDE in os.environ or SET_BY_CARGO not in os.environ or "--list" in args:
        start_directly([*spec["emulator"], original(spec, binary), *args])
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches the whole process group; nothing needs to be reported
    arch, cwd = spec["emulated_arch"], os.getcwd()
    env = {**os.environ, INSIDE: "1", **({EMULATED: arch} if arch else {}), **prepare_children(spec, binary)}
    crashes = []
    result = run(words, env, spec["timeout"], arch)
    if result.crash in ("emulator", "ambiguous"):
        crashes.append(last_line(result))
        os.write(2, f"buildlib: {crashes[0]}; running it once more\n".encode())
        result = run(words, env, spec["timeout"], arch)
    if result.crash == "ambiguous":  # the same crash twice is the program's
        result.crash, crashes = "program", []
    cut_short = result.crash or result.hung
    names = list_tests([*words, "--list", "--format", "terse"]) if cut_short else []
    facts = {"binary": binary, "args": args, "threads": os.cpu_count(), "crashes": crashes, "listed": names,
             "ran_on": spec["ran_on"], "cwd": cwd}  # fmt: skip
    try:
        append(spec["record"], json.dumps({**facts, **vars(result)}))
    except OSError as error:
        sys.exit(f"buildlib: {spec['record']}: {error.strerror} (os error {error.errno})")
    exit_like(result)


def start_directly(words: list[str]) -> None:
    """Replace this process by a program, with the signals that it would have without Python."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execvp(words[0], words)


def prepare_children(spec: Mapping[str, Any], binary: str) -> dict[str, str]:
    """Let programs that the binary starts run under the emulator too. Returns the variables that they need."""
    children = spec["children"]
    if not children:
        return {}
    if children["way"] not in ("", "binfmt", "none"):
        try:
            child_processes().prepare(children, spec["emulator"], binary)
        except OSError as error:
            os.write(2, f"buildlib: programs that tests start may not run: {error}\n".encode())
    emulator = spec["emulator"]
    return {"QEMU_LD_PREFIX": emulator[emulator.index("-L") + 1]} if "-L" in emulator else {}


def original(spec: Mapping[str, Any], binary: str) -> str:
    """The program itself where the binary is its launcher."""
    launchers = spec["children"] and spec["children"]["way"].endswith("launchers")
    return str(child_processes().original(binary)) if launchers else binary


def child_processes() -> Any:
    """The module of that name, which is loaded only where it is needed."""
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    return __import__("child_processes")


def run(words: Sequence[str], env: dict[str, str], timeout: float, arch: str) -> Run:
    """Run the words once. `arch` is the emulated one, "" without an emulator.

    The process is killed when it makes no progress for `timeout` seconds: with libtest, when no test finishes; with another
    harness, when there is no output.
    """
    began = progress = time.monotonic()
    process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stderr
    stdout, stderr = process.stdout.fileno(), process.stderr.fileno()
    output = {stdout: bytearray(), stderr: bytearray()}
    forward_to = {stdout: 1, stderr: 2}
    libtest, hung, exited = False, False, None
    with selectors.DefaultSelector() as pipes:
        for pipe in output:
            pipes.register(pipe, selectors.EVENT_READ)
        while pipes.get_map():
            for key, _ in pipes.select(0.2):
                chunk = os.read(key.fd, 1 << 16)
                if not chunk:
                    pipes.unregister(key.fd)
                    continue
                os.write(forward_to[key.fd], chunk)
                output[key.fd] += chunk
                libtest = libtest or bool(LIBTEST.search(chunk))
                if FINISHED.search(chunk) or not libtest:
                    progress = time.monotonic()
            now = time.monotonic()
            if process.poll() is not None:
                exited = exited or now
                if now - exited > LINGER:
                    break
            elif now - progress > timeout:
                hung = True
                kill_tree(process.pid)
    code = process.wait()
    error_output = output[stderr][-STDERR_LIMIT:].decode("utf-8", "replace")
    return Run(
        code=code, seconds=round(time.monotonic() - began, 3), hung=hung, crash=classify_crash(code, error_output, arch),
        stdout=output[stdout][-STDOUT_LIMIT:].decode("utf-8", "replace"), stderr=error_output,
    )  # fmt: skip


def classify_crash(code: int, stderr: str, arch: str) -> str:
    """What crashed: "program", "emulator", "ambiguous" where it may be either, "" where nothing did.

    `arch` is the emulated one, "" without an emulator.
    """
    data = stderr.encode()
    if arch and EMULATOR_CRASH.search(data):
        return "emulator"
    guest = GUEST_SIGNAL.search(data)
    if guest and arch:
        return "ambiguous" if int(guest[1]) in AMBIGUOUS else "program"
    if code >= 0:
        return ""
    # QEMU prints a line when the guest dies of a signal; these three are sent from outside.
    outside = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
    return "emulator" if arch and -code not in outside else "program"


def kill_tree(pid: int) -> None:
    """Kill a process and its descendants. All share the process group of cargo, so only the tree identifies them."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stream:
                parent = int(stream.read().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue  # the process has exited meanwhile
        children.setdefault(parent, []).append(int(name))
    doomed = [pid]
    for parent in doomed:
        doomed += children.get(parent, [])
    for number in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def list_tests(words: Sequence[str]) -> list[str]:
    """The tests of a binary, in the order in which it starts them; [] where it does not list them."""
    try:
        answer = subprocess.run(
            words, env={**os.environ, INSIDE: "1"}, capture_output=True, timeout=LIST_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = answer.stdout.decode("utf-8", "replace").splitlines()
    return [line.removesuffix(": test") for line in lines if line.endswith(": test")]


def last_line(result: Run) -> str:
    """The last line of stderr that is not blank, or how the process ended."""
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"ended by signal {-result.code} with no output"


def append(path: str, line: str) -> None:
    """Append a line in one write, for several binaries may run at once."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def exit_like(result: Run) -> None:
    """Exit as the binary did, by a signal as well: cargo reports which one. 124 for a binary that hung."""
    if result.hung:
        sys.exit(124)
    if result.code >= 0:
        sys.exit(result.code)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if -result.code != signal.SIGKILL:
        signal.signal(-result.code, signal.SIG_DFL)
    os.kill(os.getpid(), -result.code)


if __name__ == "__main__":
    main(*sys.argv[1:])
