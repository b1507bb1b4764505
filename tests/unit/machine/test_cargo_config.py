"""Cargo's configuration, merged as cargo merges it: `cargo config get` of a nightly gives the same values."""

from pathlib import Path

import pytest

from buildlib.core.targets import TARGETS
from buildlib.machine import cargo_config
from buildlib.machine.cargo_config import CargoConfig, TargetTable, Value, Variable

ARM64, AMD64 = TARGETS["arm64"].triple, TARGETS["amd64"].triple
HOME, OUTER, INNER = (
    Path(path) for path in ("/home/.cargo/config.toml", "/w/.cargo/config.toml", "/w/in/.cargo/config.toml")
)


def resolved(*files, **env):
    """The configuration of these (path, table), the one with the lowest precedence first."""
    return cargo_config.resolve(files, env, Path("/w/in"))


def texts(values):
    return [value.text for value in values]


def test_the_nearer_file_wins_and_arrays_are_joined():
    config = resolved(
        (HOME, {"target": {ARM64: {"linker": "home-ld", "rustflags": ["-Ca"]}}, "build": {"rustflags": ["-Cx"]}}),
        (OUTER, {"target": {ARM64: {"linker": "tools/ld", "runner": ["qemu", "-L", "/x"]}}}),
        (INNER, {"target": {ARM64: {"rustflags": ["-Cb"], "runner": ["mine", "-q"]}}}),
    )
    key = f"target.{ARM64}"
    assert config == CargoConfig(
        targets={
            ARM64: TargetTable(
                linker=Value("/w/tools/ld", str(OUTER), f"{key}.linker"),
                runner=Value("mine", str(INNER), f"{key}.runner"),
                rustflags=(Value("-Ca", str(HOME), f"{key}.rustflags"), Value("-Cb", str(INNER), f"{key}.rustflags")),
            )
        },
        build_rustflags=(Value("-Cx", str(HOME), "build.rustflags"),),
    )


def test_strings_are_split_and_replaced():
    config = resolved((HOME, {"build": {"rustflags": "-C a"}}), (INNER, {"build": {"rustflags": "-C  b"}}))
    assert texts(config.build_rustflags) == ["-C", "b"]


def test_variables_replace_what_files_say_and_add_to_arrays():
    upper = ARM64.upper().replace("-", "_")
    files = (OUTER, {"target": {ARM64: {"linker": "ld", "rustflags": ["-Ca"]}}, "build": {"rustflags": "-Cx -Cy"}})
    env = {
        f"CARGO_TARGET_{upper}_LINKER": "bin/mine", f"CARGO_TARGET_{upper}_RUSTFLAGS": "-Cb  -Cc",
        f"CARGO_TARGET_{upper}_RUNNER": "qemu -L /x", "CARGO_BUILD_RUSTFLAGS": "-Cz",
        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER": "only-here",
    }  # fmt: skip
    config = resolved(files, **env)
    assert config.linker(ARM64) == Value("/w/in/bin/mine", f"CARGO_TARGET_{upper}_LINKER")
    assert config.runner(ARM64).text == "qemu"
    assert texts(config.rustflags(ARM64)) == ["-Ca", "-Cb", "-Cc"]
    assert texts(config.build_rustflags) == ["-Cz"]
    assert config.linker(AMD64).text == "only-here"


@pytest.mark.parametrize(
    ("env", "arm64", "amd64"),
    [
        ({}, ["-Ct", "-Cu"], ["-Cu"]),
        ({"RUSTFLAGS": "-Cr  -Cs"}, ["-Cr", "-Cs"], ["-Cr", "-Cs"]),
        ({"RUSTFLAGS": ""}, [], []),
        ({"RUSTFLAGS": "-Cr", "CARGO_ENCODED_RUSTFLAGS": "-C\x1fa b"}, ["-C", "a b"], ["-C", "a b"]),
    ],
)
def test_flags_come_from_one_place(env, arm64, amd64):
    tables = {
        ARM64: {"rustflags": ["-Ct"]},
        "cfg(unix)": {"rustflags": ["-Cu"]},
        "cfg(windows)": {"rustflags": ["-Cw"]},
    }
    config = resolved((OUTER, {"target": tables, "build": {"rustflags": ["-Cb"]}}), **env)
    assert (texts(config.rustflags(ARM64)), texts(config.rustflags(AMD64))) == (arm64, amd64)


def test_the_flags_of_build_are_those_of_a_target_without_any():
    config = resolved((OUTER, {"target": {AMD64: {"rustflags": ["-Ct"]}}, "build": {"rustflags": ["-Cb"]}}))
    assert (texts(config.rustflags(ARM64)), texts(config.rustflags(AMD64))) == (["-Cb"], ["-Ct"])
    assert config.rustflags(ARM64)[0].where == f"build.rustflags in {OUTER}"


def test_tables_of_which_only_rustc_knows_whether_they_apply():
    files = (OUTER, {"target": {'cfg(target_feature = "neon")': {"rustflags": ["-Cn"], "linker": "x"}}})
    assert texts(resolved(files).undecided(ARM64)) == ["-Cn"]
    assert resolved(files).rustflags(ARM64) == () and resolved(files).linker(ARM64) is None
    assert resolved(files, RUSTFLAGS="-Ca").undecided(ARM64) == ()


