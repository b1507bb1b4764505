"""The files of images in directories of this machine, in which their programs are started as a container would start them.

A base image is unpacked once for a command; the images on it link to its files.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from buildlib import elf
from buildlib.core.errors import Refused
from buildlib.core.plan import Outcome
from buildlib.core.targets import Target
from buildlib.emulation import qemu
from buildlib.image_gate.scans import Scans
from buildlib.image_layers.compression import LayerError
from buildlib.image_layers.file_system import FileSystem, Layer
from buildlib.image_layers.unpack import Place, unpack
from buildlib.process.context import Context
from buildlib.process.files import disk_error

EMULATOR = "/.buildlib-emulator"  # in the unpacked image
UNAME = ("/usr/bin/uname", "/bin/uname")
MOUNTS = ("dev", "proc", "tmp")


@dataclass(frozen=True, slots=True)
class Started:
    """How a program of an image was started: `reason` says why it was not, `problem` what went wrong when it was; "" for nothing."""

    reason: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Root:
    places: Mapping[Place, str]
    started: Started  # of uname, if the base image has it


@dataclass
class Roots:
    """The unpacked images of one command, below `folder`. Threads share it."""

    context: Context
    scans: Scans
    folder: Path
    _bases: dict[tuple[str, ...], _Root] = field(default_factory=dict)
    _locks: dict[tuple[str, ...], threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(
        self, layers: Sequence[Layer], count: int, target: Target, argv: tuple[str, ...], env: Mapping[str, str], folder: str
    ) -> Started:  # fmt: skip
        """Start a program of the image with these layers, of which the first `count` are the base image's.

        `uname -m` of the base image comes first: it says for which machine this machine runs the image. Refused for layers that
        cannot be unpacked.
        """
        emulator, reason = self._emulator(target)
        if reason:
            return Started(reason=reason)
        base = self._base(layers[:count], target, emulator)
        if base.started != Started():
            return base.started
        root = Path(tempfile.mkdtemp(prefix="image-", dir=self.folder))
        try:
            self._unpack(layers, root, base.places, emulator)
            outcome = self._run(root, target, argv, env, folder)
        finally:
            shutil.rmtree(root, ignore_errors=True)
        return _read(outcome, argv[-1])

    def _base(self, layers: Sequence[Layer], target: Target, emulator: str) -> _Root:
        key = (target.oci, *(layer.digest for layer in layers))
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:  # the images on a base image come at the same time
            if key not in self._bases:
                self._bases[key] = self._unpacked_base(layers, target, emulator)
            return self._bases[key]

    def _unpacked_base(self, layers: Sequence[Layer], target: Target, emulator: str) -> _Root:
        root = Path(tempfile.mkdtemp(prefix="base-", dir=self.folder))
        places, uname = self._unpack(layers, root, {}, emulator)
        if not uname:
            return _Root(places, Started())
        outcome = self._run(root, target, (uname, "-m"), {}, "/")
        started = _read(outcome, "-m")
        machine = outcome.stdout.strip()
        if started == Started() and not qemu.is_same_family(machine, target):
            started = Started(problem=f"uname -m printed {machine!r}, expected {target.name}")
        return _Root(places, started)

    def _unpack(
        self, layers: Sequence[Layer], root: Path, known: Mapping[Place, str], emulator: str
    ) -> tuple[dict[Place, str], str]:
        """Unpack an image, ready to be started. Returns where its files are, and the path of uname, "" without it."""
        try:
            system = FileSystem(layers, [scan.entries for scan in self.scans.of(layers)])
            places = unpack(system, layers, str(root), known)
            found = [path for path in UNAME if (node := system.find(path)) and node[1].is_executable]
        except LayerError as error:
            raise Refused(f"the image cannot be unpacked: {error}") from None
        except OSError as error:
            raise disk_error(error) from None
        for name in MOUNTS:
            place = root / name
            if place.is_symlink():
                place.unlink()
            place.mkdir(exist_ok=True)
        if emulator:
            (root / EMULATOR[1:]).unlink(missing_ok=True)
            shutil.copyfile(emulator, root / EMULATOR[1:])
            (root / EMULATOR[1:]).chmod(0o755)
        return places, (found or [""])[0]

    def _emulator(self, target: Target) -> tuple[str, str]:
        """The QEMU to copy into the image, "" for none, and why the image cannot be started, "" if it can."""
        if qemu.is_native(self.context.host, target):
            return "", ""
        program = qemu.qemu(self.context.host, target)
        if program is None:
            return "", f"QEMU for {target.name} is not installed (apt-get install qemu-user-static)"
        with suppress(elf.Unreadable, OSError):
            if not elf.read(Path(program)).loader:
                return program, ""
        return "", f"{program} is not a static program (apt-get install qemu-user-static)"

    def _run(self, root: Path, target: Target, argv: tuple[str, ...], env: Mapping[str, str], folder: str) -> Outcome:
        host = self.context.host
        words = argv if qemu.is_native(host, target) else (EMULATOR, *argv)
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            outcome = self.context.run(qemu.start_in_image(host, root, words, env, folder, Path(scratch)))
        if reason := qemu.not_isolated(outcome):
            self.context.console.warn_once(f"programs are started without isolation from this machine: {reason}")
        return outcome


def _read(outcome: Outcome, flag: str) -> Started:
    if reason := qemu.not_entered(outcome):
        return Started(reason=f"neither namespaces nor chroot are permitted: {reason}")
    if problem := qemu.not_loaded(outcome) or qemu.start_problem(outcome, flag):
        return Started(problem=problem)
    if outcome.code == 124:
        return Started(problem=f"did not exit within {qemu.TIMEOUT} s")
    last = outcome.last
    return Started(problem=f"exited with code {outcome.code}: {last}" if outcome.code else "")
