"""What images want of a machine, section by section, on machines that are invented."""

import json
from dataclasses import replace

import pytest
from machines import AMD64, ARM64, WITH_ZIG, Machine, Recorder, context

from buildlib.doctor import checks, engine, needs
from buildlib.emulation import binfmt
from buildlib.doctor.engine import EngineFacts
from buildlib.machine.host import Daemon, Handler, parse_handler
from buildlib.core.targets import TARGETS
from buildlib.emulation.exit_stub import exit_program

GOOD = Daemon(
    version="28.0.1", parts={"containerd": "1.7.27", "runc": "1.2.5"},
    info={"Driver": "overlay2", "CgroupVersion": "2", "SecurityOptions": ["name=seccomp,profile=builtin"]},
)  # fmt: skip
QEMU = Handler(name="qemu-aarch64", interpreter="/usr/bin/qemu-aarch64-static", flags="PF", enabled=True)


def host(daemon=GOOD, binfmt=(QEMU,), **facts):
    made = Machine(**{"kernel": "6.1.0-18-amd64", **facts})
    object.__setattr__(made, "daemon", daemon)
    object.__setattr__(made, "handlers", None if binfmt is None else {one.name: one for one in binfmt})
    return made


def lacks(needs, machine):
    return [need.what for need in needs.missing(needs, machine)]


# --- the kernel ------------------------------------------------------------------------------------------------------


def test_a_handler_is_read_as_the_kernel_writes_it():
    text = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: POCF\noffset 0\nmagic 7f45\nmask ff\n"
    assert parse_handler("qemu-aarch64", text) == replace(QEMU, flags="POCF")
    assert not parse_handler("x", text.replace("enabled", "disabled")).enabled


