"""What the Rust workspace takes from others."""

import json

from bed import REPOSITORY, run
from license_expression import get_spdx_licensing

# Licences that ask for their text to be passed on, and for nothing that a closed program could not do.
ALLOWED = {
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}
SPDX = get_spdx_licensing()


def may_be_used(expression):
    """Whether one way to read the expression takes only licences that are allowed."""

    def holds(node):
        if isinstance(node, SPDX.OR):
            return any(holds(part) for part in node.args)
        if isinstance(node, SPDX.AND):
            return all(holds(part) for part in node.args)
        return str(node) in ALLOWED

    # Old manifests separate alternatives by a slash, which cargo documents as OR.
    return holds(SPDX.parse(expression.replace("/", " OR ")))


def test_how_expressions_are_read():
    good = ("MIT", "MIT/GPL-3.0-only", "(MIT OR GPL-3.0-only) AND Unicode-3.0", "Apache-2.0 WITH LLVM-exception")
    bad = ("GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT AND AGPL-3.0-only) OR LGPL-2.1-only")
    assert ([may_be_used(e) for e in good], [may_be_used(e) for e in bad]) == ([True] * 4, [False] * 3)


def test_every_crate_may_be_shipped():
    asked = run("cargo", "metadata", "--locked", "--format-version", "1", cwd=REPOSITORY)
    assert asked.code == 0, asked
    packages = json.loads(asked.out)["packages"]
    licences = {package["name"]: package["license"] for package in packages}
    assert len(licences) > 100
    assert {name: licence for name, licence in licences.items() if not may_be_used(licence or "none")} == {}
