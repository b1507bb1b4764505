import re
from pathlib import Path

import pytest
from machines import settings

from buildlib.core.layers import files, resolve
from buildlib.core.errors import UsageError
from buildlib.ci.github import INSTALL, workflow


def test_it_calls_nox_and_buildlib_and_nothing_else():
    text = workflow(settings(registry="ghcr.io/acme"), "pip install -e '.[dev]'")
    runs = re.findall(r"- run: (.+)", text)
    assert runs == [
        '"pip install -e \'.[dev]\'"', "buildlib lint", '"pip install -e \'.[dev]\'"', "nox -s ${{ matrix.session }}",
        '"pip install -e \'.[dev]\'"', "buildlib setup --yes --arch ${{ matrix.arch }}", "nox -s ${{ matrix.session }}",
        '"pip install -e \'.[dev]\'"', "buildlib setup --yes",
        'echo "$TOKEN" | docker login ghcr.io --username "$GITHUB_ACTOR" --password-stdin', "buildlib image --push",
    ]  # fmt: skip
    assert not re.search(r"@[A-Z_]+@", text)


def test_this_repository_s_own_is_what_is_made_for_it():
    root = Path(__file__).parents[3]
    config = resolve(*files(root))
    assert (root / ".github" / "workflows" / "multiarch.yml").read_text() == workflow(
        config, "pip install -e '.[dev,host-tools]'"
    )


def test_actions_are_pinned_and_permissions_are_few():
    text = workflow(settings(registry="ghcr.io/acme"), INSTALL)
    used = re.findall(r"uses: (\S+)", text)
    assert used and all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", use) for use in used)
    assert re.findall(r"^permissions:\n(.*)$", text, re.MULTILINE) == ["  contents: read"]
    assert text.count("packages: write") == text.count(": write") == 1
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")


def test_an_arch_of_its_own_runner():
    ci = {"runner": "ubuntu-24.04", "runners": {"linux/arm64": "ubuntu-24.04-arm"}}
    text = workflow(settings(ci=ci), INSTALL)
    assert "runs-on: ${{ fromJSON('{\"arm64\":\"ubuntu-24.04-arm\"}')[matrix.arch] || 'ubuntu-24.04' }}\n" in text
    assert "images:" not in text  # no registry, no images


@pytest.mark.parametrize(
    "flags",
    [
        {"ci": {"runners": {"arm65": "x"}}}, {"ci": {"runners": {"arm64": 3}}}, {"ci": {"runners": {"arm64": "a'b"}}},
        {"ci": {"runner": "${{ x }}"}}, {"registry": "ghcr.io;rm/acme"},
    ],
    ids=str,
)  # fmt: skip
def test_words_that_a_workflow_cannot_have(flags):
    with pytest.raises(UsageError):
        workflow(settings(**flags), INSTALL)
