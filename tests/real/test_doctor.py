"""Each trap made for real, and found with its cure; what can be cured is, and is looked at again."""

import json
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import engine
import pytest
from bed import buildlib, need, path_without, run
from project import Project

BINFMT = Path("/proc/sys/fs/binfmt_misc")
NAME = "buildlib-test-doctor"
pytestmark = pytest.mark.slow


def doctor(project, *words, arch="arm64", env=None):
    """What the doctor says of each need that is not met: need -> (state, why, cures)."""
    done = buildlib("doctor", "--arch", arch, "--json", *words, cwd=project.root, env=project.env | (env or {}))
    assert done.code in (0, 4) and "Traceback" not in done.err, done
    told = json.loads(done.out)
    assert (done.code == 4) == any(row["state"] == "fail" for row in told), done
    return {row["need"]: (row["state"], row["why"], row["cures"]) for row in told if row["state"] != "ok"}


def fix(project):
    done = buildlib("doctor", "--fix", "--yes", "--arch", "arm64", cwd=project.root, env=project.env)
    assert done.code == 0 and "Traceback" not in done.err, done
    return done.err


@pytest.fixture
def mine(bed, clone, tmp_path):
    """This workspace, which makes images, with a builder of its own; nothing of it is compiled."""
    project = Project(shutil.copytree(clone, tmp_path / "main", ignore=shutil.ignore_patterns("target", "dist")), bed)
    project.settings(name=NAME)
    yield project
    run("docker", "buildx", "rm", NAME, env=project.env)


@contextmanager
def elsewhere(project, env):
    """The project with another daemon."""
    before, project.env = project.env, {**project.env, **env}
    try:
        yield
    finally:
        run("docker", "buildx", "rm", NAME, env=project.env)
        project.env = before


def create(project):
    made = buildlib("builder.create", cwd=project.root, env=project.env)
    assert made.code == 0, made


def test_where_all_is_well_nothing_is_said(mine):
    create(mine)
    assert set(doctor(mine)) == {f"a login at {mine.bed.registry}"}  # that registry wants none, and nobody knows


def test_it_takes_no_time(mine):
    create(mine)
    doctor(mine)  # the crate graph is known from here on
    began = time.monotonic()
    doctor(mine)
    assert time.monotonic() - began < 4.0  # 2 s are promised on a quiet machine


# --- emulation -------------------------------------------------------------------------------------------------------


@contextmanager
def registered(name, flags):
    """The handler with other flags, as somebody else's script would register it."""
    told = dict(line.split(" ", 1) for line in (BINFMT / name).read_text().splitlines() if " " in line)

    def bytes_of(word):
        return "".join(f"\\x{word[at : at + 2]}" for at in range(0, len(word), 2))

    def register(flags):
        if (BINFMT / name).exists():
            (BINFMT / name).write_text("-1")
        line = f":{name}:M:{told['offset']}:{bytes_of(told['magic'])}:{bytes_of(told['mask'])}:{told['interpreter']}:{flags}"
        (BINFMT / "register").write_text(line)

    register(flags)
    try:
        yield
    finally:
        register(told["flags:"].strip())


def flags_of(name):
    return (BINFMT / name).read_text().split("flags:")[1].split()[0]


def test_a_handler_without_the_flag_f_is_found_and_mended(mine):
    wanted = "handler for arm64 with the flag F"
    with registered("qemu-aarch64", "P"):
        state, why, cures = doctor(mine)[wanted]
        assert (state, cures) == (
            "warn",
            ["update-binfmts --disable, then --enable"],
        ) and "inside every container" in why
        dry = buildlib("--dry", "doctor", "--fix", "--yes", "--arch", "arm64", cwd=mine.root, env=mine.env)
        assert dry.code == 0 and "update-binfmts --disable qemu-aarch64" in dry.err, dry
        assert flags_of("qemu-aarch64") == "P"
        assert "still no handler" not in fix(mine)
        assert "F" in flags_of("qemu-aarch64") and wanted not in doctor(mine)


