"""The licences of all crates that the Rust workspace uses."""

import json

from license_expression import get_spdx_licensing
from testbed import REPOSITORY, run

# Licences that require their text to be distributed, and nothing that a closed-source program could not do.
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


def is_allowed(expression):
    """Whether a choice among the expression's alternatives needs only allowed licences."""

    def holds(node):
        if isinstance(node, SPDX.OR):
            return any(holds(part) for part in node.args)
        if isinstance(node, SPDX.AND):
            return all(holds(part) for part in node.args)
        return str(node) in ALLOWED

    # Old manifests separate alternatives by a slash, which cargo documents as OR.
    return holds(SPDX.parse(expression.replace("/", " OR ")))


def test_expressions_are_evaluated():
    good = ("MIT", "MIT/GPL-3.0-only", "(MIT OR GPL-3.0-only) AND Unicode-3.0", "Apache-2.0 WITH LLVM-exception")
    bad = ("GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT AND AGPL-3.0-only) OR LGPL-2.1-only")
    assert ([is_allowed(e) for e in good], [is_allowed(e) for e in bad]) == ([True] * 4, [False] * 3)


def test_every_crate_has_an_allowed_licence():
    metadata = run("cargo", "metadata", "--locked", "--format-version", "1", cwd=REPOSITORY)
    assert metadata.code == 0, metadata
    packages = json.loads(metadata.out)["packages"]
    licences = {package["name"]: package["license"] for package in packages}
    assert len(licences) > 100
    assert {name: licence for name, licence in licences.items() if not is_allowed(licence or "none")} == {}
