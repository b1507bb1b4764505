"""Compiled and verified binaries.

Start with `build`, the command that compiles, checks and publishes; `verify` is the same check without a build. `gate` has the
checks that a program or a library must pass before it is published to dist/, `start` starts a program, `dist` has the manifest of
dist/.

This package reads and writes only the files that it is given, through the runner of `process`. It must not import docker, requests,
invoke or nox, nor any package above `rust`.
"""
