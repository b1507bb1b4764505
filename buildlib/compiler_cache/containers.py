"""The cache with cross, which compiles in a container.

cross mounts the workspace, the toolchain, cargo's home and the target directory under the same paths on every machine, so keys need no
other names for paths. sccache's server runs the compilers itself. It therefore runs in a second container of the same image, with the
same mounts. CROSS_CONTAINER_ENGINE is a wrapper script: it records the options of the container, or adds the cache's mounts to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from shlex import quote

from buildlib.compiler_cache.scripts import VERSION, CompilerCache, filled
from buildlib.core.plan import Action, Job, Script, Step, words
from buildlib.core.targets import Target

RUSTC = Path("/rust/bin/rustc")  # the toolchain, where cross mounts it (docker/local.rs of cross 0.2.5)
SCCACHE = Path("/.buildlib/sccache")  # not where its own path is: a configuration that names sccache would find it
ASKS = "_BUILDLIB_CACHE_ASKS"
NAMES = {"CC": "cc", "CXX": "c++"}  # of variables, and by which sccache knows the compilers
# Variables that sccache's server reads.
FOR_SERVER = ("SCCACHE_", "AWS_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
# Options of one container that a second one cannot have, with a value or without: a terminal, and what CROSS_CONTAINER_OPTS may have.
WITHOUT_VALUE = frozenset({"-i", "-t", "-it", "-ti", "--interactive", "--tty"})
WITH_VALUE = frozenset(
    {"--name", "--cidfile", "--network", "--net", "--ip", "--ip6", "-p", "--publish", "--hostname", "-h"}
)
# PID 1 ignores signals without a handler; --init would need a program that podman may lack.
UNTIL_ENDED = ("sh", "-c", 'trap exit INT TERM; "$0" & wait "$!"')


def variables(cache: CompilerCache, script: Script, target: Target) -> dict[str, str]:
    """Write the wrappers of the engine, of rustc and of the C compilers; the variables with which cross uses them."""
    folder, inside = quote(str(cache.folder)), replace(cache, sccache=SCCACHE)
    std = ("$_BUILDLIB_STD", "$_BUILDLIB_TARGET_STD")
    # Not beside the other scripts: they are on the PATH of cross, which needs the real rustc.
    rustc = inside.rustc(script, RUSTC, str(RUSTC), std, "inside/rustc")
    script("cached/c_inner", filled("c_inner.sh", {"IDENTITY": f"{VERSION} @SUM@"}))
    for name, kind in NAMES.items():
        plain = f'"$_BUILDLIB_PLAIN_{name}"'
        lines = inside.c_lines(plain, f'"$_BUILDLIB_INNER_{name}"')
        script(f"cached/{kind}", f'#!/bin/sh\n{lines}exec {plain} "$@"\n')
    names = {"RUSTC": quote(rustc), "TRIPLE": target.triple, "TARGET": target.env, "FOLDER": folder}
    added = (*_mounts(cache), *words("--env", cache.environment))
    parts = {
        "ASKS": ASKS, "ENGINE": quote(cache.engine), "OPTIONS": quote(str(cache.container_options)),
        "ADDED": " ".join(map(quote, added)), "CONTAINER": quote(script("cached/container", filled("container.sh", names))),
    }  # fmt: skip
    return {"CROSS_CONTAINER_ENGINE": script("engine", filled("engine.bash", parts))}


def probe(argv: tuple[str, ...], env: Mapping[str, str], scripts: Iterable[Action], cwd: Path) -> Job:
    """Make cross, called by `argv` as for a build, record the options of its container."""
    step = Step(
        title="options of cross's container", argv=argv, env={**env, ASKS: "1"}, cwd=cwd, stdout="keep", quiet=True
    )
    return Job(name=step.title, steps=(*scripts, step))


def image(cache: CompilerCache, options: str) -> tuple[Step, Step]:
    """Steps that look for the image and pull it. `options` is the text of `cache.container_options`."""
    name = options.split("\0")[-2]
    inspect = Step(title="cross's image", argv=(cache.engine, "image", "inspect", name), stdout="keep", quiet=True)
    return inspect, Step(title=f"pull {name}", argv=(cache.engine, "pull", name), attempts=10)


def server(cache: CompilerCache, options: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """The command line that runs sccache's server with the environment `env`, beside the container with these `options`."""
    *kept, name = _common(options.split("\0")[:-1])
    variables = [variable for variable in env if variable.upper().startswith(FOR_SERVER)]
    store = env.get("SCCACHE_DIR")
    return (
        cache.engine, "run", *kept, "--name", _name(cache), "--network", "host", *_mounts(cache),
        *(("--volume", f"{store}:{store}:z") if store else ()), *words("--env", variables), name, *UNTIL_ENDED, str(SCCACHE),
    )  # fmt: skip


def remove(cache: CompilerCache) -> Step:
    """The step that removes the server's container, if an interruption has left it."""
    return Step(
        title="sccache's container", argv=(cache.engine, "rm", "--force", _name(cache)), stdout="keep", quiet=True
    )


def _name(cache: CompilerCache) -> str:
    return f"buildlib-sccache-{cache.socket.parent.name}"


def _common(options: list[str]) -> Iterator[str]:
    """The options that a second container can have as well."""
    rest = iter(options)
    for word in rest:
        if word in WITH_VALUE:
            next(rest, None)
        elif word not in WITHOUT_VALUE and word.partition("=")[0] not in WITH_VALUE:
            yield word


def _mounts(cache: CompilerCache) -> tuple[str, ...]:
    """The mounts of the scripts, of the socket and of sccache."""
    # z is for SELinux, as cross has it.
    folders = (f"{path}:{path}:z" for path in (cache.folder.parent, cache.socket.parent))
    return words("--volume", (*folders, f"{cache.sccache}:{SCCACHE}:ro"))
