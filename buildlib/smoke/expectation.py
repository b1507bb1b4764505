"""What must hold for the containers of one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from buildlib.core.targets import Target
from buildlib.emulation.qemu import rust_arch


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What must hold for the containers of one image.

    `strict` is for images whose content is known, a program of the workspace: they run as restricted as possible, not as root unless
    `root_allowed`, and exit with 0 when they are stopped. Other images run as `docker run` starts them: many change the owner of
    files, give up root with gosu or su-exec, or write to their root file system.
    """

    name: str  # of the component
    version: str = ""  # what `--version` prints; "" does not start it with that flag
    ports: tuple[int, ...] = ()  # TCP ports on which it answers
    health: tuple[str, ...] = ()  # the command line of a health check, in place of the image's own
    env: Mapping[str, str] = field(
        default_factory=dict
    )  # variables of the container in which the image's own command runs
    own_health: bool = False  # the image must have a health check of its own
    says: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # arch, or "all" -> texts in its log
    strict: bool = False
    root_allowed: bool = False  # only for `strict`

    def texts(self, target: Target) -> list[str]:
        """The texts that the log must contain on this target; {arch} in them is Rust's name for the arch."""
        texts = (*self.says.get("all", ()), *self.says.get(target.arch, ()))
        return [text.replace("{arch}", rust_arch(target)) for text in texts]
