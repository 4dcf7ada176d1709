"""Rare classes that are missed, and the weights that would mend it.

What it does
------------
Counts how often each class stands among the training targets, measures how often the model finds it
on validation data, and says whether the loss or the loader makes up for a rare one.

Why it matters
--------------
A mean over examples is a mean over the common classes. A model can have a fine loss and a fine
accuracy and never once name the class that it was built for: with 1 % of one class, 99 % accuracy
is what ignoring it gets.

How it is measured
------------------
Recall is the share of a class's validation targets that the model finds, with exact
(Clopper-Pearson) intervals; of pixels or positions, which are not independent within an example, as
many trials are counted as examples hold the class. Imbalance alone is no fault. A class suffers
where its recall is less than half of that of all others together, beyond doubt: the upper bound
against half of the others' lower bound, at 99 % shared out over the classes. Of a rare class that
training data holds fewer than ten targets of, four fifths of the others' recall are asked for: so
few explain what it lacks. The check warns where a class suffers and is rare (less than half of an
even share of the training targets), and fails where a class suffers that is never found at all,
unless the loss weights it up. It fails too where validation data holds a class that training data
lacks. Of several labels, 0 and 1 of each are two classes. How the loss weights classes is read off
a module of torch, or measured, for any other: by the gradient that a target of each class gives to
an output that knows nothing.

When it misleads
----------------
A rare class may be hard for reasons of its own. A model meant to rank may never put a rare class
first and still be useful; then move the threshold. A weighted sampler shows in the training counts,
which are those that the loader yields. Weights that a loss draws from each batch are those of the
first one. Tokens of a language model are not judged: their frequencies are those of the language.

What to do
----------
Weight the loss by n / (C n_c); or draw rare classes more often; or use the focal loss, FL(p_t) =
-(1 - p_t)^gamma ln p_t, which makes light of what is easy. More examples of the class help more
than any of these.

Source
------
He & Garcia 2009, "Learning from Imbalanced Data"; King & Zeng 2001 (weights n / (C n_c)); Lin et
al. 2017, "Focal Loss for Dense Object Detection"; Buda et al. 2018 (resampling); Clopper & Pearson
1934.
"""

import numpy as np

from auditor.core import snippets
from auditor.core.advice import Parts, step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Guide, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import counted, listed
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.predictions import Predictions, PredictionsOver
from auditor.observations.probabilities import decide
from auditor.observations.recalls import Recalls, recalls
from auditor.observations.targets import TargetsOf, TargetsSeen

PREDICTIONS = PredictionsOver(split="val")
TARGETS = TargetsOf()

SURE = 0.99
"""Confidence shared out over the classes (Bonferroni)."""

RARE = 0.5
"""Share of an even share, 1/C, of the training targets below which a class is rare."""

FEW = 10
"""Training targets of a class below which they are too few to learn it from, as a rule."""

SHOWN = 20
"""Classes drawn and named."""


