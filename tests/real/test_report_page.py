"""The page of `buildlib report`, in a browser: no overflow in narrow and wide windows, nothing loaded, nothing run, readable."""

import json
import sys
from pathlib import Path

import chromium
import pytest
from testbed import buildlib

sys.path.append(str(Path(__file__).parents[1] / "unit" / "report"))
from test_history_page import RUN, hostile_lines, long_history

# Elements that reach beyond the window, with their right edges.
OVERFLOW = """
[...document.querySelectorAll('body *')].map(e => [e.tagName + '.' + e.className, e.getBoundingClientRect().right])
    .filter(([_, right]) => right > innerWidth + 0.5)
"""
OPEN_ALL = "document.querySelectorAll('details').forEach(details => details.open = true)"
# Contrast of every text with the nearest background, as WCAG 2 defines it; the smallest ratio.
CONTRAST = """
(() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
      .reduce((sum, c, at) => sum + c * [.2126, .7152, .0722][at], 0);
  const behind = e => { const c = rgb(getComputedStyle(e).backgroundColor);
      return c[3] === 0 && e.parentElement ? behind(e.parentElement) : c; };
  const texts = [...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
  return Math.min(...texts.map(e => {
      const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))].sort();
      return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); }));
})()
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Reports of a project that failed and was built, of a history in which every name is hostile, and of a long one."""
    root = tmp_path_factory.mktemp("report") / "app"
    (root / "src").mkdir(parents=True)
    (root / "Cargo.toml").write_text("[package]\nname = 'app'\nversion = '1.0.0'\nedition = '2021'\n")
    (root / "src" / "main.rs").write_text("#[derive(Debug)]\nfn main() {}\n")
    assert buildlib("build", cwd=root).code == 101
    (root / "src" / "main.rs").write_text('fn main() { println!("app 1.0.0"); }\n')
    assert buildlib("build", cwd=root).code == 0
    journal = root / "target" / "buildlib" / "journal.jsonl"
    written = buildlib("report", "--output", root / "built.html", cwd=root)
    assert (written.code, written.out) == (0, f"wrote {root / 'built.html'}\n"), written
    hostile = [line | {"run": RUN["run"]} for line in hostile_lines()]
    for name, lines in {"hostile": hostile, "long": long_history(100, 5)}.items():
        journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        assert buildlib("report", "--output", root / f"{name}.html", cwd=root).code == 0
    return root


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium.browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", ["built", "hostile", "long"])
def test_the_page_fits_the_window_and_only_shows(browser, pages, name, width, scheme):
    page = pages / f"{name}.html"
    assert page.stat().st_size < 500_000
    browser.open(page.as_uri(), width, scheme)
    assert browser.value(OVERFLOW) == []
    browser.value(OPEN_ALL)
    assert browser.value(OVERFLOW) == []
    assert browser.value("document.documentElement.scrollWidth") == width
    background = browser.value("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]
    assert browser.value(CONTRAST) >= 4.5  # WCAG 2, level AA
    assert browser.value("document.querySelectorAll('script, img, iframe').length") == 0
    assert browser.of("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded") == []
    loaded = [event["request"]["url"] for event in browser.of("Network.requestWillBeSent")]
    assert [url for url in loaded if not url.startswith("data:")] == [page.as_uri()]


def test_what_was_built_and_what_failed_is_on_the_page(browser, pages):
    browser.open((pages / "built.html").as_uri(), 1280)
    shown = browser.value("document.body.innerText")
    assert "buildlib report: app\n" in shown
    assert "cargo exited with code 101: src/main.rs:1:1: error" in shown and "has succeeded since" in shown
    assert "1 compiled, 0 cached" in shown and "app 1.0.0" in shown
    browser.value(OPEN_ALL)
    assert ".text" in browser.value("document.body.innerText")


def test_on_paper_everything_is_open(browser, pages):
    browser.open((pages / "built.html").as_uri(), 800, media="print")
    shown = "[...document.querySelectorAll('td')].filter(td => td.textContent === '.text' && td.checkVisibility(" \
            "{contentVisibilityAuto: true}) && td.getBoundingClientRect().height > 0).length"  # fmt: skip
    assert browser.value(shown) == 1
    browser.open((pages / "built.html").as_uri(), 800)
    assert browser.value(shown) == 0
