"""The workflow for GitHub Actions that `buildlib ci` prints: tests on every architecture, then images.

Its jobs call nox and buildlib, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from buildlib.ci import github_parts
from buildlib.ci.project import Project, checked_name, image_secrets, signing_secrets
from buildlib.ci.registry_login import login
from buildlib.core.settings import Config
from buildlib.core.targets import find_target

# Actions by commit, because a tag can be moved: checkout 6.1.0, setup-python 6.3.0, cache 5.0.0, upload-artifact 7.0.1,
# download-artifact 8.0.1.
PINS = {
    "CHECKOUT": "actions/checkout@d23441a48e516b6c34aea4fa41551a30e30af803 # v6.1.0",
    "PYTHON": "actions/setup-python@ece7cb06caefa5fff74198d8649806c4678c61a1 # v6.3.0",
    "CACHE": "actions/cache@a7833574556fa59680c1b7cb190c1735db73ebf0 # v5.0.0",
    "UPLOAD": "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a # v7.0.1",
    "DOWNLOAD": "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c # v8.0.1",
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
@BUILD@"""
COSIGN = "sigstore/cosign-installer@6f9f17788090df1f26f669e9d70d6ae9567deba6 # v4.1.2"
# After the tags have moved: it is a step of cosign, and no part of the push.
KEYLESS = """\
      - uses: @COSIGN@
      - run: |
          cd "$RUNNER_TEMP"
          jq -r '@IMAGES@[] | select(.digest != "") | "\\(.where)@\\(.digest)"' images.json > images.txt
          xargs --no-run-if-empty --max-args=1 cosign sign --yes --recursive < images.txt
"""
# A session with a parameter has quotes and parentheses in its name.
NOX = """\
      - run: nox -s "$SESSION"
        env: { SESSION: "${{ matrix.session }}" }
"""
DIRECTORY = """\
defaults:
  run:
    working-directory: @DIRECTORY@
"""


def workflow(config: Config, install: str, project: Project) -> str:
    """The text of the file. `install` is the command that installs buildlib in a job.

    UsageError for a runner or a registry whose name cannot stand in a workflow.
    """
    default = checked_name("ci.runner", config.ci.runner)
    runners = {
        find_target(arch).name: checked_name(f"ci.runners.{arch}", runner) for arch, runner in config.ci.runners.items()
    }
    registry = login(config.registry) if config.registry else None
    # In this order: what a word contains is replaced by those after it.
    words = {
        "BEGIN_MERGE": github_parts.BEGIN_MERGE, "END_MERGE": github_parts.END_MERGE,
        "NOT_PUBLISHED": github_parts.NOT_PUBLISHED if registry else "",
        "TEST": github_parts.TEST if project.is_divided else NOX, "NOX": NOX,
        "PART": github_parts.PART if project.is_divided else "",
        "BEGIN": BEGIN, "KEPT": KEPT, "REPORTS": REPORTS if project.build else "", "WHERE": DIRECTORY if project.directory else "",
        "ALL_REPORTS": github_parts.ALL_REPORTS if project.build else "",
        "FOLDER": project.dist,
        **PINS, "NAME": f"multiarch {project.directory}".rstrip(), "DIRECTORY": json.dumps(project.directory, ensure_ascii=False),
        "BUILD": _kept(project.build), "DIST": _kept(project.dist), "LOCKS": ", ".join(f"'{lock}'" for lock in project.locks),
        "OUTPUT": project.build, "BACKEND": config.backend, "RUNNER": default, "RUNS_ON": _runs_on(runners, default),
        "LOGIN": registry.step if registry else "",
        # Only for GitHub's registry: the permission is that of GITHUB_TOKEN.
        "PACKAGES": "" if registry and registry.secrets else "      packages: write\n",
        **_keyless(config, ".images" if project.is_divided else "."),
        "BEFORE": "test" if project.rust else "lint", "SIGNING": _secrets(signing_secrets(config)),
        # The key is for the job alone that signs.
        "SECRETS": _secrets((*image_secrets(config), *(() if project.is_divided else signing_secrets(config)))),
        "INSTALL": json.dumps(install, ensure_ascii=False),
    }  # fmt: skip
    text = HEAD + (TESTS if project.rust else LINT)
    if project.is_divided:
        text += github_parts.MERGE + (github_parts.IMAGES + github_parts.PUBLISH if registry else "")
    elif registry:
        text += IMAGES.replace("@BINARIES@", BINARIES if project.rust else "")
    for name, word in words.items():
        text = text.replace(f"@{name}@", word)
    return text


def _keyless(config: Config, images: str) -> dict[str, str]:
    """The words for signatures without a key. `images` says where the images are in the JSON result."""
    is_on = bool(config.ci.keyless and config.registry)
    return {
        "KEYLESS": KEYLESS.replace("@IMAGES@", images) if is_on else "",
        "RESULT": ' --json > "$RUNNER_TEMP/images.json"' if is_on else "",
        "ID_TOKEN": "      id-token: write\n" if is_on else "", "COSIGN": COSIGN,
    }  # fmt: skip


def _kept(path: str) -> str:
    """A line of the paths that a cache keeps, "" for a path outside of the repository."""
    return f"            {path}\n" if path else ""


def _secrets(names: Iterable[str]) -> str:
    lines = [f"          {name}: ${{{{ secrets.{name} }}}}\n" for name in names]
    return "".join(("        env:\n", *lines)) if lines else ""


def _runs_on(runners: Mapping[str, str], default: str) -> str:
    """An expression for the arch's own runner, or for the default one."""
    if not runners:
        return default
    table = json.dumps(runners, separators=(",", ":"))
    return f"${{{{ fromJSON('{table}')[matrix.arch] || '{default}' }}}}"


HEAD = """\
# Generated by `buildlib ci`. You can edit this file.
name: @NAME@
on:
  push:
    branches: [main]
    tags: ["v*"]
  pull_request:
permissions:
  contents: read
concurrency:
  group: @NAME@-${{ github.ref }}
  cancel-in-progress: ${{ github.event_name == 'pull_request' }}
@WHERE@
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
          tests=$(nox -l --json -t test | jq -c 'map(select(.session == "test-\\(.tags[1])")) | length as $n | to_entries
            | map({session: .value.session, arch: .value.tags[1], shard: "\\(.key + 1)/\\($n)"})')
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
@NOX@
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
@KEPT@          key: buildlib-${{ runner.arch }}-${{ matrix.arch }}-@BACKEND@-${{ hashFiles(@LOCKS@) }}
          restore-keys: buildlib-${{ runner.arch }}-${{ matrix.arch }}-@BACKEND@-
      - run: @INSTALL@
      - run: buildlib setup --yes --arch ${{ matrix.arch }}
@TEST@@REPORTS@@PART@"""
REPORTS = """\
      - uses: @UPLOAD@
        if: always()
        with:
          name: ${{ matrix.session }}
          path: @OUTPUT@/reports
"""

BINARIES = """\
      - uses: @CACHE@
        with:
@KEPT@@DIST@          key: buildlib-images-@BACKEND@-${{ hashFiles(@LOCKS@) }}
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
@PACKAGES@@ID_TOKEN@    concurrency: @NAME@-images-${{ github.ref }}
    steps:
@BEGIN@@BINARIES@      - run: @INSTALL@
      - run: buildlib setup --yes
@LOGIN@      - run: buildlib image --push@RESULT@
@SECRETS@@KEYLESS@"""
