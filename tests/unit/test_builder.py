import tomllib
from pathlib import Path

import pytest
from machines import settings

from buildlib import builder
from buildlib.errors import UsageError
from buildlib.plan import Step, Write

MIRRORED = {"mirrors": {"docker.io": ["127.0.0.1:5000", "mirror.acme.test"]}}


def told(driver="docker-container", flags=builder.FLAGS, **options):
    return {"Name": "b", "Driver": driver, "Nodes": [{"Flags": list(flags), "DriverOpts": options or None}]}


def test_the_seed_s_builder():
    wanted = builder.wanted(settings())
    (act,) = builder.create(wanted, Path("/s"))
    assert act.argv == (
        "docker", "buildx", "create", "--name", "multiarch-builder", "--driver", "docker-container", "--bootstrap",
        "--driver-opt", "network=host", "--buildkitd-flags", "--allow-insecure-entitlement network.host",
    )  # fmt: skip
    assert act.attempts > 1


def test_mirrors_become_a_configuration_and_a_mark():
    wanted = builder.wanted(settings(builder={**settings().builder, **MIRRORED}))
    assert tomllib.loads(wanted.configuration) == {
        "registry": {
            "docker.io": {"mirrors": ["127.0.0.1:5000", "mirror.acme.test"]},
            "127.0.0.1:5000": {"http": True},
        }
    }
    file, made = builder.create(wanted, Path("/s"))
    assert isinstance(file, Write) and file.text == wanted.configuration
    assert isinstance(made, Step) and made.argv[-2:] == ("--config", "/s/buildkitd.toml")
    assert f"{builder.MARK}={wanted.options[builder.MARK]}" in made.argv


@pytest.mark.parametrize(
    "mirrors", [{"docker.io": 5}, {"docker.io": []}, {"docker.io": [""]}, {"docker.io": {"a": "b"}}]
)
def test_mirrors_that_are_none(mirrors):
    with pytest.raises(UsageError, match=r"builder.mirrors: docker.io = "):
        builder.wanted(settings(builder={**settings().builder, "mirrors": mirrors}))


def test_the_builder_is_found_among_others():
    answer = '{"Name":"a"}\n\n{"Name":"b","Driver":"docker"}\n{"Name":"b","Driver":"docker"}\nnoise\n'
    assert builder.find(answer, "b") == {"Name": "b", "Driver": "docker"}
    assert builder.find(answer, "c") is None and builder.find("", "b") is None


def test_a_builder_that_is_as_wanted_has_not_drifted():
    plain = builder.wanted(settings())
    assert builder.drift(told(network="host"), plain) == ()
    mirrored = builder.wanted(settings(builder={**settings().builder, **MIRRORED}))
    assert builder.drift(told(**mirrored.options), mirrored) == ()
    default = builder.wanted(settings(builder={**settings().builder, "network": "default"}))
    assert builder.drift(told(), default) == ()


def test_in_what_a_builder_differs_is_told():
    plain = builder.wanted(settings())
    assert builder.drift(told("kubernetes", (), network="bridge"), plain) == (
        "driver: is kubernetes, wanted docker-container",
        "flags: is , wanted --allow-insecure-entitlement network.host",
        "network: is bridge, wanted host",
    )
    assert builder.drift({"Name": "b", "Driver": "docker-container", "Nodes": []}, plain)[1:] == (
        "network: is none, wanted host",
    )
    mirrored = builder.wanted(settings(builder={**settings().builder, **MIRRORED}))
    (line,) = builder.drift(told(network="host"), mirrored)
    assert line.startswith("BUILDLIB_CONFIG: is none, wanted ")


def test_what_is_on_the_loopback():
    assert all(map(builder.is_loopback, ("127.0.0.1:5000", "localhost", "localhost:1/x", "[::1]:5")))
    assert not any(map(builder.is_loopback, ("localhost.test", "1270.test", "mirror.test:127")))
