"""How programs that tests start run: the ways, tried with shell scripts; tests/real has emulators and namespaces."""

import json
import os
import stat

import pytest

from buildlib.core.targets import TARGETS
from buildlib.emulation import launcher
from buildlib.emulation.binfmt import magic
from buildlib.testing import child_processes
from buildlib.testing.child_processes import ASIDE, BINFMT, BOTH, LAUNCHERS, NONE, PRIVATE

# Only the child of the fork uses what xdist's threads might hold: nothing.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
MAGIC, MASK = (part.hex() for part in magic(TARGETS["arm64"]))
ARM64 = bytes.fromhex("7f454c46020101000000000000000000" + "0300b700") + b"the rest of a program"
NATIVE = ARM64.replace(b"\xb7", b"\x3e")
QEMU = ["/usr/bin/qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"]


@pytest.fixture
def children(tmp_path):
    """The keys of the test runner's specification."""
    (tmp_path / "folder").mkdir()
    programs = tmp_path / "target" / "aarch64-unknown-linux-gnu"
    (programs / "debug" / "examples").mkdir(parents=True)
    return {"way": "", "handlers": [], "launcher": "7f", "magic": MAGIC, "mask": MASK, "folder": str(tmp_path / "folder"),
            "programs": str(programs)}  # fmt: skip


@pytest.fixture
def debug(children, tmp_path):
    """A profile's directory, as cargo leaves it."""
    folder = tmp_path / "target" / "aarch64-unknown-linux-gnu" / "debug"
    for name, data in {
        "tool": ARM64, "tool.d": b"tool: src/main.rs", "libplugin.so": ARM64, "script": b"#!/bin/sh\n", "native": NATIVE,
        "short": b"\x7fELF", "examples/demo": ARM64, "examples/demo-0123456789abcdef": ARM64,
    }.items():  # fmt: skip
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o755)
    (folder / "deps").mkdir()
    os.link(folder / "tool", folder / "deps" / "tool-0123456789abcdef")
    return folder


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def prepare(children, debug, way=LAUNCHERS):
    child_processes.prepare({**children, "way": way}, QEMU, f"{debug}/deps/tool-0123456789abcdef")


@pytest.mark.parametrize("way", [LAUNCHERS, BOTH])
def test_programs_are_replaced_by_launchers_and_restored(children, debug, way):
    before = tree(debug)
    prepare(children, debug, way)
    words = (QEMU[0], QEMU[2], f"{debug}/{ASIDE}/tool")
    expected = b"".join(word.ljust(launcher.SLOT, b"\0") for word in (b"\x7f", *map(os.fsencode, words)))
    assert (debug / "tool").read_bytes() == expected
    assert stat.S_IMODE((debug / "tool").stat().st_mode) == 0o755
    moved = {"tool": f"{ASIDE}/tool", "examples/demo": f"examples/{ASIDE}/demo"}
    during = tree(debug)
    assert {name for name in during if during[name] != before.get(name)} == {*moved, *moved.values()}
    assert all(during[place] == ARM64 for place in moved.values())
    assert (child_processes.original(f"{debug}/tool"), child_processes.original(f"{debug}/native")) == (
        f"{debug}/{ASIDE}/tool", f"{debug}/native",
    )  # fmt: skip
    child_processes.restore(children)
    assert tree(debug) == before
    assert not list(debug.rglob(ASIDE))
    assert (debug / "tool").samefile(debug / "deps" / "tool-0123456789abcdef")


@pytest.mark.parametrize("way", ["", BINFMT, NONE])
def test_nothing_is_replaced_where_nothing_can_be_done(children, debug, way):
    before = tree(debug)
    prepare(children, debug, way)
    assert tree(debug) == before


def test_launchers_are_not_replaced_by_launchers(children, debug):
    """Each test binary prepares the programs, some at the same time."""
    prepare(children, debug)
    during = tree(debug)
    prepare(children, debug)
    assert tree(debug) == during


def test_a_program_that_cargo_has_linked_again_is_replaced_again(children, debug):
    prepare(children, debug)
    newer = ARM64 + b" of a newer program"
    (debug / "tool").unlink()
    (debug / "tool").write_bytes(newer)
    prepare(children, debug)
    assert (debug / ASIDE / "tool").read_bytes() == newer
    (debug / "tool").unlink()
    (debug / "tool").write_bytes(newer + b"!")
    child_processes.restore(children)
    assert (debug / "tool").read_bytes() == newer + b"!" and not (debug / ASIDE).exists()


def test_what_a_killed_run_has_left_is_used_and_removed(children, debug):
    """Then cargo has linked the same file again, and something else is left in the directory."""
    before = tree(debug)
    prepare(children, debug)
    (debug / "tool").unlink()
    os.link(debug / "deps" / "tool-0123456789abcdef", debug / "tool")
    (debug / ASIDE / "tool.1234").write_bytes(ARM64)
    prepare(children, debug)
    assert sorted(path.name for path in (debug / ASIDE).iterdir()) == ["tool", "tool.1234"]
    child_processes.restore(children)
    assert tree(debug) == before


