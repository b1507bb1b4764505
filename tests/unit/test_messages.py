"""The list of all messages is current, and each is written as the others are."""

import re

import messages
import pytest

FOUND = messages.messages()
ALL = sorted({text for texts in FOUND.values() for text in texts})
STALE = "run `python tests/unit/messages.py`, and read what has changed in messages.txt"


def test_the_list_is_current():
    assert messages.LIST.read_text("utf-8") == messages.as_text(FOUND), STALE


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a period at the end", r"[^.]\.$"),
        ("an exclamation", r"!(?!=)(?:\s|$)"),
        ("politeness and apologies", r"(?i)\b(?:please|sorry|oops|unfortunately)\b"),
        ("a dash between words", r" [-–—] |—"),
        ("blame", r"(?i)\b(?:illegal|invalid) (?:argument|option|value)\b"),
        ("an abbreviation", r"\b(?:e\.g\.|i\.e\.|etc\.)"),
        ("a capital that is no name", r"^(?:The|This|A|An|Cannot|Could|No|Use|Run|Set|Install|Check|Add|Remove|Fix|Unknown)\b"),
    ],
)  # fmt: skip
def test_no_message_has(what, pattern):
    assert [text for text in ALL if re.search(pattern, text)] == []


def test_quotes_are_closed():
    assert [text for text in ALL if text.count("`") % 2] == []


def test_messages_in_every_place_are_found():
    """The reader of the source finds an error, its help, a warning, a choice of texts, and a rule's help."""
    for name, text in (
        ("core/image_settings.py", "{text} is not a secret"),
        ("core/image_settings.py", "write VARIABLE, id=ID,env=VARIABLE or id=ID,src=FILE"),
        ("binaries/start.py", "{path.name}: not started: {reason}"),
        ("emulation/qemu.py", "crashed when started with {flag}: {}"),
        ("failures/rules/cargo.toml", "apt-get install qemu-user-static"),
    ):
        assert text in FOUND[name], name
