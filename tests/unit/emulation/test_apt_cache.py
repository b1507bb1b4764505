"""The packages that are unpacked into the cache, and the job that does it."""

from pathlib import Path

import pytest
from machines import AMD64, ARM64, MUSL, Machine, Recorder, context

from buildlib.core.plan import Install, Outcome, Step
from buildlib.core.targets import TARGETS
from buildlib.emulation import apt_cache
from buildlib.rust import provision

APT = ("apt-get", "dpkg-deb")
LIBC = "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"
ANSWER = (
    "'http://deb.test/q/qemu-user-static_7.2%2bdfsg-7_amd64.deb' qemu-user-static_1%3a7.2+dfsg-7_amd64.deb 62603724 SHA256:c3\n"
    "'http://deb.test/l/libc6.deb' libc6-arm64-cross_2.36-8cross1_all.deb 1004648 SHA256:91\n"
)


@pytest.mark.parametrize(
    ("tools", "files", "target", "packages"),
    [
        (APT, (), ARM64, ["qemu-user-static", "qemu-user", "libc6-arm64-cross libgcc-s1-arm64-cross"]),
        (APT, (LIBC,), ARM64, ["qemu-user-static", "qemu-user"]),
        ((*APT, "qemu-aarch64-static"), (), ARM64, ["libc6-arm64-cross libgcc-s1-arm64-cross"]),
        ((*APT, "qemu-aarch64"), (), MUSL, []),
        (APT, (), AMD64, []),
        ((), (), ARM64, []),
        (("apt-get",), (), ARM64, []),
    ],
)
def test_the_packages_that_are_missing_and_available(tools, files, target, packages):
    selections = apt_cache.selections(Machine(tools=tools, files=files), target)
    assert [" ".join(selection.packages) for selection in selections] == packages


def test_the_file_names_in_the_answer_of_apt():
    assert apt_cache.file_names(ANSWER) == (
        "qemu-user-static_1%3a7.2+dfsg-7_amd64.deb",
        "libc6-arm64-cross_2.36-8cross1_all.deb",
    )
    assert apt_cache.file_names("E: Unable to locate package\n") == ()


def test_the_job_that_unpacks_packages():
    (selection,) = apt_cache.selections(Machine(tools=(*APT, "qemu-ppc64le-static")), TARGETS["ppc64le"])
    job = apt_cache.unpack(Machine(), selection, ("a.deb", "b.deb"))
    scratch = Path("/cache/debs/lib64/libc6-ppc64el-cross")
    assert (job.lock, job.done, job.scratch) == (Path("/cache/debs"), Path("/cache/libc/ppc64el/lib64"), scratch)
    assert [(step.argv, step.cwd) for step in job.steps if isinstance(step, Step)] == [
        (("apt-get", "download", "libc6-ppc64el-cross", "libgcc-s1-ppc64el-cross"), scratch),
        (("dpkg-deb", "--extract", "a.deb", "tree"), scratch), (("dpkg-deb", "--extract", "b.deb", "tree"), scratch),
    ]  # fmt: skip
    assert job.steps[-1] == Install(
        source=scratch / "tree/usr/powerpc64le-linux-gnu/lib", pattern="*.so*", into=job.done
    )


def test_a_package_that_apt_does_not_have_is_skipped(tmp_path):
    class Apt(Recorder):
        def __call__(self, action):
            self.asked.append(action.title)
            return Outcome(step=action, code=0, seconds=0, stdout=ANSWER if "qemu-user-static" in action.title else "")

    run = Apt()
    provision.unpack_emulators(context(Machine(tools=APT, files=(LIBC,)), run, root=tmp_path), (ARM64,))
    assert run.asked == ["files of qemu-user-static", "qemu-user-static, unpacked", "files of qemu-user"]


def test_a_download_that_fails_is_reported_and_the_others_continue(tmp_path, capsys):
    packages = "libc6-arm64-cross libgcc-s1-arm64-cross"
    failed = (100, "E: Failed to fetch http://x  Could not resolve 'x'")
    run = Recorder({f"files of {packages}": (0, ANSWER), f"{packages}, unpacked": failed})
    provision.unpack_emulators(context(Machine(tools=(*APT, "qemu-aarch64-static")), run, root=tmp_path), (ARM64,))
    assert f"{packages}, unpacked failed: E: Failed to fetch" in capsys.readouterr().err
