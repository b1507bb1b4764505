"""What doctor checks, section by section, on invented machines."""

import json
from dataclasses import replace

import pytest
from machines import AMD64, ARM64, WITH_ZIG, Machine, Recorder, context

from buildlib.core.errors import UsageError
from buildlib.core.requirements import missing
from buildlib.core.targets import TARGETS
from buildlib.core.versions import version
from buildlib.doctor import checks, engine, fix
from buildlib.doctor.engine import EngineFacts
from buildlib.emulation import binfmt
from buildlib.emulation.exit_stub import exit_program
from buildlib.machine.host import Daemon, Handler, parse_handler

GOOD = Daemon(
    version="28.0.1", parts={"containerd": "1.7.27", "runc": "1.2.5"},
    info={"Driver": "overlay2", "CgroupVersion": "2", "SecurityOptions": ["name=seccomp,profile=builtin"]},
)  # fmt: skip
QEMU = Handler(name="qemu-aarch64", interpreter="/usr/bin/qemu-aarch64-static", flags="PF", enabled=True)


def host(daemon=GOOD, binfmt=(QEMU,), **facts):
    machine = Machine(**{"kernel": "6.1.0-18-amd64", **facts})
    object.__setattr__(machine, "daemon", daemon)
    object.__setattr__(machine, "handlers", None if binfmt is None else {handler.name: handler for handler in binfmt})
    return machine


def absent(requirements, machine):
    return [requirement.what for requirement in missing(requirements, machine)]


# --- the kernel ------------------------------------------------------------------------------------------------------


def test_handler_is_parsed_as_the_kernel_writes_it():
    text = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: POCF\noffset 0\nmagic 7f45\nmask ff\n"
    assert parse_handler("qemu-aarch64", text) == replace(QEMU, flags="POCF")
    assert not parse_handler("x", text.replace("enabled", "disabled")).enabled


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (host(), []),
        (host(binfmt=None), ["binfmt_misc, mounted", "handler for arm64"]),
        (host(binfmt=()), ["handler for arm64"]),
        (host(binfmt=(replace(QEMU, enabled=False),)), ["handler for arm64"]),
        (host(binfmt=(replace(QEMU, flags="P"),)), ["handler for arm64 with the flag F"]),
        (host(binfmt=(replace(QEMU, name="arm64", flags="F"),)), []),
        (host(binfmt=(replace(QEMU, name="other", interpreter="/usr/bin/other"),)), ["handler for arm64"]),
        (host(kernel="4.14.98"), ["a kernel of 4.15 or newer"]),
        (host(kernel="3.10.0-1160.el7.x86_64"), ["a kernel of 4.15 or newer"]),
        (host(page_size=16384), ["pages of 4 KiB"]),
        (host(binfmt=None, kernel="3.10.0", machine="aarch64"), []),
    ],
)  # fmt: skip
def test_requirements_of_containers_of_another_arch(machine, expected):
    assert absent(binfmt.requirements(ARM64), machine) == expected


def test_handlers_have_fixes_with_steps():
    steps = {
        requirement.what: [step.argv for fix in requirement.fixes for step in fix.steps]
        for requirement in binfmt.requirements(ARM64)
    }
    assert steps["binfmt_misc, mounted"] == [("mount", "-t", "binfmt_misc", "binfmt_misc", "/proc/sys/fs/binfmt_misc")]
    assert steps["handler for arm64"] == [
        ("apt-get", "install", "--yes", "--no-install-recommends", "qemu-user-static", "binfmt-support"),
        ("update-binfmts", "--enable"),
    ]
    assert steps["handler for arm64 with the flag F"] == [
        ("update-binfmts", "--disable", "qemu-aarch64"), ("update-binfmts", "--enable", "qemu-aarch64"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "arch", "flaw"),
    [
        ("7.2.22", "amd64", ""), ("5.2.0", "amd64", "QEMU 5.2.0: does not support AVX2"),
        ("5.2.0", "arm64", "QEMU 5.2.0: does not support SVE2"),
        ("", "amd64", ""),
        ("7.2.22", "arm64", ""), ("5.2.0", "riscv64", "QEMU 5.2.0: does not support Zba"),
        ("6.2.0", "riscv64", "QEMU 6.2.0: does not support V 1.0"), ("5.2.0", "armv7", ""),
        ("8.0.4", "loong64", "QEMU 8.0.4: 8.1 is the first version that runs it"), ("10.0.13", "loong64", ""),
        ("5.2.0", "amd64-musl", "QEMU 5.2.0: does not support AVX2"),
    ],
)  # fmt: skip
def test_known_flaws_of_versions_of_qemu(version, arch, flaw):
    actual = binfmt.flaw_of(version, TARGETS[arch])
    assert actual.startswith(flaw) and bool(actual) == bool(flaw)


