"""Which packages and targets a request means, by the rules of the Cargo Book ("Cargo Targets", "Workspaces", "Features")."""

from dataclasses import replace
from pathlib import Path

import pytest
from machines import artifact, workspace

from buildlib.core.errors import NothingToDo, UsageError
from buildlib.core.request import NO_REQUEST, Request
from buildlib.machine.selection import cargo_test_flags, enabled_features, left_out, select, select_packages
from buildlib.machine.workspace import Component, Dependency, Package


def component(name, package, *features):
    return Component(name=name, package=package, version="1.0.0", required_features=features)


def member(name, **more):
    return Package(name=name, manifest=Path(f"/w/{name}/Cargo.toml"), **more)


AGENT, BROKER, CHECK, OTHER_CHECK = (
    component("agent", "agent"), component("broker", "broker"), component("check", "agent"), component("check", "broker"),
)  # fmt: skip
FIRMWARE = component("firmware", "firmware")
MEMBERS = (
    member("agent", default_run="agent", examples=("demo",)),
    member("broker", libraries=("libbroker.so",)),
    member("firmware", default=False),
)
WORKSPACE = workspace(AGENT, CHECK, BROKER, OTHER_CHECK, FIRMWARE, members=MEMBERS)


def names(selection):
    return [f"{one.package}/{one.name}" for one in selection.components]


@pytest.mark.parametrize(
    ("request_", "packages", "binaries", "flags"),
    [
        (Request(packages=("agent",)), ["agent"], ["agent/agent", "agent/check"], ("--package", "agent", "--bins")),
        (Request(packages=("fir*",)), ["firmware"], ["firmware/firmware"], ("--package", "firmware", "--bins")),
        (Request(workspace=True, exclude=("broker",)), ["agent", "firmware"],
         ["agent/agent", "agent/check", "firmware/firmware"], ("--package", "agent", "--package", "firmware", "--bins")),
        (Request(components=("firmware",)), ["firmware"], ["firmware/firmware"],
         ("--package", "firmware", "--bin", "firmware")),
        (Request(components=("broker/check", "agent")), ["agent", "broker"], ["broker/check", "agent/agent"],
         ("--package", "agent", "--package", "broker", "--bin", "check", "--bin", "agent")),
        (Request(packages=("broker",), components=("check",)), ["broker"], ["broker/check"],
         ("--package", "broker", "--bin", "check")),
        (Request(packages=("agent",), examples=("demo",)), ["agent"], [], ("--package", "agent", "--example", "demo")),
        (Request(packages=("agent",), examples=("demo",), bins=True), ["agent"], ["agent/agent", "agent/check"],
         ("--package", "agent", "--bins", "--example", "demo")),
        (Request(library=True), ["agent", "broker"], [], ("--package", "agent", "--package", "broker", "--lib")),
    ],
)  # fmt: skip
def test_what_a_request_means(request_, packages, binaries, flags):
    selection = select(WORKSPACE, request_)
    assert [package.name for package in selection.packages] == packages
    assert (names(selection), selection.flags + selection.target_flags) == (binaries, flags)


def test_without_options_it_is_the_default_members():
    lone = workspace(AGENT, BROKER, FIRMWARE, members=MEMBERS)
    selection = select(lone, NO_REQUEST)
    assert (names(selection), selection.flags) == (
        ["agent/agent", "broker/broker"], ("--package", "agent", "--package", "broker"),
    )  # fmt: skip
    whole = select(workspace(AGENT, members=MEMBERS[:1]), NO_REQUEST)
    assert (whole.flags, whole.target_flags) == (("--workspace",), ("--bins",))


def test_a_package_stands_for_its_default_or_only_binary():
    server = component("brokerd", "broker")
    shop = workspace(AGENT, CHECK, server, members=(replace(MEMBERS[0], default_run="check"), MEMBERS[1]))
    assert names(select(shop, Request(components=("broker",)))) == ["broker/brokerd"]
    assert names(select(shop, Request(components=("agent",)))) == ["agent/agent"]  # a binary's own name comes first
    renamed = workspace(component("x", "agent"), CHECK, members=(replace(MEMBERS[0], default_run="check"),))
    assert names(select(renamed, Request(components=("agent",)))) == ["agent/check"]


