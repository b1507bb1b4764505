"""What real tests share: run a command, install what it takes, find the mirror.

What is missing is installed where we are root, skipped by name elsewhere; with CI set a missing tool is a failure, lest a
green run has tested nothing.
"""

import os
import shutil
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


# Release profiles are made for their users' patience; these settings ask the same of compilers, linkers and C code in half
# the time. Full profiles were measured by hand, see the README.
QUICK = {
    "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0", "CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_DEBUG": "0",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
}  # fmt: skip


@dataclass
class Ran:
    """A command that has run, both streams together for a reader of a failed test."""

    code: int
    out: str
    err: str

    def __repr__(self):
        return f"<exit {self.code}>\n{self.out}\n{self.err}"


def run(*argv, cwd=None, env=None, timeout=1800):
    merged = {k: v for k, v in {**os.environ, **(env or {})}.items() if v is not None}
    done = subprocess.run(
        [str(word) for word in argv], cwd=cwd, env=merged, capture_output=True, text=True, timeout=timeout, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def buildlib(*argv, cwd, env=None):
    return run(BUILDLIB, *argv, cwd=cwd, env=env)


def need(missing, cure):
    """Skip, or fail in CI."""
    (pytest.fail if "CI" in os.environ else pytest.skip)(f"{missing} is missing: {cure}")


def packages(*names):
    """Debian packages, installed when they are not."""
    asked = run("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *names)
    present = {line.split()[0] for line in asked.out.splitlines() if line.endswith(" installed")}
    missing = [name for name in names if name not in present]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        need(" ".join(missing), f"apt-get install {' '.join(missing)}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", env=env)
    installed = run("apt-get", "install", "--yes", "--no-install-recommends", *missing, env=env)
    if installed.code:
        need(" ".join(missing), installed.err)


def path_without(folder, leave_out):
    """A PATH with all programs of the real one but those whose names `leave_out` says yes to."""
    folder.mkdir()
    for place in os.environ["PATH"].split(":"):
        for tool in Path(place).iterdir() if Path(place).is_dir() else ():
            if not leave_out(tool.name) and not (folder / tool.name).is_symlink():
                (folder / tool.name).symlink_to(tool)
    return {"PATH": str(folder)}


def mirror():
    """The Debian mirror that this machine has its own libc from; security updates have another."""
    for line in run("apt-cache", "policy", "libc6").out.splitlines():
        words = line.split()
        if len(words) > 2 and "://" in words[1] and "security" not in words[1] + words[2]:
            return words[1]
    need("a Debian mirror", "run on Debian")


def sources():
    """The machine's own lists of packages."""
    listed = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    told = [
        path for path in listed if path.suffix in (".list", ".sources") and path.is_file() and path.read_text().strip()
    ]
    return told or need("a list of packages", "run on Debian")


def newer_packages(folder, *names):
    """The unpacked packages of the next Debian, below `folder`."""
    for name in ("lists/partial", "archives/partial", "debs"):
        (folder / name).mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} trixie main\n")
    options = ("-o", f"Dir::Etc::SourceList={folder}/sources.list", "-o", "Dir::Etc::SourceParts=-",
               "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}", "-o", "APT::Sandbox::User=root")  # fmt: skip
    run("apt-get", *options, "update")
    fetched = run("apt-get", *options, "download", *names, cwd=folder / "debs")
    if fetched.code:
        need(" ".join(names), fetched.err)
    for package in (folder / "debs").glob("*.deb"):
        assert run("dpkg", "-x", package, folder / "tree").code == 0
    return folder / "tree"
