"""System libraries that crates link, and whether pkg-config knows them."""

from dataclasses import replace

import pytest
from machines import AMD64, ARM64, WITH_ZIG, Recorder, context

from buildlib.core.errors import MissingRequirements
from buildlib.core.plan import Outcome
from buildlib.core.requirements import describe, missing
from buildlib.core.targets import TARGETS
from buildlib.crates import libraries as crate_libraries
from buildlib.crates.graph import Script
from buildlib.machine import cargo_config
from buildlib.rust import libraries
from buildlib.rust.backends.gcc import Gcc
from buildlib.rust.backends.zig import Zig


def script(package, *crates, features=()):
    """The build script of a package that is compiled for the target."""
    linked = dict.fromkeys(crates, "1.0.0")
    return Script(package=package, version="1.0.0", for_host=False, features=frozenset(features), crates=linked)


ZIG = Zig(why="", minimum_glibc="2.31")
OPENSSL = script("openssl-sys", "pkg-config")


class PkgConfig(Recorder):
    """A pkg-config that knows `known`, by side: what it finds with a directory for the target, and without one."""

    def __init__(self, *, host=(), target=()):
        super().__init__()
        self.known = {True: set(host), False: set(target)}

    def __call__(self, step):
        assert step.argv[1] == "--exists", step
        self.asked.append(" ".join(step.argv[2:]))
        on_host = step.env.get("PKG_CONFIG_LIBDIR") is None
        return Outcome(step=step, code=int(not set(step.argv[2:]) <= self.known[on_host]), seconds=0)


@pytest.fixture
def required(machine, rustup):
    """What these scripts require on a machine with pkg-config."""

    def required(*scripts, run=None, target=ARM64, backend=ZIG, tools=("pkg-config", "cc"), **facts):
        host = machine(tools=tools, **{"toolchains": (rustup,), **WITH_ZIG} | facts)
        return tuple(libraries.requirements(context(host, run or PkgConfig()), target, backend, scripts))

    return required


def absent(requirements):
    return [requirement.what for requirement in missing(requirements, None)]


def test_openssl_for_another_arch_and_every_way_to_provide_it(required):
    assert describe(required(OPENSSL)) == (
        '  OpenSSL for arm64 (openssl-sys links it): --library libssl-dev (in the settings: libraries = ["libssl-dev"]) or compile'
        " it from source (the feature `vendored` of the crate openssl or openssl-sys) or set OPENSSL_DIR to the directory of one for"
        " arm64 or set PKG_CONFIG_PATH_aarch64_unknown_linux_gnu to the directory of the .pc files of libssl-dev:arm64"
    )


def test_the_library_of_this_machine_is_for_what_runs_on_it(required):
    (requirement,) = required(replace(OPENSSL, for_host=True))
    assert requirement.what == "OpenSSL for this machine"
    assert [step.argv[-1] for step in requirement.fixes[-1].steps] == ["libssl-dev"]
    assert absent([requirement]) == ["OpenSSL for this machine"]
    assert absent(required(replace(OPENSSL, for_host=True), run=PkgConfig(host=["openssl"]))) == []
    # It is no library of the target.
    both = required(OPENSSL, replace(OPENSSL, for_host=True), run=PkgConfig(host=["openssl"]))
    assert absent(both) == ["OpenSSL for arm64"]


def test_pkg_config_is_asked_as_the_build_scripts_ask_it(required):
    run = PkgConfig(target=["openssl"])
    assert absent(required(OPENSSL, run=run, env={"PKG_CONFIG_PATH_aarch64_unknown_linux_gnu": "/a"})) == []
    assert run.asked == ["openssl"]


def test_all_libraries_are_one_question_unless_one_is_missing(required):
    scripts = (script("alsa-sys"), script("libudev-sys"), script("nettle-sys"))
    run = PkgConfig(target=["alsa", "libudev", "nettle", "hogweed"])
    assert absent(required(*scripts, run=run)) == [] and run.asked == ["alsa libudev nettle hogweed"]
    assert absent(required(*scripts, run=PkgConfig(target=["alsa", "nettle"]))) == [
        "libudev for arm64",
        "Nettle for arm64",
    ]