def version_rows(*emulators):
    requirements = binfmt.version_requirements(binfmt.Emulator(TARGETS[arch], *rest) for arch, *rest in emulators)
    return [(one.what, one.have, one.why, one.fixes[0].text, one.met(host())) for one in requirements]


def test_qemu_of_containers_and_of_tests_are_checked_separately():
    newer, old = "qemu-user-static of a newer distribution", "QEMU 7.2.22: 8.1 is the first version that runs it"
    what = "a QEMU that emulates loong64"
    containers, tests = ("loong64", "containers", "/usr/bin/q"), ("loong64", "tests", "/opt/q")
    assert version_rows((*containers, "7.2.22"), (*tests, "10.0.13")) == [
        (what, "7.2.22 for containers, 10.0.13 for tests", f"{old}; used for containers", f"{newer}, in place of /usr/bin/q",
         False)
    ]  # fmt: skip
    assert version_rows((*containers, "10.0.13"), (*tests, "7.2.22")) == [
        (what, "10.0.13 for containers, 7.2.22 for tests", f"{old}; used for tests", f"{newer}, in place of /opt/q", False)
    ]  # fmt: skip
    assert version_rows((*containers, "10.0.13"), (*tests, "10.0.13")) == [
        (what, "10.0.13", "tests and containers run on it", newer, True)
    ]
    both = (("arm64", "tests", "/opt/q", "7.2.22"), ("arm64-musl", "tests", "/opt/q", "7.2.22"))
    assert version_rows((*containers, ""), *both) == [
        ("a QEMU that emulates arm64", "7.2.22", "tests and containers run on it", newer, True)
    ]


def test_loader_of_another_machine_is_found(plain, rustup, tmp_path):
    path = tmp_path / "root" / "lib" / "ld-linux-aarch64.so.1"
    path.parent.mkdir(parents=True)
    machine = host(toolchains=(rustup,), env={"QEMU_LD_PREFIX": str(tmp_path / "root")}, files=[str(path)], **WITH_ZIG)
    rows = []
    for content in (exit_program("x86_64"), exit_program("aarch64"), b"\x7fELF", None):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        plain_context = context(machine, Recorder(), root=plain)
        (requirement,) = checks._loaders(plain_context, (ARM64, AMD64, TARGETS["arm64-musl"]))
        rows.append(
            (requirement.what, requirement.have, requirement.met(machine), "Invalid ELF image" in requirement.why)
        )
    what = ("a loader of arm64", str(path))
    assert rows == [(*what, met, not met) for met in (False, True, False, False)]
    help_text = requirement.fixes[0].text
    assert str(tmp_path / "root") in help_text and "libc6-arm64-cross" in help_text


# --- the engine ------------------------------------------------------------------------------------------------------

FACTS = EngineFacts(
    buildx="0.13.1", builder="b", exists=True, servers=("1.1.1.1",), host_servers=("1.1.1.1", "127.0.0.11")
)


@pytest.mark.parametrize(
    ("daemon", "facts", "expected"),
    [
        (GOOD, FACTS, []),
        (Daemon(error="no such file"), FACTS, ["a Docker daemon"]),
        (replace(GOOD, version="20.10.7"), FACTS, ["Docker 20.10.10 or newer"]),
        (replace(GOOD, version="19.03.5"), FACTS, ["Docker 20.10.10 or newer", "an engine for cgroup v2"]),
        (replace(GOOD, parts={"containerd": "v2.1.4", "runc": "1.2.4"}), FACTS, ["runc that fits containerd"]),
        (replace(GOOD, parts={"containerd": "1.6.20~ds1", "runc": "1.1.5+ds1"}), FACTS, []),
        (replace(GOOD, parts={"containerd": "1.3.3", "runc": "1.0.0"}), FACTS, ["an engine for cgroup v2"]),
        (replace(GOOD, info={**GOOD.info, "Driver": "vfs"}), FACTS, ["a storage driver that shares layers"]),
        (replace(GOOD, info={**GOOD.info, "SecurityOptions": ["name=rootless"]}), FACTS, ["a daemon with this machine's network"]),
        (GOOD, EngineFacts(buildx_error="docker has no plugin buildx"), ["docker buildx"]),
        (GOOD, replace(FACTS, buildx="0.7.1"), ["docker buildx"]),
        (GOOD, replace(FACTS, buildx="v0.29.1"), []),
        (GOOD, replace(FACTS, exists=False, servers=None, started=""), ["the builder b"]),
        (GOOD, replace(FACTS, differences=("network: none, expected host",)), ["the builder b that matches the settings"]),
        (GOOD, replace(FACTS, servers=("192.0.2.1", "1.1.1.1")), ["a builder that asks this machine's name servers"]),
        (GOOD, replace(FACTS, servers=("127.0.0.11",)), []),
        (GOOD, replace(FACTS, exists=False, servers=None, started="runc: no"), ["the builder b", "containers that start"]),
    ],
)  # fmt: skip
def test_requirements_of_images(daemon, facts, expected):
    assert absent(engine.requirements(facts, required=True), host(daemon)) == expected


