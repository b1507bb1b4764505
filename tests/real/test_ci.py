"""The pipelines that `buildlib ci` prints: valid for GitHub and GitLab, and their steps run in order in clones of the repository."""

import json
import os
import re
import shutil
import sys

import pytest
import yaml
from containers import go_environment
from testbed import BUILDLIB, buildlib, install_packages, run

from buildlib.ci import github, gitlab
from buildlib.ci.project import Project
from buildlib.core import layers
from buildlib.core.targets import TARGETS
from buildlib.machine.host import cache_folder

ACTIONLINT = "v1.7.11"  # the newest that Go 1.24 compiles
IMAGE = {"dockerfile": "Dockerfile", "context": ".", "secrets": ["NPM_TOKEN"]}
BELOW = Project(directory="services/my api", build="services/my api/target/buildlib", dist="services/my api/dist")
REGISTRIES = (
    "",
    "ghcr.io/acme",
    "acme",
    "gcr.io/p",
    "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a",
    "registry.acme.test:5050/a",
)
CI = {"runner": "ubuntu-24.04-arm", "runners": {"arm64": "own-runner"}}
FILES = {
    "services/my api/Cargo.toml": '[package]\nname = "api"\nversion = "1.0.0"\nedition = "2021"\n',
    "services/my api/Cargo.lock": '[[package]]\nname = "api"\nversion = "1.0.0"\n',
    "services/my api/src/main.rs": 'fn main() {\n    println!("api 1.0.0");\n}\n#[test]\nfn works() {}\n',
    "services/my api/Dockerfile": "FROM scratch\n",
    "services/my api/.gitignore": "target\ndist\n",
    "services/my api/noxfile.py": '''\
import nox
from buildlib.sessions import sessions

sessions()

@nox.session(venv_backend="none")
def unit(session):
    session.run("cargo", "test", "--quiet", external=True)

@nox.session(venv_backend="none", default=False)
def release(session):
    session.error("not in a pipeline")
''',
}  # fmt: skip


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    """Pipelines of both systems for all kinds of projects, in files."""
    folder = tmp_path_factory.mktemp("pipelines")
    for number, registry in enumerate(REGISTRIES):
        for name, project in {
            "root": Project(),
            "below": BELOW,
            "outside": Project(build="", dist=""),
            "images": Project(rust=False),
        }.items():
            images = {"web": IMAGE} if name in ("below", "images") else {}
            config = layers.resolve(
                ("flag", {"registry": registry, "images": images, "ci": CI if name == "below" else {}})
            )
            install = "pip install 'cargo-buildlib[host-tools] @ git+https://example.org/x@1'"
            targets = [TARGETS["amd64"], TARGETS["riscv64-musl"]]
            (folder / f"github-{name}-{number}.yml").write_text(github.workflow(config, install, project))
            (folder / f"gitlab-{name}-{number}.yml").write_text(gitlab.pipeline(config, install, project, targets))
    return folder


@pytest.mark.parametrize(
    ("system", "schema"),
    [("github", ("vendor.github-workflows",)), ("gitlab", ("vendor.gitlab-ci", "--data-transform", "gitlab-ci"))],
)
def test_pipelines_are_valid(pipelines, system, schema):
    files = sorted(pipelines.glob(f"{system}-*.yml"))
    checked = run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", *schema, *files)
    assert checked.code == 0 and len(files) == 4 * len(REGISTRIES), checked
    wrong = pipelines / "wrong.yml"
    wrong.write_text(re.sub("^    steps:|^  script:", "  nonsense:", files[0].read_text(), flags=re.MULTILINE))
    assert run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", *schema, wrong).code == 1


@pytest.fixture(scope="session")
def actionlint(tmp_path_factory):
    """actionlint, compiled from its Go module; kept in the cache."""
    program = cache_folder() / "tests" / f"actionlint-{ACTIONLINT}" / "actionlint"
    if not program.exists():
        folder = tmp_path_factory.mktemp("actionlint")
        name = "github.com/rhysd/actionlint"
        (folder / "go.mod").write_text(f"module throwaway\ngo 1.24\nrequire {name} {ACTIONLINT}\n")
        env = {"CGO_ENABLED": "0", **go_environment(folder)}
        downloaded = run("go", "get", f"{name}/cmd/actionlint@{ACTIONLINT}", cwd=folder, env=env)
        assert downloaded.code == 0, downloaded
        program.parent.mkdir(parents=True)
        built = run("go", "build", "-trimpath", "-o", program, f"{name}/cmd/actionlint", cwd=folder, env=env)
        assert built.code == 0, built
    return program


