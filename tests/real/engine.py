"""A container engine with a builder and a registry, made from packages where the machine reaches no image registry:
Debian's dockerd, buildx and runc, BuildKit compiled from its Go module, and base images from Debian's packages in a registry
that stands for docker.io. What takes time is kept in the cache."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bed import KEYRING, mirror, need, newer_packages, packages, run, sources

from buildlib.machine.host import cache_folder

BUILDKIT = "v0.25.1"  # v0.34 has dependencies that the public module proxy refuses
SUITE, NEXT_SUITE = "trixie", "forky"
BASE = f"debian:{SUITE}-slim"
COMPILER = f"rust:1-{SUITE}"
BUILDER = "buildlib-test"
DEBIAN = {"amd64": "amd64", "arm64": "arm64", "armhf": "arm", "riscv64": "riscv64"}  # Debian's name, TARGETARCH

# Root of a sandbox may lack capabilities that `--privileged` containers are given, and runc fails for each of them
# ("unable to apply caps: operation not permitted"). This takes out what this process itself could not have.
RUNTIME = """#!{python}
import json, os, sys

NAMES = {names}

def bounded(capabilities):
    with open("/proc/self/status") as status:
        mask = int(next(line.split()[1] for line in status if line.startswith("CapBnd")), 16)
    ours = {{name for bit, name in enumerate(NAMES) if mask >> bit & 1}}
    return {{kind: [name for name in names if name in ours] for kind, names in (capabilities or {{}}).items()}}

def edit(path, find):
    with open(path) as stream:
        told = json.load(stream)
    process = find(told)
    process["capabilities"] = bounded(process.get("capabilities"))
    with open(path, "w") as stream:
        json.dump(told, stream)

words = sys.argv[1:]
if "create" in words or "run" in words:
    bundle = words[words.index("--bundle") + 1] if "--bundle" in words else "."
    edit(os.path.join(bundle, "config.json"), lambda told: told["process"])
elif "exec" in words and "--process" in words:
    edit(words[words.index("--process") + 1], lambda told: told)
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
class Bed:
    """`env` is what docker answers in, `registry` is host:port; `mirrors` is the setting that makes base images found."""

    env: dict
    registry: str
    mirrors: dict

    def settings(self, **more):
        """buildlib.toml of a workspace that pushes there."""
        builder = {"name": BUILDER, "mirrors": self.mirrors, **more}
        return f'registry = "{self.registry}/acme"\n[builder]\n' + "".join(
            f"{name} = {_toml(value)}\n" for name, value in builder.items()
        )


def _toml(value):
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(k)} = {_toml(v)}' for k, v in value.items())} }}"
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list) else json.dumps(value)


@contextmanager
def daemon(folder, *flags, runtime=RUNTIME):
    """A dockerd of our own; the environment in which `docker` talks to it. It shares the bridge with one that is there, and
    leaves it there (with --bridge=none it would take it away from the other)."""
    packages("docker.io", "iptables")
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
                need("a container engine", (folder / "log").read_text()[-2000:])
            yield env
        finally:
            process.terminate()
            process.wait(60)
            unmount(folder)
            shutil.rmtree(folder / "data", ignore_errors=True)


