"""What an issue about buildlib should say: this machine, what was chosen for each target and why, and what is missing.

Nothing of it may fail: it is asked for when something is broken. What cannot be found out is said in its place.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import join

from buildlib import __version__
from buildlib.builder import builder_commands
from buildlib.core import layers
from buildlib.core.errors import BuildError
from buildlib.core.plan import Step
from buildlib.core.requirements import missing
from buildlib.core.settings import flat
from buildlib.core.targets import Target
from buildlib.doctor import checks, reasons
from buildlib.emulation import qemu
from buildlib.machine import installation
from buildlib.machine.host import Host, probe
from buildlib.machine.workspace import Workspace
from buildlib.process import history
from buildlib.process.console import Console
from buildlib.process.context import HISTORY, Context, open_context
from buildlib.process.files import read_text
from buildlib.process.runner import DryRunner
from buildlib.rust import cargo, configured_programs, notes, provision, std
from buildlib.rust.backends.base import Backend
from buildlib.rust.environment import uses
from buildlib.sysroot import install as sysroots

# Variables that change what a build does; of the others only the names of proxies matter.
PREFIXES = (
    "AR", "BINDGEN_", "BUILDKIT_", "BUILDLIB_", "BUILDX_", "CARGO", "CC", "CFLAGS", "CI", "CMAKE", "CROSS_", "CXX",
    "CXXFLAGS", "DOCKER_", "GITHUB_ACTIONS", "GITLAB_CI", "HOST_", "LANG", "LC_", "LDFLAGS", "LIBCLANG_PATH",
    "OPENSSL_", "PKG_CONFIG", "PROTOC", "QEMU_", "RANLIB", "RUST", "SOURCE_DATE_EPOCH", "SSL_CERT_", "TARGET_",
    "XDG_CACHE_HOME",
)  # fmt: skip
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
ERRORS = 3  # of the last commands
Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of a name and a text."""

    title: str
    rows: tuple[Row, ...]


def context(console: Console, env: Mapping[str, str], cwd: Path) -> tuple[Context, str]:
    """The context of `cwd`, and why its workspace or settings cannot be read, "" if they can. Nothing will be changed."""
    console.quiet = True
    try:
        opened, problem = open_context(env, cwd, {}, console, dry=True, scope="anywhere"), ""
    except BuildError as error:
        config, host = layers.resolve(), probe(env, cwd)
        workspace = Workspace(root=cwd, target_dir=cwd / "target", components=(), has_rust=False)
        run = DryRunner(console, env, config.retry)
        opened, problem = (
            Context(config=config, host=host, workspace=workspace, run=run, console=console),
            error.message,
        )
    return opened, problem


def title(context: Context) -> str:
    """The report in one line."""
    compiler = str(next(iter(context.host.toolchains), "no Rust"))
    return f"buildlib {__version__}, {compiler}, {_distribution()}, {context.host.machine}"


def sections(context: Context, targets: tuple[Target, ...], problem: str = "") -> Iterator[Section]:
    """Everything that an issue should say. `problem` is why the workspace cannot be read."""
    if problem:
        yield Section("workspace", (("cannot be read", problem),))
    yield Section("versions", tuple(_versions(context)))
    yield Section("containers", tuple(_containers(context)))
    rows: list[Row] = []
    context, chosen = _prepared(context, targets, rows)
    for target, backend in chosen.items():
        rows_of_target = _or_error(lambda target=target, backend=backend: _target(context, target, backend))  # type: ignore[misc]
        yield Section(f"target {target.name}", rows_of_target)
    if rows or (
        rows := [("", text) for text in (*notes.notes(context, chosen), *notes.warnings(context.host, chosen))]
    ):
        yield Section("notes", tuple(rows))
    yield Section("settings", tuple(_settings(context)))
    yield Section("environment", tuple(_variables(context.host)))
    yield Section("missing", _or_error(lambda: _missing(context, targets)))
    yield Section("errors of the last commands", tuple(_errors(context))[-ERRORS:])


def _or_error(rows: Callable[[], Iterable[Row]]) -> tuple[Row, ...]:
    """The rows, up to the error of finding them and with it: a workspace without binaries has no command line, but a compiler."""
    found: list[Row] = []
    try:
        for row in rows():
            found.append(row)
    except BuildError as error:
        found.append(("error", error.message))
    return tuple(found)


def _prepared(context: Context, targets: tuple[Target, ...], rows: list[Row]) -> tuple[Context, dict[Target, Backend]]:
    """The context with system libraries, and the backends; what fails is added to `rows`."""
    chosen: dict[Target, Backend] = {}
    try:
        context = sysroots.provide(context, targets)
    except BuildError as error:
        rows.append(("libraries", error.message))
    for target in targets:
        try:
            chosen |= provision.backends(context, (target,))
        except BuildError as error:
            rows.append((target.name, error.message))
    return context, chosen


def _answer(context: Context, *argv: str) -> str:
    """The first line that a program prints; "" if it does not exist or fails."""
    try:
        outcome = context.run(Step(title=argv[0], argv=argv, stdout="keep", quiet=True, timeout=20.0))
    except BuildError:
        return ""
    return outcome.stdout.strip().partition("\n")[0] if outcome else ""


