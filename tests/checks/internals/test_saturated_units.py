from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.internals.saturated_units import SATURATION, judge
from auditor.core.verdict import Verdict
from auditor.observations.saturation import (
    AttentionLayer,
    Feeder,
    Saturation,
    SquashedLayer,
    no_feeder,
)

COUNT = 1000


def squashed(
    name: str,
    *,
    units: int = 20,
    low: int = 0,
    high: int = 0,
    share: float = 0.0,
    mean: float = 0.0,
    deviation: float = 1.0,
    feeder: Feeder | None = None,
    **changes,
) -> SquashedLayer:
    """Return a layer with so many units stuck low and high, the others saturated for a share."""
    lows, highs = np.full(units, share * COUNT / 2), np.full(units, share * COUNT / 2)
    lows[:low], highs[:low] = COUNT, 0
    lows[low : low + high], highs[low : low + high] = 0, COUNT
    total = np.full(units, mean * COUNT)
    layer = SquashedLayer(
        name, "sigmoid", COUNT, lows, highs, np.full(units, 0.5 * COUNT), total,
        np.full(units, (mean**2 + deviation**2) * COUNT), feeder or no_feeder(),
    )  # fmt: skip
    return replace(layer, **changes)


def gates(cell: str, stuck: dict) -> list[SquashedLayer]:
    names = {"LSTM": ("input", "forget", "cell", "output"), "GRU": ("reset", "update", "new")}
    return [squashed("rnn", gate=gate, cell=cell, **stuck.get(gate, {})) for gate in names[cell]]


def heads(
    name: str, collapsed: int = 0, uniform: int = 0, of: int = 4, queries: int = 500, share=1.0
) -> AttentionLayer:
    entropy = np.full(of, 0.6 * queries)
    ones, alike = np.zeros(of), np.zeros(of)
    ones[:collapsed], entropy[:collapsed] = share * queries, 0.0
    alike[collapsed : collapsed + uniform] = share * queries
    return AttentionLayer(name, queries, entropy, ones, alike, np.full(of, 2.0 * queries))


def seen(*layers, attention=(), examples: int = 200) -> dict:
    return {SATURATION: Saturation(tuple(layers), tuple(attention), examples, "val")}


@pytest.mark.parametrize(
    ("stuck", "verdict"),
    [
        ({}, Verdict.PASS),
        ({"low": 5}, Verdict.PASS),
        ({"low": 6}, Verdict.WARN),
        ({"low": 3, "high": 3}, Verdict.WARN),
        ({"low": 11}, Verdict.FAIL),
        ({"high": 20}, Verdict.FAIL),
        ({"units": 2, "low": 1}, Verdict.PASS),
        ({"units": 3, "low": 3}, Verdict.FAIL),
        ({"share": 0.74}, Verdict.PASS),
        ({"share": 0.76}, Verdict.INFO),
        ({"share": 0.85}, Verdict.WARN),
        ({"share": 0.99}, Verdict.FAIL),
    ],
)
def test_stuck_units_and_saturated_values(judged, stuck: dict, verdict: Verdict) -> None:
    found = judged(judge, seen(squashed("fine"), squashed("act", **stuck)))
    assert found.verdict is verdict, found.summary
    assert [place.name for place in found.where] == (
        ["act"] if verdict in (Verdict.WARN, Verdict.FAIL) else []
    )


@pytest.mark.parametrize(
    ("cell", "stuck", "verdict"),
    [
        ("LSTM", {"forget": {"high": 20}}, Verdict.PASS),
        ("LSTM", {"output": {"high": 20}}, Verdict.PASS),
        ("LSTM", {"output": {"low": 20}}, Verdict.FAIL),
        ("LSTM", {"input": {"low": 8}}, Verdict.WARN),
        ("LSTM", {"forget": {"low": 17}}, Verdict.PASS),
        ("LSTM", {"forget": {"low": 18}}, Verdict.FAIL),
        ("LSTM", {"cell": {"low": 9, "high": 9, "kind": "tanh"}}, Verdict.FAIL),
        ("GRU", {"update": {"low": 17}}, Verdict.PASS),
        ("GRU", {"update": {"low": 20}}, Verdict.FAIL),
        ("GRU", {"update": {"high": 20}}, Verdict.FAIL),
        ("GRU", {"reset": {"low": 20}}, Verdict.PASS),
        ("GRU", {"new": {"high": 17, "kind": "tanh"}}, Verdict.PASS),
        ("GRU", {g: {"low": 8} for g in ("reset", "update", "new")}, Verdict.WARN),
        ("GRU", {g: {"share": 0.45} for g in ("reset", "update", "new")}, Verdict.PASS),
        ("GRU", {g: {"share": 0.6} for g in ("reset", "update", "new")}, Verdict.WARN),
        ("GRU", {g: {"share": 0.97} for g in ("reset", "update", "new")}, Verdict.WARN),
        ("GRU", {g: {"share": 0.995} for g in ("reset", "update", "new")}, Verdict.FAIL),
    ],
)
def test_gates_are_judged_by_what_they_cut_off(judged, cell, stuck, verdict) -> None:
    found = judged(judge, seen(*gates(cell, stuck)))
    assert found.verdict is verdict, found.summary
    if verdict is not Verdict.PASS:
        assert found.where[0].name == "rnn"
        assert cell in found.summary


