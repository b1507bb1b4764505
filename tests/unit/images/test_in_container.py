import json
from dataclasses import replace
from pathlib import Path

import pytest
from machines import Machine, settings
from fake_registry import after
from test_spec import here

from buildlib.binaries import build
from buildlib.images import in_container, spec
from buildlib.images.in_container import ContainerOptions
from buildlib.core.errors import BuildError, CompileFailed, MissingRequirements, NetworkError, NothingToDo, Refused, UsageError
from buildlib.core.plan import Outcome
from buildlib.core.targets import TARGETS

ARM = TARGETS["arm64"]


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """A context in which the container's buildlib makes what `out` says; the gate takes it."""
    found = here(tmp_path)

    class Facts:
        size, sha256 = 3, "5a"

    monkeypatch.setattr(in_container.artifacts, "read", lambda _: Facts)
    monkeypatch.setattr(build, "gate", lambda *_: ([], "--version"))

    def make(binaries=("a",), *, code=0, said="", env=None, files=(), **flags):
        context = replace(
            found, host=Machine(env=env or {}, files=files, cache=tmp_path / "cache"), config=settings(**flags)
        )
        steps = []

        def run(act):
            if not hasattr(act, "argv"):
                return found.run.__class__.__call__(context.run, act) if hasattr(act, "text") else publish(act)
            if act.title == "docker info":
                return Outcome(step=act, code=1, seconds=0)
            steps.append(act)
            folder = Path(after(act.argv, "--output")[0].split("dest=")[1])
            entries = [
                {"arch": "arm64", "binary": name, "path": f"arm64/{name}", "floor": "2.31", "sha256": "?", "size": 0}
                for name in binaries
            ]
            for entry in entries:
                (folder / "arm64").mkdir(parents=True, exist_ok=True)
                (folder / entry["path"]).write_bytes(b"elf")
            folder.mkdir(exist_ok=True)
            (folder / "manifest.json").write_text(json.dumps({"schema": 1, "binaries": entries}))
            return Outcome(step=act, code=code, seconds=0, output=said)

        def publish(act):
            run.published = act
            return Outcome(step=act, code=0, seconds=0)

        run.console, run.dry, run.steps, run.published = found.run.console, False, steps, None
        return replace(context, run=run)

    return make


def compile(context, *how):
    in_container.compile_in_container(context, (ARM,), (), "abcdef", 7, *(how or (ContainerOptions(),)))


def test_what_a_container_compiled_is_gated_again_and_gets_into_dist(inside):
    context = inside()
    compile(context)
    (step,) = context.run.steps
    assert step.argv[:10] == (
        "docker", "buildx", "build", "--builder", "multiarch-builder", "--platform", "linux/arm64", "--file",
        step.argv[8], "--target",
    )  # fmt: skip
    assert (step.argv[10], step.argv[-1], step.held) == ("binaries", str(context.workspace.root), False)
    assert after(step.argv, "--build-arg") == [
        "COMPONENT=a", "SOURCE_COMMIT=abcdef", f"WORKSPACE={in_container._name(context.workspace.root)}", "BUILDLIB_PROFILE=release",
        "LIBC=",
    ]  # fmt: skip
    assert after(step.argv, "--build-context") == [f"buildlib={Path(in_container.__file__).parent}"]
    assert not {"--network", "--cache-from", "--no-cache", "--secret"} & set(step.argv)
    manifest, _ = context.run.published.writes
    (entry,) = [e for e in json.loads(manifest.text)["binaries"] if e["path"] == "arm64/a"]
    assert (entry["sha256"], entry["size"], entry["started"]) == ("5a", 3, "--version")


def test_what_was_asked_for_gets_in(inside):
    builder = {**settings().builder, "cache": "/c"}
    context = inside(
        profile="small", glibc="2.17", features=["x", "y"], builder=builder, files=("/etc/pip.conf", "/ca.pem"),
        env={"SSL_CERT_FILE": "/ca.pem"},
    )  # fmt: skip
    compile(context, ContainerOptions(network="host", fresh=True))
    argv = context.run.steps[0].argv
    assert after(argv, "--build-arg")[3:6] == ["BUILDLIB_PROFILE=small", "BUILDLIB_GLIBC=2.17", "BUILDLIB_FEATURES=x,y"]
    assert after(argv, "--secret") == ["id=certificates,src=/ca.pem", "id=pip,src=/etc/pip.conf"]
    assert (after(argv, "--network"), after(argv, "--allow"), "--no-cache" in argv) == (
        ["host"],
        ["network.host"],
        True,
    )
    assert after(argv, "--cache-from") == ["type=local,src=/c/arm64"]
    assert after(argv, "--cache-to") == ["type=local,dest=/c/arm64,mode=max"]


def test_a_cache_in_the_registry_has_a_tag_for_each_arch(inside):
    context = inside(registry="r.test/acme", builder={**settings().builder, "cache": "registry"})
    compile(context)
    argv = context.run.steps[0].argv
    assert after(argv, "--cache-from") == ["type=registry,ref=r.test/acme/buildcache:arm64"]
    assert after(argv, "--cache-to") == ["type=registry,ref=r.test/acme/buildcache:arm64,mode=max"]
    with pytest.raises(UsageError, match="no registry"):
        compile(inside(builder={**settings().builder, "cache": "registry"}))


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        (
            "ERROR: failed to solve: process did not complete successfully: exit code: 101",
            CompileFailed,
            "ended with 101",
        ),
        ("ERROR: failed to solve: process did not complete successfully: exit code: 6", Refused, "ended with 6"),
        ("ERROR: failed to solve: process did not complete successfully: exit code: 1", BuildError, "exit code: 1"),
        ("ERROR: failed to solve: dial tcp 192.0.2.1:443: i/o timeout", NetworkError, "i/o timeout"),
    ],
)
def test_the_container_s_exit_code_is_ours(inside, said, kind, message):
    with pytest.raises(kind) as caught:
        compile(inside(code=1, said=said))
    assert message in caught.value.message


def test_a_binary_that_did_not_come_out_is_refused(inside):
    context = inside(binaries=())
    with pytest.raises(Refused, match="arm64: the stage `binaries` has no a"):
        compile(context)
    assert context.run.published is None


def test_what_the_gate_refuses_stays_out_of_dist(inside, monkeypatch):
    monkeypatch.setattr(build, "gate", lambda *_: (["machine: is 62"], ""))
    context = inside()
    with pytest.raises(Refused, match="a: machine: is 62"):
        compile(context)
    assert context.run.published is None


def test_the_dockerfile_is_written_once_and_never_over_another(tmp_path):
    found = here(tmp_path)
    file, ignored = (act.path for act in in_container.write(found))
    assert file.read_text() == spec.dockerfile_text(found) and ignored.read_text().endswith("target\ndist\n")
    in_container.write(found)
    file.write_text("FROM mine\n")
    with pytest.raises(UsageError, match=r"Dockerfile.multiarch is there, and is another one"):
        in_container.write(found)
    assert file.read_text() == "FROM mine\n"


def test_without_docker_the_cure_names_what_needs_none(tmp_path):
    def absent(_):
        raise MissingRequirements("docker: no such program", "run `buildlib doctor`")

    with pytest.raises(MissingRequirements) as caught:
        in_container.inspect(replace(here(tmp_path), run=absent))
    assert "--output" in caught.value.help


def test_there_is_nothing_to_remove(tmp_path):
    with pytest.raises(NothingToDo, match="no builder is called 'multiarch-builder'"):
        in_container.remove(here(tmp_path, {"builders": (0, "")}))