def test_actionlint_has_no_finding(pipelines, actionlint):
    """Expressions, contexts and keys of a workflow. Not what shellcheck says, which is not on every machine."""
    linted = run(actionlint, "-shellcheck=", "-config-file", os.devnull, *sorted(pipelines.glob("github-*.yml")))
    assert (linted.code, linted.out) == (0, ""), linted


# --- the steps ----------------------------------------------------------------------------------------------------------------


SAYS_INSTALLED = "buildlib --version"  # in place of the command that installs what is tested here
ARCHES = ("amd64-musl", "arm64-musl")
TOOLS = {
    "docker": '#!/bin/sh\nif [ "$1" = login ]; then echo "$@ $(cat)" >> "$LOGINS"; else exec {docker} "$@"; fi\n',
    "apt-get": "#!/bin/sh\n",  # the packages are those of the job's container
}


class Repository:
    """A repository with a workspace below its root. Each job has a clone of it, and what it gets from other jobs.

    The steps run as they are printed; images are pushed to the tests' registry. A login is recorded and changes nothing.
    """

    def __init__(self, folder, engine):
        self.folder, self.origin, tools = folder, folder / "origin", folder / "tools"
        self.logins, self.artifacts, self.registry = folder / "logins", folder / "artifacts", engine.registry
        settings = f"arches = {json.dumps(ARCHES)}\n{engine.settings()}"
        for name, text in {**FILES, "services/my api/buildlib.toml": settings}.items():
            (self.origin / name).parent.mkdir(parents=True, exist_ok=True)
            (self.origin / name).write_text(text)
        tools.mkdir()
        for name, text in TOOLS.items():
            (tools / name).write_text(text.replace("{docker}", str(shutil.which("docker"))))
            (tools / name).chmod(0o755)
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message", "a")):
            assert run("git", *identity, *words, cwd=self.origin).code == 0
        path = {"PATH": f"{tools}:{BUILDLIB.parent}:{os.environ['PATH']}", "LOGINS": str(self.logins), "CI": "true"}
        self.env, self.ran = {**engine.env, **path}, []

    def clone(self, name):
        """A clone, as a job has it."""
        root = self.folder / "jobs" / name
        assert run("git", "clone", "--quiet", self.origin, root).code == 0
        return root

    def carry(self, step, root):
        """What upload-artifact and download-artifact do. File modes get lost, and a single artifact has no directory of its own."""
        name, path = step["with"].get("name"), root / step["with"]["path"]
        if "upload-artifact" in step["uses"]:
            assert step["with"].get("overwrite") or not (self.artifacts / name).exists()
            shutil.rmtree(self.artifacts / name, ignore_errors=True)
            shutil.copytree(path, self.artifacts / name, copy_function=shutil.copyfile)
        elif "download-artifact" in step["uses"]:
            found = [self.artifacts / name] if name else sorted(self.artifacts.glob(step["with"]["pattern"]))
            for artifact in found:
                alone = name or len(found) == 1
                shutil.copytree(artifact, path if alone else path / artifact.name, copy_function=shutil.copyfile)

    def index(self, tag):
        """The platforms of the image in the registry."""
        raw = run("docker", "buildx", "imagetools", "inspect", "--raw", f"{self.registry}/acme/api:{tag}", env=self.env)
        assert raw.code == 0, raw
        return [
            "/".join((one["platform"]["os"], one["platform"]["architecture"]))
            for one in json.loads(raw.out)["manifests"]
        ]

    def pipeline(self, *options):
        """What `buildlib ci` prints, read, and what it says on stderr."""
        printed = buildlib("ci", "--install", SAYS_INSTALLED, *options, cwd=self.origin / "services" / "my api")
        assert printed.code == 0, printed
        return yaml.safe_load(printed.out), printed.err.splitlines()

    def step(self, job, command, shell, cwd, env):
        """Run a step in the shell of the CI system."""
        self.ran.append((job, command))
        done = run(*shell, command, cwd=cwd, env=self.env | env)
        assert done.code == 0, (job, command, done)
        return done


