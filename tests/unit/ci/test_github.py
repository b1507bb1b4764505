import re
from pathlib import Path

import pytest
import yaml
from machines import settings

from buildlib.ci import github
from buildlib.ci.github import install_command, workflow
from buildlib.ci.registry_login import login
from buildlib.core.errors import UsageError
from buildlib.core.layers import files, resolve
from buildlib.machine.installation import Source

INSTALL = "pip install 'cargo-buildlib[host-tools]'"


def test_the_workflow_calls_only_nox_and_buildlib():
    text = workflow(settings(registry="ghcr.io/acme"), "pip install -e '.[dev]'")
    runs = re.findall(r"- run: (.+)", text)
    assert runs == [
        '"pip install -e \'.[dev]\'"', "buildlib lint", '"pip install -e \'.[dev]\'"', "nox -s ${{ matrix.session }}",
        '"pip install -e \'.[dev]\'"', "buildlib setup --yes --arch ${{ matrix.arch }}", "nox -s ${{ matrix.session }}",
        '"pip install -e \'.[dev]\'"', "buildlib setup --yes",
        'printf %s "$PASSWORD" | docker login ghcr.io --username "$GITHUB_ACTOR" --password-stdin', "buildlib image --push",
    ]  # fmt: skip
    assert not re.search(r"@[A-Z_]+@", text)


def test_the_workflow_of_this_repository_is_up_to_date():
    root = Path(__file__).parents[3]
    config = resolve(*files(root))
    assert (root / ".github" / "workflows" / "multiarch.yml").read_text() == workflow(
        config, "pip install -e '.[dev,host-tools]'"
    )


def test_actions_are_pinned_and_permissions_are_minimal():
    text = workflow(settings(registry="ghcr.io/acme"), INSTALL)
    used = re.findall(r"uses: (\S+)", text)
    assert used and all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", use) for use in used)
    assert re.findall(r"^permissions:\n(.*)$", text, re.MULTILINE) == ["  contents: read"]
    assert text.count("packages: write") == text.count(": write") == 1
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")


def test_an_arch_can_have_its_own_runner():
    ci = {"runner": "ubuntu-24.04", "runners": {"linux/arm64": "ubuntu-24.04-arm"}}
    text = workflow(settings(ci=ci), INSTALL)
    assert "runs-on: ${{ fromJSON('{\"arm64\":\"ubuntu-24.04-arm\"}')[matrix.arch] || 'ubuntu-24.04' }}\n" in text
    assert "images:" not in text  # no registry, no images


