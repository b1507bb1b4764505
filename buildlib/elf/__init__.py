"""ELF files: what is in a program, a shared library or an archive, and whether that fits a target.

Read `facts` first: it reads a file and trusts nothing in it. `object_file` and `archive` read the objects of static libraries,
`comparison` compares the facts with what a target requires, and `new_section` adds to a file. Nothing is started here: that is
`binaries.start`.

Knows nothing of Rust, of this machine, or of dist/.
"""

from buildlib.elf.comparison import Mismatch, check, guess, is_soname_of
from buildlib.elf.facts import Facts, Unreadable, digest, machine, read
from buildlib.elf.object_file import MAGIC

__all__ = ["MAGIC", "Facts", "Mismatch", "Unreadable", "check", "digest", "guess", "is_soname_of", "machine", "read"]
