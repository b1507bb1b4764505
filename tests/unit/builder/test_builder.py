import base64
import json
import tomllib
from pathlib import Path

import pytest
from machines import settings

from buildlib.builder import builder
from buildlib.core.errors import BuildError, UsageError
from buildlib.core.plan import Step, Write

MIRRORED = {"mirrors": {"docker.io": ["127.0.0.1:5000", "mirror.acme.test"]}}
NODES = {"nodes": [{"endpoint": "ssh://arm.acme.test", "arches": ["aarch64", "arm64-musl"]}]}


def configured(**options):
    return builder.configured(settings(builder=options))


def listed(driver="docker-container", flags=builder.FLAGS, toml="", **options):
    """A builder as `docker buildx ls` lists it."""
    files = {"buildkitd.toml": base64.b64encode(toml.encode()).decode()} if toml else None
    node = {"Name": "b0", "Flags": list(flags), "DriverOpts": options or None, "Files": files, "Version": "v0.25.1"}
    return {"Name": "b", "Driver": driver, "Nodes": [node]}


def differences(description, expected):
    """What `differences` says of a builder that `docker buildx ls` lists."""
    return builder.differences(builder.find_builder(json.dumps(description), "b"), expected)


def test_default_builder():
    create, boot = builder.create(configured(), Path("/s"))
    assert create.argv == (
        "docker", "buildx", "create", "--name", "multiarch-builder", "--node", "multiarch-builder0", "--driver",
        "docker-container", "--driver-opt", "network=host", "--buildkitd-flags", "--allow-insecure-entitlement network.host",
    )  # fmt: skip
    assert boot.argv == ("docker", "buildx", "inspect", "--bootstrap", "multiarch-builder")
    assert boot.attempts > 1


def test_mirrors_are_written_to_the_configuration():
    mirrored = configured(**MIRRORED)
    assert tomllib.loads(mirrored.configuration) == {
        "registry": {
            "docker.io": {"mirrors": ["127.0.0.1:5000", "mirror.acme.test"]},
            "127.0.0.1:5000": {"http": True},
        }
    }
    file, create, _ = builder.create(mirrored, Path("/s"))
    assert file == Write(path=Path("/s/buildkitd.toml"), text=mirrored.configuration)
    assert isinstance(create, Step)
    assert create.argv[-2:] == ("--config", "/s/buildkitd.toml")


@pytest.mark.parametrize(
    ("host", "is_plain"),
    [
        ("127.0.0.1:5000", True), ("127.0.0.2", True), ("localhost", True), ("localhost:1", True), ("[::1]:5", True),
        ("localhost.test", False), ("1270.test", False), ("127.test:1", False), ("mirror.test:127", False),
    ],
)  # fmt: skip
def test_only_mirrors_on_the_loopback_interface_use_plain_http(host, is_plain):
    registries = tomllib.loads(builder.configuration({"docker.io": (host,)}))["registry"]
    assert registries == {"docker.io": {"mirrors": [host]}, **({host: {"http": True}} if is_plain else {})}


def test_every_node_has_its_own_platforms():
    first, second, _ = builder.create(configured(**NODES), Path("/s"))
    assert second.argv[3:8] == ("--name", "multiarch-builder", "--append", "--node", "multiarch-builder1")
    assert second.argv[-3:] == ("--platform", "linux/arm64", "ssh://arm.acme.test")
    platforms = first.argv[first.argv.index("--platform") + 1].split(",")
    assert "--append" not in first.argv
    assert "linux/arm64" not in platforms
    assert {"linux/amd64", "linux/arm/v7", "linux/riscv64"} <= set(platforms)
    assert len(platforms) == len(set(platforms))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [{"endpoint": "kubernetes:///n", "arches": ["arm64"]}],
            "builder.nodes: a cluster cannot be a node beside this machine",
        ),
        (
            [{"endpoint": f"ssh://{name}", "arches": ["arm64"]} for name in "ab"],
            "builder.nodes: linux/arm64 belongs to two nodes",
        ),
    ],
)
def test_nodes_that_cannot_form_a_builder_are_a_usage_error(nodes, message):
    with pytest.raises(UsageError) as caught:
        configured(nodes=nodes)
    assert caught.value.message == message
    assert caught.value.help


def test_find_builder_among_others():
    answer = '{"Name":"a","Nodes":7}\n\n{"Name":"b","Driver":"docker"}\n{"Name":"b","Driver":"remote"}\nnoise\n{"Name":"c"\n[]\n{}\n'
    assert builder.find_builder(answer, "b") == builder.ExistingBuilder(driver="docker")
    assert builder.find_builder(answer, "c") is None
    assert builder.find_builder("", "b") is None