@pytest.fixture
def repository(tmp_path, engine, qemu):
    install_packages("jq")
    return Repository(tmp_path, engine)


def test_the_steps_of_githubs_workflow_run_in_order(repository, tmp_path):
    workflow, said = repository.pipeline()
    assert said == [
        "  save it in .github/workflows at the root of the repository",
        "  the workflow needs secrets of the repository: REGISTRY_USERNAME, REGISTRY_PASSWORD",
    ]
    known = {"vars.REGISTRY_USERNAME || secrets.REGISTRY_USERNAME": "user", "secrets.REGISTRY_PASSWORD": "password"}
    for name, job in workflow["jobs"].items():
        needed, before = job.get("needs", []), set(repository.artifacts.glob("*"))
        assert {*([needed] if isinstance(needed, str) else needed)} <= {done for done, _ in repository.ran}
        for number, row in enumerate(_matrix(job.get("strategy", {}).get("matrix"), known)):
            outputs, root = tmp_path / f"outputs-{len(repository.ran)}", repository.clone(f"{name}-{number}")
            outputs.touch()
            (temporary := tmp_path / f"temporary-{name}-{number}").mkdir()
            row["runner.temp"] = str(temporary)
            for step in job["steps"]:
                env = {key: _filled(value, known | row) for key, value in step.get("env", {}).items()}
                env |= {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(outputs), "RUNNER_TEMP": str(temporary)}
                if "run" in step:
                    cwd = root / workflow["defaults"]["run"]["working-directory"]
                    repository.step(name, _filled(step["run"], row), ("bash", "-e", "-c"), cwd, env)
                elif "-artifact@" in step["uses"]:
                    values = {
                        key: _filled(value, row) if isinstance(value, str) else value
                        for key, value in step["with"].items()
                    }
                    repository.carry({**step, "with": values}, root)
            written = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
            known |= {f"steps.sessions.outputs.{key}": value for key, value in written.items()}
        known |= {f"needs.{name}.outputs.{key}": _filled(value, known) for key, value in job.get("outputs", {}).items()}
        if job.get("if") == "github.event_name != 'push'":  # what follows is of a push
            for artifact in {*repository.artifacts.glob("*")} - before:
                shutil.rmtree(artifact)
            assert not repository.logins.exists()
    sessions = workflow["jobs"]["plan"]["steps"][-1]["run"]
    login = f'printf %s "$PASSWORD" | docker login {repository.registry} --username "$REGISTRY_USER" --password-stdin'
    parts, merge = list(enumerate(ARCHES, 1)), 'buildlib merge "$RUNNER_TEMP/parts"'
    assert [step for step in repository.ran if step[1] != SAYS_INSTALLED] == [
        ("plan", "buildlib lint"), ("plan", sessions), ("checks", 'nox -s "$SESSION"'),
        *(("test", line) for number, arch in parts for line in (
            f"buildlib setup --yes --arch {arch}", f"buildlib build --shard {number}/2", f"buildlib test --shard {number}/2",
        )),
        ("merge", merge), ("merge", "buildlib report"),
        *(("images", line) for number, arch in parts for line in (
            f"buildlib setup --yes --arch {arch}", login, f"buildlib image --push --no-build --shard {number}/2",
            f"buildlib smoke --shard {number}/2",
        )),
        ("publish", login), ("publish", merge), ("publish", "buildlib report"),
    ]  # fmt: skip
    said = f"login {repository.registry} --username user --password-stdin password\n"
    assert repository.logins.read_text() == 3 * said
    assert repository.index("latest") == repository.index("1.0.0") == ["linux/amd64", "linux/arm64"]
    merged = {
        path.relative_to(repository.artifacts / "dist").as_posix()
        for path in (repository.artifacts / "dist").rglob("*")
    }
    assert {"amd64-musl/api", "arm64-musl/api", "manifest.json"} <= merged
    reports = {path.name for path in (repository.artifacts / "reports").iterdir()}
    assert reports == {
        "index.html", *(f"{kind}-{arch}.{form}" for kind in ("test", "smoke") for arch in ARCHES for form in ("json", "xml")),
    }  # fmt: skip


