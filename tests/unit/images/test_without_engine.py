"""Images that no container engine makes, in an emulated registry."""

import gzip
import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_workspace import EXECUTABLE, GIT, PROGRAMS, ClientRunner, add_binary, static_workspace
from machines import Machine
from upstream import Upstream, digest

from buildlib.assembly import configurations
from buildlib.assembly.oci import Runtime
from buildlib.core.errors import BuildError, Refused, UsageError
from buildlib.core.plan import Status
from buildlib.emulation.exit_stub import exit_program
from buildlib.image_gate.manifests import HELP
from buildlib.image_layers.tar import Attributes
from buildlib.image_layers.writer import NewEntry, layer
from buildlib.images import dockerfile, image, without_engine
from buildlib.images.image import ImageOptions

CONFIG = {"User": "app", "Env": ["PATH=/bin", "A=1"], "Cmd": ["sh"], "Labels": {"b": "1"}, "WorkingDir": "/w"}
PASSWD = NewEntry("etc/passwd", Attributes(0o644), b"root:x:0:0::/:\napp:x:7:8::/:\n")


class Base:
    """A base image in the registry, tagged `os`, for two platforms."""

    def __init__(self, server):
        self.server, self.config, self.entries, self.platforms = server, CONFIG, [PASSWD], ["amd64", "arm64"]
        self.more = {}

    def put(self, data):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.server.blobs[digest(data)] = data
        return {"digest": digest(data), "size": len(data)}

    def publish(self):
        tar = layer([NewEntry("etc", Attributes()), *self.entries])
        facts, entries = self.put(gzip.compress(tar, mtime=0)), []
        for architecture in self.platforms:
            config = {
                "os": "linux",
                "architecture": architecture,
                "config": self.config,
                "rootfs": {"diff_ids": [digest(tar)]},
            }
            manifest = {"config": self.put(config | self.more), "layers": [{"mediaType": "x.tar+gzip", **facts}]}
            entries.append({**self.put(manifest), "platform": {"os": "linux", "architecture": architecture}})
        self.server.blobs["os"] = json.dumps({"manifests": entries}).encode()
        return facts["digest"]


@pytest.fixture
def upstream():
    with Upstream() as server:
        yield server


@pytest.fixture
def base(upstream):
    found = Base(upstream)
    found.publish()
    return found


@pytest.fixture
def project(tmp_path, upstream, base):
    """The context of a workspace whose two binaries exit at once. Only those of this machine's arch can be started."""
    component = {"base": f"{upstream.address}/bases/os:os", "volumes": ["/var/data"], "workdir": "/work"}
    settings = {"engine": "none", "registry": f"{upstream.address}/acme", "components": {"a": component}}
    return static_workspace(tmp_path, **settings)


def push(context, **more):
    return image.push(context, ImageOptions(targets=EXECUTABLE, compile=False, **more))


def writes(upstream):
    """Every request that changed something, in the order of the first of its kind."""
    return [asked for asked in upstream.asked if asked.startswith(("PUT", "POST"))]


def test_an_image_is_checked_then_uploaded_and_tagged_last(project, upstream):
    (result,) = push(project)
    index = upstream.blobs["latest"]
    reason = "linux/arm64: QEMU for arm64-musl is not installed (apt-get install qemu-user-static)"
    assert (result.status, result.digest, result.not_started) == (Status.DONE, digest(index), (reason,))
    assert upstream.blobs["1.2.3"] == index
    manifests = [entry["digest"] for entry in json.loads(index)["manifests"]]
    puts = [asked.rpartition("/manifests/")[2] for asked in writes(upstream) if "/manifests/" in asked]
    assert (sorted(puts[:2]), puts[2:]) == (sorted(manifests), [digest(index), "1.2.3", "latest"])
    assert [asked.partition(" ")[2].rpartition("/")[2] for asked in list(upstream.asked)[-2:]] == ["1.2.3", "latest"]
    assert [step for step in project.run.asked if "--version" in step] == [
        step for step in project.run.asked if step.endswith("/usr/bin/a --version")
    ]
    assert len([step for step in project.run.asked if "--version" in step]) == 1  # of the arch of this machine

    # What was not started is not taken for checked.
    (again,) = push(project)
    assert (again.status, again.digest, again.not_started) == (Status.UNCHANGED, result.digest, (reason,))


