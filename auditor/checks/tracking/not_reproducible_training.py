"""Training that comes out otherwise with the same seed: factory, loader, layers or kernels.

What it does
------------
Builds the model twice from one seed, reads the first training batches twice, and trains two copies
for a few steps with one seed on the same batches. It names the parameter, batch or layer in which
the two first differ.

Why it matters
--------------
A result that cannot be had twice can be neither checked nor improved on: whether a change helped is
then a matter of luck. It also hides faults, since no run can be looked into again.

How it is measured
------------------
The generators of Python, NumPy and torch are seeded, which is what a training script does, and all
is compared bit for bit. Batches are compared between two loaders that are built anew where the data
are small, else between two passes that begin with the loader's own generators as they were; then
their seeds tell whether they are the same in another run. Where the runs differ, two equal models
are trained side by side: the first module that is given the same and puts out something else, or
the gradient that differs though the loss is the same, is named. Differences up to rounding (1e-4 of
the largest value in single precision) are told and no more.

When it misleads
----------------
All runs share a process: what is kept outside of the model from run to run, as a counter or a
generator of a module, counts as a difference, though a new process would begin with it anew. What
differs between processes alone, as the order of a set of texts, is not seen; neither are faults
that come after the first steps. An unseeded split of large data is not seen either.

What to do
----------
Draw all random numbers from generators that one seed sets, hand `generator` and `worker_init_fn` to
the loader, and ask for deterministic kernels where rounding matters.

Source
------
PyTorch documentation, "Reproducibility" and "Data loading: randomness in multi-process data
loading"; NumPy documentation, "Random generator": without a seed, entropy is pulled from the
system; Pineau et al. 2021 (JMLR 22).
"""

import numpy as np

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Figure, Lines, Series, Table
from auditor.core.finding import Judgement, Metric, Place
from auditor.core.text import clean_text, counted, listed, percent
from auditor.core.verdict import Verdict, worst
from auditor.observations.trained_twice import (
    FreshTwice,
    Parted,
    ReadTwice,
    TrainedTwice,
    TrainedTwiceOver,
)

TWICE = TrainedTwiceOver()

Said = tuple[Verdict, str, tuple[Place, ...], tuple[str, ...]]
"""What one comparison comes to: a verdict, a sentence, the places, the advice."""

SEEDED_BUILD = step(
    "Let the factory draw from torch's generator, or from one that is given its seed:",
    "import numpy as np\n\n"
    "def build(seed: int = 0):\n"
    "    torch.manual_seed(seed)\n"
    "    rng = np.random.default_rng(seed)  # not default_rng() without a seed\n"
    "    ...",
)

SEEDED_LOADER = step(
    "Hand the loader a seeded generator, and seed its workers:",
    "import random\n"
    "import numpy as np\n\n"
    "def seed_worker(worker_id):\n"
    "    seed = torch.initial_seed() % 2**32\n"
    "    np.random.seed(seed)\n"
    "    random.seed(seed)\n\n"
    "generator = torch.Generator().manual_seed(0)\n"
    "train_loader = torch.utils.data.DataLoader(\n"
    "    dataset, batch_size=32, shuffle=True, generator=generator, worker_init_fn=seed_worker)",
)

DETERMINISTIC = step(
    "Where results have to be equal bit for bit, ask for deterministic kernels before anything "
    "runs on the device:",
    "import os\n\n"
    'os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"\n'
    "torch.use_deterministic_algorithms(True)\n"
    "torch.backends.cudnn.benchmark = False",
)

SEEDED_LAYER = step(
    "Draw in the layer from torch's own generator, which `torch.manual_seed` seeds, and leave "
    "`generator=` out:",
    "torch.manual_seed(0)  # once, before the model is built\n"
    "noise = torch.rand(8, 16)  # no generator=: drawn from the one that was seeded",
)

KEPT_INSIDE = step(
    "Keep what a layer remembers in the model, where it is built anew, copied and saved with it:",
    "class Counting(torch.nn.Module):\n"
    "    def __init__(self):\n"
    "        super().__init__()\n"
    '        self.register_buffer("calls", torch.zeros((), dtype=torch.long))',
)


