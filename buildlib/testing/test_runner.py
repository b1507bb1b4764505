"""What cargo starts a test binary through: python3 harness.py SPEC BINARY ARGS...

Runs it under the emulator that SPEC names, hands on what it says, ends it when nothing more happens, starts it once more when it
was the emulator that crashed, and adds a line of JSON to a record. Runs before every test binary: nothing of buildlib is imported.
"""

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

# Set while a binary runs: a test that starts another program by the same runner starts it straight.
INSIDE = "_BUILDLIB_HARNESS"
# Documented: tests that make no sense under emulation look for it.
EMULATED = "BUILDLIB_EMULATED"
LIST = 60.0  # seconds for a binary to say which tests it has
LINGER = 1.0  # seconds for what a test has left running to let go of the pipes
KEPT = 4 << 20  # bytes of stdout, which names all tests
TAIL = 8 << 10  # bytes of stderr
FINISHED = re.compile(rb"^test .+ \.\.\. ", re.MULTILINE)
LIBTEST = re.compile(rb"^running \d+ tests?$", re.MULTILINE)
# QEMU's own words when it is QEMU that failed: signal.c and user-exec.c of linux-user, tcg.c, and GLib's assertions.
BROKEN = re.compile(
    rb"QEMU internal SIG|unhandled CPU exception|qemu: fatal:|tcg fatal error|^(\*\*\n)?ERROR:\S*(accel|tcg|linux-user|target)/"
    rb"|^qemu-\S+: \S+:\d+: [^\n]*Assertion",
    re.MULTILINE,
)
GUEST = re.compile(rb"uncaught target signal (\d+)")
# What a wrong translation looks like to the guest; an abort is the program's own word.
DOUBTFUL = frozenset({signal.SIGILL, signal.SIGTRAP, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV})


def main(spec, binary, *args):
    with open(spec, encoding="utf-8") as stream:
        told = json.load(stream)
    words = [*told["words"], binary, *args]
    if INSIDE in os.environ or "--list" in args:
        os.execvp(words[0], words)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches the whole group; there is nothing to say about it
    env = {**os.environ, INSIDE: "1", **({EMULATED: told["emulated"]} if told["emulated"] else {})}
    crashes = []
    ran = run(words, env, told)
    if ran["crash"] in ("emulator", "doubtful"):
        crashes.append(last_line(ran["stderr"]))
        os.write(2, f"buildlib: {crashes[0]}; once more\n".encode())
        ran = run(words, env, told)
    if ran["crash"] == "doubtful":  # twice the same is the program's own
        ran["crash"], crashes = "program", []
    cut_short = ran["crash"] or ran["hung"]
    names = listed([*words, "--list", "--format", "terse"]) if cut_short else []
    try:
        record(told["record"], binary, args, {**ran, "crashes": crashes, "listed": names})
    except OSError as error:
        sys.exit(f"buildlib: {told['record']}: {error.strerror} (os error {error.errno})")
    finish(ran)


def run(words, env, told):
    """One run: exit code (negative: a signal's number), seconds, what it said, who crashed, and whether it was ended because
    nothing happened for the `patience` that it was `told`: no test finished, or nothing at all was said where it is not libtest
    that speaks."""
    began = seen = time.monotonic()
    process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = {process.stdout: bytearray(), process.stderr: bytearray()}
    out = {process.stdout: 1, process.stderr: 2}
    libtest, hung, gone = False, False, None
    with selectors.DefaultSelector() as pipes:
        for pipe in said:
            pipes.register(pipe, selectors.EVENT_READ)
        while pipes.get_map():
            for key, _ in pipes.select(0.2):
                chunk = os.read(key.fd, 1 << 16)
                if not chunk:
                    pipes.unregister(key.fileobj)
                    continue
                os.write(out[key.fileobj], chunk)
                said[key.fileobj] += chunk
                libtest = libtest or bool(LIBTEST.search(chunk))
                if FINISHED.search(chunk) or not libtest:
                    seen = time.monotonic()
            now = time.monotonic()
            if process.poll() is not None:
                gone = gone or now
                if now - gone > LINGER:
                    break
            elif now - seen > told["patience"]:
                hung = True
                kill(process.pid)
    code = process.wait()
    text = {name: bytes(data).decode("utf-8", "replace") for name, data in
            (("stdout", said[process.stdout][-KEPT:]), ("stderr", said[process.stderr][-TAIL:]))}  # fmt: skip
    crash = judge(code, text["stderr"], told["emulated"])
    return {"code": code, "seconds": round(time.monotonic() - began, 3), "hung": hung, "crash": crash, **text}


def judge(code, stderr, emulated):
    """Who crashed: "program", "emulator", "doubtful" where it may be either, "" for nobody."""
    data = stderr.encode()
    if emulated and BROKEN.search(data):
        return "emulator"
    guest = GUEST.search(data)
    if guest and emulated:
        return "doubtful" if int(guest[1]) in DOUBTFUL else "program"
    if code >= 0:
        return ""
    # QEMU says so when it is the guest that dies of a signal; these three are sent from outside.
    outside = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
    return "emulator" if emulated and -code not in outside else "program"


def kill(pid):
    """Ends a process and all that came of it; they share the group of who started us, so the tree tells them."""
    children = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stream:
                parent = int(stream.read().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue  # gone meanwhile
        children.setdefault(parent, []).append(int(name))
    doomed = [pid]
    for parent in doomed:
        doomed += children.get(parent, [])
    for number in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def listed(words):
    """The tests that a binary has, in the order in which it starts them; none where it does not say."""
    try:
        asked = subprocess.run(words, env={**os.environ, INSIDE: "1"}, capture_output=True, timeout=LIST, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = asked.stdout.decode("utf-8", "replace").splitlines()
    return [line.removesuffix(": test") for line in lines if line.endswith(": test")]


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it ended without a word"


def record(path, binary, args, ran):
    line = json.dumps({"binary": binary, "args": args, "threads": os.cpu_count(), **ran})
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def finish(ran):
    """As the binary ended: cargo says of which signal."""
    if ran["hung"]:
        sys.exit(124)
    if ran["code"] >= 0:
        sys.exit(ran["code"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if -ran["code"] != signal.SIGKILL:
        signal.signal(-ran["code"], signal.SIG_DFL)
    os.kill(os.getpid(), -ran["code"])


if __name__ == "__main__":
    main(*sys.argv[1:])
