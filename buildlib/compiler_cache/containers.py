"""The cache where cross compiles, which is in a container.

cross mounts the workspace, the toolchain, cargo's home and the target directory under the same paths on every machine: what is
compiled has no path of this one, and keys need no names for any. sccache's server compiles itself, so it runs in a second container
of the same image, with the same directories. What cross takes for the container engine is a script. It writes down how cross would
start the container when it is asked, and otherwise adds the cache's files to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from shlex import quote

from buildlib.compiler_cache.scripts import CompilerCache, filled
from buildlib.core.plan import Action, Job, Script, Step, words
from buildlib.core.targets import Target

RUSTC = Path("/rust/bin/rustc")  # the toolchain, where cross mounts it (docker/local.rs of cross 0.2.5)
ASKS = "_BUILDLIB_CACHE_ASKS"
NAMES = {"CC": "cc", "CXX": "c++"}  # of variables, and by which sccache knows the compilers
TERMINAL = ("-i", "-t")  # cross's own where it has one
# What sccache's server reads of the environment.
FOR_SERVER = ("SCCACHE_", "AWS_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


def variables(cache: CompilerCache, script: Script, target: Target) -> dict[str, str]:
    """Write the scripts in the place of the engine, rustc and the C compilers; the variables with which cross uses them."""
    folder = quote(str(cache.folder))
    std = ("$_BUILDLIB_STD", "$_BUILDLIB_TARGET_STD")
    rustc = cache.rustc(
        script, RUSTC, str(RUSTC), std, "inside/rustc"
    )  # cross, whose PATH has the scripts, needs the real one
    script("cached/c_inner", filled("c_inner.sh", {"IDENTITY": "@SUM@"}))
    for name, kind in NAMES.items():
        programs = {"PLAIN": f'"$_BUILDLIB_PLAIN_{name}"', "INNER": f'"$_BUILDLIB_INNER_{name}"'}
        text = filled("c_outer.sh", {**programs, "SCCACHE": quote(str(cache.sccache))})
        script(f"cached/{kind}", f'#!/bin/sh\n{text}exec {programs["PLAIN"]} "$@"\n')
    found = {"RUSTC": quote(rustc), "TRIPLE": target.triple, "TARGET": target.env, "FOLDER": folder}
    added = (*_mounts(cache), *words("--env", cache.environment))
    asked = {
        "ENGINE": quote(cache.engine), "OPTIONS": quote(str(cache.container)), "ADDED": " ".join(map(quote, added)),
        "CONTAINER": quote(script("cached/container", filled("container.sh", found))),
    }  # fmt: skip
    return {"CROSS_CONTAINER_ENGINE": script("engine", filled("engine.bash", asked))}


def question(argv: tuple[str, ...], env: Mapping[str, str], scripts: Iterable[Action], cwd: Path) -> Job:
    """Make cross, called by `argv` as for a build, write down how it starts its container."""
    step = Step(title="cross's container", argv=argv, env={**env, ASKS: "1"}, cwd=cwd, stdout="keep", quiet=True)
    return Job(name=step.title, steps=(*scripts, step))


def image(cache: CompilerCache, answer: str) -> tuple[Step, Step]:
    """The question whether the image of cross's container is here, and the step that gets it, for which no server could wait.

    `answer` is what is in `cache.container` after the question.
    """
    name = answer.split("\0")[-2]
    asks = Step(title="cross's image", argv=(cache.engine, "image", "inspect", name), stdout="keep", quiet=True)
    return asks, Step(title=f"pull {name}", argv=(cache.engine, "pull", name), attempts=10)


def server(cache: CompilerCache, answer: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """The command line that runs sccache's server with the environment `env` in a container like that of cross."""
    *options, name = answer.split("\0")[:-1]
    variables = [variable for variable in env if variable.upper().startswith(FOR_SERVER)]
    stores = [f"{env[variable]}:{env[variable]}:z" for variable in ("SCCACHE_DIR",) if variable in env]
    return (
        cache.engine, "run", "--init", "--network", "host", *_mounts(cache), *words("--volume", stores), *words("--env", variables),
        *(word for word in options if word not in TERMINAL), name, str(cache.sccache),
    )  # fmt: skip


def _mounts(cache: CompilerCache) -> tuple[str, ...]:
    """Options for the directories of the scripts and of the socket, and for sccache."""
    folders = (
        f"{path}:{path}:z" for path in (cache.folder.parent, cache.socket.parent)
    )  # z: for SELinux, as cross does it
    return words("--volume", (*folders, f"{cache.sccache}:{cache.sccache}:ro"))
