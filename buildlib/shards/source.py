"""What the sources of a workspace are, so that parts from different sources are told apart."""

from __future__ import annotations

import hashlib

from buildlib.process.commit import git
from buildlib.process.context import Context


def source(context: Context) -> str:
    """The commit, with a digest of the changes since it: "4f2a…" or "4f2a…+91c0…"; "" outside of a git repository.

    Files that git does not know are not part of it: dist/ and reports may be among them.
    """
    commit = git(context, "rev-parse", "HEAD").strip()
    if not commit:
        return ""
    # Settings of the user must not change the text: colours, other programs that compare, prefixes.
    changes = git(context, "diff", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/",
                   "--binary", "--full-index", "HEAD")  # fmt: skip
    return f"{commit}+{hashlib.sha256(changes.encode()).hexdigest()[:12]}" if changes else commit
