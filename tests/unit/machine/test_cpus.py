"""CPU names, and the architectures that they belong to."""

import pytest

from buildlib.core.targets import TARGETS
from buildlib.machine.cpus import is_foreign


@pytest.mark.parametrize(
    ("cpu", "own"),
    [("znver3", "amd64"), ("x86-64-v4", "386"), ("cortex-a53", "arm64"), ("cortex-a7", "armv7"), ("sifive-u74", "riscv64"),
     ("pwr8", "ppc64le"), ("z14", "s390x"), ("la464", "loong64"), ("generic", "s390x"), ("never-heard-of", "arm64")],
)  # fmt: skip
def test_a_cpu_is_foreign_only_if_its_name_says_so(cpu, own):
    assert not is_foreign(cpu, TARGETS[own].triple)
    foreign = {
        name
        for name in ("amd64", "arm64", "riscv64", "s390x", "ppc64le", "loong64")
        if is_foreign(cpu, TARGETS[name].triple)
    }
    assert len(foreign) == (0 if cpu in ("generic", "never-heard-of") else 5)
