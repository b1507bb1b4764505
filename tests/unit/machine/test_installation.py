"""The source of this installation, from every form of direct_url.json (PEP 610)."""

import json
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.machine import installation
from buildlib.machine.installation import Source, read

COMMIT = "8c7bd3b1a5f4e2d6c9b0a1f2e3d4c5b6a7980123"
VCS = {"vcs": "git", "commit_id": COMMIT, "requested_revision": "main"}


@pytest.mark.parametrize(
    ("record", "source"),
    [
        (
            {"url": "https://github.com/acme/buildlib.git", "vcs_info": VCS},
            Source(repository="git+https://github.com/acme/buildlib.git", commit=COMMIT),
        ),
        (
            {"url": "ssh://git@github.com/acme/buildlib", "vcs_info": VCS},
            Source(repository="git+ssh://git@github.com/acme/buildlib", commit=COMMIT),
        ),
        ({"url": "file:///home/u/my%20buildlib", "dir_info": {}}, Source(directory=Path("/home/u/my buildlib"))),
        (
            {"url": "file:///home/u/buildlib", "dir_info": {"editable": True}},
            Source(directory=Path("/home/u/buildlib"), editable=True),
        ),
        (
            {"url": "file:///home/u/buildlib", "dir_info": {"editable": False}},
            Source(directory=Path("/home/u/buildlib")),
        ),
        (
            {"url": "https://acme.test/b-1.tar.gz?raw=1", "archive_info": {"hashes": {"sha256": "0"}}},
            Source(url="https://acme.test/b-1.tar.gz?raw=1"),
        ),
        ({"url": "file:///tmp/b-1.whl", "archive_info": {}}, Source(url="file:///tmp/b-1.whl")),
    ],
)
def test_the_forms_of_pep_610(record, source):
    assert read(json.dumps(record)) == source


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "null", "[]", "3", "{}", '{"url": null}', '{"url": 3}', '{"url": "https://[::1"}',
        '{"url": "https://x", "vcs_info": {}}', '{"url": "https://x", "vcs_info": null}',
        '{"url": "https://x", "vcs_info": {"vcs": "git"}}', '{"url": "file:///x", "dir_info": null}',
        '{"url": "file:///x", "dir_info": []}', '{"url": "file://", "dir_info": {}}', "[" * 100_000,
    ],
    ids=range(16),
)  # fmt: skip
def test_a_record_that_is_not_valid_means_the_index(text):
    assert read(text) == Source()


@pytest.mark.parametrize(
    "userinfo", ["u:hunter2", "hunter2", "${USER}:${hunter2}", "a@b:hunter2", ":hunter2", "git:hunter2"]
)
@pytest.mark.parametrize("kind", [{"vcs_info": VCS}, {"archive_info": {}}])
def test_credentials_in_the_address_are_never_shown(userinfo, kind):
    source = read(json.dumps({"url": f"https://{userinfo}@acme.test:8443/b", **kind}))
    assert "acme.test:8443/b" in str(source)
    assert "hunter2" not in f"{source} {source.requirement()}"


@pytest.mark.parametrize(
    "query", ["token=hunter2", "a=1&X-Amz-Signature=hunter2", "sig=hunter2", "private_token=hunter2", "api_key=hunter2"]
)
def test_credentials_in_the_query_are_never_shown(query):
    assert read(json.dumps({"url": f"https://acme.test/b?{query}", "archive_info": {}})) == Source(
        url="https://acme.test/b"
    )


KEYS = st.sampled_from(["url", "vcs_info", "vcs", "commit_id", "dir_info", "editable", "archive_info"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=9) | st.just("https://x/y"),
    lambda inner: st.dictionaries(KEYS, inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=8,
)


@given(VALUES)
def test_any_record_is_a_source(record):
    assert isinstance(read(json.dumps(record)), Source)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Source(), ("cargo-buildlib",)),
        (Source(repository="git+https://x/y", commit="c0ffee"), ("cargo-buildlib @ git+https://x/y@c0ffee",)),
        (Source(directory=Path("/a b")), ("/a b",)),
        (Source(directory=Path("/a"), editable=True), ("-e", "/a")),
        (Source(url="https://x/y.whl"), ("cargo-buildlib @ https://x/y.whl",)),
    ],
)
def test_the_arguments_of_pip_install(source, words):
    assert source.requirement() == words
    extra = source.requirement("host-tools", "dev")
    assert extra[:-1] == words[:-1]
    assert extra[-1].replace("[host-tools,dev]", "", 1) == words[-1]


@pytest.mark.parametrize(("folder", "word"), [("/w", "./tools/b"), ("/w/tools/b", "."), ("/w/tools", "./b")])
def test_a_directory_relative_to_the_workspace(folder, word):
    assert Source(directory=Path("/w/tools/b")).requirement(relative_to=Path(folder)) == (word,)
    assert Source(directory=Path("/w/tools/b")).requirement("x", relative_to=Path(folder)) == (f"{word}[x]",)


class Distribution:
    def __init__(self, text):
        self.text = text

    def read_text(self, name):
        assert name == "direct_url.json"
        return self.text


@pytest.fixture
def installed(monkeypatch):
    """Sets the text of direct_url.json; None is an installation without the file, and an error one without metadata."""

    def install(text):
        def distribution(name):
            assert name == "cargo-buildlib"
            if isinstance(text, Exception):
                raise text
            return Distribution(text)

        monkeypatch.setattr(metadata, "distribution", distribution)
        installation.source.cache_clear()

    yield install
    installation.source.cache_clear()


def test_the_command_that_installs_more_extras(installed):
    installed(None)
    assert installation.pip_install("host-tools") == "pip install 'cargo-buildlib[host-tools]'"
    installed(metadata.PackageNotFoundError())
    assert installation.pip_install() == "pip install cargo-buildlib"
    installed('{"url": "file:///a%20b", "dir_info": {"editable": true}}')
    assert installation.pip_install() == "pip install -e '/a b'"
    installed(json.dumps({"url": "https://u:hunter2@x.test/y", "vcs_info": VCS}))
    assert installation.pip_install("a") == f"pip install 'cargo-buildlib[a] @ git+https://x.test/y@{COMMIT}'"
