"""Untrusted text becomes one safe, bounded line; a tree of it becomes a safe tree."""

import re
from dataclasses import dataclass

import pytest

from auditor.core.cleaned import LONGEST_TEXT, cleaned
from auditor.core.figure import Image
from auditor.core.text import LONGEST, MOST_LINES, clean_message, clean_text
from auditor.core.verdict import Verdict

HOSTILE = {
    "\x1b[31mred": "\\x1b[31mred",
    "\x1b]8;;http://x\x07link\x1b]8;;\x07": "\\x1b]8;;http://x\\x07link\\x1b]8;;\\x07",
    "one\n[2/2] done": "one\\n[2/2] done",
    "a\rb\tc\x00d\x7f\x9b": "a\\rb\\tc\\x00d\\x7f\\x9b",
    "abc\u202edef\u2066": "abc\\u202edef\\u2066",
    "zero\u200bwidth\ufeff\u2060": "zero\\u200bwidth\\ufeff\\u2060",
    "line\u2028and\u2029": "line\\u2028and\\u2029",
    "lone\ud800": "lone\\ud800",
    "tag\U000e0041": "tag\\U000e0041",
    "filler\u3164\u115f\u034f\u2800": "filler\\u3164\\u115f\\u034f\\u2800",
    "\ue000": "\\ue000",
}


@pytest.mark.parametrize(("given", "shown"), HOSTILE.items())
def test_what_acts_or_hides_is_made_visible(given: str, shown: str) -> None:
    assert clean_text(given) == shown
    assert clean_text(shown) == shown


@pytest.mark.parametrize(
    "text", ["Gewichte für Läufer", "重み", "é e\u0301 ấ", "🙂", "$a_1$ <b> |", "❤️"]
)
def test_what_only_looks_foreign_stays(text: str) -> None:
    assert clean_text(text) == text


def test_letters_carry_a_few_marks_and_no_heap() -> None:
    shown = clean_text("a" + "\u0301" * 50)
    assert shown.startswith("a" + "\u0301" * 4 + "\\u0301")


@pytest.mark.parametrize("letter", ["m", "\x00", "\U000e0041", "é", " "])
@pytest.mark.parametrize("length", [299, 300, 301, 1_000_000])
def test_length_is_bounded_with_a_hash_and_cleaning_twice_changes_nothing(
    letter: str, length: int
) -> None:
    name = letter * length
    shown = clean_text(name)
    assert len(shown) < LONGEST + 60
    assert clean_text(shown) == shown
    if length > LONGEST:
        assert re.search(rf"… \({length:,} characters, sha256 [0-9a-f]{{8}}\)$", shown)
        assert clean_text(name + "x") != shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("can't reach https://me:hunter2@host:8080/x", "can't reach https://host:8080/x"),
        ("s3://AKIA1:secret@bucket/w.pt", "s3://bucket/w.pt"),
        ("https://token@github.com/a/b", "https://github.com/a/b"),
        ("https://a:b@c@host/x", "https://host/x"),
        ("https://host/a@b", "https://host/a@b"),
        ("hf://owner/name@main/w.pt", "hf://owner/name@main/w.pt"),
    ],
)
def test_addresses_lose_their_login(address: str, shown: str) -> None:
    assert clean_text(address) == shown
    assert "hunter2" not in clean_text("x" * 280 + address)


def test_a_message_has_few_lines_each_of_them_safe() -> None:
    shown = clean_message("first\nsecond \x1b[2J\n" + "\n".join(map(str, range(50))))
    assert shown.splitlines()[:2] == ["first", "second \\x1b[2J"]
    assert len(shown.splitlines()) == MOST_LINES
    assert shown.endswith("and 48 more lines")


@dataclass(frozen=True)
class Held:
    texts: tuple[str, ...]
    inner: dict[str, object]
    verdict: Verdict = Verdict.PASS


def test_a_tree_is_cleaned_and_a_clean_one_returned_itself() -> None:
    plain = Held(("a", "two words\nand a line"), {"n": [1, 2.5, None, True]})
    again = cleaned(plain)
    assert again == plain
    assert again.texts is plain.texts
    shown = cleaned(Held(("a\x1b", "m" * 1_000_000), {"k\u202e": ["x\x00", 3]}))
    assert shown.texts[0] == "a\\x1b"
    assert len(shown.texts[1]) < LONGEST + 60
    assert shown.inner == {"k\\u202e": ["x\\x00", 3]}
    assert shown.verdict is Verdict.PASS
    assert cleaned(shown) == shown


@pytest.mark.parametrize(
    "text",
    ["\x1b" * 200, "m" * 2000 + " " + "\x00" * 3000, "word\x00 " * 5000, "\n" * 30_000, "é" * 400],
)
def test_a_text_of_a_tree_is_bounded_and_cleaned_once(text: str) -> None:
    [shown] = cleaned([text])
    assert len(shown) < LONGEST_TEXT + 60
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", shown)
    assert cleaned([shown]) == [shown]


def test_pictures_stay_whole_and_what_only_claims_to_be_one_does_not() -> None:
    picture = "iVBORw0KGgo" + "A" * 50_000
    assert cleaned(Image("c", picture)).png == picture
    assert len(cleaned(Image("c", "A" * 50_000)).png) < LONGEST + 60
    assert len(cleaned(Image("c", "<" * 50_000)).png) < LONGEST + 60
