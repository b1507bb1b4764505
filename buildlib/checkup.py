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

from buildlib import artifacts, containers, dockerd, doctor, emulation, engine, handlers, provision
from buildlib.containers import Seen
from buildlib.context import Context
from buildlib.errors import BuildError, Lacking
from buildlib.files import text_of
from buildlib.plan import Need, Step
from buildlib.targets import Target
from buildlib.tiny import exits

# A resolver of the machine's own stands for those that it asks itself.
RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
EMBEDDED = "127.0.0.11"  # Docker's own, which asks this machine's


def examine(context: Context, targets: tuple[Target, ...]) -> tuple[Need, ...]:
    """Everything a build, tests and images of `targets` want here. Docker is asked while the crate graph is."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        images = pool.submit(_images, context, targets)
        wanted = provision.needs(context, targets, provision.backends(context, targets))
        return (
            *wanted,
            *handlers.versions(_players(context, targets)),
            *_loaders(context, targets),
            *images.result(),
            *containers.room(_places(context)),
        )


def _players(context: Context, targets: Iterable[Target]) -> Iterable[handlers.Player]:
    """Every QEMU that plays a target here: the handler's starts containers, the one on PATH starts tests."""
    told: dict[str, str] = {}
    for target in targets:
        if emulation.is_native(context.host, target):
            continue
        found = handlers.handler(context.host, target)
        programs = {
            "containers": found.interpreter if found else "",
            "tests": emulation.qemu(context.host, target) or "",
        }
        for use, name in programs.items():
            # Debian's handlers are links whose names tell QEMU that the kernel has called it.
            program = str(Path(name).resolve())
            if name and program not in told:
                outcome = context.run(emulation.version((program,)))
                told[program] = emulation.version_of(outcome.stdout) if outcome else ""
            if name:
                yield handlers.Player(target, use, program, told[program])


def _loaders(context: Context, targets: Iterable[Target]) -> Iterable[Need]:
    for target in targets:
        folder = None if target.is_musl else emulation.libraries(context.host, target)
        if folder and not emulation.is_native(context.host, target):
            machine = 0
            with suppress(OSError):
                machine = artifacts.machine(Path(f"{folder}{target.loader}"))
            yield handlers.loader(target, folder, machine=machine)


def _images(context: Context, targets: tuple[Target, ...]) -> tuple[Need, ...]:
    """What images want: the engine, and where that is there, handlers for the other architectures and credentials."""
    must = bool(context.config.registry)
    if not context.host.daemon.version:
        return (containers.daemon(must=must, error=context.host.daemon.error),)
    binfmt = {need.what: need for target in targets for need in handlers.needs(target)}
    registry = context.config.registry.partition("/")[0]
    config = dockerd.configuration(context.host.env)
    return (
        *containers.needs(_seen(context), must=must), *binfmt.values(),
        *containers.credentials([registry] if registry else [], config),
    )  # fmt: skip


def _seen(context: Context) -> Seen:
    name = context.config.builder["name"]
    asked = context.run(Step(title="buildx", argv=("docker", "buildx", "version"), stdout="keep", quiet=True))
    version = (asked.stdout.split() or ["", ""])[1:2] if asked else []
    if not asked:
        return Seen(buildx_error="docker has no such plugin", builder=name)
    with ThreadPoolExecutor(max_workers=2) as pool:
        servers = pool.submit(_servers_of_builder, context, f"buildx_buildkit_{name}0")
        try:
            state = engine.inspect(context)
        except BuildError as error:
            return Seen(buildx=version[0], buildx_error=error.message, builder=name)
        # A builder that runs has shown that containers do.
        runs = servers.result() is not None
        return Seen(
            buildx=version[0], builder=name, there=state.there, differs=state.differs, servers=servers.result(),
            own_servers=_own_servers(), started=None if runs else _start(context),
        )  # fmt: skip


def _own_servers() -> tuple[str, ...]:
    return (*(server for path in RESOLVERS for server in _name_servers(text_of(Path(path)))), EMBEDDED)


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
    program = exits(context.host.machine)
    if not program:
        return None
    import docker

    told = io.BytesIO()
    with tarfile.open(fileobj=told, mode="w") as archive:
        entry = tarfile.TarInfo("exit")
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
    try:
        client = dockerd.client(context.host.env, timeout=20)
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


def mend(context: Context, targets: tuple[Target, ...], *, yes: bool) -> None:
    """`doctor --fix`: the build's needs, then what images want, as far as there are cures to carry out; each of these is looked at
    again. Lacking where one that must be met is not."""
    provision.setup(context, targets, yes=yes)
    lacking = doctor.missing(_images(context, targets), context.host)
    drifted = [need for need in lacking if need.what.endswith(containers.AS_WANTED)]
    curable = [need for need in lacking if any(cure.steps for cure in need.cures)]
    steps = tuple({step.argv: step for need in curable for cure in need.cures for step in cure.steps}.values())
    try:
        if steps:
            provision.agree(context.host, context.run, "; ".join(step.title for step in steps), yes=yes)
            provision.as_root(context.host, context.run, steps)
        if drifted:
            provision.agree(context.host, context.run, "the builder anew; its cache goes", yes=yes)
            engine.create(context, force=True)
    except BuildError as error:
        context.console.warn(f"{error.message}; {error.cure}")
    if context.run.dry or not (curable or drifted):
        return
    context = context.look_again()
    tried = {need.what for need in (*curable, *drifted)}
    after = [need for need in doctor.missing(_images(context, targets), context.host) if need.what in tried]
    for need in after:
        context.console.warn(f"still no {need.what} ({need.why}); cure: {need.cures[0].text}")
    if must := [need for need in after if need.must]:
        raise Lacking(f"still missing:\n{doctor.describe(must)}")
