from hypothesis import given
from hypothesis import strategies as st

from buildlib import dockerfile, oci
from buildlib.targets import TARGETS

RUNTIME = oci.Runtime(
    entrypoint=("/usr/bin/a",),
    ports=(80, 81),
    health=("a", "--health"),
    env={"B": 'x "$y" \\z', "A": "1"},
    volumes=("/v",),
)


def test_the_whole_file():
    assert dockerfile.render("a", RUNTIME, "debian:trixie-slim", [TARGETS["amd64"], TARGETS["armv7"]]) == (
        "FROM scratch AS binaries\n"
        "FROM scratch AS binary-amd64\n"
        "COPY --from=binaries --chmod=0755 amd64/a /usr/bin/a\n"
        "FROM scratch AS binary-armv7\n"
        "COPY --from=binaries --chmod=0755 armv7/a /usr/bin/a\n"
        "FROM binary-${TARGETARCH}${TARGETVARIANT} AS binary\n"
        "FROM scratch AS empty\n"
        "FROM debian:trixie-slim\n"
        "COPY --from=binary / /\n"
        "COPY --from=empty --chown=65532:65532 / /v/\n"
        'ENV A="1"\n'
        'ENV B="x \\"\\$y\\" \\\\z"\n'
        "EXPOSE 80\n"
        "EXPOSE 81\n"
        'VOLUME ["/v"]\n'
        "USER 65532:65532\n"
        'HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["a", "--health"]\n'
        'ENTRYPOINT ["/usr/bin/a"]\n'
    )


def test_stages_are_named_as_buildkit_names_platforms():
    wanted = {
        "amd64": "amd64",
        "arm64-musl": "arm64",
        "armv7": "armv7",
        "armv6": "armv6",
        "386": "386",
        "riscv64": "riscv64",
    }
    assert {name: dockerfile.stage(TARGETS[name]) for name in wanted} == wanted


@given(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])))
def test_a_value_stays_on_its_line_and_means_itself(value):
    text = dockerfile._quoted(value)
    assert text[0] == text[-1] == '"'
    inner, out = iter(text[1:-1]), []
    for char in inner:
        assert char not in '"$'  # unless a backslash stands before it
        out.append(next(inner) if char == "\\" else char)
    assert "".join(out) == value
