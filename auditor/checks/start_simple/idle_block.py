"""Blocks that the model does as well, or better, without.

What it does
------------
Takes the blocks out of a copy of the model, one at a time, and measures on validation data what
each of them earns.

Why it matters
--------------
A block that earns nothing costs time and memory all the same, and often shows a mistake: its branch
is zeroed or cut off, its output is dropped in `forward`, it was never trained, or it was reset
after training.

How it is measured
------------------
A block is what a Sequential or a list of modules holds: a residual block, a layer of a transformer,
a layer with its normalisation; at most 24 of them. Where its input and output have the same shape,
the input takes the output's place; else the output's mean over the examples does, position by
position. The cost is what the mean loss rises (cross-entropy, else the error), as a share of what
the model gains over the best constant answer: 100 % is all that was learnt. Both are paired on the
same examples, and decisions use Student's interval at 99 %, divided among the blocks (Bonferroni).
A block is idle where the whole interval of its cost is below 1 % and the metric is not worse by
more. One idle block is no fault: deep residual networks and large language models lose little with
any one block. So the blocks that seem to cost least are taken out together as well, and the verdict
warns only where those that are idle together hold a substantial share of the weights. It warns too
where a block makes the model worse beyond doubt, where its output is the same number for every
input or its own input within rounding, where it never runs, and where what it puts out changes
nothing.

When it misleads
----------------
A block that earns little on this data may be needed for rarer inputs. Parts that only training
or another method than `forward` uses count as never run. A block taken out of a network that was
trained with it costs more than the network would lose if trained without it, so a high cost does
not prove that the block is needed.

What to do
----------
Look at the `forward` that should use the block: is its result added, returned, passed on? Compare
its weights with those of a fresh model. Else train without it, and keep the smaller model if it
does as well.

Source
------
Veit, Wilber, Belongie 2016, "Residual Networks Behave Like Ensembles of Relatively Shallow
Networks"; Gromov et al. 2024, "The Unreasonable Ineffectiveness of the Deeper Layers"; Meyes et al.
2019, "Ablation Studies in Artificial Neural Networks".
"""

from dataclasses import dataclass

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide, Lines, Series, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import Interval, examples_to_settle, mean_interval
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict, worst
from auditor.observations.ablation import SLIGHT, Ablations, AblationsOver

ABLATIONS = AblationsOver()

FEWEST = 20
"""Examples below which an interval of a mean can't be trusted."""
DOUBT = 0.01
"""Probability of error that all decisions about blocks share."""
CUT = 2.0
"""Cost, in shares of the gain, at which bars are cut."""

REASONS = {
    "constant": "the output is the same for every input",
    "identity": "the output is the input",
    "dropped": "the model puts out the same whatever comes from there",
    "unused": "never run, with weights that nothing reads",
}


@dataclass(frozen=True)
class Earned:
    """What is lost when a block is taken out, in shares of what the model gains over a constant.

    `cost` is of the loss, with its 95 % interval and the wider one that decides; `lost` of the
    metric, with the one that decides. `change` is the metric's own, with its 95 % interval. Costs
    are negative where the model does better without the block.
    """

    name: str
    cost: float
    interval: Interval
    sure: Interval
    lost: float
    lost_sure: Interval
    change: float
    change_interval: Interval

    @property
    def idle(self) -> bool:
        """Tell whether the block provably costs next to nothing."""
        return self.sure[1] <= SLIGHT and self.lost <= SLIGHT

    @property
    def word(self) -> str:
        """Return what is known of the block, in a word."""
        if self.idle:
            return "idle"
        return "earns" if self.sure[0] > 0 else "not decided"


