"""The .gitlab-ci.yml that `buildlib ci --for gitlab` prints: tests on every architecture, then images.

Its jobs call nox and buildlib, and nothing else. A job of GitLab's runs in a container, so it also installs from Debian what GitHub's
runners have: Python's venv, and Docker's client for images.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from shlex import quote

from buildlib.ci import gitlab_parts
from buildlib.ci.project import Project, checked_name, image_secrets, signing_secrets
from buildlib.ci.registry_login import gitlab_login
from buildlib.core.errors import UsageError
from buildlib.core.settings import Config
from buildlib.core.targets import Target, find_target

# Debian 13 has docker-cli and docker-buildx. The first image has rustup, which a rust-toolchain file needs.
CONTAINER = {True: "rust:1-trixie", False: "debian:trixie"}


def pipeline(config: Config, install: str, project: Project, targets: Iterable[Target]) -> str:
    """The text of the file. `install` is the command that installs buildlib in a job; one job tests one target.

    UsageError for a runner or a registry whose name cannot stand in the file, and for signatures without a key.
    """
    if config.ci.keyless:
        raise UsageError("ci.keyless is for GitHub's workflow", "sign with a key: set `signing.key`")
    tags, targets = _tags(config), tuple(targets)
    jobs = [LINT.replace("@TAGS@", tags[""])]
    if project.rust:
        jobs += [CHECKS.replace("@TAGS@", tags[""]), TEST]
        # Not a matrix: its jobs have the same tags.
        test = JOB.replace("@SCRIPT@", _script(project))
        jobs += [_words(test, **_part(targets, number, tags)) for number in range(len(targets))]
    if project.is_divided:
        jobs.append(_divided(config, project, targets, tags))
    elif config.registry:
        jobs.append(_images(IMAGES, config, project).replace("@TAGS@", tags[""]))
    return _words(
        "".join((HEAD, *jobs)), ARTIFACTS=ARTIFACTS if project.build else "", BUILD=_kept(project.build), DIST=_kept(project.dist),
        STAGES="check, test, images, merge" if project.is_divided else "check, test, images",
        REPORTS=f"{project.build}/reports", LOCK=f"{project.prefix}Cargo.lock", BACKEND=config.backend,
        CONTAINER=CONTAINER[project.rust], WHERE=_line(f"cd {quote(project.directory)}") if project.directory else "",
        INSTALL=_line(install), PREFIX=f"/{project.prefix}",
    )  # fmt: skip


def _script(project: Project) -> str:
    """The script of the tests of an arch, and what becomes of its binaries."""
    if not project.is_divided:
        return "    - nox -s test-@ARCH@\n"
    paths = (*((f"{project.build}/reports",) if project.build else ()), f"{project.prefix}parts/@ARCH@")
    return gitlab_parts.TEST.replace("@PATHS@", ", ".join(paths))


def _divided(config: Config, project: Project, targets: Sequence[Target], tags: Mapping[str, str]) -> str:
    """The jobs that push the images of each arch, and those that merge the parts."""
    paths = ", ".join((f"{project.dist}/", *((f"{project.build}/reports/",) if project.build else ())))
    common = {"PATHS": paths, "TAGS": tags[""]}
    if not config.registry:
        return _words(gitlab_parts.MERGE, RULES="", NEEDS=_needs("test", targets), **common)
    jobs = [
        _words(gitlab_parts.JOB, PREFIX=project.prefix, **_part(targets, number, tags))
        for number in range(len(targets))
    ]
    merge = _words(gitlab_parts.MERGE, RULES=gitlab_parts.NOT_PUBLISHED, NEEDS=_needs("test", targets), **common)
    publish = _words(gitlab_parts.PUBLISH, NEEDS=_needs("images", targets), **common)
    text = "".join((gitlab_parts.IMAGES, *jobs, merge, publish))
    return _images(text, config, project)


def _part(targets: Sequence[Target], number: int, tags: Mapping[str, str]) -> dict[str, str]:
    """The words of a job of one arch, counted from 0: each arch is a part."""
    name = targets[number].name
    return {"ARCH": name, "SHARD": f"{number + 1}/{len(targets)}", "TAGS": tags.get(name, tags[""])}


def _needs(job: str, targets: Iterable[Target]) -> str:
    return ", ".join(f"{job}-{target.name}" for target in targets)


def variables(config: Config) -> tuple[str, ...]:
    """The CI/CD variables that the job of the images needs, for users."""
    if not config.registry:
        return ()
    login = gitlab_login(config.registry)
    names = (f"{' and '.join(login.variables)} (not for GitLab's own registry)",) if login.own else login.variables
    return (*names, *image_secrets(config), *signing_secrets(config))


def _words(text: str, **words: str) -> str:
    """The text with words in place of their names, in this order: what a word contains is replaced by those after it."""
    for name, word in words.items():
        text = text.replace(f"@{name}@", word)
    return text


def _images(text: str, config: Config, project: Project) -> str:
    names = variables(config)
    cached = project.rust and not config.images  # the directory of the cache may be in the context of an image
    return _words(
        text, VARIABLES=f"  # CI/CD variables: {', '.join(names)}\n" if names else "",
        LOGIN="".join(map(_line, gitlab_login(config.registry).commands)), CACHE=IMAGES_CACHE if cached else "",
    )  # fmt: skip


def _line(command: str) -> str:
    return f"    - {json.dumps(command, ensure_ascii=False)}\n"


def _kept(path: str) -> str:
    """A line of the paths that a cache keeps, "" for a path outside of the repository. The slash makes `1` no number."""
    return f"      - {path}/\n" if path else ""


def _tags(config: Config) -> dict[str, str]:
    """The line `tags` of the jobs of an arch, and of all other jobs as that of "". Without tags GitLab chooses a runner."""
    configured = "" if config.origins.get("ci.runner") == "default" else config.ci.runner
    tags = {find_target(arch).name: checked_name(f"ci.runners.{arch}", tag) for arch, tag in config.ci.runners.items()}
    tags[""] = checked_name("ci.runner", configured) if configured else ""
    return {arch: f'  tags: ["{tag}"]\n' if tag else "" for arch, tag in tags.items()}


HEAD = """\
# Generated by `buildlib ci --for gitlab`. You can edit this file.
stages: [@STAGES@]

