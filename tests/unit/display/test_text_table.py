"""Tables: columns are omitted where they do not fit, words never."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.display.terminal import columns
from buildlib.display.text_table import lines

HEAD = ("arch", "binary", "size", "sha256", "status")
ROWS = (("amd64", "cli-command", "1.5 MiB", "9cb72f5b391b", "done"), ("arm64", "", "", "", "failed"))


def test_columns_are_as_wide_as_their_content_and_no_line_ends_with_blanks():
    assert lines(HEAD, ROWS) == [
        "arch   binary       size     sha256        status",
        "amd64  cli-command  1.5 MiB  9cb72f5b391b  done",
        "arm64                                      failed",
        "",
    ]
    assert lines(("a", "b"), [("x", ""), ("long", "")]) == ["a     b", "x", "long", ""]
    assert lines(("a", "b"), []) == ["a  b", ""]


@pytest.mark.parametrize(
    ("width", "important", "head", "omitted"),
    [
        (49, (), "arch   binary       size     sha256        status", ""),
        (48, (), "arch   binary       size     sha256", "status"),
        (48, ("status",), "arch   binary       size     status", "sha256"),
        (28, ("status", "binary"), "arch   binary       status", "size, sha256"),
        (27, ("sha256",), "arch   sha256        status", "binary, size"),
        (10, ("status",), "status", "arch, binary, size, sha256"),
        (1, (), "arch", "binary, size, sha256, status"),
    ],
)
def test_a_narrow_terminal_gets_the_columns_that_matter(width, important, head, omitted):
    first, *_, last = lines(HEAD, ROWS, important, "", width)
    assert (first, last) == (head, omitted)


def test_a_column_that_does_not_fit_can_be_below_its_row():
    head, rows = ("need", "help"), [("zig", "pip install ziglang"), ("QEMU", "")]
    assert lines(head, rows, (), "help", 20) == ["need", "zig\n    help: pip install ziglang", "QEMU", ""]
    assert lines(head, rows, (), "help", 80) == ["need  help", "zig   pip install ziglang", "QEMU", ""]


def test_wide_characters_take_two_columns():
    assert lines(("a", "b"), [("漢字", "1"), ("x", "2")]) == ["a     b", "漢字  1", "x     2", ""]


CELL = st.text(st.characters(exclude_categories=("C", "Z")), max_size=30)


@given(st.integers(1, 6).flatmap(lambda size: st.tuples(
    st.lists(CELL, min_size=size, max_size=size), st.lists(st.lists(CELL, min_size=size, max_size=size), max_size=5)
)), st.integers(1, 120))  # fmt: skip
def test_no_cell_is_cut(table, width):
    head, rows = table
    *shown, _ = lines(head, rows, (), "", width)
    for text, row in zip(shown, (head, *rows), strict=True):
        assert text == text.rstrip(" ")
        assert set(text.split()) <= set(row)
        assert columns(text) <= max(width, *(columns(cells[0]) for cells in (head, *rows)))
