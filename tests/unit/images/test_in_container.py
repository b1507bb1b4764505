import json
from dataclasses import replace
from pathlib import Path

import pytest
from fake_registry import values_of
from image_workspace import entry, workspace
from machines import Machine, settings

import buildlib
from buildlib.binaries.start import Started
from buildlib.core.errors import BuildError, CompileFailed, NetworkError, Refused, UsageError
from buildlib.core.plan import AtomicUpdate, Outcome, Write
from buildlib.core.targets import TARGETS
from buildlib.elf import Mismatch
from buildlib.images import in_container
from buildlib.images.in_container import ContainerOptions

ARM64 = TARGETS["arm64"]


class Container:
    """Stands for the runner: buildx exports `binaries`, of which only `files` exist, and a manifest."""

    def __init__(self, context, binaries, files, code, output):
        self.console, self.dry, self.locked = context.run.console, False, context.run.locked
        self.binaries, self.files, self.code, self.output = binaries, files, code, output
        self.record, self.steps, self.published = context.run, [], None

    def __call__(self, action):
        if isinstance(action, Write):
            return self.record(action)
        if isinstance(action, AtomicUpdate):
            self.published = action
            return Outcome(step=action, code=0, seconds=0)
        if action.title == "docker info":
            return Outcome(step=action, code=1, seconds=0)
        self.steps.append(action)
        folder = Path(values_of(action.argv, "--output")[0].split("dest=")[1])
        (folder / "arm64").mkdir(parents=True)
        for name in self.files:
            (folder / "arm64" / name).write_bytes(b"elf")
        entries = [entry("arm64", name, "?", "2.31") for name in self.binaries]
        (folder / "manifest.json").write_text(json.dumps({"schema": 1, "binaries": entries}))
        return Outcome(step=action, code=self.code, seconds=0, output=self.output)


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """A function that returns a context whose runner is a Container. The gate accepts its binaries."""
    context = workspace(tmp_path)

    class Facts:
        size, sha256 = 3, "5a"

    monkeypatch.setattr(in_container.elf, "read", lambda _: Facts)
    monkeypatch.setattr(in_container.gate, "check", lambda *_: ([], Started("--version", "cortex-a53")))

    def create(binaries=("a",), *, exported=None, code=0, output="", env=None, files=(), **flags):
        host = Machine(env=env or {}, files=files, cache=tmp_path / "cache")
        run = Container(context, binaries, binaries if exported is None else exported, code, output)
        return replace(context, host=host, config=settings(**flags), run=run)

    return create


def compile_in_container(context, **options):
    in_container.compile_in_container(context, (ARM64,), "abcdef", 7, ContainerOptions(**options))


def test_binaries_from_the_container_are_gated_again_and_published(prepare):
    context = prepare()
    compile_in_container(context)
    (step,) = context.run.steps
    assert step.argv[:10] == (
        "docker", "buildx", "build", "--builder", "multiarch-builder", "--platform", "linux/arm64", "--file",
        step.argv[8], "--target",
    )  # fmt: skip
    assert (step.argv[10], step.argv[-1], step.held) == ("binaries", str(context.workspace.root), False)
    assert values_of(step.argv, "--build-arg") == [
        "COMPONENT=p/a", "SOURCE_COMMIT=abcdef", f"WORKSPACE={in_container._digest(context.workspace.root)}",
        "BUILDLIB_PROFILE=release", "LIBC=",
    ]  # fmt: skip
    assert values_of(step.argv, "--build-context") == [f"buildlib={Path(buildlib.__file__).parent}"]
    assert not {"--network", "--cache-from", "--no-cache", "--secret"} & set(step.argv)
    manifest, _ = context.run.published.writes
    (published,) = [entry for entry in json.loads(manifest.text)["binaries"] if entry["path"] == "arm64/a"]
    assert published == {**entry("arm64", "a", "5a", "2.31"), "started": "--version", "cpu": "cortex-a53"}


def test_options_and_settings_become_flags(prepare):
    context = prepare(
        profile="small", glibc="2.17", features=["x", "y"], builder={"cache": "/c"}, files=("/etc/pip.conf", "/ca.pem"),
        env={"SSL_CERT_FILE": "/ca.pem"},
    )  # fmt: skip
    compile_in_container(context, network="host", fresh=True)
    argv = context.run.steps[0].argv
    assert values_of(argv, "--build-arg")[3:6] == [
        "BUILDLIB_PROFILE=small",
        "BUILDLIB_GLIBC=2.17",
        "BUILDLIB_FEATURES=x,y",
    ]
    assert values_of(argv, "--secret") == ["id=certificates,src=/ca.pem", "id=pip,src=/etc/pip.conf"]
    assert (values_of(argv, "--network"), values_of(argv, "--allow")) == (["host"], ["network.host"])
    assert "--no-cache" in argv
    assert values_of(argv, "--cache-from") == ["type=local,src=/c/arm64"]
    assert values_of(argv, "--cache-to") == ["type=local,dest=/c/arm64,mode=max"]


def test_a_cache_in_the_registry_has_a_tag_per_arch(prepare):
    context = prepare(registry="r.test/acme", builder={"cache": "registry"})
    compile_in_container(context)
    argv = context.run.steps[0].argv
    assert values_of(argv, "--cache-from") == ["type=registry,ref=r.test/acme/buildcache:arm64"]
    assert values_of(argv, "--cache-to") == ["type=registry,ref=r.test/acme/buildcache:arm64,mode=max"]
    with pytest.raises(UsageError, match="no registry"):
        compile_in_container(prepare(builder={"cache": "registry"}))


@pytest.mark.parametrize(
    ("output", "kind", "message"),
    [
        (
            "ERROR: failed to solve: process did not complete successfully: exit code: 101",
            CompileFailed,
            "arm64: the compilation in the container exited with code 101",
        ),
        (
            "ERROR: failed to solve: process did not complete successfully: exit code: 6",
            Refused,
            "arm64: the compilation in the container exited with code 6",
        ),
        (
            "ERROR: failed to solve: process did not complete successfully: exit code: 1",
            BuildError,
            "compile arm64: failed to solve: process did not complete successfully: exit code: 1",
        ),
        (
            "ERROR: failed to solve: dial tcp 192.0.2.1:443: i/o timeout",
            NetworkError,
            "compile arm64: failed to solve: dial tcp 192.0.2.1:443: i/o timeout",
        ),
    ],
)
def test_the_exit_code_in_the_container_is_passed_on(prepare, output, kind, message):
    with pytest.raises(BuildError) as caught:
        compile_in_container(prepare(code=1, output=output))
    assert type(caught.value) is kind
    assert caught.value.message == message


@pytest.mark.parametrize(("binaries", "exported"), [((), ()), (("a",), ()), (("b",), ("b",))])
def test_a_missing_binary_is_refused(prepare, binaries, exported):
    context = prepare(binaries, exported=exported)
    with pytest.raises(Refused) as caught:
        compile_in_container(context)
    assert caught.value.message == "arm64: the stage `binaries` has no a"
    assert context.run.published is None


def test_a_binary_that_the_gate_refuses_is_not_published(prepare, monkeypatch):
    mismatch = Mismatch("machine", "62", "183")
    monkeypatch.setattr(in_container.gate, "check", lambda *_: ([mismatch], Started()))
    context = prepare()
    with pytest.raises(Refused) as caught:
        compile_in_container(context)
    assert caught.value.message == "arm64: the gate refused\n  a: machine: 62, expected 183"
    assert context.run.published is None
