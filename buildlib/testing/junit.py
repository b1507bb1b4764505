"""Suites as JUnit XML, in the shape that GitLab, Jenkins and the GitHub actions for it read (the Ant task's schema)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from buildlib.testing.libtest import IGNORED, PASSED, Suite

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# What XML 1.0 has no way to say: control characters, and colours with them.
UNSPEAKABLE = re.compile(r"\x1b\[[0-9;]*m|[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(title: str, suites: Iterable[Suite], properties: Mapping[str, str]) -> str:
    """The document: a testsuite a binary, named `title`.binary; an emulator's crash is an error, all else a failure."""
    from xml.etree import ElementTree

    root = ElementTree.Element("testsuites", name=title)
    for suite in suites:
        bad = len(suite.cases) - suite.count(PASSED, IGNORED)
        element = _child(root, "testsuite", name=f"{title}.{suite.name}", tests=len(suite.cases), failures=bad,
                         errors=int(bool(suite.broken)), skipped=suite.count(IGNORED), time=suite.seconds)  # fmt: skip
        listed = _child(element, "properties")
        for name, value in properties.items():
            _child(listed, "property", name=name, value=value)
        for case in suite.cases:
            told = _child(element, "testcase", classname=f"{title}.{suite.name}", name=case.name)
            if case.result == IGNORED:
                _child(told, "skipped")
            elif case.result != PASSED:
                first = (case.detail.splitlines() or [case.result])[0]
                _child(told, "failure", type=case.result, message=first).text = _clean(case.detail)
        if suite.broken:
            told = _child(element, "testcase", classname=f"{title}.{suite.name}", name="emulator")
            _child(told, "error", type="emulator crashed", message=suite.broken)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _child(parent: Element, tag: str, **attributes: object) -> Element:
    from xml.etree import ElementTree

    return ElementTree.SubElement(parent, tag, {name: _clean(str(value)) for name, value in attributes.items()})


def _clean(text: str) -> str:
    return UNSPEAKABLE.sub("", text)