def test_an_image_that_was_checked_and_started_is_not_made_again(project, upstream):
    options = ImageOptions(targets=EXECUTABLE[:1], compile=False)
    (result,) = image.push(project, options)
    upstream.asked.clear()
    started = len(project.run.asked)
    (again,) = image.push(project, options)
    assert (again.status, again.digest, writes(upstream)) == (Status.UNCHANGED, result.digest, [])
    assert len(project.run.asked) == started + 1  # the commit
    (other,) = image.push(project, replace(options, tags=("latest", "new")))
    puts = [asked.rpartition("/")[2] for asked in writes(upstream)]
    assert (other.status, other.digest, puts) == (Status.DONE, result.digest, ["new"])
    (forced,) = image.push(project, replace(options, force=True))
    assert (forced.status, forced.digest) == (Status.UNCHANGED, result.digest)


def test_the_configuration_says_what_the_stage_and_the_base_image_say(project, upstream, base):
    push(project)
    entry = json.loads(upstream.blobs["latest"])["manifests"][0]
    manifest = json.loads(upstream.blobs[entry["digest"]])
    config = json.loads(upstream.blobs[manifest["config"]["digest"]])
    labels = {name: value for name, value in config["config"].pop("Labels").items() if "created" not in name}
    assert labels["b"] == "1" and labels["org.opencontainers.image.revision"] == "abc"
    assert config["config"] == {
        "User": "65532:65532", "Env": ["PATH=/bin", "A=1"], "Entrypoint": ["/usr/bin/a"], "Volumes": {"/var/data": {}},
        "WorkingDir": "/work",
    }  # fmt: skip
    lines = [line.get("created_by", line["comment"]) for line in config["history"] if not line.get("empty_layer")]
    assert lines == [
        "layer of the base image", "COPY --chmod=0755 amd64-musl/a /usr/bin/a # buildkit",
        "COPY --chown=65532:65532 / /var/data/ # buildkit", "WORKDIR /work",
    ]  # fmt: skip
    tars = [gzip.decompress(upstream.blobs[one["digest"]]) for one in manifest["layers"]]
    assert [digest(tar) for tar in tars] == config["rootfs"]["diff_ids"]
    # The working directory belongs to the user of the base image, as WORKDIR has it.
    assert tars[-1] == layer([NewEntry("work", Attributes(0o755, 7, 8, 1_700_000_000))])


def test_each_request_is_tried_again(project, upstream):
    upstream.faults |= {
        part: ["reset", (503, b"", {})] for part in ("/bases/os", "/uploads/", "/manifests/latest", "/token")
    }
    upstream.faults["/blobs/sha256"] = ["cut", (429, b"", {"Retry-After": "0"})]
    (result,) = push(project)
    assert (result.status, len(project.run.failures) > 6) == (Status.DONE, True)


def refused(context, kind=Refused):
    """The error of a push, which has uploaded nothing."""
    (result,) = push(context)
    assert isinstance(result.error, kind), result
    return result.error


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (lambda base: base.config.update(OnBuild=["RUN x"]), BuildError, "its ONBUILD instructions need a container engine"),
        (lambda base: base.config.update(Env="x"), BuildError, "invalid configuration: Expected `array | null`, got `str`"),
        (lambda base: base.config.update(User="who"), Refused, "the base image's user 'who' is not in its /etc/passwd"),
        (lambda base: base.more.update(rootfs={"diff_ids": []}), BuildError, "invalid configuration: 0 layers, expected 1"),
        (lambda base: base.platforms.remove("arm64"), Refused, "no image for linux/arm64; it is for linux/amd64"),
        (lambda base: base.entries.append(NewEntry("usr", Attributes(), b"")), Refused, "/usr is a file in the base image"),
        (lambda base: base.entries.append(NewEntry("lib/x", Attributes(), exit_program("riscv64"))), Refused, "/lib/x: architecture"),
    ],
    ids=["onbuild", "type", "user", "layers", "platform", "place", "foreign"],
)  # fmt: skip
def test_a_base_image_that_cannot_be_used_is_an_error(project, upstream, base, damage, kind, message):
    base.config = dict(CONFIG)
    damage(base)
    base.publish()
    upstream.asked.clear()
    assert message in refused(project, kind).message
    assert writes(upstream) == []


