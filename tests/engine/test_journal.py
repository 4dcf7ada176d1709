"""A journal can be looked at, and holds no secret of the spec."""

from dataclasses import replace
from pathlib import Path

import pytest

from auditor.core.errors import InputError
from auditor.core.record import read_record
from auditor.core.request import Failed
from auditor.core.secrets import sealed, told_spec
from auditor.engine.journal import VERSION, Head, Journal
from auditor.engine.supervisor import _resumed
from auditor.observations.structure import TensorsOf
from tests.hostile_texts import SECRET, TEXTS, UNSAFE

GOLDEN = Path(__file__).parents[1] / "golden" / "record.json"
SPEC = {"name": TEXTS["directions"], "model": {"args": {"token": SECRET, "width": 3}}}


def head(spec: dict[str, object]) -> Head:
    made = Head(
        VERSION, told_spec(spec), read_record(GOLDEN).subject, {}, "2026-11-23T15:20:00+00:00"
    )
    return replace(made, secrets=sealed(spec))


def test_what_acts_or_hides_is_escaped_and_read_back(tmp_path: Path) -> None:
    journal, request = Journal(tmp_path), TensorsOf()
    reason = " ".join(text for text in TEXTS.values() if "\ud800" not in text)
    journal.begin(head(SPEC))
    journal.write(request, Failed(reason), 0.5)
    assert journal.read(request) == (Failed(reason), 0.5)
    assert journal.head().spec["name"] == SPEC["name"]
    for path in journal.path.iterdir():
        text = path.read_text("utf-8")
        assert not set(UNSAFE.findall(text)) - {"\u034f", "\u3164", "\u2800", "\U000e0041"}
        assert SECRET not in text


def test_an_audit_goes_on_while_its_secrets_are_the_same(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(head(SPEC))
    on = _resumed(journal, head(SPEC), SPEC)
    assert on.secrets == journal.head().secrets
    other = {**SPEC, "model": {"args": {"token": "another-one", "width": 3}}}
    with pytest.raises(InputError, match="what is hidden of its settings has changed") as refusal:
        _resumed(journal, head(other), other)
    assert SECRET not in str(refusal.value)
    wider = {**SPEC, "model": {"args": {"token": SECRET, "width": 4}}}
    with pytest.raises(InputError, match=r"model\.args\.width was 3, is 4"):
        _resumed(journal, head(wider), wider)


def test_a_journal_of_before_that_holds_its_secrets_tells_none(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(replace(head(SPEC), spec=SPEC, secrets=""))
    with pytest.raises(InputError, match="what is hidden") as refusal:
        _resumed(journal, head(SPEC), SPEC)
    assert SECRET not in str(refusal.value)
