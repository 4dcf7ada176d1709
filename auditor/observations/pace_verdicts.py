"""What each weight's pace gets by the limits, and what is off."""

from dataclasses import dataclass, replace

from auditor.core.check import Limits
from auditor.core.finding import Limit
from auditor.core.verdict import Verdict, worst
from auditor.observations.pace import Pace, Span, WeightPace

TARGET = 1e-3
"""The ratio that the CS231n notes recommend."""

STARTS = {"fresh": "fresh weights", "checkpoint": "the checkpoint"}
"""Where steps start, in words."""

JUDGED_BY = {"fresh": ("ratio_high", "ratio_low"), "checkpoint": ("trained_ratio_high",)}
"""The limits of each start, the upper first."""

MANY = 0.25
"""Share of the tensors from which too short steps are no longer a matter of single layers."""


@dataclass(frozen=True)
class Judged:
    """A pace, the limits that it is judged by, the upper first, and what each tensor gets."""

    pace: Pace
    limits: tuple[Limit, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    whole: Verdict

    @property
    def start(self) -> str:
        """Return where the steps started, in words."""
        return STARTS[self.pace.seen.start]

    @property
    def too_long(self) -> bool:
        """Tell whether the model as a whole warns, for nothing but steps that are too long."""
        if self.whole is not Verdict.WARN:
            return False
        return all(_sure(limit, self.pace.ratio) is Verdict.PASS for limit in self.limits[1:])

    @property
    def verdict(self) -> Verdict:
        """Return the worst of the whole and of the tensors."""
        return worst((self.whole, *self.verdicts))

    @property
    def off(self) -> list[WeightPace]:
        """Return the tensors that raise the verdict, farthest from 1e-3 first."""
        pairs = zip(self.pace.weights, self.verdicts, strict=True)
        return sorted(
            (w for w, v in pairs if v in (Verdict.WARN, Verdict.FAIL)),
            key=lambda w: -max(abs(w.apart), abs(w.opens_apart)),
        )


def verdicts_on(pace: Pace, limits: Limits) -> Judged:
    """Judge a pace as a whole, and the one of each tensor."""
    own = tuple(limits[name] for name in JUDGED_BY[pace.seen.start])
    whole = [_sure(limit, pace.ratio) for limit in own]
    fresh = pace.seen.start == "fresh"
    if fresh:
        whole.append(own[0].verdict(pace.opening))
    slow = [w for w in pace.weights if not w.table and w.ratio.value > 0 and _slow(w.ratio, own)]
    many = len(slow) >= max(2, MANY * len(pace.weights))
    verdicts, notes = [], []
    for weight in pace.weights:
        verdict, note = _tensor(weight, own, limits["decades_apart"], fresh=fresh, many=many)
        verdicts.append(verdict)
        notes.append(note)
    return Judged(pace, own, tuple(verdicts), tuple(notes), worst(whole))


def long_steps(one: Judged, apart: Limit) -> tuple[WeightPace, ...]:
    """Return the tensors that warn for nothing but steps that are too long."""
    return tuple(
        weight
        for weight, verdict in zip(one.pace.weights, one.verdicts, strict=True)
        if verdict is Verdict.WARN
        and _sure(one.limits[0], weight.ratio) is Verdict.WARN
        and apart.verdict(max(abs(weight.apart), abs(weight.opens_apart))) is Verdict.PASS
    )


def settled(fresh: Judged, trained: Judged, apart: Limit) -> tuple[WeightPace, ...]:
    """Return the tensors that make long steps from fresh weights alone.

    They began small, beside what they came to: the model as a whole, and the tensor itself at the
    checkpoint, moves within the limits.
    """
    if fresh.whole is not Verdict.PASS or trained.whole is not Verdict.PASS:
        return ()
    sound = {
        weight.name
        for weight, verdict in zip(trained.pace.weights, trained.verdicts, strict=True)
        if verdict is Verdict.PASS and weight.ratio.value > 0
    }
    return tuple(weight for weight in long_steps(fresh, apart) if weight.name in sound)


def without(one: Judged, weights: tuple[WeightPace, ...]) -> Judged:
    """Return a judged pace in which some tensors pass."""
    pairs = zip(one.pace.weights, one.verdicts, strict=True)
    kept = tuple(Verdict.PASS if weight in weights else verdict for weight, verdict in pairs)
    return replace(one, verdicts=kept)


def _sure(limit: Limit, span: Span) -> Verdict:
    """Return a verdict that the whole of the wide interval supports."""
    sign = span.least if limit.bad == "above" else span.most
    return limit.verdict(sign, sign, sign)


def _slow(span: Span, limits: tuple[Limit, ...]) -> bool:
    return len(limits) > 1 and _sure(limits[1], span) is not Verdict.PASS


def _tensor(
    weight: WeightPace, limits: tuple[Limit, ...], apart: Limit, *, fresh: bool, many: bool
) -> tuple[Verdict, str]:
    """Return what one tensor gets, and why; those that do not move are told elsewhere."""
    start = "fresh weights" if fresh else "the checkpoint"
    moves = f"moves by {weight.ratio.value:.2g} a step from {start}"
    if weight.ratio.value == 0:
        return Verdict.PASS, ""
    high = _sure(limits[0], weight.ratio)
    if high is not Verdict.PASS:
        return high, moves
    if _slow(weight.ratio, limits) and not weight.table:
        low = _sure(limits[1], weight.ratio)
        return (low if many else Verdict.WARN), moves
    fast = limits[0].fail is not None and weight.opening > limits[0].fail
    for distance, what in ((weight.apart, moves), (weight.opens_apart, "")):
        early = not what
        if early and not fresh:
            continue
        slower = distance < 0
        if apart.verdict(abs(distance)) is not Verdict.PASS and not (slower and weight.table):
            text = what or f"opens with {weight.opening:.2g} a step from {start}"
            side = "below" if slower else "above"
            return Verdict.WARN, f"{text}, {abs(distance):.1f} decades {side} the others"
    if fresh and fast:
        return Verdict.WARN, f"opens with {weight.opening:.2g} a step from {start}"
    return Verdict.PASS, ""
