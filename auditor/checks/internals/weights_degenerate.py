"""Units that are zero, constant or copies of one another, collapsed ranks, absurd single weights.

What it does
------------
Looks at each weight as a matrix, one row a unit (a feature, a filter, a gate's unit, a token), and
looks for rows that are zero, of one value, or copies of one another up to sign and scale; for
layers whose units are all the same; for a rank far below what the shape allows; for single weights
far beyond all others; for biases that drown the weights; and for a weight that is another layer's
bit for bit. It needs no data and no model code.

Why it matters
--------------
Units that start equal get equal gradients and stay equal: a layer whose symmetry was never broken
computes one feature, however wide it is, and copies and zeros cost memory and time. A single
flipped bit can turn 0.1 into 10³⁷, and none of this need show in a loss curve.

How it is measured
------------------
Two rows of one group are one where |cos| > 1 - 10⁻⁶ (1 - 10⁻⁴ in half precision). Chance brings
that about for small fan-in or coarse values: counted are only copies for which a Chernoff bound of
chance stays below 1 % over all weights together, and none of a fan-in below 3. The effective rank
is exp(-Σ p ln p), p = σ / Σσ, here over that of random entries of the same shape (the law of
Marchenko and Pastur), since random matrices have no full effective rank either. Spectra come from
Gram matrices in float64; of large matrices from a random sketch of rows and columns, which keeps a
low rank low. An outlier is 50 times the largest of all others, 10⁴ times where a layer is small.
Fused gates and projections are looked at one by one. Where a factory is given, a fresh model tells
what was meant to start at zero or constant. The exponent of a power law is information only.

When it misleads
----------------
Pruning leaves zeros (noted where half of the weights have them), low-rank compression a low rank
(noted where it is exact), widening by copying leaves copies, resized embeddings equal rows. Without
the model a fixed table can't be told from a weight, and a depthwise kernel only by its shape. Short
training leaves spectra that look random, which is no fault.

What to do
----------
All units alike: initialise at random (`torch.nn.init.kaiming_uniform_`) and train anew. Copies or
zeros: see whether the layer is too wide, or its learning rate too high, and cut it. Low rank: look
for weight decay far too strong, or exploding steps early on. An absurd value: compare the file's
hash with the original and load an earlier checkpoint.

Source
------
Goodfellow, Bengio & Courville 2016, "Deep Learning", section 8.4 (initialisation must break the
symmetry). Roy & Vetterli 2007, "The effective rank". Marchenko & Pastur 1967. Martin & Mahoney
2021, JMLR 22 (spectra of trained layers); Clauset, Shalizi & Newman 2009 (the exponent).
"""

from collections.abc import Mapping

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import SEVERITY, Verdict, worst
from auditor.observations.weight_faults import (
    SHORTEST,
    Kind,
    WeightFault,
    faults_of,
    label,
    looks_pruned,
    looks_random,
)
from auditor.observations.weight_figures import figures_of
from auditor.observations.weight_matrices import WeightMatrices, WeightMatricesOf, WeightMatrix

WEIGHTS = WeightMatricesOf()

WORDS: dict[Kind, str] = {
    "symmetric": "whose symmetry was never broken",
    "zero": "of nothing but zeros",
    "zero units": "with zero units",
    "constant": "with units of one value",
    "duplicates": "with copied units",
    "rank": "of collapsed rank",
    "outlier": "with absurd single values",
    "bias": "drowned by their biases",
    "copy": "with all the values of another",
}