@pytest.mark.parametrize(
    ("request_", "error", "message", "help_text"),
    [
        (NO_REQUEST, UsageError, "two binaries are called 'check', in agent and broker",
         "choose one with --package agent or --package broker, or as --component agent/check"),
        (Request(components=("check",)), UsageError, "two binaries are called 'check', in agent and broker",
         "choose one with --package agent or --package broker, or as --component agent/check"),
        (Request(packages=("agnt",)), UsageError, "unknown package 'agnt'", "did you mean 'agent'?"),
        (Request(components=("brokr",)), UsageError, "unknown component 'brokr'", "did you mean 'broker'?"),
        (Request(packages=("agent",), components=("broker",)), UsageError, "unknown component 'broker' in agent",
         "one of: agent check"),
        (Request(packages=("broker",), examples=("demo",)), UsageError, "unknown example 'demo'", "one of: "),
        (Request(exclude=("agent",)), UsageError, "--exclude needs --workspace",
         "add it, or name the packages with --package"),
        (Request(packages=("firmware",), library=True), NothingToDo,
         "no library in firmware that other languages link", 'add crate-type = ["cdylib"] or ["staticlib"] to [lib]'),
        (Request(workspace=True, exclude=("*",)), NothingToDo, "no package is left", "use --exclude for fewer packages"),
    ],
)  # fmt: skip
def test_wrong_requests(request_, error, message, help_text):
    with pytest.raises(error) as caught:
        select(WORKSPACE, request_)
    assert (type(caught.value), caught.value.message, caught.value.help) == (error, message, help_text)


@pytest.mark.parametrize(
    ("binaries", "members", "message", "help_text"),
    [
        ((), (member("key", libraries=("libkey.so", "libkey.a")),), "no binaries in key", "--lib builds libkey.so, libkey.a"),
        ((), (member("key"),), "no binaries in key",
         "add a [[bin]] or src/main.rs; `buildlib test` compiles and tests its libraries"),
        ((FIRMWARE,), (member("key"), MEMBERS[2]), "no binaries in key",
         "choose with --package, or --workspace: firmware/firmware"),
    ],
)  # fmt: skip
def test_packages_without_binaries(binaries, members, message, help_text):
    with pytest.raises(NothingToDo) as caught:
        select(workspace(*binaries, members=members), NO_REQUEST)
    assert (caught.value.message, caught.value.help) == (message, help_text)


@pytest.mark.parametrize(
    ("request_", "message", "help_text"),
    [
        (Request(examples=("demo",), bins=True), "two files are called 'demo', in the binary of agent and the example of agent",
         "choose one of them"),
        (Request(workspace=True, examples=("d*",)), "two examples are called 'demo', in agent and other",
         "choose one with --package agent or --package other"),
    ],
)  # fmt: skip
def test_two_targets_of_one_name_would_be_one_file(request_, message, help_text):
    members = (MEMBERS[0], member("other", default=False, examples=("demo",)))
    with pytest.raises(UsageError) as caught:
        select(workspace(component("demo", "agent"), members=members), request_)
    assert (caught.value.message, caught.value.help) == (message, help_text)


PATH = "path+file:///w/agent"


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("agent@1.2.3", True), ("agent@1.2", True), ("agent:1", True), ("agent@1.2.3-rc", False), ("agent@12", False),
        ("a*", True), ("agent@2", False), (PATH, True), (PATH.removeprefix("path+"), True), (f"{PATH}#1.2.3", True),
        (f"{PATH}#agent@1.2", True), (f"{PATH}#other", False), ("path+file:///w/other", False), ("1.2.3", False),
    ],
)  # fmt: skip
def test_package_id_specifications(spec, found):
    package = member("agent", version="1.2.3")
    assert package.matches(spec) == found


def test_a_package_with_the_name_of_a_dependency_is_named_with_its_version():
    members = (member("agent", version="2.0.0"), member("broker"), member("firmware", default=False))
    shop = workspace(AGENT, members=members, published=frozenset({"agent"}))
    assert select(shop, NO_REQUEST).flags == ("--package", "agent@2.0.0", "--package", "broker")


def test_patterns_name_binaries_and_examples():
    shop = workspace(AGENT, CHECK, BROKER, members=(replace(MEMBERS[0], examples=("one", "two", "demo")), *MEMBERS[1:]))
    selection = select(shop, Request(components=("b*", "agent/c?eck"), examples=("o*", "demo")))
    assert selection.target_flags == ("--bin", "broker", "--bin", "check", "--example", "one", "--example", "demo")


