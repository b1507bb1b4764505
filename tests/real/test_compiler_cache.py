"""Builds in other directories, for other users, take what was compiled before from a store, and only what is right."""

import json
import os
import subprocess
import time

import pytest
from testbed import BUILDLIB, COMPILES_WHERE_C, install_packages, run

PASSWORD = "sesame-7341"
NO_USE = {"compilations": 0, "hits": 0}
# A library with generated sources, one that has its own directory in it, and C.
FILES = {
    "Cargo.toml": """
        [package]
        name = "app"
        version = "1.0.0"
        edition = "2021"
        [dependencies]
        helper = { path = "helper" }
        placed = { path = "placed", optional = true }
        [profile.release]
        debug = true
        """,
    "build.rs": """
        use std::{env, process::Command};

        fn main() {
            let out = env::var("OUT_DIR").unwrap();
        """
    + COMPILES_WHERE_C
    + "}\n",
    "src/where.c": "const char *where(void) { return __FILE__; }\n",
    "src/main.rs": """
        extern "C" {
            fn r#where() -> *const std::ffi::c_char;
        }

        fn main() {
            println!("{}", helper::text());
            println!("{}", unsafe { std::ffi::CStr::from_ptr(r#where()) }.to_str().unwrap());
            #[cfg(feature = "placed")]
            println!("{}", placed::PLACE);
        }
        """,
    "helper/Cargo.toml": '[package]\nname = "helper"\nversion = "1.0.0"\nedition = "2021"\n',
    "helper/build.rs": """
        use std::{env, fs, path::Path, process::Command};

        fn main() {
            assert!(env::vars().all(|(_, value)| value != "sesame-7341"));
            if let Ok(process) = env::var("KILL") {
                assert!(Command::new("kill").args(["-9", &process]).status().unwrap().success());
            }
            let made = Path::new(&env::var("OUT_DIR").unwrap()).join("made.rs");
            fs::write(made, "pub const MADE: &str = file!();").unwrap();
        }
        """,
    "helper/src/lib.rs": """
        include!(concat!(env!("OUT_DIR"), "/made.rs"));

        pub fn text() -> String {
            format!("first {MADE} {}", file!())
        }
        """,
    "placed/Cargo.toml": '[package]\nname = "placed"\nversion = "1.0.0"\nedition = "2021"\n',
    "placed/src/lib.rs": 'pub const PLACE: &str = env!("CARGO_MANIFEST_DIR");\n',
}


class Place:
    """A directory with the workspace, and a user with a home and a cargo of their own."""

    def __init__(self, folder, **env):
        self.root, self.dist = folder / "workspace", folder / "workspace" / "dist" / "arm64"
        for name, text in FILES.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)
        home = os.environ.get("HOME", "/root")
        self.env = {
            "HOME": str(folder / "home"), "CARGO_HOME": str(folder / "home" / "cargo"),
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", f"{home}/.rustup"),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", f"{home}/.cache"), **env,
        }  # fmt: skip

    def build(self, *options, **env):
        """Build for arm64; the use of the cache, what stderr says, and the bytes of the program."""
        words = (BUILDLIB, "build", "--arch", "arm64", "--json", *options)
        done = run(*words, cwd=self.root, env=self.env | env)
        assert done.code == 0, done
        return json.loads(done.out)[0]["cache"], done.err, (self.dist / "app").read_bytes()

    def prints(self):
        """What the program prints."""
        done = run("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu", self.dist / "app")
        assert done.code == 0, done
        return done.out


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    """Start a Redis with a password: returns its address and its process. Each has an address of the loopback for itself."""
    install_packages("redis-server")
    servers = []

    def start():
        host = f"127.73.{os.getpid() % 250}.{len(servers) + 1}"
        words = ("redis-server", "--bind", host, "--requirepass", PASSWORD, "--save", "")
        servers.append(subprocess.Popen(words, cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL))
        while "PONG" not in run("redis-cli", "-h", host, "ping", env={"REDISCLI_AUTH": PASSWORD}).out:
            assert servers[-1].poll() is None
            time.sleep(0.05)
        return f"redis://{host}:6379", servers[-1]

    yield start
    for server in servers:
        server.kill()
        server.wait()


def entries(store):
    """The files of a store that is a directory, with what is in them."""
    return {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}


