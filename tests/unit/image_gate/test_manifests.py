import json

import pytest
from fake_registry import index, manifest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.builder import buildx
from buildlib.core.errors import BuildError
from buildlib.image_gate import manifests
from buildlib.image_gate.manifests import Configuration, Descriptor, Index, Manifest, Platform, Process

HEX = "sha256:" + "0" * 64
# What Docker's registry has returned for images that Docker 1.9 and older pushed.
SCHEMA_1 = {
    "schemaVersion": 1, "name": "acme/app", "tag": "1", "architecture": "amd64", "fsLayers": [{"blobSum": HEX}],
    "history": [{"v1Compatibility": "{}"}], "signatures": [{"header": {}, "signature": "", "protected": ""}],
}  # fmt: skip


def test_platforms_have_the_names_of_targets():
    document = manifests.read(index("linux/arm64/v8", "linux/arm/v7", "linux/amd64", "unknown/unknown"), "app:1")
    assert (Platform("linux", "arm").oci, Platform("linux", "amd64", "v1").oci) == ("linux/arm/v7", "linux/amd64")
    assert isinstance(document, Index)
    assert list(document.images) == ["linux/arm64", "linux/arm/v7", "linux/amd64"]
    assert str(document.manifests[0].platform) == "linux/arm64/v8"


def test_an_index_and_a_manifest():
    with_inputs = manifests.read(index("linux/amd64", inputs="5a"), "app:1")
    assert (with_inputs.inputs, list(with_inputs.images)) == ("5a", ["linux/amd64"])
    assert manifests.read(b'{"manifests": [], "annotations": null}', "app:1") == Index()
    assert Index().inputs == ""
    config = {"digest": HEX, "mediaType": "m", "size": 3}
    text = json.dumps({"schemaVersion": 2, "manifests": None, "config": config, "layers": [{"digest": "sha512:00"}]})
    assert manifests.read(text, "app:1") == Manifest(
        config=Descriptor(digest=HEX, size=3, media_type="m"), layers=(Descriptor(digest="sha512:00"),)
    )


@pytest.mark.parametrize(
    ("text", "message", "help_text"),
    [
        (
            json.dumps(SCHEMA_1),
            "app:1: manifest of schema 1, expected schema 2 or an OCI manifest",
            manifests.SCHEMA_1_HELP,
        ),
        ("", "app:1: invalid manifest: Input data was truncated", manifests.HELP),
        ("<html>", "app:1: invalid manifest: JSON is malformed: invalid character (byte 0)", manifests.HELP),
        ("[]", "app:1: invalid manifest: Expected `object`, got `array`", manifests.HELP),
        ("{}", "app:1: invalid manifest: neither `manifests` nor `config`", manifests.HELP),
        (
            json.dumps({"manifests": [{"digest": HEX}], "config": {"digest": HEX}, "layers": []}),
            "app:1: invalid manifest: an index with `config` or `layers`",
            manifests.HELP,
        ),
        ('{"config": null}', "app:1: invalid manifest: neither `manifests` nor `config`", manifests.HELP),
        (
            '{"config": 5}',
            "app:1: invalid manifest: Expected `object | null`, got `int` - at `$.config`",
            manifests.HELP,
        ),
        (
            '{"config": {}}',
            "app:1: invalid manifest: Object missing required field `digest` - at `$.config`",
            manifests.HELP,
        ),
        (
            '{"config": {"digest": 5}}',
            "app:1: invalid manifest: Expected `str`, got `int` - at `$.config.digest`",
            manifests.HELP,
        ),
        (
            '{"manifests": [{"platform": {"os": "linux"}}]}',
            "app:1: invalid manifest: Object missing required field `digest` - at `$.manifests[0]`",
            manifests.HELP,
        ),
        (
            '{"manifests": {"digest": "x"}}',
            "app:1: invalid manifest: Expected `array | null`, got `object` - at `$.manifests`",
            manifests.HELP,
        ),
        (
            json.dumps({"manifests": [{"digest": HEX, "platform": {"os": ["linux"]}}]}),
            "app:1: invalid manifest: Expected `str | null`, got `array` - at `$.manifests[0].platform.os`",
            manifests.HELP,
        ),
        (
            json.dumps({"config": {"digest": HEX, "size": -1}}),
            "app:1: invalid manifest: Expected `int` >= 0 - at `$.config.size`",
            manifests.HELP,
        ),
        (
            json.dumps({"config": {"digest": HEX}, "layers": [HEX]}),
            "app:1: invalid manifest: Expected `object`, got `str` - at `$.layers[0]`",
            manifests.HELP,
        ),
    ],
)
def test_anything_else_is_an_error_in_one_line(text, message, help_text):
    with pytest.raises(BuildError) as caught:
        manifests.read(text, "app:1")
    assert (caught.value.message, caught.value.help) == (message, help_text)
    assert manifests.index_of(text) == Index()


