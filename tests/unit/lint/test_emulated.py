"""The compilers that one build of a Dockerfile runs on the target platform, and the compiler of one RUN."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.lint.emulated import emulated_compiles, run_compilers
from buildlib.lint.rules.emulated_compile import compiles

FILE = """\
ARG FLAVOUR=fast
ARG TOOLS=--platform=$BUILDPLATFORM
FROM --platform=$BUILDPLATFORM rust AS cross
RUN cargo build
FROM debian AS fast
RUN make fast
FROM debian AS slow
RUN make slow
FROM ${FLAVOUR} AS program
RUN true
FROM debian AS Mounted
RUN gcc a.c
FROM debian AS unused
RUN ninja
FROM debian AS image
COPY --from=cross /a /b
COPY --from=program /a /b
RUN --mount=type=bind,from=mounted,target=/m true
FROM image AS last
RUN go build
"""


def lines(text=FILE, target="", **args):
    return [finding.line for finding in emulated_compiles(Path("Dockerfile"), text.encode(), args, target)]


@pytest.mark.parametrize(
    ("target", "args", "expected"),
    [
        ("", {}, [6, 12, 20]), ("last", {}, [6, 12, 20]), ("LAST", {}, [6, 12, 20]), ("image", {}, [6, 12]),
        ("image", {"FLAVOUR": "slow"}, [8, 12]), ("cross", {}, []), ("unused", {}, [14]), ("2", {}, [8]), ("mounted", {}, [12]),
        ("no-such-stage", {}, []), ("99", {}, []), ("9" * 50, {}, []), ("image", {"FLAVOUR": "debian"}, [12]),
    ],
)  # fmt: skip
def test_only_stages_that_the_build_uses_count(target, args, expected):
    assert lines(target=target, **args) == expected


@pytest.mark.parametrize(
    ("platform", "args", "found"),
    [
        ("$BUILDPLATFORM", {}, False), ("${BUILDPLATFORM}", {"BUILDPLATFORM": "linux/$TARGETARCH"}, False),
        ("$TARGETPLATFORM", {}, True), ("linux/$TARGETARCH", {}, True), ("${P}", {}, True), ("$P", {"P": "$BUILDPLATFORM"}, False),
        ("${Q:-$TARGETPLATFORM}", {}, False), ("${P:-linux/amd64}", {}, True), ("${R:-linux/amd64}", {}, False),
        ("linux/amd64", {}, False),
    ],
)  # fmt: skip
def test_the_platform_of_a_stage_may_be_an_argument(platform, args, found):
    text = (
        f"ARG P=$TARGETPLATFORM\nARG Q=${{BUILDPLATFORM}}\nFROM --platform={platform} debian AS a\nFROM a\nRUN make\n"
    )
    assert lines(text, **args) == [5] * found


def test_a_stage_that_is_chosen_per_architecture_is_used():
    text = "FROM a AS base-amd64\nRUN make\nFROM a AS base-arm64\nRUN make\nFROM a AS other\nRUN make\nFROM base-${TARGETARCH}\n"
    assert lines(text) == [2, 4]
    assert lines(text.replace("base-${", "${").replace("AS base-", "AS ")) == [2, 4, 6]


def test_a_later_stage_of_the_same_name_is_not_the_base_of_an_earlier_one():
    assert lines("FROM a AS a\nRUN make\nFROM a\nCOPY --from=b / /\nFROM x AS b\nRUN make\nFROM 0\n", target="1") == [2]


@pytest.mark.parametrize(
    "comment", ["# buildlib ignore=emulated-compile\n", "# buildlib global ignore=emulated-compile\n"]
)
def test_a_comment_turns_a_finding_off(comment):
    assert lines(f"FROM a\n{comment}RUN make\n") == []


def test_the_finding():
    (finding,) = emulated_compiles(Path("d/Dockerfile"), b"FROM a\nRUN cd x && cargo build\n", {}, "")
    assert (finding.file, finding.rule, finding.line, finding.column) == ("d/Dockerfile", "emulated-compile", 2, 13)
    assert finding.message.startswith("cargo runs on the target platform") and finding.help


@given(st.lists(st.sampled_from([*FILE.splitlines(), "FROM ${A} AS a", "ARG A=${A}x", "ARG B=${A}${A}${A}", "FROM $B", "FROM"])),
       st.dictionaries(st.sampled_from(["A", "B", "FLAVOUR"]), st.text(max_size=5) | st.sampled_from(["${A}${A}", "$B"])),
       st.text(max_size=3) | st.sampled_from(["a", "image"]))  # fmt: skip
def test_any_file_is_read(rows, args, target):
    emulated_compiles(Path("Dockerfile"), "\n".join(rows).encode(), args, target)


# --- one RUN -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "compiler"),
    [
        ("RUN cargo build --release", "cargo"), ("RUN cargo fetch", ""), ("run make", "make"), ("ONBUILD RUN make", "make"),
        ("RUN --mount=type=cache,target=/x set -e; cd a && /usr/bin/make -j4", "make"), ('RUN ["gcc", "a.c"]', "gcc"),
        ("RUN sh -c 'go build ./...'", "go"), ("RUN if true; then ninja; fi", "ninja"), ("RUN apt-get install -y gcc make", ""),
        ("RUN make install", ""), ("RUN echo make", ""), ("COPY make /", ""), ("RUN", ""), ("", ""), ("RUNNER make", ""),
        ("RUN <<EOF (cargo build...)", "cargo"), ("RUN --network=none <<-'E.F' (cc x.c)", "cc"), ("RUN <<EOF (set -e...)", ""),
    ],
)  # fmt: skip
def test_the_compiler_of_a_run(text, compiler):
    assert compiles(text) == compiler


HEREDOCS = b"""\
FROM a
RUN <<EOF
set -e
cd  x
make
EOF
RUN --mount=type=cache,target=/x <<-'E'
\tcd y
\tgcc x
E
RUN <<EOF
#!/usr/bin/env python
make
EOF
RUN <<EOF
cd z
make
EOF
RUN <<EOF
cd z
true
EOF
"""


@pytest.mark.parametrize(
    ("text", "compiler"),
    [
        ("RUN <<EOF (set -e...)", "make"), ("RUN --mount=type=cache,target=/x <<-'E' (cd y...)", "gcc"), ("RUN cargo build", "cargo"),
        ("RUN <<EOF (#!/usr/bin/env python...)", ""), ("RUN <<EOF (cd z...)", ""), ("RUN <<EOF (other...)", ""), ("RUN true", ""),
        ("RUN cat <<EOF > /x && make", "make"), ("COPY <<EOF (set -e...)", ""), ("", ""),
    ],
)  # fmt: skip
def test_the_compiler_of_a_run_of_a_file(text, compiler):
    assert run_compilers(Path("Dockerfile"), HEREDOCS)(text) == compiler


@given(st.text())
def test_any_text_is_read(text):
    assert compiles(text) == "" or text.strip()
    compiles(f"RUN {text}")
