"""A workspace that is built in several places with one store of compiled crates."""

import json
import os
import subprocess
import time
from contextlib import contextmanager

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


@contextmanager
def redis_servers(scratch):
    """Start a Redis with a password: gives its address and its process. Each has an address of the loopback for itself."""
    install_packages("redis-server")
    servers = []

    def start():
        host = f"127.73.{os.getpid() % 250}.{len(servers) + 1}"
        words = ("redis-server", "--bind", host, "--requirepass", PASSWORD, "--save", "")
        servers.append(subprocess.Popen(words, cwd=scratch(), stdout=subprocess.DEVNULL))
        while "PONG" not in run("redis-cli", "-h", host, "ping", env={"REDISCLI_AUTH": PASSWORD}).out:
            assert servers[-1].poll() is None
            time.sleep(0.05)
        return f"redis://{host}:6379", servers[-1]

    try:
        yield start
    finally:
        for server in servers:
            server.kill()
            server.wait()
