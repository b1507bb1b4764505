"""Images of a layout, loaded into a fake daemon; tests/real/test_smoke_layout.py loads them into a real one."""

import io
import json
import tarfile
from dataclasses import replace

import pytest
from docker.errors import APIError
from fake_daemon import Clock, FakeContainer, Loading, Store, daemon
from hypothesis import given
from hypothesis import strategies as st
from layered_image import layered_image
from machines import AMD64, ARM64, Machine, Recorder, context

from buildlib.assembly import oci
from buildlib.core.cases import FAILED, PASSED, Suite
from buildlib.core.errors import BuildError, Interrupted, MissingRequirements
from buildlib.core.plan import OciLayout
from buildlib.core.targets import TARGETS
from buildlib.emulation.exit_stub import exit_program
from buildlib.machine.host import Handler
from buildlib.process.files import blob_files, layout
from buildlib.smoke import archive, checks, containers, probe, trial
from buildlib.smoke.expectation import Expectation
from buildlib.smoke.layout import run_layout
from buildlib.smoke.load import image_archive, loaded

EXPECTED = Expectation(name="redis")
NOT_EXECUTED = FakeContainer("exec /a: exec format error", code=1, running=False)


@pytest.fixture
def image(tmp_path):
    """A layout with images for two platforms."""
    layers = {target.oci: b"".join(archive.tar({"a": target.name.encode()})) for target in (AMD64, ARM64)}
    made = layered_image(layers, oci.Runtime(entrypoint=("/a",)))
    layout(OciLayout(folder=tmp_path / "layout", blobs=made.blobs, index=oci.layout_index(made, ["1"])))
    return made


def digest_of(image, target):
    entries = json.loads(image.index)["manifests"]
    return next(entry["digest"] for entry in entries if entry["platform"]["architecture"] == target.name)


def config_of(image, target):
    return json.loads(image.blobs[digest_of(image, target)])["config"]["digest"]


@pytest.fixture
def checked(tmp_path, image, monkeypatch):
    """Check the image for arm64 with a client of the SDK."""
    clock = Clock()
    for module in (checks, trial):
        monkeypatch.setattr(module, "time", clock)

    def checked(client, machine=None):
        monkeypatch.setattr(containers.docker_daemon, "client", lambda env, timeout: client)
        recorder = Recorder()
        recorder.env = {}
        made = context(machine or Machine(), recorder, root=tmp_path)
        return run_layout(made, tmp_path / "layout", {ARM64: digest_of(image, ARM64)}, EXPECTED)

    return checked


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


@pytest.mark.parametrize("store", ["classic", "containerd"])
def test_an_image_is_loaded_under_a_temporary_name_and_removed(checked, image, store):
    id_ = config_of(image, ARM64) if store == "classic" else digest_of(image, ARM64)
    client = Loading(id=id_)
    suites = checked(client)
    assert {target: [case.name for case in suite.cases] for target, suite in suites.items()} == {
        ARM64: ["platform", "machine", "started"]
    }
    assert suites[ARM64].count(PASSED) == 3 and client.closed
    (data,) = client.archives
    files = members(data)
    (item,) = json.loads(files["manifest.json"])
    (name,) = item["RepoTags"]
    assert client.removed == [name] and name.startswith("localhost/buildlib-smoke:") and name.endswith("-arm64")
    assert item["Config"] == archive.blob_name(config_of(image, ARM64))
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry == {
        "mediaType": oci.MANIFEST, "digest": digest_of(image, ARM64), "size": len(image.blobs[digest_of(image, ARM64)]),
        "annotations": {archive.IMAGE_NAME: name, archive.REF_NAME: name.rpartition(":")[2]},
    }  # fmt: skip
    # Only the blobs of this platform, unchanged.
    blobs = {name: content for name, content in files.items() if name.startswith("blobs/")}
    manifest = json.loads(image.blobs[digest_of(image, ARM64)])
    digests = [digest_of(image, ARM64), manifest["config"]["digest"], manifest["layers"][0]["digest"]]
    assert blobs == {archive.blob_name(digest): image.blobs[digest] for digest in digests}
    assert set(files) == {*blobs, "manifest.json", "index.json", "oci-layout"}


