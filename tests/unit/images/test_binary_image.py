from dataclasses import replace
from pathlib import Path

import pytest
from image_workspace import COMPONENT, GIT, STATIC, add_binary, workspace
from machines import settings

from buildlib.assembly import oci, spec
from buildlib.core.errors import Refused, UsageError
from buildlib.core.targets import TARGETS
from buildlib.images import binary_image
from buildlib.images.dockerfile import Stage
from buildlib.process.commit import commit


@pytest.mark.parametrize(
    ("answers", "env", "expected"),
    [
        (GIT, {}, (1700000000, "abc")),
        (GIT, {"SOURCE_DATE_EPOCH": "5"}, (5, "abc")),
        ({"commit": (128, "")}, {}, (0, "")),
    ],
)
def test_the_time_is_the_time_of_the_commit(tmp_path, answers, env, expected):
    assert commit(workspace(tmp_path, answers, env=env)) == expected


def test_a_wrong_time_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError) as caught:
        commit(workspace(tmp_path, env={"SOURCE_DATE_EPOCH": "x"}))
    assert caught.value.message == "SOURCE_DATE_EPOCH='x' is not a number of seconds"


def test_labels_are_the_known_annotations():
    start = "org.opencontainers.image."
    assert binary_image.labels(COMPONENT, 0, "") == {
        f"{start}title": "a",
        f"{start}version": "1.2.3",
        f"{start}created": "1970-01-01T00:00:00Z",
        f"{start}licenses": "MIT",
        f"{start}description": "does it",
    }


def test_the_stage_of_the_settings(tmp_path):
    table = {
        "ports": [80], "health": "a --health 'x y'", "env": {"N": 1, "B": "2"}, "volumes": ["/var/lib/a"], "base": "alpine:3",
        "program": "/app/a", "says": {"all": ["listening"]}, "files": {"x/": "/etc/x"}, "command": ["--x"], "user": "7:8",
        "workdir": "/srv", "labels": {"y": "z"},
    }  # fmt: skip
    runtime = oci.Runtime(
        entrypoint=("/app/a",),
        command=("--x",),
        user="7:8",
        workdir="/srv",
        ports=(80,),
        health=("a", "--health", "x y"),
        env={"N": "1", "B": "2"},
        volumes=("/var/lib/a",),
    )
    context = replace(workspace(tmp_path), config=settings(components={"a": table}))
    assert binary_image.stage_of(context, COMPONENT) == Stage(
        runtime=runtime, base="alpine:3", says={"all": ("listening",)}, files={"x/": "/etc/x"}, labels={"y": "z"}
    )


def test_a_user_without_a_group_has_the_group_of_the_same_number(tmp_path):
    """As COPY --chown reads it. USER alone would take the group root."""
    context = replace(workspace(tmp_path), config=settings(components={"a": {"user": "10001"}}))
    assert binary_image.stage_of(context, COMPONENT).runtime.user == "10001:10001"


def test_labels_of_the_settings_take_precedence(tmp_path):
    table = {"labels": {"org.opencontainers.image.version": "x", "more": "y"}}
    context = replace(workspace(tmp_path), config=settings(components={"a": table}))
    (image,) = binary_image.binary_images(context, STATIC, (), 7, "abc")
    expected = binary_image.labels(COMPONENT, 7, "abc") | {"org.opencontainers.image.version": "x", "more": "y"}
    assert image.stage.runtime.labels == expected


def test_the_stage_without_settings(tmp_path):
    assert binary_image.stage_of(workspace(tmp_path), COMPONENT) == Stage(
        runtime=oci.Runtime(entrypoint=("/usr/bin/a",))
    )


@pytest.mark.parametrize("tags", [(), ("x", "y")])
def test_images_have_the_labels_and_the_gated_binaries(tmp_path, tags):
    context = workspace(tmp_path)
    (image,) = binary_image.binary_images(context, STATIC, tags, 7, "abc")
    assert (image.component, image.tags, image.platforms) == (
        COMPONENT,
        tags or ("1.2.3",),
        ("linux/amd64", "linux/arm/v7"),
    )
    assert image.stage.runtime.labels == binary_image.labels(COMPONENT, 7, "abc")
    assert [entry["path"] for entry in image.entries.values()] == ["amd64-musl/a", "armv7-musl/a"]


