"""A record in which every text is hostile: read, and drawn in every format as plain text."""

import io
import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import markdown
import pypdf
import pytest
from browser import CHROMIUM, chromium
from jsonschema import Draft4Validator, Draft202012Validator
from markdown_it import MarkdownIt

from auditor.commands.machine import history_json
from auditor.commands.printing import write_shown
from auditor.core.errors import InputError
from auditor.core.glance import glance_at, read_glance
from auditor.core.record import (
    AuditRecord,
    read_record,
    record_from_json,
    record_schema,
    record_to_json,
)
from auditor.exports.card_file import card_of
from auditor.exports.model_card import About
from auditor.history.entry import entry_of
from auditor.notify.news import news_of
from auditor.notify.payload import payload
from auditor.report.compare.machine import compare_json
from auditor.report.compare.page import render_compare
from auditor.report.compare.text import compare_table
from auditor.report.compare.view import view_compare
from auditor.report.fleet.machine import fleet_json
from auditor.report.fleet.models import Audit, fleet
from auditor.report.fleet.page import render_fleet
from auditor.report.fleet.text import fleet_table
from auditor.report.fleet.view import view_fleet
from auditor.report.html import render_html
from auditor.report.junit import render_junit
from auditor.report.markdown import render_markdown
from auditor.report.pdf import render_pdf
from auditor.report.prometheus import render_prometheus
from auditor.report.sarif import render_sarif
from auditor.report.terminal import summary_table
from tests.hostile_texts import SECRET, UNSAFE, Markup, hostile_record, strict, texts_in

GOLDEN = Path(__file__).parents[1] / "golden" / "record.json"
SARIF = Path(__file__).parent / "schemas" / "sarif-2.1.0.json"


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "record.json"
    path.write_bytes(hostile_record(json.loads(GOLDEN.read_text("utf-8"))))
    return path


@pytest.fixture(scope="module")
def hostile(file) -> AuditRecord:
    return read_record(file)


@pytest.fixture(scope="module")
def good() -> AuditRecord:
    return read_record(GOLDEN)


def shown(table) -> str:
    text = io.StringIO()
    write_shown(table, text)
    return text.getvalue()


@pytest.fixture(scope="module")
def outputs(file, hostile, good) -> dict[str, str]:
    """Everything that is written or printed of the record, by the name of the output."""
    models = fleet([Audit(file, read_glance(file))])
    both = view_compare(good, hostile, ("good", "hostile"))
    return {
        "html": render_html(hostile),
        "compare page": render_compare(both),
        "fleet page": render_fleet(view_fleet(models), file.parent),
        "json": record_to_json(hostile),
        "compare json": compare_json(good, hostile, ("good", "hostile")),
        "fleet json": fleet_json(models),
        "history json": history_json("history", ()),
        "news": payload(news_of(glance_at(good), glance_at(hostile), "report.html"))[0].decode(),
        "markdown": render_markdown(hostile),
        "card": card_of(hostile, About()),
        "junit": render_junit(hostile),
        "sarif": render_sarif(hostile),
        "prometheus": render_prometheus(hostile),
        "terminal": shown(summary_table(hostile, whole=True)),
        "compare text": shown(compare_table(both)),
        "fleet text": shown(fleet_table(view_fleet(models))),
    }


def test_no_output_holds_what_acts_or_hides_or_is_secret(outputs):
    for name, text in outputs.items():
        assert UNSAFE.findall(text) == [], name
        assert SECRET not in text, name
        assert "n" * 400 not in text, name


def test_json_is_json_for_every_reader(outputs):
    for name in ("json", "compare json", "fleet json", "history json", "news", "sarif"):
        strict(outputs[name])
    record = strict(outputs["json"])
    Draft202012Validator(record_schema()).validate(record)
    assert max(len(text) for text in texts_in(record)) < 10_000
    assert record_to_json(record_from_json(outputs["json"].encode())) == outputs["json"]


def test_pages_hold_no_element_of_theirs(outputs):
    for name in ("html", "compare page", "fleet page"):
        page = Markup(outputs[name])
        assert not page.tags & {"img", "iframe", "base", "object", "embed", "form", "b"}, name
        assert page.handlers == page.away == [], name
        assert outputs[name].count("<script") == (name == "html"), name


def test_markdown_becomes_no_element_of_theirs(outputs):
    allowed = {
        *("h1", "h2", "h3", "p", "strong", "em", "code", "pre", "sub", "br", "ul", "ol", "li"),
        *("details", "summary", "table", "thead", "tbody", "tr", "th", "td"),
    }
    readers = (
        MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render,
        MarkdownIt("gfm-like", {"linkify": False}).render,
        lambda text: markdown.markdown(text, extensions=["extra"]),
    )
    for name in ("markdown", "card"):
        for reader in readers:
            made = Markup(reader(outputs[name]))
            assert made.tags <= allowed, name
            assert made.handlers == made.away == [], name


def test_build_servers_and_code_scanning_can_read_theirs(outputs):
    ET.fromstring(outputs["junit"])
    schema = json.loads(SARIF.read_text("utf-8"))
    assert list(Draft4Validator(schema).iter_errors(json.loads(outputs["sarif"]))) == []
    sample = re.compile(r'[a-z_]+\{(\w+="([^"\\\n]|\\.)*",?)*\} \S+|# (HELP|TYPE) .*')
    assert all(sample.fullmatch(line) for line in outputs["prometheus"].splitlines())


