"""Which crates are linked into a program, from cargo's unit graph."""

from pathlib import Path

import pytest

from buildlib.crates.linked import Crate, licence, linked

INDEX = "registry+https://github.com/rust-lang/crates.io-index"
GIT = "git+https://git.example/dep?branch=main"
LOCK = f"""
version = 4

[[package]]
name = "app"
version = "1.0.0"

[[package]]
name = "serde"
version = "1.0.200"
source = "{INDEX}"
checksum = "5e"

[[package]]
name = "serde"
version = "0.9.0"
source = "{INDEX}"
checksum = "09"

[[package]]
name = "dep"
version = "0.1.0"
source = "{GIT}#0123abc"

[[package]]
name = "only-for-tests"
version = "1.0.0"
source = "{INDEX}"
checksum = "00"
"""


def unit(
    id,
    kind="lib",
    depends=(),
    *,
    mode="build",
    name="",
    types=(),
    platform="aarch64-unknown-linux-gnu",
    source=Path("/x/src/lib.rs"),
):
    target = {"kind": [kind], "crate_types": list(types) or [kind], "name": name, "src_path": str(source)}
    dependencies = [{"index": index} for index in depends]
    return {
        "pkg_id": id,
        "target": target,
        "mode": mode,
        "platform": platform,
        "dependencies": dependencies,
        "features": [],
    }


def graph(*units, roots=(0,)):
    return {"units": list(units), "roots": list(roots)}


APP = "path+file:///w/app#1.0.0"
SERDE, OLD_SERDE, DEP = f"{INDEX}#serde@1.0.200", f"{INDEX}#serde@0.9.0", f"{GIT}#dep@0.1.0"


def test_what_runs_on_this_machine_is_not_linked(tmp_path):
    crates = linked(graph(
        unit(APP, "bin", [1, 2, 4, 5], name="app"),
        unit(SERDE, depends=[3]),
        unit(f"{INDEX}#derive@1.0.0", "proc-macro", [3], platform=None),
        unit(DEP, depends=[6]),
        unit(APP, "custom-build", [7], mode="run-custom-build", platform=None),
        unit(APP, depends=[1]),  # the package's library
        unit(OLD_SERDE),
        unit(f"{INDEX}#cc@1.0.0", platform=None),
    ), "app", "bin", LOCK)  # fmt: skip
    assert crates == (
        Crate(id=APP, name="app", version="1.0.0", depends_on=(SERDE,)),
        Crate(id=DEP, name="dep", version="0.1.0", source=f"{GIT}#0123abc", depends_on=(OLD_SERDE,)),
        Crate(id=OLD_SERDE, name="serde", version="0.9.0", source=INDEX, checksum="09"),
        Crate(id=SERDE, name="serde", version="1.0.200", source=INDEX, checksum="5e", depends_on=(DEP,)),
    )


@pytest.mark.parametrize(
    ("name", "kind", "made"),
    [
        ("app", "bin", True), ("other", "bin", False), ("app", "example", False), ("libmy_app.so", "cdylib", True),
        ("libmy_app.a", "staticlib", True), ("libapp.so", "cdylib", False), ("show", "example", True), ("libshow.so", "cdylib", False),
        ("libra", "example", True), ("liblib.so", "cdylib", True),
    ],
)  # fmt: skip
def test_the_target_that_makes_a_file(name, kind, made):
    units = (
        unit(APP, "bin", name="app"), unit(APP, "lib", name="my-app", types=("cdylib", "staticlib")),
        unit(APP, "example", name="show", types=("bin",)), unit(APP, "example", name="libra", types=("bin",)),
        unit(APP, "example", name="lib", types=("cdylib",)),
    )  # fmt: skip
    assert bool(linked(graph(*units, roots=range(5)), name, kind, LOCK)) is made


def test_a_crate_of_another_lock_file_keeps_its_source():
    """With -Zbuild-std std is compiled too: its own crates have paths, those that it uses are from crates.io."""
    std = "path+file:///home/me/.rustup/library/std#0.0.0"
    units = (
        unit(APP, "bin", [1], name="app"),
        unit(std, depends=[2, 3]),
        unit(f"{INDEX}#gimli@0.32.0"),
        unit(f"{GIT}#new@1.0.0"),
    )
    found = linked(graph(*units), "app", "bin", LOCK)
    assert {crate.name: crate.source for crate in found} == {"app": "", "std": "", "gimli": INDEX, "new": GIT}


def test_package_ids_of_older_versions_of_cargo():
    (own, serde) = linked(
        graph(unit("app 1.0.0 (path+file:///w/app)", "bin", [1], name="app"), unit(f"serde 1.0.200 ({INDEX})")),
        "app",
        "bin",
        LOCK,
    )
    assert (own.name, own.version, own.source) == ("app", "1.0.0", "")
    assert (serde.name, serde.version, serde.source, serde.checksum) == ("serde", "1.0.200", INDEX, "5e")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a/Cargo.toml": '[package]\nlicense = "MIT"'}, "MIT"),
        (
            {
                "a/Cargo.toml": "[package]\nlicense.workspace = true",
                "Cargo.toml": '[workspace.package]\nlicense = "Apache-2.0"',
            },
            "Apache-2.0",
        ),
        ({"a/Cargo.toml": '[workspace]\n[package]\nlicense = "ISC"'}, "ISC"),
        ({"a/Cargo.toml": "[package]\nlicense.workspace = true", "Cargo.toml": "[workspace]"}, ""),
        ({"a/Cargo.toml": "[package]\nlicense = 1"}, ""),
        ({"a/Cargo.toml": "package = 1"}, ""),
        ({"a/Cargo.toml": "no toml"}, ""),
        ({}, ""),
    ],
)
def test_the_licence_is_that_of_the_package_or_its_workspace(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert licence(tmp_path / "a" / "src" / "lib.rs") == expected
