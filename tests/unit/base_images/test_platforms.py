"""Which image serves a platform. The expected values are those of containerd/platforms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.base_images.platforms import normalize, parse, serves
from buildlib.core.targets import TARGETS


@pytest.mark.parametrize(
    ("written", "normalized"),
    [
        ("linux/arm64/v8", "linux/arm64"), ("linux/aarch64", "linux/arm64"), ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v9.0", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"), ("linux/arm/7", "linux/arm/v7"), ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("Linux/X86_64", "linux/amd64"), ("linux/amd64/v1", "linux/amd64"), ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/i386", "linux/386"),
        ("linux/riscv64", "linux/riscv64"), ("", ""),
    ],
)  # fmt: skip
def test_spellings(written, normalized):
    assert normalize(written) == normalized


def test_the_targets_are_normalized():
    assert [normalize(target.oci) for target in TARGETS.values()] == [target.oci for target in TARGETS.values()]


@pytest.mark.parametrize(
    ("value", "platform"),
    [
        ("arm64", "linux/arm64"), ("armhf", "linux/arm/v7"), ("linux", "linux/riscv64"), ("windows/amd64", "windows/amd64"),
        ("linux/arm/v6", "linux/arm/v6"), ("linux/new", "linux/new"), ("new", None), ("", None), ("linux/", None),
        ("linux/a b", None),
        ("linux/*", None), ("a/b/c/d", None),
    ],
)  # fmt: skip
def test_values_of_the_flag(value, platform):
    if platform is None:
        with pytest.raises(ValueError, match=r"\A"):
            parse(value, "linux/riscv64")
    else:
        assert parse(value, "linux/riscv64") == platform


@pytest.mark.parametrize(
    ("platform", "available", "image"),
    [
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm64"], "linux/arm/v6"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm"], "linux/arm"), ("linux/arm/v6", ["linux/arm/v7"], ""),
        ("linux/arm/v6", ["linux/arm/v5"], "linux/arm/v5"), ("linux/arm/v5", ["linux/arm/v6"], ""),
        ("linux/arm64", ["linux/arm64/v8"], "linux/arm64/v8"), ("linux/arm64", ["linux/arm/v7"], ""),
        ("linux/arm64", ["linux/arm64/v9"], ""),
        ("linux/arm64/v8.2", ["linux/arm64/v8.1", "linux/arm64"], "linux/arm64/v8.1"),
        ("linux/arm64/v9", ["linux/arm64/v8.5"], "linux/arm64/v8.5"),
        ("linux/arm64/v9", ["linux/arm64/v8.6"], ""), ("linux/amd64", ["linux/386"], ""),
        ("linux/amd64", ["linux/amd64/v2"], ""),
        ("linux/amd64/v3", ["linux/amd64/v2", "linux/amd64"], "linux/amd64/v2"), ("linux/amd64", ["windows/amd64"], ""),
        ("linux/riscv64", ["linux/riscv64"], "linux/riscv64"), ("linux/riscv64", [], ""), ("linux/amd64", [""], ""),
    ],
)  # fmt: skip
def test_which_image_is_taken(platform, available, image):
    assert serves(platform, available) == image


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=3))
def test_any_platform_serves_itself(platform, others):
    assert serves(platform, [*others, platform]) != "" or not normalize(platform)
