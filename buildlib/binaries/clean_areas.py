"""What `clean` may remove: dist/ and the target directories of a workspace, and the user's cache."""

from __future__ import annotations

from buildlib.binaries import dist
from buildlib.binaries.clean import Area
from buildlib.machine import host
from buildlib.process.context import Context

# What is in the user's cache and can be made or downloaded again. `builders` is not: it has the state of running gateways.
CACHES = (
    "debs",
    "layers",
    "libc",
    "libraries",
    "qemu",
    "reproduce",
    "starts",
    "sysroots",
    "test_runner",
    "zig",
    "zigbuild",
)


def of_workspace(context: Context, *, dist_only: bool) -> list[Area]:
    """Return what buildlib has made in the workspace. BuildError if dist/ cannot be read."""
    root, folder = context.workspace.root, context.dist
    # Other tools have a dist/ too, and their files may be in this one: only what the manifest lists is buildlib's.
    published = {entry["arch"] for entry in dist.read(folder)}
    names = (*sorted(published), dist.SUMS, dist.SUMS_BUNDLE, dist.MANIFEST) if published else ()
    areas = [Area(title="dist", folder=folder, trusted=root, names=names)]
    if not dist_only:
        areas.append(Area(title="target", folder=context.workspace.target_dir / "buildlib", trusted=root))
    return areas


def of_cache() -> list[Area]:
    """Return the user's cache, which all workspaces share."""
    folder = host.cache_folder()
    return [Area(title="cache", folder=folder, trusted=folder.parent, names=CACHES, nested=True)]
