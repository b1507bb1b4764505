"""Base images made from Debian packages, in the tests' registry under the names that docker.io has for them.

Archives that take long to make are kept in the cache.
"""

import os
import re
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor

from testbed import KEYRING, apt_sources, debian_mirror, install_packages, run

from buildlib.machine.host import cache_folder

SUITE, NEXT_SUITE = "trixie", "forky"
BASE = f"debian:{SUITE}-slim"
COMPILER = f"rust:1-{SUITE}"
DEBIAN_ARCHES = {"amd64": "amd64", "arm64": "arm64", "armhf": "arm", "riscv64": "riscv64"}  # Debian's name: TARGETARCH

FROM_TAR = """FROM scratch
ARG TARGETARCH
ADD ${TARGETARCH}.tar /
CMD ["/bin/sh"]
"""


def root_file_system(name, arch, *packages):
    """A tar file of Debian packages, unpacked but not configured: under emulation this takes seconds instead of minutes."""
    install_packages("mmdebstrap")
    archive = cache_folder() / "tests" / f"{SUITE}-{name}-{arch}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(".partial.tar")
        created = _extract(SUITE, arch, packages, partial)
        if created.code:  # during its update, a mirror has the lists of one day and the index of another
            created = _extract(NEXT_SUITE, arch, packages, partial)
        assert created.code == 0, created
        partial.rename(archive)
    return archive


def root_file_systems(name, *packages, arches=DEBIAN_ARCHES):
    """The archives of several architectures (TARGETARCH: file), made at once: one waits for the network, another for dpkg."""
    install_packages("mmdebstrap")
    with ThreadPoolExecutor(len(arches)) as pool:
        archives = pool.map(lambda arch: root_file_system(name, arch, *packages), arches)
        return dict(zip(map(DEBIAN_ARCHES.get, arches), archives, strict=True))


def _extract(suite, arch, packages, archive):
    return run(
        "mmdebstrap", "--variant=extract", "--mode=root", f"--architectures={arch}",
        f"--include={','.join(('base-files', 'dash', 'coreutils', *packages))}",
        # As Debian's alternatives would.
        '--extract-hook=test ! -e "$1/usr/bin/gcc" || ln -s gcc "$1/usr/bin/cc"',
        '--extract-hook=cd "$1/usr/bin" && for java in ../lib/jvm/*/bin/java; do test ! -e "$java" || ln -sf "$java" java; done',
        '--aptopt=Acquire::Check-Valid-Until "false"',  # the tests do not depend on how current a mirror is
        suite, archive, f"deb [signed-by={KEYRING}] {debian_mirror()} {suite} main",
    )  # fmt: skip


def base_archives():
    """What the base image has for four platforms (TARGETARCH: file)."""
    return root_file_systems("slim", "libc6", "libgcc-s1")


def publish_base(env, registry, scratch, archives):
    """Push the base image, made of `base_archives`."""
    publish(env, registry, scratch / "bases", f"library/{BASE}", archives)


def publish_compiler(engine, scratch):
    """Push an image with the distribution's Rust and its sources, for this machine's platform.

    Where docker.io is reachable, its own image is used. The packages are installed as Debian does, which takes a minute.
    """
    if not engine.mirrors:
        return
    archive = cache_folder() / "tests" / "compiler.tar"
    if not archive.exists():
        install_packages("mmdebstrap")
        partial = archive.with_suffix(".partial.tar")
        names = ("rustc-web", "cargo-web", "rust-web-src", "gcc", "libc6-dev", "python3-venv", "ca-certificates")
        created = run(
            "mmdebstrap", "--variant=minbase", "--mode=root", f"--include={','.join(names)}",
            '--customize-hook=rm -rf "$1"/usr/share/doc "$1"/usr/share/locale', "bookworm", partial, *apt_sources(),
        )  # fmt: skip
        assert created.code == 0, created
        partial.rename(archive)
    registry, context = engine.registry, scratch / "compiler"
    publish(engine.env, registry, context, f"library/{COMPILER}", {"amd64": archive}, compressed=False)


def publish_services(engine, scratch, arches):
    """Push what the images of services begin with: Debian's redis and Python for its `arches`, and Go for this machine's.

    Returns the version of Python for each TARGETARCH: where a mirror is being updated, an archive is of the next suite.
    """
    services = root_file_systems("services", "redis-server", "python3", arches=arches)
    go = {"amd64": root_file_system("golang", "amd64", "golang-go", "golang-src")}
    for name, archives in {f"services:{SUITE}": services, "golang:1": go}.items():
        context = scratch / name.partition(":")[0]
        publish(engine.env, engine.registry, context, f"bases/{name}", archives, compressed=False)
    return {arch: _python(archive) for arch, archive in services.items()}


def _python(archive):
    """The version of the interpreter in a file system: 3.13."""
    with tarfile.open(archive) as tar:
        (version,) = {
            found[1] for name in tar.getnames() if (found := re.fullmatch(r"\./usr/bin/python(3\.\d+)", name))
        }
    return version


def publish_java(engine, scratch):
    """Push Debian's Java for four platforms: a gigabyte."""
    archives = root_file_systems("java", "openjdk-21-jre-headless")
    publish(engine.env, engine.registry, scratch / "java", "bases/java:21", archives, compressed=False)


def publish(env, registry, context, name, archives, *, compressed=True):
    """Push an image made of these tar files (TARGETARCH: file). Compression takes time and saves nothing on the loopback."""
    context.mkdir()
    (context / "Dockerfile").write_text(FROM_TAR)
    for arch, archive in archives.items():
        try:
            os.link(archive, context / f"{arch}.tar")
        except OSError:  # the cache is on another file system
            shutil.copy2(archive, context / f"{arch}.tar")
    config = context / "buildkitd.toml"
    config.write_text(f'[registry."{registry}"]\nhttp = true\n')
    builder = "buildlib-test-bases"
    created = run("docker", "buildx", "create", "--name", builder, "--driver", "docker-container",
                  "--driver-opt", "network=host", "--config", config, env=env)  # fmt: skip
    assert created.code == 0, created
    platforms = ",".join(f"linux/{'arm/v7' if arch == 'arm' else arch}" for arch in archives)
    uncompressed = "" if compressed else ",compression=uncompressed,force-compression=true"
    output = f"type=image,name={registry}/{name},push=true{uncompressed}"
    pushed = run("docker", "buildx", "build", "--builder", builder, "--platform", platforms, "--provenance=false",
                 "--output", output, context, env=env)  # fmt: skip
    assert pushed.code == 0, pushed
    run("docker", "buildx", "rm", builder, env=env)