def test_a_base_image_that_is_something_else_than_its_digest_is_refused(project, upstream, base):
    """A manifest, the configuration and the layer in turn are replaced by the registry."""
    for name, data in list(upstream.blobs.items()):
        if name != "os":
            upstream.blobs[name] = data + b" "
            assert "expected" in refused(project).message
            upstream.blobs[name] = data
    assert writes(upstream) == []
    (result,) = push(project)  # nothing wrong was kept
    assert result.status is Status.DONE


def test_a_layer_in_the_cache_is_verified_and_not_downloaded_again(project, upstream, base, tmp_path):
    name = base.publish()
    push(project)
    (file,) = (tmp_path / "cache" / "layers" / "sha256").iterdir()
    assert f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" == name
    upstream.asked.clear()
    add_binary(tmp_path / "dist", "amd64-musl", "a", PROGRAMS["amd64-musl"] + b"changed")
    assert [one.status for one in push(project)] == [Status.DONE]
    assert upstream.asked[f"GET /v2/bases/os/blobs/{name}"] == 0
    file.write_bytes(b"damaged")
    assert [one.error for one in push(project, force=True)] == [None]
    assert upstream.asked[f"GET /v2/bases/os/blobs/{name}"] == 1


def test_a_program_that_does_not_start_moves_no_tag(project, upstream):
    project.run.answers["start /usr/bin/a"] = (139, "Segmentation fault")
    error = refused(project)
    assert error.message == "a: linux/amd64: does not run: crashed when started with --version: Segmentation fault"
    assert writes(upstream) == []


def test_a_registry_that_loses_what_was_uploaded_gets_no_tag(project, upstream):
    """The manifests are answered with something else when they are read back."""
    upstream.faults["/manifests/sha256"] = [None, None, None, None, *[(201, b"", {})] * 2, *[(200, b"{}", {})] * 8]
    assert isinstance(push(project)[0].error, BuildError)
    assert "latest" not in upstream.blobs


def test_check_and_save_make_the_same_image(project, upstream, tmp_path):
    options = ImageOptions(targets=EXECUTABLE, compile=False)
    (saved,) = image.save(project, options, tmp_path / "out")
    assert (saved.status, writes(upstream)) == (Status.DONE, [])
    blobs = {f"sha256:{path.name}": path for path in (tmp_path / "out" / "a" / "blobs" / "sha256").iterdir()}
    assert all(digest(path.read_bytes()) == name for name, path in blobs.items())
    (again,) = image.save(project, options, tmp_path / "out")
    assert (again.status, again.digest, again.not_started) == (Status.UNCHANGED, saved.digest, saved.not_started)
    (pushed,) = push(project)
    assert pushed.digest == saved.digest
    (checked,) = image.check(project, options)
    assert (checked.status, checked.layers) == (Status.DONE, pushed.layers)


def test_a_part_is_pushed_by_digest_and_not_tagged(project, upstream):
    """The parts have the images that the whole would have."""
    parts = []
    for target in EXECUTABLE:
        (result,) = image.push(project, ImageOptions(targets=(target,), compile=False, is_part=True))
        assert (result.status, result.tags, result.part.digests) == (Status.DONE, (), (result.digest,))
        index = json.loads(upstream.blobs[result.digest])
        assert [one["digest"] for one in index["manifests"]] == list(result.images.values())
        parts.append((list(result.images), index["manifests"], list(result.part.recipe.inputs)))
    assert not {"1.2.3", "latest"} & set(upstream.blobs)
    # That of the arch which cannot be started here does not count as checked.
    assert [(platforms, inputs) for platforms, _, inputs in parts] == [
        (["linux/amd64"], ["linux/amd64"]), (["linux/arm64"], []),
    ]  # fmt: skip
    push(project)
    whole = json.loads(upstream.blobs["latest"])
    assert whole["manifests"] == [entry for _, entries, _ in parts for entry in entries]


