"""Parts of the model that have no weights from the checkpoint, and weights that have no part.

What it does
------------
Tells which parameters and buffers of the model the checkpoint did not fill, and which tensors of
the checkpoint the model does without. Both end an audit unless the spec allows them by pattern
(`model: allow`); what it allowed is told here.

Why it matters
--------------
A layer without weights from the checkpoint keeps those that the factory gave it: it is untrained,
and everything that the audit measures of the model is measured of something that nobody trained.

How it is measured
------------------
The checkpoint's names and shapes are held against the model's own, after prefixes that wrappers put
there were taken off. The share counts values of parameters that were missing in the checkpoint or
had another shape there. Buffers, and tensors of the checkpoint that the model does without, are
told and do not count.

When it misleads
----------------
A new head on a pretrained body is untrained on purpose; then the audit tells of a model that is
still to be trained. Weights that the factory itself loads from elsewhere are counted as missing.

What to do
----------
Let the factory build exactly what was saved, or save the whole model, and take the pattern out of
`model: allow`. Where the part is new on purpose, train it before you audit.

Source
------
PyTorch documentation, `torch.nn.Module.load_state_dict`, argument `strict`.
"""

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text, counted, listed, percent
from auditor.core.verdict import Verdict
from auditor.observations.left_out import LoadedWeights, LoadedWeightsOf, Unfit

LOADED = LoadedWeightsOf()

SHARE = Limit(
    warn=0.0,
    fail=0.5,
    source="load_state_dict(strict=True) allows none; beyond half, most of it was not trained",
)

MOST = 40
"""Places that are told one by one."""

WORDS = {
    "missing": "not in the checkpoint: as the factory made it",
    "misshapen": "of another shape in the checkpoint: as the factory made it",
    "unexpected": "in the checkpoint alone: not used",
}


@check(
    title="Every weight of the model comes from the checkpoint",
    failure_title="Parts of the model have no weights from the checkpoint",
    needs=(LOADED,),
    limits={"untrained_share": SHARE},
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the share of parameters that the checkpoint did not fill."""
    loaded, limit = seen[LOADED], limits["untrained_share"]
    unfilled = [one for one in loaded.unfit if one.parameter]
    values = sum(one.values for one in unfilled)
    share = values / loaded.values if loaded.values else 0.0
    metric = Metric("share of parameters not from the checkpoint", share, limit=limit)
    if not loaded.unfit:
        summary = (
            f"All {counted(loaded.tensors, 'tensor')} of the checkpoint fit the model exactly."
        )
        return Judgement(Verdict.PASS, summary, metrics=(metric,))
    places = tuple(_place(one) for one in _worst_first(loaded)[:MOST])
    return Judgement(
        limit.verdict(share) if unfilled else Verdict.INFO,
        _summary(loaded, unfilled, values, share),
        metrics=(metric,),
        where=places if unfilled else (),
        advice=_advice(unfilled),
        figures=(_table(loaded),),
    )


def _summary(loaded: LoadedWeights, unfilled: list[Unfit], values: int, share: float) -> str:
    said = []
    if unfilled:
        names = listed([one.name for one in unfilled], 3)
        said.append(
            f"{counted(len(unfilled), 'parameter')} with {values:,} values "
            f"({percent(share)} % of the model) did not come from the checkpoint, as the spec "
            f"allows: {names}."
        )
    buffers = [one.name for one in loaded.unfit if one.why != "unexpected" and not one.parameter]
    if buffers:
        said.append(
            f"{counted(len(buffers), 'buffer')} did not come from it: {listed(buffers, 3)}."
        )
    spare = [one.name for one in loaded.unfit if one.why == "unexpected"]
    if spare:
        said.append(
            f"The model does without {counted(len(spare), 'tensor')} of the checkpoint: "
            f"{listed(spare, 3)}."
        )
    return " ".join(said)


def _advice(unfilled: list[Unfit]) -> tuple[str, ...]:
    if not unfilled:
        return ()
    return (
        step(
            "Let the factory build what was saved, and take the patterns out of the spec: an audit "
            "then lists every name that does not fit.",
            "model:\n  allow: {}",
            "yaml",
        ),
        "Where the part is new on purpose, train it, save the whole model, and audit that.",
    )


def _worst_first(loaded: LoadedWeights) -> list[Unfit]:
    return sorted(loaded.unfit, key=lambda one: (not one.parameter, one.why, -one.values))


def _place(one: Unfit) -> Place:
    return Place("parameter", clean_text(one.name), WORDS[one.why])


def _table(loaded: LoadedWeights) -> Table:
    rows = _worst_first(loaded)
    return Table(
        title="What was left out",
        caption="Tensors that are in the checkpoint alone, or in the model alone, by size.",
        columns=("tensor", "values", "why"),
        rows=tuple(
            (clean_text(one.name, 80), f"{one.values:,}", WORDS[one.why]) for one in rows[:MOST]
        ),
    )
