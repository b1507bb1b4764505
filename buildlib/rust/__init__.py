"""From a target to a cargo command line.

Start with `provision`, which prepares a toolset for each target: the backend that links (`backends`), the compiler with the target's
standard library (`std`), and what its crates need of the machine (`libraries`, and the package `crates`). `cargo` turns a toolset into
command lines, `environment` into variables for build scripts. `linker` is a program of its own: it runs in every link and imports
nothing of buildlib.

This package starts no process by itself: commands go through the runner of `process`. It must not import docker, requests,
tenacity, invoke or nox, nor any package above `emulation`.
"""
