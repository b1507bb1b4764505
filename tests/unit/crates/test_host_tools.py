"""The table of crates and the programs that they run, and what it requires."""

from pathlib import Path

import pytest
from machines import ARM64, Machine

from buildlib.core.requirements import describe, missing
from buildlib.core.targets import TARGETS
from buildlib.crates import host_tools
from buildlib.crates.graph import Script
from buildlib.machine.rust_toolchains import Toolchain

AMD64 = TARGETS["amd64"].triple
TOOLCHAIN = Toolchain(
    origin="system",
    rustc=Path("/usr/bin/rustc"),
    cargo=Path("/usr/bin/cargo"),
    release="1.96.0",
    commit="",
    host=AMD64,
    sysroot=Path("/usr"),
)


def script(package, *crates, features=(), version="1.0.0", for_host=False):
    """The build script of a package; crates are names, or name=version."""
    linked = dict(crate.partition("=")[::2] if "=" in crate else (crate, "1.0.0") for crate in crates)
    return Script(package=package, version=version, for_host=for_host, features=frozenset(features), crates=linked)


def uses(scripts, target=ARM64.triple, **env):
    return host_tools.uses(scripts, target, Machine(env=env, toolchains=(TOOLCHAIN,)))


def tools(*scripts, target=ARM64.triple, **env):
    """The tools that are required, each with the packages whose scripts run it."""
    found: dict[str, set[str]] = {}
    for use in uses(scripts, target, **env):
        if use.required:
            found.setdefault(use.tool, set()).add(use.package)
    return found


def test_protoc_is_for_every_script_without_one_of_its_own():
    direct = script("api", "prost-build=0.14.6")
    through_tonic = script("grpc", "tonic-prost-build", "prost-build=0.14.6")
    vendored = script("other", "prost-build=0.14.6", "protox")
    assert tools(direct) == {"protoc": {"api"}}
    assert tools(vendored) == {}
    assert tools(direct, through_tonic, vendored) == {"protoc": {"api", "grpc"}}
    # A program that is run by hand has prost-build too, and no script does.
    assert tools(script("xtask", "anyhow")) == {}
    assert (
        tools(script("prost-wkt-types", "prost-build=0.13.0", "protobuf-src"), script("pprof", "prost-build=0.12.6"))
        == {}
    )


@pytest.mark.parametrize(("version", "expected"), [("0.9.0", {}), ("0.10.4", {}), ("0.11.0", {"protoc": {"a"}})])
def test_old_versions_of_prost_build_had_a_protoc(version, expected):
    assert tools(script("a", f"prost-build={version}")) == expected


@pytest.mark.parametrize(
    ("scripts", "env", "expected"),
    [
        ([script("openssl-sys", "openssl-src=300.6.1+3.6.3")], {},
         {"perl": {"openssl-sys"}, "make": {"openssl-sys"}}),
        ([script("openssl-sys", "openssl-src")], {"OPENSSL_NO_VENDOR": "1"}, {}),
        ([script("openssl-sys", "openssl-src")], {"OPENSSL_NO_VENDOR": "0"}, {"perl": {"openssl-sys"}, "make": {"openssl-sys"}}),
        ([script("openssl-sys", "openssl-src")], {"AARCH64_UNKNOWN_LINUX_GNU_OPENSSL_NO_VENDOR": "1"}, {}),
        ([script("librocksdb-sys", "bindgen", "clang-sys")], {}, {"libclang": {"librocksdb-sys"}, "c++": {"librocksdb-sys"}}),
        ([script("librocksdb-sys")], {"ROCKSDB_LIB_DIR": "/x"}, {}),
        ([script("paho-mqtt-sys", "cmake")], {}, {"cmake": {"paho-mqtt-sys"}}),
        ([script("aws-lc-sys", "cmake", version="0.47.0")], {}, {}),
        ([script("aws-lc-sys", "cmake", version="0.12.1")], {}, {"cmake": {"aws-lc-sys"}}),
        ([script("aws-lc-sys", "cmake", version="0.47.0")], {"AWS_LC_SYS_CMAKE_BUILDER": "1"}, {"cmake": {"aws-lc-sys"}}),
        ([script("aws-lc-sys", "cmake", version="0.47.0")], {"AWS_LC_SYS_CMAKE_BUILDER": "off"}, {}),
        ([script("aws-lc-sys", "cmake", version="0.47.0")],
         {"AWS_LC_SYS_CMAKE_BUILDER_aarch64_unknown_linux_gnu": "yes"}, {"cmake": {"aws-lc-sys"}}),
        ([script("aws-lc-sys", "cmake", version="0.47.0")],
         {"AWS_LC_SYS_CMAKE_BUILDER_riscv64gc_unknown_linux_gnu": "1"}, {}),
        ([script("aws-lc-sys", version="0.47.0", features=["bindgen"])], {}, {"cmake": {"aws-lc-sys"}}),
        ([script("aws-lc-fips-sys", "cmake")], {},
         {"cmake": {"aws-lc-fips-sys"}, "go": {"aws-lc-fips-sys"}, "perl": {"aws-lc-fips-sys"}}),
        ([script("ring")], {}, {}),
        ([script("libz-sys", "cc", "pkg-config")], {}, {}),
        ([script("rdkafka-sys", "pkg-config")], {}, {"make": {"rdkafka-sys"}, "bash": {"rdkafka-sys"}}),
        ([script("rdkafka-sys", "cmake", features=["cmake-build"])], {}, {"cmake": {"rdkafka-sys"}}),
        ([script("boring-sys", "cmake")], {}, {"cmake": {"boring-sys"}, "c++": {"boring-sys"}}),
        ([script("boring-sys", "cmake")], {"BORING_BSSL_PATH": "/x"}, {}),
        ([script("mlua-sys", "luajit-src")], {}, {"make": {"mlua-sys"}}),
        ([script("app", "capnpc")], {}, {"capnp": {"app"}}),
        ([script("tree-sitter", "cc"), script("serde"), script("secp256k1-sys", "cc")], {}, {}),
    ],
)  # fmt: skip
def test_the_tools_of_crates(scripts, env, expected):
    assert tools(*scripts, **env) == expected


