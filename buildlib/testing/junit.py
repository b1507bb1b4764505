"""Suites as JUnit XML, in the shape that GitLab, Jenkins and the GitHub actions for it read (the Ant task's schema)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from buildlib.core.cases import IGNORED, PASSED, Suite

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# Characters that XML 1.0 does not allow, and with the escape character the colour codes after it.
NOT_XML = re.compile(r"\x1b\[[0-9;]*m|[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(title: str, suites: Iterable[Suite], properties: Mapping[str, str]) -> str:
    """The document. Each binary is a testsuite named `title`.binary with these properties.

    What ran on the host has that in its properties. A crash of the emulator is an error; every other case that did not pass
    is a failure.
    """
    from xml.etree import ElementTree

    root = ElementTree.Element("testsuites", name=title)
    for suite in suites:
        name = f"{title}.{suite.name}"
        failures = len(suite.cases) - suite.count(PASSED, IGNORED)
        element = _child(root, "testsuite", name=name, tests=len(suite.cases), failures=failures,
                         errors=int(bool(suite.broken)), skipped=suite.count(IGNORED), time=suite.seconds)  # fmt: skip
        listed = _child(element, "properties")
        place = {"ran on": suite.ran_on, "emulator": ""} if suite.ran_on else {}
        for key, value in {**properties, **place}.items():
            _child(listed, "property", name=key, value=value)
        for case in suite.cases:
            testcase = _child(element, "testcase", classname=name, name=case.name)
            if case.result == IGNORED:
                _child(testcase, "skipped")
            elif case.result != PASSED:
                first = (case.detail.splitlines() or [case.result])[0]
                _child(testcase, "failure", type=case.result, message=first).text = _clean(case.detail)
        if suite.broken:
            testcase = _child(element, "testcase", classname=name, name="emulator")
            _child(testcase, "error", type="emulator crashed", message=suite.broken)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _child(parent: Element, tag: str, **attributes: object) -> Element:
    from xml.etree import ElementTree

    return ElementTree.SubElement(parent, tag, {name: _clean(str(value)) for name, value in attributes.items()})


def _clean(text: str) -> str:
    return NOT_XML.sub("", text)
