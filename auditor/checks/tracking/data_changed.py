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
split whole, another hash is another content: the check warns of validation data, and of other data
than the model was trained on, and tells of training data. Drift is told apart by the population
stability index, between the deciles of the earlier audit, of each feature and of the labels: a
feature is a column of a table (up to 64), or the mean and the spread of each channel, or of the
tokens, in each example. The check warns or fails where the index is beyond the limit below at 99 %,
all comparisons together. It fails where shapes or types are others. Where the audits read different
parts of a split, as another profile does, nothing of it is judged.

When it misleads
----------------
Random augmentation is drawn from the audit's seed: another seed, or another version of PyTorch,
draws otherwise, and the content differs though the files are the same. Rows of unequal length that
are filled up with something other than zeros have a hash that depends on their neighbours. Drift
within an example, such as objects at other places of an image, does not show in mean and spread.

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

from auditor.core import probes
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.request import Split
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict, worst
from auditor.observations.data_change import Change, changes
from auditor.observations.data_change_figures import NAMES, figures
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
    told = [_of(change, limit) for change in found]
    verdicts = [verdict for verdict, _ in told if verdict is not None]
    said = [sentence for _, sentence in told]
    said += _one_sided(last, now) if last is not None else []
    places = [place for change in found for place in _places(change, limit)]
    for split, recorded in (now.recorded or {}).items():
        if split in now.data:
            verdict, sentence, where = _against_training(split, recorded, now)
            said.append(sentence)
            verdicts += [verdict] if verdict is not None else []
            places += where
    unsure = len(verdicts) < len(told)
    if not verdicts:
        verdict = Verdict.NOT_APPLICABLE
    elif set(verdicts) == {Verdict.PASS}:
        verdict = Verdict.INFO if unsure else Verdict.PASS
    else:
        verdict = worst(verdicts)
        verdict = Verdict.INFO if verdict is Verdict.PASS else verdict
    changed = [c for c in found if c.kind == "changed" and not _drifted(c, limit)]
    if changed and last is not None:
        said.append(_drawn_otherwise(last, now))
    bad = verdict in (Verdict.WARN, Verdict.FAIL)
    source = f"Compared with {clean_text(last.source, 120)}: " if last is not None else ""
    text = " ".join(filter(None, said)) or "There is no split that both audits have."
    return Judgement(
        verdict,
        f"{source}{text[0].lower()}{text[1:]}" if source else text,
        metrics=_metrics(found, limit),
        where=tuple(places) if bad else (),
        advice=_advice(found, limit) if bad else (),
        figures=figures(found, limit) if found else (),
    )


def _of(change: Change, limit: Limit) -> tuple[Verdict | None, str]:
    """Return the verdict on a split, None where there is none, and a sentence about it."""
    name = NAMES[change.split]
    if change.kind == "same":
        part = "" if change.after.complete else ", as far as it was read"
        return Verdict.PASS, (
            f"The {name} data is the same{part} ({counted(change.after.examples, 'example')}; "
            "their order does not count)."
        )
    if change.kind == "reshaped":
        return Verdict.FAIL, f"The {name} data has another form: {change.reason}."
    drifted = _drifted(change, limit)
    if drifted:
        names = listed([_told(drift) for drift in drifted], 3)
        return _verdict(drifted, limit), (
            f"The {name} data has drifted: of {len(change.drifts):,} features and labels, "
            f"{len(drifted):,} surely did, {names}."
        )
    if change.kind == "unknown":
        even = " Its distribution has not drifted surely." if change.drifts else ""
        return None, f"Whether the {name} data has changed can't be told: {change.reason}.{even}"
    verdict = Verdict.WARN if change.split == "val" else Verdict.INFO
    return verdict, (
        f"The {name} data has changed ({_counts(change)}), and "
        + (
            "no feature has drifted surely."
            if change.drifts
            else "whether its distribution has drifted can't be told from different parts."
        )
        + (" Numbers measured on it can't be compared." if verdict is Verdict.WARN else "")
    )