def test_engine_is_required_only_where_images_are_published():
    for required in (True, False):
        requirements = missing(engine.requirements(FACTS, required=required), host(Daemon(error="no")))
        assert [requirement.required for requirement in requirements] == [required]


def test_mismatch_of_runc_names_both_versions():
    assert engine.runc_mismatch({"containerd": "v2.1.4", "runc": "1.2.4"}) == (
        "runc: 1.2.4, but containerd v2.1.4 expects 1.3 or newer"
    )


def test_versions_are_parsed_as_distributions_write_them():
    texts = ["v0.13.1", "20.10.24+dfsg1", "1.6.20~ds1", "28.2.2", "", "unknown"]
    assert [version(text) for text in texts] == [(0, 13, 1), (20, 10, 24), (1, 6, 20), (28, 2, 2), (), ()]


@pytest.mark.parametrize(
    ("free", "states"),
    [
        (2 << 30, (True, True)),
        ((2 << 30) - 1, (True, False)),
        (8 << 20, (True, False)),
        ((8 << 20) - 1, (False, False)),
        (0, (False, False)),
        (None, (True, True)),
    ],
)  # None: unknown
def test_a_full_disk_fails_and_one_that_is_nearly_full_warns(tmp_path, free, states):
    path, other = tmp_path / "a" / "b", tmp_path / "c"
    requirements = engine.disk_space([(other, "why"), (path, "why")])
    machine = host()
    object.__setattr__(machine, "free", {path: free, other: 1 << 40}.get)
    assert [(one.what, one.required, one.met(machine)) for one in requirements] == [
        ("8 MiB on every disk", True, states[0]), (f"2 GiB in {other}", False, True), (f"2 GiB in {path}", False, states[1]),
    ]  # fmt: skip


def test_free_space_is_asked_of_the_machine(tmp_path):
    _, requirement = engine.disk_space([(tmp_path / "a" / "b", "why")])
    machine = host()
    free = machine.free(tmp_path)
    assert requirement.met(machine) is (free is None or free >= 2 << 30)


@pytest.mark.parametrize(
    ("config", "tools", "expected"),
    [
        ({}, [], ["a login at ghcr.io"]),
        ({"auths": {"ghcr.io": {"auth": "eA=="}}}, [], []),
        ({"auths": {"https://ghcr.io/v1/": {}}}, [], []),
        ({"auths": {"quay.io": {}}}, [], ["a login at ghcr.io"]),
        ({"credsStore": "desktop"}, [], ["docker-credential-desktop"]),
        ({"credsStore": "desktop"}, ["docker-credential-desktop"], []),
        ({"credHelpers": {"ghcr.io": "gh"}}, [], ["docker-credential-gh"]),
        ({"auths": [1], "credHelpers": ["gh"], "credsStore": None}, [], ["a login at ghcr.io"]),
        ({"auths": 3, "credHelpers": {"ghcr.io": None}}, [], ["a login at ghcr.io"]),
    ],
)
def test_credentials(config, tools, expected):
    assert absent(engine.credentials(["ghcr.io"], config), Machine(tools)) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, ["a login at docker.io"]),
        ({"auths": {"https://index.docker.io/v1/": {}}}, []),
        ({"auths": {"docker.io": {}}}, []),
        ({"auths": {"registry-1.docker.io": {}}}, []),
        ({"auths": {"https://acme.docker.io/": {}}}, ["a login at docker.io"]),
        ({"credHelpers": {"https://index.docker.io/v1/": "hub"}}, ["docker-credential-hub"]),
        ({"credHelpers": {"ghcr.io": "gh"}}, ["a login at docker.io"]),
    ],
)
def test_credentials_of_docker_hub(config, expected):
    assert absent(engine.credentials(["docker.io"], config), Machine()) == expected


