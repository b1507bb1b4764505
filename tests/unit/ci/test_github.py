import re
from pathlib import Path

import pytest
import yaml
from machines import settings

from buildlib.ci.github import workflow
from buildlib.ci.project import Project, signing_secrets
from buildlib.ci.registry_login import login
from buildlib.core.errors import UsageError
from buildlib.core.layers import files, resolve

INSTALL = "pip install 'cargo-buildlib[host-tools]'"
ROOT = Project()


def test_the_workflow_calls_only_nox_and_buildlib():
    text = workflow(settings(registry="ghcr.io/acme"), "pip install -e '.[dev]'", ROOT)
    runs = re.findall(r"- run: (.+)", text)
    install, login = "\"pip install -e '.[dev]'\"", DOCKER + 'ghcr.io --username "$GITHUB_ACTOR" --password-stdin'
    setup = "buildlib setup --yes --arch ${{ matrix.arch }}"
    assert runs == [
        install, "buildlib lint", install, 'nox -s "$SESSION"',
        install, setup, "buildlib build --shard ${{ matrix.shard }}", "buildlib test --shard ${{ matrix.shard }}",
        install, MERGE, "buildlib report",
        install, setup, login, "buildlib image --push --no-build --shard ${{ matrix.shard }}",
        "buildlib smoke --shard ${{ matrix.shard }}",
        install, login, MERGE, "buildlib report",
    ]  # fmt: skip
    assert not re.search(r"@[A-Z_]+@", text)


def test_the_workflow_of_this_repository_is_up_to_date():
    root = Path(__file__).parents[3]
    config = resolve(*files(root))
    assert (root / ".github" / "workflows" / "multiarch.yml").read_text() == workflow(
        config, "pip install -e '.[dev,host-tools]'", ROOT
    )


def test_actions_are_pinned_and_permissions_are_minimal():
    text = workflow(settings(registry="ghcr.io/acme"), INSTALL, ROOT)
    used = re.findall(r"uses: (\S+)", text)
    assert used and all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", use) for use in used)
    assert re.findall(r"^permissions:\n(.*)$", text, re.MULTILINE) == ["  contents: read"]
    assert text.count("packages: write") == text.count(": write") == 2
    jobs = yaml.safe_load(text)["jobs"]
    assert [name for name, job in jobs.items() if "packages" in job.get("permissions", {})] == ["images", "publish"]
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")


def test_an_arch_can_have_its_own_runner():
    ci = {"runner": "ubuntu-24.04", "runners": {"linux/arm64": "ubuntu-24.04-arm"}}
    text = workflow(settings(ci=ci), INSTALL, ROOT)
    assert "runs-on: ${{ fromJSON('{\"arm64\":\"ubuntu-24.04-arm\"}')[matrix.arch] || 'ubuntu-24.04' }}\n" in text
    assert "images:" not in text  # no registry, no images


MERGE = 'buildlib merge "$RUNNER_TEMP/parts"'
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
    text = workflow(settings(registry=registry), INSTALL, ROOT)
    job = yaml.safe_load(text)["jobs"]["images"]
    (step,) = (step for step in job["steps"] if "docker login" in step.get("run", ""))
    assert step["run"] == command
    assert step in yaml.safe_load(text)["jobs"]["publish"]["steps"]
    assert tuple(dict.fromkeys(re.findall(r"secrets\.(\w+)", str(step["env"])))) == secrets
    assert set(re.findall(r"\$([A-Z_]+)", command)) <= {"GITHUB_ACTOR", *step["env"]}
    is_github = registry == "ghcr.io/acme"
    assert ("GITHUB_TOKEN" in text) == is_github and ("packages" in job["permissions"]) == is_github
    assert login(registry).secrets == (() if is_github else secrets)


def test_other_logins_are_suggested_where_keys_can_be_avoided():
    assert "# without keys: aws-actions/configure-aws-credentials with a role" in workflow(
        settings(registry=ECR), INSTALL, ROOT
    )
    google = workflow(settings(registry="gcr.io/p"), INSTALL, ROOT)
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
        workflow(settings(**flags), INSTALL, ROOT)
    assert caught.value.message == message


def test_a_runner_that_is_not_a_string_is_a_usage_error():
    with pytest.raises(UsageError):
        workflow(settings(ci={"runners": {"arm64": 3}}), INSTALL, ROOT)


IMAGE = {"dockerfile": "Dockerfile", "context": "."}


