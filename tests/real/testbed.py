"""Shared by all tests with real tools: run a command, install what a test needs, find the Debian mirror.

Missing tools are installed where the tests run as root. Otherwise the test is skipped, and the message names the tool. With CI
set, a missing tool is a failure: a green run must have tested something.
"""

import os
import re
import shutil
import signal
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
BUILDLIB = Path(sysconfig.get_path("scripts")) / "buildlib"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# The binaries of this repository's own workspace.
PROGRAMS = ("cli-command", "journal-server", "mqtt-server", "placement-center")

# Published projects optimise their release profile for speed at run time. These settings give compilers, linkers and C code the
# same kinds of input in half the time. Full profiles were measured by hand, see the README.
QUICK = {
    "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0", "CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_DEBUG": "0",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
}  # fmt: skip


@dataclass
class CommandResult:
    """Exit code and output of a finished command. Its repr shows both streams, for the report of a failed test."""

    code: int
    out: str
    err: str

    def __repr__(self):
        return f"<exit {self.code}>\n{self.out}\n{self.err}"


def as_in_a_shell():
    """For a process that is interrupted: a test suite that runs in the background inherits an ignored SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(*argv, cwd=None, env=None, timeout=900):
    """Run a command to its end. `env` is added to this process's environment; a variable that is None is removed."""
    merged = {name: value for name, value in {**os.environ, **(env or {})}.items() if value is not None}
    completed = subprocess.run(
        [str(word) for word in argv], cwd=cwd, env=merged, capture_output=True, text=True, timeout=timeout, check=False
    )
    return CommandResult(completed.returncode, completed.stdout, completed.stderr)


def buildlib(*argv, cwd, env=None):
    return run(BUILDLIB, *argv, cwd=cwd, env=env)


def error_of(result):
    """The last error on stderr and its help. A message may have several lines, help has one; "" stands for no help."""
    text = f"\n{result.err}".rpartition("\nerror: ")[2].removesuffix("\n")
    message, _, rest = text.partition("\n  help: ")
    return message, rest.partition("\n")[0]


def assert_error(result, code, message, help_text):
    """The command failed with this exit code, message and help, and without a traceback.

    Message and help are whole texts, or compiled regular expressions that match the whole text.
    """
    assert result.code == code, result
    for expected, actual in zip((message, help_text), error_of(result), strict=True):
        if isinstance(expected, re.Pattern):
            assert expected.fullmatch(actual), (expected.pattern, actual, result)
        else:
            assert actual == expected, result
    assert "Traceback" not in result.err + result.out, result


def skip_or_fail(missing, reason):
    """Skip the test, or fail it in CI."""
    (pytest.fail if "CI" in os.environ else pytest.skip)(f"{missing} is missing: {reason}")


def install_packages(*names):
    """Install the Debian packages that are not installed yet."""
    query = run("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *names)
    present = {line.split()[0] for line in query.out.splitlines() if line.endswith(" installed")}
    missing = [name for name in names if name not in present]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        skip_or_fail(" ".join(missing), f"apt-get install {' '.join(missing)}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", env=env)
    installed = run("apt-get", "install", "--yes", "--no-install-recommends", *missing, env=env)
    if installed.code:
        skip_or_fail(" ".join(missing), installed.err)


def path_without(folder, is_excluded):
    """A PATH with all programs of the real one except those for whose name `is_excluded` returns true."""
    folder.mkdir()
    for directory in os.environ["PATH"].split(":"):
        for tool in Path(directory).iterdir() if Path(directory).is_dir() else ():
            if not is_excluded(tool.name) and not (folder / tool.name).is_symlink():
                (folder / tool.name).symlink_to(tool)
    return {"PATH": str(folder)}


def debian_mirror():
    """The URL of the Debian mirror that offers this machine's libc. Security updates come from another one."""
    for line in run("apt-cache", "policy", "libc6").out.splitlines():
        words = line.split()
        if len(words) > 2 and "://" in words[1] and "security" not in words[1] + words[2]:
            return words[1]
    skip_or_fail("a Debian mirror", "run on Debian")


def apt_sources():
    """The files in which this machine lists its package sources."""
    candidates = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    files = [
        path
        for path in candidates
        if path.suffix in (".list", ".sources") and path.is_file() and path.read_text().strip()
    ]
    return files or skip_or_fail("a list of packages", "run on Debian")


def unpack_newer_packages(folder, *names):
    """Download packages of the next Debian release and unpack them below `folder`. Nothing is installed."""
    for name in ("lists/partial", "archives/partial", "debs"):
        (folder / name).mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {debian_mirror()} trixie main\n")
    options = ("-o", f"Dir::Etc::SourceList={folder}/sources.list", "-o", "Dir::Etc::SourceParts=-",
               "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}", "-o", "APT::Sandbox::User=root")  # fmt: skip
    run("apt-get", *options, "update")
    downloaded = run("apt-get", *options, "download", *names, cwd=folder / "debs")
    if downloaded.code:
        skip_or_fail(" ".join(names), downloaded.err)
    for package in (folder / "debs").glob("*.deb"):
        assert run("dpkg", "-x", package, folder / "tree").code == 0
    return folder / "tree"


# Lines of a build script's main(): src/where.c with debug information, as a static library. `out` is OUT_DIR, `Command` is imported.
COMPILES_WHERE_C = """
            let object = format!("{out}/where.o");
            let source = env::current_dir().unwrap().join("src/where.c");
            let words = ["-g", "-c", source.to_str().unwrap(), "-o", &object];
            assert!(Command::new(env::var("CC").unwrap()).args(words).status().unwrap().success());
            let archive = format!("{out}/libwhere.a");
            assert!(Command::new(env::var("AR").unwrap()).args(["crs", &archive, &object]).status().unwrap().success());
            println!("cargo:rustc-link-search={out}\\ncargo:rustc-link-lib=static=where");
"""