def test_an_image_that_the_daemon_has_without_a_name_is_used_as_it_is(checked, image):
    client = Loading(nameless=[config_of(image, ARM64)])
    assert checked(client)[ARM64].count(PASSED) == 3
    assert (client.archives, client.removed) == ([], [])


@pytest.mark.parametrize(
    ("client", "detail"),
    [
        (lambda config: Loading(answers=[{"errorDetail": {"message": "no space left"}}]), "no space left"),
        (lambda config: Loading(id="sha256:other"), "the Docker daemon has loaded sha256:other, expected {config} or {digest}"),
    ],
    ids=["error", "another image"],
)  # fmt: skip
def test_an_image_that_is_not_loaded_is_a_failed_case(checked, image, client, detail):
    made = client(config_of(image, ARM64))
    (case,) = checked(made)[ARM64].cases
    expected = detail.format(config=config_of(image, ARM64), digest=digest_of(image, ARM64))
    assert (case.name, case.result, case.detail) == ("load", FAILED, expected)
    assert len(made.removed) == 1  # what may have been loaded


def test_a_blob_that_is_missing_is_a_failed_case(checked, image, tmp_path):
    files = blob_files(tmp_path / "layout")
    for digest in (config_of(image, ARM64), digest_of(image, ARM64)):
        files[digest].unlink()
        (case,) = checked(Loading())[ARM64].cases
        assert (case.name, case.result, case.detail) == ("load", FAILED, f"the image layout has no blob {digest}")


def test_an_index_is_not_one_image(image):
    with pytest.raises(BuildError) as caught, loaded(daemon(Loading()), image.blobs, image.digest, ARM64):
        pass
    assert caught.value.message == f"{image.digest} is an index of images, expected the manifest of one image"


def test_an_interrupted_command_sends_nothing_more(image):
    client = Loading()
    digest = digest_of(image, ARM64)
    with pytest.raises(Interrupted), loaded(daemon(client, lambda: True), image.blobs, digest, ARM64):
        pass
    assert client.archives == [] and len(client.removed) == 1


# --- platforms that the daemon cannot run -----------------------------------------------------------------------------------


class Emulating(Loading):
    """A daemon for which the image of the checks is broken; the container of the probe is `probed`."""

    def __init__(self, probed, **more):
        super().__init__(containers={"": NOT_EXECUTED}, **more)
        self.probed = probed

    def load_image(self, parts):
        super().load_image(parts)
        (item,) = json.loads(members(self.archives[-1])["manifest.json"])
        self.id = f"sha256:{item['Config'].rpartition('/')[2]}"
        return iter(())

    def create(self, image, words, **options):
        self.started.append((image, words, options))
        is_probe = len(self.archives) > 1
        return self.probed if is_probe else self.by_words[options.get("entrypoint") or "".join(words)]


def test_a_wrong_program_is_the_fault_of_the_image_where_another_one_runs(checked):
    client = Emulating(FakeContainer("", code=0))
    case = checked(client)[ARM64].cases[-1]
    assert (case.name, case.result, case.detail) == (
        "started",
        FAILED,
        "exited with code 1: exec /a: exec format error",
    )
    assert len(client.archives) == len(client.removed) == 2
    config = next(data for name, data in members(client.archives[1]).items() if b'"Entrypoint"' in data)
    assert json.loads(config)["architecture"] == "arm64"
    layer = next(data for name, data in members(client.archives[1]).items() if data[:2] == b"\x1f\x8b")
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        (member,) = tar.getmembers()
        assert (member.name, member.mode, tar.extractfile(member).read()) == ("exit", 0o755, exit_program("aarch64"))


