"""The documentation site: every check has its page, links hold, and nothing comes from outside."""

import html
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from auditor.checks import catalogue
from auditor.commands.explain import settings
from auditor.core.check import HEADINGS, SECTIONS, Check
from auditor.diagnosis.rules import RULES
from tests.report.browser import CHROMIUM, chromium
from tests.subjects import ROOT

pytestmark = pytest.mark.slow

CHECKS = pytest.mark.parametrize("check", catalogue(), ids=lambda check: check.id)

LOADED = {("script", "src"), ("img", "src"), ("source", "srcset"), ("link", "href")}
"""What a browser fetches by itself: everything that points out of a page but a link to follow."""


@dataclass
class Page(HTMLParser):
    """A page: its anchors, what it links to and loads, and the text of its article."""

    source: str
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._inside = False
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        self.links += [given["href"]] if tag == "a" and "href" in given else []
        self.loads += [given[name] for kind, name in LOADED if kind == tag and name in given]
        self._inside |= tag == "article"

    def handle_endtag(self, tag: str) -> None:
        self._inside &= tag != "article"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.words.append(data)

    @property
    def text(self) -> str:
        return squeezed("".join(self.words))


def squeezed(text: str) -> str:
    return " ".join(text.replace("¶", "\n").split())


def plain(text: str) -> str:
    """What a docstring's text looks like once back-ticks and emphasis are drawn."""
    return squeezed(re.sub(r"\*(\w[^*]*\w)\*", r"\1", text.replace("`", "")))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [Path(sys.executable).parent / "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_plain_text_is_shown_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts/docs_site")
    import check_page
    import markdown

    text = "Of a < b & c\n> 1, 2 * 3 * 4, x*y*z, *these*\n- [one](two) `v_t < 1` p_t, _q_\n\n\\* r"
    assert markdown.markdown(check_page.marked(text)) == (
        "<p>Of a &lt; b &amp; c &gt; 1, 2 * 3 * 4, x*y*z, <em>these</em> - [one](two) "
        "<code>v_t &lt; 1</code> p_t, _q_</p>\n<p>\\* r</p>"
    )
    assert "[`dead-units`](dead-units.md)" in check_page.marked("See `dead-units`.")


@CHECKS
def test_a_check_has_its_page_word_for_word(
    check: Check, site: Path, pages: dict[Path, Page]
) -> None:
    page = pages[site / "checks" / f"{check.id}.html"]
    text = page.text
    for heading in HEADINGS:
        assert f"{heading} {plain(check.heading(heading))}" in text, heading
    assert plain(check.page.splitlines()[0]) in text
    for said in (SECTIONS[check.section], check.title, check.failure_title):
        assert plain(said) in text
    for name, limit in check.limits.items():
        assert name in text
        assert plain(limit.source) in text
    for rule in RULES:
        assert (plain(rule.plain) in text) >= (check.id in rule.known)
    assert f"audit run audit.yaml --only {check.id}" in text
    assert squeezed(settings(check)) in text
    assert not re.search(r"&(amp|lt|gt|#\d+);", text), "an entity is drawn as it is written"


def test_a_page_draws_code_as_code(site: Path) -> None:
    for check in catalogue():
        source = (site / "checks" / f"{check.id}.html").read_text(encoding="utf-8")
        for code in re.findall(r"`([^`]+)`", check.page):
            assert f"<code>{html.escape(' '.join(code.split()), quote=False)}</code>" in source


def test_the_navigation_has_the_checks_in_the_order_of_the_report(
    site: Path, pages: dict[Path, Page]
) -> None:
    links = [unquote(link) for link in pages[site / "index.html"].links]
    named = [link for link in links if link.startswith("checks/") and "index" not in link]
    assert list(dict.fromkeys(named)) == [f"checks/{check.id}.html" for check in catalogue()]


def test_links_within_the_site_hold(site: Path, pages: dict[Path, Page]) -> None:
    checked = 0
    for path, page in pages.items():
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or (path.name == "404.html" and link[0] == "/"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{path}: {link}"
            assert target.is_relative_to(site.resolve())
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].ids, f"{path}: {link}"
            checked += 1
    assert checked > 1000


def test_nothing_is_loaded_from_outside(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for address in page.loads:
            assert not urlsplit(address).netloc, f"{path}: {address}"
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"""(url\(|@import)\s*["']?(https?:)?//""", text), style


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_a_browser_asks_for_nothing_from_outside(site: Path) -> None:
    asked: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index", "checks/dead-units", "detection", "own-model"):
            page.goto(f"{(site / name).as_uri()}.html", wait_until="load")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert len(asked) > 20
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked), asked


def test_the_spec_page_names_every_key(site: Path, pages: dict[Path, Page]) -> None:
    from auditor.core import notify_spec, spec

    text = pages[site / "own-model.html"].text
    parts = {**vars(notify_spec), **vars(spec)}
    models = [value for value in parts.values() if hasattr(value, "model_fields")]
    for model in models:
        for name, known in model.model_fields.items():
            key = known.alias or name
            assert key == "base" or re.search(rf"\b{key}\b", text), key


def test_every_command_has_its_help(site: Path, pages: dict[Path, Page]) -> None:
    from auditor.cli import app

    text = pages[site / "commands.html"].text
    names = [known.name or known.callback.__name__ for known in app.registered_commands]
    assert "explain" in names
    for name in names:
        assert f"Usage: audit {name} " in text