def test_a_program_that_another_test_binary_replaces_meanwhile_is_kept(children, debug, monkeypatch):
    """Between the look at a program and the link to it, another process has put a launcher there."""
    link = child_processes._link

    def late(path, copy):
        if path.endswith("tool"):
            monkeypatch.setattr(child_processes, "_link", link)
            prepare(children, debug)
        link(path, copy)

    monkeypatch.setattr(child_processes, "_link", late)
    prepare(children, debug)
    assert (debug / ASIDE / "tool").read_bytes() == ARM64
    assert [path.name for path in (debug / ASIDE).iterdir()] == ["tool"]


def test_programs_are_copied_where_they_cannot_be_linked(children, debug, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    prepare(children, debug)
    assert (debug / ASIDE / "tool").read_bytes() == ARM64 and os.access(debug / ASIDE / "tool", os.X_OK)


def test_programs_are_found_by_the_test_binary_and_by_cargo_s_variables(children, debug, monkeypatch):
    """With build.build-dir, test binaries are elsewhere; their programs may be of another profile than the last one's."""
    folders = {str(debug), f"{debug}/examples"}
    elsewhere = "/elsewhere/aarch64-unknown-linux-gnu/debug/deps/a-0123456789abcdef"
    assert child_processes.program_folders(children, elsewhere) == folders
    assert child_processes.program_folders(children, f"/aarch64-unknown-linux-gnu/w{elsewhere}") == folders
    assert child_processes.program_folders(children, "/tmp/rustdoctestX/rust_out") == set()
    monkeypatch.setenv("CARGO_BIN_EXE_tool", str(debug / "tool"))
    assert child_processes.program_folders(children, "/tmp/rustdoctestX/rust_out") == folders


# --- which way ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def found(children, tmp_path, monkeypatch):
    """Find a way where a program starts as `condition`, a shell's test, says.

    The launcher is a script; entering a namespace sets a variable.
    """

    def write_launcher(children, emulator, path, program):
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(f"#!/bin/sh\nLAUNCHED=1 exec {program}\n")
            os.fchmod(stream.fileno(), 0o755)

    class Namespace:
        entered = False

        @staticmethod
        def machine_handlers():
            return [":a:"]

        @staticmethod
        def enter(children):
            assert children["handlers"] == [":a:"]
            Namespace.entered = True

    execve = os.execve

    def with_namespace(path, argv, env):
        execve(path, argv, {**env, "PRIVATE": "1"} if Namespace.entered else env)

    monkeypatch.setattr(child_processes, "write_launcher", write_launcher)
    monkeypatch.setattr(child_processes, "_private_binfmt", lambda: Namespace)
    monkeypatch.setattr(os, "execve", with_namespace)

    def found(condition, emulator=QEMU, **facts):
        program = tmp_path / "probe"
        program.write_text(f"#!/bin/sh\n[ {condition} ]\n")
        program.chmod(0o755)
        return child_processes.find({**children, **facts}, emulator, str(program))

    return found


HANDLER, NAMESPACE, LAUNCHER = '"$QEMU_LD_PREFIX"', '"$PRIVATE"', '"$LAUNCHED"'


@pytest.mark.processes
@pytest.mark.parametrize(
    ("condition", "way"),
    [
        ("x", {"way": BINFMT}), (f"{HANDLER} -o {LAUNCHER} -o {NAMESPACE}", {"way": BOTH}), (HANDLER, {"way": BINFMT}),
        (f"{LAUNCHER} -o {NAMESPACE}", {"way": PRIVATE, "handlers": [":a:"]}),
        (NAMESPACE, {"way": PRIVATE, "handlers": [":a:"]}), (LAUNCHER, {"way": LAUNCHERS}), ('""', {"way": NONE}),
    ],
)  # fmt: skip
def test_the_first_way_that_works_is_used(found, condition, way):
    assert found(condition) == way


@pytest.mark.processes
@pytest.mark.parametrize(
    ("condition", "way"), [(f"{HANDLER} -o {LAUNCHER}", BINFMT), (f"{LAUNCHER} -o {NAMESPACE}", NONE)]
)
def test_a_machine_without_a_launcher_has_handlers_alone(found, condition, way):
    assert found(condition, launcher="") == {"way": way}


@pytest.mark.processes
def test_a_static_program_needs_no_libraries(found):
    assert found(f"{HANDLER} -o {LAUNCHER}", emulator=QEMU[:1]) == {"way": LAUNCHERS}


@pytest.mark.processes
def test_a_program_that_does_not_exist_starts_in_no_way(children):
    assert child_processes.find({**children, "launcher": ""}, QEMU, "/nonexistent") == {"way": NONE}


@pytest.mark.processes
def test_the_command_prints_the_way_as_json(children, tmp_path, capsys):
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"emulator": QEMU, "children": children}))
    child_processes.main("find", str(spec), "/bin/true")
    assert json.loads(capsys.readouterr().out) == {"way": BINFMT}