@pytest.mark.parametrize(
    ("layers", "verdict"),
    [
        ([heads("a"), heads("b")], Verdict.PASS),
        ([heads("a", collapsed=3), heads("b")], Verdict.PASS),
        ([heads("a", collapsed=4), heads("b")], Verdict.WARN),
        ([heads("a", collapsed=4, share=0.95), heads("b")], Verdict.PASS),
        ([heads("a", collapsed=4), heads("b", collapsed=4)], Verdict.FAIL),
        ([heads("a", collapsed=4)], Verdict.WARN),
        ([heads("a", uniform=3), heads("b")], Verdict.PASS),
        ([heads("a", uniform=4), heads("b")], Verdict.WARN),
        ([heads("a", uniform=4), heads("b", uniform=4)], Verdict.WARN),
        ([heads("a", collapsed=4, queries=50), heads("b")], Verdict.PASS),
    ],
)
def test_attention(judged, layers: list, verdict: Verdict) -> None:
    found = judged(judge, seen(attention=layers))
    assert found.verdict is verdict, found.summary
    if verdict is not Verdict.PASS:
        assert found.where[0].name == "a"


def fed(square: float, strength: float, spectral: float, bias, name: str = "") -> Feeder:
    return Feeder("fc", np.array([square, 1.0]), strength, spectral, bias, name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {
                "mean": 9.0,
                "feeder": fed(1.0, 1.0, 2.0, np.full(20, 8.0), "bias"),
            },
            "fc.bias",
        ),
        ({"mean": 9.0}, "not centred"),
        (
            {
                "deviation": 90.0,
                "feeder": fed(6400.0, 1.0, 2.0, np.zeros(20)),
            },
            "inputs off",
        ),
        (
            {
                "deviation": 90.0,
                "feeder": fed(1.0, 80.0, 99.0, np.zeros(20)),
            },
            "value 99",
        ),
        ({"deviation": 90.0}, "deviation 90."),
    ],
)
def test_the_cause_is_told_where_it_is_measured(judged, changes: dict, said: str) -> None:
    assert said in judged(judge, seen(squashed("act", high=20, **changes))).summary


def test_what_the_model_puts_out_is_not_judged(judged) -> None:
    found = judged(judge, seen(squashed("probabilities", high=20, output=True)))
    assert found.verdict is Verdict.NOT_APPLICABLE
    out = replace(heads("a", collapsed=4), output=True)
    assert judged(judge, seen(attention=[out])).verdict is Verdict.NOT_APPLICABLE


def test_few_examples_decide_nothing_and_nothing_is_not_applicable(judged) -> None:
    assert judged(judge, seen(squashed("a", high=20), examples=19)).verdict is Verdict.INFO
    assert judged(judge, seen()).verdict is Verdict.NOT_APPLICABLE


def test_names_are_made_safe(judged) -> None:
    found = judged(judge, seen(squashed("a\x1b[31m", high=20), attention=[heads("b\x1b", 4)]))
    assert "\x1b" not in found.summary + str(found.where) + str(found.figures) + str(found.advice)


def test_functions_with_hard_ends_are_made_to_be_used_there(judged) -> None:
    def verdict(share: float) -> Verdict:
        return judged(judge, seen(squashed("act", kind="hardsigmoid", share=share))).verdict

    assert verdict(0.9) is Verdict.PASS
    assert verdict(0.99) is Verdict.WARN
