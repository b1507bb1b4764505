"""Portability problems in Dockerfiles, Cross.toml, cargo's configuration and GitHub workflows.

Start with `check`, which checks one file with the rules that apply to it; each rule is a module in `rules`. Rules get an `analysis`
of the file that `parsing` has read. `command` is `buildlib lint`: it selects files and settings, `formats` prints the findings,
`fix` applies their mechanical fixes.

Only `command` opens files of the user. This package must not import subprocess, docker, requests, tenacity, invoke or nox, nor any
package above `binaries`.
"""