@check(
    title="Every block earns its place",
    failure_title="Some blocks do nothing, or do harm",
    needs=(ABLATIONS,),
    limits={
        "without_effect": Limit(
            warn=0,
            source="exact: no output depends on the block, which no design means",
        ),
        "idle_share": Limit(
            warn=0.2,
            source="Veit et al. 2016, Gromov et al. 2024: of a sound deep network any one block "
            "may go at little cost, but not a fifth of the weights within 1 % of what was learnt",
        ),
        "harm": Limit(
            warn=SLIGHT,
            source="training does away with what hurts; below 1 % of what was learnt, sampling and "
            "overfitting explain it",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge what each block earns by its paired interval."""
    told = seen[ABLATIONS]
    sound = bool(np.isfinite(told.losses).all()) and told.gain > 0
    enough = told.examples >= FEWEST
    if not told.inert and not (sound and enough):
        return _undecided(told, sound=sound)
    earned = _earned(told) if sound and enough else []
    harmful = _harmful(earned, limits["harm"])
    # What a block earns in a model that another one spoils tells nothing.
    idle, share = ((), 0.0) if harmful else _idle_together(told, earned)
    faults = (
        limits["without_effect"].verdict(len(told.inert)),
        limits["idle_share"].verdict(share),
        Verdict.WARN if harmful else Verdict.PASS,
    )
    verdict = worst(faults)
    if verdict is Verdict.PASS and all(one.word == "not decided" for one in earned):
        verdict = Verdict.INFO
    heavy = faults[1] is not Verdict.PASS
    return Judgement(
        verdict,
        " ".join(_sentences(told, earned, harmful, idle, share)),
        metrics=_metrics(told, earned, harmful, share, limits),
        where=_places(told, harmful, idle if heavy else ()),
        advice=_advice(told, harmful, idle if heavy else (), share),
        figures=_figures(told, earned, harmful),
    )


def _undecided(told: Ablations, *, sound: bool) -> Judgement:
    if told.examples < FEWEST:
        return Judgement(
            Verdict.INFO,
            f"Only {counted(told.examples, 'validation example')} were scored; at least {FEWEST} "
            "are needed to tell what a block earns.",
        )
    if not sound and np.isfinite(told.losses).all():
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"The model's mean loss, {told.losses.mean():.4g}, is no better than that of the best "
            "constant answer, nor is it without any one block, so there is nothing to be earned.",
        )
    return Judgement(
        Verdict.NOT_APPLICABLE,
        "The model's scores are not finite, so what a block earns can't be told.",
    )


def _earned(told: Ablations) -> list[Earned]:
    """Return what each block earns; errors of all decisions together stay below `DOUBT`."""
    sure = 1 - DOUBT / len(told.blocks)
    higher = told.metric == "accuracy"
    sign = 1.0 if higher else -1.0
    means = sign * np.asarray([told.scores.mean(), *told.without_scores.mean(axis=1)])
    room = float(means.max()) - sign * told.constant_score
    found = []
    for row, name in enumerate(told.blocks):
        rises = np.asarray(told.without_losses[row] - told.losses, float)
        changes = np.asarray(told.without_scores[row] - told.scores, float)
        falls = -sign * changes
        # A model that is no more often right than a constant has no accuracy to lose.
        scale = room if room > 0 else 1.0
        found.append(
            Earned(
                name,
                float(rises.mean()) / told.gain,
                _over(mean_interval(rises), told.gain),
                _over(mean_interval(rises, sure), told.gain),
                float(falls.mean()) / scale,
                _over(mean_interval(falls, sure), scale),
                float(changes.mean()),
                mean_interval(changes),
            )
        )
    return found


def _harmful(earned: list[Earned], limit: Limit) -> list[Earned]:
    """Return the blocks without which the model is better beyond doubt, the worst first.

    Where one has ruined the model, taking out another may help it a little: such are left out.
    """
    found = [
        one
        for one in earned[:-1]
        if limit.verdict(-one.lost_sure[1]) is not Verdict.PASS and one.cost < 0
    ]
    found.sort(key=lambda one: one.lost)
    return [one for one in found if one.lost <= found[0].lost / 2]


def _over(interval: Interval, scale: float) -> Interval:
    return interval[0] / scale, interval[1] / scale


def _idle_together(told: Ablations, earned: list[Earned]) -> tuple[tuple[int, ...], float]:
    """Return the largest pile of blocks that is provably idle, and its share of the weights.

    Those without any effect are not among them.
    """
    if not earned:
        return (), 0.0
    sure = 1 - DOUBT / len(told.blocks)
    best, found = np.asarray(told.losses, float), 0
    for most, losses in enumerate(told.without_piles, start=1):
        # Against the best pile so far, so that a block that harms does not pay for the others.
        high = mean_interval(losses - best, sure)[1]
        if not (earned[told.piles[most - 1]].idle and high <= SLIGHT * told.gain):
            break
        best, found = min(best, losses, key=np.mean), most
    known = {block.name for block in told.inert}
    idle = tuple(place for place in told.piles[:found] if told.blocks[place] not in known)
    return idle, sum(told.parameters[place] for place in idle) / max(1, told.all_parameters)


def _sentences(
    told: Ablations,
    earned: list[Earned],
    harmful: list[Earned],
    idle: tuple[int, ...],
    share: float,
) -> list[str]:
    said = []
    for reason, words in REASONS.items():
        names = [block.name for block in told.inert if block.reason == reason]
        if names:
            said.append(f"No use is made of {listed(names)} ({words}).")
    for one in harmful[:3]:
        after = float(np.mean(told.without_scores[told.blocks.index(one.name)]))
        said.append(
            f"Without {clean_text(one.name)} the model does better beyond doubt: its {told.metric} "
            f"is {after:.4g} instead of {np.mean(told.scores):.4g}."
        )
    if harmful or not earned:
        return said
    earning = sum(one.word == "earns" for one in earned)
    said.append(
        f"Of {counted(len(earned), 'block')} taken out one at a time, on "
        f"{told.examples:,} validation examples, {earning:,} provably "
        f"{'earns its' if earning == 1 else 'earn their'} place."
    )
    if idle:
        shown = listed([told.blocks[place] for place in idle])
        them = "it" if len(idle) == 1 else "them together"
        said.append(
            f"{shown} {'is' if len(idle) == 1 else 'are'} idle: without {them}, "
            f"{share:.2g} of the weights, less than {SLIGHT:.0%} of what the model learnt is lost."
        )
    unclear = [one for one in earned if one.word == "not decided"]
    if unclear:
        needed = [
            examples_to_settle(told.examples, one.cost, *one.sure, 0.0 if one.cost > 0 else SLIGHT)
            for one in unclear
        ]
        most = max((number for number in needed if number), default=None)
        settle = f"; about {most:,} examples would settle it" if most else ""
        said.append(f"Not decided: {listed([one.name for one in unclear])}{settle}.")
    return said


def _metrics(
    told: Ablations, earned: list[Earned], harmful: list[Earned], share: float, limits: Limits
) -> tuple[Metric, ...]:
    metrics = [
        Metric("blocks without any effect", len(told.inert), "", limit=limits["without_effect"])
    ]
    if earned:
        best = min(earned[:-1], key=lambda one: one.lost, default=earned[-1])
        interval = -best.interval[1], -best.interval[0]
        metrics += [
            Metric("weights of blocks idle together", share, "share", limit=limits["idle_share"]),
            Metric("blocks that do harm", len(harmful)),
            Metric("blocks that provably earn something", sum(e.word == "earns" for e in earned)),
            Metric("blocks tried", len(earned)),
            Metric(
                f"loss saved without {clean_text(best.name, 60)}",
                -best.cost,
                "of the gain",
                *interval,
            ),
        ]
    return tuple(metrics)


def _places(told: Ablations, harmful: list[Earned], idle: tuple[int, ...]) -> tuple[Place, ...]:
    return (
        *(Place("layer", block.name, REASONS[block.reason]) for block in told.inert),
        *(Place("layer", one.name, "the model does better without it") for one in harmful),
        *(
            Place("layer", told.blocks[place], f"idle, {told.parameters[place]:,} weights")
            for place in idle
        ),
    )


def _advice(
    told: Ablations, harmful: list[Earned], idle: tuple[int, ...], share: float
) -> tuple[str, ...]:
    advice = []
    for reason, words in ADVICE.items():
        names = [block.name for block in told.inert if block.reason == reason]
        if names:
            said = words.format(names=listed(names, 3))
            advice.append(step(said, _sizes(names[0]) if reason == "constant" else ""))
    if harmful:
        advice.append(
            f"Compare the weights of {listed([one.name for one in harmful], 3)} with those saved "
            "in training: were they loaded, or left as they were initialised? Train on with them, "
            "or take the block out."
        )
    if idle:
        advice.append(
            f"Look whether {listed([told.blocks[place] for place in idle], 3)} "
            f"{'was' if len(idle) == 1 else 'were'} trained at all (handed to the optimizer, not "
            f"detached). If so, train without: the model is {share:.0%} smaller at no cost."
        )
    return tuple(advice)


def _sizes(name: str) -> str:
    """Return code that shows the largest value of each parameter of a block."""
    return (
        f"for name, p in {snippets.layer(name)}.named_parameters():\n"
        "    print(name, p.abs().max().item())"
    )


ADVICE = {
    "constant": "Look for a weight or a scale of zero in {names}, or for a dead activation there:",
    "identity": "Look for a branch of {names} that is zeroed, or is computed and never added: "
    "`return x` where `return x + self.branch(x)` was meant.",
    "dropped": "Look in `forward` for what becomes of the output of {names}: it is overwritten, "
    "or not passed on.",
    "unused": "Call {names} in `forward`, or delete it: its weights are saved and carried along, "
    "and never trained.",
}


def _unrun(told: Ablations) -> tuple[Figure, ...]:
    """Return the blocks without effect, where no other was measured."""
    if not told.inert:
        return ()
    return (
        Table(
            title="Blocks without effect",
            caption="What each does, whatever the input, and the weights that it carries.",
            columns=("block", "kind", "weights", "what it does"),
            rows=tuple(
                (clean_text(b.name), clean_text(b.kind), b.parameters, b.reason) for b in told.inert
            ),
        ),
    )


def _figures(told: Ablations, earned: list[Earned], harmful: list[Earned]) -> tuple[Figure, ...]:
    if not earned:
        return _unrun(told)
    marks = {one.name: "harms" for one in harmful}
    marks |= {block.name: "no effect" for block in told.inert}
    left_out = f" {told.skipped:,} more blocks were left out." if told.skipped else ""
    broke = f" The model can't do without {listed(list(told.broke))}." if told.broke else ""
    measures = f"{told.metric} without", "change", "cost"
    table = Table(
        title="What each block earns",
        caption="In the order of execution, each with its input or its mean output in the place of "
        f"its output: the {told.metric} and its change, and the cost, which is what is lost of the "
        "gain in loss over a constant answer, with their 95 % intervals."
        f"{left_out}{broke}",
        columns=("block", "verdict", "weights", "replaced by", *measures),
        rows=tuple(
            (
                clean_text(one.name),
                marks.get(one.name, one.word),
                told.parameters[row],
                "its input" if told.ways[row] == "identity" else "its mean",
                float(np.mean(told.without_scores[row])),
                _spanned(one.change, one.change_interval),
                _spanned(one.cost, one.interval),
            )
            for row, one in enumerate(earned)
        ),
    )
    bars = Bars(
        title="Cost of taking a block out",
        caption="Share of the model's gain in loss over a constant answer that is lost without "
        f"the block, with its 95 % interval; cut at {CUT:.0%}. At 1 all that was learnt is lost.",
        label="share of the gain lost",
        labels=tuple(clean_text(one.name, 40) for one in earned),
        values=tuple(_cut(one.cost) for one in earned),
        low=tuple(_cut(one.interval[0]) for one in earned),
        high=tuple(_cut(one.interval[1]) for one in earned),
        marked=tuple(one.idle or one.name in marks for one in earned),
        guides=(Guide(1.0, "a constant answer"),),
    )
    return (bars, table, *_pile(told))


def _spanned(value: float, interval: Interval) -> str:
    low, high = (f"{bound:.2g}" for bound in interval)
    return f"{value:.2g} ({low} to {high})"


def _cut(value: float) -> float:
    return min(max(value, -CUT), CUT)


def _pile(told: Ablations) -> tuple[Figure, ...]:
    """Return the curve of what several blocks cost together, none for fewer than two."""
    if len(told.piles) < 2:
        return ()
    costs = np.asarray((told.without_piles - told.losses).mean(axis=1) / told.gain)
    names = [clean_text(told.blocks[place], 30) for place in told.piles]
    return (
        Lines(
            title="Blocks taken out together",
            caption="Share of the gain lost when the blocks that cost least by themselves are "
            "taken out one after the other, each staying out.",
            x_label="taken out as well",
            y_label="share of the gain lost",
            series=(
                Series("together", tuple(map(float, range(len(costs)))), tuple(map(_cut, costs))),
            ),
            x_names=tuple(names),
            guides=(Guide(SLIGHT, "idle below"),),
        ),
    )