@check(
    title="Weights are varied and of full use",
    failure_title="Weights are degenerate",
    needs=(WEIGHTS,),
    limits={
        "zero_units": Limit(
            warn=0.25, fail=0.5, source="as of dead units: CS231n notes, up to 40 % dead is what a "
            "far too high learning rate does; weight decay alone may switch off a fifth"
        ),
        "duplicates": Limit(
            warn=0.05, fail=0.3, source="no healthy model measured has a single copy beyond chance"
        ),
        "relative_rank": Limit(
            warn=0.15, fail=0.05, bad="below", source="healthy layers measured lie above 0.4; "
            "1 is a random matrix (Marchenko & Pastur 1967)"
        ),
    },
)  # fmt: skip
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge every weight by what stands in it."""
    weights = seen[WEIGHTS]
    finite = [matrix for matrix in weights.matrices if matrix.finite]
    if not finite:
        why = "hold values that are not finite" if weights.matrices else "are not there to look at"
        return Judgement(Verdict.NOT_APPLICABLE, f"The weight matrices {why}.")
    faults = faults_of(weights, limits)
    bad = [f for f in faults if f.verdict in (Verdict.WARN, Verdict.FAIL)]
    bad.sort(key=lambda fault: -SEVERITY[fault.verdict])
    ranked = [m for m in finite if min(m.sketch) >= SHORTEST]
    lowest = min(ranked, key=lambda m: m.relative_rank, default=None)
    return Judgement(
        worst(f.verdict for f in bad) if bad else Verdict.PASS,
        " ".join(_sentences(weights, finite, faults, bad, lowest)),
        metrics=_metrics(finite, lowest, limits),
        where=tuple(Place("parameter", clean_text(f.name), f.note) for f in bad),
        advice=_advice(bad),
        figures=figures_of(finite, limits),
    )


def _sentences(
    weights: WeightMatrices,
    finite: list[WeightMatrix],
    faults: list[WeightFault],
    bad: list[WeightFault],
    lowest: WeightMatrix | None,
) -> list[str]:
    said = []
    for kind, words in WORDS.items():
        names = list(dict.fromkeys(f.name for f in bad if f.kind == kind))
        if names:
            first = next(f for f in bad if f.kind == kind)
            said.append(
                f"{counted(len(names), 'parameter')} {words}: {listed(names, 3)} "
                f"({clean_text(first.note)})."
            )
    if not bad:
        rank = (
            f"; the lowest effective rank, in {clean_text(label(lowest))}, is "
            f"{lowest.relative_rank:.2f} of a random matrix's"
            if lowest is not None
            else ""
        )
        said.append(
            f"In {counted(len(finite), 'weight matrix', 'weight matrices')} of "
            f"{sum(m.units for m in finite):,} units nothing is degenerate{rank}."
        )
    noted: tuple[tuple[Kind, str], ...] = (
        ("zero", "all zero as meant to start, and not trained"),
        ("rank", "of low rank as if factorised on purpose"),
        ("unchanged", "the same as in a fresh model"),
        ("duplicates", "with copied units"),
        ("copy", "with all the values of another"),
    )
    for kind, words in noted:
        names = [f.name for f in faults if f.kind == kind and f.verdict is Verdict.INFO]
        if names:
            said.append(f"For information, {words}: {listed(list(dict.fromkeys(names)), 3)}.")
    if looks_pruned(weights):
        said.append("Zeros stand in at least half of the weights, which looks like pruning.")
    random = sum(looks_random(m) for m in finite)
    if random and not bad:
        said.append(
            f"{counted(random, 'spectrum', 'spectra')} can't be told from a random matrix's, as "
            "after little training."
        )
    broken = [m.name for m in weights.matrices if not m.finite]
    if broken:
        said.append(f"Not looked at, for values that are not finite: {listed(broken, 3)}.")
    if weights.left_out:
        said.append(f"Not looked at, for want of the model: {listed(list(weights.left_out), 3)}.")
    return said


def _metrics(
    finite: list[WeightMatrix], lowest: WeightMatrix | None, limits: Limits
) -> tuple[Metric, ...]:
    dense = [m for m in finite if m.kind != "embedding"]
    found = [
        Metric("weight matrices", len(finite)),
        Metric("copied units", sum(m.duplicates for m in dense)),
        Metric("zero units", sum(m.zero_units for m in dense)),
        Metric("values far beyond all others", sum(len(m.outliers) for m in finite)),
    ]
    if dense:
        most = max(dense, key=lambda m: m.zero_units / m.units)
        found.append(
            Metric(
                f"zero units in {clean_text(label(most), 60)}",
                most.zero_units / most.units,
                "share",
                limit=limits["zero_units"],
            )
        )
    if lowest is not None:
        found.append(
            Metric(
                f"effective rank of {clean_text(label(lowest), 60)}",
                lowest.relative_rank,
                "of a random matrix's",
                limit=limits["relative_rank"],
            )
        )
    return tuple(found)


CODE: Mapping[Kind, str] = {
    "symmetric": "torch.nn.init.kaiming_uniform_(WEIGHT, a=5**0.5)",
    "constant": "torch.nn.init.kaiming_uniform_(WEIGHT, a=5**0.5)",
    "zero units": "weight = WEIGHT.detach()\n"
    "print((weight.flatten(1) == 0).all(1).nonzero().flatten())",
    "rank": "print(torch.linalg.svdvals(WEIGHT.detach().flatten(1).float()))",
}
"""Code for a kind of fault; WEIGHT stands for what finds the parameter."""


def _advice(bad: list[WeightFault]) -> tuple[str, ...]:
    texts: dict[Kind, str] = {
        "symmetric": "Initialise `{name}` at random, and train anew: units that start equal get "
        "equal gradients for ever. See that no init function sets weights to a constant.",
        "zero": "See why `{name}` is zero: never loaded from its checkpoint, initialised with "
        "`zeros_`, pruned away, or left without a gradient. Remove it if it is meant to add "
        "nothing.",
        "zero units": "Cut the zero units of `{name}`, or train anew with less weight decay and a "
        "lower learning rate, if they were not pruned on purpose.",
        "constant": "Look at how `{name}` was initialised and whether its units get gradients at "
        "all: units of one value were never trained apart.",
        "duplicates": "Merge the copies in `{name}` (add up what the next layer reads them with), "
        "or initialise them anew at random and train on. Copies come from tiling or widening a "
        "layer, or from a constant initialisation.",
        "rank": "Look for weight decay too strong or a learning rate too high for `{name}`; if so "
        "low a rank will do, two narrow layers in its place cost less.",
        "outlier": "Compare the checkpoint's SHA-256 with the original's, then load `{name}` from "
        "an earlier checkpoint: {note}. One value so far beyond the rest is a damaged file or "
        "memory, or an exploded step.",
        "bias": "Look at the biases beside `{name}`: its units hardly depend on their inputs. "
        "Start biases at 0, and leave out those that a normalisation follows.",
        "copy": "Find where `{name}` is loaded or built: it {note}, bit for bit. A loop that reads "
        "one key twice, a clone that was never trained apart, or layers loaded into the wrong "
        "place do that; layers that are to be one should share the parameter itself.",
    }
    first: dict[Kind, WeightFault] = {}
    for fault in bad:
        first.setdefault(fault.kind, fault)
    return tuple(
        step(
            texts[kind].format(name=clean_text(fault.name), note=clean_text(fault.note)),
            CODE[kind].replace("WEIGHT", snippets.parameter(fault.name)) if kind in CODE else "",
        )
        for kind, fault in first.items()
    )
