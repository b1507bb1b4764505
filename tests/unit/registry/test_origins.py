"""Which URLs of a registry are requested, and which get its credentials."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from buildlib.registry.origins import Origin, join, origin_of, refuse_realm, refuse_url, upload_url

HUB = Origin("https", "registry-1.docker.io", 443)
LOCAL = Origin("http", "127.0.0.1", 5000)
PRIVATE = Origin("https", "10.0.0.5", 443)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://ghcr.io/v2/", Origin("https", "ghcr.io", 443)),
        ("HTTP://GHCR.io", Origin("http", "ghcr.io", 80)),
        ("https://x:8443?a=b", Origin("https", "x", 8443)),
        ("http://[::1]:5000/t#f", Origin("http", "[::1]", 5000)),
        ("https://a_b.s3.test/x%20y", Origin("https", "a_b.s3.test", 443)),
    ],
)
def test_the_origin_of_a_url(url, origin):
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/v2/",
        "ghcr.io",
        "//ghcr.io/",
        "ftp://x/",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://u:p@ghcr.io/",
        "https://@x/",
        "https://evil.test\\@ghcr.io/",
        "https://ghcr.io\\.evil.test/",
        "https://x:99999/",
        "https://x:/",
        "https://x y/",
        "https://x/a b",
        "https://x/\n",
        "https://x\t/",
        "https://[::1",
        "https://[x]/",
        "HTTP://[0]",
        "http://[1:2]/",
        "https://exämple.test/",
        "javascript:alert(1)",
        "https://x/ä",
        "https://\x00x/",
    ],
)
def test_other_texts_are_no_urls(url):
    """User information and backslashes too: two parsers of URLs see two hosts in them."""
    assert origin_of(url) is None
    assert refuse_url(HUB, url) == refuse_realm(HUB, url) == "not an http or https URL"


@pytest.mark.parametrize(
    "host",
    ["127.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1.", "0", "0xa9fea9fe", "169.254.43518",
     "[::ffff:7f00:1]", "localhost.", "a.localhost", "A.LOCALHOST."],
)  # fmt: skip
def test_every_spelling_of_an_address_of_this_machine(host):
    """Those that the resolver of this machine reads as such an address; no registry needs any of them."""
    origin = origin_of(f"https://{host}/")
    assert (origin.is_local, origin.is_private) == (True, True)
    assert "this machine or its link" in refuse_url(HUB, f"http://{host}:8080/")
    assert "private network" in refuse_realm(HUB, f"https://{host}/")


@pytest.mark.parametrize(
    "host", ["localhost.evil.test", "notlocalhost", "127.0.0.1.nip.io", "xn--lcalhost-0za.test", "8.8"]
)
def test_names_that_only_look_like_this_machine(host):
    assert origin_of(f"https://{host}/").is_private is False


@pytest.mark.parametrize(
    "realm",
    [
        "https://auth.docker.io/token",
        "https://registry-1.docker.io/token",
        "https://203.0.113.9.nip.io/t",
        "https://93.184.216.34/t",
    ],
)
def test_a_realm_over_https_gets_the_credentials(realm):
    assert refuse_realm(HUB, realm) == ""


@pytest.mark.parametrize(
    ("realm", "reason"),
    [
        ("http://auth.docker.io/token", "unencrypted"),
        ("http://registry-1.docker.io/token", "unencrypted"),
        ("http://127.0.0.1:1/token", "unencrypted"),
        ("http://localhost/token", "unencrypted"),
        ("https://169.254.169.254/latest/meta-data", "private network"),
        ("https://[fd00:ec2::254]/", "private network"),
        ("https://127.0.0.1/t", "private network"),
        ("https://localhost/t", "private network"),
        ("https://10.0.0.7/t", "private network"),
        ("https://10.7/t", "private network"),
        ("https://100.100.100.200/t", "private network"),
        ("https://[::ffff:10.0.0.7]/t", "private network"),
        ("https://0.0.0.0/t", "private network"),
        ("https://[::]/", "private network"),
        ("", "not an http"),
        ("token", "not an http"),
        ("ftp://auth.docker.io/", "not an http"),
        ("https://u@auth.docker.io/", "not an http"),
    ],
)
def test_no_other_realm_gets_the_credentials(realm, reason):
    assert reason in refuse_realm(HUB, realm)


@pytest.mark.parametrize(
    ("registry", "realm", "refused"),
    [
        (LOCAL, "http://127.0.0.1:5000/token", False),
        (LOCAL, "http://127.0.0.1:5001/token", False),
        (LOCAL, "http://localhost:5001/token", False),
        (LOCAL, "https://auth.test/token", False),
        (LOCAL, "http://auth.test/token", True),
        (LOCAL, "http://127.evil.test/token", True),
        (LOCAL, "http://127.0.0.1.nip.io/token", True),
        (LOCAL, "http://10.0.0.7/token", True),
        (LOCAL, "https://10.0.0.7/token", False),
        (PRIVATE, "https://10.0.0.5/token", False),
        (PRIVATE, "https://10.0.0.6/token", False),
        (PRIVATE, "http://10.0.0.5/token", True),
        (PRIVATE, "https://127.0.0.1/token", True),
        (PRIVATE, "https://169.254.169.254/token", True),
    ],
)
def test_a_registry_of_this_machine_or_its_network(registry, realm, refused):
    assert bool(refuse_realm(registry, realm)) == refused


@pytest.mark.parametrize(
    ("registry", "url", "refused"),
    [
        (HUB, "https://storage.test/x", False),
        (HUB, "http://storage.test/x", False),
        (HUB, "https://10.0.0.7:9000/x", False),
        (HUB, "http://127.0.0.1/x", True),
        (HUB, "https://[::1]/x", True),
        (HUB, "http://localhost:8080/", True),
        (HUB, "http://169.254.169.254/latest", True),
        (HUB, "http://[fe80::1]/", True),
        (HUB, "https://0.0.0.0/", True),
        (HUB, "http://224.0.0.1/", True),
        (LOCAL, "http://127.0.0.1:9000/x", False),
        (LOCAL, "http://169.254.169.254/", False),
    ],
)
def test_redirects(registry, url, refused):
    """Content is verified, and nothing secret goes with a redirect: only addresses of this machine are protected."""
    assert bool(refuse_url(registry, url)) == refused


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/v2/a/uploads/u?x=1", "https://ghcr.io/v2/a/uploads/u?x=1"),
        ("https://ghcr.io/v2/u", "https://ghcr.io/v2/u"),
        ("http://ghcr.io/v2/u", "https://ghcr.io/v2/u"),
        ("https://upload.ghcr.io/u", "https://upload.ghcr.io/u"),
        ("//upload.ghcr.io/u", "https://upload.ghcr.io/u"),
    ],
)
def test_the_location_of_an_upload(location, url):
    assert upload_url("https://ghcr.io", location) == (url, "")


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("", "not an http or https URL"),
        ("http://[::1", "not an http or https URL"),
        ("ftp://x/", "not an http or https URL"),
        ("http://upload.ghcr.io/u", "the content would be sent unencrypted"),
        ("http://ghcr.io.evil.test/u", "the content would be sent unencrypted"),
        ("http://127.0.0.1:1/u", "127.0.0.1 is an address of this machine or its link"),
    ],
)
def test_a_location_that_is_refused(location, reason):
    assert upload_url("https://ghcr.io", location)[1] == reason


@given(
    st.one_of(
        st.text(),
        st.text("htps:/@[]\\.#?127 x").map("http://".__add__),
        st.from_regex(r"https?://[!-~]{0,20}", fullmatch=True),
    )
)
def test_any_text_is_an_origin_or_not(url):
    """What is an origin here is the same host for the library that sends the request."""
    origin = origin_of(url)
    if origin:
        parsed = parse_url(url)
        assert (parsed.scheme, parsed.host) == (origin.scheme, origin.host)
        assert (parsed.port or {"http": 80, "https": 443}[origin.scheme]) == origin.port
        assert parsed.auth is None
    assert isinstance(join("https://ghcr.io/v2/", url), str)
    assert isinstance(refuse_realm(HUB, url), str)