def unmount(folder):
    """A container on the host's network leaves a mount behind when its daemon ends, and a folder that cannot be removed."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True):
        run("umount", point)


@contextmanager
def whole(scratch):
    """All that images take, in folders of its own below `scratch`: the environment in which docker answers, and the address of a
    registry with the base images."""
    for name in ("docker", "registry", "bed"):
        (scratch / name).mkdir()
    with daemon(scratch / "docker") as env, registry(scratch / "registry") as address:
        binfmt()
        buildx(env)
        buildkit(env, scratch / "bed")
        bases(env, address, scratch / "bed")
        yield env, address


@contextmanager
def registry(folder, **more):
    """A registry on the loopback, as host:port, plain HTTP; `more` goes into its configuration."""
    packages("docker-registry", "skopeo")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = {
        "version": "0.1",
        "http": {"addr": address},
        "storage": {"filesystem": {"rootdirectory": str(folder)}},
        **more,
    }
    (folder / "config.yml").write_text(json.dumps(settings))  # YAML holds JSON
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


def tree(name, arch, *include):
    """A tar file of Debian packages that were unpacked, not configured: seconds instead of minutes under emulation."""
    packages("mmdebstrap")
    archive = cache_folder() / "tests" / f"{SUITE}-{name}-{arch}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(".partial.tar")
        made = _extract(SUITE, arch, include, partial)
        if made.code:  # a mirror in the middle of its update has one suite's lists and another day's index
            made = _extract(NEXT_SUITE, arch, include, partial)
        assert made.code == 0, made
        partial.rename(archive)
    return archive


def _extract(suite, arch, include, into):
    return run(
        "mmdebstrap", "--variant=extract", "--mode=root", f"--architectures={arch}",
        f"--include={','.join(('base-files', 'dash', 'coreutils', *include))}",
        '--extract-hook=test ! -e "$1/usr/bin/gcc" || ln -s gcc "$1/usr/bin/cc"',  # as Debian's alternatives would
        '--aptopt=Acquire::Check-Valid-Until "false"',  # a mirror that lags is no matter of a test's
        suite, into, f"deb [signed-by={KEYRING}] {mirror()} {suite} main",
    )  # fmt: skip


def go(scratch):
    """The environment with a Go that compiles BuildKit: this machine's, or the next Debian's, which runs as it is unpacked."""
    if (
        shutil.which("go") and "go1.1" not in run("go", "version").out
    ):  # Debian 12's 1.19 cannot fetch a newer one itself
        return {}
    tree = newer_packages(scratch / "go", "golang-1.24-go", "golang-1.24-src")
    root = tree / "usr" / "lib" / "go-1.24"
    return {"GOROOT": str(root), "PATH": f"{root / 'bin'}:{os.environ['PATH']}"}


def buildkit(env, scratch):
    """The image that buildx starts BuildKit from. It asks docker.io for it, and takes the local one when that fails."""
    programs = cache_folder() / "tests" / f"buildkit-{BUILDKIT}"
    if not (programs / "buildkitd").exists():
        module = scratch / "module"
        module.mkdir()
        (module / "go.mod").write_text(f"module throwaway\ngo 1.24\nrequire github.com/moby/buildkit {BUILDKIT}\n")
        names = [f"github.com/moby/buildkit/cmd/{name}" for name in ("buildkitd", "buildctl")]
        tools = go(scratch)
        fetched = run("go", "get", *(f"{name}@{BUILDKIT}" for name in names), cwd=module, env=tools)
        assert fetched.code == 0, fetched
        stamp = f"-s -w -X github.com/moby/buildkit/version.Version={BUILDKIT}"
        static = {"CGO_ENABLED": "0", **tools}
        built = run(
            "go", "build", "-trimpath", "-ldflags", stamp, "-o", f"{module}/out/", *names, cwd=module, env=static
        )
        assert built.code == 0, built
        programs.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(module / "out", programs, dirs_exist_ok=True)
    rootfs = scratch / "buildkit"
    shutil.copytree(programs, rootfs / "usr" / "bin")
    (rootfs / "usr" / "bin" / "buildkit-runc").symlink_to("/usr/sbin/runc")
    archive = scratch / "buildkit.tar"
    shutil.copy(tree("runc", "amd64", "runc"), archive)
    added = run("tar", "--append", "--file", archive, "--directory", rootfs, "./usr/bin/buildkitd", "./usr/bin/buildctl",
                "./usr/bin/buildkit-runc")  # fmt: skip
    assert added.code == 0, added
    loaded = run(
        "docker", "import", "--change", 'ENTRYPOINT ["buildkitd"]', archive, "moby/buildkit:buildx-stable-1", env=env
    )
    assert loaded.code == 0, loaded


def buildx(env):
    """buildx as the next Debian has it, as a plugin."""
    plugin = Path(env["DOCKER_CONFIG"]) / "cli-plugins" / "docker-buildx"
    kept = cache_folder() / "tests" / "docker-buildx"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial")
        with tempfile.TemporaryDirectory() as folder:
            tree = newer_packages(Path(folder), "docker-buildx")
            shutil.copy2(tree / "usr" / "libexec" / "docker" / "cli-plugins" / "docker-buildx", partial)
        partial.rename(kept)
    plugin.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(kept, plugin)


def binfmt():
    """The kernel starts binaries of other architectures, also inside containers."""
    packages("qemu-user-static", "binfmt-support")
    folder = Path("/proc/sys/fs/binfmt_misc")
    if not (folder / "status").exists():
        run("mount", "-t", "binfmt_misc", "none", folder)
    if not (folder / "qemu-aarch64").exists():
        enabled = run("update-binfmts", "--enable")
        if not (folder / "qemu-aarch64").exists():
            need("binfmt_misc", str(enabled))
    assert "F" in (folder / "qemu-aarch64").read_text().split("flags:")[1].split()[0]


FROM_TAR = """FROM scratch
ARG TARGETARCH
ADD ${TARGETARCH}.tar /
CMD ["/bin/sh"]
"""


def bases(env, address, scratch):
    """The base image for four platforms, in the registry as docker.io's."""
    archives = {arch: tree("slim", debian, "libc6", "libgcc-s1") for debian, arch in DEBIAN.items()}
    publish(env, address, scratch / "bases", f"library/{BASE}", archives)