def _counts(change: Change) -> str:
    before, after = change.before, change.after
    if before.complete and after.complete:
        if before.examples == after.examples:
            return f"{counted(after.examples, 'example')} as before, but not the same ones"
        return f"{before.examples:,} examples before, {after.examples:,} now"
    return f"{before.batches:,} batches before, {after.batches:,} now"


def _told(drift: Drift) -> str:
    return f"{drift.name} (index {drift.index:.2f})"


def _drifted(change: Change, limit: Limit) -> list[Drift]:
    """Return what has drifted beyond the limit for sure, furthest first."""
    bound = limit.warn if limit.warn is not None else limit.fail
    return [drift for drift in change.drifts if bound is not None and drift.least > bound]


def _verdict(drifted: list[Drift], limit: Limit) -> Verdict:
    fails = limit.fail is not None and drifted[0].least > limit.fail
    return Verdict.FAIL if fails else Verdict.WARN


def _one_sided(last: Earlier, now: SplitsSeen) -> list[str]:
    gone = [NAMES[split] for split in last.data if split not in now.data]
    new = [NAMES[split] for split in now.data if split not in last.data]
    return [
        *(f"No {name} data is given any more." for name in gone),
        *(f"The {name} data was not given then." for name in new),
    ]


def _against_training(
    split: Split, recorded: RecordedSplit, now: SplitsSeen
) -> tuple[Verdict | None, str, list[Place]]:
    """Judge a split against what the recording of the training tells of it."""
    facts, name, source = now.data[split], NAMES[split], clean_text(now.source, 80)
    if recorded.fingerprint == facts.fingerprint:
        return Verdict.PASS, f"The {name} data is that of the training, by {source}.", []
    if not (recorded.complete and facts.complete):
        return (
            None,
            f"Whether the {name} data is that of the training can't be told: {source} or this "
            "audit tells of a part only.",
            [],
        )
    was = "" if recorded.examples is None else f": {counted(recorded.examples, 'example')} then"
    return (
        Verdict.WARN,
        f"The {name} data is not that of the training, by {source}{was}"
        f"{', ' if was else ': '}{facts.examples:,} now.",
        [Place("setting", f"data.{split}", f"not what {source} recorded")],
    )


def _drawn_otherwise(last: Earlier, now: SplitsSeen) -> str:
    before = last.environment.get("torch", "")
    if not before or not now.torch or before == now.torch:
        return ""
    return (
        f"PyTorch was {clean_text(before, 40)} then and is {clean_text(now.torch, 40)}: if the "
        "loaders augment at random, that alone draws other examples."
    )


def _places(change: Change, limit: Limit) -> list[Place]:
    setting = f"data.{change.split}"
    if change.kind == "reshaped":
        return [Place("setting", setting, change.reason)]
    drifted = _drifted(change, limit)
    if drifted:
        return [
            Place("setting", f"{setting}: {drift.name}", f"stability index {drift.index:.2f}")
            for drift in drifted[:NAMED]
        ]
    if change.kind == "changed" and change.split == "val":
        return [Place("setting", setting, _counts(change))]
    return []


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
    drifted = next((change for change in found if _drifted(change, limit)), None)
    bad = [c for c in found if c.kind == "reshaped" or _drifted(c, limit) or c.kind == "changed"]
    split = (drifted or next(iter(bad), None)) and (drifted or bad[0]).split
    loader = "train_loader" if split == "train" else "val_loader"
    steps = [
        step("Look at the examples as the model gets them:", probes.examples_shown(loader)),
        "If the change is meant, measure the earlier checkpoint on the new data too, before "
        "numbers of the two audits are compared.",
        "If not, bring the data of the earlier audit back: name its version in the loader, and "
        "keep its fingerprint with the checkpoint.",
    ]
    if drifted is not None:
        steps.insert(
            0,
            "Find out what changed upstream in what is named above, worst first: its unit, its "
            "scale, its encoding, or values that went missing.",
        )
    return tuple(steps)