# --- programs of a few bytes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "number"),
    [
        ("x86_64", 62), ("aarch64", 183), ("riscv64", 243), ("arm", 40), ("i386", 3), ("ppc64le", 21), ("s390x", 22),
        ("loongarch64", 258),
    ],
)  # fmt: skip
def test_exit_program_is_a_small_elf_file_of_the_machine(machine, number, tmp_path):
    from buildlib import elf

    (tmp_path / "exit").write_bytes(exit_program(machine))
    facts = elf.read(tmp_path / "exit")
    assert (elf.machine(tmp_path / "exit"), facts.glibc, len(exit_program(machine)) < 150) == (number, "", True)
    assert exit_program("m68k") == b""


# --- everything together ---------------------------------------------------------------------------------------------


@pytest.fixture
def plain(tmp_path, monkeypatch):
    """A workspace whose crates run no host tools, on a machine with one name server."""
    (tmp_path / "Cargo.lock").write_text('name = "serde"\n')
    monkeypatch.setattr(checks, "_host_servers", lambda: ("1.1.1.1",))
    return tmp_path


ANSWERS = {
    "buildx": (0, "github.com/docker/buildx v0.13.1 788433953\n"), "name servers": (0, "nameserver 1.1.1.1\n"),
    "QEMU's version": (0, "qemu-aarch64 version 7.2.22 (Debian)\n"),
}  # fmt: skip
LOADER = "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"


def test_without_a_daemon_docker_is_not_asked(plain, rustup):
    machine = host(Daemon(error="no"), tools=["qemu-aarch64-static"], toolchains=(rustup,), **WITH_ZIG)
    run = Recorder(ANSWERS)
    requirements = checks.all_requirements(context(machine, run, root=plain), (ARM64, AMD64))
    assert {requirement.section for requirement in requirements} == {"build", "emulation", "containers", "disk"}
    assert [line for line in run.asked if line.startswith("docker")] == []
    containers = [requirement.what for requirement in requirements if requirement.section == "containers"]
    assert containers == ["a Docker daemon"]


def test_answers_of_docker_and_qemu_are_compared_with_the_settings(plain, rustup):
    machine = host(tools=["qemu-aarch64-static"], toolchains=(rustup,), **WITH_ZIG)
    node = {"Name": "multiarch-builder0", "Endpoint": "unix:///x", "Status": "running"}
    builder = {"Name": "multiarch-builder", "Driver": "docker-container", "Nodes": [node]}
    run = Recorder({**ANSWERS, "builders": (0, json.dumps(builder))})
    requirements = checks.all_requirements(context(machine, run, root=plain, registry="ghcr.io/acme"), (ARM64,))
    facts = {requirement.what: (requirement.have, requirement.required) for requirement in requirements}
    assert facts["a QEMU that emulates arm64"] == ("7.2.22", False)
    assert facts["docker buildx"] == ("v0.13.1", True)
    assert facts["a builder that asks this machine's name servers"] == ("1.1.1.1", False)
    assert "a login at ghcr.io" in facts and "handler for arm64" in facts and "containers that start" not in facts


@pytest.mark.parametrize("answer", ["", "v0.13.1\n"])
def test_buildx_without_a_version_is_missing(plain, rustup, answer):
    machine = host(toolchains=(rustup,), **WITH_ZIG)
    run = Recorder({**ANSWERS, "buildx": (0, answer)})
    requirements = checks.image_requirements(context(machine, run, root=plain), (AMD64,))
    assert absent(requirements, machine) == ["docker buildx"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"engine": "none"}, {}),
        ({"engine": "auto"}, {"a Docker daemon": False}),
        ({"engine": "docker"}, {"a Docker daemon": True}),
        ({"images": {"web": {"dockerfile": "Dockerfile", "context": "."}}}, {"a Docker daemon": True}),
    ],
)
def test_docker_is_required_only_for_what_needs_it(plain, settings, expected):
    machine = host(Daemon(error="no"))
    found = checks.image_requirements(
        context(machine, Recorder(), root=plain, registry="r.test/a", **settings), (AMD64,)
    )
    assert {one.what: one.required for one in found if one.section == "containers"} == expected
    assert [one.what for one in found if one.section == "credentials"] == ["a login at r.test"]


