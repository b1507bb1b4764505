"""Provide the sysroot of each target that the setting `libraries` asks for: from the cache, or with Debian's packages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import msgspec

from buildlib.core.errors import BuildError, MissingRequirements, NetworkError, UsageError
from buildlib.core.plan import Job, Link, Outcome, Step, Write
from buildlib.core.requirements import Fix, Requirement
from buildlib.core.settings import Config
from buildlib.core.sysroot import FORMAT, Sysroot
from buildlib.core.targets import Target, find_target
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.sysroot import apt, tree
from buildlib.sysroot.apt import Apt, Package

OS_RELEASE = Path("/etc/os-release")
DEFAULT_SUITE = "trixie"  # of images.dockerfile.DEFAULT_BASE
RELEASES = {"11": "bullseye", "12": "bookworm", "13": "trixie"}  # www.debian.org/releases
# debian:trixie-slim, debian:12.5, debian:stable-20260101-slim; gcr.io/distroless/cc-debian12:nonroot
IMAGE = re.compile(
    r"(?:docker\.io/)?(?:library/)?debian:([a-z]+|\d+)(?:[.-][\w.-]+)?(?:@.+)?|.*/distroless/[a-z]+-debian(\d+)(?:[:@].+)?"
)
# Bytes that have to be free: lists of packages are 30 MiB, small libraries as much, and apt 2.6 waits for ever when a disk is full.
SPACE = 100 << 20
APT = Requirement(
    what="Debian's apt", why="downloads and verifies the packages of system libraries",
    met=lambda host: bool(host.which("apt-get") and host.which("dpkg-deb")),
    fixes=(Fix(text="build in a container with it (image --in-docker), or install apt and debian-archive-keyring"),),
)  # fmt: skip


def requirements(sysroots: Iterable[Sysroot]) -> tuple[Requirement, ...]:
    """Return what the sysroots require that a dry run has planned."""
    return (APT,) if any(sysroot.is_planned for sysroot in sysroots) else ()


def provide(context: Context, targets: Iterable[Target]) -> Context:
    """Return the context whose machine has a sysroot for each target, if the settings name libraries.

    What is not in the cache is downloaded, except in a dry run. Static targets have none: their programs load no library.

    Raises:
        UsageError: a package, the suite or the arch does not exist, or the suite does not follow from the settings.
        MissingRequirements: this machine has no apt, or the path of its cache is not fit for flags of compilers.
        NetworkError: the packages cannot be downloaded.
    """
    if not context.config.libraries:
        return context
    cache = str(context.host.cache)
    if any(map(str.isspace, cache)):  # the crate cc splits CFLAGS at spaces
        raise MissingRequirements(
            f"libraries: {cache}: path with a space", "set XDG_CACHE_HOME to a path without spaces"
        )
    suite = suite_of(context.config)
    sysroots = {target.name: _provide_one(context, target, suite) for target in targets if not target.is_musl}
    return replace(context, host=replace(context.host, sysroots={**context.host.sysroots, **sysroots}))


def suite_of(config: Config) -> str:
    """Return the suite of the packages: the setting, else that of the components' base images.

    Raises:
        UsageError: a base image is not Debian's, or they are of different suites.
    """
    if config.suite:
        return config.suite
    bases = sorted({component.base for component in config.components.values()} - {"", "scratch"})
    found = {base: suite_of_image(base) for base in bases}
    suites = set(found.values()) or {DEFAULT_SUITE}
    if len(suites) > 1 or "" in suites:
        culprits = [base for base, suite in found.items() if not suite] or bases
        message = f"the suite of the libraries does not follow from {', '.join(culprits)}"
        raise UsageError(message, "set `suite` to the suite of Debian that the images are based on")
    return suites.pop()


def suite_of_image(name: str) -> str:
    """Return the suite of Debian that an image has, from its name; "" if the name does not say it."""
    match = IMAGE.fullmatch(name)
    word = (match[1] or match[2]) if match else ""
    return RELEASES.get(word, "" if word.isdigit() or word == "latest" else word)


def _provide_one(context: Context, target: Target, suite: str) -> Sysroot:
    if (
        other := find_target(target.debian)
    ).arch != target.arch:  # Debian's armhf is for Armv7, also where armv6 has that name
        raise UsageError(
            f"libraries: Debian has none for {target.name}: its {target.debian} is {other.name}",
            "let crates compile what they need (features such as `vendored`), or leave the arch out",
        )
    folder = context.host.cache / "libraries" / f"{suite}-{target.debian}"
    names = sorted(set(context.config.libraries))
    request = hashlib.sha256(repr((FORMAT, names, context.config.mirror)).encode()).hexdigest()[:16]
    description = folder / f"{request}.json"
    if found := read(description):
        return found
    if context.run.dry:
        wanted = " ".join(names)
        context.console.warn_once(
            f"{target.name}: {wanted} of Debian {suite} would be downloaded, and may raise the minimum glibc"
        )
        return Sysroot(root=str(folder / "planned"), multiarch=target.multiarch, suite=suite)
    if context.request.offline or context.request.frozen:
        raise NetworkError(
            f"libraries: {' '.join(names)} for {target.name} are not in the cache", "leave --offline out once"
        )
    if not APT.met(context.host):
        raise MissingRequirements(f"libraries: needs {APT.what}, which {APT.why}", APT.fixes[0].text)
    if (free := context.host.free(folder)) is not None and free < SPACE:
        message = f"libraries: {free >> 20} MiB are free in {folder.parent}, expected {SPACE >> 20}"
        raise BuildError(message, "free some space, or set XDG_CACHE_HOME")
    with context.run.locked(folder, f"{target.name}: waiting for another command that downloads libraries"):
        if found := read(description):
            return found
        with context.console.fold(f"{target.name}: {' '.join(names)} of Debian {suite}"):
            sysroot = _install(context, target, suite, folder, names)
            context.run(Write(path=description, text=msgspec.json.encode(sysroot).decode()))
            return sysroot


def read(description: Path) -> Sysroot | None:
    """Return the sysroot that a file in the cache describes, None if it is not there, not complete, or of another format."""
    try:
        sysroot = msgspec.json.decode(read_text(description), type=Sysroot)
    except msgspec.DecodeError:
        return None
    files = (Path(sysroot.root, library.file) for library in sysroot.libraries.values())
    return (
        sysroot if sysroot.format == FORMAT and Path(sysroot.root).is_dir() and all(map(Path.is_file, files)) else None
    )


def _install(context: Context, target: Target, suite: str, folder: Path, names: list[str]) -> Sysroot:
    run = Apt(folder=folder / "apt", arch=target.debian, suite=suite)
    codename = apt.codename(read_text(OS_RELEASE))
    indexes = context.run(apt.question()).stdout if codename else ""
    sources = apt.sources(suite, target.debian, context.config.mirror, indexes, codename)
    updated = context.run.job(Job(name=f"apt for {target.name}", steps=(*run.files(sources), run.update())))
    resolved = context.run(run.resolve(names))
    if not updated and not resolved:
        raise apt.error(updated, run, names)
    if not updated:  # a mirror that is half updated, or has no security updates: apt has what it could read
        context.console.warn(f"some package lists are missing: {apt.error(updated, run, names).message}")
    found = apt.packages(_check(resolved, run, names).stdout)
    if not found:
        raise UsageError(
            f"libraries: {' '.join(names)}: compilers bring their own", "name the packages of other libraries"
        )
    packages = apt.useful(found, _check(context.run(run.show(found)), run, names).stdout, names)
    versions = {package.name: package.version for package in packages}
    root = folder / hashlib.sha256(repr((sources, sorted(versions.items()))).encode()).hexdigest()[:16]
    _check(context.run.job(_unpack(run, packages, root)), run, names)
    files = {package.name: _contents(context, run, package) for package in packages}
    for link in tree.links(root):
        context.run(link)
    libraries = tree.libraries(root, target.multiarch, apt.contents(files))
    glibc, newest = tree.newest(libraries)
    sysroot = Sysroot(
        root=str(root), multiarch=target.multiarch, suite=suite, packages=versions, glibc=glibc, newest=newest,
        libraries={soname: library for soname, (library, _) in libraries.items()},
    )  # fmt: skip
    for soname, library in sysroot.libraries.items():
        context.run(Link(path=sysroot.shared / soname, to=Path("..", library.file)))
    return sysroot


def _unpack(run: Apt, packages: tuple[Package, ...], root: Path) -> Job:
    """Return the job that downloads the packages and unpacks them into `root`; one that is repeated overwrites."""
    title = f"unpack {len(packages)} packages"
    return Job(
        name=title,
        steps=(
            run.download(packages),
            *(
                Step(title=title, argv=("dpkg-deb", "--extract", str(run.folder / "packages" / package.file), str(root)), quiet=True)
                for package in packages
            ),
        ),
    )  # fmt: skip


def _contents(context: Context, run: Apt, package: Package) -> str:
    argv = ("dpkg-deb", "--contents", str(run.folder / "packages" / package.file))
    return context.run(Step(title="contents", argv=argv, env={"LC_ALL": "C"}, stdout="keep", quiet=True)).stdout


def _check(outcome: Outcome, run: Apt, names: list[str]) -> Outcome:
    if outcome:
        return outcome
    if isinstance(outcome.step, Step) and outcome.step.argv[0] == "dpkg-deb":
        raise BuildError(f"{outcome.step.title}: {outcome.last}", "free some space, or remove the cache and try again")
    raise apt.error(outcome, run, names)
