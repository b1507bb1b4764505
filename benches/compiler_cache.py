"""A cold build on a second machine, with and without the store that a first one has filled.

    python benches/compiler_cache.py WORKSPACE SCRATCH [--arch arm64] [-- OPTIONS]

The two machines are fresh Debian systems in directories (mmdebstrap, chroot), each with another user, home and path; they share one
Redis of Debian's. In each buildlib is installed as its documentation says. The profile is release without LTO. It needs root and
Linux.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parents[1]
ADDRESS = "127.73.0.1"
PACKAGES = "python3-venv,ca-certificates,git,gcc,libc6-dev,pkg-config"
# Files of this machine that say where packages come from.
SOURCES = (
    "/etc/pip.conf",
    "/etc/resolv.conf",
    "/etc/ssl/certs/ca-certificates.crt",
    "/usr/local/share/ca-certificates",
)
MACHINES = {"ada": "/home/ada/work", "grace": "/srv/grace/projects/broker"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--arch", default="arm64")
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options = parser.parse_args(sys.argv[1:at])
    words = ("--arch", options.arch, *sys.argv[at + 1 :])
    first, second = (Machine(options.scratch.resolve() / name, name, path) for name, path in MACHINES.items())
    for machine in (first, second):
        machine.install(options.workspace.resolve())
    server = subprocess.Popen(["redis-server", "--bind", ADDRESS, "--save", ""], stdout=subprocess.DEVNULL)
    try:
        print(f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} at the start", flush=True)
        second.build(words, "")  # std and zig's C library, which every machine makes once
        without, _, digests = second.build(words, "")
        print(f"{second.user}, without a store: {without:.1f} s", flush=True)
        filling, use, _ = first.build(words, f"redis://{ADDRESS}:6379")
        print(f"{first.user}, an empty store: {filling:.1f} s, {use}", flush=True)
        found, use, again = second.build(words, f"redis://{ADDRESS}:6379")
        print(f"{second.user}, the store of {first.user}: {found:.1f} s, {use}, {without / found:.2f} times as fast")
        print("the same bytes" if digests == again else f"other bytes: {digests} {again}")
    finally:
        server.terminate()
        server.wait()


class Machine:
    """A Debian in the directory `root`, with one user and a clone of the workspace."""

    def __init__(self, root: Path, user: str, path: str) -> None:
        self.root, self.user, self.path = root, user, path

    def install(self, workspace: Path) -> None:
        """Everything that a build needs; what an earlier run has installed stays."""
        if not self.root.exists():
            debian = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", self.root]
            subprocess.run(debian, check=True, stderr=subprocess.DEVNULL)
            for name in SOURCES:
                if Path(name).is_dir():
                    shutil.copytree(name, f"{self.root}{name}", dirs_exist_ok=True)
                elif Path(name).exists():
                    shutil.copy(name, f"{self.root}{name}")
            self.run("root", "useradd", "--create-home", self.user)
        home = self.root / "home" / self.user
        for source, place in ((HERE, home / "buildlib"), (workspace, Path(f"{self.root}{self.path}"))):
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run(["git", "clone", "--quiet", source, place], check=True)
        for name in (".rustup", ".cargo"):
            own = Path(os.environ.get(f"{name[1:].upper()}_HOME", Path.home() / name))
            left_out = shutil.ignore_patterns("registry", "downloads", "tmp")
            shutil.copytree(own, home / name, symlinks=True, dirs_exist_ok=True, ignore=left_out)
        self.run("root", "chown", "--recursive", self.user, f"/home/{self.user}", self.path)
        self.run(self.user, "python3", "-m", "venv", f"/home/{self.user}/venv")
        self.run(
            self.user, f"/home/{self.user}/venv/bin/pip", "install", "--quiet", f"/home/{self.user}/buildlib[cache]"
        )

    def build(self, words: tuple[str, ...], store: str) -> tuple[float, object, list[str]]:
        """Build from an empty target directory: seconds, the use of the cache, the digests of the programs."""
        self.run(self.user, "rm", "-rf", f"{self.path}/target", f"{self.path}/dist")
        began = time.monotonic()
        done = self.run(self.user, f"/home/{self.user}/venv/bin/buildlib", "build", "--json", *words, store=store)
        seconds = time.monotonic() - began
        (result,) = json.loads(done.stdout)
        return seconds, result["cache"], [binary["sha256"] for binary in result["binaries"]]

    def run(self, user: str, *argv: str, store: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in this system as a user."""
        env = {
            "PATH": f"/home/{self.user}/.cargo/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": "/root" if user == "root" else f"/home/{user}",
            "CARGO_PROFILE_RELEASE_LTO": "off", "BUILDLIB_CACHE_COMPILER": store,
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
        }  # fmt: skip
        mounts = 'mount --bind /dev "$1/dev"; mount -t proc proc "$1/proc"; cd "$1$2"; shift 2; exec "$@"'
        there = self.path if Path(f"{self.root}{self.path}").exists() else "/"
        inside = (
            "chroot",
            str(self.root),
            "setpriv",
            "--reuid",
            user,
            "--regid",
            user,
            "--clear-groups",
            "--inh-caps=-all",
        )
        change = ("sh", "-ec", 'cd "$1"; shift; exec "$@"', "sh", there)
        words = ("unshare", "--mount", "sh", "-ec", mounts, "sh", str(self.root), "/", *inside, *change, *argv)
        return subprocess.run(words, env=env, check=True, stdout=subprocess.PIPE, text=True)


if __name__ == "__main__":
    main()
