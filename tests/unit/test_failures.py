import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.failures import classify


@pytest.mark.parametrize(
    ("output", "kind", "cause"),
    [
        (
            "error: failed to get `a`\nCaused by:\n  [6] Could not resolve host: index.example",
            "transient-network",
            "[6] Could not resolve host: index.example",
        ),
        (
            "warning: spurious network error (3 tries remaining): timed out\nerror[E0308]: mismatched types",
            "compile",
            None,
        ),
        ("error: could not write: No space left on device (os error 28)", "resource", None),
        ("warning: spurious network error: No space left on device\nerror: oops", "unknown", "error: oops"),
        ("error: linking with `cc` failed: exit status: 1", "compile", None),
        ("E: Unable to locate package rustc-web", "not-found", None),
        ("error: component download failed\n  6: Connection refused (os error 111)", "transient-network", None),
        ("toomanyrequests: You have reached your pull rate limit", "rate-limited", None),
        ("ERROR: Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "builder", None),
        ("ERROR: failed to push r/a: push access denied, insufficient_scope: authorization failed", "auth", None),
        ("ERROR: unexpected status from POST request to http://r/v2/: 403 Forbidden", "auth", None),
        # A token that could not be fetched in time is no refusal.
        (
            "ERROR: failed to authorize: failed to fetch oauth token: Post: net/http: TLS handshake timeout",
            "transient-network",
            None,
        ),
        ("ERROR: failed to solve: debian:x: no match for platform in manifest: not found", "not-found", None),
        ('ERROR: failed to solve: target stage "a" could not be found', "not-found", None),
        ("ERROR: docker.io/library/rust:9: not found", "not-found", None),
        ("ERROR: dial tcp: lookup r.invalid on 10.0.0.1:53: no such host", "not-found", None),
        ("", "unknown", ""),
    ],
)
def test_the_last_error_decides(output, kind, cause):
    failure = classify(output)
    assert failure.kind == kind
    assert cause is None or failure.cause == cause
    assert failure.transient is (kind in ("transient-network", "rate-limited"))


@given(st.text())
def test_any_text_has_a_class(text):
    assert classify(text).kind
