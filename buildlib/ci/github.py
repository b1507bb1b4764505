"""The workflow for GitHub Actions that `buildlib ci` prints: tests on every architecture, then images.

Its jobs call nox and buildlib, and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from buildlib.ci.registry_login import login
from buildlib.core.errors import UsageError
from buildlib.core.image_settings import secret_variable
from buildlib.core.settings import Config
from buildlib.core.targets import find_target
from buildlib.machine import installation
from buildlib.machine.installation import Source

# Actions by commit, because a tag can be moved: checkout 6.1.0, setup-python 6.3.0, cache 5.0.0, upload-artifact 7.0.1.
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


def workflow(config: Config, install: str, *, rust: bool = True) -> str:
    """The text of the file. `install` is the command that installs buildlib in a job; without `rust` there is nothing to compile.

    UsageError for a runner or a registry whose name cannot stand in a workflow.
    """
    default = _checked_name("ci.runner", config.ci.runner)
    runners = {
        find_target(arch).name: _checked_name(f"ci.runners.{arch}", runner)
        for arch, runner in config.ci.runners.items()
    }
    registry = login(config.registry) if config.registry else None
    words = {
        "BEGIN": BEGIN, "KEPT": KEPT, **PINS, "INSTALL": json.dumps(install), "BACKEND": config.backend, "RUNNER": default,
        "RUNS_ON": _runs_on(runners, default), "LOGIN": registry.step if registry else "",
        # Only for GitHub's registry: the permission is that of GITHUB_TOKEN.
        "PACKAGES": "" if registry and registry.secrets else "      packages: write\n",
        "BEFORE": "test" if rust else "lint", "SECRETS": _secrets(config),
    }  # fmt: skip
    text = (
        HEAD + (TESTS if rust else LINT) + (IMAGES.replace("@BINARIES@", BINARIES if rust else "") if registry else "")
    )
    for name, word in words.items():
        text = text.replace(f"@{name}@", word)
    return text


def install_command(root: Path) -> str:
    """The command that installs the running buildlib in a job, for the workspace in `root`.

    A git repository is installed at its commit, a directory inside the workspace's own repository by its relative path. UsageError
    for any other source: a job does not have this machine's files, and an archive or a package index names no commit.
    """
    source = installation.source()
    repository = _repository(root)
    if source.repository:
        words = source.requirement("host-tools")
    elif source.directory and source.directory.resolve().is_relative_to(repository):
        inside = Source(directory=source.directory.resolve(), editable=source.editable)
        words = inside.requirement("host-tools", relative_to=repository)
    else:
        origin = source.directory or source.url or "a package index"
        raise UsageError(
            f"this buildlib was installed from {origin}, which a workflow cannot use",
            "pass the command that installs it in a job: buildlib ci --install 'pip install …'",
        )
    return installation.pip_command(words)


def _repository(root: Path) -> Path:
    """The directory that a job checks out; the workspace itself outside a git repository."""
    root = root.resolve()
    return next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)


def _checked_name(key: str, value: str) -> str:
    """The value, if it is only text to YAML, to GitHub's expressions and to a shell."""
    if not re.fullmatch(r"[\w.-]+(:\d+)?", value):
        raise UsageError(
            f"{key} = {value!r}: expected letters, digits, '.', '_' and '-'", "for example ubuntu-24.04-arm"
        )
    return value


def image_secrets(config: Config) -> tuple[str, ...]:
    """The variables that images need as secrets; a workflow takes them from the repository's secrets of the same names."""
    images = config.images.values()
    return tuple(sorted({name for image in images for text in image.secrets if (name := secret_variable(text))}))


def _secrets(config: Config) -> str:
    names = [_checked_name("images.*.secrets", name) for name in image_secrets(config)]
    lines = (f"          {name}: ${{{{ secrets.{name} }}}}\n" for name in names)
    return "".join(("        env:\n", *lines)) if names else ""


def _runs_on(runners: Mapping[str, str], default: str) -> str:
    """An expression for the arch's own runner, or for the default one."""
    if not runners:
        return default
    table = json.dumps(runners, separators=(",", ":"))
    return f"${{{{ fromJSON('{table}')[matrix.arch] || '{default}' }}}}"


HEAD = """\
# Generated by `buildlib ci`. You can edit this file.
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
"""

LINT = """\
  lint:
    runs-on: @RUNNER@
    timeout-minutes: 10
    steps:
@BEGIN@      - run: @INSTALL@
      - run: buildlib lint
        continue-on-error: true # findings are shown as annotations; `image --strict` fails on them
"""

TESTS = """\
  plan:
    runs-on: @RUNNER@
    timeout-minutes: 10
    outputs:
      checks: ${{ steps.sessions.outputs.checks }}
      tests: ${{ steps.sessions.outputs.tests }}
    steps:
@BEGIN@      - run: @INSTALL@
      - run: buildlib lint
        continue-on-error: true # findings are shown as annotations; `image --strict` fails on them
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

BINARIES = """\
      - uses: @CACHE@
        with:
@KEPT@            dist
          key: buildlib-images-@BACKEND@-${{ hashFiles('Cargo.lock', 'rust-toolchain.toml') }}
          restore-keys: buildlib-images-@BACKEND@-
"""

IMAGES = """
  # Each platform's image is pushed by digest and checked. Then one index joins them, and the tags are moved to it.
  images:
    needs: [@BEFORE@]
    if: github.event_name == 'push'
    runs-on: @RUNNER@
    timeout-minutes: 90
    permissions:
      contents: read
@PACKAGES@    concurrency: images-${{ github.ref }}
    steps:
@BEGIN@@BINARIES@      - run: @INSTALL@
      - run: buildlib setup --yes
@LOGIN@      - run: buildlib image --push
@SECRETS@"""
