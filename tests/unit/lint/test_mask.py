"""Masking of shell text in Dockerfiles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.lint.parsing.mask import mask_scripts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('FROM a\nCOPY ["a", "b"]\n', 'FROM a\nCOPY ["a", "b"]\n'),
        ("RUN a && \\\n  [ -f b ] || c\nUSER d\n", "RUN x xx \\\n  x xx x x xx x\nUSER d\n"),
        ("run [[ a == b ]] && c", "run xx x xx x xx xx x"),
        (
            "RUN --mount=type=cache,target=/a \\\n    # why\n    --network=none \\\n  a --b=c\n",
            "RUN --mount=type=cache,target=/a \\\n    # why\n    --network=none \\\n  x xxxxx\n",
        ),
        ("RUN a \\\n# why\n  b \\\n\t# and\n  c # d\n", "RUN x \\\n# why\n  x \\\n\t# and\n  x x x\n"),
        ('CMD ["a", \\\n  "[b]"]\n', 'CMD ["a", \\\n  "[b]"]\n'),
        ("ENTRYPOINT [ -f a ] && b\n", "ENTRYPOINT x xx x x xx x\n"),
        (
            "HEALTHCHECK --interval=5s \\\n  CMD a || \\\n  [ -f b ]\n",
            "HEALTHCHECK --interval=5s \\\n  CMD x xx \\\n  x xx x x\n",
        ),
        ("ONBUILD RUN a; b\n", "ONBUILD RUN xx x\n"),
        ("RUN cat <<EOF >/a && [ b ]\nc d\nEOF\n", "RUN xxx <<EOF xxx xx x x x\nx x\nEOF\n"),
        ("RUN echo \"a <<EOF\" 'b <<EOF'\nUSER c\n", "RUN xxxx xx xxxxxx xx xxxxxx\nUSER c\n"),
        (
            'COPY <<A <<-"B" /c\nRUN d \\\nA\n\tFROM e\n\tB\nUSER f\n',
            'COPY <<A <<-"B" /c\nxxx x x\nA\n\txxxx x\n\tB\nUSER f\n',
        ),
        ("COPY a b\nARG C=${D#e} # why\nUSER ${F%%g*}\n", "COPY a b\nARG C=${D:-}      \nUSER ${F:-xx}\n"),
        ("RUN <<-'A' cat 3<<B\n", "RUN <<-'A' xxx 3<<B\n"),
        ("RUN a <<<b $((1<<c))\nUSER d\n", "RUN x xxxx xxxxxxxxx\nUSER d\n"),
        ("RUN a \\", "RUN x \\"),
        ("RUN\nRUNNER a\nLABEL a=RUN\n", "RUN\nRUNNER a\nLABEL a=RUN\n"),
    ],
)
def test_scripts_and_heredocs_are_masked_and_the_rest_is_kept(text, expected):
    assert mask_scripts(text.encode()).decode() == expected


PARTS = ["RUN ", "CMD ", "--a=b ", "[", '"a"', "]", " ", "\\\n", "\n", "# c\n", "<<EOF", "é", "&& ", "\t", "\\"]


@given(st.lists(st.sampled_from(PARTS)))
def test_every_byte_keeps_its_offset_and_masking_twice_changes_nothing(parts):
    text = "".join(parts).encode()
    masked = mask_scripts(text)
    assert len(masked) == len(text) and all(
        new == old or (new == ord("x") and not bytes([old]).isspace()) for new, old in zip(masked, text, strict=True)
    )
    assert mask_scripts(masked) == masked
