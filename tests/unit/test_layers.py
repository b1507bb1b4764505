"""The house: a room imports only rooms above it, and touches only what it may."""

import ast
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2] / "buildlib"
ORDER = (
    "errors", "targets", "log", "plan", "failures", "redact", "network", "config", "rust", "dockerd", "host", "workspace", "toolchain",
    "artifacts", "libtest", "junit", "emulation", "handlers", "debs", "counts", "backends", "environment", "cargo", "nextest",
    "dist", "oci", "dockerfile", "builder", "buildx", "containers", "tiny", "workflow", "doctor", "console", "files", "journal",
    "output", "retry", "exchange", "registry", "relay", "gateway", "runner", "context", "provision", "build", "testing",
    "benching", "image", "smoke", "uplink", "inspection", "engine", "assemble", "push", "local", "linting", "images", "checkup",
    "survey", "page", "report", "outcomes", "door", "cli_make", "cli_check", "cli_look", "cli", "program", "sessions",
)  # fmt: skip
LINT = (
    "source", "frame", "words", "containerfile", "script", "questions", "tree", "shell", "finding", "look", "downloads", "platforms",
    "triples", "variables", "branches", "compiling", "cargo", "workflows", "check", "fix", "formats",
)  # fmt: skip
WORLD = {
    "os",
    "subprocess",
    "socket",
    "shutil",
    "docker",
    "tenacity",
    "invoke",
    "nox",
    "rich",
    "elftools",
    "requests",
    "http",
}
MAY = {
    "artifacts": {"elftools"},
    "rust": {"subprocess"},
    "dockerd": {"docker"},
    "host": {"os", "docker"},
    "console": {"rich"},
    "files": {"os", "shutil"},
    "retry": {"tenacity"},
    "exchange": {"requests"},
    "registry": {"requests"},
    "relay": {"http"},
    "gateway": {"http"},
    "runner": {"os", "subprocess"},
    "context": {"shutil"},
    "smoke": {"docker", "requests", "socket"},
    "uplink": {"docker"},
    "linting": {"os"},
    "checkup": {"docker"},
    "images": {"os"},
    "survey": {"requests", "socket"},
    "door": {"os", "invoke"},
    "cli_make": {"invoke"},
    "cli_check": {"os", "invoke"},
    "cli_look": {"os", "invoke"},
    "cli": {"invoke"},
    "program": {"os", "invoke"},
    "sessions": {"os", "nox"},
}


def imports(room, house="buildlib"):
    ours, theirs = set(), set()
    for node in ast.walk(
        ast.parse((HOUSE.parent / house.replace(".", "/") / f"{room}.py").read_text(encoding="utf-8"))
    ):
        if isinstance(node, ast.Import):
            theirs |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == house:
            ours |= {alias.name for alias in node.names if alias.name in ORDER + LINT}
        elif isinstance(node, ast.ImportFrom) and node.module.startswith(f"{house}."):
            ours.add(node.module.removeprefix(f"{house}.").split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            theirs.add(node.module.split(".")[0])
    return ours, theirs


def test_every_room_has_its_place():
    # These three are programs of their own; they import nothing of ours.
    assert {path.stem for path in HOUSE.glob("*.py")} == {*ORDER, "__init__", "__main__", "linker", "harness", "tally"}
    assert imports("linker") == (set(), {"os", "sys", "itertools"})
    for program in ("harness", "tally"):
        ours, theirs = imports(program)
        assert not ours and theirs <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("room", ORDER)
def test_rooms_look_only_up_and_touch_only_what_they_may(room):
    ours, theirs = imports(room)
    ours -= {"lint"}  # a house of its own, below
    assert [other for other in ours if ORDER.index(other) >= ORDER.index(room)] == []
    assert theirs & WORLD <= MAY.get(room, set())


def test_lint_is_a_house_of_its_own_that_touches_nothing():
    assert {path.stem for path in (HOUSE / "lint").glob("*.py")} == {*LINT, "__init__"}
    for number, room in enumerate(LINT):
        ours, theirs = imports(room, "buildlib.lint")
        assert (room, [other for other in ours if LINT.index(other) >= number]) == (room, [])
        assert (room, theirs & WORLD) == (room, set())


@pytest.mark.parametrize("path", sorted(HOUSE.rglob("*.py")), ids=lambda path: path.stem)
def test_a_room_and_its_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert [f.name for f in functions if f.end_lineno - f.lineno + 1 > 50] == []
    assert text.count("\n") <= 300
