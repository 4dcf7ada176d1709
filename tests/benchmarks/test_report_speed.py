"""The benchmark of the report measures what it says, and reports are drawn in bearable time.

The bars themselves are for a quiet machine (`make benchmark-report`); here three times as much is
borne, which still shows a report that became slow.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.report import __main__ as benchmark

RECORD = Path(__file__).parents[1] / "golden" / "record.json"
MARGIN = 3


@pytest.mark.alone
@pytest.mark.slow
def test_reports_are_drawn_in_bearable_time(monkeypatch, capsys):
    pytest.importorskip("weasyprint", exc_type=ImportError)
    borne = tuple(replace(case, bar=MARGIN * case.bar) for case in benchmark.CASES)
    monkeypatch.setattr(benchmark, "CASES", borne)
    late = benchmark.main([str(RECORD), "--runs", "2"])
    table = capsys.readouterr().out
    print(table)
    assert late == 0, table


def test_one_that_is_late_is_told(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "CASES", (benchmark.Case("Markdown", ("markdown",), 1e-9),))
    monkeypatch.setattr(benchmark, "seconds", lambda record, case: 2.5)
    assert benchmark.main([str(RECORD), "--runs", "1"]) == 1
    assert "Markdown          2.50 s  2.50 s   0.0 s  too slow" in capsys.readouterr().out


def test_a_report_that_is_not_written_is_no_fast_one(tmp_path):
    (tmp_path / "record.json").write_text("{}")
    with pytest.raises(RuntimeError, match=r"did not do its work: audit: .*not an audit record"):
        benchmark.seconds(tmp_path / "record.json", benchmark.CASES[0])