@pytest.mark.parametrize(
    "description",
    [{"Nodes": {}}, {"Nodes": [5]}, {"Driver": 5}, {"Nodes": [{"DriverOpts": []}]}, {"Nodes": [{"Flags": "x"}]}],
)
def test_a_description_with_wrong_types_is_one_line(description):
    with pytest.raises(BuildError) as caught:
        builder.find_builder(json.dumps({"Name": "b", **description}), "b")
    assert caught.value.message.startswith("builder b: unexpected output of `docker buildx ls`: Expected `")
    assert "\n" not in caught.value.message
    assert caught.value.help == "docker buildx inspect b; or remove it with `docker buildx rm b`"


@pytest.mark.parametrize("nodes", [{}, {"Nodes": None}, {"Nodes": []}, {"Nodes": [{}]}, {"Nodes": [{"Flags": None}]}])
def test_a_description_without_keys_differs(nodes):
    assert differences({"Name": "b", **nodes}, configured()) == (
        "driver: none, expected docker-container",
        "flags: none, expected --allow-insecure-entitlement network.host",
        "network: none, expected host",
    )


def test_a_builder_as_configured_does_not_differ():
    assert differences(listed(network="host"), configured()) == ()
    # buildx rewrites the file in another order and with other spaces; and a builder may have options of its own.
    toml = '[registry."127.0.0.1:5000"]\n  http = true\n[registry."docker.io"]\n  mirrors = ["127.0.0.1:5000","mirror.acme.test"]'
    assert differences(listed(toml=toml, network="host", memory="4g"), configured(**MIRRORED)) == ()
    assert differences(listed(), configured(network="default")) == ()


def test_nodes_are_compared_by_endpoint_and_platforms():
    existing = listed(network="host")
    (node,) = existing["Nodes"]
    nodes = configured(**NODES).nodes
    existing["Nodes"] = [
        {**node, "Platforms": [*reversed(nodes[0].platforms), "linux/arm64"]},
        {**node, "Endpoint": "ssh://arm.acme.test", "Platforms": ["linux/arm64", "linux/amd64"]},
    ]
    assert differences(existing, configured(**NODES)) == ()
    existing["Nodes"][1]["Platforms"] = ["linux/amd64", "linux/arm64"]
    existing["Nodes"][1]["Endpoint"] = "ssh://other"
    assert differences(existing, configured(**NODES)) == (
        "endpoint of multiarch-builder1: ssh://other, expected ssh://arm.acme.test",
        "platforms of multiarch-builder1: linux/amd64, expected linux/arm64",
    )
    del existing["Nodes"][1]["Platforms"], existing["Nodes"][1]["Endpoint"]
    assert differences(existing, configured(**NODES)) == (
        "endpoint of multiarch-builder1: none, expected ssh://arm.acme.test",
        "platforms of multiarch-builder1: none, expected linux/arm64",
    )
    assert differences(listed(network="host"), configured(**NODES)) == ("nodes: 1, expected 2",)


def test_differences_name_field_actual_and_expected_value():
    assert differences(listed("kubernetes", (), network="bridge", image="moby/buildkit:v1"), configured()) == (
        "driver: kubernetes, expected docker-container",
        "flags: none, expected --allow-insecure-entitlement network.host",
        "network: bridge, expected host",
        "image: moby/buildkit:v1, expected none",
    )
    mirrors = '{"127.0.0.1:5000": {"http": true}, "docker.io": {"mirrors": ["127.0.0.1:5000", "mirror.acme.test"]}}'
    assert differences(listed(network="host"), configured(**MIRRORED)) == (
        f"buildkitd.toml [registry]: none, expected {mirrors}",
    )
    assert differences(listed(network="host", toml="\0"), configured()) == (
        'buildkitd.toml: "unreadable", expected none',
    )
    not_base64 = listed(network="host")
    not_base64["Nodes"][0]["Files"] = {"buildkitd.toml": "x"}
    assert differences(not_base64, configured()) == ('buildkitd.toml: "unreadable", expected none',)
    toml = "[worker]\nsince = 2020-01-01\n"
    assert differences(listed(network="host", toml=toml), configured()) == (
        'buildkitd.toml [worker]: {"since": "2020-01-01"}, expected none',
    )


@pytest.mark.parametrize(
    ("version", "lines"),
    [
        ("v0.12.5", ("BuildKit of b0: v0.12.5, expected v0.13 or newer",)),
        ("v0.13.0", ()),
        ("v1.0.0-rc1", ()),
        ("", ()),
        (None, ()),
    ],
)
def test_an_old_buildkit_differs(version, lines):
    existing = listed(network="host")
    existing["Nodes"][0]["Version"] = version
    assert differences(existing, configured()) == lines
