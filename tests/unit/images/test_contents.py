"""Files of the workspace that an image contains: what is found, where it goes, and what is an error."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.assembly.oci import Runtime, digest
from buildlib.core.errors import UsageError
from buildlib.images import contents
from buildlib.images.dockerfile import Stage


@pytest.fixture
def root(tmp_path):
    """A workspace with configuration files, links, and files beside it."""
    root = tmp_path / "w"
    for name in ("config/app.toml", "config/sub/run", "other/app.toml", "one.toml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "config" / "sub" / "run").chmod(0o700)
    (root / "config" / "empty").mkdir()
    (root / "none").mkdir()
    (tmp_path / "secret").write_text("")
    (root / "out").symlink_to("../secret")
    (root / "gone").symlink_to("nowhere")
    (root / "loop").mkdir()
    (root / "loop" / "again").symlink_to(".")
    (root / "self").symlink_to("self")
    (root / "linked").mkdir()
    (root / "linked" / "app.toml").symlink_to("../one.toml")
    (root / "linked" / "folder").symlink_to("../other")
    (root / "special").mkdir()
    os.mkfifo(root / "special" / "pipe")
    return root


def found(root, files, **runtime):
    stage = Stage(runtime=Runtime(entrypoint=("/usr/bin/a",), **runtime), files=files)
    return contents.contents(root, "a", stage)


def paths(root, files):
    return {content.path: content.name for content in found(root, files)}


@pytest.mark.parametrize("source", ["config", "config/"])
@pytest.mark.parametrize("target", ["/etc/a", "/etc/a/"])
def test_the_content_of_a_directory(root, source, target):
    files = found(root, {source: target})
    assert {c.path: (c.name, c.mode) for c in files} == {
        "/etc/a/app.toml": ("config/app.toml", 0o644),
        "/etc/a/sub/run": ("config/sub/run", 0o755),
    }
    assert [content.folders for content in files] == [("/etc/a",), ("/etc/a", "/etc/a/sub")]
    assert contents.inputs(files) == [
        ("/etc/a/app.toml", 0o644, digest(b"config/app.toml")),
        ("/etc/a/sub/run", 0o755, digest(b"config/sub/run")),
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {}),
        ({"one.toml": "/etc/a.toml"}, {"/etc/a.toml": "one.toml"}),
        ({"one.toml": "/etc/"}, {"/etc/one.toml": "one.toml"}),
        ({"one.toml": "/"}, {"/one.toml": "one.toml"}),
        ({"other/": "/"}, {"/app.toml": "other/app.toml"}),
        (
            {"linked": "/x"},
            {"/x/app.toml": "linked/app.toml", "/x/folder/app.toml": "linked/folder/app.toml"},
        ),
        (
            {"other/": "/x/", "one.toml": "/x/sub/"},
            {"/x/app.toml": "other/app.toml", "/x/sub/one.toml": "one.toml"},
        ),
    ],
)
def test_where_files_go(root, files, expected):
    assert paths(root, files) == expected


def test_only_the_directories_of_the_workspace_belong_to_the_user(root):
    files = found(root, {"config/": "/", "one.toml": "/opt/a/"})
    assert {folder for content in files for folder in content.folders} == {"", "/sub"}


@pytest.mark.parametrize(
    ("files", "message", "help_text"),
    [
        ({"confg/": "/x"}, "confg/ does not exist in {root}", "did you mean 'config'?"),
        ({"config/ap.toml": "/x"}, "config/ap.toml does not exist in {root}", "did you mean 'app.toml'?"),
        ({"zzz/a": "/x"}, "zzz/a does not exist in {root}", ""),
        ({"one.toml/a": "/x"}, "one.toml/a does not exist in {root}", ""),
        ({"gone": "/x"}, "gone is a link to nothing", ""),
        ({"self": "/x"}, "self is a link to nothing", ""),
        ({"one.toml/": "/x"}, "one.toml is not a directory", "leave out the `/` at its end"),
        ({"none/": "/x"}, "none/ contains no file", ""),
        ({"out": "/x"}, "out leads to {root.parent}/secret, outside of the workspace", "copy it into the workspace"),
        ({"loop/": "/x"}, "loop/again leads back to a directory that contains it", ""),
        ({"special": "/x"}, "special/pipe is neither a file nor a directory", ""),
        ({"one.toml": "/usr/bin/a"}, "one.toml and the program are both /usr/bin/a in the image", ""),
        ({"one.toml": "/usr/bin/a/"}, "/usr/bin/a is a directory in the image, not the program", ""),
        (
            {"one.toml": "/x/app.toml", "other": "/x"},
            "other/app.toml and one.toml are both /x/app.toml in the image",
            "",
        ),
        (
            {"one.toml": "/x", "other": "/x"},
            "/x is a directory in the image, not one.toml",
            "write /x/ to copy it into the directory",
        ),
        *(
            (
                {"one.toml": folder},
                f"{folder} is a directory in the image, not one.toml",
                f"write {folder}/ to copy it into the directory",
            )
            for folder in ("/etc", "/usr", "/usr/bin", "/tmp", "/srv", "/srv/a", "/var/lib/a", "/var")
        ),
    ],
)
def test_what_cannot_be_copied_is_one_error(root, files, message, help_text):
    with pytest.raises(UsageError) as caught:
        found(root, files, workdir="/srv/a", volumes=("/var/lib/a",))
    expected = f"components.a.files: {message.format(root=root)}"
    assert (caught.value.code, caught.value.message, caught.value.help) == (2, expected, help_text)


def test_a_directory_that_cannot_be_read_is_one_error(root, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UsageError) as caught:
        found(root, {"config/": "/x"})
    assert caught.value.message == f"components.a.files: {root}/config: Permission denied"


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)


@given(st.dictionaries(NAMES, st.binary(max_size=9), min_size=1, max_size=5))
def test_names_within_a_directory_may_be_anything(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("w")
    (root / "c").mkdir()
    for name, data in files.items():
        (root / "c" / name).write_bytes(data)
    content = {one.path: (one.folders, one.file.read_bytes()) for one in found(root, {"c/": "/x"})}
    assert content == {f"/x/{name}": (("/x",), data) for name, data in files.items()}
