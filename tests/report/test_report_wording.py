"""Numbers, durations, prose and metric lines."""

import ast
import math
import shlex

import pytest

from auditor.core.finding import Limit, Metric
from auditor.report.plots.extent import extent_of
from auditor.report.scale import WIDTH, scale_of
from auditor.report.view_finding import Ids
from auditor.report.wording import (
    Span,
    common_start,
    date,
    interval,
    number,
    prose,
    rerun,
    seconds,
    shortened,
    size,
    spans,
)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.00134, "", "0.00134"),
        (1.3e-5, "", "1.3e-05"),
        (97.4, "%", "97.4 %"),
        (0.974, "share", "97.4 %"),
        (0.99999, "share", ">99.99 %"),
        (0.9997, "share", "99.97 %"),
        (1.0, "share", "100 %"),
        (math.inf, "", "infinite"),
        (-math.inf, "s", "minus infinite"),
        (math.nan, "%", "not a number"),
        (None, "", "not measured"),
        (1024.0, "", "1,024"),
        (1234.6, "", "1,235"),
        (999.7, "", "1,000"),
        (2.5e7, "", "25,000,000"),
        (2.5e7 + 0.5, "", "2.5e+07"),
        (1e300, "", "1e+300"),
        (1e307, "share", "inf %"),
        (-0.5, "nats", "-0.5 nats"),
        (0.0, "", "0"),
    ],
)
def test_number(value, unit, shown):
    assert number(value, unit) == shown


def test_interval():
    assert interval(0.54, 0.63, "share") == "54 to 63 %"
    assert interval(1.0, 2.5, "ms") == "1 to 2.5 ms"
    assert interval(None, 1.0) == ""


def test_durations_sizes_dates():
    assert [seconds(s) for s in (0.5, 42.0, 73.4, 7260.0)] == [
        "0.50 s",
        "42 s",
        "1 min 13 s",
        "2 h 1 min",
    ]
    assert [size(n) for n in (12, 4_812_345)] == ["12 bytes", "4.81 MB"]
    assert date("2026-11-23T15:20:00+00:00") == "23 November 2026, 15:20 UTC"
    assert date("<b>") == "<b>"


def test_spans():
    assert spans("set `lr` to `0.1`") == (
        Span("set "),
        Span("lr", code=True),
        Span(" to "),
        Span("0.1", code=True),
    )
    assert "".join(s.text for s in spans("one ` alone")) == "one ` alone"
    assert spans("a `b` c ` d")[-1] == Span(" c ` d")
    assert spans("") == ()


def test_long_words_are_cut_within_prose():
    text = prose(f"before {'x' * 10_000} after")
    assert text.startswith("before x")
    assert text.endswith("after")
    assert len(text) < 500


def test_names_are_cut_in_the_middle():
    assert shortened("a" * 50 + "end", 20).endswith("end")
    assert len(shortened("a" * 50, 20)) == 20
    assert common_start(["model.encoder.0.a", "model.encoder.1.b", "model.encoder.10"]) == (
        "model.encoder."
    )
    assert common_start(["a.b", "c.d", "e"]) == ""


def test_ids_differ():
    ids = Ids()
    assert len({ids.new("f", name) for name in ("a", "a", "A", "<", ">", "", "a-n2")}) == 7


@pytest.mark.parametrize("bad", ["above", "below"])
@pytest.mark.parametrize("value", [0.1, 0.0, -5.0, 1e9, math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize(("warn", "fail"), [(0.05, 0.2), (None, 0.2), (0.05, None), (1.0, 1.0)])
def test_metric_lines_stay_inside(bad, value, warn, fail):
    scale = scale_of(Metric("m", value, "", value, value, Limit(warn, fail, bad)))
    places = [p for p in (scale.value, scale.low, scale.high) if p is not None]
    places += [mark.x for mark in (scale.warn, scale.fail) if mark]
    places += [end for zone in scale.zones for end in (zone.x, zone.x + zone.width)]
    assert all(0 <= place <= WIDTH for place in places)


@pytest.mark.parametrize("value", [1e300, -1e300, 9.9e299, 1e-307, 5e-324])
def test_metric_lines_hold_the_largest_and_smallest_numbers(value):
    scale = scale_of(Metric("m", value, "", value / 10, value * 10, Limit(1.0, 2.0)))
    assert scale is not None
    assert scale.value is not None
    assert 0 <= scale.value <= WIDTH


def test_metric_lines_turn_logarithmic():
    limit = Limit(1e-5, 1e-7, "below")
    assert scale_of(Metric("m", 1e-9, limit=limit)).log
    assert not scale_of(Metric("m", 0.0, limit=limit)).log
    assert scale_of(Metric("m", 1.0)) is None


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [(1.0, 2.0), (0.0,), (-1e300, 1e300), (1e-300, 1e300), (7.0,)])
def test_axes_have_ticks(values, log):
    extent = extent_of(values, log=log)
    assert extent.low < extent.high
    assert 1 <= len(extent.ticks()) <= 14


def test_rerun_is_the_command_of_the_audit_with_the_check_chosen():
    assert rerun("dead-units") == "audit run SPEC --only dead-units"
    line = rerun("dead-units", "audit run 'my models/audit.yaml' --lr 0.1", "my reports/")
    assert shlex.split(line) == [
        *("audit", "run", "my models/audit.yaml", "--lr", "0.1"),
        *("--only", "dead-units", "--out", "my reports/dead-units"),
    ]
    assert shlex.split(rerun("a; rm -rf ~", "audit run x.yaml"))[-1] == "a; rm -rf ~"


def test_rerun_of_a_live_model_is_python():
    line = rerun("dead-units", "audit(model, val=val, loss='mse_loss')", "audit-report")
    assert line == "audit(model, val=val, loss='mse_loss', only=[\"dead-units\"])"
    ast.parse(rerun('x"]); import os  #', "audit(model)"))
