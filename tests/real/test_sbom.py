"""The SBOM of a program has the crates that cargo compiled into it, and no others."""

import json

from testbed import BUILDLIB, run

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
