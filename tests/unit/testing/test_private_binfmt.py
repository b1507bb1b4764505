"""Handlers of the machine as binfmt_misc shows and registers them; tests/real enters the namespace."""

import pytest

from buildlib.testing import private_binfmt

QEMU = """enabled
interpreter /usr/libexec/qemu-binfmt/arm-binfmt-P
flags: POCF
offset 0
magic 7f454c46
mask ffffff00
"""


@pytest.fixture
def handlers(tmp_path, monkeypatch):
    """Write the machine's handlers, and read them."""
    monkeypatch.setattr(private_binfmt, "MACHINE_HANDLERS", str(tmp_path / "binfmt_misc"))

    def handlers(**texts):
        (tmp_path / "binfmt_misc").mkdir()
        for name, text in ({"status": "enabled\n", "register": ""} | texts).items():
            (tmp_path / "binfmt_misc" / name).write_text(text)
        return private_binfmt.machine_handlers()

    return handlers


def test_the_machine_s_handlers_can_be_registered_again(handlers):
    python = "enabled\ninterpreter /usr/bin/python3\nflags: \nextension .pyc\n"
    windows = "enabled\ninterpreter /init\nflags: PF\noffset 2\nmagic 4d5a\n"
    assert handlers(python=python, qemu=QEMU, windows=windows) == [
        ":python:E::pyc::/usr/bin/python3:",
        r":qemu:M:0:\x7f\x45\x4c\x46:\xff\xff\xff\x00:/usr/libexec/qemu-binfmt/arm-binfmt-P:POCF",
        r":windows:M:2:\x4d\x5a::/init:PF",
    ]


def test_disabled_handlers_stay_disabled(handlers):
    assert handlers(qemu=QEMU.replace("enabled", "disabled")) == []


def test_without_binfmt_misc_there_are_none(monkeypatch):
    monkeypatch.setattr(private_binfmt, "MACHINE_HANDLERS", "/nonexistent")
    assert private_binfmt.machine_handlers() == []


def test_users_and_groups_of_a_container_are_mapped_to_themselves(tmp_path):
    """A container's root is often another user outside: 0 100000 65536."""
    (tmp_path / "uid_map").write_text("         0     100000      65536\n     65536       1000          1\n")
    assert private_binfmt._identity(str(tmp_path / "uid_map")) == "0 0 65536\n65536 65536 1\n"
