"""Whatever goes wrong ends in a short message that acts on no terminal."""

import json
import sys
from pathlib import Path

import pytest

from auditor import cli
from tests.hostile_texts import TEXTS, UNSAFE

GOLDEN = Path(__file__).parents[1] / "golden" / "record.json"


def ended(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[object, str]:
    monkeypatch.setattr(sys, "argv", ["audit", *argv])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr().err


def test_a_fault_of_the_program_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError(" ".join(TEXTS.values()))

    monkeypatch.setattr("auditor.report.terminal.summary_table", broken)
    code, said = ended(["show", str(GOLDEN)], monkeypatch, capsys)
    assert code == 3
    assert said.startswith("audit: a fault of this program: ZeroDivisionError: ")
    assert "AUDIT_DEBUG=1" in said
    assert len(said.splitlines()) == 2
    assert not UNSAFE.search(said)
    monkeypatch.setenv("AUDIT_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_messages_that_quote_a_record_are_clean(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
) -> None:
    record = json.loads(GOLDEN.read_text("utf-8"))
    record["sections"][0]["findings"][0]["check"] = text
    record["sections"][0]["findings"][1]["check"] = text
    (tmp_path / "record.json").write_text(json.dumps(record))
    code, said = ended(["show", str(tmp_path)], monkeypatch, capsys)
    assert code == 2
    assert not UNSAFE.search(said)
    assert len(said.splitlines()) == 1
