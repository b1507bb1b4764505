"""The store of the settings, as sccache's server is told, and where it cannot be used."""

from pathlib import Path

import pytest
from machines import Machine, settings

from buildlib.compiler_cache.scripts import CompilerCache
from buildlib.compiler_cache.store import compiler_cache, problem, requirements, server_environment
from buildlib.core.errors import UsageError
from buildlib.machine.cargo_config import CargoConfig, Value

TRIMS = (("/h", "/src/.."), ("/h/ws", "/src"), ("/h/ws/target", "/target"), ("/sources", "/rustc/1"))
CACHE = CompilerCache(
    sccache=Path("/s"), socket=Path("/c/s"), folder=Path("/h/ws/target/arm64/tools/cached"), trims=TRIMS
)
SAME = {"SCCACHE_BASEDIRS": "/h:/h/ws:/h/ws/target", "SCCACHE_DIRECT": "false", "SCCACHE_CONF": "/dev/null"}


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("../compiled", {"SCCACHE_DIR": "/h/compiled", "SCCACHE_LOCAL_RW_MODE": "READ_WRITE"}),
        ("/compiled", {"SCCACHE_DIR": "/compiled", "SCCACHE_LOCAL_RW_MODE": "READ_WRITE"}),
        ("redis://r:1", {"SCCACHE_REDIS_ENDPOINT": "redis://r:1", "SCCACHE_REDIS_RW_MODE": "READ_WRITE"}),
        ("rediss://r:1/2", {"SCCACHE_REDIS_ENDPOINT": "rediss://r:1", "SCCACHE_REDIS_DB": "2", "SCCACHE_REDIS_RW_MODE": "READ_WRITE"}),
        ("s3://b/p/q", {"SCCACHE_BUCKET": "b", "SCCACHE_S3_KEY_PREFIX": "p/q", "SCCACHE_S3_RW_MODE": "READ_WRITE"}),
        ("s3://b", {"SCCACHE_BUCKET": "b", "SCCACHE_S3_KEY_PREFIX": "", "SCCACHE_S3_RW_MODE": "READ_WRITE"}),
    ],
)  # fmt: skip
def test_the_server_gets_the_store_of_the_settings(store, expected):
    config = settings(**{"cache.compiler": store}).cache
    assert server_environment(config, Path("/h/ws"), [CACHE], {}) == expected | SAME


def test_the_server_gets_what_belongs_to_its_store_and_no_jobserver():
    config = settings(**{"cache.compiler": "redis://r:1", "cache.read_only": True}).cache
    env = {
        "HOME": "/h", "MAKEFLAGS": "-j", "CARGO_MAKEFLAGS": "-j", "SCCACHE_GHA_ENABLED": "1", "SCCACHE_DIR": "/d",
        "SCCACHE_REDIS_PASSWORD": "p", "SCCACHE_REDIS_EXPIRATION": "60",
    }  # fmt: skip
    assert server_environment(config, Path("/h/ws"), [CACHE, CACHE], env) == {
        "HOME": "/h", "SCCACHE_REDIS_PASSWORD": "p", "SCCACHE_REDIS_EXPIRATION": "60", "SCCACHE_REDIS_ENDPOINT": "redis://r:1",
        "SCCACHE_REDIS_RW_MODE": "READ_ONLY", **SAME,
    }  # fmt: skip


@pytest.mark.parametrize(
    "store",
    ["redis://:secret@r:1", "rediss://me:secret@r", "s3://key@b", "http://r", "redis://", "redis://r:1/x", " x"],
)
def test_an_address_has_no_password_and_a_kind_that_is_known(store):
    with pytest.raises(UsageError, match="expected a directory, redis://HOST:PORT") as caught:
        settings(**{"cache.compiler": store})
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("tools", "home", "cache", "trim", "expected"),
    [
        (("bash",), "/h", "/c", True, ""),
        (("bash",), "/h", "/c", False, "trim_paths is false, so what is compiled is for this directory alone"),
        ((), "/h", "/c", True, "there is no bash"),
        (("bash",), "/my home", "/c", True, "a path of the workspace or of cargo has a space"),
        (("bash",), "/h", f"/{'c' * 90}", True, f"the path of a socket in /{'c' * 90} would be too long"),
    ],
)
def test_where_the_cache_cannot_be_used(tools, home, cache, trim, expected):
    host = Machine((*tools, "sccache"), env={"HOME": home}, cache=Path(cache))
    config = settings(**{"cache.compiler": "/store"}).cache
    assert problem(host, config, Path("/w"), trim=trim) == expected
    assert bool(compiler_cache(host, config, Path("/w"), Path("/t"), TRIMS if trim else ())) == (not expected)
    assert problem(host, settings().cache, Path("/w"), trim=trim) == ""
    assert compiler_cache(host, settings().cache, Path("/w"), Path("/t"), TRIMS) is None


@pytest.mark.parametrize(("wrapper", "expected"), [("/usr/bin/sccache", ""), ("mold -run", None)])
def test_sccache_around_rustc_is_left_out(wrapper, expected):
    wrappers = CargoConfig(wrappers=(Value(wrapper, "RUSTC_WRAPPER"),))
    host = Machine(("bash", "sccache"), cargo_config=wrappers)
    cache = compiler_cache(host, settings(**{"cache.compiler": "/store"}).cache, Path("/w"), Path("/t"), TRIMS)
    assert cache.environment.get("RUSTC_WRAPPER") == cache.environment.get("RUSTC_WORKSPACE_WRAPPER") == expected


def test_sccache_is_required_only_with_a_store():
    (needed,) = requirements(settings(**{"cache.compiler": "/store"}).cache)
    assert (needed.what, needed.met(Machine(("sccache",))), needed.met(Machine())) == ("sccache", True, False)
    assert "[cache]" in needed.fixes[0].text
    assert requirements(settings().cache) == ()


def test_only_the_server_gets_the_password():
    assert settings(**{"cache.compiler": "redis://r:1"}).secrets() >= {
        "SCCACHE_REDIS_PASSWORD",
        "SCCACHE_REDIS_USERNAME",
    }
    assert "SCCACHE_REDIS_PASSWORD" not in settings().secrets()
