"""The pipeline for GitLab, read as GitLab does: a job has the keys of the jobs that it extends."""

import re

import pytest
import yaml
from machines import AMD64, ARM64, settings

from buildlib.ci.gitlab import pipeline, variables
from buildlib.ci.project import Project
from buildlib.ci.registry_login import gitlab_login
from buildlib.core.errors import UsageError

INSTALL = "pip install -e '.[dev]'"
IMAGE = {"dockerfile": "Dockerfile", "context": "."}


def jobs(project=None, targets=(AMD64, ARM64), **flags):
    """The jobs of a pipeline, and its other keys under `None`."""
    text = pipeline(settings(**flags), INSTALL, project or Project(), targets)
    assert not re.search(r"@[A-Z_]+@", text)
    read = yaml.safe_load(text)
    other = {key: read.pop(key) for key in ("stages", "workflow", "default")}
    return {None: other, **{name: _extended(read, job) for name, job in read.items() if not name.startswith(".")}}


def _extended(read, job):
    if base := job.pop("extends", ""):
        extended = _extended(read, dict(read[base]))
        tables = {key: {**extended[key], **job[key]} for key in extended.keys() & job if isinstance(job[key], dict)}
        return {**extended, **job, **tables}
    return job


def test_the_jobs_call_only_nox_and_buildlib():
    found = jobs(registry="ghcr.io/acme")
    other = found.pop(None)
    login = [
        'if [ "$CI_REGISTRY" = ghcr.io ]; then REGISTRY_USERNAME=$CI_REGISTRY_USER REGISTRY_PASSWORD=$CI_REGISTRY_PASSWORD; fi',
        'printf %s "$REGISTRY_PASSWORD" | docker login ghcr.io --username "$REGISTRY_USERNAME" --password-stdin',
    ]
    merge = ["buildlib merge parts", "buildlib report"]
    assert other["default"]["before_script"] == [
        "apt-get update", "apt-get install --yes --no-install-recommends ca-certificates git jq python3-venv",
        "python3 -m venv /tmp/buildlib", ". /tmp/buildlib/bin/activate",
        "printf '%s\\n' /.cache/ \"/parts/\" >> .git/info/exclude", INSTALL,
    ]  # fmt: skip
    assert {name: job["script"] for name, job in found.items()} == {
        "lint": ["buildlib lint"],
        "checks": ["nox -l --json | jq -r '.[] | select(.tags == []) | .session' | xargs -r -d '\\n' nox -s"],
        "test-amd64": ["buildlib setup --yes --arch amd64", "buildlib build --shard 1/2", "buildlib test --shard 1/2"],
        "test-arm64": ["buildlib setup --yes --arch arm64", "buildlib build --shard 2/2", "buildlib test --shard 2/2"],
        "images-amd64": [
            f"{DOCKER} docker-buildx", "buildlib setup --yes --arch amd64", *login, "buildlib image --push --no-build --shard 1/2",
        ],
        "images-arm64": [
            f"{DOCKER} docker-buildx", "buildlib setup --yes --arch arm64", *login, "buildlib image --push --no-build --shard 2/2",
        ],
        "merge": merge,
        "publish": [DOCKER, *login, *merge],
    }  # fmt: skip
    assert [other["stages"].index(job["stage"]) for job in found.values()] == [0, 0, 1, 1, 2, 2, 3, 3]