DOCKER = 'printf %s "$PASSWORD" | docker login '
NAMED = ("REGISTRY_USERNAME", "REGISTRY_PASSWORD")
HUB = ("DOCKERHUB_USERNAME", "DOCKERHUB_TOKEN")
AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("registry", "command", "secrets"),
    [
        ("ghcr.io/acme", DOCKER + 'ghcr.io --username "$GITHUB_ACTOR" --password-stdin', ("GITHUB_TOKEN",)),
        ("acme", DOCKER + '--username "$REGISTRY_USER" --password-stdin', HUB),
        ("docker.io/acme", DOCKER + '--username "$REGISTRY_USER" --password-stdin', HUB),
        ("index.docker.io/acme", DOCKER + '--username "$REGISTRY_USER" --password-stdin', HUB),
        ("quay.io/acme", DOCKER + 'quay.io --username "$REGISTRY_USER" --password-stdin', NAMED),
        ("acme.azurecr.io", DOCKER + 'acme.azurecr.io --username "$REGISTRY_USER" --password-stdin', NAMED),
        ("registry.gitlab.com/acme/app", DOCKER + 'registry.gitlab.com --username "$REGISTRY_USER" --password-stdin', NAMED),
        ("registry.acme.test:5000/team/app", DOCKER + 'registry.acme.test:5000 --username "$REGISTRY_USER" --password-stdin', NAMED),
        ("localhost:5000", DOCKER + 'localhost:5000 --username "$REGISTRY_USER" --password-stdin', NAMED),
        ("ghcr.io.evil.test/acme", DOCKER + 'ghcr.io.evil.test --username "$REGISTRY_USER" --password-stdin', NAMED),
        ("ghcr.io:443/acme", DOCKER + 'ghcr.io:443 --username "$REGISTRY_USER" --password-stdin', NAMED),
        ("europe-west1-docker.pkg.dev/p/r", DOCKER + "europe-west1-docker.pkg.dev --username _json_key --password-stdin",
         ("GAR_JSON_KEY",)),
        ("eu.gcr.io/p", DOCKER + "eu.gcr.io --username _json_key --password-stdin", ("GAR_JSON_KEY",)),
        (f"{ECR}/acme", f"aws ecr get-login-password --region eu-west-1 | docker login {ECR} --username AWS --password-stdin", AWS),
        ("public.ecr.aws/acme",
         "aws ecr-public get-login-password --region us-east-1 | docker login public.ecr.aws --username AWS --password-stdin", AWS),
    ],
)  # fmt: skip
def test_each_registry_gets_its_own_credentials(registry, command, secrets):
    """GITHUB_TOKEN goes to GitHub's registry alone."""
    text = workflow(settings(registry=registry), INSTALL)
    job = yaml.safe_load(text)["jobs"]["images"]
    (step,) = (step for step in job["steps"] if "docker login" in step.get("run", ""))
    assert step["run"] == command
    assert tuple(dict.fromkeys(re.findall(r"secrets\.(\w+)", str(step["env"])))) == secrets
    assert set(re.findall(r"\$([A-Z_]+)", command)) <= {"GITHUB_ACTOR", *step["env"]}
    is_github = registry == "ghcr.io/acme"
    assert ("GITHUB_TOKEN" in text) == is_github and ("packages" in job["permissions"]) == is_github
    assert login(registry).secrets == (() if is_github else secrets)


def test_other_logins_are_suggested_where_keys_can_be_avoided():
    assert "# without keys: aws-actions/configure-aws-credentials with a role" in workflow(
        settings(registry=ECR), INSTALL
    )
    google = workflow(settings(registry="gcr.io/p"), INSTALL)
    assert "# the JSON key of a service account; without one: google-github-actions/auth" in google


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"ci": {"runners": {"arm65": "x"}}}, "flag: ci.runners: unknown architecture 'arm65'"),
        ({"ci": {"runners": {"arm64": "a'b"}}}, "ci.runners.arm64 = \"a'b\": expected letters, digits, '.', '_' and '-'"),
        ({"ci": {"runner": "${{ x }}"}}, "ci.runner = '${{ x }}': expected letters, digits, '.', '_' and '-'"),
        ({"registry": "ghcr.io;rm/acme"}, "registry: 'ghcr.io;rm/acme' is not the name of a registry"),
        ({"registry": "ghcr.io/Acme"}, "registry: 'ghcr.io/Acme' is not the name of a registry"),
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_a_workflow_cannot_contain_are_usage_errors(flags, message):
    with pytest.raises(UsageError) as caught:
        workflow(settings(**flags), INSTALL)
    assert caught.value.message == message


def test_a_runner_that_is_not_a_string_is_a_usage_error():
    with pytest.raises(UsageError):
        workflow(settings(ci={"runners": {"arm64": 3}}), INSTALL)


# --- the command that installs buildlib in a job ------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The install command of a workspace below a repository, for an installation from this source."""
    root = tmp_path / "repository" / "workspace"
    root.mkdir(parents=True)
    (root.parent / ".git").mkdir()

    def command(**source):
        monkeypatch.setattr(github.installation, "source", lambda: Source(**source))
        return install_command(root)

    return command


