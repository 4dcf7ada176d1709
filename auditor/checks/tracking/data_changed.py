"""Data that is not what it was: examples changed, and distributions that drifted.

What it does
------------
Compares each split with what the last audit read of it, and with what a recording of the training
tells: how many examples, which ones, and how labels and features are distributed.

Why it matters
--------------
Numbers that were measured on other validation data can't be compared, and nothing shows that they
were. Where the distribution has moved, the model is asked what it was not taught.

How it is measured
------------------
Content is compared by a hash over all examples that does not depend on their order, so that
reordering is no change; padding with zeros at the end does not count. Where both audits read a
split whole, another hash is another content: the check warns of validation data, and where the
recording of the training tells of another number of examples; of training data it merely tells.
Drift is told apart by the population stability index, between the deciles of the earlier audit, of
each feature and of the labels: a feature is a column of a table (up to 64), or the mean and the
spread of each channel, or of the tokens, in each example. The check warns or fails where the index
is beyond the limit below at 99 %, all comparisons together. It fails where shapes or types are
others. Where the audits read different parts of a split, as another profile does, nothing of it is
judged.

When it misleads
----------------
Random augmentation is drawn from the audit's seed: with another seed other content is told and no
more. Another version of PyTorch may draw otherwise too, though the files are the same. Rows of
unequal length that are filled up with something other than zeros have a hash that depends on their
neighbours. Drift within an example, such as objects at other places of an image, does not show in
mean and spread.

What to do
----------
If the change is meant, measure the earlier checkpoint on the new data before comparing any numbers,
and let later audits compare with this one. If not, look at the features that are named, worst
first: a unit, a scale or a missing value changed upstream.

Source
------
Siddiqi 2006, "Credit Risk Scorecards" (the index and its limits); Yurdakul & Naranjo 2020,
"Statistical properties of the population stability index" (J. of Risk Model Validation 14);
Breck et al. 2019, "Data Validation for Machine Learning" (MLSys).
"""

from dataclasses import dataclass

from auditor.core import probes
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.request import Split
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict, worst
from auditor.observations.data_change import Change, changes
from auditor.observations.data_change_figures import NAMES, against_training, figures
from auditor.observations.drift import Drift
from auditor.observations.earlier import Earlier, EarlierOf
from auditor.observations.splits import RecordedSplit, SplitsOf, SplitsSeen

SPLITS = SplitsOf()
LAST = EarlierOf("last")

NAMED = 20
"""Features that are named."""


