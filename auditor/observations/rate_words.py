"""What trials of learning rates came to, in sentences and metrics."""

import math

from auditor.core.finding import Metric
from auditor.core.text import counted
from auditor.observations.rate_trials import Gain, Kind, RateTrials
from auditor.observations.rate_verdicts import Rates

STOPS = {
    "loss": "stopped at four times its best loss",
    "not finite": "stopped at a loss that was not finite",
    "end": "went through the whole range",
}


def interval_said(rates: Rates) -> str:
    """Return the sentence on the recommended interval, empty where there is none."""
    if not rates.known:
        return ""
    what = "training from fresh weights" if rates.start == "fresh" else "going on from here"
    return f"For {what}, rates from {rates.low:.2g} to {rates.high:.2g} are recommended."


def stops_said(answers: list[RateTrials]) -> list[str]:
    """Return a sentence for each start on why its range tests stopped."""
    said = []
    for answer in answers:
        runs = answer.range.stopped
        ends = ", ".join(f"{runs.count(k)} {STOPS[k]}" for k in STOPS if k in runs)
        start = "fresh weights" if answer.start == "fresh" else "the checkpoint"
        tests = f"{counted(len(runs), 'range test')} from {start}"
        alike = len(set(runs)) == 1
        said.append(f"All {tests} {STOPS[runs[0]]}." if alike else f"Of {tests}, {ends}.")
    return said


def bound_said(first: RateTrials, plain: float, heavy: float) -> list[str]:
    """Return the sentence on 2/λ, which says nothing of optimizers that divide gradients."""
    if not math.isfinite(plain):
        return []
    if first.adaptive:
        return [
            f"2/λ is {plain:.2g} at the checkpoint, which bounds gradient descent; of an optimizer "
            "that divides gradients by their size it says nothing."
        ]
    if first.momentum:
        return [f"(2 + 2β)/λ is {heavy:.2g} at the checkpoint (2/λ without momentum {plain:.2g})."]
    return [f"2/λ is {plain:.2g} at the checkpoint."]


def end_said(trials: RateTrials, kind: Kind) -> str:
    """Return where the copies of a kind ended."""
    arm = trials.arm(kind)
    assert arm is not None
    return "no finite loss" if arm.lost else f"{float(arm.probes.mean()):.4g}"


def sure_said(gain: Gain | None) -> str:
    """Return the interval of a gain, or that all agree, in brackets."""
    if gain is None or not math.isfinite(gain.sure_low):
        return ""
    if gain.alike and gain.sure_low <= 0 <= gain.sure_high:
        return " (every run and every batch says so)"
    return f" (99 % interval of the gain {gain.sure_low:.2g} to {gain.sure_high:.2g})"


def rate_metrics(
    first: RateTrials,
    rates: Rates,
    plain: float,
    heavy: float,
    fresh: RateTrials | None,
    trained: RateTrials | None,
) -> tuple[Metric, ...]:
    """Return the rates and the falls of the loss as metrics, as far as they are known."""
    found = [
        Metric("declared learning rate", first.declared),
        Metric("lowest recommended", rates.low),
        Metric("highest recommended", rates.high),
        Metric("recommended to begin with", rates.best),
        Metric("rate at which the loss is least", rates.edge),
        Metric("2/λ", plain),
        Metric("(2 + 2β)/λ", heavy if first.momentum else math.nan),
    ]
    for trials, what in ((fresh, "fresh models"), (trained, "copies of the checkpoint")):
        for arm in trials.arms if trials is not None else ():
            assert trials is not None
            gain = trials.gain(arm)
            if gain is not None:
                name = f"fall of the loss of {what} at {arm.rate:.2g}"
                name += " after a ramp" if arm.kind == "ramp" else ""
                found.append(Metric(name, gain.value, "", gain.low, gain.high))
    return tuple(metric for metric in found if metric.value is None or math.isfinite(metric.value))