workflow:
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event" || $CI_PIPELINE_SOURCE == "parent_pipeline"
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH || $CI_COMMIT_TAG

default:
  image: @CONTAINER@
  interruptible: true
  timeout: 90 minutes
  before_script:
    - apt-get update
    - apt-get install --yes --no-install-recommends ca-certificates git jq python3-venv
    - python3 -m venv /tmp/buildlib
    - . /tmp/buildlib/bin/activate
    - printf '%s\\n' /.cache/ "@PREFIX@parts/" >> .git/info/exclude # what jobs bring is no change of the sources
@WHERE@@INSTALL@"""

LINT = """
lint:
  stage: check
  script:
    - buildlib lint
  allow_failure:
    exit_codes: 6 # findings; `image --strict` fails on them
@TAGS@"""

CHECKS = """
checks:
  stage: check
  script:
    - nox -l --json | jq -r '.[] | select(.tags == []) | .session' | xargs -r -d '\\n' nox -s
@TAGS@"""

TEST = """
# What is kept between pipelines must be in the directory of the project.
.kept:
  variables:
    XDG_CACHE_HOME: $CI_PROJECT_DIR/.cache
    CARGO_HOME: $CI_PROJECT_DIR/.cache/cargo

.test:
  extends: .kept
  stage: test
  cache:
    key:
      files: [@LOCK@]
      prefix: buildlib-$CI_JOB_NAME-@BACKEND@
    paths:
      - .cache/buildlib/
      - .cache/cargo/registry/
@BUILD@@ARTIFACTS@"""

ARTIFACTS = """\
  artifacts:
    when: always
    paths: [@REPORTS@]
    reports:
      junit: @REPORTS@/*.xml
"""

JOB = """
test-@ARCH@:
  extends: .test
  script:
    - buildlib setup --yes --arch @ARCH@
@SCRIPT@@TAGS@"""

IMAGES_CACHE = """\
  extends: .kept
  cache:
    key:
      files: [@LOCK@]
      prefix: buildlib-images-@BACKEND@
    paths:
      - .cache/buildlib/
      - .cache/cargo/registry/
@BUILD@@DIST@"""

IMAGES = (
    """
# Each platform's image is pushed by digest and checked. Then one index joins them, and the tags are moved to it.
# On a runner whose jobs have Docker themselves, remove `services`, `variables` and the line with docker-cli.
images:
  stage: images
  rules:
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH || $CI_COMMIT_TAG
  interruptible: false
  resource_group: images
"""
    + gitlab_parts.DOCKER
    + """\
  script:
    - apt-get install --yes --no-install-recommends docker-cli docker-buildx
    - buildlib setup --yes
@LOGIN@    - buildlib image --push
@CACHE@@TAGS@"""
)