@pytest.mark.parametrize("digest", ["", "sha256", "sha256:", "sha256:../../x", "../x:y", "sha256:00\n", "a:b/c"])
def test_a_digest_is_not_a_path(digest):
    with pytest.raises(BuildError, match=r"invalid manifest: Expected `str` matching regex"):
        manifests.read(json.dumps({"config": {"digest": digest}}), "app:1")


def test_the_manifest_of_one_image_is_no_index():
    assert manifests.index_of(manifest("linux/amd64")) == Index()


def test_configurations_of_docker_and_of_other_tools():
    text = '{"os":"linux","architecture":"arm","variant":null,"config":{"Entrypoint":null,"Cmd":["a"],"User":"","Env":null}}'
    assert manifests.decode(text, Configuration, "x") == Configuration(
        os="linux", architecture="arm", config=Process(cmd=("a",))
    )
    assert manifests.decode("{}", Configuration, "x") == Configuration()
    with pytest.raises(BuildError) as caught:
        manifests.decode('{"config":{"Entrypoint":"a"}}', Configuration, "x: invalid configuration")
    assert caught.value.message == (
        "x: invalid configuration: Expected `array | null`, got `str` - at `$.config.Entrypoint`"
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["schemaVersion", "manifests", "config", "layers", "annotations", "digest", "platform", "os", "Entrypoint", "Env"]
)
DOCUMENTS = st.recursive(
    JSON, lambda inner: st.dictionaries(NAMES, inner | st.lists(inner, max_size=2), max_size=4), max_leaves=8
)


@given(DOCUMENTS)
def test_no_document_raises_anything_but_a_build_error(document):
    text = json.dumps(document)
    for read in (lambda: manifests.read(text, "x"), lambda: manifests.decode(text, Configuration, "x")):
        try:
            read()
        except BuildError as error:
            assert "\n" not in error.message
            assert error.help
    assert isinstance(manifests.index_of(text), Index)


def test_a_document_nested_too_deeply_is_an_error():
    text = '{"config":' * 100_000
    with pytest.raises(BuildError):
        manifests.read(text, "x")
    assert buildx.read_index(text) == {}


def test_json_objects():
    assert buildx.read_index('{"a": 1}') == {"a": 1}
    assert [buildx.read_index(text) for text in ("no json", "[1]", "", "5")] == [{}] * 4


@pytest.mark.parametrize(
    ("metadata", "digest"),
    [
        (json.dumps({"containerimage.digest": HEX}), HEX), ("", ""), ("{", ""), ("[]", ""), ("{}", ""),
        ('{"containerimage.digest": null}', ""), ('{"containerimage.digest": 5}', ""),
    ],
)  # fmt: skip
def test_the_digest_in_the_metadata_file(metadata, digest):
    assert buildx.digest_of(metadata) == digest


def test_an_unknown_platform_has_no_name():
    assert (str(Platform()), Platform().oci) == ("", "")