@pytest.mark.parametrize("backend", ["zig", "gcc"])
def test_another_user_elsewhere_compiles_nothing_again(backend, redis, cross_gcc, qemu, tmp_path):
    store, _ = redis()
    shared = {"BUILDLIB_CACHE_COMPILER": store, "SCCACHE_REDIS_PASSWORD": PASSWORD, "BUILDLIB_BACKEND": backend}
    without = Place(tmp_path / "without", BUILDLIB_BACKEND=backend).build()
    assert without[0] == NO_USE
    first = Place(tmp_path / "first", **shared).build()
    there = Place(tmp_path / "quite" / "another", **shared)
    second = there.build()
    assert (first[0], second[0]) == ({"compilations": 2, "hits": 0}, {"compilations": 2, "hits": 2})
    assert first[2] == second[2] == without[2]
    assert "arm64: 2 of 2 compilations (100 %) from the compiler cache" in second[1]
    made, source, c_file = there.prints().split()[1:]
    assert (made.startswith("/target/"), source, c_file) == (True, "helper/src/lib.rs", "/src/src/where.c")

    # cargo knows the files that were not compiled here: nothing to do, and then one that changed.
    assert there.build()[0] == NO_USE
    source = there.root / "helper" / "src" / "lib.rs"
    source.write_text(source.read_text().replace("first", "second"))
    assert there.build()[0] == {"compilations": 1, "hits": 0}
    assert there.prints().startswith("second ")


def test_a_path_in_the_program_is_not_taken_from_elsewhere(qemu, tmp_path):
    for name in ("first", "second"):
        place = Place(tmp_path / name, BUILDLIB_CACHE_COMPILER=str(tmp_path / "store"))
        use, _, _ = place.build("--features", "placed")
        # The library with the path is no compilation that the cache can keep.
        assert use == {"compilations": 2, "hits": 0 if name == "first" else 2}
        assert place.prints().splitlines()[-1] == str(place.root / "placed")


@pytest.mark.extended  # sccache waits a minute for the answer to one request
def test_a_store_that_fails_during_a_build_does_not_stop_it(redis, qemu, tmp_path):
    store, process = redis()
    shared = {"BUILDLIB_CACHE_COMPILER": store, "SCCACHE_REDIS_PASSWORD": PASSWORD}
    first = Place(tmp_path / "first", **shared)
    _, _, program = first.build()
    # It is killed by a build script, before what depends on it is compiled.
    fails = Place(tmp_path / "fails", **shared)
    assert fails.build(KILL=str(process.pid))[2] == program
    assert process.wait() == -9


def test_a_store_that_is_down_does_not_stop_a_build(redis, qemu, tmp_path):
    store, process = redis()
    shared = {"BUILDLIB_CACHE_COMPILER": store, "SCCACHE_REDIS_PASSWORD": PASSWORD}
    _, _, program = Place(tmp_path / "first", **shared).build()
    process.kill()
    process.wait()
    use, said, built = Place(tmp_path / "down", **shared).build()
    assert (use, built) == (NO_USE, program)
    assert f"warning: no compiler cache: {store}" in said and "compiling without it" in said


def test_a_store_is_only_read_where_the_settings_say_so(qemu, tmp_path):
    store = tmp_path / "store"
    place = Place(tmp_path / "first", BUILDLIB_CACHE_COMPILER=str(store), BUILDLIB_CACHE_READ_ONLY="true")
    store.mkdir()
    assert place.build()[0] == {"compilations": 2, "hits": 0}
    assert entries(store) == {}


def test_a_damaged_entry_and_one_of_something_else_are_compiled_again(qemu, tmp_path):
    store = tmp_path / "store"
    shared = {"BUILDLIB_CACHE_COMPILER": str(store)}
    _, _, program = Place(tmp_path / "first", **shared).build()
    stored = entries(store)
    one, other = stored
    for number, damaged in enumerate((
        dict.fromkeys(stored, b""),
        {path: data[: len(data) // 2] for path, data in stored.items()},
        {path: data[:100] + bytes(50) + data[150:] for path, data in stored.items()},
        {one: stored[other], other: stored[one]},
    )):  # fmt: skip
        for path, data in damaged.items():
            path.write_bytes(data)
        use, _, built = Place(tmp_path / str(number), **shared).build()
        assert (use, built) == ({"compilations": 2, "hits": 0}, program)


def test_reproduce_finds_an_entry_that_somebody_has_replaced(qemu, tmp_path):
    evil = Place(tmp_path / "evil", BUILDLIB_CACHE_COMPILER=str(tmp_path / "theirs"))
    source = evil.root / "helper" / "src" / "lib.rs"
    source.write_text(source.read_text().replace("first", "wrong"))
    evil.build()
    good = Place(tmp_path / "good", BUILDLIB_CACHE_COMPILER=str(tmp_path / "ours"))
    good.build()
    ours, theirs = entries(tmp_path / "ours"), entries(tmp_path / "theirs")
    (key,) = {path.name for path in ours} - {path.name for path in theirs}
    (other,) = {path.name for path in theirs} - {path.name for path in ours}
    for path in ours:
        if path.name == key:
            path.write_bytes(next(data for file, data in theirs.items() if file.name == other))

    victim = Place(tmp_path / "victim", BUILDLIB_CACHE_COMPILER=str(tmp_path / "ours"))
    found = run(BUILDLIB, "reproduce", "--arch", "arm64", "--json", cwd=victim.root, env=victim.env)
    assert found.code == 1, found
    (row,) = json.loads(found.out)
    assert (row["identical"], bool(row["difference"])) == (False, True)
    assert victim.prints().startswith("wrong ")