def test_a_handler_that_is_switched_off(mine):
    (BINFMT / "qemu-aarch64").write_text("0")
    try:
        state, _, (cure,) = doctor(mine)["handler for arm64"]
        assert state == "warn" and "qemu-user-static binfmt-support" in cure
    finally:
        (BINFMT / "qemu-aarch64").write_text("1")


def version(program, env):
    return re.search(r"version ([\d.]+)", run(program, "--version", env=env).out)[1]


def test_an_old_qemu_beside_a_newer_one_is_named_by_what_it_does_not(mine, loong64):
    """Debian 12's QEMU is too old for LoongArch, whichever of the two it is: the kernel's, or that of the tests."""
    name = "qemu-loongarch64-static"
    own, newer = version(name, None), version(name, loong64)
    if not int(own.split(".")[0]) < 8 <= int(newer.split(".")[0]):
        need("a QEMU before 8.1", "run on Debian 12")
    state, why, (cure,) = doctor(mine, arch="loong64", env=loong64)["a QEMU that plays loong64"]
    assert (state, why) == ("warn", f"QEMU {own}: 8.1 is the first that runs it; containers start through it")
    assert cure.endswith(f"in place of {Path(shutil.which(name)).resolve()}")
    done = buildlib("doctor", "--arch", "loong64", "--json", cwd=mine.root, env=mine.env | loong64)
    assert f"{own} for containers, {newer} for tests" in [row["have"] for row in json.loads(done.out)]


def test_a_loader_that_is_another_machine_s(mine, cross_gcc, tmp_path):
    loader = tmp_path / "root" / "lib" / "ld-linux-aarch64.so.1"
    loader.parent.mkdir(parents=True)
    shutil.copy2("/lib64/ld-linux-x86-64.so.2", loader)
    wanted = "a loader of arm64"
    state, why, (cure,) = doctor(mine, env={"QEMU_LD_PREFIX": str(tmp_path / "root")})[wanted]
    assert state == "warn" and "Invalid ELF image" in why and f"unset QEMU_LD_PREFIX if it names {tmp_path}" in cure
    # That is what QEMU says of it.
    program = tmp_path / "hello"
    (tmp_path / "hello.c").write_text("int main(void) { return 0; }")
    built = run("aarch64-linux-gnu-gcc", "-o", program, tmp_path / "hello.c")
    assert built.code == 0, built
    died = run("qemu-aarch64-static", "-L", tmp_path / "root", program)
    assert "Invalid ELF image for this architecture" in died.err, died
    assert wanted not in doctor(mine)


# --- containers ------------------------------------------------------------------------------------------------------


def test_no_daemon_and_no_buildx(mine, tmp_path):
    state, _, _ = doctor(mine, env={"DOCKER_HOST": "unix:///nowhere"})["a Docker daemon"]
    assert state == "fail"
    (tmp_path / "config").mkdir()
    state, why, _ = doctor(mine, env={"DOCKER_CONFIG": str(tmp_path / "config")})["docker buildx"]
    assert (state, why) == ("fail", "docker has no such plugin")


def test_a_docker_context(mine, tmp_path):
    """The SDK knows DOCKER_HOST alone; the daemon that `docker` talks to is asked all the same."""
    (tmp_path / "docker").mkdir()
    with engine.daemon(tmp_path / "docker") as other:
        env = {"DOCKER_CONFIG": str(tmp_path / "config"), "DOCKER_HOST": None}
        made = run("docker", "context", "create", "far", f"--docker=host={other['DOCKER_HOST']}", env=env)
        used = run("docker", "context", "use", "far", env=env)
        assert (made.code, used.code) == (0, 0), (made, used)
        told = doctor(mine, env=env)
        assert "a Docker daemon" not in told and told["docker buildx"][1] == "docker has no such plugin"
        _, why, _ = doctor(mine, env=env | {"DOCKER_CONTEXT": "nowhere"})["a Docker daemon"]
        assert "nowhere" in why