@check(
    title="Training with one seed comes out the same twice",
    failure_title="Training with one seed comes out differently",
    needs=(TWICE,),
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge factory, loader and training each by itself; the worst decides."""
    twice = seen[TWICE]
    found = [_factory(twice.factory, twice.tolerance), _loader(twice.loader), _training(twice)]
    ranked = sorted(found, key=lambda said: said[0] is not Verdict.WARN)
    loud = [said for said in ranked if said[0] is Verdict.WARN]
    verdict = worst(said[0] for said in found)
    if not loud and any(said[0] is Verdict.INFO for said in found):
        verdict = Verdict.INFO
    if not loud and twice.missing:
        verdict = Verdict.NOT_APPLICABLE
    return Judgement(
        verdict,
        " ".join(said[1] for said in ranked),
        metrics=tuple(_metrics(twice)),
        where=tuple(dict.fromkeys(place for said in loud for place in said[2])),
        advice=tuple(dict.fromkeys(step for said in loud or found for step in said[3])),
        figures=_figures(twice),
    )


def _factory(fresh: FreshTwice, tolerance: float) -> Said:
    tensors = counted(fresh.compared, "tensor")
    if not fresh.count:
        said = f"Two fresh models of one seed are equal bit for bit ({tensors})."
        return Verdict.PASS, said, (), ()
    size = "" if fresh.apart == np.inf else f", by up to {_share(fresh.apart)} of the largest value"
    first = f"Two fresh models of one seed differ in {fresh.count} of {tensors}{size}, most in "
    first += f"`{fresh.differing[0]}`"
    if fresh.apart <= tolerance:
        return Verdict.INFO, f"{first}: as much as rounding does.", (), ()
    source = (
        f"The factory draws from {_names(fresh.outside)}, which the seed does not set."
        if fresh.outside
        else "The factory draws from something that the seeds of Python, NumPy and torch do not "
        "reach: a generator of its own without a seed, the clock, or the system's entropy."
    )
    return (
        Verdict.WARN,
        f"{first}. {source}",
        (
            Place("setting", "model.factory", "builds another model from the same seed"),
            *(
                Place("parameter", name, "differs between two fresh models of one seed")
                for name in fresh.differing
            ),
        ),
        (SEEDED_BUILD,),
    )


def _loader(read: ReadTwice) -> Said:
    batches = counted(read.batches, "batch", "batches")
    how = "two loaders built with one seed" if read.anew else "two passes that begin alike"
    own = _names(read.unseeded or read.generators)
    if read.verdict == "alike":
        return Verdict.PASS, f"The first {batches} of {how} are the same.", (), ()
    if read.missing:
        said = f"Whether the loader gives the same batches was not seen: {clean_text(read.missing)}"
        return Verdict.INFO, f"{said.removesuffix('.')}.", (), ()
    if read.verdict == "unknown":
        return (
            Verdict.INFO,
            f"The loader hangs on {own}, which does not tell whether it is the same in another "
            "run.",
            (),
            (),
        )
    which = f"batch {read.first + 1} of" if read.first >= 0 else "the batches of"
    if read.first < 0:
        said = f"The loader draws from {own}, which nobody seeded: each run gets other batches."
    else:
        said = f"The loader gives other batches with the same seed: {which} {how} differs first"
        said += f"; it draws from {own}." if own else "."
    return (
        Verdict.WARN,
        said,
        (Place("setting", "data.train", f"gives other batches with the same seed{_of(own)}"),),
        (SEEDED_LOADER,),
    )


def _training(twice: TrainedTwice) -> Said:
    if twice.missing:
        return Verdict.NOT_APPLICABLE, f"Nothing was trained: {twice.missing}.", (), ()
    steps = counted(twice.losses.shape[1], "step")
    by = f"with {clean_text(twice.optimizer, 80)}"
    by += f" ({twice.instead})" if twice.instead else ""
    step_of = _first_apart(twice)
    if twice.parted is None and step_of is None and not twice.weights:
        said = f"Two runs of {steps} {by} on the same batches are equal bit for bit."
        return Verdict.PASS, said, (), ()
    far = _far(twice, step_of)
    if twice.parted is None:
        small = _loss_apart(twice) <= twice.tolerance and twice.weights <= twice.tolerance
        said = f"Two runs of {steps} {by} from the same weights, on the same batches, differ{far}"
        if small:
            return Verdict.INFO, f"{said}: as much as rounding does.", (), ()
        return (
            Verdict.WARN,
            f"{said}. Side by side they do not, so that something outside of the model is kept "
            "from one run to the next.",
            (Place("setting", "model.factory", "something outside of the model is kept"),),
            (KEPT_INSIDE,),
        )
    return _apart(twice, twice.parted, f"Two runs of {steps} {by} on the same batches differ{far}")


def _apart(twice: TrainedTwice, parted: Parted, first: str) -> Said:
    """Judge runs of which it is known where they part."""
    at = f"in step {parted.step + 1}"
    place: tuple[Place, ...]
    if parted.stage == "forward" and parted.culprit is not None:
        where = f"{at}, in {parted.culprit.shown}"
        place = (parted.culprit.place("answers otherwise with the same seed and weights"),)
    elif parted.stage in ("forward", "loss"):
        where = f"{at}, in the loss" if parted.stage == "loss" else f"{at}, in the outputs"
        place = (Place("setting", "loss", "differs with the same outputs"),)
    elif parted.stage == "gradient":
        where = f"{at}, in the gradient of `{parted.parameter}`, though the loss is the same"
        place = (Place("parameter", parted.parameter, "its gradient differs, the loss does not"),)
    else:
        where = f"{at}, in `{parted.parameter}`, though its gradient is the same"
        place = (Place("parameter", parted.parameter, "steps otherwise by the same gradient"),)
    said = f"{first}. They part {where}, by {_share(parted.apart)} of the largest value"
    if parted.rounding:
        kernels = " The device's kernels take sums in another order each time."
        said += f", which is rounding.{kernels if twice.device != 'cpu' else ''}"
        return Verdict.INFO, said, (), (DETERMINISTIC,) if twice.device == "cuda" else ()
    functions = parted.culprit.functions if parted.culprit is not None else ()
    if parted.outside:
        said += f". Outside of the model {_names(parted.outside)} changed with the step"
    elif functions:
        said += f". It calls {listed(list(functions), 3)}, and the seed does not set what it draws"
    else:
        said += (
            ". It draws from something that the seeds of Python, NumPy and torch do not reach, or "
            "keeps something outside of the model"
        )
    advice = (SEEDED_LAYER, KEPT_INSIDE)
    return Verdict.WARN, f"{said}.", place, advice


def _first_apart(twice: TrainedTwice) -> int | None:
    one, other = twice.losses
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    return None if same.all() else int(np.argmin(same))


def _loss_apart(twice: TrainedTwice) -> float:
    """Return the largest difference of two losses as a share of the larger."""
    one, other = np.asarray(twice.losses, float)
    gaps = np.abs(one - other) / np.maximum(np.maximum(np.abs(one), np.abs(other)), 1e-30)
    lost = np.isnan(one) != np.isnan(other)
    gaps = np.where(lost, np.inf, np.nan_to_num(gaps, nan=0.0))
    return float(gaps.max()) if gaps.size else 0.0


def _far(twice: TrainedTwice, step_of: int | None) -> str:
    if step_of is None:
        return f" in their weights at the end, by {_share(twice.weights)} of the largest"
    return (
        f" from the loss of step {step_of + 1} on, by up to {_share(_loss_apart(twice))} of it, "
        f"and by {_share(twice.weights)} in their weights at the end"
    )


def _share(share: float) -> str:
    if share == np.inf:
        return "no finite share"
    return f"{share:.1g}" if share < 1e-4 else f"{percent(share)} %"


def _names(names: tuple[str, ...]) -> str:
    return listed([f"`{clean_text(name, 80)}`" for name in names], 3)


def _of(own: str) -> str:
    return f", drawn from {own}" if own else ""


def _metrics(twice: TrainedTwice) -> list[Metric]:
    found = [
        Metric("tensors that differ in two fresh models", twice.factory.count),
        *((Metric("first batch that differs", twice.loader.first + 1),) if _read(twice) else ()),
    ]
    if not twice.missing:
        found += [
            Metric("steps", twice.losses.shape[1]),
            Metric("largest difference of losses", _loss_apart(twice), "of the loss"),
            Metric("largest difference of weights", twice.weights, "of the largest weight"),
        ]
    return found


def _read(twice: TrainedTwice) -> bool:
    return twice.loader.verdict == "differs" and twice.loader.first >= 0


def _figures(twice: TrainedTwice) -> tuple[Figure, ...]:
    fresh, read, parted = twice.factory, twice.loader, twice.parted
    rows = (
        ("fresh models", _alike(fresh.count == 0), fresh.differing[0] if fresh.count else ""),
        (
            "first batches",
            {"alike": "same", "differs": "differ", "unknown": "not known"}[read.verdict],
            f"batch {read.first + 1}" if read.first >= 0 and read.verdict == "differs" else "",
        ),
        *(
            ()
            if twice.missing
            else (
                ("losses", _alike(_first_apart(twice) is None), _step_of(twice)),
                ("weights at the end", _alike(not twice.weights), _parted_at(parted)),
            )
        ),
    )
    table = Table(
        title="What came out twice",
        caption="Each with the same seeds of Python, NumPy and torch, compared bit for bit, and "
        "where it first differs.",
        columns=("what", "twice", "first in"),
        rows=rows,
    )
    if twice.missing or not twice.losses.shape[1]:
        return (table,)
    x = tuple(float(n) for n in range(1, twice.losses.shape[1] + 1))
    lines = Lines(
        title="Losses of two runs",
        caption="Both start from the same weights and see the same batches with the same seed.",
        x_label="step",
        y_label="loss",
        series=tuple(
            Series(name, x, tuple(float(y) for y in run))
            for name, run in zip(("first run", "second run"), twice.losses, strict=True)
        ),
    )
    return (lines, table)


def _alike(same: bool) -> str:
    return "same" if same else "differ"


def _step_of(twice: TrainedTwice) -> str:
    place = _first_apart(twice)
    return "" if place is None else f"step {place + 1}"


def _parted_at(parted: Parted | None) -> str:
    if parted is None:
        return ""
    return clean_text(parted.culprit.layer) if parted.culprit is not None else parted.parameter
