"""What sccache sees of a compilation, and what the compiler does: with stand-ins for both, which record it."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from buildlib.compiler_cache.scripts import CacheUse, CompilerCache, identity, use

SCCACHE = """\
#!/bin/bash
[ -z "$BROKEN" ] || exit 2
inner=$1
shift
{ pwd; printf '%s\\n' "$@"; env | grep '^CARGO_' | sort; } > "$RECORD/sccache"
"$inner" "$@" --emit dep-info -o "$RECORD/list.d" || exit
"$inner" "$@"
"""
RUSTC = """\
#!/bin/bash
{ pwd; printf '%s\\n' "$@"; env | grep '^CARGO_' | sort; } > "$RECORD/rustc"
file="$OUT/x-0.d"
case "${*: -4:3}" in "--emit dep-info -o") file=${*: -1} ;; esac
printf '%s\\n' "$OUT/x-0.d: $PWD/src/lib.rs $OUT/made.rs" '' "# env-dep:OUT_DIR=$OUT" '# env-dep:PLAIN=1' > "$file"
echo "${LEAK:-nothing}" > "$OUT/libx-0.rlib"
"""


class Machine:
    """The scripts for a workspace in `root`, and one call of the outer one, as cargo does it."""

    def __init__(self, root):
        self.root, self.record = root / "ws", root / "record"
        self.out = root / "ws" / "target" / "deps"
        for folder in (self.out, self.record, root / "std", root / "home"):
            folder.mkdir(parents=True)
        for name, text in (("sccache", SCCACHE), ("rustc", RUSTC)):
            (root / name).write_text(text)
            (root / name).chmod(0o755)
        self.tools = self.root / "target" / "tools"
        names = {root: "/src/..", root / "home": "/cargo", self.root: "/src", self.root / "target": "/target"}
        trims = tuple((str(path), name) for path, name in names.items())
        self.cache = CompilerCache(
            sccache=root / "sccache", socket=root / "s", folder=self.tools / "cached", trims=trims
        )
        self.rustc = self.cache.rustc(self.script, root / "rustc", str(root / "rustc"), (identity(root / "std"),) * 2)
        for action in self.cache.actions:
            action.path.write_text(action.text)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(root / "s"))

    def script(self, name, text):
        path = self.tools / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def call(self, *words, program=None, **env):
        env = {
            "PATH": os.environ["PATH"],
            "RECORD": str(self.record),
            "OUT": str(self.out),
            **self.cache.environment,
            **env,
        }
        return subprocess.run([program or self.rustc, *words], cwd=self.root, env=env, check=False).returncode

    def compile(self, *words, kind="lib", **env):
        own = {
            "CARGO_MANIFEST_DIR": str(self.root),
            "CARGO_PKG_NAME": "x",
            "CARGO_HOME": str(self.root.parent / "home"),
            **env,
        }
        options = (
            "--crate-name",
            "x",
            "--crate-type",
            kind,
            "-C",
            "linker=/ld",
            "-C",
            "extra-filename=-0",
            "--out-dir",
            str(self.out),
        )
        return self.call(*options, "src/lib.rs", *words, **own)

    def seen(self, name):
        return (self.record / name).read_text().replace(str(self.root.parent), "ROOT").splitlines()

    @property
    def use(self):
        return use(self.cache.log.read_text())


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    yield made
    made.listener.close()


ARGUMENTS = ["--crate-name", "x", "--crate-type", "lib"]
OUT = ["-C", "extra-filename=-0", "--out-dir", "ROOT/ws/target/deps", "src/lib.rs"]


@pytest.mark.processes
def test_sccache_sees_names_and_the_compiler_paths(machine):
    (machine.root / "src").mkdir()
    (machine.root / "src" / "lib.rs").touch()
    assert machine.compile("--cfg", "a", CARGO_MANIFEST_LINKS="z") == 0
    variables = [
        f"CARGO_BUILDLIB=1-{identity(machine.root)}",
        "CARGO_MANIFEST_DIR=/.buildlib/workspace/",
        "CARGO_MANIFEST_LINKS=z",
        "CARGO_PKG_NAME=x",
    ]
    assert machine.seen("sccache") == ["/", *ARGUMENTS, *OUT, "--cfg", "a", *variables]
    own = ["CARGO_HOME=ROOT/home", "CARGO_MANIFEST_DIR=ROOT/ws", "CARGO_MANIFEST_LINKS=z", "CARGO_PKG_NAME=x"]
    assert machine.seen("rustc") == ["ROOT/ws", *ARGUMENTS, *OUT, "--cfg", "a", *own]
    # What is compared with other machines' has names, what cargo reads has paths.
    assert machine.seen("list.d") == [
        "ROOT/ws/target/deps/x-0.d: ROOT/ws/src/lib.rs ROOT/ws/target/deps/made.rs", "",
        "# env-dep:OUT_DIR=/.buildlib/target/deps/", "# env-dep:PLAIN=1/",
    ]  # fmt: skip
    assert (machine.out / "x-0.d").read_text().replace(str(machine.root.parent), "ROOT").splitlines() == [
        "ROOT/ws/target/deps/x-0.d: ROOT/ws/src/lib.rs ROOT/ws/target/deps/made.rs", "",
        "# env-dep:OUT_DIR=ROOT/ws/target/deps", "# env-dep:PLAIN=1",
    ]  # fmt: skip
    assert machine.use == CacheUse(compilations=1, hits=0)


@pytest.mark.processes
def test_paths_of_a_registry_are_names_and_those_of_bitcode_stay(machine):
    source = machine.root.parent / "home" / "registry" / "src" / "i" / "y-1.0" / "lib.rs"
    words = ("--crate-name", "x", "--crate-type", "rlib", "--target", "arm", str(source), "-C", "linker-plugin-lto", "--out-dir",
             str(machine.out), "-C", "extra-filename=-0")  # fmt: skip
    assert machine.call(*words) == 0
    std = identity(machine.root)
    assert machine.seen("sccache")[7] == "/.buildlib/cargo/registry/src/i/y-1.0/lib.rs"
    assert machine.seen("sccache")[-1] == f"CARGO_BUILDLIB=1-{std}-{std}"
    assert machine.seen("rustc")[7] == "ROOT/home/registry/src/i/y-1.0/lib.rs"
    assert machine.seen("list.d")[2] == "# env-dep:OUT_DIR=ROOT/ws/target/deps"


@pytest.mark.processes
def test_what_has_a_path_in_it_is_compiled_without_sccache(machine):
    assert machine.compile(LEAK=f"{machine.root}/x") == 0
    assert "linker=/ld" in machine.seen("rustc")
    assert machine.use == CacheUse(compilations=0, hits=0)


@pytest.mark.processes
@pytest.mark.parametrize(
    "words",
    [("--test",), ("-C", "incremental=/i"), ("-Ctarget-cpu=native",), ("--print", "cfg"), ("--crate-type", "cdylib")],
)
def test_what_sccache_cannot_keep_is_compiled_without_it(machine, words):
    assert machine.compile(*words) == 0
    assert (machine.record / "sccache").exists() is False


@pytest.mark.processes
@pytest.mark.parametrize("kind", ["bin", "dylib", "cdylib", "staticlib", "proc-macro"])
def test_what_is_linked_is_compiled_without_sccache(machine, kind):
    assert machine.compile(kind=kind) == 0
    assert (machine.record / "sccache").exists() is False


@pytest.mark.processes
def test_without_a_server_and_with_a_broken_sccache_the_compiler_runs(machine):
    assert machine.compile(BROKEN="1") == 0
    machine.cache.socket.unlink()
    assert machine.compile() == 0
    assert "linker=/ld" in machine.seen("rustc")
    assert (machine.record / "sccache").exists() is False


@pytest.mark.processes
def test_the_compiler_of_c_is_the_same_everywhere(tmp_path):
    texts = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        machine = Machine(folder)
        text = machine.cache.c_compiler(
            machine.script, "cc", machine.script("plain/cc", '#!/bin/sh\necho "$@" > c\n'), "gcc 1234"
        )
        program = machine.script("cc", text)
        assert machine.call("-c", "x.c", program=program, SCCACHE="1") == 0
        assert machine.call("x.o", program=program) == 0
        assert ((machine.root / "c").read_text(), machine.use) == ("x.o\n", CacheUse(compilations=1, hits=0))
        texts += [path.read_text() for path in machine.cache.folder.glob("*/cc")]
        machine.listener.close()
    assert (len(texts), len(set(texts)), "gcc 1234" in texts[0]) == (2, 1, True)


def test_the_use_of_the_cache_is_counted():
    assert use("") == CacheUse(compilations=0, hits=0)
    assert use("rustc\nC\ncompiled\nrustc\n") == CacheUse(compilations=3, hits=2)
    assert use("compiled\ncompiled\nrustc\n") == CacheUse(compilations=1, hits=0)


def test_the_identity_of_std_is_that_of_its_libraries(tmp_path):
    empty = identity(tmp_path)
    (tmp_path / "libstd.rlib").write_bytes(b"1")
    one = identity(tmp_path)
    (tmp_path / "other").write_bytes(b"1")
    assert identity(tmp_path) == one != empty
    (tmp_path / "libstd.rlib").write_bytes(b"2")
    assert identity(Path(tmp_path)) not in (one, empty)