def test_a_changed_binary_is_refused_until_the_gate_has_passed_it(tmp_path):
    context = workspace(tmp_path)
    path = context.dist / "amd64-musl" / "a"
    path.write_bytes(b"another")
    with pytest.raises(Refused) as caught:
        binary_image.gated_binaries(context, COMPONENT, STATIC)
    assert caught.value.message == f"{path}: not the file that passed the gate"
    add_binary(context.dist, "amd64-musl", "a", b"another")
    assert list(binary_image.gated_binaries(context, COMPONENT, STATIC)) == list(STATIC)


@pytest.mark.parametrize("missing", ["dist/armv7-musl/a", "dist/manifest.json"])
def test_a_missing_binary_is_refused(tmp_path, missing):
    context = workspace(tmp_path)
    Path(tmp_path, missing).unlink()
    with pytest.raises(Refused, match=r"-musl/a: not in dist/"):
        binary_image.gated_binaries(context, COMPONENT, STATIC)


@pytest.mark.parametrize(
    ("name", "message", "help_text"),
    [
        ("", "no registry to push to", "use --registry HOST/PATH, or set `registry`"),
        ("Ghcr.io/Acme", "registry: 'Ghcr.io/Acme' is not the name of a registry", "did you mean 'ghcr.io/acme'?"),
        ("Ghcr.io/acme", "registry: 'Ghcr.io/acme' is not the name of a registry", "did you mean 'ghcr.io/acme'?"),
        ("a//b", "registry: 'a//b' is not the name of a registry", "write it as ghcr.io/acme"),
        ("https://a/b", "registry: 'https://a/b' is not the name of a registry", "write it as ghcr.io/acme"),
        ("Https://A/B", "registry: 'Https://A/B' is not the name of a registry", "write it as ghcr.io/acme"),
        (
            "docker://r.test/a",
            "registry: 'docker://r.test/a' is not the name of a registry",
            "write it as ghcr.io/acme",
        ),
        ("r.test/a/", "registry: 'r.test/a/' is not the name of a registry", "write it as ghcr.io/acme"),
        ("r.test/a:1", "registry: 'r.test/a:1' is not the name of a registry", "write it as ghcr.io/acme"),
    ],
)
def test_a_wrong_registry_is_a_usage_error(tmp_path, name, message, help_text):
    with pytest.raises(UsageError) as caught:
        spec.registry(workspace(tmp_path, registry=name))
    assert (caught.value.message, caught.value.help) == (message, help_text)


@pytest.mark.parametrize(
    "name", ["ghcr.io/acme", "127.0.0.1:5000/a/b", "127.0.0.1:5000", "acme", "r.test:1/a__b/c-d.e"]
)
def test_registries(tmp_path, name):
    assert spec.registry(workspace(tmp_path, registry=name)) == name


def test_two_targets_with_the_same_platform_are_a_usage_error():
    with pytest.raises(UsageError) as caught:
        spec.check_options((TARGETS["arm64"], TARGETS["arm64-musl"]), ())
    assert caught.value.message == "arm64-musl and arm64 are both linux/arm64"


def test_one_configured_target_per_platform():
    configured = [TARGETS[name] for name in ("amd64-musl", "amd64", "arm64", "armv7-musl")]
    assert [target.name for target in spec.one_per_platform(configured)] == ["amd64", "arm64", "armv7-musl"]


@pytest.mark.parametrize("tag", ["", "-a", ".a", "a/b", "a:b", "ä", "a" * 129, "a\n"])
def test_a_tag_that_registries_do_not_accept_is_a_usage_error(tag):
    with pytest.raises(UsageError) as caught:
        spec.check_options((), (tag,))
    assert caught.value.message == f"{tag!r} is not a tag"


def test_tags_that_registries_accept():
    assert spec.check_options(STATIC, ("latest", "1.2.3-rc.1_x", "_", "a" * 128)) is None
