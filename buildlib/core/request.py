"""What a command line asks of the workspace in cargo's words: which packages and targets, and how cargo is called."""

from __future__ import annotations

from dataclasses import dataclass

from buildlib.core.plan import words


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Cargo's options as they were given. Empty ones mean cargo's defaults.

    `components` are binaries, by name or as PACKAGE/BINARY; `rest` are the words after `--`.
    """

    packages: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    workspace: bool = False
    components: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    bins: bool = False
    library: bool = False
    all_features: bool = False
    no_default_features: bool = False
    profile: str = ""
    offline: bool = False
    locked: bool = False
    frozen: bool = False
    jobs: str = ""
    verbose: int = 0
    quiet: bool = False
    rest: tuple[str, ...] = ()
    no_binaries: bool = False  # it names images of the settings alone

    @property
    def names_targets(self) -> bool:
        """Whether it restricts the command to some targets of the packages."""
        return bool(self.components or self.examples or self.bins or self.library)

    def feature_flags(self, features: tuple[str, ...]) -> tuple[str, ...]:
        """Return cargo's words for the features: `features` are those of the settings."""
        return (
            *(("--features", ",".join(features)) if features else ()),
            *(("--all-features",) if self.all_features else ()),
            *(("--no-default-features",) if self.no_default_features else ()),
        )

    def lock_flags(self, *, has_lock: bool) -> tuple[str, ...]:
        """Return cargo's words about Cargo.lock and the network. An existing lock file is never changed."""
        return (
            *(("--locked",) if self.locked or has_lock else ()),
            *(("--offline",) if self.offline else ()),
            *(("--frozen",) if self.frozen else ()),
        )

    def run_flags(self) -> tuple[str, ...]:
        """Return cargo's words about jobs and messages."""
        return (
            *words("--jobs", (self.jobs,) if self.jobs else ()),
            *(("--verbose",) * self.verbose),
            *(("--quiet",) if self.quiet else ()),
        )


NO_REQUEST = Request()  # cargo's defaults
