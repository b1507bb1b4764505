"""A container engine with a builder and a registry, installed from packages where no image registry is reachable.

The parts are Debian's dockerd, buildx and runc, BuildKit compiled from its Go module, and a registry that serves base images in
place of docker.io (base_images.py). What takes long to make is kept in the cache.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from base_images import base_archives, publish_base, root_file_system
from testbed import install_packages, run, skip_or_fail, unpack_newer_packages

from buildlib.machine.host import cache_folder

BUILDKIT = "v0.25.1"  # v0.34 has dependencies that the public module proxy refuses
BUILDER = "buildlib-test"

# Root in a sandbox may lack capabilities that `--privileged` containers are given, and runc fails for each of them ("unable to
# apply caps: operation not permitted"). This runtime removes the capabilities that its own process could not have.
RUNTIME = """#!{python}
import json, os, sys

NAMES = {names}

def bounded(capabilities):
    with open("/proc/self/status") as status:
        mask = int(next(line.split()[1] for line in status if line.startswith("CapBnd")), 16)
    allowed = {{name for bit, name in enumerate(NAMES) if mask >> bit & 1}}
    return {{kind: [name for name in names if name in allowed] for kind, names in (capabilities or {{}}).items()}}

def edit(path, find_process):
    with open(path) as stream:
        document = json.load(stream)
    process = find_process(document)
    process["capabilities"] = bounded(process.get("capabilities"))
    with open(path, "w") as stream:
        json.dump(document, stream)

words = sys.argv[1:]
if "create" in words or "run" in words:
    bundle = words[words.index("--bundle") + 1] if "--bundle" in words else "."
    edit(os.path.join(bundle, "config.json"), lambda document: document["process"])
elif "exec" in words and "--process" in words:
    edit(words[words.index("--process") + 1], lambda document: document)
os.execvp("runc", ["runc", *words])
"""
# <linux/capability.h>, by number.
CAPABILITIES = [
    f"CAP_{name}"
    for name in """
        CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
        NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
        SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
        MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
    """.split()  # noqa: SIM905  a list of forty strings would be a page
]


@dataclass(frozen=True)
class Engine:
    """A container engine: the environment for `docker`, a registry (host:port), and the builder's `mirrors` setting.

    `mirrors` is empty where docker.io itself is reachable.
    """

    env: dict
    registry: str
    mirrors: dict

    def settings(self, **builder):
        """The text of a buildlib.toml for a workspace that pushes to the registry. `builder` changes settings of the builder."""
        table = {"name": BUILDER, "mirrors": self.mirrors, **builder}
        lines = (f"{name} = {toml(value)}\n" for name, value in table.items())
        return f'registry = "{self.registry}/acme"\n[builder]\n{"".join(lines)}'


def toml(value):
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(k)} = {toml(v)}' for k, v in value.items())} }}"
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list) else json.dumps(value)


@contextmanager
def daemon(folder, *flags, runtime=RUNTIME):
    """A dockerd of its own below `folder`; yields the environment in which `docker` talks to it.

    It shares the bridge with an existing daemon and leaves it in place (with --bridge=none it would remove it).
    """
    install_packages("docker.io", "iptables")
    program = folder / "runtime"
    program.write_text(runtime.format(python=sys.executable, names=CAPABILITIES))
    program.chmod(0o755)
    env = {"DOCKER_HOST": f"unix://{folder}/socket", "DOCKER_CONFIG": str(folder / "config")}
    with (folder / "log").open("w") as log:
        argv = ("dockerd", "--host", env["DOCKER_HOST"], "--data-root", folder / "data", "--exec-root", folder / "exec",
                "--pidfile", folder / "pid", "--add-runtime", f"bounded={program}",
                "--default-runtime", "bounded", *flags)  # fmt: skip
        process = subprocess.Popen([str(word) for word in argv], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while run("docker", "version", env=env).code and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.2)
            if run("docker", "version", env=env).code:
                skip_or_fail("a container engine", (folder / "log").read_text()[-2000:])
            yield env
        finally:
            process.terminate()
            process.wait(60)
            _unmount_below(folder)
            shutil.rmtree(folder / "data", ignore_errors=True)


def _unmount_below(folder):
    """Remove mounts that containers on the host's network leave behind; their directories could not be removed otherwise."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True):
        run("umount", point)


@contextmanager
def complete_engine(scratch):
    """Everything that images need, in new directories below `scratch`.

    Yields the environment for `docker` and the address of a registry with the base images.
    """
    for name in ("docker", "registry", "buildkit"):
        (scratch / name).mkdir()
    with daemon(scratch / "docker") as env, registry(scratch / "registry") as address:
        enable_binfmt()
        install_builder(env, address, scratch / "buildkit")
        yield env, address


def install_builder(env, registry, scratch):
    """Install buildx and BuildKit, and push the base images, whose files are downloaded while BuildKit is compiled."""
    install_packages("mmdebstrap")
    with ThreadPoolExecutor() as pool:
        archives = pool.submit(base_archives)
        install_buildx(env)
        load_buildkit(env, scratch)
    publish_base(env, registry, scratch, archives.result())