def test_a_project_without_rust_is_linted_and_its_images_are_pushed():
    text = workflow(settings(registry="ghcr.io/acme", images={"web": IMAGE}), INSTALL, Project(rust=False))
    jobs = yaml.safe_load(text)["jobs"]
    assert {name: job.get("needs") for name, job in jobs.items()} == {"lint": None, "images": ["lint"]}
    assert [step["run"] for step in jobs["images"]["steps"] if "run" in step] == [
        INSTALL, "buildlib setup --yes",
        'printf %s "$PASSWORD" | docker login ghcr.io --username "$GITHUB_ACTOR" --password-stdin', "buildlib image --push",
    ]  # fmt: skip
    assert "Cargo.lock" not in text
    assert not re.search(r"@[A-Z_]+@", text)


@pytest.mark.parametrize(
    ("key", "names"),
    [("", set()), ("cosign.key", {"COSIGN_PASSWORD"}), ("env://SIGNING_KEY", {"COSIGN_PASSWORD", "SIGNING_KEY"})],
)
def test_the_key_that_signs_comes_from_the_repository(key, names):
    config = settings(registry="r.test/acme", signing={"key": key})
    assert set(signing_secrets(config)) == names
    jobs = yaml.safe_load(workflow(config, INSTALL, ROOT))["jobs"]
    # Nothing but the step that signs gets the key.
    for name, job in jobs.items():
        for step in job["steps"]:
            found = names & set(re.findall(r"secrets\.(\w+)", str(step)))
            signs = name == "publish" and step.get("run") == MERGE
            assert found == (names if signs else set())
    whole = yaml.safe_load(workflow(config, INSTALL, Project(binaries=False)))["jobs"]["images"]["steps"]
    (alone,) = (step for step in whole if step.get("run") == "buildlib image --push")
    assert set(alone.get("env", {})) == names


def test_secrets_of_images_come_from_the_repository():
    images = {"web": {**IMAGE, "secrets": ["NPM_TOKEN", "id=pip,env=PIP", "id=x,src=file"]}}
    config = settings(registry="ghcr.io/acme", images=images)
    (step,) = (one for one in yaml.safe_load(workflow(config, INSTALL, ROOT))["jobs"]["images"]["steps"]
               if one.get("run", "").startswith("buildlib image --push"))  # fmt: skip
    assert step["env"] == {"NPM_TOKEN": "${{ secrets.NPM_TOKEN }}", "PIP": "${{ secrets.PIP }}"}


def test_a_secret_whose_name_cannot_stand_in_a_workflow_is_an_error():
    images = {"web": {**IMAGE, "secrets": ["id=x,env=A}} B"]}}
    with pytest.raises(UsageError, match=r"images\.\*\.secrets = 'A}} B'"):
        workflow(settings(registry="ghcr.io/acme", images=images), INSTALL, ROOT)


BELOW = Project(directory="services/my api", build="target/buildlib", dist="services/my api/dist")


def test_a_workspace_below_the_root_of_the_repository():
    jobs = yaml.safe_load(text := workflow(settings(registry="ghcr.io/acme"), INSTALL, BELOW))
    assert (jobs["name"], jobs["defaults"]) == (
        "multiarch services/my api",
        {"run": {"working-directory": "services/my api"}},
    )
    # Two workspaces of one repository must not cancel each other.
    assert jobs["concurrency"]["group"] == "multiarch services/my api-${{ github.ref }}"
    for job in ("merge", "publish"):
        assert jobs["jobs"][job]["concurrency"] == f"multiarch services/my api-{job}-${{{{ github.ref }}}}"
    (cache,) = (step["with"] for step in jobs["jobs"]["test"]["steps"] if "actions/cache" in step.get("uses", ""))
    assert cache["path"].split("\n")[:-1] == ["~/.cache/buildlib", "~/.cargo/registry", "target/buildlib"]
    assert cache["key"] == (
        "buildlib-${{ runner.arch }}-${{ matrix.arch }}-auto-${{ hashFiles('services/my api/Cargo.lock', "
        "'services/my api/rust-toolchain.toml', 'services/rust-toolchain.toml', 'rust-toolchain.toml') }}"
    )
    carried = {
        name: [
            (one["uses"].split("/")[1][:8], one["with"]["path"])
            for one in job["steps"]
            if "-artifact@" in one.get("uses", "")
        ]
        for name, job in jobs["jobs"].items()
    }
    dist, reports = "services/my api/dist", "target/buildlib/reports"
    assert {name: paths for name, paths in carried.items() if paths} == {
        "test": [("upload-a", reports), ("upload-a", dist)],
        "images": [("download", dist), ("upload-a", dist)],
        **{
            name: [("download", "${{ runner.temp }}/parts"), ("upload-a", dist), ("upload-a", reports)]
            for name in ("merge", "publish")
        },
    }
    assert not re.search(r"@[A-Z_]+@", text)