def test_what_needs_an_engine_is_named(project, tmp_path):
    def message(context=project, *, flag="", **more):
        with pytest.raises(UsageError) as caught:
            without_engine.is_chosen(context, ImageOptions(targets=EXECUTABLE, **more), flag)
        return caught.value.message

    end = " a container engine, and the setting `engine` is none"
    assert message(flag="--load") == f"--load needs{end}"
    assert message(images=("web", "db")) == f"images of Dockerfiles (web, db) need{end}"
    (tmp_path / dockerfile.NAME).write_text("FROM scratch\n")
    assert message(flag="--load") == f"the workspace's own Dockerfile.multiarch and --load need{end}"


@pytest.mark.parametrize(
    ("tools", "answers", "chosen"),
    [((), {}, True), (("docker",), {"docker": (0, "1")}, False), (("docker",), {"docker": (1, "")}, True)],
    ids=["no docker", "answers", "does not answer"],
)
def test_auto_asks_docker(project, tools, answers, chosen):
    run = ClientRunner({**GIT, **answers})
    context = replace(project, run=run, host=Machine(tools=tools), config=replace_engine(project.config, "auto"))
    options = ImageOptions(targets=EXECUTABLE)
    assert without_engine.is_chosen(context, options) == chosen
    assert not without_engine.is_chosen(context, options, "--load")  # the error is that of Docker's commands
    assert without_engine.is_chosen(replace(context, config=replace_engine(project.config, "none")), options)


def replace_engine(config, engine):
    import msgspec

    return msgspec.structs.replace(config, engine=engine)


# --- configurations -----------------------------------------------------------------------------------------------------

json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["config", "history", "rootfs", "diff_ids", "Env", "User", "Labels", "created_by", "os"]), inner, max_size=4
    ),
    max_leaves=12,
)  # fmt: skip


def test_the_configuration_describes_the_container():
    runtime = Runtime(
        entrypoint=("/usr/bin/a",), command=("--x", "y z"), user="7:8", workdir="/srv", ports=(80,),
        health=("a", "--health"), env={"B": "2", "A": "1"}, volumes=("/var/lib/a",), labels={"org.opencontainers.image.title": "a"},
    )  # fmt: skip
    steps = [("COPY a", "sha256:0"), ("USER 7:8", "")]
    made = configurations.configuration(configurations.SCRATCH, "linux/arm/v7", runtime, 86_400, steps)
    line = {"created": "1970-01-02T00:00:00Z", "comment": "buildkit.dockerfile.v0"}
    assert json.loads(made) == {
        "created": "1970-01-02T00:00:00Z", "os": "linux", "architecture": "arm", "variant": "v7",
        "config": {
            "User": "7:8", "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1", "B=2"],
            "Entrypoint": ["/usr/bin/a"], "Cmd": ["--x", "y z"], "WorkingDir": "/srv", "ArgsEscaped": True,
            "Labels": {"org.opencontainers.image.title": "a"}, "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/var/lib/a": {}},
            "Healthcheck": {
                "Test": ["CMD", "a", "--health"], "Interval": 10 * 10**9, "Timeout": 5 * 10**9, "StartPeriod": 30 * 10**9,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:0"]},
        "history": [line | {"created_by": "COPY a"}, line | {"created_by": "USER 7:8", "empty_layer": True}],
    }  # fmt: skip


@given(json_data, st.integers(0, 2))
def test_any_configuration_of_a_base_image_is_read_or_refused(data, layers):
    text = json.dumps(data).encode()
    try:
        known = configurations.read(text, "base", layers)
    except BuildError as error:
        assert error.message.startswith("base: ")
        assert error.help
        return
    runtime = Runtime(entrypoint=("/a",))
    made = json.loads(configurations.configuration(known, "linux/arm/v7", runtime, 0, [("COPY", digest(b""))]))
    layered = [line for line in made["history"] if not line.get("empty_layer")]
    assert len(made["rootfs"]["diff_ids"]) == len(layered) == layers + 1
    assert (made["architecture"], made["variant"]) == ("arm", "v7")


def test_help_of_a_wrong_configuration():
    with pytest.raises(BuildError) as caught:
        configurations.read(b"[]", "base", 0)
    assert caught.value.help == HELP