def test_artifacts_of_dependencies_are_not_included():
    selection = select(WORKSPACE, Request(packages=("broker",), components=("check",), library=True))
    included = [artifact("/t/check"), artifact("/t/libbroker.so", "cdylib")]
    others = [
        artifact("/t/check", test=True), artifact("/t/broker"), artifact("/t/libother.so", "cdylib"),
        artifact("/t/demo", "example"), artifact("/t/examples/libbroker.so", "cdylib"), artifact("/t/build", "custom-build"),
    ]  # fmt: skip
    assert [one for one in (*included, *others) if selection.includes(one)] == included


def test_a_static_target_compiles_no_package_that_is_only_a_shared_library():
    both, alone = (
        member("both", libraries=("libboth.so", "libboth.a")),
        member("alone", libraries=("liba.so",), only_shared=True),
    )
    shop = workspace(members=(both, alone))
    assert select(shop, Request(library=True)).without_shared_libraries().flags == ("--package", "both")
    lone = select(shop, Request(packages=("alone",), library=True))
    assert (lone.without_shared_libraries().packages, lone.libraries) == ((), ("liba.so",))


def test_tests_have_the_same_packages_and_no_binary_is_needed():
    assert cargo_test_flags(WORKSPACE, NO_REQUEST) == ("--package", "agent", "--package", "broker")
    request = Request(workspace=True, components=("agent/check",), examples=("demo",), library=True, bins=True)
    assert cargo_test_flags(WORKSPACE, request) == (
        "--workspace",
        "--bin",
        "check",
        "--example",
        "demo",
        "--bins",
        "--lib",
    )
    assert cargo_test_flags(workspace(), NO_REQUEST) == ("--workspace",)


def test_tests_of_a_component_are_those_of_its_package():
    request = Request(components=("firmware",))
    assert cargo_test_flags(WORKSPACE, request) == ("--package", "firmware", "--bin", "firmware")
    with pytest.raises(UsageError) as caught:
        cargo_test_flags(WORKSPACE, Request(components=("firmwear",)))
    assert (caught.value.message, caught.value.help) == (
        "unknown component 'firmwear'",
        "did you mean 'firmware'?",
    )


# --- features --------------------------------------------------------------------------------------------------------------

FEATURES = {
    "default": ("std",),
    "std": (),
    "cli": ("dep:clap", "std"),
    "full": ("cli", "core?/fast"),
    "up": ("core/fast",),
}
APP = member("app", features=FEATURES, dependencies=(Dependency(name="core", features=("a",), default_features=False),))
CORE = member("core", features={"default": ("d",), "d": (), "a": (), "fast": ("b",), "b": ()})


@pytest.mark.parametrize(
    ("request_", "features", "app", "core"),
    [
        (NO_REQUEST, (), {"default", "std"}, {"a"}),
        (Request(no_default_features=True), (), set(), {"a"}),
        (Request(all_features=True), (), {"default", "std", "cli", "full", "up", "core?/fast", "core/fast"}, {"a", "fast", "b"}),
        (NO_REQUEST, ("full",), {"default", "std", "full", "cli", "core?/fast"}, {"a", "fast", "b"}),
        (NO_REQUEST, ("core/fast",), {"default", "std"}, {"a", "fast", "b"}),
        (Request(no_default_features=True), ("app/up",), {"up", "core/fast"}, {"a", "fast", "b"}),
    ],
)  # fmt: skip
def test_features_of_members(request_, features, app, core):
    both = workspace(members=(APP, CORE))
    packages = select_packages(both, replace(request_, packages=("app",)))
    enabled = enabled_features(both, packages, request_, features)
    assert (enabled.get("app", set()), enabled["core"]) == (app, core)


def test_binaries_are_left_out_while_a_feature_is_off():
    tools = (component("a", "app", "cli"), component("b", "app"), component("c", "core", "a", "fast"))
    shop = workspace(*tools, members=(APP, CORE))

    def absent(*features, **options):
        request = Request(workspace=True, **options)
        return [one.name for one in left_out(shop, select(shop, request), request, features)]

    assert absent() == ["a", "c"]
    assert absent("cli") == ["c"]
    assert absent("full") == []
    assert absent(all_features=True) == []


def test_the_component_all_is_every_binary():
    binaries = [Component(name=name, package=name, version="1") for name in "ab"]
    assert [one.name for one in select(workspace(*binaries), Request(components=("all",))).components] == ["a", "b"]
