"""The SBOM of a program has the crates that cargo compiled into it, and no others; so has the list in the program itself."""

import json

import pytest
from testbed import BUILDLIB, run

from buildlib.machine.host import cache_folder

READER = "0.5.4"

# name -> its dependencies. Everything is in one directory, so that no network is needed.
CRATES = {
    "linked": '[dependencies]\nbelow = { path = "../below" }\n',
    "below": "",
    "macros": '[lib]\nproc-macro = true\n[dependencies]\nof-macros = { path = "../of-macros" }\n',
    "of-macros": "",
    "for-builds": "",
    "for-tests": "",
    "on-arm64": "",
    "on-windows": "",
    "chosen": "",
    "not-chosen": "",
}
APP = """
[package]
name = "app"
version = "1.2.0"
edition = "2021"
license = "MIT OR Apache-2.0"
build = "build.rs"

[features]
extra = ["dep:chosen"]
more = ["dep:not-chosen"]

[dependencies]
linked = { path = "../linked" }
macros = { path = "../macros" }
chosen = { path = "../chosen", optional = true }
not-chosen = { path = "../not-chosen", optional = true }

[build-dependencies]
for-builds = { path = "../for-builds" }

[dev-dependencies]
for-tests = { path = "../for-tests" }

[target.'cfg(target_arch = "aarch64")'.dependencies]
on-arm64 = { path = "../on-arm64" }

[target.'cfg(windows)'.dependencies]
on-windows = { path = "../on-windows" }

[workspace]
"""


def write(folder):
    for name, tables in CRATES.items():
        (folder / name / "src").mkdir(parents=True)
        (folder / name / "Cargo.toml").write_text(
            f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n{tables}'
        )
        (folder / name / "src" / "lib.rs").touch()
    (folder / "app" / "src").mkdir(parents=True)
    (folder / "app" / "Cargo.toml").write_text(APP)
    (folder / "app" / "build.rs").write_text("fn main() {}\n")
    (folder / "app" / "src" / "main.rs").write_text("fn main() {}\n")


def test_it_has_what_cargo_compiled_for_the_target(tmp_path, qemu):
    write(tmp_path)
    built = run(BUILDLIB, "build", "--arch", "arm64", "--features", "extra", cwd=tmp_path / "app")
    assert built.code == 0, built
    triple = "aarch64-unknown-linux-gnu"
    argv = (
        "check",
        "--target",
        triple,
        "--features",
        "extra",
        "--message-format",
        "json",
        "--target-dir",
        tmp_path / "other",
    )
    messages = map(json.loads, run("cargo", *argv, cwd=tmp_path / "app").out.splitlines())
    compiled = {
        message["target"]["name"].replace("_", "-")
        for message in messages
        if message["reason"] == "compiler-artifact" and any(f"/{triple}/" in name for name in message["filenames"])
    }
    sbom = json.loads((tmp_path / "app" / "dist" / "arm64" / "app.cdx.json").read_text())
    root = sbom["metadata"]["component"]
    assert (root["name"], root["version"], root["licenses"]) == ("app", "1.2.0", [{"expression": "MIT OR Apache-2.0"}])
    names = {component["name"] for component in sbom["components"]}
    assert names | {"app"} == compiled == {"app", "linked", "below", "chosen", "on-arm64"}
    tree = {one["ref"]: one.get("dependsOn", []) for one in sbom["dependencies"]}
    assert tree == {
        "arm64/app": ["chosen@0.1.0", "linked@0.1.0", "on-arm64@0.1.0"], "linked@0.1.0": ["below@0.1.0"], "below@0.1.0": [],
        "chosen@0.1.0": [], "on-arm64@0.1.0": [],
    }  # fmt: skip
    assert str(tmp_path) not in json.dumps(sbom)


# --- the list in the program itself -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def audit_info():
    """The reader of the authors of the format, from crates.io; a small program, compiled once into the cache."""
    root = cache_folder() / "tests" / f"rust-audit-info-{READER}"
    if not (root / "bin" / "rust-audit-info").exists():
        installed = run("cargo", "install", "rust-audit-info", "--version", READER, "--locked", "--root", root)
        assert installed.code == 0, installed
    return root / "bin" / "rust-audit-info"


def embedded(reader, path):
    """The crates in a file as the reader prints them: name and version, source, and direct dependencies. The root is first."""
    read = run(reader, path)
    assert read.code == 0, read
    packages = json.loads(read.out)["packages"]
    names = [f"{package['name']}@{package['version']}" for package in packages]
    below = [[names[index] for index in package.get("dependencies", ())] for package in packages]
    roots = [name for name, package in zip(names, packages, strict=True) if package.get("root")]
    assert roots == names[:1]
    return {name: (package["source"], others) for name, package, others in zip(names, packages, below, strict=True)}