def test_a_line_of_a_terminal_is_no_wider_than_it(outputs):
    for name in ("terminal", "compare text", "fleet text"):
        assert max(map(len, outputs[name].splitlines())) <= 80 + 60, name  # marks take no column


@pytest.mark.slow
def test_the_pdf_has_no_action_and_no_attachment_of_theirs(hostile):
    some = replace(hostile, sections=hostile.sections[1:2])
    reader = pypdf.PdfReader(io.BytesIO(render_pdf(some)))
    assert [*reader.attachments] == ["record.json"]
    root = reader.trailer["/Root"]
    assert not {"/OpenAction", "/AA", "/AcroForm"} & {*root}
    assert {*root["/Names"]} <= {"/EmbeddedFiles", "/Dests"}
    for page in reader.pages:
        assert "/AA" not in page
        for link in page.get("/Annots", ()):
            assert "/A" not in link.get_object()
            assert link.get_object()["/Subtype"] == "/Link"
        assert UNSAFE.findall(page.extract_text()) == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
@pytest.mark.parametrize("name", ["html", "compare page", "fleet page"])
def test_in_a_browser_nothing_of_theirs_runs_and_nothing_is_requested(outputs, tmp_path, name):
    file = tmp_path / "page.html"
    file.write_text(outputs[name], encoding="utf-8")
    with chromium() as browser:
        tab = browser.new_page()
        requests, complaints, dialogs = [], [], []
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        tab.goto(file.as_uri())
        tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        for link in tab.locator("a[href]").all()[:40]:
            assert (link.get_attribute("href") or "").startswith("#")
        tab.wait_for_load_state("networkidle")
        assert tab.evaluate("window.hit") is None
        assert [url for url in requests if not url.startswith("data:")] == [file.as_uri()]
        assert complaints == dialogs == []
        assert "window.hit=1" in tab.evaluate("document.body.innerText")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_the_browser_would_see_a_script_that_runs(outputs, tmp_path):
    file = tmp_path / "page.html"
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", outputs["fleet page"])
    file.write_text(
        bare.replace("&lt;script&gt;window.hit=1&lt;/script&gt;", "<script>window.hit=1</script>")
    )
    with chromium() as browser:
        tab = browser.new_page()
        tab.goto(file.as_uri())
        assert tab.evaluate("window.hit") == 1


# --- what is no record ------------------------------------------------------------------------


def changed(*places: str | int, to) -> bytes:
    record = json.loads(GOLDEN.read_text("utf-8"))
    inner = record
    for place in places[:-1]:
        inner = inner[place]
    inner[places[-1]] = to
    return json.dumps(record).encode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "the file"),
        (b"[" * 100_000, "the file"),
        (b'{"schema_version": 1', "the file"),
        (b'{"schema_version": 1}', "verdict"),
        (b"\x80\x02}q\x00.", "the file"),
        (b"<script>window.hit=1</script>", "the file"),
        (changed("schema_version", to=99), "version 99"),
        (changed("verdict", to="\x1b[31mgreat"), "verdict"),
        (changed("sections", 0, "findings", 0, "title", to=3), "title"),
        (changed("subject", "parameters", to="many"), "parameters"),
        (changed("subject", "parameters", to=10**400), "300 digits"),
        (changed("scores", to={"dtype": "O"}), "scores"),
        (changed("subject", "data", "val", "features", "mean", to={"dtype": "O"}), "mean"),
        (changed("subject", "data", "val", "features", "mean", to={"dtype": 3}), "mean"),
        (changed("subject", "data", "val", "features", "mean", to=[1]), "mean"),
    ],
)
def test_what_is_no_record_is_told_in_a_line(tmp_path, text, words):
    path = tmp_path / "re\x1b[31mcord.json"
    path.write_bytes(text)
    with pytest.raises(InputError) as refusal:
        read_record(path)
    message = str(refusal.value)
    assert words in message
    assert "re\\x1b[31mcord.json" in message
    assert not UNSAFE.search(message)
    assert len(message) < 600


def test_a_check_that_speaks_twice_makes_no_record(good):
    section = good.sections[0]
    twice = replace(section, findings=section.findings[:1] * 2)
    text = record_to_json(replace(good, sections=(twice,)))
    with pytest.raises(InputError, match="two findings of the check"):
        record_from_json(text.encode())


def test_a_record_too_large_to_be_one_is_not_read(tmp_path):
    path = tmp_path / "record.json"
    with path.open("wb") as file:
        file.truncate(1 << 27)
    with pytest.raises(InputError, match="at most"):
        read_record(path)


def test_numbers_that_json_has_no_word_for_stay_numbers_or_become_words(hostile):
    assert math.isfinite(hostile.volatile.seconds)
    assert "nan" in hostile.spec.values()


def test_identity_and_entry_are_of_what_is_shown(hostile):
    entry = entry_of(hostile)
    assert entry == entry_of(record_from_json(record_to_json(hostile).encode()))
    assert not UNSAFE.search(entry.identity.name)