def test_a_builder_that_drifted_is_made_anew(mine):
    create(mine)
    mine.settings(name=NAME, network="default")
    wanted = f"the builder {NAME}, as the settings say"
    assert doctor(mine)[wanted] == ("fail", "network: is host, wanted none", ["buildlib builder.create --force"])
    fix(mine)
    assert wanted not in doctor(mine)


def test_other_name_servers(mine, tmp_path):
    """A daemon that gives its containers a name server of its own, and a builder on the bridge."""
    for name in ("docker", "kit"):
        (tmp_path / name).mkdir()
    mine.settings(name=NAME, network="default")
    with engine.daemon(tmp_path / "docker", "--dns", "192.0.2.53") as env, elsewhere(mine, env):
        engine.buildx(env)
        engine.buildkit(env, tmp_path / "kit")
        create(mine)
        state, why, (cure,) = doctor(mine)["a builder that asks this machine's name servers"]
        assert state == "warn" and "it asks 192.0.2.53, this machine" in why and "dns" in cure


def left(env):
    """What containers and images a daemon has; it lists those of one second in any order."""
    told = (run("docker", *words, "--quiet", env=env) for words in (("ps", "--all"), ("images",)))
    return [sorted(done.out.split()) for done in told]


def test_a_runtime_that_fails(mine, tmp_path):
    (tmp_path / "docker").mkdir()
    with engine.daemon(tmp_path / "docker", runtime="#!/bin/false\n") as env, elsewhere(mine, env):
        engine.buildx(env)
        before = left(env)
        state, why, (cure,) = doctor(mine)["containers that start"]
        assert state == "fail" and "runtime" in why.lower() and "default runtime" in cure
        assert before[0] == [] and left(env) == before


def test_a_runtime_that_works_is_shown_by_a_container_of_a_few_bytes(mine):
    before = left(mine.env)
    assert "containers that start" not in doctor(mine)  # there is no builder that shows it
    assert left(mine.env) == before


# --- disk, Rust, zig -------------------------------------------------------------------------------------------------


def test_a_full_disk_is_named(mine, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    mounted = run("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place)
    assert mounted.code == 0, mounted
    try:
        state, why, _ = doctor(mine, env={"TMPDIR": str(place)})[f"2 GiB in {place}"]
        assert (state, why) == ("warn", "what is on its way")
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture
def bare(tmp_path):
    """A compiler with this machine's std alone, no sources, no rustup, and an empty cache."""
    real = Path(run("rustc", "--print", "sysroot").out.strip())
    host = next(line.split()[1] for line in run("rustc", "-vV").out.splitlines() if line.startswith("host:"))
    root = tmp_path / "root"
    (root / "lib" / "rustlib").mkdir(parents=True)
    (root / "lib" / "rustlib" / host).symlink_to(real / "lib" / "rustlib" / host)
    rustc = root / "rustc"
    script = f"""#!/bin/sh\n[ "$*" = "--print sysroot" ] && exec echo {root}\nexec {real}/bin/rustc "$@"\n"""
    rustc.write_text(script)
    rustc.chmod(0o755)
    env = path_without(tmp_path / "path", lambda name: name in ("rustup", "rustc"))
    return env | {"RUSTC": str(rustc), "CARGO": f"{real}/bin/cargo", "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_std_and_zig_that_are_missing_are_listed_at_once(mine, bare, tmp_path):
    (tmp_path / "shadow" / "ziglang").mkdir(parents=True)
    (tmp_path / "shadow" / "ziglang" / "__init__.py").touch()
    env = bare | {
        "PYTHONPATH": str(tmp_path / "shadow"),
        "BUILDLIB_BACKEND": "zig",
    }  # auto would take a gcc that is here
    told = doctor(mine, env=env)
    std, zig = told["Rust standard library for arm64"], told["zig"]
    assert std[0] == "fail" and std[2][0] == "rustup target add aarch64-unknown-linux-gnu"
    assert zig == ("fail", "the zig backend links with it", ["pip install ziglang cargo-zigbuild"])
