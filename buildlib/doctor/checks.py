"""Collect everything that `doctor` checks, section by section: what builds, tests and images require of this machine."""

from __future__ import annotations

import io
import json
import platform
import tarfile
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from buildlib import elf
from buildlib.assembly import spec
from buildlib.builder import builder_commands
from buildlib.core.errors import BuildError
from buildlib.core.plan import Step
from buildlib.core.requirements import Requirement
from buildlib.core.targets import Target
from buildlib.doctor import engine
from buildlib.doctor.engine import EngineFacts
from buildlib.emulation import binfmt, qemu
from buildlib.emulation.exit_stub import exit_program
from buildlib.images import workspace_dockerfile
from buildlib.machine import docker_daemon
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.registry.reference import parse
from buildlib.rust import provision
from buildlib.sysroot import install as sysroots

# The second is where systemd's stub resolver, which is in the first, keeps the servers that it asks.
RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
DOCKER_DNS = "127.0.0.11"  # Docker's embedded server, which asks this machine's


def all_requirements(context: Context, targets: tuple[Target, ...]) -> tuple[Requirement, ...]:
    """Everything that builds, tests and images of `targets` require. Docker and cargo are asked at the same time."""
    rust = context.workspace.has_rust
    context = sysroots.provide(context, targets) if rust else context
    with ThreadPoolExecutor(max_workers=2) as pool:
        for_images = pool.submit(image_requirements, context, targets)
        return (
            *(provision.requirements(context, provision.backends(context, targets)) if rust else ()),
            *sysroots.requirements(context.host.sysroots.values()),
            *binfmt.version_requirements(_emulators(context, targets)),
            *(_loaders(context, targets) if rust else ()),
            *for_images.result(),
            *engine.disk_space(_places(context)),
        )


def _emulators(context: Context, targets: Iterable[Target]) -> Iterable[binfmt.Emulator]:
    """Every QEMU that emulates a target here: the handler's starts containers, the one on PATH starts tests."""
    versions: dict[str, str] = {}
    for target in targets:
        if qemu.is_native(context.host, target):
            continue
        handler = binfmt.handler(context.host, target)
        programs = {
            "containers": handler.interpreter if handler else "",
            "tests": qemu.qemu(context.host, target) or "",
        }
        for use, name in programs.items():
            # Debian's handlers are links whose names tell QEMU that the kernel has started it.
            program = str(Path(name).resolve())
            if name and program not in versions:
                outcome = context.run(qemu.version((program,)))
                versions[program] = qemu.version_of(outcome.stdout) if outcome else ""
            if name:
                yield binfmt.Emulator(target, use, program, versions[program])


def _loaders(context: Context, targets: Iterable[Target]) -> Iterable[Requirement]:
    """For each target with a C library here, that its loader is for the target's architecture."""
    for target in targets:
        folder = None if target.is_musl else qemu.libraries(context.host, target)
        if folder and not qemu.is_native(context.host, target):
            machine = 0
            with suppress(OSError):
                machine = elf.machine(Path(f"{folder}{target.loader}"))
            yield binfmt.loader_requirement(target, folder, machine=machine)


def image_requirements(context: Context, targets: tuple[Target, ...]) -> tuple[Requirement, ...]:
    """What images require: credentials, the engine, and, if it answers, handlers for the other architectures.

    UsageError when the setting `registry` is not the name of a registry.
    """
    config, registries = context.config, []
    if config.registry:
        registries = [parse(f"{spec.registry(context)}/component").registry]
    credentials = engine.credentials(registries, docker_daemon.read_config(context.host.env))
    if config.engine == "none":
        return credentials
    # The images of binaries need an engine only where the settings say so, or where it is complete: buildlib makes them itself.
    needed = bool(config.images) or workspace_dockerfile.is_own(context)
    published = bool(config.registry)
    if not context.host.daemon.version:
        required = needed or (published and config.engine == "docker")
        return (engine.daemon(required=required, error=context.host.daemon.error), *credentials)
    facts = _engine_facts(context)
    required = needed or (published and (config.engine == "docker" or bool(facts.buildx)))
    handlers = {one.what: one for target in targets for one in binfmt.requirements(target)}
    return (*engine.requirements(facts, required=required), *handlers.values(), *credentials)


def _engine_facts(context: Context) -> EngineFacts:
    name = context.config.builder.name
    buildx = builder_commands.buildx_version(context)
    if not buildx:
        return EngineFacts(buildx_error=builder_commands.NO_BUILDX, builder=name)
    with ThreadPoolExecutor(max_workers=2) as pool:
        reading = pool.submit(_builder_servers, context, f"buildx_buildkit_{name}0")
        try:
            state = builder_commands.inspect(context)
        except BuildError as error:
            return EngineFacts(buildx=buildx, buildx_error=error.message, builder=name)
        servers = reading.result()
        return EngineFacts(
            buildx=buildx, builder=name, exists=state.exists, differences=state.differences, servers=servers,
            # A builder that is running shows that containers start.
            host_servers=_host_servers(), started=_start_container(context) if servers is None else None,
        )  # fmt: skip


def _host_servers() -> tuple[str, ...]:
    return (*(server for path in RESOLVERS for server in _name_servers(read_text(Path(path)))), DOCKER_DNS)


def _name_servers(text: str) -> list[str]:
    """The servers in the text of a resolv.conf."""
    lines = (line.split() for line in text.splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def _builder_servers(context: Context, container: str) -> tuple[str, ...] | None:
    """The name servers that a running builder asks; None if it is not running."""
    argv = ("docker", "exec", container, "cat", "/etc/resolv.conf")
    answer = context.run(Step(title="name servers", argv=argv, stdout="keep", quiet=True, timeout=10.0))
    return tuple(_name_servers(answer.stdout)) if answer else None


def _start_container(context: Context) -> str | None:
    """Start a container of a few bytes that exits at once, and remove it and its image.

    "" when it ran, otherwise why it did not; None where no such program is known for this machine.
    """
    program = exit_program(context.host.machine)
    if not program:
        return None
    import docker

    try:
        client = docker_daemon.client(context.host.env, timeout=20)
        answer = json.loads(client.api.import_image_from_data(_archive(program)).splitlines()[-1])
        image = answer["status"]
        try:
            container = client.containers.create(image, ["/exit"], network_mode="none")
            try:
                container.start()
                container.wait(timeout=20)
            finally:
                container.remove(force=True)
        finally:
            client.images.remove(image, force=True)
    except (docker.errors.DockerException, OSError, KeyError, ValueError) as error:
        return str(getattr(error, "explanation", "") or error).strip()
    return ""


def _archive(program: bytes) -> bytes:
    """A tar archive with `program` as the executable /exit."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("exit")
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
    return file.getvalue()


def _places(context: Context) -> list[tuple[Path, str]]:
    """Where a build writes, and what."""
    compiled = [
        (context.workspace.target_dir, "cargo compiles there"), (context.host.cache, "std and downloads are kept there"),
    ]  # fmt: skip
    places = [
        *(compiled if context.workspace.has_rust else ()),
        (Path(tempfile.gettempdir()), "temporary files are written there"),
    ]  # fmt: skip
    info = context.host.daemon.info
    if info.get("Name") == platform.node() and info.get("DockerRootDir"):
        places.append((Path(info["DockerRootDir"]), "images and the builder's cache are kept there"))
    return places