@pytest.mark.parametrize(
    ("machine", "missing"),
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
def test_what_containers_of_another_arch_want(machine, missing):
    assert lacks(binfmt.requirements(ARM64), machine) == missing


def test_each_of_it_has_a_cure_that_can_be_carried_out():
    told = {need.what: [step.argv for cure in need.fixes for step in cure.steps] for need in binfmt.requirements(ARM64)}
    assert told["binfmt_misc, mounted"] == [("mount", "-t", "binfmt_misc", "binfmt_misc", "/proc/sys/fs/binfmt_misc")]
    assert told["handler for arm64"] == [
        ("apt-get", "install", "--yes", "--no-install-recommends", "qemu-user-static", "binfmt-support"),
        ("update-binfmts", "--enable"),
    ]
    assert told["handler for arm64 with the flag F"] == [
        ("update-binfmts", "--disable", "qemu-aarch64"), ("update-binfmts", "--enable", "qemu-aarch64"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "arch", "flaw"),
    [
        ("7.2.22", "amd64", ""), ("5.2.0", "amd64", "QEMU 5.2.0: knows no AVX2"), ("5.2.0", "arm64", "QEMU 5.2.0: knows no SVE2"),
        ("", "amd64", ""),
        ("7.2.22", "arm64", ""), ("5.2.0", "riscv64", "QEMU 5.2.0: knows no Zba"),
        ("6.2.0", "riscv64", "QEMU 6.2.0: knows no V 1.0"), ("5.2.0", "armv7", ""),
        ("8.0.4", "loong64", "QEMU 8.0.4: 8.1 is the first that runs it"), ("10.0.13", "loong64", ""),
        ("5.2.0", "amd64-musl", "QEMU 5.2.0: knows no AVX2"),
    ],
)  # fmt: skip
def test_versions_of_qemu_that_are_known_not_to_do(version, arch, flaw):
    assert binfmt.flaw_of(version, TARGETS[arch]).startswith(flaw) and bool(
        binfmt.flaw_of(version, TARGETS[arch])
    ) == bool(flaw)


def told(*players):
    needs = binfmt.version_requirements(binfmt.Emulator(TARGETS[arch], *rest) for arch, *rest in players)
    return [(need.what, need.have, need.why, need.fixes[0].text, need.met(host())) for need in needs]


def test_the_qemu_of_containers_and_that_of_tests_are_two_and_either_may_be_the_old_one():
    newer, old = "qemu-user-static of a newer distribution", "QEMU 7.2.22: 8.1 is the first that runs it"
    plays = "a QEMU that plays loong64"
    containers, tests = ("loong64", "containers", "/usr/bin/q"), ("loong64", "tests", "/opt/q")
    both = "7.2.22 for containers, 10.0.13 for tests"
    cure = f"{newer}, in place of /usr/bin/q"
    assert told((*containers, "7.2.22"), (*tests, "10.0.13")) == [
        (plays, both, f"{old}; containers start through it", cure, False)
    ]
    assert told((*containers, "10.0.13"), (*tests, "7.2.22")) == [
        (plays, "10.0.13 for containers, 7.2.22 for tests", f"{old}; tests start through it", f"{newer}, in place of /opt/q", False)
    ]  # fmt: skip
    assert told((*containers, "10.0.13"), (*tests, "10.0.13")) == [
        (plays, "10.0.13", "tests and containers run on it", newer, True)
    ]
    assert told((*containers, ""), ("arm64", "tests", "/opt/q", "7.2.22"), ("arm64-musl", "tests", "/opt/q", "7.2.22")) == [
        ("a QEMU that plays arm64", "7.2.22", "tests and containers run on it", newer, True)
    ]  # fmt: skip


def test_a_loader_of_another_machine_is_named(plain, rustup, tmp_path):
    path = tmp_path / "root" / "lib" / "ld-linux-aarch64.so.1"
    path.parent.mkdir(parents=True)
    machine = host(toolchains=(rustup,), env={"QEMU_LD_PREFIX": str(tmp_path / "root")}, files=[str(path)], **WITH_ZIG)
    seen = []
    for content in (exit_program("x86_64"), exit_program("aarch64"), b"\x7fELF", None):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        (need,) = checks._loaders(context(machine, Recorder(), root=plain), (ARM64, AMD64, TARGETS["arm64-musl"]))
        seen.append((need.what, need.have, need.met(machine), "Invalid ELF image" in need.why))
    alike = ("a loader of arm64", str(path))
    assert seen == [(*alike, ok, not ok) for ok in (False, True, False, False)]
    assert str(tmp_path / "root") in need.fixes[0].text and "libc6-arm64-cross" in need.fixes[0].text


# --- the engine ------------------------------------------------------------------------------------------------------

SEEN = EngineFacts(buildx="0.13.1", builder="b", there=True, servers=("1.1.1.1",), own_servers=("1.1.1.1", "127.0.0.11"))


@pytest.mark.parametrize(
    ("daemon", "seen", "missing"),
    [
        (GOOD, SEEN, []),
        (Daemon(error="no such file"), SEEN, ["a Docker daemon"]),
        (replace(GOOD, version="20.10.7"), SEEN, ["Docker 20.10.10 or newer"]),
        (replace(GOOD, version="19.03.5"), SEEN, ["Docker 20.10.10 or newer", "an engine for cgroup v2"]),
        (replace(GOOD, parts={"containerd": "v2.1.4", "runc": "1.2.4"}), SEEN, ["runc that fits containerd"]),
        (replace(GOOD, parts={"containerd": "1.6.20~ds1", "runc": "1.1.5+ds1"}), SEEN, []),
        (replace(GOOD, parts={"containerd": "1.3.3", "runc": "1.0.0"}), SEEN, ["an engine for cgroup v2"]),
        (replace(GOOD, info={**GOOD.info, "Driver": "vfs"}), SEEN, ["a storage driver that shares layers"]),
        (replace(GOOD, info={**GOOD.info, "SecurityOptions": ["name=rootless"]}), SEEN, ["a daemon with this machine's network"]),
        (GOOD, EngineFacts(buildx_error="docker has no such plugin"), ["docker buildx"]),
        (GOOD, replace(SEEN, buildx="0.7.1"), ["docker buildx"]),
        (GOOD, replace(SEEN, buildx="v0.29.1"), []),
        (GOOD, replace(SEEN, there=False, servers=None, started=""), ["the builder b"]),
        (GOOD, replace(SEEN, differs=("network: is none, wanted host",)), ["the builder b, as the settings say"]),
        (GOOD, replace(SEEN, servers=("192.0.2.1", "1.1.1.1")), ["a builder that asks this machine's name servers"]),
        (GOOD, replace(SEEN, servers=("127.0.0.11",)), []),
        (GOOD, replace(SEEN, there=False, servers=None, started="runc: no"), ["the builder b", "containers that start"]),
    ],
)  # fmt: skip
def test_what_images_want_of_the_engine(daemon, seen, missing):
    assert lacks(engine.requirements(seen, required=True), host(daemon)) == missing


def test_only_who_makes_images_must_have_it():
    for must in (True, False):
        found = needs.missing(engine.requirements(SEEN, required=required), host(Daemon(error="no")))
        assert [need.required for need in found] == [must]


def test_versions_are_read_as_distributions_write_them():
    told = ["v0.13.1", "20.10.24+dfsg1", "1.6.20~ds1", "28.2.2", "", "unknown"]
    assert [engine.numbers(word) for word in told] == [(0, 13, 1), (20, 10, 24), (1, 6, 20), (28, 2, 2), (), ()]


def test_room_is_asked_for_where_it_is_written(tmp_path):
    (need,) = engine.room([(tmp_path / "a" / "b", "why")])
    machine = host()
    assert need.met(machine)
    object.__setattr__(machine, "free", lambda path: 1 << 20)
    assert not need.met(machine)
    object.__setattr__(machine, "free", lambda path: None)  # nobody knows
    assert need.met(machine)


@pytest.mark.parametrize(
    ("config", "tools", "missing"),
    [
        ({}, [], ["a login at ghcr.io"]),
        ({"auths": {"ghcr.io": {"auth": "eA=="}}}, [], []),
        ({"auths": {"https://ghcr.io/v1/": {}}}, [], []),
        ({"auths": {"quay.io": {}}}, [], ["a login at ghcr.io"]),
        ({"credsStore": "desktop"}, [], ["docker-credential-desktop"]),
        ({"credsStore": "desktop"}, ["docker-credential-desktop"], []),
        ({"credHelpers": {"ghcr.io": "gh"}}, [], ["docker-credential-gh"]),
    ],
)
def test_credentials(config, tools, missing):
    assert lacks(engine.credentials(["ghcr.io"], config), Machine(tools)) == missing


# --- programs of a few bytes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 62), ("aarch64", 183), ("riscv64", 243)])
def test_a_tiny_program_is_one_of_that_machine(machine, number, tmp_path):
    from buildlib.binaries import elf

    (tmp_path / "exit").write_bytes(exit_program(machine))
    facts = elf.read(tmp_path / "exit")
    assert (elf.machine(tmp_path / "exit"), facts.glibc, len(exit_program(machine)) < 150) == (number, "", True)
    assert exit_program("m68k") == b""


# --- the flow --------------------------------------------------------------------------------------------------------


@pytest.fixture
def plain(tmp_path, monkeypatch):
    (tmp_path / "Cargo.lock").write_text('name = "serde"\n')
    monkeypatch.setattr(checks, "_own_servers", lambda: ("1.1.1.1",))
    return tmp_path


ANSWERS = {
    "buildx": (0, "github.com/docker/buildx v0.13.1 788433953\n"), "name servers": (0, "nameserver 1.1.1.1\n"),
    "QEMU's version": (0, "qemu-aarch64 version 7.2.22 (Debian)\n"),
}  # fmt: skip


def test_docker_is_asked_only_where_it_is_there(plain, rustup):
    machine = host(Daemon(error="no"), tools=["qemu-aarch64-static"], toolchains=(rustup,), **WITH_ZIG)
    run = Recorder(ANSWERS)
    found = checks.all_requirements(context(machine, run, root=plain), (ARM64, AMD64))
    assert {need.section for need in found} == {"build", "emulation", "containers", "disk"}
    assert [line for line in run.asked if line.startswith("docker")] == []
    assert [need.what for need in found if need.section == "containers"] == ["a Docker daemon"]


def test_what_docker_and_qemu_say_is_held_against_the_settings(plain, rustup):
    machine = host(tools=["qemu-aarch64-static"], toolchains=(rustup,), **WITH_ZIG)
    node = {"Name": "multiarch-builder0", "Endpoint": "unix:///x", "Status": "running"}
    builder = {"Name": "multiarch-builder", "Driver": "docker-container", "Nodes": [node]}
    run = Recorder({**ANSWERS, "builders": (0, json.dumps(builder))})
    found = checks.all_requirements(context(machine, run, root=plain, registry="ghcr.io/acme"), (ARM64,))
    shown = {need.what: (need.have, need.required) for need in found}
    assert shown["a QEMU that plays arm64"] == ("7.2.22", False)
    assert shown["docker buildx"] == ("v0.13.1", True)
    assert shown["a builder that asks this machine's name servers"] == ("1.1.1.1", False)
    assert "a login at ghcr.io" in shown and "handler for arm64" in shown and "containers that start" not in shown


def test_cures_of_emulation_are_one_question_and_looked_at_again(plain, rustup, monkeypatch, capsys):
    have = (replace(rustup, stds=rustup.stds | {ARM64.triple}),)
    facts = {"tools": ["apt-get", "qemu-aarch64-static"], "toolchains": have, "root": True, **WITH_ZIG}
    facts["files"] = ["/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"]
    before, after = host(binfmt=(replace(QEMU, flags="P"),), **facts), host(**facts)
    monkeypatch.setattr("buildlib.process.context.probe", lambda env, cwd: after)
    run = Recorder(ANSWERS)
    checks.mend(context(before, run, root=plain), (ARM64,), yes=True)
    assert [line for line in run.asked if "update-binfmts" in line] == [
        "update-binfmts --disable qemu-aarch64", "update-binfmts --enable qemu-aarch64",
    ]  # fmt: skip
    told = capsys.readouterr().err
    assert "still no handler" not in told and "to install: take the handler qemu-aarch64 away" in told
    monkeypatch.setattr("buildlib.process.context.probe", lambda env, cwd: before)
    checks.mend(context(before, Recorder(ANSWERS), root=plain), (ARM64,), yes=True)
    assert "warning: still no handler for arm64 with the flag F" in capsys.readouterr().err
    checks.mend(context(before, asked := Recorder(ANSWERS), root=plain), (ARM64,), yes=False)  # nobody to ask
    assert not any("update-binfmts" in line for line in asked.asked)


def test_what_no_step_cures_is_doctor_s_to_say_and_not_setup_s(plain, rustup, monkeypatch, capsys):
    have = (replace(rustup, stds=rustup.stds | {ARM64.triple}),)
    loader = ["/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"]
    machine = host(
        Daemon(error="no"), toolchains=have, tools=["apt-get", "qemu-aarch64-static"], files=loader, **WITH_ZIG
    )
    monkeypatch.setattr("buildlib.process.context.probe", lambda env, cwd: machine)
    checks.mend(context(machine, Recorder(), root=plain, registry="ghcr.io/acme"), (ARM64,), yes=True)
    assert capsys.readouterr().err == ""