def _filled(text, values):
    """The text with the values of its expressions. KeyError for an unknown one."""
    return re.sub(r"\$\{\{ (.+?) \}\}", lambda match: values[match[1]], text)


def _matrix(matrix, known):
    """The values of the expressions of each job of a matrix, whose only key is a list or `include`."""
    if not matrix:
        return [{}]
    ((key, expression),) = matrix.items()
    rows = json.loads(_filled(re.sub(r"fromJSON\((.+)\)", r"\1", expression), known))
    return [
        {f"matrix.{name}": value for name, value in (row if key == "include" else {key: row}).items()} for row in rows
    ]


@pytest.mark.extended  # the commands of GitHub's workflow, in other words
def test_the_steps_of_gitlabs_pipeline_run_in_order(repository, tmp_path):
    pipeline, said = repository.pipeline("--for", "gitlab")
    assert said == [
        "  save it as .gitlab-ci.yml at the root of the repository, or start it from there as a child pipeline",
        "  the pipeline needs CI/CD variables of the project: REGISTRY_USERNAME and REGISTRY_PASSWORD (not for GitLab's own registry)",
    ]
    before, root = pipeline["default"]["before_script"], repository.clone("all")
    of_gitlab = {
        "CI_PROJECT_DIR": str(root), "CI_REGISTRY": repository.registry, "CI_REGISTRY_USER": "token-of-job",
        "CI_REGISTRY_PASSWORD": "password",
    }  # fmt: skip
    # What zig has compiled of libc, a quarter of a minute for each target, as the pipeline finds it in its own cache.
    (cache_folder() / "zig-debug").mkdir(parents=True, exist_ok=True)
    (root / ".cache" / "buildlib").mkdir(parents=True)
    (root / ".cache" / "buildlib" / "zig-debug").symlink_to(cache_folder() / "zig-debug")
    jobs = {name: _extended(pipeline, job) for name, job in pipeline.items() if "stage" in _extended(pipeline, job)}
    never = {name for name, job in jobs.items() if any(rule.get("when") == "never" for rule in job.get("rules", ()))}
    for stage in pipeline["stages"]:
        for name, job in ((name, job) for name, job in jobs.items() if job["stage"] == stage and name[0] != "."):
            if name in never:  # that of a merge request
                continue
            script = "\n".join((*before, *job["script"]))
            script = script.replace("-m venv", "-m venv --without-pip").replace("/tmp/buildlib", str(tmp_path / name))
            env = {
                key: str(value).replace("$CI_PROJECT_DIR", str(root))
                for key, value in job.get("variables", {}).items() if not key.startswith("DOCKER_")
            }  # fmt: skip
            repository.step(name, script, ("bash", "-eo", "pipefail", "-c"), root, of_gitlab | env)
    assert never == {"merge"}
    assert [name for name, _ in repository.ran] == [
        "lint", "checks", *(f"{kind}-{arch}" for kind in ("test", "images") for arch in ARCHES), "publish",
    ]  # fmt: skip
    assert all(script.splitlines()[len(before) :] == jobs[name]["script"] for name, script in repository.ran)
    assert before[-2:] == ["cd 'services/my api'", SAYS_INSTALLED]
    said = f"login {repository.registry} --username token-of-job --password-stdin password\n"
    assert repository.logins.read_text() == 3 * said
    assert repository.index("latest") == ["linux/amd64", "linux/arm64"]
    reports = jobs["test-amd64-musl"]["artifacts"]["reports"]["junit"]
    assert sorted(path.name for path in root.glob(reports)) == [f"test-{arch}.xml" for arch in ARCHES]
    carried = [
        path
        for name in ("test-arm64-musl", "images-arm64-musl", "publish")
        for path in jobs[name]["artifacts"]["paths"]
    ]
    assert all((root / path).is_dir() for path in carried)


def _extended(pipeline, job):
    """A job with the keys of those that it extends; tables are merged."""
    if not isinstance(job, dict) or "extends" not in job:
        return job
    base = _extended(pipeline, pipeline[job["extends"]])
    tables = {key: {**base[key], **job[key]} for key in base.keys() & job if isinstance(job[key], dict)}
    return {**base, **job, **tables}