@pytest.mark.parametrize(
    ("scripts", "env", "expected"),
    [
        ([script("openssl-sys", "openssl-src")], {}, []),
        ([script("openssl-sys", "openssl-src")], {"OPENSSL_NO_VENDOR": "1"}, ["OpenSSL"]),
        ([OPENSSL], {"OPENSSL_DIR": "/o"}, []),
        ([OPENSSL], {"AARCH64_UNKNOWN_LINUX_GNU_OPENSSL_DIR": "/o"}, []),
        ([OPENSSL], {"X86_64_UNKNOWN_LINUX_GNU_OPENSSL_DIR": "/o"}, ["OpenSSL"]),
        ([script("openssl-sys", features=["aws-lc"])], {}, []),
        ([script("pq-sys")], {}, ["libpq"]),
        ([script("pq-sys", features=["bundled"])], {}, []),
        ([script("pq-sys")], {"PQ_LIB_DIR_AARCH64_UNKNOWN_LINUX_GNU": "/p"}, []),
        ([script("libdbus-sys", features=["vendored"])], {}, []),
        ([script("hidapi", features=["linux-static-hidraw"]), script("libudev-sys")], {}, ["libudev"]),
        ([script("wayland-sys", features=["client", "dlopen"])], {}, []),
        ([script("libz-sys", "pkg-config"), script("zstd-sys", "pkg-config")], {}, []),
        ([script("zstd-sys", "pkg-config")], {"ZSTD_SYS_USE_PKG_CONFIG": "1"}, ["Zstandard"]),
    ],
)  # fmt: skip
def test_what_is_needed_of_the_system(machine, rustup, scripts, env, expected):
    host = machine(env=env, toolchains=(rustup,))
    assert [library.name for library in crate_libraries.needed(scripts, ARM64.triple, host)] == expected


def test_declared_libraries_have_the_names_of_their_packages(required):
    glib = replace(script("glib-sys", "system-deps"), system_deps=("glib-2.0",))
    gio = replace(script("gio-sys", "system-deps"), system_deps=("gio-2.0", "gobject-2.0"))
    other = replace(script("frob-sys", "system-deps"), system_deps=("frob",))
    found = required(glib, gio, other)
    assert [(one.what, one.why, one.fixes[-1].text.partition("files of ")[2]) for one in found] == [
        ("GLib for arm64", "glib-sys, gio-sys link it", "libglib2.0-dev:arm64"),
        ("frob for arm64", "frob-sys links it", "the package that has frob.pc for arm64"),
    ]
    assert required(glib, env={"SYSTEM_DEPS_GLIB_2_0_LIB": "glib"}) == ()  # nothing is certain


def test_either_of_two_names_will_do(required):
    mysql = script("mysqlclient-sys")
    assert absent(required(mysql)) == ["the MySQL client for arm64"]
    assert absent(required(mysql, run=PkgConfig(target=["libmariadb"]))) == []
    own = replace(mysql, for_host=True)
    assert absent(required(own, tools=["pkg-config", "mysql_config"])) == []


def test_a_library_that_is_linked_by_its_name_may_be_found_by_the_linker(required):
    sqlite = script("libsqlite3-sys")
    assert [one.required for one in required(sqlite)] == [True]
    flags = cargo_config.resolve((), {"RUSTFLAGS": "-L /opt/arm64"}, None)
    (optional,) = required(sqlite, cargo_config=flags)
    assert (optional.required, optional.why) == (
        False,
        "link it for libsqlite3-sys, unless the linker finds it by itself",
    )
    gcc = Gcc(why="", minimum_glibc="", gcc="/usr/bin/aarch64-linux-gnu-gcc")
    assert [one.required for one in required(sqlite, backend=gcc)] == [False]
    assert [one.required for one in required(replace(sqlite, for_host=True))] == [False]


def test_without_pkg_config_it_is_a_requirement_itself(required):
    found = required(OPENSSL, tools=[])
    assert [(one.what, one.why) for one in found] == [
        ("pkg-config", "openssl-sys finds libraries with it"), ("OpenSSL for arm64", "openssl-sys links it"),
    ]  # fmt: skip
    assert required(script("serde"), tools=[]) == ()


def test_the_native_arch_has_the_libraries_of_this_machine_but_musl_has_not(required):
    run = PkgConfig(host=["openssl"])
    assert absent(required(OPENSSL, run=run, target=AMD64)) == []
    (static,) = required(OPENSSL, run=run, target=TARGETS["amd64-musl"])
    place = "set PKG_CONFIG_PATH_x86_64_unknown_linux_musl to the directory of the .pc files of a static OpenSSL"
    assert (static.what, static.met(None), static.fixes[-1].text) == ("OpenSSL for amd64-musl", False, place)


def test_a_pkg_config_that_does_not_exist_knows_nothing(required):
    class Absent(Recorder):
        def __call__(self, step):
            raise MissingRequirements(f"{step.argv[0]}: no such program")

    assert absent(required(OPENSSL, run=Absent(), env={"PKG_CONFIG": "/absent"})) == ["OpenSSL for arm64"]


def test_every_row_is_complete():
    rows, declared = crate_libraries.known()
    keys = {"name", "library", "pc", "feature", "without", "unless", "when", "unless_env", "since", "before", "variable", "source",
            "config", "by_name", "apt"}  # fmt: skip
    for row in rows:
        assert set(row) <= keys and row["pc"] and row["apt"] and row["library"], row
        assert "variable" not in row or row["variable"] in row["unless_env"]
    assert declared["gio-2.0"] == ("GLib", "libglib2.0-dev")