def compiler(bed, scratch):
    """An image to compile in, with the distribution's Rust and its sources, in the registry as docker.io's; this machine's
    platform. It is made as Debian installs it, which takes a minute."""
    if not bed.mirrors:
        return
    archive = cache_folder() / "tests" / "compiler.tar"
    if not archive.exists():
        packages("mmdebstrap")
        partial = archive.with_suffix(".partial.tar")
        names = ("rustc-web", "cargo-web", "rust-web-src", "gcc", "libc6-dev", "python3-venv", "ca-certificates")
        made = run(
            "mmdebstrap", "--variant=minbase", "--mode=root", f"--include={','.join(names)}",
            '--customize-hook=rm -rf "$1"/usr/share/doc "$1"/usr/share/locale', "bookworm", partial, *sources(),
        )  # fmt: skip
        assert made.code == 0, made
        partial.rename(archive)
    publish(bed.env, bed.registry, scratch / "compiler", f"library/{COMPILER}", {"amd64": archive}, packed=False)


def publish(env, address, context, name, archives, *, packed=True):
    """An image of these tar files, TARGETARCH -> file, in the registry. `packed` costs time and no distance is saved here."""
    context.mkdir()
    (context / "Dockerfile").write_text(FROM_TAR)
    for arch, archive in archives.items():
        try:
            os.link(archive, context / f"{arch}.tar")
        except OSError:  # the cache is on another file system
            shutil.copy2(archive, context / f"{arch}.tar")
    config = context / "buildkitd.toml"
    config.write_text(f'[registry."{address}"]\nhttp = true\n')
    builder = ("--name", "buildlib-test-bases")
    created = run("docker", "buildx", "create", *builder, "--driver", "docker-container", "--driver-opt", "network=host",
                  "--config", config, env=env)  # fmt: skip
    assert created.code == 0, created
    platforms = ",".join(f"linux/{'arm/v7' if arch == 'arm' else arch}" for arch in archives)
    plain = "" if packed else ",compression=uncompressed,force-compression=true"
    output = f"type=image,name={address}/{name},push=true{plain}"
    pushed = run("docker", "buildx", "build", "--builder", builder[1], "--platform", platforms, "--provenance=false",
                 "--output", output, context, env=env)  # fmt: skip
    assert pushed.code == 0, pushed
    run("docker", "buildx", "rm", builder[1], env=env)