def test_a_table_of_the_triple_goes_before_one_of_a_cfg():
    tables = {"cfg(unix)": {"linker": "any", "runner": "any"}, ARM64: {"linker": "own"}}
    config = resolved((OUTER, {"target": tables}))
    assert (config.linker(ARM64).text, config.linker(AMD64).text, config.runner(ARM64).text) == ("own", "any", "any")


@pytest.mark.parametrize(
    ("build", "env", "expected"),
    [
        ({"rustc-wrapper": "sccache"}, {}, [Value("sccache", str(OUTER), "build.rustc-wrapper")]),
        ({"rustc-wrapper": "./wrap"}, {}, [Value("/w/wrap", str(OUTER), "build.rustc-wrapper")]),
        ({"rustc-wrapper": "sccache"}, {"RUSTC_WRAPPER": ""}, []),
        ({"rustc-wrapper": ""}, {}, []),
        ({}, {"RUSTC_WRAPPER": "./x"}, [Value("/w/in/x", "RUSTC_WRAPPER")]),
        ({"rustc-wrapper": "a"}, {"CARGO_BUILD_RUSTC_WRAPPER": "b"}, [Value("b", "CARGO_BUILD_RUSTC_WRAPPER")]),
        ({"rustc-workspace-wrapper": "w"}, {"RUSTC_WRAPPER": "a"},
         [Value("a", "RUSTC_WRAPPER"), Value("w", str(OUTER), "build.rustc-workspace-wrapper")]),
    ],
)  # fmt: skip
def test_wrappers_of_rustc(build, env, expected):
    assert list(resolved((OUTER, {"build": build}), **env).wrappers) == expected


def test_the_variables_that_build_scripts_see():
    table = {
        "A": "1", "B": {"value": "2"}, "C": {"value": "3", "force": True}, "D": {"value": "d", "relative": True}, "E": 5,
        "F": {"force": True},
    }  # fmt: skip
    config = resolved((HOME, {"env": {"A": "0", "Z": "home"}}), (OUTER, {"env": table}))
    assert config.env == {
        "A": Variable("1"), "B": Variable("2"), "C": Variable("3", True), "D": Variable("/w/d"), "Z": Variable("home"),
    }  # fmt: skip
    assert config.applied({"A": "mine", "C": "mine", "P": "p"}) == {
        "A": "mine", "B": "2", "C": "3", "D": "/w/d", "P": "p", "Z": "home",
    }  # fmt: skip


@pytest.mark.parametrize(
    "table",
    [
        {"target": 1}, {"target": {"t": 1}}, {"target": {"t": {"linker": 3, "rustflags": 4, "runner": []}}}, {"build": "x"},
        {"build": {"rustflags": {"a": 1}, "rustc-wrapper": ["a"]}}, {"env": ["A"]}, {"target": {"t": {"rustflags": [1, {}]}}},
    ],
)  # fmt: skip
def test_values_of_another_type_say_nothing(table):
    config = resolved((OUTER, table))
    assert (config.linker("t"), config.rustflags("t"), config.env) == (None, (), {})


# --- files -----------------------------------------------------------------------------------------------------------


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_files_of_a_directory_and_those_above_it(tmp_path):
    home = tmp_path / "home"
    near = write(tmp_path / "w/in/.cargo/config", "[build]\nrustflags = ['-Cnear']\n")
    write(tmp_path / "w/in/.cargo/config.toml", "[build]\nrustflags = ['-Cignored']\n")
    far = write(tmp_path / "w/.cargo/config.toml", "[build]\nrustflags = ['-Cfar']\n")
    last = write(home / "config.toml", "[build]\nrustflags = ['-Chome']\n")
    env = {"CARGO_HOME": str(home)}
    assert [path for path, _ in cargo_config.files(env, tmp_path / "w/in")] == [last, far, near]
    assert texts(cargo_config.read(env, tmp_path / "w/in").build_rustflags) == ["-Chome", "-Cfar", "-Cnear"]


def test_the_directory_of_cargo_is_read_once_if_it_is_above(tmp_path):
    write(tmp_path / ".cargo/config.toml", "[build]\nrustflags = ['-Ca']\n")
    (tmp_path / "w").mkdir()
    assert texts(cargo_config.read({"HOME": str(tmp_path)}, tmp_path / "w").build_rustflags) == ["-Ca"]


def test_included_files_are_merged_below_the_one_that_includes_them(tmp_path):
    text = "include = ['a.toml', {path = 'b.toml'}, {path = 'absent.toml', optional = true}]\n[build]\nrustflags = ['-C3']\n"
    write(tmp_path / ".cargo/config.toml", text)
    write(tmp_path / ".cargo/a.toml", "include = ['config.toml']\n[build]\nrustflags = ['-C1']\nrustc-wrapper = 'a'\n")
    write(tmp_path / ".cargo/b.toml", "[build]\nrustflags = ['-C2']\nrustc-wrapper = 'b'\n")
    config = cargo_config.read({"CARGO_HOME": str(tmp_path / "none")}, tmp_path)
    assert texts(config.build_rustflags)[-3:] == ["-C1", "-C2", "-C3"] and texts(config.wrappers) == ["b"]


@pytest.mark.parametrize("text", ["[", f"x = {'[' * 5000}", "\udcff"], ids=range(3))
def test_a_file_that_is_not_valid_counts_as_absent(tmp_path, text):
    (tmp_path / ".cargo").mkdir()
    (tmp_path / ".cargo/config.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    (tmp_path / ".cargo/config").mkdir()  # no file
    assert cargo_config.read({"CARGO_HOME": str(tmp_path / "none")}, tmp_path) == CargoConfig()
