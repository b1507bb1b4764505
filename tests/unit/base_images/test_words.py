"""Words with variables. The expected values are those of BuildKit's shell/lex.go."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.base_images import patterns
from buildlib.base_images.patterns import SyntaxFault
from buildlib.base_images.words import Expanded, expand, raw_words

VALUES = {"A": "foo.bar.baz", "EMPTY": "", "PATHS": "/a/b/c", "STAR": "a*b", "N": "x\ny"}


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("$A", "foo.bar.baz"), ("${A}x", "foo.bar.bazx"), ("$A.x", "foo.bar.baz.x"), ("$Ax", ""), ("$1x", "x"),
        ("$", "$"), ("$.", "$."),
        ("a\\$A", "a$A"), ("\\a\\\\", "a\\"), ("a\\", "a"), ("'$A'", "$A"), ("\"$A'\"", "foo.bar.baz'"),
        ('"\\$A\\x"', "$A\\x"),
        ("${NONE:-x}", "x"), ("${EMPTY:-x}", "x"), ("${EMPTY-x}", ""), ("${A:-x}", "foo.bar.baz"),
        ("${NONE:-${EMPTY:-'y z'}}", "y z"),
        ("${NONE:+x}", ""), ("${EMPTY:+x}", ""), ("${EMPTY+x}", "x"), ("${A:+$EMPTY-x}", "-x"), ("${A:?no}", "foo.bar.baz"),
        ("${A#*.}", "bar.baz"), ("${A##*.}", "baz"), ("${A%.*}", "foo.bar"), ("${A%%.*}", "foo"), ("${A#x}", "foo.bar.baz"),
        ("${A#foo}", ".bar.baz"), ("${A%?}", "foo.bar.ba"), ("${NONE#x}", ""), ("${STAR#a\\*}", "b"), ("${STAR%\\*b}", "a"),
        ("${A/ba/B}", "foo.Br.baz"), ("${A//ba/B}", "foo.Br.Bz"), ("${A/.*/}", "foo"), ("${A//./}", "foobarbaz"),
        ("${A/?o/x}", "xo.bar.baz"),
        ("${PATHS//\\//-}", "-a-b-c"), ("${PATHS/\\/a/x}", "x/b/c"), ("${A//o*/x}", "fx"), ("${EMPTY//x/y}", ""),
        ("${A//*/x}", "x"),
        ("${N#x*}", "\ny"), ("${N##*y}", "x\ny"), ("<<a", "<<a"), ("a<b", "a<b"), ("é${A:0}", None), ("${A:#x}", None),
        ("${", None),
        ("${}", None), ("${{A}}", None), ("${A", None), ("${A:-x", None), ("${A/x}", None), ("${A/x/y", None),
        ("'a", None), ('"a', None),
        ("${NONE?}", None), ("${EMPTY:?}", None), ("${A=x}", None), ("${A#\\x}", None), ("${:A}", None),
    ],
)  # fmt: skip
def test_expansion(word, text):
    if text is None:
        with pytest.raises(SyntaxFault):
            expand(word, VALUES)
    else:
        assert expand(word, VALUES).text == text


def test_the_escape_character_is_a_parameter():
    assert expand("a`$A\\b", VALUES, "`").text == "a$A\\b"


def test_which_variables_have_a_value_is_part_of_the_result():
    word = "$A$X${Y:-$A}${EMPTY:+$Z}${Z#a}${EMPTY-}$X"
    assert expand(word, VALUES) == Expanded("foo.bar.bazfoo.bar.baz", ("A", "EMPTY"), ("X", "Z"))


def test_words_of_a_line_keep_quotes_and_variables():
    assert raw_words("RUN a<<B \"c d\" 'e <<f' g\\ h $X ${Y:-z} << J") == [
        "RUN", "a<<B", '"c d"', "'e <<f'", "g\\ h", "$X", "${Y:-z}", "<< J",
    ]  # fmt: skip
    assert raw_words("a 'b") == []


PATTERN = st.lists(st.sampled_from(["*", "?", "a", "b", ".", "\\*", "\\?", "\\\\"]), max_size=6).map("".join)
VALUE = st.text(alphabet="ab.*?\\", max_size=8)


def regular_expression(pattern, *, longest):
    """The pattern as BuildKit translates it, for the engine of Python."""
    tokens = re.findall(r"\\.|.", pattern)
    return "".join({"*": ".*" if longest else ".*?", "?": "."}.get(token, re.escape(token[-1])) for token in tokens)


@given(VALUE, PATTERN)
def test_prefixes_are_those_of_the_regular_expression(value, pattern):
    for modifier, longest in (("#", False), ("##", True)):
        match = re.match(regular_expression(pattern, longest=longest), value)
        expected = value[match.end() :] if match else value
        assert patterns.trimmed(value, modifier[1:] + pattern, "#") == expected


@given(VALUE, PATTERN)
def test_suffixes_are_the_shortest_and_the_longest(value, pattern):
    whole = re.compile(regular_expression(pattern, longest=True))
    starts = [start for start in range(len(value) + 1) if whole.fullmatch(value[start:])]
    if not pattern.startswith("%"):
        assert patterns.trimmed(value, pattern, "%") == (value[: starts[-1]] if starts else value)
        assert patterns.trimmed(value, f"%{pattern}", "%") == (value[: starts[0]] if starts else value)


@given(VALUE, PATTERN)
def test_the_first_match_is_replaced(value, pattern):
    expected = re.sub(regular_expression(pattern, longest=True), "X", value, count=1)
    assert patterns.replace(value, pattern, "X", everywhere=False) == expected


def test_many_stars_take_no_long_time():
    assert patterns.trimmed("a" * 5000, "*a" * 40 + "b", "#") == "a" * 5000


@given(st.text(alphabet="$A{}:-+?#%/'\"\\<ab ", max_size=40))
def test_any_word_is_expanded_or_refused(word):
    with suppress(SyntaxFault):
        expand(word, VALUES)
    assert isinstance(raw_words(word), list)
