"""The workspace and its binaries, from `cargo metadata`."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from buildlib.core.errors import UsageError
from buildlib.core.layers import OWN_SETTINGS
from buildlib.core.plan import Step

# Kinds of libraries that other languages link, and the suffix of their files on Linux.
LIBRARIES = {"cdylib": ".so", "staticlib": ".a"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A binary of the workspace."""

    name: str
    package: str
    version: str
    # From the Cargo.toml of its package, "" if absent.
    description: str = ""
    repository: str = ""
    license: str = ""
    required_features: tuple[str, ...] = ()  # without which cargo leaves it out

    @property
    def tag(self) -> str:
        """The tag of its image: its version. A tag has no `+`, which Helm replaces in the same way."""
        return self.version.replace("+", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A dependency of a member on another member, and the features that it enables there."""

    name: str
    features: tuple[str, ...] = ()
    default_features: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A member of the workspace."""

    name: str
    manifest: Path
    version: str = ""
    default: bool = True  # cargo takes it in the current directory if no package is named
    default_run: str = ""  # the binary that `cargo run` takes
    features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name -> what it enables
    dependencies: tuple[Dependency, ...] = ()  # only those on other members
    examples: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()  # file names of a cdylib or staticlib: libkey.so, libkey.a
    only_shared: bool = False  # its library is a cdylib and nothing else

    def matches(self, spec: str) -> bool:
        """Whether a value of --package means it: a name, which may contain `*` and `?`, or a package ID specification.

        The Cargo Book, "Package ID Specifications": NAME@1.2, NAME:1.2, file:///PATH, path+file:///PATH#NAME@1.2, …#1.2.
        """
        url, _, rest = spec.partition("#") if "://" in spec else ("", "", spec)
        name, _, version = rest.replace("@", ":").partition(":")
        if url and name[:1].isdigit():
            name, version = "", name
        return (
            fnmatchcase(self.name, name or "*")
            and url.removeprefix("path+") in ("", self.manifest.parent.as_uri())
            and f"{self.version}.".startswith(f"{version}." if version else "")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The workspace as `cargo metadata` describes it, without its dependencies."""

    root: Path
    target_dir: Path
    components: tuple[Component, ...]  # of all members, in cargo's order
    members: tuple[Package, ...] = ()
    has_rust: bool = True  # False for a project without a Cargo.toml
    published: frozenset[str] = frozenset()  # names of members that are names of dependencies from elsewhere, too

    @property
    def lock(self) -> Path:
        """The path of Cargo.lock."""
        return self.root / "Cargo.lock"

    def specs(self, packages: Iterable[Package]) -> Iterator[str]:
        """Yield the values of --package: the names, each with the version if a dependency has the same name.

        A benchmark that compares with the published version has such a one; `--package NAME` is ambiguous there.
        """
        locked = self.lock.read_bytes() if self.lock.is_file() else b""
        for package in packages:
            ambiguous = package.name in self.published or locked.count(f'name = "{package.name}"\n'.encode()) > 1
            yield f"{package.name}@{package.version}" if ambiguous else package.name


def find_manifest(cwd: Path) -> Path:
    """The Cargo.toml that cargo would use in `cwd`. UsageError without one."""
    if manifest := _find(cwd, "Cargo.toml"):
        return manifest
    raise UsageError(f"no Cargo.toml in {cwd} or above it", "run in the directory of a Rust workspace")


def find_project(cwd: Path) -> Path:
    """The file that makes a directory a project: Cargo.toml, or buildlib.toml where there is no Rust. UsageError without any."""
    if file := _find(cwd, "Cargo.toml") or _find(cwd, OWN_SETTINGS):
        return file
    message = f"neither Cargo.toml nor {OWN_SETTINGS} in {cwd} or above it"
    raise UsageError(message, f"run in the directory of a Rust workspace, or of a {OWN_SETTINGS} with [images]")


def _find(cwd: Path, name: str) -> Path | None:
    return next((file for folder in (cwd, *cwd.parents) if (file := folder / name).is_file()), None)


def metadata_step(cargo: Path, cwd: Path) -> Step:
    """The command that lists the workspace's own packages; it needs no registry."""
    argv = (str(cargo), "metadata", "--format-version", "1", "--no-deps")
    return Step(title="workspace", argv=argv, cwd=cwd, stdout="keep", quiet=True)


def parse_metadata(answer: str) -> Workspace:
    """The workspace, from the output of `cargo metadata`; packages and binaries in cargo's order."""
    metadata = json.loads(answer)
    member_ids = set(metadata["workspace_members"])
    # Absent before cargo 1.71; it depends on the directory in which cargo was called.
    defaults = set(metadata.get("workspace_default_members") or member_ids)
    members = [package for package in metadata["packages"] if package["id"] in member_ids]
    names = {package["name"] for package in members}
    return Workspace(
        root=Path(metadata["workspace_root"]),
        target_dir=Path(metadata["target_directory"]),
        components=tuple(
            Component(
                name=target["name"], package=package["name"], version=package["version"],
                required_features=tuple(target.get("required-features") or ()), **_details(package),
            )
            for package in members
            for target in package["targets"]
            if "bin" in target["kind"]
        ),
        members=tuple(_package(package, names, default=package["id"] in defaults) for package in members),
        published=frozenset(
            dependency["name"]
            for package in members
            for dependency in package.get("dependencies") or ()
            if dependency["name"] in names and not dependency.get("path")
        ),
    )  # fmt: skip


def _package(package: Mapping[str, Any], members: Collection[str], *, default: bool) -> Package:
    targets = package["targets"]
    return Package(
        name=package["name"], manifest=Path(package["manifest_path"]), version=package["version"], default=default,
        default_run=package.get("default_run") or "",
        features={name: tuple(enabled) for name, enabled in (package.get("features") or {}).items()},
        dependencies=tuple(
            Dependency(
                name=dependency["name"], features=tuple(dependency["features"]),
                default_features=dependency["uses_default_features"],
            )
            for dependency in package.get("dependencies") or ()
            # An optional dependency takes part only if a feature enables it, which is rare between members.
            if dependency["name"] in members and dependency.get("path") and dependency.get("kind") is None
            and not dependency.get("optional")
        ),
        examples=tuple(target["name"] for target in targets if "example" in target["kind"]),
        libraries=tuple(
            f"lib{target['name'].replace('-', '_')}{suffix}"
            for target in targets
            for kind, suffix in LIBRARIES.items()
            if kind in target["kind"]
        ),
        only_shared=any(target["kind"] == ["cdylib"] for target in targets),
    )  # fmt: skip


def _details(package: Mapping[str, Any]) -> dict[str, str]:
    return {key: package.get(key) or "" for key in ("description", "repository", "license")}