def test_each_arch_is_a_part_and_the_parts_are_merged_once_all_are_there():
    jobs = yaml.safe_load(workflow(settings(registry="ghcr.io/acme"), INSTALL, ROOT))["jobs"]
    assert {name: job.get("needs") for name, job in jobs.items()} == {
        "plan": None, "checks": "plan", "test": "plan", "merge": ["test"], "images": ["plan", "test"],
        "publish": ["checks", "test", "images"],
    }  # fmt: skip
    assert (
        jobs["images"]["strategy"] == jobs["test"]["strategy"] and jobs["images"]["runs-on"] == jobs["test"]["runs-on"]
    )
    # A pull request has no images, no secrets and no more than the permission to read.
    assert {name: job["if"] for name, job in jobs.items() if "if" in job} == {
        "checks": "needs.plan.outputs.checks != '[]'", "merge": "github.event_name != 'push'",
        "images": "github.event_name == 'push'",
        "publish": "${{ github.event_name == 'push' && !cancelled() && !failure() }}",
    }  # fmt: skip
    assert "secrets." not in str(jobs["merge"]) and "permissions" not in jobs["merge"]
    alone = yaml.safe_load(workflow(settings(), INSTALL, ROOT))["jobs"]
    assert (list(alone), alone["merge"]["needs"], "if" in alone["merge"]) == (
        ["plan", "checks", "test", "merge"], ["test"], False,
    )  # fmt: skip


@pytest.mark.parametrize("project", [Project(binaries=False), Project(dist="")], ids=["libraries", "dist elsewhere"])
def test_without_binaries_to_carry_one_job_makes_the_images(project):
    jobs = yaml.safe_load(workflow(settings(registry="ghcr.io/acme"), INSTALL, project))["jobs"]
    assert list(jobs) == ["plan", "checks", "test", "images"]
    assert jobs["test"]["steps"][5]["run"] == 'nox -s "$SESSION"'
    assert jobs["images"]["steps"][-1]["run"] == "buildlib image --push"


def test_directories_outside_of_the_repository_are_not_kept():
    jobs = yaml.safe_load(workflow(settings(registry="ghcr.io/acme"), INSTALL, Project(build="", dist="")))["jobs"]
    paths = [step["with"]["path"] for job in jobs.values() for step in job["steps"] if "path" in step.get("with", {})]
    assert paths == ["~/.cache/buildlib\n~/.cargo/registry\n"] * 2  # and no reports


@pytest.mark.parametrize(("project", "images"), [(ROOT, ".images"), (Project(dist=""), ".")], ids=["divided", "whole"])
def test_images_can_be_signed_without_a_key(project, images):
    config = settings(registry="ghcr.io/acme", ci={"keyless": True})
    jobs = yaml.safe_load(workflow(config, INSTALL, project))["jobs"]
    job = jobs["publish" if project.is_divided else "images"]
    assert job["permissions"] == {"contents": "read", "packages": "write", "id-token": "write"}
    steps = job["steps"]
    at = next(number for number, step in enumerate(steps) if "cosign-installer" in step.get("uses", ""))
    assert re.fullmatch(r"sigstore/cosign-installer@[0-9a-f]{40}", steps[at]["uses"])
    assert (
        steps[at - 1]["run"]
        == f'{MERGE if project.is_divided else "buildlib image --push"} --json > "$RUNNER_TEMP/images.json"'
    )
    assert steps[at + 1]["run"].splitlines() == [
        'cd "$RUNNER_TEMP"',
        f"""jq -r '{images}[] | select(.digest != "") | "\\(.where)@\\(.digest)"' images.json > images.txt""",
        "xargs --no-run-if-empty --max-args=1 cosign sign --yes --recursive < images.txt",
    ]
    assert "cosign" not in workflow(settings(ci={"keyless": True}), INSTALL, project)  # no registry, no images
    assert sum("id-token" in job.get("permissions", {}) for job in jobs.values()) == 1
