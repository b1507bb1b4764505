"""A mirror of Debian in a directory, with packages that are made here: a library in C for each architecture, and its C library."""

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from testbed import run

SUITE = "trixie"


@dataclass
class Package:
    """A package for one architecture. `files` maps paths in it to their content, or to a Link."""

    name: str
    arch: str
    version: str = "1.0-1"
    section: str = "libs"
    depends: str = ""
    conflicts: str = ""
    files: dict = field(default_factory=dict)

    def control(self):
        """The fields that a package and an index have in common."""
        rows = {"Package": self.name, "Version": self.version, "Architecture": self.arch, "Maintainer": "nobody <nobody@acme.test>",
                "Section": self.section, "Depends": self.depends, "Conflicts": self.conflicts, "Description": "for tests"}  # fmt: skip
        return "".join(f"{name}: {value}\n" for name, value in rows.items() if value)


class Link(str):
    """The target of a symbolic link."""


def build(package, folder, scratch):
    """Build the package's .deb file in `folder`."""
    root = scratch / f"{package.name}-{package.arch}"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(package.control())
    for name, content in package.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content)
        elif isinstance(content, Path):
            shutil.copy2(content, path)
        else:
            path.write_bytes(content)
    file = folder / f"{package.name}_{package.version}_{package.arch}.deb"
    built = run("dpkg-deb", "--root-owner-group", "--build", root, file)
    assert built.code == 0, built
    return file


def mirror(folder, packages):
    """Make a mirror of these packages in `folder`. Returns its address."""
    pool = folder / "pool"
    pool.mkdir(parents=True)
    rows = {}
    for package in packages:
        file = build(package, pool, folder / "scratch")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        row = f"{package.control()}Filename: pool/{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n\n"
        rows[package.arch] = rows.get(package.arch, "") + row
    shutil.rmtree(folder / "scratch")
    release = folder / "dists" / SUITE
    sums = ""
    for arch, text in rows.items():
        name, data = f"main/binary-{arch}/Packages", text.encode()
        (release / name).parent.mkdir(parents=True)
        (release / name).write_bytes(data)
        sums += f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n"
    head = f"Suite: {SUITE}\nCodename: {SUITE}\nArchitectures: {' '.join(rows)}\nComponents: main\n"
    (release / "Release").write_text(f"{head}Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n{sums}")
    return f"file:{folder}"
