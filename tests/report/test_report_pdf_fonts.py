"""The fonts of the PDF: free, small, enough for our own words, and the only ones used."""

import io
import os
from dataclasses import replace
from pathlib import Path

import pypdf
import pytest
from fontTools.ttLib import TTFont
from pdf_rules import broken_rules, dictionaries
from report_records import subject

import auditor
from auditor.core.figure import Bars
from auditor.core.finding import Finding, Metric, Place
from auditor.core.record import Section
from auditor.core.verdict import Verdict
from auditor.report.pdf import render_pdf
from auditor.report.pdf_fonts import FOLDER, drawable, font_settings

FOREIGN = "模型-\N{GRINNING FACE}-שלום-नमस्ते-\N{LATIN SMALL LETTER E}\N{COMBINING ACUTE ACCENT}"


def one_finding(record, *findings: Finding):
    section = Section("loss", "Confirm the loss", Verdict.WARN, findings)
    return replace(record, sections=(section,), causes=())


def letters() -> set[int]:
    return {
        letter for path in FOLDER.glob("*.ttf") for letter in TTFont(path, lazy=True).getBestCmap()
    }


def text_of(pdf: bytes) -> str:
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    return "".join(page.extract_text() for page in reader.pages)


def test_they_are_free_and_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 500_000
    for path in FOLDER.glob("*.ttf"):
        font = TTFont(path)
        assert "SIL Open Font License" in font["name"].getDebugName(13)
        assert font["OS/2"].fsType == 0, "may be embedded"
        family = path.stem.split("-")[0].removesuffix("NL")
        licence = (FOLDER / f"{family}-OFL.txt").read_text(encoding="utf-8")
        assert "SIL OPEN FONT LICENSE Version 1.1" in licence
        assert "with Reserved Font Name" not in licence


def test_they_hold_every_letter_that_we_write():
    root = Path(auditor.__file__).parent
    used = {
        letter
        for part in ("report", "checks", "diagnosis")
        for path in (root / part).rglob("*")
        if path.suffix in {".py", ".j2", ".css"} and path.name != "markdown.py"
        for letter in path.read_text(encoding="utf-8")
        if letter > "~"
    }
    assert drawable("".join(sorted(used))) == "".join(sorted(used))


def test_the_list_of_letters_is_that_of_the_fonts():
    known = letters()
    for letter in range(0x20, 0x11000):
        if not 0xD800 <= letter < 0xE000:
            assert (drawable(chr(letter)) == chr(letter)) == (letter in known), hex(letter)


def test_what_no_font_holds_is_written_as_python_writes_it():
    assert drawable('"模é→\n"') == '"\\\\u6a21é→\n"'
    assert drawable("\N{GRINNING FACE}") == "\\\\U0001f600"


def test_the_settings_name_no_folder_but_ours(tmp_path):
    settings = font_settings(tmp_path / "a&b")
    assert settings.count("<dir>") == 1
    assert f"<dir>{FOLDER}</dir>" in settings
    assert "a&amp;b</cachedir>" in settings


def test_foreign_scripts_break_nothing(record):
    named = replace(record, subject=subject(FOREIGN))
    finding = Finding(
        "foreign",
        Verdict.WARN,
        FOREIGN,
        f"`{FOREIGN}` {FOREIGN}",
        (Metric(FOREIGN, 1.0, "米"),),
        (Place("layer", FOREIGN, FOREIGN),),
        (FOREIGN,),
        (Bars(FOREIGN, FOREIGN, FOREIGN, (FOREIGN,), (1.0,)),),
    )
    pdf = render_pdf(one_finding(named, finding))
    assert broken_rules(pdf) == []
    text = text_of(pdf)
    assert "\\u6a21\\u578b" in text
    assert "\\U0001f600" in text
    assert "模" not in text


@pytest.mark.slow
def test_every_letter_of_every_font_is_drawn(record):
    known = [chr(letter) for letter in sorted(letters()) if letter > 0x20]
    parts = ["".join(known[i : i + 300]) for i in range(0, len(known), 300)]
    findings = [
        Finding(f"letters-{i}", Verdict.WARN, part, f"{part} `{part.replace('`', '')}`")
        for i, part in enumerate(parts)
    ]
    assert broken_rules(render_pdf(one_finding(record, *findings))) == []


def test_pages_are_the_same_where_other_fonts_and_languages_are(record, tmp_path, monkeypatch):
    small = replace(record, sections=record.sections[1:2], causes=())
    here = render_pdf(small)
    names = {font["/BaseFont"] for font in fonts(here)}
    assert {name.partition("+")[2] for name in names} <= {
        "Inter",
        "Inter-Semi-Bold",
        "JetBrains-Mono-NL",
    }
    (tmp_path / "fonts.conf").write_text("<fontconfig/>")
    monkeypatch.setenv("FONTCONFIG_FILE", str(tmp_path / "fonts.conf"))
    monkeypatch.setenv("LANG", "ja_JP.UTF-8")
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(os.sep)
    assert render_pdf(small) == here


def fonts(pdf: bytes):
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    return list(dictionaries(reader, "/Type", "/Font"))
