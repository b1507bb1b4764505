"""Where a build is, read from BuildKit's lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.builder.positions import position


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("#12 [linux/amd64->arm64 builder 2/5] RUN cargo build", "linux/amd64->arm64 builder step 2/5"),
        ("#7 [linux/arm64 stage-1 1/4] FROM docker.io/library/debian:trixie-slim", "linux/arm64 stage-1 step 1/4"),
        ("#9 [builder 2/5] RUN x", "builder step 2/5"),
        ("#1 [2/2] RUN make", "step 2/2"),
        (
            "#2 [linux/amd64 internal] load metadata for docker.io/library/debian",
            "load metadata for docker.io/library/debian",
        ),
        ("#1 [internal] load metadata for ghcr.io/a/b:1", "load metadata for ghcr.io/a/b:1"),
        ("#1 [internal] load build definition from Dockerfile", ""),
        ("#6 transferring context: 41.30MB 2.1s", "transferring context: 41.30MB"),
        ("#6 transferring context: 2B done", ""),
        ("#5 sha256:aaa 10.49MB / 200MB 3.0s", "downloading a layer: 10.49MB / 200MB"),
        ("#5 sha256:aaa 200MB / 200MB 3.0s done", ""),
        ("#5 extracting sha256:aaa 0.2s", "extracting"),
        ("#9 exporting to image", "exporting to image"),
        ("#15 pushing layers 2.1s", "pushing layers"),
        ("#15 pushing layers 31.2s done", ""),
        ("#20 pushing manifest for ghcr.io/acme/a:1@sha256:5a1b 0.4s", "pushing manifest"),
        ("#9 sending tarball 1.0s", "sending tarball"),
        ("#7 importing cache manifest from x", "importing cache"),
        ("#12 0.125 exporting to image", ""),  # of a program
        ("#8 DONE 0.2s", ""),
        ("exporting to image", ""),
    ],
)
def test_positions(line, text):
    assert position(line) == text


@given(st.text())
def test_any_line_is_read(text):
    assert isinstance(position(text), str) and isinstance(position(f"#1 [{text}"), str)