def test_assembly_is_for_one_architecture():
    encoder = script("rav1e", "nasm-rs", features=["asm"])
    assert tools(encoder) == {}
    assert tools(encoder, target=AMD64) == {"nasm": {"rav1e"}}
    assert tools(script("rav1e", "nasm-rs", features=["asm"], for_host=True)) == {"nasm": {"rav1e"}}
    assert tools(script("rav1e"), target=AMD64) == {}


def test_every_row_and_every_tool_is_complete():
    crates, known = host_tools.known()
    keys = {"name", "linked", "except", "unless", "feature", "without", "since", "before", "arch", "when", "unless_env", "fallback",
            "tools"}  # fmt: skip
    assert {tool for row in crates for tool in row["tools"]} == set(known)
    for row in crates:
        assert set(row) <= keys
        lists = [row[key] for key in ("except", "unless", "without", "arch", "when", "unless_env") if key in row]
        assert all(isinstance(value, list) for value in lists)


# --- requirements ----------------------------------------------------------------------------------------------------


def requirements(*scripts, **env):
    return tuple(host_tools.requirements(uses(scripts, **env), env))


@pytest.mark.usefixtures("from_index")
def test_requirements_name_the_crates_and_for_whom_they_run_the_tool():
    many = [script(name, "prost-build=0.14.6") for name in ("d", "b", "a", "c", "e")]
    assert describe(
        requirements(*many, script("tikv-jemalloc-sys"), script("openssl-sys", "openssl-src"))
    ).splitlines() == [
        "  protoc (prost-build runs it for a, b, c, 2 others): pip install 'cargo-buildlib[host-tools]' or apt-get install"
        " protobuf-compiler libprotobuf-dev",
        "  perl (openssl-src runs it for openssl-sys): apt-get install perl",
        "  make (openssl-src, tikv-jemalloc-sys run it for openssl-sys): apt-get install make",
        "  protoc's own .proto files (compile what imports google/protobuf/*.proto): apt-get install libprotobuf-dev",
    ]


def test_a_protoc_without_its_own_files_is_noticed(machine):
    """Debian's protobuf-compiler only recommends them, and apt-get is called without recommended packages."""
    api = script("api", "prost-build=0.14.6")
    files = ["/usr/include/google/protobuf/descriptor.proto"]
    assert absent(machine(tools=["protoc"]), api) == ["protoc's own .proto files"]
    assert absent(machine(tools=["protoc"], files=files), api) == []
    assert absent(machine(tools=["protoc"]), api, PROTOC_INCLUDE="/include") == []


def test_a_tool_that_only_replaces_a_library_is_optional():
    (cmake,) = requirements(script("expat-sys", "cmake"))
    assert (cmake.what, cmake.required) == ("cmake", False)
    assert cmake.why == "compile what expat-sys bundles, where the system has no such library"
    (cmake,) = requirements(script("expat-sys", "cmake"), script("libz-ng-sys", "cmake"))
    assert (cmake.required, cmake.why) == (True, "cmake runs it for libz-ng-sys")


def absent(host, *scripts, **env):
    return [requirement.what for requirement in missing(requirements(*scripts, **env), host)]


def test_variables_meet_a_requirement_also_those_of_cargo_s_configuration(machine):
    api = script("api", "prost-build=0.14.6")
    assert absent(machine(), api) == ["protoc"]
    assert absent(machine(), api, PROTOC="/opt/protoc") == []


def test_a_compiler_of_cpp_for_this_machine_is_not_zig_s(machine):
    target, own = script("librocksdb-sys"), script("librocksdb-sys", for_host=True)
    with_zig = machine(tools=["cc"], zig="/zig")
    assert absent(with_zig, target) == [] and absent(with_zig, own) == ["c++"]
    assert absent(machine(zig="/zig"), own) == []  # without any compiler zig compiles for this machine, too
    assert absent(machine(tools=["g++"]), own) == [] and absent(machine(), target) == ["c++"]


def test_libclang_may_be_the_wheel(machine):
    bindgen = script("a", "clang-sys")
    assert absent(machine(), bindgen) == ["libclang"]
    assert absent(machine(system_libclang=True), bindgen) == [] == absent(machine(libclang="/w"), bindgen)
    assert absent(machine(), bindgen, LIBCLANG_PATH="/x") == []
