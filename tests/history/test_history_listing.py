"""The audits in a row, with what changed from one to the next."""

import io
import json
from pathlib import Path

import pytest
from kept_records import audited, found

from auditor.commands.history_table import history_table
from auditor.commands.machine import history_json
from auditor.commands.printing import write_shown
from auditor.core.changes import Kind
from auditor.history.history import HistoryError
from auditor.history.listing import Line, lines
from auditor.history.sqlite import SqliteHistory


@pytest.fixture
def history(tmp_path: Path) -> SqliteHistory:
    return SqliteHistory(tmp_path / "history.sqlite")


def told(line: Line) -> list[tuple[Kind, str]]:
    return [(change.kind, change.check) for change in line.changes]


def test_each_is_compared_with_the_one_before(history: SqliteHistory) -> None:
    history.add(audited(1, found("a", "pass"), found("b", "fail")))
    history.add(audited(2, name="letters"))
    history.add(audited(3, found("a", "fail"), found("b", "fail")))
    history.add(audited(4, found("a", "fail"), found("b", "pass")))
    newest, middle, letters, first = lines(history, None, 20)
    assert told(newest) == [(Kind.FIXED, "b")]
    assert told(middle) == [(Kind.NEW, "a")]
    assert middle.before is not None
    assert middle.before.id == first.entry.id
    assert (letters.before, first.before) == (None, None)
    assert [line.entry.id for line in lines(history, "digits", 20)] == [
        line.entry.id for line in (newest, middle, first)
    ]


def test_the_oldest_that_is_shown_is_compared_too(history: SqliteHistory) -> None:
    history.add(audited(1, found("a", "pass")))
    for day in range(2, 5):
        history.add(audited(day, found("a", "fail")))
    shown = lines(history, None, 3)
    assert [told(line) for line in shown] == [[], [], [(Kind.NEW, "a")]]


def test_of_a_few_checks_only_these_are_compared(history: SqliteHistory) -> None:
    history.add(audited(1, found("a", "pass"), found("b", "fail")))
    history.add(audited(2, found("a", "fail"), only=["a"]))
    history.add(audited(3, found("a", "pass"), found("b", "fail")))
    whole, part, _ = lines(history, None, 20)
    assert told(part) == [(Kind.NEW, "a")], "b was not asked, and is not lost"
    assert told(whole) == []
    assert whole.before is not None
    assert whole.before.glance.volatile.started.startswith("2026-01-01")


def test_the_first_of_all_is_told_from_the_first_of_its_checks(history: SqliteHistory) -> None:
    history.add(audited(1, found("a", "pass"), only=["a"]))
    history.add(audited(2, found("a", "pass"), found("b", "pass")))
    assert [line.first for line in lines(history, None, 20)] == [False, True]
    shown = io.StringIO()
    write_shown(history_table(lines(history, None, 20)), shown)
    assert "  first audit of these checks\n" in shown.getvalue()
    assert shown.getvalue().count("  first audit\n") == 1


def test_an_unknown_name_suggests_a_near_one(history: SqliteHistory) -> None:
    history.add(audited(1, name="digits-cnn"))
    with pytest.raises(
        HistoryError, match="digit-cnn: no audit of that name; did you mean 'digits"
    ):
        lines(history, "digit-cnn", 20)
    with pytest.raises(HistoryError, match="there are audits of digits-cnn"):
        lines(history, "zebra", 20)


def test_in_eighty_columns_with_names_of_any_kind(history: SqliteHistory) -> None:
    name = "\x1b[31m<b>" + "n" * 300
    checks = [found(f"check-{place}", "fail") for place in range(30)]
    history.add(audited(1, *(found(one.check, "pass") for one in checks), name=name))
    history.add(audited(2, *checks, name=name))
    history.add(audited(3, found("a", "warn"), name=name, only=["a"]))
    shown = io.StringIO()
    write_shown(history_table(lines(history, None, 20)), shown)
    text = shown.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "30 new: check-0, check-1, check-2 and 27 more" in text
    assert "1 warning (1 check)" in text
    assert " 3 Jan 2026 12:00" in text
    assert text.count("  first audit\n") == 1
    assert "* accepted: nothing failed, or accepted by hand" in text


def test_for_programs(history: SqliteHistory) -> None:
    history.add(audited(1, found("a", "pass")))
    id_ = history.add(audited(2, found("a", "fail"), found("b", "warn", waived="known")))
    history.accept(id_, True)
    whole = json.loads(history_json(history.shown, lines(history, None, 20)))
    newest, first = whole["audits"]
    assert newest == {
        "id": id_,
        "name": "digits",
        "factory": "model:build",
        "task": "multiclass",
        "started": "2026-01-02T12:00:00+00:00",
        "verdict": "fail",
        "findings": {"fail": 1},
        "waived": 1,
        "only": None,
        "accepted": True,
        "accepted_by_hand": True,
        "checkpoint": {"path": "weights.pt", "sha256": f"{2:064x}"},
        "before": first["id"],
        "changes": [
            {
                "kind": "new",
                "check": "a",
                "title": "About a",
                "where": [{"kind": "layer", "name": "a"}],
            }
        ],
    }