@check(
    title="Every class is found about as often as the others",
    failure_title="A class is neglected",
    needs=(PREDICTIONS, TARGETS),
    limits={
        "recall_of_others": Limit(
            warn=0.5,
            bad="below",
            source="half as likely to be found as the rest; the four-fifths rule of fair selection "
            "(EEOC 1978) is stricter, but unequal difficulty alone often breaks it",
        ),
        "recall_of_few": Limit(
            warn=0.8,
            bad="below",
            source="the four-fifths rule, for a rare class of fewer than ten training targets: of "
            "digits with 2 to 5 of 90 left, a tenth to a half as many are found",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the recall of each class against that of the others."""
    predictions, training = seen[PREDICTIONS], seen[TARGETS]
    if predictions.task == "language_model":
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "The classes are tokens: how often each comes up is a matter of the language, and a "
            "rare one is rightly seldom the likeliest, so recall by class tells of no fault.",
        )
    decisions = decide(predictions)
    if isinstance(decisions, str):
        return Judgement(Verdict.NOT_APPLICABLE, f"Not looked at: {decisions}.")
    if not training.targets.classes:
        return Judgement(
            Verdict.NOT_APPLICABLE, "Which classes the training targets hold is not known."
        )
    width = predictions.outputs.shape[1] if predictions.kind == "classes" else 2
    found = recalls(decisions.where(decisions.spread), training.targets, width)
    foreign = _foreign(found, training)
    if len(foreign) and training.complete:
        return _untaught(found, foreign, training)
    if len(found.present) < 2:
        return Judgement(
            Verdict.INFO,
            f"Validation data holds {listed([found.names[i] for i in found.present])} alone, so "
            "recall can't be compared between classes.",
        )
    few = _few(found, training)
    sure = 1 - (1 - SURE) / len(found.present)
    suffering = [
        place
        for place in found.present
        if _suffers(found, place, _limit(limits, few[place]).warn or 0.0, sure)
    ]
    never = [place for place in suffering if not found.recall[place]]
    weights = _weights(found, predictions)
    up = _weighted_up(found, weights)
    ignored = [place for place in never if not up[place]]
    rare = [place for place in suffering if _rare(found, place) or place in never]
    unsure = [place for place in found.present if not found.recall[place] and place not in never]
    order = found.present[np.argsort(found.recall[found.present], kind="stable")]
    guilty = [place for place in order if place in rare]
    verdict = Verdict.FAIL if ignored else Verdict.WARN if guilty else Verdict.PASS
    absent = np.flatnonzero((found.rows == 0) & (found.trained > 0))
    if verdict is Verdict.PASS and (unsure or len(absent) or len(foreign)):
        verdict = Verdict.INFO
    balance = _balance(found, training)
    weighting = _weighting(found, weights)
    summary = f"{balance} {weighting} {_reading(found, guilty, never, up, order, sure)}"
    summary += _open_questions(found, unsure, absent, foreign)
    return Judgement(
        verdict,
        summary,
        metrics=_metrics(found, order, _limit(limits, few[order[0]])),
        where=tuple(
            Place("setting", found.names[place], _note(found, place, few[place]))
            for place in guilty[:SHOWN]
        ),
        advice=_advice(found, predictions, guilty, weights, few) if guilty else (),
        figures=(
            _recall_bars(found, order, guilty),
            _count_bars(found, order, training),
            _table(found, order),
        ),
    )


def _foreign(found: Recalls, training: TargetsSeen) -> Array:
    """Return the classes of validation data that training data lacks, as far as it was read."""
    if training.split != "train":
        return np.zeros(0, int)
    return np.flatnonzero((found.trained == 0) & (found.rows > 0))


def _untaught(found: Recalls, foreign: Array, training: TargetsSeen) -> Judgement:
    names = [found.names[place] for place in foreign]
    rows = int(found.rows[foreign].sum())
    share = rows / int(found.rows.sum())
    return Judgement(
        Verdict.FAIL,
        f"Validation data holds {listed(names)}, of which there is not one among the "
        f"{training.targets.values:,} training targets: {counted(rows, 'validation target')} "
        f"({share:.1%}) that the model can't have learnt.",
        metrics=(
            Metric("classes without training examples", len(foreign)),
            Metric("validation targets of them", share, "share"),
        ),
        where=tuple(
            Place("setting", name, f"{int(found.rows[place]):,} in validation, none in training")
            for name, place in zip(names, foreign, strict=True)
        )[:SHOWN],
        advice=(
            step(
                "Split anew so that every class is on both sides; never split data that is sorted "
                "by class without shuffling it.",
                "from sklearn.model_selection import train_test_split\n\n"
                "train, val = train_test_split(range(len(labels)), stratify=labels, test_size=0.2)",
            ),
            "Make sure that both splits number their classes alike: two `ImageFolder` trees with "
            "other folders do not.",
        ),
        figures=(_count_bars(found, foreign, training),),
    )


def _limit(limits: Limits, few: bool) -> Limit:
    return limits["recall_of_few" if few else "recall_of_others"]


def _few(found: Recalls, training: TargetsSeen) -> Array:
    """Tell of each class whether it is rare and training holds too few targets of it to learn."""
    few = np.zeros(len(found.classes), bool)
    if training.split == "train" and training.complete:
        for place in np.flatnonzero(found.trained < FEW):
            few[place] = _rare(found, int(place))
    return few


def _suffers(found: Recalls, place: int, bound: float, sure: float) -> bool:
    """Tell whether a class's recall is below `bound` times the others', beyond doubt."""
    rest = found.present[found.present != place]
    _, high = found.interval(np.asarray([place]), sure)
    low, _ = found.interval(rest, sure)
    return high < bound * low


def _rare(found: Recalls, place: int) -> bool:
    """Tell whether a class has less than `RARE` of an even share of its kind's training targets."""
    peers = found.peers(place)
    total = int(found.trained[peers].sum())
    return bool(found.trained[place] < RARE * total / len(peers))


def _weights(found: Recalls, seen: Predictions) -> Array:
    """Return how much a target of each class counts in the loss, to its kind; NaN if not known."""
    weights = np.asarray(seen.weights, float)
    if not weights.size:
        return np.full(len(found.classes), np.nan)
    if seen.kind == "labels":
        ones = np.broadcast_to(weights, seen.outputs.shape[1])[found.classes // 2]
        return np.asarray(np.where(found.classes % 2 == 1, ones, 1.0))
    return np.asarray(weights[np.minimum(found.classes, len(weights) - 1)])


def _weighted_up(found: Recalls, weights: Array) -> Array:
    """Tell of each class whether the loss weights it more than the mean of its kind's targets."""
    up = np.zeros(len(weights), bool)
    for place in np.flatnonzero(np.isfinite(weights)):
        peers = found.peers(int(place))
        mean = np.average(weights[peers], weights=np.maximum(found.trained[peers], 1))
        up[place] = weights[place] - mean > 1e-9 * abs(mean)
    return up


def _weighting(found: Recalls, weights: Array) -> str:
    """Return a sentence on whether the loss makes up for a rare class."""
    known = np.flatnonzero(found.trained)
    if not np.isfinite(weights[known]).all():
        return "Whether the loss weights them can't be told."
    if (weights[known] == weights[known[0]]).all():
        return "The loss weights none more than another."
    least = known[found.trained[known].argmin()]
    peers = found.peers(int(least))
    most = peers[found.trained[peers].argmax()]
    with np.errstate(divide="ignore"):
        ratio = weights[least] / weights[most]
    return (
        f"In the loss a target of {found.names[least]} counts {ratio:.3g} times as much as one of "
        f"{found.names[most]}."
    )


def _balance(found: Recalls, training: TargetsSeen) -> str:
    """Return a sentence on how even the training targets are."""
    known = np.flatnonzero(found.trained)
    most = known[found.trained[known].argmax()]
    least = known[found.trained[known].argmin()]
    ratio = found.trained[most] / found.trained[least]
    whose = "training" if training.split == "train" else "validation"
    kinds = counted(len(known), "class", "classes")
    if ratio == 1:
        return f"Each of {kinds} has {int(found.trained[most]):,} {whose} targets."
    return (
        f"Of {int(found.trained.sum()):,} {whose} targets in {kinds}, {found.names[most]} has "
        f"{int(found.trained[most]):,} and {found.names[least]} {int(found.trained[least]):,}, "
        f"{ratio:.3g} to 1."
    )


def _reading(
    found: Recalls, guilty: list[int], never: list[int], up: Array, order: Array, sure: float
) -> str:
    if not guilty:
        worst = order[0]
        low, high = found.interval(np.asarray([worst]))
        return (
            f"The least recall is that of {found.names[worst]}, {found.recall[worst]:.1%} of "
            f"{int(found.rows[worst]):,} (95 % interval {low:.1%} to {high:.1%}): no class is "
            "neglected beyond doubt."
        )
    parts = []
    for place in guilty[:3]:
        _, high = found.interval(np.asarray([place]), sure)
        rest = found.recall_of_rest(place)
        how = "is never found" if place in never else f"is found {found.recall[place]:.1%}"
        what = "" if place in never else " of the time"
        weighted = ", though the loss weights it up" if up[place] else ""
        parts.append(
            f"{found.names[place].capitalize()} {how}{what}{weighted} on "
            f"{counted(int(found.rows[place]), 'validation target')} (at most {high:.1%}, sure at "
            f"{sure:.1%}); the others are found {rest:.1%} of the time."
        )
    if len(guilty) > 3:
        more = len(guilty) - 3
        parts.append(f"{more:,} more {'class suffers' if more == 1 else 'classes suffer'} alike.")
    return " ".join(parts)


def _open_questions(found: Recalls, unsure: list[int], absent: Array, foreign: Array) -> str:
    """Return sentences on the classes that can't be judged."""
    said = ""
    if len(absent):
        said += (
            f" Validation data holds no example of {listed([found.names[i] for i in absent])}, so "
            "recall of that is not known."
        )
    if len(foreign):
        said += (
            f" Training data, not read to its end, shows no example of "
            f"{listed([found.names[i] for i in foreign])}: it lacks them, or is not shuffled."
        )
    for place in unsure[:1]:
        names = listed([found.names[i] for i in unsure])
        needed = _needed(found, place)
        few = f"{counted(int(found.examples[place]), 'example')} of {found.names[place]}"
        settle = f"; about {needed:,} would" if needed > found.examples[place] else ""
        said += f" Never found: {names}; {few} can't tell neglect from chance{settle}."
    return said


def _needed(found: Recalls, place: int) -> int:
    """Return how many examples bound a recall of none below half of the others'."""
    half = 0.5 * found.recall_of_rest(place)
    if not 0 < half < 1:
        return 0
    return int(np.ceil(np.log((1 - SURE) / len(found.present) / 2) / np.log1p(-half)))


def _note(found: Recalls, place: int, few: bool) -> str:
    taken = found.mistaken_name(place)
    as_what = f", mostly taken for {taken}" if taken else ""
    rare = ", a rare class" if _rare(found, place) else ""
    rarity = ", too few to learn" if few else rare
    return (
        f"recall {found.recall[place]:.1%} of {int(found.rows[place]):,}; "
        f"{int(found.trained[place]):,} in training{rarity}{as_what}"
    )


def _advice(
    found: Recalls, seen: Predictions, guilty: list[int], weights: Array, few: Array
) -> tuple[str, ...]:
    rare = [place for place in guilty if _rare(found, place)]
    if not rare:
        names = listed([found.names[place] for place in guilty])
        return (
            f"Frequency does not explain it: {names} is no rarer than the others. Look at its row "
            "and bias in the last layer, at whether its labels arrive in the loss (an "
            "`ignore_index` that equals it, a mapping that drops it), and at its inputs.",
            "Show ten of its training examples beside ten of the class it is taken for.",
        )
    worst = rare[0]
    scarce = [place for place in rare if few[place]]
    advice = []
    if scarce:
        names = listed([found.names[place] for place in scarce])
        advice.append(
            f"Gather more training examples of {names} before anything else: fewer than {FEW} show "
            "little of what a class looks like, however much each of them counts."
        )
    advice.append(_weights_advice(found, seen, rare, weights))
    share = found.trained[worst] / found.trained[found.peers(worst)].sum()
    even = 1 / len(found.peers(worst))
    if not found.several and share > 0:
        advice.append(
            step(
                f"Or draw rare classes more often, {found.names[worst]} {even / share:.3g} times "
                "as often as now, where `labels` are those of the training set:",
                "counts = torch.bincount(labels)\n"
                "sampler = torch.utils.data.WeightedRandomSampler("
                "1 / counts[labels], len(labels))\n"
                "train_loader = torch.utils.data.DataLoader(dataset, batch_size, sampler=sampler)",
            )
        )
    advice.append(
        step(
            "Or use the focal loss with gamma = 2: an example that the model already gives 0.9 "
            "then counts 100 times less than under cross-entropy, one at 0.1 only 1.2 times less.",
            'each = torch.nn.functional.cross_entropy(logits, targets, reduction="none")\n'
            "loss = ((1 - torch.exp(-each)) ** 2 * each).mean()"
            if seen.kind != "labels"
            else "each = torch.nn.functional.binary_cross_entropy_with_logits("
            'logits, targets, reduction="none")\n'
            "loss = ((1 - torch.exp(-each)) ** 2 * each).mean()",
        )
    )
    advice.append(
        "Judge by balanced accuracy or by recall and precision of the class, not by accuracy; and "
        "where a ranking is all you need, lower its threshold on validation data."
    )
    return tuple(advice)


def _weights_advice(found: Recalls, seen: Predictions, rare: list[int], weights: Array) -> str:
    names = listed([found.names[place] for place in rare])
    if _weighted_up(found, weights)[rare[0]]:
        return (
            "The loss weights it up already, and it does not help: look at whether the examples of "
            f"{names} can be told from the others at all."
        )
    advice = _fair_weights(found, seen, rare)
    if _weighted_up(found, -weights)[rare[0]]:
        first = f"The loss weights {names} down, which makes it worse: mend that first."
        return step(f"{first} {advice.text}", advice.code)
    return step(advice.text, advice.code)


def _fair_weights(found: Recalls, seen: Predictions, rare: list[int]) -> Parts:
    """Return advice on the weights that make all classes count alike."""
    if seen.kind == "labels":
        label = rare[0]
        peers = found.peers(label)
        no, yes = (max(int(found.trained[place]), 1) for place in (peers[0], peers[-1]))
        return Parts(
            f"Weight the positive examples by their rarity: {no:,} / {yes:,} = {no / yes:.3g} for "
            f"{found.names[label].split(' =')[0]}, one weight for each label.",
            _positive_weights(found, peers),
        )
    counts = np.maximum(found.trained, 1)
    weights = counts.sum() / (len(counts) * counts)
    if len(counts) <= SHOWN:
        return Parts(
            "Weight the loss by n / (C n_c), so that every class counts alike:",
            f"loss_fn = torch.nn.CrossEntropyLoss(weight={snippets.tensor(weights.tolist())})",
        )
    named = ", ".join(f"{weights[place]:.3g} for {found.names[place]}" for place in rare[:5])
    return Parts(
        f"Weight the loss by n / (C n_c), which is {named}, where `labels` are those of the "
        "training set:",
        f"counts = torch.bincount(labels, minlength={len(counts)}).clamp_min(1)\n"
        "loss_fn = torch.nn.CrossEntropyLoss(weight=counts.sum() / (len(counts) * counts))",
    )


def _positive_weights(found: Recalls, peers: Array) -> str:
    """Return code that weights the positive examples of each label by their rarity."""
    pairs = np.asarray(found.trained, float).reshape(-1, 2) if len(peers) == 2 else np.zeros((0, 2))
    if not 0 < len(pairs) <= SHOWN:
        return (
            "yes = labels.float().sum(0).clamp_min(1)\n"
            "loss_fn = torch.nn.BCEWithLogitsLoss(pos_weight=(len(labels) - yes) / yes)"
        )
    weights = np.maximum(pairs[:, 0], 1) / np.maximum(pairs[:, 1], 1)
    return f"loss_fn = torch.nn.BCEWithLogitsLoss(pos_weight={snippets.tensor(weights.tolist())})"


def _metrics(found: Recalls, order: Array, limit: Limit) -> tuple[Metric, ...]:
    worst = order[0]
    low, high = found.interval(np.asarray([worst]))
    recall, rest = float(found.recall[worst]), found.recall_of_rest(worst)
    metrics = [Metric(f"least recall ({found.names[worst]})", recall, "share", low, high)]
    if rest > 0:
        bounds = low / rest, high / rest
        metrics.append(Metric("of the recall of the others", recall / rest, "", *bounds, limit))
    metrics.append(Metric("mean recall of the classes", float(found.recall[order].mean()), "share"))
    known = found.trained[found.trained > 0]
    metrics.append(Metric("most to least frequent class", float(known.max() / known.min()), "to 1"))
    return tuple(metrics)


def _recall_bars(found: Recalls, order: Array, guilty: list[int]) -> Bars:
    shown = order[:SHOWN]
    bounds = [found.interval(np.asarray([place])) for place in shown]
    cut = f" The worst {SHOWN} of {len(order):,} classes." if len(order) > SHOWN else ""
    overall = float((found.recall * found.rows)[order].sum() / found.rows[order].sum())
    return Bars(
        title="Recall by class",
        caption=f"Share of each class's validation targets that is found, with its 95 % interval, "
        f"worst first.{cut}",
        label="recall",
        labels=tuple(found.names[place] for place in shown),
        values=tuple(float(found.recall[place]) for place in shown),
        low=tuple(low for low, _ in bounds),
        high=tuple(high for _, high in bounds),
        marked=tuple(place in guilty for place in shown),
        guides=(Guide(overall, "all classes"),),
    )


def _count_bars(found: Recalls, order: Array, training: TargetsSeen) -> Bars:
    shown = order[:SHOWN]
    whose = "training" if training.split == "train" else "validation"
    return Bars(
        title=f"Targets in {whose} data",
        caption="How often the loader yields each class, in the order of the figure of recalls.",
        label=f"{whose} targets",
        labels=tuple(found.names[place] for place in shown),
        values=tuple(float(found.trained[place]) for place in shown),
        marked=tuple(_rare(found, place) for place in shown),
    )


def _table(found: Recalls, order: Array) -> Table:
    return Table(
        title="Class by class",
        caption="The worst classes first; the last columns say what their missed targets are most "
        "often taken for.",
        columns=(
            "class",
            "in training",
            "in validation",
            "found",
            "recall",
            "predicted",
            "taken for",
            "times",
        ),
        rows=tuple(
            (
                found.names[place],
                int(found.trained[place]),
                int(found.rows[place]),
                round(float(found.recall[place] * found.rows[place])),
                float(found.recall[place]),
                int(found.predicted[place]),
                found.mistaken_name(place),
                int(found.mistaken_rows[place]),
            )
            for place in order[:SHOWN]
        ),
    )