DOCKER = "apt-get install --yes --no-install-recommends docker-cli"
DEFAULT = {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH || $CI_COMMIT_TAG"}


def test_each_arch_is_a_part_with_a_dist_of_its_own():
    """All artifacts are unpacked at one place, so that two jobs must not have files of the same name."""
    found = jobs(registry="ghcr.io/acme")
    for arch in ("amd64", "arm64"):
        test, images = found[f"test-{arch}"], found[f"images-{arch}"]
        assert test["variables"]["BUILDLIB_DIST"] == images["variables"]["BUILDLIB_DIST"] == f"parts/{arch}"
        assert (test["artifacts"]["paths"][-1], images["artifacts"]["paths"]) == (f"parts/{arch}", [f"parts/{arch}"])
        assert images["needs"] == [f"test-{arch}"]
    merge, publish = found["merge"], found["publish"]
    assert (merge["needs"], publish["needs"]) == (
        ["test-amd64", "test-arm64"],
        ["checks", "images-amd64", "images-arm64"],
    )
    assert (merge["rules"], publish["rules"]) == ([{**DEFAULT, "when": "never"}, {"when": "on_success"}], [DEFAULT])
    alone = jobs()
    assert "publish" not in alone and "rules" not in alone["merge"]
    assert alone["merge"]["artifacts"] == {"paths": ["dist/", "target/buildlib/reports/"]}


@pytest.mark.parametrize("project", [Project(binaries=False), Project(dist="")], ids=["libraries", "dist elsewhere"])
def test_without_binaries_to_carry_one_job_makes_the_images(project):
    found = jobs(project, registry="ghcr.io/acme")
    assert [*found] == [None, "lint", "checks", "test-amd64", "test-arm64", "images"]
    assert found["test-arm64"]["script"] == ["buildlib setup --yes --arch arm64", "nox -s test-arm64"]
    assert (found["images"]["script"][-1], found[None]["stages"]) == (
        "buildlib image --push",
        ["check", "test", "images"],
    )


def test_what_is_kept_is_in_the_directory_of_the_project():
    test = jobs()["test-arm64"]
    assert test["variables"] == {
        "XDG_CACHE_HOME": "$CI_PROJECT_DIR/.cache",
        "CARGO_HOME": "$CI_PROJECT_DIR/.cache/cargo",
        "BUILDLIB_DIST": "parts/arm64",
    }
    assert test["cache"] == {
        "key": {"files": ["Cargo.lock"], "prefix": "buildlib-$CI_JOB_NAME-auto"},
        "paths": [".cache/buildlib/", ".cache/cargo/registry/", "target/buildlib/"],
    }
    assert test["artifacts"] == {
        "when": "always", "paths": ["target/buildlib/reports", "parts/arm64"], "reports": {"junit": "target/buildlib/reports/*.xml"},
    }  # fmt: skip
    one = Project(binaries=False)
    images = jobs(one, registry="acme")["images"]
    assert images["cache"]["paths"] == [*test["cache"]["paths"], "dist/"]
    assert images["variables"].keys() == {
        "XDG_CACHE_HOME",
        "CARGO_HOME",
        "DOCKER_HOST",
        "DOCKER_TLS_CERTDIR",
        "DOCKER_TLS_VERIFY",
        "DOCKER_CERT_PATH",
    }
    # An image's context could contain the cache.
    assert "cache" not in jobs(one, registry="acme", images={"web": IMAGE})["images"]


def test_a_workspace_below_the_root_of_the_repository():
    below = Project(directory="services/my api", build="target/buildlib", dist="1")
    found = jobs(below, registry="acme")
    assert found[None]["default"]["before_script"][-2:] == ["cd 'services/my api'", INSTALL]
    cache = found["test-arm64"]["cache"]
    assert cache["key"]["files"] == ["services/my api/Cargo.lock"]
    assert found["merge"]["artifacts"]["paths"] == ["1/", "target/buildlib/reports/"]  # a number would not be a path
    assert found["test-arm64"]["variables"]["BUILDLIB_DIST"] == "parts/arm64"  # relative to Cargo.toml
    assert (
        found["test-arm64"]["artifacts"]["paths"][-1]
        == found["images-arm64"]["artifacts"]["paths"][0]
        == "services/my api/parts/arm64"
    )
    outside = jobs(Project(build="", dist=""), registry="acme")
    assert outside["images"]["cache"]["paths"] == [".cache/buildlib/", ".cache/cargo/registry/"]
    assert "artifacts" not in outside["test-arm64"]


def test_a_project_without_rust_is_linted_and_its_images_are_pushed():
    found = jobs(Project(rust=False), registry="acme", images={"web": IMAGE})
    assert found.pop(None)["default"]["image"] == "debian:trixie"
    assert found.keys() == {"lint", "images"}
    assert jobs(Project(rust=False)).keys() == {None, "lint"}
    assert jobs()[None]["default"]["image"] == "rust:1-trixie"


def test_images_are_pushed_for_the_default_branch_and_for_tags():
    found = jobs(registry="acme")
    assert (
        found["images-arm64"]["rules"] == found["publish"]["rules"] == found[None]["workflow"]["rules"][1:] == [DEFAULT]
    )
    for job in (found["publish"], jobs(Project(binaries=False), registry="ghcr.io/acme")["images"]):
        assert (job["interruptible"], job["resource_group"], job["rules"]) == (False, "images", [DEFAULT])
    assert found["lint"]["allow_failure"] == {"exit_codes": 6}


def test_a_runner_is_chosen_by_its_tag():
    assert not any("tags" in job for job in jobs(registry="acme").values())  # the default is a runner of GitHub's
    one = jobs(registry="acme", ci={"runners": {"linux/arm64": "arm"}})
    assert {name: job["tags"] for name, job in one.items() if "tags" in job} == {
        "test-arm64": ["arm"], "images-arm64": ["arm"],
    }  # fmt: skip
    found = jobs(registry="acme", ci={"runner": "42", "runners": {"arm64": "arm"}})
    assert found.pop(None) and {name: job["tags"] for name, job in found.items()} == {
        "lint": ["42"], "checks": ["42"], "test-amd64": ["42"], "test-arm64": ["arm"], "images-amd64": ["42"],
        "images-arm64": ["arm"], "merge": ["42"], "publish": ["42"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"ci": {"runners": {"arm64": "a'b"}}}, "ci.runners.arm64 = \"a'b\": expected letters, digits, '.', '_' and '-'"),
        ({"ci": {"runner": "$X"}}, "ci.runner = '$X': expected letters, digits, '.', '_' and '-'"),
        ({"registry": "ghcr.io;rm/acme"}, "registry: 'ghcr.io;rm/acme' is not the name of a registry"),
        ({"registry": "acme", "images": {"web": {**IMAGE, "secrets": ["id=x,env=A B"]}}},
         "images.*.secrets = 'A B': expected letters, digits, '.', '_' and '-'"),
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_a_pipeline_cannot_contain_are_usage_errors(flags, message):
    with pytest.raises(UsageError) as caught:
        jobs(**flags)
    assert caught.value.message == message


ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
NAMED = ("REGISTRY_USERNAME", "REGISTRY_PASSWORD")
LOGIN = 'printf %s "$REGISTRY_PASSWORD" | docker login {} --username "$REGISTRY_USERNAME" --password-stdin'
OWN = 'if [ "$CI_REGISTRY" = {} ]; then REGISTRY_USERNAME=$CI_REGISTRY_USER REGISTRY_PASSWORD=$CI_REGISTRY_PASSWORD; fi'
HUB = 'printf %s "$DOCKERHUB_TOKEN" | docker login --username "$DOCKERHUB_USERNAME" --password-stdin'


@pytest.mark.parametrize(
    ("registry", "commands", "names"),
    [
        *((f"{host}/acme", (OWN.format(host), LOGIN.format(host)), NAMED)
          for host in ("registry.gitlab.com", "registry.acme.test:5050", "ghcr.io", "quay.io", "acme.azurecr.io")),
        *((name, (HUB,), ("DOCKERHUB_USERNAME", "DOCKERHUB_TOKEN")) for name in ("acme", "docker.io/acme")),
        ("eu.gcr.io/p", ('printf %s "$GAR_JSON_KEY" | docker login eu.gcr.io --username _json_key --password-stdin',),
         ("GAR_JSON_KEY",)),
        (f"{ECR}/acme", ("pip install awscli",
         f"aws ecr get-login-password --region eu-west-1 | docker login {ECR} --username AWS --password-stdin"),
         ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
    ],
)  # fmt: skip
def test_each_registry_gets_its_own_credentials(registry, commands, names):
    """The job's token is for the registry of this GitLab alone, which GitLab names."""
    login = gitlab_login(registry)
    assert (login.commands, login.variables, login.own) == (commands, names, names == NAMED)
    found = jobs(registry=registry)
    assert found["images-arm64"]["script"][2:-1] == found["publish"]["script"][1:-2] == list(commands)


def test_variables_are_named_for_users():
    image = {**IMAGE, "secrets": ["NPM_TOKEN"]}
    own = "REGISTRY_USERNAME and REGISTRY_PASSWORD (not for GitLab's own registry)"
    assert variables(settings(images={"web": image})) == ()
    assert variables(settings(registry="gcr.io/p", images={"web": image})) == ("GAR_JSON_KEY", "NPM_TOKEN")
    assert variables(config := settings(registry="ghcr.io/a", images={"web": image})) == (own, "NPM_TOKEN")
    assert f"  # CI/CD variables: {own}, NPM_TOKEN\n" in pipeline(config, INSTALL, Project(), ())
