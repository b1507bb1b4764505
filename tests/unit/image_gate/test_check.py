"""The gate: images that are wrong, each with its findings, and unusual ones that are correct."""

import io
import os
import tarfile

import pytest
from elf_files import archive as static_library
from elf_files import arm_attributes, member
from gate_images import Data, Link, archive, elf, image, layer, lines, program, runtime, tar

from buildlib.image_gate.check import check, check_platforms
from buildlib.image_gate.findings import lines as shown
from buildlib.image_gate.scans import Scans

ARM64 = runtime("arm64")
APP = {"app": program("arm64")}
PYTHON = {"usr/bin/python3": program("arm64"), "usr/bin/env": program("arm64"), "bin/sh": program("arm64")}
V8 = arm_attributes({6: 14, 28: 1})
V7 = arm_attributes({6: 10, 28: 1})
OBJECT_SOFT = arm_attributes({6: 10, 23: 3})


def armv7(**files):
    return runtime("arm") | {"app": program("arm")} | files


# --- wrong images ------------------------------------------------------------------------------------------------------------------

WRONG = {
    "a file for another architecture in a layer": (
        "linux/arm64",
        [ARM64 | APP, {"usr/lib/python3/x.so": elf("amd64")}],
        {},
        ["linux/arm64: layer 2: /usr/lib/python3/x.so: architecture: x86-64, expected AArch64"],
    ),
    "a library for another architecture in a jar": (
        "linux/arm64",
        [ARM64 | APP | {"app.jar": archive({"native/libx.so": elf("amd64"), "A.class": b"\xca\xfe"})}],
        {},
        ["linux/arm64: layer 1: /app.jar!/native/libx.so: architecture: x86-64, expected AArch64"],
    ),
    "the same in a jar of a jar": (
        "linux/arm64",
        [
            ARM64
            | APP
            | {"app.jar": archive({"BOOT-INF/lib/x.jar": archive({"linux-x86-64/libx.so": elf("amd64")})}, 0)}
        ],
        {},
        [
            "linux/arm64: layer 1: /app.jar!/BOOT-INF/lib/x.jar!/linux-x86-64/libx.so: architecture: x86-64, expected AArch64"
        ],
    ),
    "the wrong variant": (
        "linux/arm/v7",
        [armv7()],
        {"configured": "linux/arm/v6"},
        ["linux/arm/v7: configuration: linux/arm/v6, expected linux/arm/v7"],
    ),
    "another architecture in the configuration": (
        "linux/arm64",
        [ARM64 | APP],
        {"configured": "linux/amd64"},
        ["linux/arm64: configuration: linux/amd64, expected linux/arm64"],
    ),
    "a missing loader": (
        "linux/arm64",
        [APP],
        {},
        [
            "linux/arm64: layer 1: /app: loader: /lib/ld-linux-aarch64.so.1 is not in the image, expected the loader that the program "
            "names"
        ],
    ),
    "a loader for another architecture": (
        "linux/arm64",
        [ARM64 | APP | {"lib/ld-linux-aarch64.so.1": elf("amd64")}],
        {},
        [
            "linux/arm64: layer 1: /app: loader: /lib/ld-linux-aarch64.so.1 is for x86-64, expected AArch64",
            "linux/arm64: layer 1: /lib/ld-linux-aarch64.so.1: architecture: x86-64, expected AArch64",
        ],
    ),
    "a missing library of a library": (
        "linux/arm64",
        [ARM64, {"app": program("arm64", "liba.so.1"), "usr/lib/liba.so.1": elf("arm64", "libc.so.6", "libb.so.2")}],
        {},
        [
            "linux/arm64: layer 2: /usr/lib/liba.so.1: needed library: libb.so.2 is not in the image, expected a library "
            "that the loader finds"
        ],
    ),
    "an entrypoint of another architecture": (
        "linux/arm64",
        [runtime("amd64") | {"app": program("amd64")}],
        {"foreign": ("/lib*/**",)},
        ["linux/arm64: layer 1: /app: architecture: x86-64, expected AArch64"],
    ),
    "an entrypoint that is missing": (
        "linux/arm64",
        [ARM64],
        {"entrypoint": ("app",)},
        ["linux/arm64: app: program: not in the image, expected an executable file"],
    ),
    "an entrypoint that may not be executed": (
        "linux/arm64",
        [ARM64 | {"app": Data(program("arm64"))}],
        {},
        ["linux/arm64: /app: program: not executable, expected an executable file"],
    ),
    "a script with a missing interpreter": (
        "linux/arm64",
        [ARM64 | {"app": b"#!/bin/bash -e\n"}],
        {},
        ["linux/arm64: layer 1: /app: interpreter: /bin/bash not in the image, expected an executable file"],
    ),
    "a script with line ends of Windows": (
        "linux/arm64",
        [ARM64 | PYTHON | {"app": b"#!/bin/sh\r\nexec x\r\n"}],
        {},
        [
            "linux/arm64: layer 1: /app: interpreter: '/bin/sh\\r' not in the image (the script has line ends of Windows), "
            "expected an executable file"
        ],
    ),
    "env -S with a missing program": (
        "linux/arm64",
        [ARM64 | PYTHON | {"app": b"#!/usr/bin/env -S A=1 node --x\n"}],
        {},
        ["linux/arm64: layer 1: /usr/bin/env: program: node not in the image, expected an executable file"],
    ),
    "sh -c with a missing program": (
        "linux/arm64",
        [ARM64 | PYTHON],
        {"entrypoint": ("/bin/sh", "-c", "exec server $OPTIONS")},
        ["linux/arm64: layer 1: /bin/sh: program: server not in the image, expected an executable file"],
    ),
    "a program of sh -c that is for another architecture": (
        "linux/arm64",
        [ARM64 | PYTHON | {"usr/bin/server": elf("amd64")}],
        {"entrypoint": ("/bin/sh", "-c", "server --x")},
        ["linux/arm64: layer 1: /usr/bin/server: architecture: x86-64, expected AArch64"],
    ),
    "a library for soft floats": (
        "linux/arm/v7",
        [armv7(**{"usr/lib/libx.so": elf("softfloat")})],
        {},
        ["linux/arm/v7: layer 1: /usr/lib/libx.so: float ABI: soft, expected hard"],
    ),
    "an object for soft floats in a static library": (
        "linux/arm/v7",
        [
            armv7(
                **{
                    "usr/lib/libx.a": static_library(
                        member("a.o/", elf("arm", kind=1, attributes=V7)),
                        member("b.o/", elf("go-arm", kind=1, attributes=OBJECT_SOFT)),
                    )
                }
            )
        ],
        {},
        ["linux/arm/v7: layer 1: /usr/lib/libx.a!/b.o: float ABI: soft, expected hard"],
    ),
    "a library for Armv8": (
        "linux/arm/v7",
        [armv7(**{"usr/lib/libx.so": elf("arm", attributes=V8)})],
        {},
        ["linux/arm/v7: layer 1: /usr/lib/libx.so: Arm version: v8, expected v7 or older"],
    ),
    "a library for Armv7 in an image for Armv6": (
        "linux/arm/v6",
        [armv7(**{"usr/lib/libx.so": elf("arm", attributes=V7)})],
        {},
        ["linux/arm/v6: layer 1: /usr/lib/libx.so: Arm version: v7, expected v6K or older"],
    ),
    "a 32-bit program on arm64": (
        "linux/arm64",
        [ARM64 | APP | {"opt/tool": elf("arm")}],
        {},
        ["linux/arm64: layer 1: /opt/tool: architecture: Arm, expected AArch64"],
    ),
    "an entrypoint for 32 bits on amd64": (
        "linux/amd64",
        [{"app": elf("386")}],
        {},
        ["linux/amd64: layer 1: /app: architecture: i386, expected x86-64"],
    ),
    "an x86-64 file on 386": (
        "linux/386",
        [{"app": elf("386"), "x": elf("amd64")}],
        {},
        ["linux/386: layer 1: /x: architecture: x86-64, expected i386"],
    ),
    "no program at all": (
        "linux/arm64",
        [ARM64],
        {"entrypoint": None},
        ["linux/arm64: program: none, expected Entrypoint or Cmd in the configuration"],
    ),
    "an object as a program": (
        "linux/arm64",
        [{"app": elf("arm64", kind=1)}],
        {},
        ["linux/arm64: layer 1: /app: program: ET_REL, expected an executable file"],
    ),
    "a text as a program": (
        "linux/arm64",
        [{"app": b"exec server\n"}],
        {},
        ["linux/arm64: layer 1: /app: program: neither an ELF file nor a script, expected an executable file"],
    ),
    "an unknown platform": (
        "plan9/amd64",
        [APP],
        {},
        ["plan9/amd64: platform: plan9/amd64, expected one that buildlib knows"],
    ),
    "a layer that is none": (
        "linux/arm64",
        [b"text" * 200],
        {},
        [
            "linux/arm64: layers: layer sha256:000000000000 cannot be read: a header with a number that is not one, or not a tar file"
        ],
    ),
    "natives for other platforms only, beside some for all": (
        "linux/arm64",
        [
            ARM64
            | APP
            | {
                "a.jar": archive(
                    {f"linux-{arch}/liba.so": elf(arch) for arch in ("amd64", "arm64")} | {"x64/b.so": elf("amd64")}
                )
            }
        ],
        {},
        ["linux/arm64: layer 1: /a.jar!/x64/b.so: architecture: x86-64, expected AArch64"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_image_is_refused_with_layer_and_path(name):
    platform, layers, more, expected = WRONG[name]
    assert lines(platform, *layers, **more) == expected


# --- correct images ------------------------------------------------------------------------------------------------------------------

MUSL = {"lib/ld-musl-aarch64.so.1": elf("arm64"), "usr/lib/libz.so.1": elf("arm64", "libc.musl-aarch64.so.1")}
NATIVES = {f"META-INF/native/libnetty_{arch}.so": elf(of) for arch, of in (("x86_64", "amd64"), ("aarch_64", "arm64"))}
RIGHT = {
    "a static program and nothing else": ("linux/arm64", [{"app": elf("arm64", kind=2)}], {}),
    "a dynamic program": ("linux/arm64", [ARM64, APP], {}),
    "no shell, as in distroless": (
        "linux/amd64",
        [runtime("amd64") | {"app": program("amd64")}],
        {"env": ("PATH=/usr/bin",)},
    ),
    "musl": (
        "linux/arm64",
        [MUSL | {"app": elf("arm64", "libz.so.1", "libc.so", loader="/lib/ld-musl-aarch64.so.1")}],
        {},
    ),
    "variants that mean the same": ("linux/arm64", [ARM64 | APP], {"configured": "linux/arm64/v8"}),
    "arm without a variant": ("linux/arm/v7", [armv7()], {"configured": "linux/arm"}),
    "a level of amd64": ("linux/amd64/v3", [{"app": elf("amd64")}], {}),
    "arm/v5": ("linux/arm/v5", [{"app": elf("softfloat")}], {}),
    "a cross toolchain that is listed": (
        "linux/amd64",
        [{"app": elf("amd64"), "usr/aarch64-linux-gnu/lib/libc.so.6": elf("arm64")}],
        {"foreign": ("/usr/aarch64-linux-gnu/**",)},
    ),
    "firmware and test data that are listed": (
        "linux/arm64",
        [ARM64 | APP | {"usr/lib/firmware/a/b.elf": elf("386"), "t/x.jar": archive({"a/b.so": elf("s390x")})}],
        {"foreign": ("/usr/lib/firmware/**", "*.jar!/a/**")},
    ),
    "code for devices": (
        "linux/arm64",
        [ARM64 | APP | {"x.bpf.o": elf("bpf", kind=1), "y.hsaco": elf("amdgpu"), "z.cubin": elf("cuda")}],
        {},
    ),
    "32-bit and x32 libraries on amd64": (
        "linux/amd64",
        [{"app": elf("amd64"), "lib32/libc.so.6": elf("386"), "libx32/libc.so.6": elf("x32")}],
        {},
    ),
    "31-bit libraries on s390x": ("linux/s390x", [{"app": elf("s390x"), "usr/lib/s390/libc.so.6": elf("s390")}], {}),
    "natives for several platforms in a jar": ("linux/arm64", [ARM64 | APP | {"app.jar": archive(NATIVES)}], {}),
    "natives in one jar for each platform": (
        "linux/arm64",
        [
            ARM64
            | APP
            | {
                f"lib/netty-{a}.jar": archive({f"native/libnetty_{a}.so": elf(b)})
                for a, b in (("x86_64", "amd64"), ("aarch_64", "arm64"))
            }
        ],
        {},
    ),
    "natives for other systems": (
        "linux/arm64",
        [ARM64 | APP | {"j.jar": archive({"freebsd-x86-64/libj.so": elf("amd64")})}],
        {},
    ),
    "a file for FreeBSD": ("linux/arm64", [ARM64 | APP | {"x": elf("amd64", system=9)}], {}),
    "prebuilt extensions of node": (
        "linux/arm64",
        [ARM64 | APP | {f"n/prebuilds/linux-{n}/a.node": elf(a) for n, a in (("x64", "amd64"), ("arm64", "arm64"))}],
        {},
    ),
    "an extension of node that was compiled, beside prebuilt ones": (
        "linux/riscv64",
        [
            {
                "app": elf("riscv64"),
                "n/build/Release/a.node": elf("riscv64"),
                "n/prebuilds/linux-x64/a.node": elf("amd64"),
            }
        ],
        {},
    ),
    "extensions of Python for two architectures": (
        "linux/arm64",
        [
            ARM64
            | APP
            | {f"p/x.cpython-312-{n}-linux-gnu.so": elf(a) for n, a in (("x86_64", "amd64"), ("aarch64", "arm64"))}
        ],
        {},
    ),
    "a file that a later layer removes": (
        "linux/arm64",
        [ARM64 | APP | {"d/x.so": elf("amd64")}, {"d/.wh.x.so": b""}],
        {},
    ),
    "a link that leads out of the image": (
        "linux/arm64",
        [ARM64 | APP | {"bin/app": "../../../../app"}],
        {"entrypoint": ("/bin/app",)},
    ),
    "hard links": ("linux/arm64", [ARM64 | APP | {"b": Link("app")}], {"entrypoint": ("/b",)}),
    "a linker script": (
        "linux/arm64",
        [ARM64 | APP | {"usr/lib/libc.so": b"/* GNU ld script */\nGROUP ( /lib/libc.so.6 )\n"}],
        {},
    ),
    "files that only begin as ELF files do": (
        "linux/arm64",
        [
            ARM64
            | APP
            | {"a": b"\x7fELF", "b": b"\x7fELF" + b"\xff" * 99, "c": elf("amd64")[:40], "d.a": b"!<arch>\nx" * 9}
        ],
        {},
    ),
    "a core dump": ("linux/arm64", [ARM64 | APP | {"core": elf("amd64", kind=4)}], {}),
    "a kernel module for soft floats": ("linux/arm/v7", [armv7(**{"lib/modules/x.ko": elf("softfloat", kind=1)})], {}),
    "a program of Go, which names no float ABI": ("linux/arm/v7", [{"app": elf("go-arm", kind=2)}], {}),
    "a library that asks for Armv8": (
        "linux/arm/v7",
        [armv7(**{"usr/lib/libgcrypt.so": elf("arm", attributes=V8, text=b"getauxval\0")})],
        {},
    ),
    "broken attributes of Arm": ("linux/arm/v7", [armv7(**{"x.so": elf("arm", attributes=b"A\xff\xff\xff\xff")})], {}),
    "a script through env": ("linux/arm64", [ARM64 | PYTHON | {"app": b"#!/usr/bin/env python3\n"}], {}),
    "a shell's builtins and variables": (
        "linux/arm64",
        [ARM64 | PYTHON],
        {"entrypoint": ("sh", "-c", "cd /x && $SERVER")},
    ),
    "an init process": (
        "linux/arm64",
        [ARM64 | APP | {"sbin/tini": elf("arm64")}],
        {"entrypoint": ("tini", "--", "/app"), "cmd": ("x",)},
    ),
    "a tool of busybox that is no file": (
        "linux/arm64",
        [{"bin/busybox": elf("arm64"), "bin/sh": "busybox"}],
        {"entrypoint": None, "cmd": ("sh", "-c", "httpd -f")},
    ),
    "a script without #!, which a shell starts": (
        "linux/arm64",
        [ARM64 | PYTHON | {"start": b"exec server\n"}],
        {"entrypoint": ("sh", "-c", "/start")},
    ),
    "a program relative to the working directory": (
        "linux/arm64",
        [ARM64 | {"srv/bin/app": program("arm64")}],
        {"entrypoint": ("bin/app",), "folder": "/srv"},
    ),
    "a library in a directory of the configuration": (
        "linux/arm64",
        [
            ARM64
            | {
                "app": program("arm64", "libx.so.1"),
                "opt/x/libx.so.1": elf("arm64"),
                "etc/ld.so.conf.d/x.conf": b"# x\n/opt/x\n",
            }
        ],
        {},
    ),
    "a Spring Boot jar that is a script, too": (
        "linux/arm64",
        [ARM64 | PYTHON | {"app": b"#!/bin/sh\nexit 0\n" + archive(NATIVES)}],
        {},
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_an_unusual_image_is_accepted(name):
    platform, layers, more = RIGHT[name]
    assert lines(platform, *layers, **more) == []


def test_a_sparse_file_is_read_with_its_holes():
    """As bsdtar stores a library with a hole at its end: format 1.0."""
    data, size = elf("amd64"), 1 << 40
    stored = f"1\n0\n{len(data)}\n".encode().ljust(512, b"\0") + data
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as file:
        entry = tarfile.TarInfo("GNUSparseFile.0/x.so")
        entry.pax_headers = {
            "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x.so", "GNU.sparse.realsize": str(size),
        }  # fmt: skip
        entry.size = len(stored)
        file.addfile(entry, io.BytesIO(stored))
    assert lines("linux/arm64", {"app": elf("arm64", kind=2)}, out.getvalue()) == [
        "linux/arm64: layer 2: /x.so: architecture: x86-64, expected AArch64"
    ]


def test_all_findings_are_collected_and_twenty_are_shown():
    files = {f"x/{number:03}.so": elf("amd64") for number in range(50)}
    found = check(image("linux/arm64", ARM64 | APP, files), "linux/arm64")
    assert [finding.path for finding in found] == [f"/x/{number:03}.so" for number in range(50)]
    text = shown(found)
    assert (len(text), text[0], text[-1]) == (
        21, "layer 2 (sha256:000000000000): /x/000.so: architecture: x86-64, expected AArch64", "and 30 more",
    )  # fmt: skip


def test_findings_are_limited():
    files = {f"x/{number}.so": elf("amd64") for number in range(1100)}
    assert len(check(image("linux/arm64", ARM64 | APP, files), "linux/arm64")) == 1000


def test_a_name_that_would_control_the_terminal_is_escaped():
    assert lines("linux/arm64", ARM64 | APP | {"a\x1b[2J\nb.so": elf("amd64")}) == [
        "linux/arm64: layer 1: /a\\x1b[2J\\nb.so: architecture: x86-64, expected AArch64"
    ]


def test_a_layer_is_read_once_for_images_that_share_it():
    opened = []

    def counted(one):
        return type(one)(one.digest, lambda: (opened.append(one.digest), one.open())[1])

    base, scans = counted(layer(1, ARM64)), Scans()
    for number in (2, 3):
        content = image("linux/arm64")
        layers = [base, counted(layer(number, APP))]
        assert check(type(content)(content.configuration, layers), "linux/arm64", scans=scans) == ()
    assert [int(digest.removeprefix("sha256:")) for digest in opened] == [1, 2, 3]


def test_what_is_kept_of_layers_is_limited():
    scans = Scans(kept=3)
    for number in range(5):
        assert len(scans.of([layer(number, {"a": b"x", "b": b"y"})])) == 1
    assert list(scans._scans) == [f"sha256:{4:064}"]


@pytest.mark.parametrize(
    ("actual", "requested", "expected"),
    [
        (["linux/amd64", "linux/arm64"], ["linux/arm64", "linux/amd64"], []),
        (["linux/amd64"], None, []),
        (["linux/amd64"], ["linux/amd64", "linux/arm64"], ["linux/arm64: platforms: not in the index, expected an image for it"]),
        (["linux/amd64", "linux/386"], ["linux/amd64"], ["linux/386: platforms: in the index, expected only what was requested"]),
        (["linux/amd64", "linux/amd64"], None, ["linux/amd64: platforms: 2 images, expected one"]),
        ([], ["linux/amd64"], ["linux/amd64: platforms: not in the index, expected an image for it"]),
    ],
)  # fmt: skip
def test_platforms_of_an_index(actual, requested, expected):
    assert [str(finding) for finding in check_platforms(actual, requested)] == expected


def test_a_large_library_is_read_on_the_disk(monkeypatch):
    """What its end says, without its content in memory."""
    from buildlib.image_gate import elf_files

    monkeypatch.setattr(elf_files, "IN_MEMORY", 1 << 10)
    big = elf("arm", attributes=V8, text=os.urandom(600_000))
    assert lines("linux/arm/v7", armv7(**{"x.so": big})) == [
        "linux/arm/v7: layer 1: /x.so: Arm version: v8, expected v7 or older"
    ]


def test_a_layer_without_end_is_refused(monkeypatch):
    from buildlib.image_layers import compression

    monkeypatch.setattr(compression, "FREE", 1 << 10)
    monkeypatch.setattr(compression, "RATIO", 0)
    assert lines("linux/arm64", tar({"a": bytes(9000)})) == [
        "linux/arm64: layers: layer sha256:000000000000 cannot be read: decompresses to more than 1024 bytes, 0 times its size"
    ]
