"""The documentation: links resolve, lines are short, every command and lint rule is described, and no path is of one machine."""

import re
from pathlib import Path

import pytest

from buildlib.cli.collection import namespace
from buildlib.lint.finding import rules

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"`[^`\n]*`")
MACHINE = re.compile(r"/(?:work|root|home)/|/tmp/\w")
WIDTH = 140

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ +(.+?) *$", CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page, text):
    """The relative links in a page that lead to no file, or to no heading."""
    for target in (match["target"] for match in LINK.finditer(INLINE_CODE.sub("", CODE.sub("", text)))):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        is_page = path.suffix == ".md" and path.is_file()
        if not path.exists() or (anchor and not (is_page and anchor in anchors(path.read_text(encoding="utf-8")))):
            yield target


@pages
def test_relative_links_resolve(page):
    assert list(broken_links(page, page.read_text(encoding="utf-8"))) == []


def test_broken_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One: `two` [three]\n```\n# no heading\n```\n")
    text = (
        "[a](page.md) [b](#one-two-three) [c](other.md) [d](page.md#no-heading) `[e](no.md)` [f](https://example.org/x)"
    )
    assert list(broken_links(page, text)) == ["other.md", "page.md#no-heading"]


@pages
def test_lines_of_text_are_short(page):
    lines = CODE.sub("", page.read_text(encoding="utf-8")).splitlines()
    assert [line for line in lines if len(line) > WIDTH and not line.startswith("|")] == []


@pages
def test_no_path_is_of_a_development_machine(page):
    assert MACHINE.findall(page.read_text(encoding="utf-8")) == []


def test_the_readme_is_short_and_names_every_command():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    names = [{command, *aliases} for command, aliases in namespace.task_names.items()]
    assert [group for group in names if not any(re.search(rf"`{re.escape(name)}[` ]", text) for name in group)] == []


def test_every_page_is_linked_from_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"({page.relative_to(ROOT)})" not in text] == []


def test_the_page_about_lint_lists_all_rules():
    rows = re.findall(
        r"^\| (BL\d+) \| `([\w-]+)` \| (\w+) \|", (ROOT / "docs" / "lint.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert rows == [(rule.number, rule.name, rule.severity) for rule in rules().values()]
