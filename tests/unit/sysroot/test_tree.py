from pathlib import Path

import pytest
from elf_files import linked

from buildlib.core.plan import Link
from buildlib.core.sysroot import SystemLibrary
from buildlib.elf import digest
from buildlib.sysroot import tree

NEEDED, SONAME = 1, 14
MULTIARCH = "aarch64-linux-gnu"


@pytest.fixture
def root(tmp_path):
    """A tree with these files; a text that begins with -> is a link."""

    def make(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.symlink_to(content.removeprefix("->"))
            else:
                path.write_bytes(content)
        return tmp_path

    return make


def test_links_stay_inside_and_usr_is_merged(root):
    top = root({
        f"usr/lib/{MULTIARCH}/libd.so": f"->/lib/{MULTIARCH}/libd.so.3", f"usr/lib/{MULTIARCH}/libz.so": "->libz.so.1",
        f"lib/{MULTIARCH}/libd.so.3": b"", "usr/lib/ld-linux-aarch64.so.1": b"", "usr/lib64/ld.so": b"", "etc/x": "->/usr/share",
    })  # fmt: skip
    assert sorted(tree.links(top), key=str) == sorted([
        Link(path=top / f"usr/lib/{MULTIARCH}/libd.so", to=Path(f"../../../lib/{MULTIARCH}/libd.so.3")),
        Link(path=top / "etc/x", to=Path("../usr/share")),
        Link(path=top / "lib/ld-linux-aarch64.so.1", to=Path("../usr/lib/ld-linux-aarch64.so.1")),
        Link(path=top / "lib64", to=Path("usr/lib64")),
    ], key=str)  # fmt: skip


def test_what_is_linked_already_stays(root):
    top = root({"usr/lib/libz.so.1": b"", "lib": "->usr/lib"})
    assert list(tree.links(top)) == []
    empty = root({})
    assert list(tree.links(empty / "usr" / "lib")) == []


def test_libraries_are_found_by_soname_with_their_packages(root):
    ssl, crypto = linked((SONAME, "libssl.so.3"), (NEEDED, "libcrypto.so.3")), linked((SONAME, "libcrypto.so.3"))
    folder = f"usr/lib/{MULTIARCH}"
    top = root({
        f"{folder}/libssl.so.3": ssl, f"{folder}/libssl.so": "->libssl.so.3", f"lib/{MULTIARCH}/libcrypto.so.3.0": crypto,
        f"lib/{MULTIARCH}/libcrypto.so.3": "->libcrypto.so.3.0", f"{folder}/libc.so.6": linked((SONAME, "libc.so.6")),
        f"{folder}/libscript.so.1": b"INPUT(x)", f"{folder}/libother.so.1": linked((SONAME, "libmore.so.1")),
        f"{folder}/engines/libengine.so.1": linked((SONAME, "libengine.so.1")), f"{folder}/libstray.so.1": ssl,
    })  # fmt: skip
    names = ("libssl.so.3", "libc.so.6", "libscript.so.1", "libother.so.1")
    owners = {f"{folder}/{name}": "libssl3" for name in names} | {f"lib/{MULTIARCH}/libcrypto.so.3": "libssl3"}
    owners[f"{folder}/libc.so.6"] = "libc6"
    found = tree.libraries(top, MULTIARCH, owners)
    assert found == {
        "libssl.so.3": (SystemLibrary(package="libssl3", file=f"{folder}/libssl.so.3", size=len(ssl), needed=("libcrypto.so.3",),
                                      sha256=digest(top / folder / "libssl.so.3")), ""),
        "libcrypto.so.3": (SystemLibrary(package="libssl3", file=f"lib/{MULTIARCH}/libcrypto.so.3", size=len(crypto),
                                         sha256=digest(top / f"lib/{MULTIARCH}/libcrypto.so.3")), ""),
    }  # fmt: skip


def test_the_newest_glibc_is_a_number_and_not_a_text():
    library = SystemLibrary(package="p", file="f", sha256="", size=1)
    assert tree.newest({"a": (library, "2.9"), "b": (library, "2.34"), "c": (library, "")}) == ("2.34", "b")
    assert tree.newest({}) == ("", "")
