"""References as Docker and go-containerregistry's pkg/name read them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildlib.core.errors import UsageError
from buildlib.registry.reference import Reference, host_of, is_loopback, parse

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
HUB = "registry-1.docker.io"


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        # Docker Hub's defaults.
        ("debian", "docker.io", "library/debian", "", ""),
        ("debian:12", "docker.io", "library/debian", "12", ""),
        ("acme/app", "docker.io", "acme/app", "", ""),
        ("acme/team/app", "docker.io", "acme/team/app", "", ""),
        ("docker.io/debian", "docker.io", "library/debian", "", ""),
        ("docker.io/library/debian:12", "docker.io", "library/debian", "12", ""),
        ("index.docker.io/debian", "docker.io", "library/debian", "", ""),
        ("index.docker.io/acme/app:1", "docker.io", "acme/app", "1", ""),
        ("registry-1.docker.io/library/debian", "docker.io", "library/debian", "", ""),
        ("docker://debian", "docker.io", "library/debian", "", ""),
        # A registry has a dot, a colon, or is localhost.
        ("ghcr.io/acme/app", "ghcr.io", "acme/app", "", ""),
        ("ghcr.io/app", "ghcr.io", "app", "", ""),
        ("ghcr.io/library/app", "ghcr.io", "library/app", "", ""),
        ("localhost/app", "localhost", "app", "", ""),
        ("localhost:5000/app:1", "localhost:5000", "app", "1", ""),
        ("localhost:5000/app", "localhost:5000", "app", "", ""),
        ("registry:5000/a/b", "registry:5000", "a/b", "", ""),
        ("registry/a/b", "docker.io", "registry/a/b", "", ""),
        ("127.0.0.1:5000/acme/app:1", "127.0.0.1:5000", "acme/app", "1", ""),
        ("xn--80ak6aa92e.test/app", "xn--80ak6aa92e.test", "app", "", ""),
        ("GHCR.io/acme/app", "GHCR.io", "acme/app", "", ""),
        # Without a slash, what is behind the colon is a tag.
        ("localhost", "docker.io", "library/localhost", "", ""),
        ("localhost:5000", "docker.io", "library/localhost", "5000", ""),
        ("ghcr.io", "docker.io", "library/ghcr.io", "", ""),
        # IPv6.
        ("[::1]:5000/app", "[::1]:5000", "app", "", ""),
        ("[::1]:5000/app:1", "[::1]:5000", "app", "1", ""),
        ("[::1]/app", "[::1]", "app", "", ""),
        ("[2001:db8::1]:443/a/b@" + DIGEST, "[2001:db8::1]:443", "a/b", "", DIGEST),
        # Tags and digests.
        ("ghcr.io/acme/app:1.0_a-b", "ghcr.io", "acme/app", "1.0_a-b", ""),
        ("ghcr.io/acme/app:_x", "ghcr.io", "acme/app", "_x", ""),
        ("ghcr.io/acme/app:V" + "1" * 127, "ghcr.io", "acme/app", "V" + "1" * 127, ""),
        ("debian@" + DIGEST, "docker.io", "library/debian", "", DIGEST),
        ("ghcr.io/acme/app:1.0@" + DIGEST, "ghcr.io", "acme/app", "1.0", DIGEST),
        ("localhost:5000/app@" + DIGEST, "localhost:5000", "app", "", DIGEST),
        # Separators in a repository.
        ("ghcr.io/a-b/c_d/e__f/g.h/i---j", "ghcr.io", "a-b/c_d/e__f/g.h/i---j", "", ""),
        ("ghcr.io/" + "a" * 255, "ghcr.io", "a" * 255, "", ""),
    ],
)
def test_a_reference_is_parsed_as_docker_does(text, registry, repository, tag, digest):
    reference = parse(text)
    assert reference == Reference(registry=registry, repository=repository, tag=tag, digest=digest)
    assert parse(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "\n", " debian", "debian ", "debian\n", "deb ian", "debian: 1", "debian\t:1", "/", "/app", "app/", "a//b", ":", ":1",
        "debian:", "debian:-1", "debian:.1", "debian:ä", "debian:1:2", "debian:" + "1" * 129, "@", "debian@", "debian@sha256:",
        "debian@sha256:0", f"debian@{DIGEST.upper()}", f"debian@{DIGEST}0", f"debian@sha512:{'0' * 128}", f"debian@{DIGEST}@{DIGEST}",
        f"@{DIGEST}", "a..b/c", "-a.b/c", "a-.b/c", ".b/c", "b./c", "a_b.test/c", "ghcr.io/", "ghcr.io/a_/b", "ghcr.io/_a",
        "ghcr.io/a___b", "ghcr.io/a..b", "ghcr.io/-a", "ghcr.io/a-", "ghcr.io:port/a", "ghcr.io:/a", "ghcr.io:123456/a", "[::1/app",
        "::1/app", "[]/app", "[::1]x/app", "[:::]/app", "[::g]/app", "[::1]:/app", "https://ghcr.io/a", "docker://", "ghcr.io/ä",
        "ghcr.io/" + "a" * 256, "user:pw@ghcr.io/a", "ghcr.io/a?b", "ghcr.io/a%20b", "localhost:5000/", "localhost:5000:1",
        "Localhost/app", "1.2.3/", "[/var/lib/x]", "ghcr.io:65536/a",
    ],
)  # fmt: skip
def test_a_text_that_is_not_a_reference_is_a_usage_error(text):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert (caught.value.code, caught.value.message) == (2, f"{text!r} is not an image reference")


@pytest.mark.parametrize(
    ("text", "help_text"),
    [
        ("GHCR.io/Acme/App", "write it as ghcr.io/acme/app:1.0; did you mean 'ghcr.io/acme/app'?"),
        ("Debian", "write it as ghcr.io/acme/app:1.0; did you mean 'debian'?"),
        ("ghcr.io/a b", "write it as ghcr.io/acme/app:1.0"),
        ("debian:a b", "a tag has letters, digits, _ . and -, at most 128"),
        ("debian@sha256:0", "write a digest as sha256: and 64 hex digits"),
        ("ghcr.io/" + "a" * 256, "a repository has at most 255 characters"),
    ],
)
def test_the_help_names_what_is_wrong(text, help_text):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.help == help_text


@pytest.mark.parametrize(
    ("text", "version", "host"),
    [
        ("debian", "latest", HUB),
        ("debian:12", "12", HUB),
        (f"ghcr.io/a:1@{DIGEST}", DIGEST, "ghcr.io"),
        ("index.docker.io/a/b", "latest", HUB),
        ("localhost:5000/a", "latest", "localhost:5000"),
    ],
)
def test_a_reference_knows_its_version_and_host(text, version, host):
    assert (parse(text).version, parse(text).host) == (version, host)


@pytest.mark.parametrize(
    ("registry", "host"),
    [
        ("docker.io", HUB),
        ("index.docker.io", HUB),
        (HUB, HUB),
        ("ghcr.io", "ghcr.io"),
        ("localhost:5000", "localhost:5000"),
    ],
)
def test_docker_hub_has_another_host(registry, host):
    assert host_of(registry) == host


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:5000", "LOCALHOST:5000", "localhost:1/x", "127.0.0.1", "127.0.0.1:5000", "127.0.0.5",
     "127.255.255.254:80", "[::1]", "[::1]:5000", "[0:0:0:0:0:0:0:1]:5000"],
)  # fmt: skip
def test_the_loopback_is_recognized(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "127.evil.example", "127.0.0.1.evil.example", "127.0.0.1.nip.io:5000", "localhost.evil.example", "notlocalhost",
     "localhost:x@evil.example", "127.0.0.1@evil.example", "1270.test", "128.0.0.1", "0.0.0.0", "10.0.0.1", "mirror.test:127",
     "[::2]:5000", "[::1", "[::1].evil.example", "127.1", "ghcr.io/localhost"],
)  # fmt: skip
def test_other_hosts_are_not_the_loopback(host):
    """Never by prefix: plain HTTP to a host on the network would leak credentials."""
    assert not is_loopback(host)


# --- properties ----------------------------------------------------------------------------------------------------

ANY_LOAD = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

PART = st.from_regex(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*", fullmatch=True).filter(lambda part: len(part) < 40)
LABEL = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,8}[A-Za-z0-9])?", fullmatch=True)
NAME = st.lists(LABEL, min_size=2, max_size=4).map(".".join)
ADDRESS = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(lambda address: f"[{address}]"))
HOST = st.one_of(NAME, ADDRESS, st.just("localhost"))
REGISTRY = st.builds(
    lambda host, port: f"{host}{port}", HOST, st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
)
TAG = st.one_of(st.just(""), st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True))
DIGESTS = st.one_of(st.just(""), st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:".__add__))


@ANY_LOAD
@given(REGISTRY, st.lists(PART, min_size=1, max_size=4).map("/".join), TAG, DIGESTS)
def test_a_reference_is_parsed_back_from_its_text(registry, repository, tag, digest):
    reference = parse(f"{registry}/{repository}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}")
    assert parse(str(reference)) == reference
    assert (reference.registry, reference.repository, reference.tag, reference.digest) == (
        registry,
        repository,
        tag,
        digest,
    )


@ANY_LOAD
@given(st.one_of(st.text(), st.text("ab.:/@-_[]1 "), REGISTRY))
def test_any_text_is_parsed_or_refused(text):
    try:
        reference = parse(text)
    except UsageError as error:
        assert error.message == f"{text!r} is not an image reference"
    else:
        assert parse(str(reference)) == reference


@ANY_LOAD
@given(st.ip_addresses(v=4))
def test_an_address_is_the_loopback_in_its_network_only(address):
    assert is_loopback(f"{address}:5000") == (address.packed[0] == 127)
