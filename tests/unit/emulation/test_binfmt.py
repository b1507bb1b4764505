import pytest

from buildlib.core.targets import TARGETS
from buildlib.emulation.binfmt import magic


@pytest.mark.parametrize(
    ("name", "identity", "kind", "mask"),
    [  # as in QEMU's scripts/qemu-binfmt-conf.sh
        ("arm64", "020101", "0200b700", "feffffff"), ("armv7", "010101", "02002800", "feffffff"),
        ("riscv64", "020101", "0200f300", "feffffff"), ("386", "010101", "02000300", "feffffff"),
        ("ppc64le", "020101", "02001500", "feffffff"), ("s390x", "020201", "00020016", "fffeffff"),
        ("arm64-musl", "020101", "0200b700", "feffffff"),
    ],
)  # fmt: skip
def test_a_handler_recognises_programs_by_their_elf_header(name, identity, kind, mask):
    digits, bits = (part.hex() for part in magic(TARGETS[name]))
    assert digits == f"7f454c46{identity}{'00' * 9}{kind}"
    assert bits == f"ffffffffffffff00{'ff' * 8}{mask}"
