"""What a build from a Dockerfile uses. The cases and their results are BuildKit's (cases.toml)."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildlib.base_images import dockerfile
from buildlib.base_images.dockerfile import Base, Image
from buildlib.base_images.mounts import RemoteFile, Secret, Ssh
from buildlib.core.errors import UsageError

CASES = tomllib.loads(Path(__file__).with_name("cases.toml").read_text(encoding="utf-8"))["case"]
ACCEPTED = [case for case in CASES if "refused" not in case]
REFUSED = [case for case in CASES if "refused" in case]
ARM64, AMD64, ARMV7 = "linux/arm64", "linux/amd64", "linux/arm/v7"


def read(text, args=(), target="", platform=ARM64, **options):
    return dockerfile.read(
        text, dict(args), target, for_platforms=[platform], build_platforms={platform: AMD64}, **options
    )


def names(sources):
    return sorted({f"{image.reference} {image.platform}" for base in sources.bases for image in base.images.values()})


def of_case(case):
    return read(case["text"], case.get("args", {}), case.get("target", ""), case.get("platform", ARM64))


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case["name"])
def test_the_images_are_those_that_buildkit_asks_for(case):
    sources = of_case(case)
    missing = [name for base in sources.bases for name in base.missing]
    assert missing == case.get("missing", [])
    if not missing:
        assert names(sources) == case["images"]
    assert sorted(f"{secret.id} {str(secret.required).lower()}" for secret in sources.secrets) == case.get(
        "secrets", []
    )
    assert sorted(f"{key.id} {str(key.required).lower()}" for key in sources.ssh) == case.get("ssh", [])


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["name"])
def test_what_buildkit_refuses_is_an_error_with_file_and_line(case):
    with pytest.raises(UsageError, match=r"^Dockerfile:\d+: "):
        of_case(case)


@pytest.mark.parametrize(
    ("text", "message", "help_text"),
    [
        ("FROM debian\nFORM x", "d/Dockerfile:2: unknown instruction FORM", "did you mean 'FROM'?"),
        ("# c\n\nFROM Debian", "d/Dockerfile:3: FROM Debian: not the name of an image",
         "write it as debian:trixie-slim or ghcr.io/acme/app:1.0"),
        ("ARG A=x:y:z\nFROM $A", "d/Dockerfile:2: FROM $A ('x:y:z'): not the name of an image",
         "write it as debian:trixie-slim or ghcr.io/acme/app:1.0"),
        ("FROM a\nCOPY --from=$B / /", "d/Dockerfile:2: COPY --from=$B: variables are not expanded here",
         "define a stage before it with FROM, which may have variables, and name that one"),
        ("FROM --platform=$P a", "d/Dockerfile:1: --platform=$P: P has no value", "write it as linux/arm64"),
        ("FROM --platform=sparc65 a", "d/Dockerfile:1: --platform=sparc65: 'sparc65' is not a platform", "write it as linux/arm64"),
        ("FROM a:${B:?set B to a tag}", "d/Dockerfile:1: FROM a:${B:?set B to a tag}: expected IMAGE or IMAGE AS NAME", ""),
        ("FROM a:${B", "d/Dockerfile:1: a:${B: unsupported modifier () in a substitution", ""),
        ("FROM a\nRUN <<E\n", "d/Dockerfile:2: the heredoc E is not terminated", ""),
        ("FROM a\nRUN --mount=from=$X,target=/x y", "d/Dockerfile:2: --mount: from=$X: variables are not expanded here",
         "define a stage before it with FROM, which may have variables, and name that one"),
        ("# escape=x\nFROM a", "d/Dockerfile:1: invalid escape character 'x'", "use \\ or `"),
        ("", "d/Dockerfile:1: no FROM", "a Dockerfile begins with FROM"),
        ("# syntax=A:B\nFROM a", "d/Dockerfile: syntax=A:B: not the name of an image", "write it as docker/dockerfile:1"),
    ],
)  # fmt: skip
def test_errors(text, message, help_text):
    with pytest.raises(UsageError) as error:
        read(text, title="d/Dockerfile")
    assert (error.value.message, error.value.help) == (message, help_text)


def test_an_unknown_target_names_the_nearest_stage():
    text = "FROM a AS build\nFROM b AS runtime"
    with pytest.raises(UsageError) as error:
        read(text, target="runtme", title="d/Dockerfile")
    assert (error.value.message, error.value.help) == ("d/Dockerfile: no stage 'runtme'", "did you mean 'runtime'?")
    with pytest.raises(UsageError) as error:
        read("FROM a", target="runtime")
    assert error.value.help == "name a stage with FROM image AS name"


def test_a_base_has_the_image_of_each_platform():
    text = """\