class WithHandlers(Machine):
    """A machine with these handlers of binfmt_misc, None where it is not mounted."""

    handlers = None

    def __init__(self, handlers):
        super().__init__()
        self.handlers = handlers


@pytest.mark.parametrize(
    "probed",
    [
        FakeContainer("", code=1),
        FakeContainer(start_error=APIError("400", explanation="exec /exit: exec format error")),
    ],
    ids=["exit code", "error"],
)
def test_a_platform_without_emulation(checked, probed):
    with pytest.raises(MissingRequirements) as caught:
        checked(Emulating(probed), WithHandlers(None))
    assert caught.value.message == "the Docker daemon cannot run programs for linux/arm64: exec format error"
    assert caught.value.help == "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc"
    handler = Handler(name="qemu-aarch64", interpreter="/usr/bin/qemu-aarch64-static", flags="PF", enabled=True)
    ready = WithHandlers({"qemu-aarch64": handler})
    with pytest.raises(MissingRequirements) as caught:
        checked(Emulating(probed), ready)
    assert caught.value.help.startswith("on the machine of the daemon: apt-get install ")


def test_a_daemon_that_starts_nothing_has_another_problem(checked):
    probed = FakeContainer(start_error=APIError("500", explanation="no space left on device"))
    assert checked(Emulating(probed))[ARM64].cases[-1].name == "started"


def test_every_platform_has_a_program_to_probe_with():
    assert [target.name for target in TARGETS.values() if not exit_program(target.qemu)] == []


def test_suspicious_are_only_failed_checks():
    suite = Suite(name="a", cases=())
    assert not probe.is_suspicious(suite)
    detail = "exited with code 126: /bin/sh: 1: a: Exec format error"
    case = {"name": "started", "detail": detail}
    from buildlib.core.cases import Case

    assert probe.is_suspicious(replace(suite, cases=(Case(result=FAILED, **case),)))
    assert not probe.is_suspicious(replace(suite, cases=(Case(result=PASSED, **case),)))


# --- archives ----------------------------------------------------------------------------------------------------------


@given(
    st.dictionaries(st.text("abc/", min_size=1, max_size=120).map(lambda text: f"x{text}y"), st.binary(max_size=2000))
)
def test_an_archive_contains_what_it_was_given(files):
    data = b"".join(archive.tar(files))
    assert len(data) % tarfile.BLOCKSIZE == 0
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert {member.name: tar.extractfile(member).read() for member in tar} == files


def test_files_are_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "CHUNK", 1000)
    path = tmp_path / "blob"
    path.write_bytes(bytes(range(256)) * 10)
    parts = list(archive.tar({"blob": path}))
    assert max(map(len, parts)) == 1024 and members(b"".join(parts)) == {"blob": path.read_bytes()}


def test_a_file_that_becomes_shorter_is_an_error(tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(b"x" * 100)
    parts = archive.tar({"blob": path})
    next(parts)  # the header, with the size
    path.write_bytes(b"x" * 99)
    with pytest.raises(ValueError, match="became shorter while it was read"):
        list(parts)


def test_the_same_layer_twice_is_sent_once(image):
    digest = digest_of(image, ARM64)
    manifest = json.loads(image.blobs[digest])
    manifest["layers"] *= 2
    data = json.dumps(manifest).encode()
    twice = oci.digest(data)
    with tarfile.open(
        fileobj=io.BytesIO(b"".join(image_archive({**image.blobs, twice: data}, twice, "a.test/a:1")))
    ) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names)) == 6


def test_without_a_daemon_the_help_says_what_it_is_for(checked):
    class Silent(Store):
        def ping(self):
            raise APIError("gone")

    with pytest.raises(MissingRequirements) as caught:
        checked(Silent())
    assert caught.value.help == "start Docker; images are started with it before they get their tags"
