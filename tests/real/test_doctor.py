"""`buildlib doctor`: each problem is caused for real and found with its help. `--fix` fixes what it can, and checks again."""

import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import containers
import pytest
from project import DOCTOR_BUILDER
from testbed import buildlib, path_without, run

pytestmark = pytest.mark.slow


@contextmanager
def other_daemon(project, env):
    """Let the project use another daemon."""
    before, project.env = project.env, {**project.env, **env}
    try:
        yield
    finally:
        run("docker", "buildx", "rm", DOCTOR_BUILDER, env=project.env)
        project.env = before


def create_builder(project):
    created = buildlib("builder.create", cwd=project.root, env=project.env)
    assert created.code == 0, created


def test_a_healthy_machine_gets_no_help(uncompiled):
    create_builder(uncompiled)
    # The registry needs no login, which doctor cannot know.
    assert set(uncompiled.doctor()) == {f"a login at {uncompiled.engine.registry}"}


def test_doctor_takes_no_longer_than_its_questions(uncompiled):
    """Its time is that of a few starts of docker and of buildlib itself: 2 s on a quiet machine."""
    create_builder(uncompiled)

    def questions():
        for argv in (("version",), ("info",), ("buildx", "ls"), ("buildx", "version")):
            run("docker", *argv, env=uncompiled.env)
        buildlib("plan", "--arch", "arm64", cwd=uncompiled.root, env=uncompiled.env)

    uncompiled.doctor()  # computes the crate graph, which is cached from here on
    assert fastest(uncompiled.doctor) < 3 * fastest(questions)


def fastest(action):
    """Seconds of the fastest of three runs."""
    times = []
    for _ in range(3):
        began = time.monotonic()
        action()
        times.append(time.monotonic() - began)
    return min(times)


# --- containers ------------------------------------------------------------------------------------------------------

BUILDX_HELP = ["apt-get install docker-buildx-plugin (Docker's packages) or docker-buildx (the distribution's)"]
NO_BUILDX = ("warn", "docker has no plugin buildx", BUILDX_HELP)  # --engine none does without


def test_no_daemon(uncompiled):
    state, why, help_texts = uncompiled.doctor(env={"DOCKER_HOST": "unix:///nowhere"})["a Docker daemon"]
    assert state == "warn" and why.startswith("images are built, checked and smoke-tested with it; ")
    assert help_texts == [
        "start Docker, and join the group `docker`; binaries, tests and the images of binaries do not need it"
    ]


def test_no_buildx(uncompiled, tmp_path):
    (tmp_path / "config").mkdir()
    assert uncompiled.doctor(env={"DOCKER_CONFIG": str(tmp_path / "config")})["docker buildx"] == NO_BUILDX


def test_a_docker_context(uncompiled, tmp_path):
    """The SDK knows only DOCKER_HOST. doctor asks the daemon that `docker` uses all the same."""
    (tmp_path / "docker").mkdir()
    with containers.daemon(tmp_path / "docker") as other:
        env = {"DOCKER_CONFIG": str(tmp_path / "config"), "DOCKER_HOST": None}
        created = run("docker", "context", "create", "far", f"--docker=host={other['DOCKER_HOST']}", env=env)
        used = run("docker", "context", "use", "far", env=env)
        assert (created.code, used.code) == (0, 0), (created, used)
        problems = uncompiled.doctor(env=env)
        assert "a Docker daemon" not in problems and problems["docker buildx"] == NO_BUILDX
        _, why, _ = uncompiled.doctor(env=env | {"DOCKER_CONTEXT": "nowhere"})["a Docker daemon"]
        assert "nowhere" in why


def test_a_builder_that_differs_from_the_settings_is_recreated(uncompiled):
    create_builder(uncompiled)
    uncompiled.write_settings(name=DOCTOR_BUILDER, network="default")
    requirement = f"the builder {DOCTOR_BUILDER} that matches the settings"
    expected = ("fail", "network: host, expected none", ["buildlib builder.create --force"])
    assert uncompiled.doctor()[requirement] == expected
    uncompiled.fix()
    assert requirement not in uncompiled.doctor()


def test_other_name_servers(uncompiled, tmp_path):
    """A daemon that gives its containers another name server, and a builder on the bridge."""
    for name in ("docker", "buildkit"):
        (tmp_path / name).mkdir()
    uncompiled.write_settings(name=DOCTOR_BUILDER, network="default")
    with containers.daemon(tmp_path / "docker", "--dns", "192.0.2.53") as env, other_daemon(uncompiled, env):
        containers.install_buildx(env)
        containers.load_buildkit(env, tmp_path / "buildkit")
        create_builder(uncompiled)
        state, why, help_texts = uncompiled.doctor()["a builder that asks this machine's name servers"]
        assert state == "warn" and why.startswith("it asks 192.0.2.53, this machine ")
        assert help_texts == ["set `dns` in /etc/docker/daemon.json, then run buildlib builder.create --force"]


def existing_objects(env):
    """The ids of a daemon's containers and images, sorted: the daemon lists those of one second in any order."""
    results = (run("docker", *words, "--quiet", env=env) for words in (("ps", "--all"), ("images",)))
    return [sorted(result.out.split()) for result in results]


def test_a_runtime_that_fails(uncompiled, tmp_path):
    (tmp_path / "docker").mkdir()
    with (
        containers.daemon(tmp_path / "docker", runtime="#!/bin/false\n") as env,
        other_daemon(uncompiled, env),
    ):
        containers.install_buildx(env)
        before = existing_objects(env)
        state, why, help_texts = uncompiled.doctor()["containers that start"]
        assert state == "fail" and "runtime" in why.lower()
        assert help_texts == [
            "check the daemon's default runtime in /etc/docker/daemon.json, and that runc fits containerd"
        ]
        assert before[0] == [] and existing_objects(env) == before


def test_a_working_runtime_is_proven_by_a_container_that_is_removed_again(uncompiled):
    before = existing_objects(uncompiled.env)
    assert "containers that start" not in uncompiled.doctor()  # no builder exists whose container would prove it
    assert existing_objects(uncompiled.env) == before


# --- disk, Rust, zig -------------------------------------------------------------------------------------------------


def test_a_full_disk_is_named(uncompiled, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = run("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder)
    assert mounted.code == 0, mounted
    try:
        state, why, _ = uncompiled.doctor(env={"TMPDIR": str(folder)})[f"2 GiB in {folder}"]
        assert (state, why) == ("warn", "temporary files are written there")
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def bare_rust(tmp_path):
    """A compiler with only this machine's std, without sources and rustup, and an empty cache."""
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


def test_missing_std_and_zig_are_listed_together(uncompiled, bare_rust, tmp_path):
    (tmp_path / "shadow" / "ziglang").mkdir(parents=True)
    (tmp_path / "shadow" / "ziglang" / "__init__.py").touch()
    # The backend "auto" would choose a gcc that is installed.
    env = bare_rust | {"PYTHONPATH": str(tmp_path / "shadow"), "BUILDLIB_BACKEND": "zig"}
    problems = uncompiled.doctor(env=env)
    std, zig = problems["Rust standard library for arm64"], problems["zig"]
    assert std[0] == "fail" and std[2][0] == "rustup target add aarch64-unknown-linux-gnu"
    assert zig == ("fail", "the zig backend links with it", ["pip install ziglang cargo-zigbuild"])
