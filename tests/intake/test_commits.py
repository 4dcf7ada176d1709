"""Commits that a checkpoint and the files beside it record."""

from types import SimpleNamespace
from typing import Any

import pytest

from auditor.intake.commits import recorded_commits

WHOLE = "0123456789abcdef0123456789abcdef01234567"


def told(extras: dict[str, str], beside: Any = None, recorded: Any = None) -> list[Any]:
    held = SimpleNamespace(extras=extras, beside=beside or {}, recorded=recorded)
    return [(one.commit, one.where, one.dirty) for one in recorded_commits(held)]


@pytest.mark.parametrize("key", ["git_commit", "args.git_sha", "commit", "code.commit", "git.hash"])
def test_usual_names(key: str) -> None:
    found = told({key: WHOLE})
    assert found == ([(WHOLE, f"checkpoint: {key}", False)] if key != "git.hash" else [])


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("abc1234", [("abc1234", False)]),
        ("ABC1234-dirty", [("abc1234", True)]),
        ("abc1234+", [("abc1234", True)]),
        ("1234567", []),
        ("abc", []),
        ("main", []),
        ("--upload-pack=x", []),
        (WHOLE + WHOLE, []),
        ("a" * 10_000_000, []),
    ],
    ids=lambda value: str(value)[:20],
)
def test_values(value: str, found: list[Any]) -> None:
    assert [(commit, dirty) for commit, _, dirty in told({"git_commit": value})] == found


def test_a_librarys_own_and_repeated_ones_are_left_out() -> None:
    beside = {"config.json": {"_commit_hash": "b" * 40, "git": {"commit": WHOLE}}}
    found = told({"git_commit": WHOLE}, beside)
    assert found == [(WHOLE, "checkpoint: git_commit", False)]
    assert told({}, beside) == [(WHOLE, "config.json: git.commit", False)]


def test_a_recording() -> None:
    header = SimpleNamespace(name="net.audit.jsonl", code={"commit": WHOLE, "dirty": True})
    assert told({}, recorded=header) == [(WHOLE, "net.audit.jsonl: commit", True)]
    assert told({}, recorded=SimpleNamespace(name="x", code={})) == []
