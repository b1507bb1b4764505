import base64
import tomllib
from pathlib import Path

import pytest
from machines import settings

from buildlib.images import builder
from buildlib.core.errors import UsageError
from buildlib.core.plan import Step, Write

MIRRORED = {"mirrors": {"docker.io": ["127.0.0.1:5000", "mirror.acme.test"]}}
NODES = {"nodes": [{"endpoint": "ssh://arm.acme.test", "arches": ["aarch64", "arm64-musl"]}]}


def wanted(**changes):
    return builder.configured(settings(builder={**settings().builder, **changes}))


def told(driver="docker-container", flags=builder.FLAGS, toml="", **options):
    files = {"buildkitd.toml": base64.b64encode(toml.encode()).decode()} if toml else None
    node = {"Name": "b0", "Flags": list(flags), "DriverOpts": options or None, "Files": files, "Version": "v0.25.1"}
    return {"Name": "b", "Driver": driver, "Nodes": [node]}


def test_the_seed_s_builder():
    made, boot = builder.create(wanted(), Path("/s"))
    assert made.argv == (
        "docker", "buildx", "create", "--name", "multiarch-builder", "--node", "multiarch-builder0", "--driver",
        "docker-container", "--driver-opt", "network=host", "--buildkitd-flags", "--allow-insecure-entitlement network.host",
    )  # fmt: skip
    assert boot.argv == ("docker", "buildx", "inspect", "--bootstrap", "multiarch-builder") and boot.attempts > 1


def test_mirrors_become_a_configuration():
    mirrored = wanted(**MIRRORED)
    assert tomllib.loads(mirrored.configuration) == {
        "registry": {
            "docker.io": {"mirrors": ["127.0.0.1:5000", "mirror.acme.test"]},
            "127.0.0.1:5000": {"http": True},
        }
    }
    file, made, _ = builder.create(mirrored, Path("/s"))
    assert isinstance(file, Write) and file.text == mirrored.configuration
    assert isinstance(made, Step) and made.argv[-2:] == ("--config", "/s/buildkitd.toml")


def test_every_node_has_a_list_of_its_own_platforms():
    here, there, _ = builder.create(wanted(**NODES), Path("/s"))
    assert there.argv[3:8] == ("--name", "multiarch-builder", "--append", "--node", "multiarch-builder1")
    assert there.argv[-3:] == ("--platform", "linux/arm64", "ssh://arm.acme.test")
    mine = here.argv[here.argv.index("--platform") + 1].split(",")
    assert "--append" not in here.argv and "linux/arm64" not in mine
    assert {"linux/amd64", "linux/arm/v7", "linux/riscv64"} <= set(mine) and len(mine) == len(set(mine))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mirrors": {"docker.io": 5}}, "builder.mirrors: docker.io = 5 is no list of hosts"),
        ({"mirrors": {"docker.io": []}}, "builder.mirrors: docker.io = "),
        ({"mirrors": {"docker.io": [""]}}, "builder.mirrors: docker.io = "),
        ({"mirrors": {"docker.io": {"a": "b"}}}, "builder.mirrors: docker.io = "),
        ({"nodes": ["ssh://a"]}, "builder.nodes: 'ssh://a' is no node"),
        ({"nodes": [{"endpoint": "ssh://a"}]}, "is no node"),
        ({"nodes": [{"endpoint": "", "arches": ["arm64"]}]}, "is no node"),
        ({"nodes": [{"endpoint": "ssh://a", "arches": "arm64"}]}, "is no node"),
        ({"nodes": [{"endpoint": "ssh://a", "arches": ["arm65"]}]}, "arm65"),
        ({"nodes": [{"endpoint": "kubernetes:///n", "arches": ["arm64"]}]}, "a cluster cannot be a node"),
        (
            {"nodes": [{"endpoint": f"ssh://{n}", "arches": ["arm64"]} for n in "ab"]},
            "linux/arm64 stands in two of them",
        ),
    ],
)
def test_settings_that_are_none(changes, message):
    with pytest.raises(UsageError) as caught:
        wanted(**changes)
    assert message in caught.value.message


def test_the_builder_is_found_among_others():
    answer = '{"Name":"a"}\n\n{"Name":"b","Driver":"docker"}\n{"Name":"b","Driver":"docker"}\nnoise\n'
    assert builder.find_builder(answer, "b") == {"Name": "b", "Driver": "docker"}
    assert builder.find_builder(answer, "c") is None and builder.find_builder("", "b") is None


def test_a_builder_that_is_as_wanted_has_not_drifted():
    assert builder.differences(told(network="host"), wanted()) == ()
    # buildx writes the file anew, in another order and with other spaces; and a machine may have options of its own.
    toml = '[registry."127.0.0.1:5000"]\n  http = true\n[registry."docker.io"]\n  mirrors = ["127.0.0.1:5000","mirror.acme.test"]'
    assert builder.differences(told(toml=toml, network="host", memory="4g"), wanted(**MIRRORED)) == ()
    assert builder.differences(told(), wanted(network="default")) == ()
    several = told(network="host")
    (first,) = several["Nodes"]
    nodes = wanted(**NODES).nodes
    several["Nodes"] = [
        {**first, "Platforms": [*reversed(nodes[0].platforms), "linux/arm64"]},
        {**first, "Endpoint": "ssh://arm.acme.test", "Platforms": ["linux/arm64", "linux/amd64"]},
    ]
    assert builder.differences(several, wanted(**NODES)) == ()
    several["Nodes"][1]["Platforms"] = ["linux/amd64", "linux/arm64"]
    several["Nodes"][1]["Endpoint"] = "ssh://other"
    assert builder.differences(several, wanted(**NODES)) == (
        "endpoint of multiarch-builder1: is ssh://other, wanted ssh://arm.acme.test",
        "platforms of multiarch-builder1: is linux/amd64, wanted linux/arm64",
    )


def test_in_what_a_builder_differs_is_told():
    assert builder.differences(told("kubernetes", (), network="bridge", image="moby/buildkit:v1"), wanted()) == (
        "driver: is kubernetes, wanted docker-container",
        "flags: is none, wanted --allow-insecure-entitlement network.host",
        "network: is bridge, wanted host",
        "image: is moby/buildkit:v1, wanted none",
    )
    assert builder.differences({"Name": "b", "Driver": "docker-container", "Nodes": []}, wanted())[1:] == (
        "network: is none, wanted host",
    )
    (line,) = builder.differences(told(network="host"), wanted(**MIRRORED))
    assert line.startswith("buildkitd.toml [registry]: is none, wanted {")
    assert builder.differences(told(network="host", toml="\0"), wanted()) == (
        'buildkitd.toml []: is "unreadable", wanted none',
    )
    assert builder.differences(told(network="host"), wanted(**NODES)) == ("nodes: is 1, wanted 2",)


@pytest.mark.parametrize(("version", "lines"), [("v0.12.5", 1), ("v0.13.0", 0), ("v1.0.0-rc1", 0), ("", 0), (None, 0)])
def test_an_old_buildkit_is_a_drift(version, lines):
    there = told(network="host")
    there["Nodes"][0]["Version"] = version
    said = builder.differences(there, wanted())
    assert len(said) == lines and all(line == "BuildKit of b0: is v0.12.5, wanted v0.13 or newer" for line in said)


def test_what_is_on_the_loopback():
    assert all(map(builder.is_loopback, ("127.0.0.1:5000", "localhost", "localhost:1/x", "[::1]:5")))
    assert not any(map(builder.is_loopback, ("localhost.test", "1270.test", "mirror.test:127")))
