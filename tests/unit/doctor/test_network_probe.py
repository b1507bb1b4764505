"""The legs from this machine, to a registry that is played; those from the builder are test_network.py's and the real tests'."""

import json
import threading
from dataclasses import replace

import pytest
from machines import Machine, Recorder, context, settings
from upstream import Upstream, digest

from buildlib.doctor import network_probe
from buildlib.core.settings import Retry
from buildlib.doctor.network import HERE, Endpoint
from buildlib.registry.client import Client
from buildlib.process.retry import Budget
from buildlib.machine.workspace import Component

CONFIG = b'{"os": "linux"}'
MANIFEST = json.dumps({"config": {"digest": digest(CONFIG)}, "layers": []}).encode()
INDEX = json.dumps({"manifests": [{"digest": digest(MANIFEST)}]}).encode()


@pytest.fixture
def upstream():
    with Upstream() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        server.blobs = {"12": INDEX, digest(MANIFEST): MANIFEST, digest(CONFIG): CONFIG}
        yield server
        server.shutdown()


def legs(upstream, tag="12", **more):
    client = Client(
        Budget(Retry(attempts=1, delay=0.0, max_delay=0.0, total=0.0)),
        lambda _: None,
        lambda *_: None,
        mirrors={},
        login=lambda _: None,
    )
    goal = Endpoint(host=upstream.address, repository="library/debian", tag=tag, **more)
    found = network_probe._Found()
    told = list(network_probe._from_here(client, goal, found))
    assert all(leg.where == HERE and leg.host == upstream.address and leg.seconds >= 0 for leg in told)
    return [(leg.name, leg.failure.kind if leg.failure else leg.note) for leg in told], found


def test_all_the_way_to_a_small_blob(upstream):
    told, found = legs(upstream)
    assert told == [
        ("dns", "127.0.0.1"), ("tcp", ""), ("answer", ""), ("token", f"{upstream.address}, anonymous"), ("manifest", ""),
        ("blob", f"{len(CONFIG)} bytes from 127.0.0.1"),
    ]  # fmt: skip
    assert abs(found.skew) < 5 and found.left is None


def test_the_way_ends_where_it_breaks(upstream):
    upstream.faults["/token"] = [(503, b"")]
    assert legs(upstream)[0][2:] == [("answer", ""), ("token", "transient-network")]
    assert upstream.asked["GET /token"] == 1
    upstream.faults["/manifests/"] = [(429, b"", {"ratelimit-remaining": "0;w=21600"})]
    assert legs(upstream)[0][-1] == ("manifest", "rate-limited")
    upstream.faults["/token"] = [(401, b"")]
    assert legs(upstream)[0][-1] == ("token", "auth")


def test_a_repository_that_nobody_has_pushed_to_is_no_failure(upstream):
    assert legs(upstream, tag="none", writes=True)[0][-1] == ("manifest", "nothing is there yet")
    assert legs(upstream, tag="none")[0][-1] == ("manifest", "not-found")


def test_nobody_listens(upstream):
    upstream.shutdown()
    upstream.server_close()
    assert legs(upstream)[0] == [("dns", "127.0.0.1"), ("tcp", "transient-network")]


def test_what_is_left_of_a_limit_and_the_clock_are_seen():
    found = network_probe._Found()
    found.read({"Date": "Mon, 01 Jan 2024 00:00:00 GMT", "ratelimit-remaining": "7;w=21600"})
    assert found.left == 7 and found.skew > 86400
    found.read({"Date": "nonsense"})
    assert found.left == 7


def test_registries_and_mirrors_in_use(tmp_path):
    builder = {**settings().builder, "mirrors": {"docker.io": ["mirror.acme.test"]}}
    made = context(Machine(), Recorder(), root=tmp_path, registry="ghcr.io/acme", builder=builder)
    component = Component(name="A", package="A", version="1.2.3", repository="", license="", description="")
    made = replace(made, workspace=replace(made.workspace, components=(component,)))
    assert network_probe.endpoints(made) == (
        Endpoint(host="mirror.acme.test", repository="library/debian", tag="trixie-slim"),
        Endpoint(host="registry-1.docker.io", repository="library/debian", tag="trixie-slim"),
        Endpoint(host="ghcr.io", repository="acme/a", tag="1.2.3", writes=True),
    )
