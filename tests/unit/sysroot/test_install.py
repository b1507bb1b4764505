from dataclasses import replace
from pathlib import Path

import pytest
from elf_files import linked
from machines import ARM64, MUSL, Recorder, context, settings

from buildlib.core.component_settings import Component
from buildlib.core.errors import BuildError, MissingRequirements, NetworkError, UsageError
from buildlib.core.plan import Link, Outcome, Step
from buildlib.core.request import Request
from buildlib.core.sysroot import Sysroot, SystemLibrary
from buildlib.core.targets import TARGETS
from buildlib.elf import digest
from buildlib.machine.host import Host
from buildlib.process.files import link
from buildlib.sysroot import install

URIS = "'http://m.test/libssl3_3-1_arm64.deb' libssl3_3-1_arm64.deb 1 MD5Sum:1\n"
SHOW = "Package: libssl3\nSection: libs\n"
LIBRARY = "usr/lib/aarch64-linux-gnu/libssl.so.3"
CONTENTS = f"-rw-r--r-- root/root 1 2026-01-01 00:00 ./{LIBRARY}\n"


class Debian(Recorder):
    """A runner with a mirror that has one package; `answers` replaces answers by title."""

    def __init__(self, answers=(), **more):
        super().__init__(
            {"packages": (0, URIS), "sections": (0, SHOW), "contents": (0, CONTENTS)} | dict(answers), **more
        )

    def __call__(self, action):
        if isinstance(action, Link):
            link(action)
            return Outcome(step=action, code=0, seconds=0)
        return super().__call__(action)

    def job(self, job):
        outcome = super().job(job)
        if job.name.startswith("unpack") and outcome and not self.dry:
            root = Path(
                next(step.argv[-1] for step in job.steps if isinstance(step, Step) and step.argv[0] == "dpkg-deb")
            )
            (root / LIBRARY).parent.mkdir(parents=True)
            (root / LIBRARY).write_bytes(linked((14, "libssl.so.3")))
        return outcome


@pytest.fixture(autouse=True)
def no_debian(monkeypatch, tmp_path):
    """The machine of the tests is no Debian, whose mirrors would be asked for."""
    monkeypatch.setattr(install, "OS_RELEASE", tmp_path / "os-release")


@pytest.fixture
def provide(machine, tmp_path):
    """A function that provides ["libssl-dev"] for targets with this runner; it returns the sysroots."""

    def provide(run, *targets, tools=("apt-get", "dpkg-deb"), request=None, cache="cache", **flags):
        host = machine(tools=tools, cache=tmp_path / cache)
        before = context(host, run, root=tmp_path, **{"libraries": ["libssl-dev"]} | flags)
        before = replace(before, request=request or before.request)
        return install.provide(before, targets or (ARM64,)).host.sysroots

    return provide


def test_a_sysroot_is_downloaded_once_and_described(provide, tmp_path):
    run = Debian()
    found = provide(run)
    root = Path(found["arm64"].root)
    assert root.parent == tmp_path / "cache" / "libraries" / "trixie-arm64"
    library = SystemLibrary(
        package="libssl3", file=LIBRARY, sha256=digest(root / LIBRARY), size=(root / LIBRARY).stat().st_size
    )
    assert found == {"arm64": Sysroot(
        root=str(root), multiarch="aarch64-linux-gnu", suite="trixie", packages={"libssl3": "3-1"}, libraries={"libssl.so.3": library},
    )}  # fmt: skip
    assert (root / "shared" / "libssl.so.3").resolve() == root / LIBRARY
    assert run.asked == [
        "apt for arm64", "apt-get install --yes --no-install-recommends --print-uris libssl-dev", "apt-cache show libssl3=3-1",
        "unpack 1 packages", f"dpkg-deb --contents {root.parent}/apt/packages/libssl3_3-1_arm64.deb",
    ]  # fmt: skip
    again = Debian()
    assert (provide(again), again.asked) == (found, [])


@pytest.mark.parametrize("damage", ["text", "format", "file", "root"])
def test_a_damaged_description_is_made_again(provide, damage):
    found = provide(Debian())
    root = Path(found["arm64"].root)
    (description,) = root.parent.glob("*.json")
    match damage:
        case "text":
            description.write_text('{"root": 1}')
        case "format":
            description.write_text(description.read_text().replace('"format":1', '"format":0'))
        case "root":
            root.rename(root.with_name("gone"))
            assert provide(Debian()) == found
            return
    (root / LIBRARY).unlink()
    (root / LIBRARY).parent.rmdir()
    run = Debian()
    assert (provide(run), bool(run.asked)) == (found, True)


def test_packages_of_compilers_alone_are_no_libraries(provide):
    message = "libraries: libc6-dev: compilers bring their own"
    with pytest.raises(UsageError, match=f"^{message}$"):
        provide(Debian({"packages": (0, "")}), libraries=["libc6-dev"])


def test_what_a_dry_run_has_planned_needs_apt(provide):
    planned, present = provide(Debian(dry=True)), provide(Debian())
    assert (install.requirements(planned.values()), install.requirements(present.values())) == ((install.APT,), ())