@contextmanager
def registry(folder, **settings):
    """A registry on the loopback over plain HTTP; yields host:port. `settings` are added to its configuration."""
    install_packages("docker-registry", "skopeo")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "version": "0.1",
        "http": {"addr": address},
        "storage": {"filesystem": {"rootdirectory": str(folder)}},
        **settings,
    }
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is valid YAML
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and server.poll() is None:
                with suppress(OSError), socket.create_connection(address.split(":")):
                    break
                time.sleep(0.1)
            assert server.poll() is None, (folder / "log").read_text()
            yield address
        finally:
            server.terminate()
            server.wait(30)


def go_environment(scratch):
    """The environment with a Go that compiles BuildKit: this machine's, or the next Debian's, which runs without installation."""
    # Debian 12's Go 1.19 cannot download a newer Go itself.
    if shutil.which("go") and "go1.1" not in run("go", "version").out:
        return {}
    tree = unpack_newer_packages(scratch / "go", "golang-1.24-go", "golang-1.24-src")
    root = tree / "usr" / "lib" / "go-1.24"
    return {"GOROOT": str(root), "PATH": f"{root / 'bin'}:{os.environ['PATH']}"}


def load_buildkit(env, scratch):
    """Load the image from which buildx starts BuildKit.

    buildx tries to pull it from docker.io, and uses the local image where that fails.
    """
    programs = cache_folder() / "tests" / f"buildkit-{BUILDKIT}"
    if not (programs / "buildkitd").exists():
        _compile_buildkit(programs, scratch)
    rootfs = scratch / "rootfs"
    shutil.copytree(programs, rootfs / "usr" / "bin")
    (rootfs / "usr" / "bin" / "buildkit-runc").symlink_to("/usr/sbin/runc")
    archive = scratch / "buildkit.tar"
    shutil.copy(root_file_system("runc", "amd64", "runc"), archive)
    added = run("tar", "--append", "--file", archive, "--directory", rootfs, "./usr/bin/buildkitd", "./usr/bin/buildctl",
                "./usr/bin/buildkit-runc")  # fmt: skip
    assert added.code == 0, added
    entry_point = 'ENTRYPOINT ["buildkitd"]'
    loaded = run("docker", "import", "--change", entry_point, archive, "moby/buildkit:buildx-stable-1", env=env)
    assert loaded.code == 0, loaded


def _compile_buildkit(programs, scratch):
    module = scratch / "module"
    module.mkdir()
    (module / "go.mod").write_text(f"module throwaway\ngo 1.24\nrequire github.com/moby/buildkit {BUILDKIT}\n")
    names = [f"github.com/moby/buildkit/cmd/{name}" for name in ("buildkitd", "buildctl")]
    env = go_environment(scratch)
    downloaded = run("go", "get", *(f"{name}@{BUILDKIT}" for name in names), cwd=module, env=env)
    assert downloaded.code == 0, downloaded
    flags = f"-s -w -X github.com/moby/buildkit/version.Version={BUILDKIT}"
    static = {"CGO_ENABLED": "0", **env}
    built = run("go", "build", "-trimpath", "-ldflags", flags, "-o", f"{module}/out/", *names, cwd=module, env=static)
    assert built.code == 0, built
    programs.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(module / "out", programs, dirs_exist_ok=True)


def install_buildx(env):
    """Install the next Debian's buildx as a plugin of this environment's docker."""
    plugin = Path(env["DOCKER_CONFIG"]) / "cli-plugins" / "docker-buildx"
    cached = cache_folder() / "tests" / "docker-buildx"
    if not cached.exists():
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial = cached.with_suffix(".partial")
        with tempfile.TemporaryDirectory() as folder:
            tree = unpack_newer_packages(Path(folder), "docker-buildx")
            shutil.copy2(tree / "usr" / "libexec" / "docker" / "cli-plugins" / "docker-buildx", partial)
        partial.rename(cached)
    plugin.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(cached, plugin)


def enable_binfmt():
    """Let the kernel start binaries of other architectures, inside containers as well."""
    install_packages("qemu-user-static", "binfmt-support")
    folder = Path("/proc/sys/fs/binfmt_misc")
    if not (folder / "status").exists():
        run("mount", "-t", "binfmt_misc", "none", folder)
    handler = folder / "qemu-aarch64"
    if handler.exists() and "F" not in handler.read_text().split("flags:")[1].split()[0]:
        handler.write_text("-1")  # a run that was killed in a test of handlers left it
        run("update-binfmts", "--enable", "qemu-aarch64")
    if not handler.exists():
        enabled = run("update-binfmts", "--enable")
        if not handler.exists():
            skip_or_fail("binfmt_misc", str(enabled))
    assert "F" in handler.read_text().split("flags:")[1].split()[0]