ARG TAG=1
FROM --platform=$BUILDPLATFORM golang:$TAG AS build
FROM acme/base-${TARGETARCH}:$TAG
COPY --from=build / /
COPY --from=busybox@sha256:HASH / /
COPY --from=docker.io/library/golang:1 / /
""".replace("HASH", "a" * 64)
    busybox = f"busybox@sha256:{'a' * 64}"
    sources = dockerfile.read(
        text, {"TAG": "2"}, title="D", for_platforms=[ARM64, "linux/arm"], build_platforms={ARM64: ARM64, ARMV7: AMD64}
    )
    assert sources.bases == (
        Base(text="golang:$TAG", line=2, instruction="FROM", title="D", platform="$BUILDPLATFORM", images={
            ARM64: Image("golang:2", "docker.io/library/golang:2", ARM64),
            ARMV7: Image("golang:2", "docker.io/library/golang:2", AMD64),
        }),
        Base(text="acme/base-${TARGETARCH}:$TAG", line=3, instruction="FROM", title="D", images={
            ARM64: Image("acme/base-arm64:2", "docker.io/acme/base-arm64:2", ARM64),
            ARMV7: Image("acme/base-arm:2", "docker.io/acme/base-arm:2", ARMV7),
        }),
        Base(text=busybox, line=5, instruction="COPY --from", title="D", images={
            ARM64: Image(busybox, f"docker.io/library/{busybox}", ARM64),
            ARMV7: Image(busybox, f"docker.io/library/{busybox}", ARMV7),
        }),
        Base(text="docker.io/library/golang:1", line=6, instruction="COPY --from", title="D", images={
            ARM64: Image("docker.io/library/golang:1", "docker.io/library/golang:1", ARM64),
            ARMV7: Image("docker.io/library/golang:1", "docker.io/library/golang:1", ARMV7),
        }),
    )  # fmt: skip
    assert [base.has_digest for base in sources.bases] == [False, False, True, False]
    assert [base.known for base in sources.bases] == [True] * 4
    base = sources.bases[1]
    assert (base.images[ARM64].reference, base.where) == ("docker.io/acme/base-arm64:2", "D:3")


def test_an_image_without_a_name_is_kept_beside_its_missing_arguments():
    (base,) = read("ARG BASE\nARG TAG\nARG IMAGE=${BASE}:${TAG}\nFROM $IMAGE").bases
    assert base == Base(text="$IMAGE", line=4, instruction="FROM", title="Dockerfile", missing=("BASE", "TAG"))
    assert (base.known, base.has_digest, base.images) == (False, False, {})


def test_a_name_that_is_complete_without_a_value_is_known():
    assert names(read("ARG SUFFIX\nFROM debian:trixie$SUFFIX")) == ["docker.io/library/debian:trixie linux/arm64"]


def test_build_contexts_replace_stages_and_images():
    text = """\
FROM node AS before
RUN --mount=type=secret,id=b true
FROM golang AS build
RUN --mount=type=secret,id=a true
COPY --from=before / /
FROM build AS later
FROM debian:latest
COPY --from=build / /
COPY --from=later / /
COPY --from=docker.io/acme/other / /
ADD https://example.com/a /a
"""
    contexts = ("build", "debian", "acme/other:latest")
    sources = read(text, contexts=contexts)
    # BuildKit asks for the image of a stage that a replaced one copies from, and does not execute it.
    assert (names(sources), sources.secrets) == (["docker.io/library/node:latest linux/arm64"], ())
    images = ("acme/other", "library/debian", "library/golang", "library/node")
    assert names(read(text)) == [f"docker.io/{name}:latest {ARM64}" for name in images]
    assert [secret.id for secret in read(text).secrets] == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "frontend"),
    [
        ("# syntax=docker/dockerfile:1\nFROM a", "docker.io/docker/dockerfile:1"),
        ("#syntax = docker/dockerfile:1.7-labs and words\nFROM a", "docker.io/docker/dockerfile:1.7-labs"),
        (
            "#!/usr/bin/env docker\n# escape=`\n# SYNTAX=docker.io/docker/dockerfile\nFROM a",
            "docker.io/docker/dockerfile:latest",
        ),
        ("\ufeff# syntax=docker/dockerfile:1\r\nFROM a", "docker.io/docker/dockerfile:1"),
        ("# a comment\n# syntax=docker/dockerfile:1\nFROM a", ""),
        ("\n# syntax=docker/dockerfile:1\nFROM a", ""),
        (" # syntax=docker/dockerfile:1\nFROM a", ""),
        ("FROM a", ""),
    ],
)
def test_the_frontend(text, frontend):
    assert read(text).frontend == frontend
    assert read(text, {"BUILDKIT_SYNTAX": "acme/frontend:2 x"}).frontend == "docker.io/acme/frontend:2"


def test_downloads_without_a_checksum():
    commit = "0123456789abcdef0123456789abcdef01234567"
    text = f"""\