def test_nothing_is_asked_without_libraries_and_for_static_targets(provide):
    run = Debian()
    assert provide(run, libraries=[]) == {}
    assert provide(run, MUSL) == {}
    assert run.asked == []


def test_debian_s_armhf_is_not_for_armv6(provide):
    run = Debian()
    with pytest.raises(UsageError) as caught:
        provide(run, TARGETS["armv6"])
    assert caught.value.message == "libraries: Debian has none for armv6: its armhf is armv7"
    assert run.asked == []
    for name in ("amd64", "arm64", "armv7", "386", "riscv64", "ppc64le", "s390x", "loong64"):
        assert list(provide(Debian(dry=True), TARGETS[name])) == [name]


def test_a_dry_run_downloads_nothing(provide, capsys, tmp_path):
    run = Debian(dry=True)
    (sysroot,) = provide(run).values()
    assert (sysroot.is_planned, run.asked) == (True, [])
    warning = "warning: arm64: libssl-dev of Debian trixie would be downloaded, and may raise the minimum glibc\n"
    assert capsys.readouterr().err == warning


def test_compilers_cannot_be_told_of_a_path_with_a_space(provide, tmp_path):
    with pytest.raises(MissingRequirements, match=f"^libraries: {tmp_path}/a b: path with a space$"):
        provide(Debian(), cache="a b")


def test_a_disk_that_is_almost_full_is_refused(provide, tmp_path, monkeypatch):
    monkeypatch.setattr(Host, "free", lambda *_: 7 << 20)
    message = f"^libraries: 7 MiB are free in {tmp_path}/cache/libraries, expected 100$"
    with pytest.raises(BuildError, match=message):
        provide(Debian())


def test_without_apt_or_network_nothing_is_tried(provide):
    with pytest.raises(MissingRequirements, match="libraries: needs Debian's apt"):
        provide(Debian(), tools=["apt-get"])
    for request in (Request(offline=True), Request(frozen=True)):
        with pytest.raises(NetworkError, match="libraries: libssl-dev for arm64 are not in the cache"):
            provide(Debian(), request=request)


DOWN = (100, "E: Failed to fetch http://m.test/x  Connection refused")


@pytest.mark.parametrize(
    ("answers", "error", "message"),
    [
        ({"apt for arm64": DOWN, "packages": (100, "E: Unable to locate package libssl-dev")}, NetworkError,
         "Debian trixie for arm64: Failed to fetch http://m.test/x  Connection refused"),
        ({"packages": (100, "E: Unable to locate package libssl-dev")}, UsageError,
         "libraries: Debian trixie for arm64 has no package libssl-dev"),
        ({"unpack 1 packages": DOWN}, NetworkError, "Debian trixie for arm64: Failed to fetch http://m.test/x  Connection refused"),
    ],
)  # fmt: skip
def test_a_failure_leaves_no_description(provide, tmp_path, answers, error, message):
    with pytest.raises(error) as caught:
        provide(Debian(answers))
    assert caught.value.message == message
    assert not list(tmp_path.rglob("libraries/*/*.json"))


def test_a_mirror_that_lacks_a_list_is_a_warning_if_apt_can_do_without(provide, capsys):
    assert list(provide(Debian({"apt for arm64": DOWN}))) == ["arm64"]
    expected = "warning: some package lists are missing: Debian trixie for arm64: Failed to fetch http://m.test/x  Connection refused"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("image", "suite"),
    [
        ("debian:trixie-slim", "trixie"), ("debian:bookworm", "bookworm"), ("docker.io/library/debian:12.5-slim", "bookworm"),
        ("debian:13", "trixie"), ("debian:stable-20260101-slim", "stable"), ("debian:trixie@sha256:00", "trixie"),
        ("gcr.io/distroless/cc-debian12:nonroot", "bookworm"), ("debian:latest", ""), ("debian", ""), ("debian:99", ""),
        ("ubuntu:24.04", ""), ("mirror.acme.test/debian:trixie", ""), ("alpine:3", ""),
    ],
)  # fmt: skip
def test_the_name_of_a_base_image_says_its_suite(image, suite):
    assert install.suite_of_image(image) == suite


@pytest.mark.parametrize(
    ("bases", "setting", "expected"),
    [
        ([], "", "trixie"), (["", "scratch"], "", "trixie"), (["debian:bookworm-slim", ""], "", "bookworm"),
        (["debian:bookworm", "debian:12"], "", "bookworm"), (["ubuntu:24.04"], "sid", "sid"),
        (["debian:bookworm", "debian:trixie"], "", "debian:bookworm, debian:trixie"),
        (["debian:12", "ubuntu:24.04"], "", "ubuntu:24.04"),
    ],
)  # fmt: skip
def test_the_suite_follows_from_the_base_images(bases, setting, expected):
    config = settings(suite=setting)
    components = {str(number): Component(base=base) for number, base in enumerate(bases)}
    config = type(config)(
        **{**{name: getattr(config, name) for name in config.__struct_fields__}, "components": components}
    )
    if " " not in expected and ":" not in expected:
        assert install.suite_of(config) == expected
        return
    with pytest.raises(UsageError) as caught:
        install.suite_of(config)
    assert caught.value.message == f"the suite of the libraries does not follow from {expected}"
