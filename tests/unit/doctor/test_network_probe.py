"""The steps from this machine, to a registry in this process; those from the builder are in test_network.py and the real tests."""

import json
from dataclasses import replace

import machines
import pytest
from machines import Machine, Recorder, context
from upstream import Upstream, digest

from buildlib.core.settings import Retry
from buildlib.doctor import network_probe
from buildlib.doctor.network import THIS_MACHINE, Endpoint
from buildlib.machine.workspace import Component
from buildlib.process.retry import Budget
from buildlib.registry.client import Client

CONFIG = b'{"os": "linux"}'
MANIFEST = json.dumps({"config": {"digest": digest(CONFIG)}, "layers": []}).encode()
INDEX = json.dumps({"manifests": [{"digest": digest(MANIFEST)}]}).encode()


@pytest.fixture
def upstream():
    with Upstream() as server:
        server.blobs = {"12": INDEX, digest(MANIFEST): MANIFEST, digest(CONFIG): CONFIG}
        yield server


def take_steps(upstream, tag="12", **more):
    """(name, class of the failure or note) of each step, and the observations."""
    client = Client(
        Budget(Retry(attempts=1, delay=0.0, max_delay=0.0, total=0.0)),
        lambda _: None,
        lambda *_: None,
        mirrors={},
        login=lambda _: None,
    )
    endpoint = Endpoint(host=upstream.address, repository="library/debian", tag=tag, **more)
    observations = network_probe._Observations()
    steps = list(network_probe._from_this_machine(client, endpoint, observations))
    assert {(step.where, step.host) for step in steps} == {(THIS_MACHINE, upstream.address)}
    assert all(step.seconds >= 0 for step in steps)
    return [(step.name, step.failure.kind if step.failure else step.note) for step in steps], observations


def test_all_steps_to_a_small_blob(upstream):
    steps, observations = take_steps(upstream)
    assert steps == [
        ("dns", "127.0.0.1"), ("tcp", ""), ("answer", ""), ("token", f"{upstream.address}, anonymous"), ("manifest", ""),
        ("blob", f"{len(CONFIG)} bytes from 127.0.0.1"),
    ]  # fmt: skip
    assert abs(observations.skew) < 60 and observations.left is None


def test_the_first_failure_ends_the_steps(upstream):
    upstream.faults["/token"] = [(503, b"")]
    assert take_steps(upstream)[0][2:] == [("answer", ""), ("token", "transient-network")]
    assert upstream.asked["GET /token"] == 1
    upstream.faults["/manifests/"] = [(429, b"", {"ratelimit-remaining": "0;w=21600"})]
    assert take_steps(upstream)[0][-1] == ("manifest", "rate-limited")
    upstream.faults["/token"] = [(401, b"")]
    assert take_steps(upstream)[0][-1] == ("token", "auth")


@pytest.mark.parametrize("part", [digest(MANIFEST), digest(CONFIG)], ids=["manifest", "configuration"])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ((404, b"{}"), "not-found"), ((403, b"<html>"), "auth"), ((400, b""), "unknown"), ((200, b"<html>a proxy's page"), "unknown"),
        ((503, b""), "transient-network"),
    ],
    ids=["not found", "denied", "refused", "another content", "unavailable"],
)  # fmt: skip
def test_a_blob_that_is_not_returned_is_a_failure(upstream, part, fault, kind):
    upstream.faults[part] = [fault]
    assert take_steps(upstream)[0][-2:] == [("manifest", ""), ("blob", kind)]


def test_an_endless_blob_is_a_failure(upstream):
    config = b" " * ((4 << 20) + 1)
    manifest = json.dumps({"config": {"digest": digest(config)}}).encode()
    upstream.blobs = {"12": manifest, digest(config): config}
    assert take_steps(upstream)[0][-1] == ("blob", "unknown")


ODD = [b"", b"[]", b"null", b'{"manifests": 3}', b'{"manifests": [3]}', b'{"manifests": [{"digest": "/../x"}]}', b'{"config": "x"}',
       b'{"config": {"digest": 3}}', b"\xff", b"[" * 100_000]  # fmt: skip


@pytest.mark.parametrize("data", ODD, ids=lambda data: repr(data[:40]))
def test_a_manifest_of_any_content_is_no_error_of_ours(upstream, data):
    upstream.blobs["12"] = data
    assert take_steps(upstream)[0][-1] == ("manifest", "")
    upstream.blobs |= {"12": json.dumps({"manifests": [{"digest": digest(data)}]}).encode(), digest(data): data}
    assert take_steps(upstream)[0][-1] == ("blob", "not-found")


def test_an_empty_repository_that_will_be_pushed_to_is_not_a_failure(upstream):
    assert take_steps(upstream, tag="none", writes=True)[0][-1] == ("manifest", "nothing has been pushed yet")
    assert take_steps(upstream, tag="none")[0][-1] == ("manifest", "not-found")


def test_a_host_that_does_not_listen_fails_at_tcp(upstream):
    upstream.shutdown()
    upstream.server_close()
    assert take_steps(upstream)[0] == [("dns", "127.0.0.1"), ("tcp", "transient-network")]


def test_headers_show_the_clock_and_the_rate_limit():
    observations = network_probe._Observations()
    observations.read({"Date": "Mon, 01 Jan 2024 00:00:00 GMT", "ratelimit-remaining": "7;w=21600"})
    assert observations.left == 7 and observations.skew > 86400
    observations.read({"Date": "nonsense"})
    assert observations.left == 7


def workspace_context(tmp_path, **flags):
    component = Component(name="A", package="A", version="1.2.3", repository="", license="", description="")
    plain = context(Machine(), Recorder(), root=tmp_path, **flags)
    return replace(plain, workspace=machines.workspace(component, root=plain.workspace.root))


def test_endpoints_are_the_registries_and_mirrors_in_use(tmp_path):
    builder = {"mirrors": {"docker.io": ["mirror.acme.test"]}}
    assert network_probe.endpoints(workspace_context(tmp_path, registry="ghcr.io/acme", builder=builder)) == (
        Endpoint(host="mirror.acme.test", repository="library/debian", tag="trixie-slim"),
        Endpoint(host="registry-1.docker.io", repository="library/debian", tag="trixie-slim"),
        Endpoint(host="ghcr.io", repository="acme/a", tag="1.2.3", writes=True),
    )


def test_endpoint_of_a_base_image_with_a_digest(tmp_path):
    digest_ = "sha256:" + "0" * 64
    components = {"A": {"base": f"quay.io/acme/base:1@{digest_}"}}
    assert network_probe.endpoints(workspace_context(tmp_path, components=components)) == (
        Endpoint(host="quay.io", repository="acme/base", tag=digest_),
    )
