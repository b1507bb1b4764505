"""The gate with layers, ELF files and archives of any content: findings of one line each, never an exception."""

from elf_files import archive as static_library
from elf_files import arm_attributes, member
from gate_images import archive, elf, image, program, runtime, tar
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildlib.image_gate.check import check

LIBRARY = elf(
    "arm", "libb.so", runpath="$ORIGIN/../x:$LIB", soname="liba.so", attributes=arm_attributes({6: 14, 23: 3})
)
FILES = {
    **runtime("arm"),
    "app": program("arm", "liba.so", attributes=arm_attributes({6: 10})),
    "lib/liba.so": LIBRARY,
    "x.a": static_library(
        member("a.o/", elf("arm", kind=1, attributes=arm_attributes({6: 10}))), member("b.o/", elf("amd64"))
    ),
    "x.jar": archive({"linux-x64/a.so": elf("amd64"), "b.jar": archive({"c.so": LIBRARY})}),
    "s": b"#!/usr/bin/env -S A=1 app\n",
    "etc/ld.so.conf": b"include x\n/lib\n",
}
STARTS = st.sampled_from([("/app",), ("s",), ("/s", "x"), ("sh", "-c", "s"), ("/x.jar",)])
PLATFORMS = st.sampled_from(["linux/arm/v7", "linux/arm/v6", "linux/arm64", "linux/amd64", "linux/s390x", "", "x/y/z"])
QUICK = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def check_any(layers, platform, entrypoint):
    found = check(
        image("linux/arm/v7", *layers, entrypoint=entrypoint, env=("PATH=/:/bin", "LD_LIBRARY_PATH=:/y")), platform
    )
    assert all("\n" not in str(finding) for finding in found)


@st.composite
def damaged(draw, data):
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        if draw(st.integers(0, 9)) == 0:
            del data[place:]
        elif data:
            data[place] = draw(st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF, *b"/.$!PK"]))
    return bytes(data)


@QUICK
@given(
    st.sampled_from(sorted(FILES)).flatmap(lambda name: st.tuples(st.just(name), damaged(FILES[name]))),
    PLATFORMS,
    STARTS,
)
def test_any_file(change, platform, entrypoint):
    check_any([FILES, dict([change])], platform, entrypoint)


@QUICK
@given(damaged(tar(FILES)), PLATFORMS, STARTS)
def test_any_layer(data, platform, entrypoint):
    check_any([data], platform, entrypoint)


@QUICK
@given(
    st.binary(max_size=300).map(lambda data: b"\x7fELF" + data),
    st.binary(max_size=100).map(lambda data: b"#!" + data),
    PLATFORMS,
)
def test_any_elf_file_and_script(data, script, platform):
    check_any([FILES, {"app": data, "lib/liba.so": data, "s": script}], platform, ("/s",))
    check_any([FILES, {"app": data, "a.jar": b"PK\3\4" + data, "b.a": b"!<arch>\n" + script}], platform, ("/app",))