def test_registry_without_a_host_is_docker_hub(plain, rustup, tmp_path):
    machine = host(toolchains=(rustup,), env={"DOCKER_CONFIG": str(tmp_path)}, **WITH_ZIG)

    def credentials():
        requirements = checks.image_requirements(
            context(machine, Recorder(ANSWERS), root=plain, registry="acme"), (AMD64,)
        )
        return [(one.what, one.met(machine)) for one in requirements if one.section == "credentials"]

    assert credentials() == [("a login at docker.io", False)]
    (tmp_path / "config.json").write_text('{"auths": {"https://index.docker.io/v1/": {"auth": "eA=="}}}')
    assert credentials() == [("a login at docker.io", True)]


def test_registry_that_is_not_a_name_is_a_usage_error(plain, rustup):
    machine = host(toolchains=(rustup,), **WITH_ZIG)
    with pytest.raises(UsageError, match=r"registry: 'ghcr\.io/Acme' is not the name of a registry"):
        checks.image_requirements(context(machine, Recorder(ANSWERS), root=plain, registry="ghcr.io/Acme"), (AMD64,))


def with_std(toolchain):
    return (replace(toolchain, stds=toolchain.stds | {ARM64.triple}),)


def test_fixes_of_emulation_are_confirmed_once_and_checked_again(plain, rustup, monkeypatch, capsys):
    facts = {"tools": ["apt-get", "qemu-aarch64-static"], "toolchains": with_std(rustup), "root": True, **WITH_ZIG}
    facts["files"] = [LOADER]
    before, after = host(binfmt=(replace(QEMU, flags="P"),), **facts), host(**facts)
    monkeypatch.setattr("buildlib.process.context.probe", lambda env, cwd: after)
    run = Recorder(ANSWERS)
    fix.fix(context(before, run, root=plain), (ARM64,), yes=True)
    assert [line for line in run.asked if "update-binfmts" in line] == [
        "update-binfmts --disable qemu-aarch64", "update-binfmts --enable qemu-aarch64",
    ]  # fmt: skip
    printed = capsys.readouterr().err
    assert "still missing" not in printed and "to install: remove the handler qemu-aarch64" in printed
    monkeypatch.setattr("buildlib.process.context.probe", lambda env, cwd: before)
    fix.fix(context(before, Recorder(ANSWERS), root=plain), (ARM64,), yes=True)
    assert "warning: still missing: handler for arm64 with the flag F" in capsys.readouterr().err
    unconfirmed = Recorder(ANSWERS)
    fix.fix(context(before, unconfirmed, root=plain), (ARM64,), yes=False)  # nobody can answer
    assert not any("update-binfmts" in line for line in unconfirmed.asked)


def test_builder_that_differs_is_recreated(plain, rustup, monkeypatch, capsys):
    facts = {"tools": ["qemu-aarch64-static"], "toolchains": with_std(rustup), "files": [LOADER], **WITH_ZIG}
    machine = host(**facts)
    monkeypatch.setattr("buildlib.process.context.probe", lambda env, cwd: machine)
    created = []
    monkeypatch.setattr(fix.builder_commands, "create", lambda context, *, force: created.append(force))
    node = {"Name": "multiarch-builder0", "Endpoint": "unix:///x", "Status": "running"}
    builder = {"Name": "multiarch-builder", "Driver": "docker-container", "Nodes": [node]}
    run = Recorder({**ANSWERS, "builders": (0, json.dumps(builder))})
    fix.fix(context(machine, run, root=plain), (ARM64,), yes=True)
    assert created == [True]
    printed = capsys.readouterr().err
    assert "to install: the builder, recreated without its cache" in printed
    # The stand-in for `create` changed nothing.
    assert "warning: still missing: the builder multiarch-builder that matches the settings (" in printed


def test_fix_is_silent_about_what_has_no_steps(plain, rustup, monkeypatch, capsys):
    machine = host(
        Daemon(error="no"),
        toolchains=with_std(rustup),
        tools=["apt-get", "qemu-aarch64-static"],
        files=[LOADER],
        **WITH_ZIG,
    )
    monkeypatch.setattr("buildlib.process.context.probe", lambda env, cwd: machine)
    fix.fix(context(machine, Recorder(), root=plain, registry="ghcr.io/acme"), (ARM64,), yes=True)
    assert capsys.readouterr().err == ""