def _versions(context: Context) -> Iterator[Row]:
    host, source = context.host, installation.source()
    origin = source.repository or source.directory or source.url or "a package index"
    yield "buildlib", f"{__version__}, from {origin}{f' at {source.commit}' if source.commit else ''}"
    yield "Python", f"{platform.python_version()} ({host.python})"
    yield "system", f"{_distribution()}, kernel {host.kernel}, {host.machine}, pages of {host.page_size} bytes"
    yield "libc", " ".join(platform.libc_ver()).strip() or "not glibc"
    for toolchain in host.toolchains:
        yield "compiler", f"{toolchain}, {toolchain.host}, {toolchain.rustc}"
    if not host.toolchains:
        yield "compiler", host.rustup_error or "none"
    if host.pin:
        yield "rust-toolchain", f"{host.pin}, by {host.pin.file}"
    yield "rustup", _answer(context, "rustup", "--version")
    yield "zig", f"{host.zig_version} ({host.zig})" if host.zig else "none"
    yield "cargo-zigbuild", f"{host.zigbuild_version} ({host.zigbuild})" if host.zigbuild else "none"
    linker = host.cargo_config.linker(host.triple)
    program = host.which(linker.text) if linker else host.which("cc", "gcc", "clang")
    named = f"{linker.text} ({linker.where})" if linker else program or "no cc"
    yield "host linker", f"{named}: {_answer(context, program, '--version') if program else 'not installed'}"
    yield "libclang", str(host.libclang or ("of the system" if host.system_libclang else "none"))
    if host.cargo_config.wrappers:
        yield "rustc wrapper", ", ".join(f"{wrapper.text} ({wrapper.where})" for wrapper in host.cargo_config.wrappers)
    yield "git", _answer(context, "git", "--version")


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _containers(context: Context) -> Iterator[Row]:
    daemon = context.host.daemon
    if not daemon.version:
        yield "engine", daemon.error or "none"
        return
    parts = "".join(f", {name} {version}" for name, version in daemon.parts.items() if name != "Engine")
    yield "engine", f"{daemon.version}{parts}"
    info = daemon.info
    yield "storage, cgroups", f"{info.get('Driver')}, version {info.get('CgroupVersion')}"
    try:
        yield "buildx", builder_commands.buildx_version(context) or "none"
        state = builder_commands.inspect(context)
    except BuildError as error:
        yield "builder", error.message
    else:
        yield (
            "builder",
            "; ".join((context.config.builder.name, "exists" if state.exists else "is missing", *state.differences)),
        )


def _target(context: Context, target: Target, backend: Backend) -> Iterator[Row]:
    host = context.host
    yield "triple", target.triple
    yield "backend", f"{backend.name}: {backend.why}"
    yield "minimum glibc", backend.minimum_glibc or ("static" if target.is_musl else "not checked")
    compiler = std.installed(host, target) if backend.local else None
    if compiler:
        yield "std", "built from source" if compiler.sysroot else "installed"
        yield "compiler", f"{compiler}, {compiler.toolchain.rustc}"
    elif backend.local:
        sources = ", ".join(source.job.name for source in std.sources(host, target))
        yield "std", f"not installed; {f'to try: {sources}' if sources else 'no source of it'}"
    if stand_in := configured_programs.stand_in(host, target, backend, host.triple):
        yield "linker of build scripts", stand_in
    if qemu.is_native(host, target):
        yield "starts", "on this machine"
    else:
        emulator = qemu.qemu(host, target)
        version = qemu.version_of(_answer(context, emulator, "--version")) if emulator else ""
        yield (
            "starts",
            f"with {emulator} {version}, C library in {qemu.libraries(host, target)}" if emulator else "no QEMU",
        )
    if sysroot := host.sysroots.get(target.name):
        packages = ", ".join(f"{name} {version}" for name, version in sysroot.packages.items())
        yield "libraries", f"{sysroot.suite}: {packages or 'not downloaded yet'}"
    yield "rustflags", "; ".join(reasons.rustflags(host, target))
    if context.workspace.has_rust and (compiler or not backend.local):
        toolset = cargo.Toolset(
            target=target, backend=backend, compiler=compiler, uses=uses(read_text(context.workspace.lock))
        )
        build = cargo.build(host, context.config, context.workspace, context.request, context.selection, toolset)
        yield from _command(build, toolset)


def _command(build: cargo.Build, toolset: cargo.Toolset) -> Iterator[Row]:
    """The command line and the variables that a build sets beside PATH, with the reason for each."""
    for step in build.job.steps:
        if isinstance(step, Step):
            yield "command", join(step.argv)
            for name, value in sorted(step.env.items()):
                if name != "PATH":
                    why = reasons.reason(name, toolset.target, toolset.backend)
                    text = value.replace("\x1f", " ")
                    yield name, f"{text} ({why})" if why else text


def _settings(context: Context) -> Iterator[Row]:
    """Every setting that something has set, and what."""
    origins = context.config.origins
    for key, value in flat(context.config).items():
        if origins.get(key, "default") != "default":
            yield key, f"{value!r} ({origins[key]})"


def _variables(host: Host) -> Iterator[Row]:
    for name, value in sorted(host.env.items()):
        if name.startswith(PREFIXES) or name.lower() in PROXIES:
            yield name, value


def _missing(context: Context, targets: tuple[Target, ...]) -> Iterator[Row]:
    for one in missing(checks.all_requirements(context, targets), context.host):
        yield "required" if one.required else "optional", f"{one.what}: {one.why}"


def _errors(context: Context) -> Iterator[Row]:
    for line in history.read(read_text(context.workspace.target_dir / HISTORY)):
        if line["kind"] == "error":
            yield f"buildlib {line['command']}", str(line.get("message"))
