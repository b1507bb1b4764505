"""The command `doctor`: all that this machine was asked for, section by section; and the cures, carried out and looked at again."""

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

from buildlib.binaries import elf
from buildlib.core.errors import BuildError
from buildlib.core.plan import Step
from buildlib.core.requirements import Requirement
from buildlib.core.targets import Target
from buildlib.doctor import engine
from buildlib.doctor.engine import EngineFacts
from buildlib.emulation import binfmt, qemu
from buildlib.emulation.exit_stub import exit_program
from buildlib.machine import docker_daemon
from buildlib.images import builder_commands
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.registry.reference import parse
from buildlib.rust import provision

# A resolver of the machine's own stands for those that it asks itself.
RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
EMBEDDED = "127.0.0.11"  # Docker's own, which asks this machine's


def all_requirements(context: Context, targets: tuple[Target, ...]) -> tuple[Requirement, ...]:
    """Everything a build, tests and images of `targets` want here. Docker is asked while the crate graph is."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        for_images = pool.submit(images, context, targets)
        return (
            *provision.requirements(context, provision.backends(context, targets)),
            *binfmt.version_requirements(_players(context, targets)),
            *_loaders(context, targets),
            *for_images.result(),
            *engine.room(_places(context)),
        )


def _players(context: Context, targets: Iterable[Target]) -> Iterable[binfmt.Emulator]:
    """Every QEMU that plays a target here: the handler's starts containers, the one on PATH starts tests."""
    told: dict[str, str] = {}
    for target in targets:
        if qemu.is_native(context.host, target):
            continue
        found = binfmt.handler(context.host, target)
        programs = {
            "containers": found.interpreter if found else "",
            "tests": qemu.qemu(context.host, target) or "",
        }
        for use, name in programs.items():
            # Debian's handlers are links whose names tell QEMU that the kernel has called it.
            program = str(Path(name).resolve())
            if name and program not in told:
                outcome = context.run(qemu.version((program,)))
                told[program] = qemu.version_of(outcome.stdout) if outcome else ""
            if name:
                yield binfmt.Emulator(target, use, program, told[program])


def _loaders(context: Context, targets: Iterable[Target]) -> Iterable[Requirement]:
    for target in targets:
        folder = None if target.is_musl else qemu.libraries(context.host, target)
        if folder and not qemu.is_native(context.host, target):
            machine = 0
            with suppress(OSError):
                machine = elf.machine(Path(f"{folder}{target.loader}"))
            yield binfmt.loader_requirement(target, folder, machine=machine)


def images(context: Context, targets: tuple[Target, ...]) -> tuple[Requirement, ...]:
    """What images want: the engine, and where that is there, handlers for the other architectures and credentials."""
    required = bool(context.config.registry)
    if not context.host.daemon.version:
        return (engine.daemon(required=required, error=context.host.daemon.error),)
    binfmt = {need.what: need for target in targets for need in binfmt.requirements(target)}
    registry = parse(f"{context.config.registry}/component").registry if context.config.registry else ""
    config = docker_daemon.read_config(context.host.env)
    return (
        *engine.requirements(_seen(context), required=required), *binfmt.values(),
        *engine.credentials([registry] if registry else [], config),
    )  # fmt: skip


def _seen(context: Context) -> EngineFacts:
    name = context.config.builder.name
    asked = context.run(Step(title="buildx", argv=("docker", "buildx", "version"), stdout="keep", quiet=True))
    version = (asked.stdout.split() or ["", ""])[1:2] if asked else []
    if not asked:
        return EngineFacts(buildx_error="docker has no such plugin", builder=name)
    with ThreadPoolExecutor(max_workers=2) as pool:
        servers = pool.submit(_servers_of_builder, context, f"buildx_buildkit_{name}0")
        try:
            state = builder_commands.inspect(context)
        except BuildError as error:
            return EngineFacts(buildx=version[0], buildx_error=error.message, builder=name)
        # A builder that runs has shown that containers do.
        runs = servers.result() is not None
        return EngineFacts(
            buildx=version[0], builder=name, there=state.exists, differs=state.differences, servers=servers.result(),
            own_servers=_own_servers(), started=None if runs else _start(context),
        )  # fmt: skip


def _own_servers() -> tuple[str, ...]:
    return (*(server for path in RESOLVERS for server in _name_servers(read_text(Path(path)))), EMBEDDED)


def _name_servers(text: str) -> list[str]:
    lines = (line.split() for line in text.splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def _servers_of_builder(context: Context, container: str) -> tuple[str, ...] | None:
    """The name servers that a running builder asks; None for one that does not run."""
    argv = ("docker", "exec", container, "cat", "/etc/resolv.conf")
    asked = context.run(Step(title="name servers", argv=argv, stdout="keep", quiet=True, timeout=10.0))
    return tuple(_name_servers(asked.stdout)) if asked else None


def _start(context: Context) -> str | None:
    """Starts a container of a few bytes that ends at once, and takes everything away again: "" when it ran, why it did not, None
    where nobody knows how such a program looks on this machine."""
    program = exit_program(context.host.machine)
    if not program:
        return None
    import docker

    told = io.BytesIO()
    with tarfile.open(fileobj=told, mode="w") as archive:
        entry = tarfile.TarInfo("exit")
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
    try:
        client = docker_daemon.client(context.host.env, timeout=20)
        answer = json.loads(client.api.import_image_from_data(told.getvalue()).splitlines()[-1])
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


def _places(context: Context) -> list[tuple[Path, str]]:
    """Where a build writes, one place for each disk."""
    told = [
        (context.workspace.target_dir, "cargo compiles there"), (context.host.cache, "std, and what is downloaded, is kept there"),
        (Path(tempfile.gettempdir()), "what is on its way"),
    ]  # fmt: skip
    info = context.host.daemon.info
    if info.get("Name") == platform.node() and info.get("DockerRootDir"):
        told.append((Path(info["DockerRootDir"]), "images and the builder's cache"))
    return told
