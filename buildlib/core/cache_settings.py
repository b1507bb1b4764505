"""Settings of the cache of compiled crates and C files."""

from typing import Annotated

from msgspec import Meta, Struct

# The variables that sccache reads for the name and the password of a Redis.
LOGIN = frozenset({"SCCACHE_REDIS_USERNAME", "SCCACHE_REDIS_PASSWORD"})


class Cache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where compilers keep what they have made, for other directories and machines."""

    compiler: Annotated[
        str,
        Meta(
            # No name and password in an address: settings are committed.
            pattern=r"\A(|rediss?://[^\s/@?#]+(/[0-9]+)?|s3://[^\s/@?#]+(/[^\s?#]*)?|(?![a-z0-9+.-]+://)[^\s].*)\Z",
            description="store of compiled crates and C files that machines share: a directory, redis://HOST:PORT (rediss:// with"
            " TLS), or s3://BUCKET/PREFIX; sccache reads and writes it",
            examples=["redis://cache.acme.test:6379", "s3://acme-builds/sccache", "../compiled"],
            extra={
                "expected": "a directory, redis://HOST:PORT, rediss://HOST:PORT or s3://BUCKET/PREFIX, without a password"
                " (SCCACHE_REDIS_PASSWORD has it)"
            },
        ),
    ] = ""
    read_only: Annotated[
        bool,
        Meta(description="whether builds only read the store, as those of pull requests should"),
    ] = False

    def secrets(self) -> frozenset[str]:
        """The variables with a name and a password, which only the server of sccache gets."""
        return LOGIN if self.compiler else frozenset()
