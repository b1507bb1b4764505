"""The list of crates in cargo-auditable's format."""

import json
import zlib

import pytest

from buildlib.crates.auditable import crate_list, stored
from buildlib.crates.linked import Crate

INDEX = "registry+https://github.com/rust-lang/crates.io-index"
SOURCES = {
    "": "local", INDEX: "crates.io", "sparse+https://index.crates.io/": "crates.io", "sparse+https://acme.test/index/": "registry",
    "registry+https://acme.test/index": "registry", "git+ssh://git@acme.test/it?branch=main#0123abc": "git",
}  # fmt: skip


def test_the_whole_list():
    crates = (
        Crate(id="path+file:///home/me/app#1.2.0", name="app", version="1.2.0", licence="MIT", depends_on=("serde", "near")),
        Crate(id="near", name="near", version="0.1.0", depends_on=("serde",)),
        Crate(id="serde", name="serde", version="1.0.0", source=INDEX, licence="MIT", checksum="5e" * 32),
    )  # fmt: skip
    found = zlib.decompress(crate_list(crates))
    assert found == (
        b'{"packages":[{"name":"app","version":"1.2.0","source":"local","dependencies":[1,2],"root":true},'
        b'{"name":"near","version":"0.1.0","source":"local","dependencies":[2]},'
        b'{"name":"serde","version":"1.0.0","source":"crates.io"}],"format":1}'
    )


def test_a_source_is_one_of_the_words_of_the_format_and_has_no_address():
    crates = [Crate(id=str(n), name="a", version="1.0.0", source=source) for n, source in enumerate(SOURCES)]
    found = json.loads(zlib.decompress(crate_list(crates)))["packages"]
    assert [package["source"] for package in found] == list(SOURCES.values())


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 200_000])
def test_a_stream_is_what_zlib_reads(size):
    data = bytes(n % 251 for n in range(size))
    assert zlib.decompress(stored(data)) == data
