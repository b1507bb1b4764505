"""What a provenance says, on a laptop and in CI."""

import json

import pytest
from machines import Recorder, context

from buildlib import __version__
from buildlib.binaries import build, dist, provenance
from buildlib.process.commit import Source, source

MADE = Source(revision="0123", uri="https://git.test/acme/app")


@pytest.fixture
def said(machine):
    """A function that returns the predicate for a source, an environment and settings."""

    def said(made=MADE, env=None, **flags):
        found = context(machine(env=env or {}), Recorder(), **flags)
        return provenance.predicate(found, made, {"file": "a"}, [], {"rustc": "1"})

    return said


def test_a_provenance_has_the_form_of_slsa(said):
    assert said() == {
        "buildDefinition": {
            "buildType": "urn:cargo-buildlib:build:1", "externalParameters": {"file": "a"}, "internalParameters": {},
            "resolvedDependencies": [{"uri": "git+https://git.test/acme/app", "digest": {"gitCommit": "0123"}}],
        },
        "runDetails": {"builder": {"id": "urn:cargo-buildlib:local", "version": {"buildlib": __version__, "rustc": "1"}}},
    }  # fmt: skip


def test_settings_that_change_the_binary_are_recorded(said):
    definition = said(glibc="2.28", trim_paths=False, registry="r.test/secret")["buildDefinition"]
    assert definition["internalParameters"] == {"settings": {"glibc": "2.28", "trim_paths": False}}


def test_changed_sources_are_recorded(said):
    (commit,) = said(Source(revision="0123", dirty=True))["buildDefinition"]["resolvedDependencies"]
    assert commit == {"uri": "git+file:.", "digest": {"gitCommit": "0123"}, "annotations": {"dirty": True}}
    assert said(Source(revision=""))["buildDefinition"]["resolvedDependencies"] == []


GITHUB = {
    "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.test", "GITHUB_REPOSITORY": "acme/app", "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "2", "GITHUB_WORKFLOW_REF": "acme/app/.github/workflows/ci.yml@refs/heads/main",
}  # fmt: skip
GITLAB = {
    "GITLAB_CI": "true", "CI_PROJECT_URL": "https://gitlab.test/acme/app", "CI_COMMIT_SHA": "0123",
    "CI_JOB_URL": "https://gitlab.test/acme/app/-/jobs/7",
}  # fmt: skip


@pytest.mark.parametrize(
    ("env", "builder", "run"),
    [
        (GITHUB, "https://github.test/acme/app/.github/workflows/ci.yml@refs/heads/main",
         "https://github.test/acme/app/actions/runs/7/attempts/2"),
        (GITLAB, "https://gitlab.test/acme/app/-/blob/0123/.gitlab-ci.yml", "https://gitlab.test/acme/app/-/jobs/7"),
        ({"GITHUB_ACTIONS": "false"}, "urn:cargo-buildlib:local", None),
    ],
)  # fmt: skip
def test_where_it_was_built_is_recorded(said, env, builder, run):
    details = said(env=env)["runDetails"]
    assert details["builder"]["id"] == builder
    assert details.get("metadata") == ({"invocationId": run} if run else None)


class Git(Recorder):
    """Answers git's questions by their words."""

    def _answer(self, action, title, words):
        self.asked.append(words)
        answer = next((text for part, text in self.answers.items() if part in words), None)
        return super()._answer(action, title, words) if answer is None else outcome(action, answer)


def outcome(step, text):
    from buildlib.core.plan import Outcome

    return Outcome(step=step, code=0, seconds=0, stdout=text)


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("https://user:secret@git.test/acme/app.git", "https://git.test/acme/app.git"),
        ("https://token@git.test/acme/app.git", "https://git.test/acme/app.git"),
        ("ssh://git@git.test:22/acme/app.git", "ssh://git.test:22/acme/app.git"),
        ("git@git.test:acme/app.git", "git@git.test:acme/app.git"),
        ("https://git.test/a@b", "https://git.test/a@b"), ("", ""),
    ],
)  # fmt: skip
def test_the_source_is_named_without_credentials(machine, url, uri):
    git = Git({"rev-parse": "0123\n", "config": f"{url}\n", "status": " M src/main.rs\n"})
    assert source(context(machine(), git)) == Source(revision="0123", uri=uri, dirty=True)


def test_what_buildlib_writes_is_no_change_of_the_sources(machine):
    git = Git({"rev-parse": "0123\n", "config": "", "status": ""})
    assert source(context(machine(), git, dist="out")).dirty is False
    expected = "git status --porcelain -- . :(exclude)out :(exclude).build-failures.log :(exclude).build-failures.log.1"
    assert git.asked[-1] == expected


def test_each_binary_gets_a_provenance_that_is_listed(compiled):
    context, plan, outcome = compiled(provenance=True)
    build._accept(context, plan, outcome)
    (entry,) = dist.read(context.dist)
    file = context.dist / entry["provenance"]["path"]
    assert file == context.dist / f"{entry['path']}.provenance.json"
    assert dist.is_intact(context.dist, entry["provenance"])
    assert (
        f"{entry['provenance']['sha256']}  {entry['provenance']['path']}\n" in (context.dist / "SHA256SUMS").read_text()
    )
    statement = json.loads(file.read_text())
    assert statement["subject"] == [{"name": entry["binary"], "digest": {"sha256": entry["sha256"]}}]
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["predicate"]["buildDefinition"]["externalParameters"] == {
        "file": entry["binary"], "kind": "bin", "target": entry["target"], "profile": "release", "backend": entry["backend"],
        "minimumGlibc": entry["floor"], "features": [],
    }  # fmt: skip
    context, plan, outcome = compiled()  # without the setting
    build._accept(context, plan, outcome)
    assert "provenance" not in dist.read(context.dist)[0] and not file.exists()
