"""The SBOM of a program."""

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from buildlib import __version__
from buildlib.core.targets import TARGETS
from buildlib.crates.linked import Crate
from buildlib.crates.sbom import Library, Subject, crate_url, document

INDEX = "registry+https://github.com/rust-lang/crates.io-index"
APP = Crate(
    id="path+file:///home/me/app#1.2.0", name="app", version="1.2.0", licence="MIT", depends_on=("serde", "near")
)
SERDE = Crate(id="serde", name="serde", version="1.0.0", source=INDEX, licence="MIT/Apache-2.0", checksum="5e" * 32)
NEAR = Crate(id="near", name="near", version="0.1.0", licence="our own words", depends_on=("serde",))
SUBJECT = Subject(
    name="app", target=TARGETS["arm64"], sha256="ab" * 32, profile="release", toolchain="rustc 1.95.0 (rustup)",
    crates=(APP, NEAR, SERDE), libraries=(Library(name="libssl.so.3", package="libssl3", version="3.0.15-1", sha256="cd" * 32),),
    suite="bookworm", made=1700000000,
)  # fmt: skip


def test_the_whole_document():
    text = document(SUBJECT)
    assert "/home/me" not in text and text == document(SUBJECT)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = json.loads(text)
    assert found["components"] == [
        {
            "bom-ref": "libssl3:arm64/libssl.so.3", "type": "library", "name": "libssl.so.3", "version": "3.0.15-1",
            "hashes": [{"alg": "SHA-256", "content": "cd" * 32}], "purl": "pkg:deb/debian/libssl3@3.0.15-1?arch=arm64&distro=bookworm",
        },
        {
            "bom-ref": "near@0.1.0", "type": "library", "name": "near", "version": "0.1.0",
            "licenses": [{"license": {"name": "our own words"}}],
        },
        {
            "bom-ref": "serde@1.0.0", "type": "library", "name": "serde", "version": "1.0.0", "purl": "pkg:cargo/serde@1.0.0",
            "hashes": [{"alg": "SHA-256", "content": "5e" * 32}], "licenses": [{"expression": "MIT OR Apache-2.0"}],
        },
    ]  # fmt: skip
    assert found["dependencies"] == [
        {"ref": "arm64/app", "dependsOn": ["libssl3:arm64/libssl.so.3", "near@0.1.0", "serde@1.0.0"]},
        {"ref": "libssl3:arm64/libssl.so.3"},
        {"ref": "near@0.1.0", "dependsOn": ["serde@1.0.0"]},
        {"ref": "serde@1.0.0"},
    ]
    assert found["metadata"] == {
        "timestamp": "2023-11-14T22:13:20+00:00",
        "component": {
            "bom-ref": "arm64/app", "type": "application", "name": "app", "version": "1.2.0",
            "hashes": [{"alg": "SHA-256", "content": "ab" * 32}], "licenses": [{"license": {"id": "MIT"}}],
            "properties": [{"name": "buildlib:profile", "value": "release"},
                           {"name": "buildlib:target", "value": "aarch64-unknown-linux-gnu"}],
        },
        "tools": {"components": [
            {"type": "application", "name": "buildlib", "version": __version__},
            {"type": "application", "name": "rustc", "version": "1.95.0"},
        ]},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ("", None),
        (INDEX, "pkg:cargo/x@1.0.0"),
        ("registry+https://crates.example/index", "pkg:cargo/x@1.0.0?repository_url=https://crates.example/index"),
        ("sparse+https://crates.example/api/", "pkg:cargo/x@1.0.0?repository_url=https://crates.example/api/"),
        (
            "git+https://git.example/x?tag=v1#01ab",
            "pkg:cargo/x@1.0.0?vcs_url=git%2Bhttps://git.example/x%3Ftag%3Dv1%2301ab",
        ),
    ],
)
def test_the_url_of_a_crate_names_its_source(source, url):
    found = crate_url(Crate(id="x", name="x", version="1.0.0", source=source))
    assert (found and found.to_string()) == url