def test_a_git_repository_is_installed_at_its_commit(command):
    commit = "5b58b10ff4a0e5ca6f9c2d3e4f5a6b7c8d9e0f1a"
    assert command(repository="git+https://github.com/acme/buildlib", commit=commit) == (
        f"pip install 'cargo-buildlib[host-tools] @ git+https://github.com/acme/buildlib@{commit}'"
    )


@pytest.mark.parametrize(
    ("folder", "editable", "expected"),
    [
        (".", True, "pip install -e '.[host-tools]'"), (".", False, "pip install '.[host-tools]'"),
        ("workspace", True, "pip install -e './workspace[host-tools]'"),
        ("vendor/build lib", False, "pip install './vendor/build lib[host-tools]'"),
    ],
)  # fmt: skip
def test_a_directory_in_the_repository_is_installed_by_its_relative_path(command, tmp_path, folder, editable, expected):
    assert command(directory=tmp_path / "repository" / folder, editable=editable) == expected


def test_symbolic_links_to_the_repository_are_followed(command, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "repository")
    assert command(directory=tmp_path / "link", editable=True) == "pip install -e '.[host-tools]'"


def test_a_workspace_outside_a_repository_is_its_own_root(tmp_path, monkeypatch):
    monkeypatch.setattr(github.installation, "source", lambda: Source(directory=tmp_path / "buildlib"))
    assert install_command(tmp_path) == "pip install './buildlib[host-tools]'"


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        ({"directory": Path("/elsewhere/buildlib"), "editable": True}, "/elsewhere/buildlib"),
        ({"url": "https://acme.test/cargo_buildlib-0.1.0-py3-none-any.whl"},
         "https://acme.test/cargo_buildlib-0.1.0-py3-none-any.whl"),
        ({}, "a package index"),
    ],
    ids=str,
)  # fmt: skip
def test_other_sources_require_an_install_command(command, source, origin):
    with pytest.raises(UsageError) as caught:
        command(**source)
    assert (caught.value.message, caught.value.help) == (
        f"this buildlib was installed from {origin}, which a workflow cannot use",
        "pass the command that installs it in a job: buildlib ci --install 'pip install …'",
    )


IMAGE = {"dockerfile": "Dockerfile", "context": "."}


def test_a_project_without_rust_is_linted_and_its_images_are_pushed():
    text = workflow(settings(registry="ghcr.io/acme", images={"web": IMAGE}), INSTALL, rust=False)
    jobs = yaml.safe_load(text)["jobs"]
    assert {name: job.get("needs") for name, job in jobs.items()} == {"lint": None, "images": ["lint"]}
    assert [step["run"] for step in jobs["images"]["steps"] if "run" in step] == [
        INSTALL, "buildlib setup --yes",
        'printf %s "$PASSWORD" | docker login ghcr.io --username "$GITHUB_ACTOR" --password-stdin', "buildlib image --push",
    ]  # fmt: skip
    assert "Cargo.lock" not in text
    assert not re.search(r"@[A-Z_]+@", text)


def test_secrets_of_images_come_from_the_repository():
    images = {"web": {**IMAGE, "secrets": ["NPM_TOKEN", "id=pip,env=PIP", "id=x,src=file"]}}
    config = settings(registry="ghcr.io/acme", images=images)
    assert github.image_secrets(config) == ("NPM_TOKEN", "PIP")
    (step,) = (one for one in yaml.safe_load(workflow(config, INSTALL))["jobs"]["images"]["steps"]
               if one.get("run") == "buildlib image --push")  # fmt: skip
    assert step["env"] == {"NPM_TOKEN": "${{ secrets.NPM_TOKEN }}", "PIP": "${{ secrets.PIP }}"}


def test_a_secret_whose_name_cannot_stand_in_a_workflow_is_an_error():
    images = {"web": {**IMAGE, "secrets": ["id=x,env=A}} B"]}}
    with pytest.raises(UsageError, match=r"images\.\*\.secrets = 'A}} B'"):
        workflow(settings(registry="ghcr.io/acme", images=images), INSTALL)
