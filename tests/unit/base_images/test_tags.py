"""The tag nearest to one that lacks a platform."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.base_images import tags

ALPINE = [f"3.{minor}-alpine" for minor in range(5, 23)]


def nearest(tag, known, having):
    asked = []

    def has(other):
        asked.append(other)
        return other in having

    return tags.nearest(tag, known, has), asked


@pytest.mark.parametrize(
    ("tag", "known", "having", "found"),
    [
        # The oldest newer version that has it; 3.9 is older than 3.18.
        ("3.18-alpine", ALPINE, {"3.20-alpine", "3.21-alpine", "3.22-alpine"}, "3.20-alpine"),
        ("3.18-alpine", ["3.9-alpine", "3.19-alpine", "3.18"], {"3.9-alpine", "3.19-alpine"}, "3.19-alpine"),
        ("3.18-alpine", ["3.9-alpine", "3.17-alpine", "3.19-alpine"], {"3.9-alpine", "3.17-alpine"}, "3.17-alpine"),
        # Another number of components, another word and another suffix are other families.
        ("3.18-alpine", ["3.19.1-alpine", "4-alpine", "3.19-slim", "3.19-alpine-rc1", "latest"], {"latest", "3.19.1-alpine"}, ""),
        # The distribution changes before the version of the program.
        ("3.12-slim-bookworm", ["3.12-slim-trixie", "3.13-slim-bookworm", "3.13-slim-trixie"],
         {"3.12-slim-trixie", "3.13-slim-bookworm", "3.13-slim-trixie"}, "3.12-slim-trixie"),
        ("3.12-slim-bookworm", ["3.12-slim-trixie", "3.13-slim-bookworm"], {"3.13-slim-bookworm"}, "3.13-slim-bookworm"),
        ("bookworm-slim", ["bullseye-slim", "trixie-slim", "noble-slim", "trixie"],
         {"bullseye-slim", "trixie-slim", "trixie"}, "trixie-slim"),
        ("jammy", ["noble", "trixie", "resolute"], {"trixie", "resolute"}, "resolute"),
        ("v1.2.3", ["v1.2.10", "v1.2.4"], {"v1.2.10"}, "v1.2.10"),
        # A tag for one architecture.
        ("1.0-amd64", ["1.0", "2.0-amd64"], {"1.0", "2.0-amd64"}, "1.0"), ("arm64v8-1.0", ["1.0"], {"1.0"}, "1.0"),
        ("arm64", ["latest"], {"latest"}, "latest"),
        ("1.0-linux-amd64-slim", ["1.0-linux-slim"], {"1.0-linux-slim"}, "1.0-linux-slim"),
        ("latest", ["1", "2"], {"1", "2"}, ""), ("latest", [], set(), ""),
    ],
)  # fmt: skip
def test_the_nearest_tag(tag, known, having, found):
    assert nearest(tag, known, having)[0] == found


def test_few_tags_are_asked_for():
    known = [f"1.{minor}-slim" for minor in range(2000)] + [f"1.{minor}" for minor in range(2000)]
    assert nearest("1.0-slim", known, set()) == ("", ["1.1999-slim"])
    found, asked = nearest("1.0-slim", known, {f"1.{minor}-slim" for minor in range(1000, 2000)})
    assert (found in {f"1.{minor}-slim" for minor in range(1000, 2000)}, len(asked)) == (True, tags.MAX_ASKED)


@pytest.mark.parametrize(
    ("reference", "general"),
    [
        ("docker.io/arm64v8/debian:trixie", "docker.io/library/debian:trixie"), ("docker.io/library/debian", ""),
        ("ghcr.io/arm64v8/debian", ""), ("docker.io/arm32v7/nginx:1@sha256:aa", "docker.io/library/nginx:1@sha256:aa"),
    ],
)  # fmt: skip
def test_images_for_one_architecture(reference, general):
    assert tags.without_single_arch(reference) == general


@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=10), st.booleans())
def test_any_tag_has_a_result(tag, known, has):
    found = tags.nearest(tag, known, lambda _: has)
    assert found == "" or (has and found in known and found != tag)