@check(
    title="The data is what it was",
    failure_title="The data has changed",
    needs=(SPLITS,),
    wants=(LAST,),
    limits={
        "drift": Limit(
            warn=0.1,
            fail=0.25,
            source="population stability index: below 0.1 no change worth naming, from 0.25 on a "
            "shift (Siddiqi 2006)",
        )
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge content and distribution of each split against the last audit and the recording."""
    now, last, limit = seen[SPLITS], seen.get(LAST), limits["drift"]
    if last is None and not now.recorded:
        return Judgement(Verdict.NOT_APPLICABLE, f"Not looked at: {seen.missing(LAST)}.")
    found = changes(last.data, now.data) if last is not None else ()
    seeded = last is None or last.seed in (None, now.seed)
    told = [_of(change, limit, seeded) for change in found]
    told += [
        _against_training(split, recorded, now)
        for split, recorded in (now.recorded or {}).items()
        if split in now.data
    ]
    verdicts = {one.verdict for one in told}
    verdict = worst(verdicts)
    if verdict is Verdict.PASS and len(verdicts) > 1:
        verdict = Verdict.INFO
    said = [one.sentence for one in told]
    if last is not None:
        said = [f"Compared with {clean_text(last.source, 120)}.", *said, *_one_sided(last, now)]
        if any(change.kind == "changed" and not _drifted(change, limit) for change in found):
            said += _drawn_otherwise(last, now)
    bad = verdict in (Verdict.WARN, Verdict.FAIL)
    return Judgement(
        verdict,
        " ".join(said),
        metrics=_metrics(found, limit),
        where=tuple(place for one in told for place in one.places) if bad else (),
        advice=_advice(found, limit) if bad else (),
        figures=(
            *(figures(found, limit) if found else ()),
            *((against_training(now),) if now.recorded else ()),
        ),
    )


@dataclass(frozen=True)
class Told:
    """What is said of a split: the verdict on it, a sentence, and the places at fault."""

    verdict: Verdict
    sentence: str
    places: tuple[Place, ...] = ()


def _of(change: Change, limit: Limit, seeded: bool) -> Told:
    """Tell what became of a split since the last audit, `seeded` as this one was."""
    name, setting = NAMES[change.split], f"data.{change.split}"
    if change.kind == "same":
        part = "" if change.after.complete else ", as far as it was read"
        examples = counted(change.after.examples, "example")
        return Told(
            Verdict.PASS, f"The {name} data is the same{part} ({examples}, in whatever order)."
        )
    if change.kind == "reshaped":
        place = Place("setting", setting, change.reason)
        return Told(Verdict.FAIL, f"The {name} data has another form: {change.reason}.", (place,))
    drifted = _drifted(change, limit)
    if drifted:
        names = listed([f"{drift.name} (index {drift.index:.2f})" for drift in drifted], 3)
        return Told(
            Verdict.FAIL if _fails(drifted[0], limit) else Verdict.WARN,
            f"The {name} data has drifted: of {len(change.drifts):,} features and labels, "
            f"{len(drifted):,} surely did, {names}.",
            tuple(
                Place("setting", f"{setting}: {drift.name}", f"stability index {drift.index:.2f}")
                for drift in drifted[:NAMED]
            ),
        )
    even = " No feature has drifted surely." if change.drifts else ""
    if change.kind == "unknown":
        reason = f"Whether the {name} data has changed can't be told: {change.reason}.{even}"
        return Told(Verdict.NOT_APPLICABLE, reason)
    sentence = f"The {name} data has changed: {_counts(change)}.{even}"
    before, after = change.before, change.after
    if change.split == "train" or (not seeded and before.examples == after.examples):
        return Told(Verdict.INFO, sentence)
    return Told(
        Verdict.WARN,
        f"{sentence} Numbers measured on it can't be compared.",
        (Place("setting", setting, _counts(change)),),
    )


def _counts(change: Change) -> str:
    before, after = change.before, change.after
    if before.complete and after.complete:
        if before.examples == after.examples:
            return f"{counted(after.examples, 'example')} as before, but not the same ones"
        return f"{before.examples:,} examples before, {after.examples:,} now"
    return f"{before.batches:,} batches before, {after.batches:,} now"


def _drifted(change: Change, limit: Limit) -> list[Drift]:
    """Return what has drifted beyond the limit for sure, furthest first."""
    bound = limit.warn if limit.warn is not None else limit.fail
    return [drift for drift in change.drifts if bound is not None and drift.least > bound]


def _fails(drift: Drift, limit: Limit) -> bool:
    return limit.fail is not None and drift.least > limit.fail


def _one_sided(last: Earlier, now: SplitsSeen) -> list[str]:
    gone = [NAMES[split] for split in last.data if split not in now.data]
    new = [NAMES[split] for split in now.data if split not in last.data]
    return [
        *(f"No {name} data is given any more." for name in gone),
        *(f"The {name} data was not given then." for name in new),
    ]


def _against_training(split: Split, recorded: RecordedSplit, now: SplitsSeen) -> Told:
    """Tell whether a split is what the recording of the training tells of it.

    Loaders drew with another seed then, so that of as many examples other content may be chance.
    """
    facts, name, source = now.data[split], NAMES[split], clean_text(now.source, 80)
    if recorded.fingerprint == facts.fingerprint:
        return Told(Verdict.PASS, f"The {name} data is that of the training, by {source}.")
    whole = recorded.complete and facts.complete
    if not whole or recorded.examples is None:
        return Told(
            Verdict.NOT_APPLICABLE,
            f"Whether the {name} data is that of the training can't be told: {source} or this "
            "audit tells of a part only.",
        )
    if recorded.examples == facts.examples:
        return Told(
            Verdict.INFO,
            f"The {name} data has as many examples as {source} recorded, but not the same ones, "
            "unless the loader augments or drops some at random.",
        )
    counts = f"{counted(recorded.examples, 'example')} then, {facts.examples:,} now"
    return Told(
        Verdict.WARN,
        f"The {name} data is not that of the training, by {source}: {counts}.",
        (Place("setting", f"data.{split}", f"not what {source} recorded: {counts}"),),
    )


def _drawn_otherwise(last: Earlier, now: SplitsSeen) -> list[str]:
    if last.seed not in (None, now.seed):
        return [
            f"The audit's seed was {last.seed} then and is {now.seed} now: if the loaders augment "
            "at random, that alone draws other examples."
        ]
    before = last.environment.get("torch", "")
    if not before or not now.torch or before == now.torch:
        return []
    return [
        f"PyTorch was {clean_text(before, 40)} then and is {clean_text(now.torch, 40)}: if the "
        "loaders augment at random, that alone draws other examples."
    ]


def _metrics(found: tuple[Change, ...], limit: Limit) -> tuple[Metric, ...]:
    metrics = []
    for change in found:
        name, drift = NAMES[change.split], change.worst
        if drift is not None:
            metrics.append(
                Metric(
                    f"drift of {name} data: {drift.name}",
                    drift.index,
                    "",
                    drift.low,
                    drift.high,
                    limit,
                )
            )
        metrics.append(
            Metric(
                f"{name} examples",
                change.after.examples,
                f"before: {change.before.examples:,}",
            )
        )
    return tuple(metrics)


def _advice(found: tuple[Change, ...], limit: Limit) -> tuple[str, ...]:
    drifted = [change for change in found if _drifted(change, limit)]
    others = [change for change in found if change.kind != "same"]
    train = (drifted or others) and (drifted or others)[0].split == "train"
    upstream = (
        "Find out what changed upstream in what is named above, worst first: its unit, its scale, "
        "its encoding, or values that went missing."
    )
    return (
        *([upstream] if drifted else []),
        step(
            "Look at the examples as the model gets them:",
            probes.examples_shown("train_loader" if train else "val_loader"),
        ),
        "If the change is meant, measure the earlier checkpoint on the new data too, before "
        "numbers of the two audits are compared.",
        "If not, bring the earlier data back: name its version in the loader, and keep its "
        "fingerprint with the checkpoint.",
    )