ARG VERSION=1
FROM alpine AS unused
ADD https://example.com/unused /
FROM alpine AS base
ARG VERSION
ENV URL=https://example.com FILE=local
ONBUILD ADD https://example.com/later /
FROM base
ADD https://example.com/$VERSION.tar /x
ADD --checksum=sha256:aa https://example.com/fixed /x
ADD --checksum=$NONE https://example.com/empty /x
ADD ["http://example.com/a b", "$URL/in-env", "$FILE", "/x/"]
ADD $UNKNOWN local.tar dir/$UNKNOWN /x/
ADD https://github.com/acme/a.git#main https://github.com/acme/a.git#{commit}:dir /x/
ADD git@github.com:acme/a.git git@github.com:acme/a.git#{commit} git://h/a?commit={commit} ssh://git@h/a#v1 /x/
ADD <<https://example.com/heredoc ./https://example.com/file github.com/acme/a /x/
https://example.com/heredoc
COPY https://example.com/copy /x
"""
    assert read(text).unpinned == tuple(
        RemoteFile(source=source, line=line)
        for line, source in [
            (7, "https://example.com/later"), (9, "https://example.com/1.tar"), (11, "https://example.com/empty"),
            (12, "http://example.com/a b"), (12, "https://example.com/in-env"), (13, "$UNKNOWN"),
            (14, "https://github.com/acme/a.git#main"), (15, "git@github.com:acme/a.git"), (15, "ssh://git@h/a#v1"),
        ]
    )  # fmt: skip


def test_secrets_keys_and_stages():
    text = """\
FROM alpine AS Build
ENV NAME=token
RUN --mount=type=secret,id=npm --mount=type=secret,id=${NAME},env=NPM_TOKEN,required true
FROM build AS runtime
RUN --mount=type=secret,id=npm,required=true --mount=type=secret,target=/etc/pip.conf true
RUN --mount=type=secret,src=other,env= --mount=type=ssh --mount=type=ssh,id=key,required=TRUE true
"""
    sources = read(text)
    assert sources.stages == ("build", "runtime")
    assert sources.secrets == (
        Secret(id="npm", line=3, required=True), Secret(id="token", line=3, env="NPM_TOKEN", required=True),
        Secret(id="pip.conf", line=5), Secret(id="other", line=6, env="other"),
    )  # fmt: skip
    assert sources.ssh == (Ssh(id="default", line=6), Ssh(id="key", line=6, required=True))


def test_all_platforms_of_buildlib_are_read_without_a_choice():
    text = "FROM acme/base:$TARGETARCH$TARGETVARIANT"
    (base,) = dockerfile.read(text, {}).bases
    assert base.images["linux/arm/v6"].reference == "docker.io/acme/base:armv6"
    assert set(base.images) == set(dockerfile.PLATFORMS)


FRAGMENTS = st.sampled_from(
    [
        "FROM ", "AS ", "ARG A", "COPY --from=", "RUN --mount=", "ONBUILD ", "ENV A ", "ADD ", "<<E", "E\n", "\n", "\\\n", "$", "${A",
        "}", ":-", "#", "%", "/", "'", '"', "`", "[", "]", "=", ",", " ", "\t", "a", "1", "\r\n", "# escape=`\n", "type=secret,id=",
        "é", "\x00",
    ]
)  # fmt: skip


@given(st.lists(FRAGMENTS, max_size=40).map("".join) | st.text(max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text):
    for whole in (text, f"ARG A=1\nFROM a:{text}\n", f"FROM a\n{text}"):
        try:
            read(whole)
        except UsageError as error:
            assert error.message.startswith("Dockerfile")


def test_deep_nesting_and_long_lines_are_refused():
    with pytest.raises(UsageError, match="nested"):
        read("FROM a:" + "${A:-" * 5000 + "}" * 5000)
    with pytest.raises(UsageError, match="more than 65535 bytes"):
        read("FROM a\nRUN " + "x" * 70000)
    with pytest.raises(UsageError, match="before the first FROM"):
        read("ONBUILD " * 5000 + "RUN x")
