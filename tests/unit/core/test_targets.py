import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.core.errors import UsageError
from buildlib.core.targets import GNU, SPELLINGS, TARGETS, find_target, select

TRIPLES = {
    "amd64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu", "armv7": "armv7-unknown-linux-gnueabihf",
    "armv6": "arm-unknown-linux-gnueabihf", "386": "i686-unknown-linux-gnu", "riscv64": "riscv64gc-unknown-linux-gnu",
    "ppc64le": "powerpc64le-unknown-linux-gnu", "s390x": "s390x-unknown-linux-gnu", "loong64": "loongarch64-unknown-linux-gnu",
}  # fmt: skip


def test_the_targets_and_their_triples():
    assert {row.name: row.triple for row in GNU} == TRIPLES
    assert {row.name for row in TARGETS.values() if row.is_musl} == {f"{name}-musl" for name in TRIPLES}
    assert TARGETS["armv7-musl"].triple == "armv7-unknown-linux-musleabihf"
    assert TARGETS["loong64"].glibc == "2.36"
    assert {row.glibc for row in GNU if row.name not in ("loong64", "ppc64le")} == {"2.31"}


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("aarch64", "arm64"), ("AARCH64", "arm64"), ("linux/arm64", "arm64"), ("linux/arm64/v8", "arm64"),
        ("x86_64", "amd64"), ("x86-64", "amd64"), ("x86_64-unknown-linux-gnu", "amd64"), ("x86_64-linux-gnu", "amd64"),
        ("armhf", "armv7"), ("linux/arm/v7", "armv7"), ("armv7l", "armv7"), ("linux/arm", "armv7"), ("linux/arm/v6", "armv6"),
        ("armv6l", "armv6"), ("i386", "386"), ("i686", "386"), ("ppc64el", "ppc64le"), ("powerpc64le", "ppc64le"),
        ("riscv64gc-unknown-linux-gnu", "riscv64"), ("loongarch64", "loong64"), ("aarch64-unknown-linux-musl", "arm64-musl"),
        ("aarch64-musl", "arm64-musl"), ("x86_64-linux-musl", "amd64-musl"), (" arm64 ", "arm64"),
    ],
)  # fmt: skip
def test_spellings_of_a_target(word, name):
    assert find_target(word).name == name


@pytest.mark.parametrize(
    ("word", "near"),
    [("arm65", "arm64"), ("amd46", "amd64"), ("riscv", "riscv64"), ("aarch46", "arm64"), ("armv77", "armv7")],
)
def test_a_wrong_word_gets_the_nearest_right_one(word, near):
    with pytest.raises(UsageError) as caught:
        find_target(word)
    assert (caught.value.message, caught.value.help) == (f"unknown architecture {word!r}", f"did you mean {near}?")


def test_a_word_without_a_similar_one_gets_all_names():
    with pytest.raises(UsageError) as caught:
        find_target("vax")
    assert caught.value.help == "one of: amd64 arm64 armv7 armv6 386 riscv64 ppc64le s390x loong64"


def test_select_reads_commas_all_and_native_and_returns_each_target_once():
    names = [row.name for row in select(("armv7,aarch64", "all", "native", "arm64"), ("amd64", "arm64"), "s390x")]
    assert names == ["armv7", "arm64", "amd64", "s390x"]
    for words, configured in ((), ("amd64",)), (("", ","), ("amd64",)), (("all",), ()):
        with pytest.raises(UsageError) as caught:
            select(words, configured, "x86_64")
        assert caught.value.message == "no architecture is selected"


@given(st.sampled_from(sorted(SPELLINGS)), st.sampled_from([str.lower, str.upper, str.title]))
def test_upper_and_lower_case_are_the_same(word, case):
    assert find_target(case(word)).name == SPELLINGS[word]


@given(st.text())
def test_any_other_word_is_a_usage_error(word):
    try:
        assert find_target(word).name in TARGETS
    except UsageError as error:
        assert error.code == 2
