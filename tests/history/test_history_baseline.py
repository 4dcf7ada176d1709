"""Which earlier audit another one is held against."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kept_records import audited, found

from auditor.core.errors import InputError
from auditor.core.record import record_to_json
from auditor.core.spec import AuditSpec
from auditor.core.spec_file import spec_from
from auditor.history.baseline import baseline_of, of_record
from auditor.history.entry import id_of
from auditor.history.sqlite import SqliteHistory

PASSES, FAILS = found("a", "pass"), found("a", "fail")


@pytest.fixture
def history(tmp_path: Path) -> SqliteHistory:
    return SqliteHistory(tmp_path / "history.sqlite")


def spec(base: Path, baseline: str | None = "last", **audit: Any) -> AuditSpec:
    values = {
        "name": "digits",
        "model": {"factory": "model:build"},
        "history": {"file": "history.sqlite"},
        "audit": {"baseline": baseline, **audit},
    }
    return spec_from(values, "spec", base)


def days(base: Path, **audit: Any) -> dict[str, str]:
    """Return the days of the audits that are compared with."""
    told = baseline_of(spec(base, **audit))
    last = told.earlier.get("last")
    if told.named is not None:
        assert last is not None
        assert told.named.record.volatile.started == last.started
    return {which: earlier.started[8:10] for which, earlier in told.earlier.items()}


def test_without_a_word_of_it_nothing_is_compared(history: SqliteHistory, tmp_path: Path) -> None:
    history.add(audited(1))
    told = baseline_of(spec(tmp_path, None))
    assert (told.named, told.earlier) == (None, {})


def test_without_an_earlier_audit_there_is_nothing(history: SqliteHistory, tmp_path: Path) -> None:
    assert days(tmp_path) == {}
    history.add(audited(1, name="letters"))
    history.add(audited(1, factory="model:other"))
    assert days(tmp_path) == {}


def test_the_last_and_the_accepted_one(history: SqliteHistory, tmp_path: Path) -> None:
    history.add(audited(1, PASSES))
    refused = history.add(audited(2, FAILS))
    history.add(audited(3, FAILS))
    assert days(tmp_path) == {"last": "03", "accepted": "01"}
    history.accept(refused, True)
    assert days(tmp_path) == {"last": "03", "accepted": "02"}
    history.add(audited(4, PASSES))
    assert days(tmp_path) == {"last": "04", "accepted": "04"}


def test_nothing_may_ever_have_been_accepted(history: SqliteHistory, tmp_path: Path) -> None:
    history.add(audited(1, FAILS))
    assert days(tmp_path) == {"last": "01"}


def test_an_audit_that_broke_off_does_not_count(history: SqliteHistory, tmp_path: Path) -> None:
    history.add(audited(1, PASSES))
    history.add(audited(2, PASSES, error="the worker died"))
    assert days(tmp_path)["last"] == "01"


def test_the_task_counts_where_it_is_known(history: SqliteHistory, tmp_path: Path) -> None:
    history.add(audited(1, task="multiclass"))
    history.add(audited(2, task="binary"))
    assert days(tmp_path)["last"] == "02"
    told = baseline_of(spec(tmp_path).model_copy(update={"task": "multiclass"}))
    assert told.earlier["last"].started.startswith("2026-01-01")


def test_an_audit_of_a_few_checks_is_no_measure_of_a_whole_one(
    history: SqliteHistory, tmp_path: Path
) -> None:
    history.add(audited(1))
    history.add(audited(2, only=["a", "b"]))
    history.add(audited(3, only=["c"]))
    assert days(tmp_path)["last"] == "01"
    assert days(tmp_path, checks={"only": ["a"]})["last"] == "02"
    assert days(tmp_path, checks={"only": ["c"]})["last"] == "03"
    assert days(tmp_path, checks={"only": ["a", "c"]})["last"] == "01"


def test_an_audit_that_goes_on_is_not_its_own_measure(
    history: SqliteHistory, tmp_path: Path
) -> None:
    for day in (1, 2, 3):
        history.add(audited(day))
    began = audited(2)
    told = baseline_of(spec(tmp_path), began.volatile.started, id_of(began))
    assert told.earlier["last"].started.startswith("2026-01-01")


def test_a_record_is_named_by_file_folder_or_id(history: SqliteHistory, tmp_path: Path) -> None:
    id_ = history.add(audited(1, FAILS))
    record = audited(2, FAILS)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/record.json").write_text(record_to_json(record), encoding="utf-8")
    for name, day in (("runs", 2), ("runs/record.json", 2), (id_, 1), (id_[:5], 1)):
        told = baseline_of(spec(tmp_path, name))
        assert told.named is not None
        assert told.named.record == audited(day, FAILS)
        assert told.earlier["last"] == told.earlier["accepted"], "whatever came out of it"
    assert told.named.source == f"{id_} in the history"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere.json", r"nowhere.json: can't be read: No such file"),
        ("empty", r"empty: a folder without record.json"),
        ("deadbeef", r"deadbeef: no such record or folder, and no such audit in the history \("),
        ("spec.yaml", r"spec.yaml: not an audit record"),
    ],
)
def test_what_is_no_record_is_named(
    name: str, says: str, history: SqliteHistory, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "spec.yaml").write_text(json.dumps({}), encoding="utf-8")
    with pytest.raises(InputError, match=says):
        baseline_of(spec(tmp_path, name))
    history.add(audited(1))
    with pytest.raises(InputError, match=says):
        baseline_of(spec(tmp_path, name))


def test_a_record_at_hand(tmp_path: Path) -> None:
    record = replace(audited(1), environment={"torch": "2.10"})
    told = of_record(record, "the record")
    assert told.earlier["last"].environment == {"torch": "2.10"}


def test_why_there_is_nothing_to_compare_with_is_told(
    history: SqliteHistory, tmp_path: Path
) -> None:
    def why(**audit: Any) -> str:
        return baseline_of(spec(tmp_path, **audit)).lacking.replace(history.shown, "FILE")

    assert why() == "there is no history yet (FILE)"
    history.add(audited(1, name="letters"))
    assert why() == "the history (FILE) holds no earlier audit of 'digits'"
    history.add(audited(1, factory="model:other"))
    assert why().endswith("no earlier audit of this 'digits', but of another factory or task")
    history.add(audited(1, only=["a"]))
    assert why().startswith("none of 1 earlier audit of 'digits' in the history (FILE)")
    history.add(audited(2, error="the worker died"))
    assert why().startswith("none of 2 earlier audits of 'digits'")
    assert why(checks={"only": ["a"]}) == "", "one is found"
    assert baseline_of(spec(tmp_path, None)).lacking == "", "none is looked for"