def listed(path):
    """The same from the SBOM beside a file, without the sources."""
    sbom = json.loads(path.with_name(f"{path.name}.cdx.json").read_text())
    root = sbom["metadata"]["component"]
    names = {root["bom-ref"]: f"app@{root['version']}"}
    return {names.get(one["ref"], one["ref"]): one.get("dependsOn", []) for one in sbom["dependencies"]}


def build(app, backend, *flags, **env):
    words = (BUILDLIB, "build", "--arch", "arm64", "--features", "extra", *flags, "--backend", backend, "--json")
    built = run(*words, cwd=app, env={"BUILDLIB_EMBED_SBOM": "true", **env})
    assert built.code == 0, built
    (row,) = json.loads(built.out)
    return row["status"], {binary["binary"]: binary["started"] for binary in row["binaries"]}, built.err


def assert_embedded(reader, path, below):
    """A file has these crates, by the reader and by its SBOM; `below` is the version of the last one."""
    found = embedded(reader, path)
    assert found == {
        "app@1.2.0": ("local", ["chosen@0.1.0", "linked@0.1.0", "on-arm64@0.1.0"]), f"below@{below}": ("local", []),
        "chosen@0.1.0": ("local", []), "linked@0.1.0": ("local", [f"below@{below}"]), "on-arm64@0.1.0": ("local", []),
    }  # fmt: skip
    assert {name: others for name, (_, others) in found.items()} == listed(path)


PROFILE = """
[lib]
name = "shared"
crate-type = ["cdylib"]
[profile.release]
lto = "fat"
panic = "abort"
strip = true
"""


def test_a_published_reader_finds_the_same_crates_in_optimised_and_stripped_files(audit_info, qemu, tmp_path):
    write(tmp_path)
    app = tmp_path / "app"
    (app / "Cargo.toml").write_text(APP + PROFILE)
    (app / "src" / "lib.rs").touch()
    (app / "src" / "main.rs").write_text('fn main() {\n    println!("{}", std::env::consts::ARCH)\n}\n')
    (app / ".cargo").mkdir()
    (app / ".cargo" / "config.toml").write_text('[build]\nrustflags = ["-Clink-arg=-Wl,--gc-sections"]\n')
    assert build(app, "zig", "--bins", "--lib")[:2] == ("done", {"app": "--version", "libshared.so": ""})
    for name in ("app", "libshared.so"):
        assert_embedded(audit_info, app / "dist" / "arm64" / name, "0.1.0")
    started = run("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu", app / "dist" / "arm64" / "app")
    assert (started.code, started.out) == (0, "aarch64\n")


def test_the_list_follows_every_change_and_nothing_else_is_done(audit_info, cross_gcc, qemu, tmp_path):
    write(tmp_path)
    app = tmp_path / "app"
    program = app / "dist" / "arm64" / "app"
    assert build(app, "gcc")[0] == "done"
    assert_embedded(audit_info, program, "0.1.0")
    status, _, log = build(app, "gcc")
    assert status == "unchanged" and "nothing to compile" in log

    # Only the version of a dependency: no code is another one.
    manifest = tmp_path / "below" / "Cargo.toml"
    manifest.write_text(manifest.read_text().replace("0.1.0", "0.2.0"))
    assert run("cargo", "update", "--workspace", "--offline", cwd=app).code == 0
    assert build(app, "gcc")[0] == "done"
    assert_embedded(audit_info, program, "0.2.0")

    status, _, log = build(app, "gcc", BUILDLIB_EMBED_SBOM="false")
    assert status == "done" and "nothing to compile" in log
    read = run(audit_info, program)
    assert read.code != 0 and "No audit data" in read.err


def test_a_program_keeps_the_list_when_it_is_stripped_once_more(audit_info, qemu, tmp_path):
    """By GNU strip. llvm-strip removes what is not loaded, this too."""
    write(tmp_path)
    app = tmp_path / "app"
    built = run(BUILDLIB, "build", "--arch", "amd64", cwd=app, env={"BUILDLIB_EMBED_SBOM": "true"})
    assert built.code == 0, built
    program = app / "dist" / "amd64" / "app"
    before = embedded(audit_info, program)
    size = program.stat().st_size
    assert run("strip", program).code == 0 and program.stat().st_size < size
    assert embedded(audit_info, program) == before and run(program).code == 0
