"""A workspace's workflow for GitHub Actions: tests on every architecture, then images. It calls nox and buildlib, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from shlex import quote

from buildlib.core.errors import UsageError
from buildlib.core.settings import Config
from buildlib.core.targets import find_target
from buildlib.machine import installation
from buildlib.registry.reference import parse

# Actions by commit, for a tag can be moved: checkout 6.1.0, setup-python 6.3.0, cache 5.0.0, upload-artifact 7.0.1.
PINS = {
    "CHECKOUT": "actions/checkout@d23441a48e516b6c34aea4fa41551a30e30af803 # v6.1.0",
    "PYTHON": "actions/setup-python@ece7cb06caefa5fff74198d8649806c4678c61a1 # v6.3.0",
    "CACHE": "actions/cache@a7833574556fa59680c1b7cb190c1735db73ebf0 # v5.0.0",
    "UPLOAD": "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a # v7.0.1",
}


BEGIN = """\
      - uses: @CHECKOUT@
        with: { persist-credentials: false }
      - uses: @PYTHON@
        with: { python-version: "3.12" }
"""
KEPT = """\
          path: |
            ~/.cache/buildlib
            ~/.cargo/registry
            target/buildlib
"""


def workflow(config: Config, install: str) -> str:
    """The file's text. `install` is the command that brings buildlib. UsageError for a runner that none can be called."""
    default = _name("ci.runner", config.ci.runner)
    runners = {find_target(arch).name: _name(f"ci.runners.{arch}", runner) for arch, runner in config.ci.runners.items()}
    host = parse(f"{config.registry}/component").registry if config.registry else ""
    words = {
        "BEGIN": BEGIN, "KEPT": KEPT, **PINS, "INSTALL": json.dumps(install), "BACKEND": config.backend, "RUNNER": default,
        "RUNS_ON": _runs_on(runners, default), "REGISTRY": _name("registry", host) if host else "",
    }  # fmt: skip
    text = TEMPLATE + (IMAGES if host else "")
    for name, word in words.items():
        text = text.replace(f"@{name}@", word)
    return text


def install_command(root: Path) -> str:
    """The command that installs the running buildlib in a job, for the workspace in `root`.

    A repository at its commit, or a directory of the project's own repository as a relative path. UsageError for any other source,
    which a job cannot reach or nobody has vouched for.
    """
    source = installation.source()
    repository = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
    if source.repository:
        words = source.requirement("host-tools")
    elif source.directory and source.directory.is_relative_to(repository):
        words = source.requirement("host-tools", relative_to=repository)
    else:
        origin = source.directory or source.url or "a package index"
        raise UsageError(
            f"this buildlib was installed from {origin}, which a workflow cannot use",
            "say how a job installs it: buildlib ci --install 'pip install …'",
        )
    return " ".join(("pip install", *(word if word == "-e" else quote(word) for word in words)))


def _name(key: str, value: object) -> str:
    """A word that means nothing to YAML, to GitHub's expressions or to a shell."""
    if not isinstance(value, str) or not re.fullmatch(r"[\w.-]+(:\d+)?", value):
        raise UsageError(f"{key} = {value!r} is no name that a workflow can have", 'as in "ubuntu-24.04-arm"')
    return value


def _runs_on(runners: Mapping[str, str], default: str) -> str:
    """An expression that picks an arch's own runner, where there is one."""
    if not runners:
        return default
    table = json.dumps(runners, separators=(",", ":"))
    return f"${{{{ fromJSON('{table}')[matrix.arch] || '{default}' }}}}"


TEMPLATE = """\
# Made by `buildlib ci`. Change what you like: it is yours.
name: multiarch
on:
  push:
    branches: [main]
    tags: ["v*"]
  pull_request:
permissions:
  contents: read
concurrency:
  group: multiarch-${{ github.ref }}
  cancel-in-progress: ${{ github.event_name == 'pull_request' }}

jobs:
  plan:
    runs-on: @RUNNER@
    timeout-minutes: 10
    outputs:
      checks: ${{ steps.sessions.outputs.checks }}
      tests: ${{ steps.sessions.outputs.tests }}
    steps:
@BEGIN@      - run: @INSTALL@
      - run: buildlib lint
        continue-on-error: true # findings are annotations; `image --strict` refuses
      - id: sessions
        run: |
          checks=$(nox -l --json | jq -c '[.[] | select(.tags == []) | .session]')
          tests=$(nox -l --json -t test | jq -c '[.[] | {session, arch: .tags[1]}]')
          echo "checks=$checks" >> "$GITHUB_OUTPUT"
          echo "tests=$tests" >> "$GITHUB_OUTPUT"

  checks:
    needs: plan
    if: needs.plan.outputs.checks != '[]'
    strategy:
      fail-fast: false
      matrix:
        session: ${{ fromJSON(needs.plan.outputs.checks) }}
    runs-on: @RUNNER@
    timeout-minutes: 90
    steps:
@BEGIN@      - run: @INSTALL@
      - run: nox -s ${{ matrix.session }}

  test:
    needs: plan
    strategy:
      fail-fast: false
      matrix:
        include: ${{ fromJSON(needs.plan.outputs.tests) }}
    runs-on: @RUNS_ON@
    timeout-minutes: 90
    steps:
@BEGIN@      - uses: @CACHE@
        with:
@KEPT@          key: buildlib-${{ runner.arch }}-${{ matrix.arch }}-@BACKEND@-${{ hashFiles('Cargo.lock', 'rust-toolchain.toml') }}
          restore-keys: buildlib-${{ runner.arch }}-${{ matrix.arch }}-@BACKEND@-
      - run: @INSTALL@
      - run: buildlib setup --yes --arch ${{ matrix.arch }}
      - run: nox -s ${{ matrix.session }}
      - uses: @UPLOAD@
        if: always()
        with:
          name: ${{ matrix.session }}
          path: target/buildlib/reports
"""

IMAGES = """
  # Every platform's image goes up by digest and is looked into; one index holds them together, and then the tags move.
  images:
    needs: [test]
    if: github.event_name == 'push'
    runs-on: @RUNNER@
    timeout-minutes: 90
    permissions:
      contents: read
      packages: write
    concurrency: images-${{ github.ref }}
    steps:
@BEGIN@      - uses: @CACHE@
        with:
@KEPT@            dist
          key: buildlib-images-@BACKEND@-${{ hashFiles('Cargo.lock', 'rust-toolchain.toml') }}
          restore-keys: buildlib-images-@BACKEND@-
      - run: @INSTALL@
      - run: buildlib setup --yes
      - run: echo "$TOKEN" | docker login @REGISTRY@ --username "$GITHUB_ACTOR" --password-stdin
        env:
          TOKEN: ${{ secrets.GITHUB_TOKEN }}
      - run: buildlib image --push
"""
