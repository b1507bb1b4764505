"""Compile in a container (`image --in-docker`): the stage `compile` of the Dockerfile instead of this machine's toolchain."""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import buildlib
from buildlib import elf
from buildlib.assembly import spec
from buildlib.binaries import dist, gate
from buildlib.binaries.publishing import publish
from buildlib.builder import buildx
from buildlib.builder.buildx import BuildInputs
from buildlib.core.errors import BuildError, CompileFailed, MissingRequirements, NetworkError, Refused
from buildlib.core.plan import Outcome, Step, words
from buildlib.core.targets import Target
from buildlib.images import dockerfile, workspace_dockerfile
from buildlib.process.context import Context
from buildlib.registry import session


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerOptions:
    """How the compilation in a container runs."""

    network: str = ""  # "host" lets it use this machine's network
    fresh: bool = False  # ignore what is cached


def compile_in_container(
    context: Context, targets: tuple[Target, ...], revision: str, epoch: int, options: ContainerOptions
) -> None:  # fmt: skip
    """Build the stage `binaries` for each target, gate the result again on this machine, and publish it to dist/.

    CompileFailed when cargo fails in the container; other exit codes of the buildlib in it become this command's.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        session.open_session(context, session.prepare(context)) as registries,
    ):
        inputs = _inputs(context, revision, epoch, Path(scratch))
        base = workspace_dockerfile.base_context(context, registries, context.config.builder.compiler)
        inputs = replace(inputs, contexts={**inputs.contexts, **base})
        for target in targets:
            with context.console.fold(f"{target.name} · in a container"):
                out = Path(scratch) / target.name
                step = _step(context, inputs, target, out, options)
                outcome = context.run(step)
                if not outcome:
                    raise _compile_error(target, outcome)
                if outcome.ran:
                    _accept(context, target, out)


def _inputs(context: Context, revision: str, epoch: int, scratch: Path) -> BuildInputs:
    config = context.config
    settings = {"PROFILE": config.profile, "GLIBC": config.glibc, "FEATURES": ",".join(config.features),
                "LIBRARIES": ",".join(config.libraries)}  # fmt: skip
    names = ",".join(f"{component.package}/{component.name}" for component in context.selection.components)
    args = {f"BUILDLIB_{name}": value for name, value in settings.items() if value}
    return BuildInputs(
        builder=config.builder.name, file=workspace_dockerfile.file_of(context, scratch), context=context.workspace.root, epoch=epoch,
        contexts={"buildlib": str(Path(buildlib.__file__).parent)},
        args={"COMPONENT": names, "SOURCE_COMMIT": revision, "WORKSPACE": _digest(context.workspace.root)} | args,
        more=secrets(context),
    )  # fmt: skip


def _digest(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:12]


def secrets(context: Context) -> tuple[str, ...]:
    """Flags that pass this machine's certificates and pip configuration as secrets, which stay in no layer."""
    env, home = context.host.env, context.host.env.get("HOME", "/")
    bundles = (env.get("SSL_CERT_FILE", ""), dockerfile.CERTIFICATES, "/etc/pki/tls/certs/ca-bundle.crt")
    settings = (
        env.get("PIP_CONFIG_FILE", ""), f"{home}/.config/pip/pip.conf", f"{home}/.pip/pip.conf", "/etc/pip.conf",
    )  # fmt: skip
    files = {
        name: next((path for path in paths if path and context.host.exists(Path(path))), "")
        for name, paths in (("certificates", bundles), ("pip", settings))
    }
    return words("--secret", (f"id={name},src={path}" for name, path in files.items() if path))


def _step(context: Context, inputs: BuildInputs, target: Target, out: Path, options: ContainerOptions) -> Step:
    inputs = replace(inputs, args={**inputs.args, "LIBC": dockerfile.libc_suffix(target)})
    more = (
        "--output", f"type=local,dest={out}", *_cache(context, target),
        *(("--network", "host", "--allow", "network.host") if options.network == "host" else ()),
        *(("--no-cache",) if options.fresh else ()),
    )  # fmt: skip
    return replace(buildx.build_step(f"compile {target.name}", inputs, "binaries", (target,), *more), held=False)


def _cache(context: Context, target: Target) -> tuple[str, ...]:
    """The flags for a cache outside the builder, one per arch: a build for one arch must not discard the cache of another."""
    cache = context.config.builder.cache
    if cache == "registry":
        reference = f"type=registry,ref={spec.registry(context)}/buildcache:{target.name}"
        return ("--cache-from", reference, "--cache-to", f"{reference},mode=max")
    if cache:
        folder = context.workspace.root / cache / target.name
        return ("--cache-from", f"type=local,src={folder}", "--cache-to", f"type=local,dest={folder},mode=max")
    return ()


def _compile_error(target: Target, outcome: Outcome) -> BuildError:
    """The error for a failed step. The buildlib in the container has reported why; only its exit code is passed on."""
    codes = re.findall(r"did not complete successfully: exit code: (\d+)", outcome.output)
    errors = {error.code: error for error in (CompileFailed, Refused, NetworkError, MissingRequirements)}
    if codes and int(codes[-1]) in errors:
        message = f"{target.name}: the compilation in the container exited with code {codes[-1]}"
        return errors[int(codes[-1])](message, "the output above says why")
    return buildx.docker_error(outcome)


def _accept(context: Context, target: Target, out: Path) -> None:
    """Check the exported binaries with this machine's gate, and publish them to dist/."""
    names = {component.name for component in context.selection.components}
    entries = [entry for entry in dist.read(out) if entry["arch"] == target.name and (out / entry["path"]).is_file()]
    entries = [entry for entry in entries if entry["binary"] in names]
    if missing := names - {entry["binary"] for entry in entries}:
        raise Refused(
            f"{target.name}: the stage `binaries` has no {', '.join(sorted(missing))}", "the output above says why"
        )
    refusals: list[str] = []
    accepted: list[dist.Entry] = []
    for entry in entries:
        path = out / entry["path"]
        facts = elf.read(path)
        mismatches, started = gate.check(context, path, facts, target, entry["floor"])
        refusals += [f"{entry['binary']}: {mismatch}" for mismatch in mismatches]
        accepted.append(dist.with_start({**entry, "size": facts.size, "sha256": facts.sha256}, started))
    gate.refuse(target, refusals)
    files = (file["path"] for entry in accepted for file in dist.all_files_of(entry))
    publish(context, accepted, {path: out / path for path in files})
