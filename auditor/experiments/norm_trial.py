"""A copy with its running statistics as they are, computed anew, and without dropout."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from auditor.core.errors import InputError
from auditor.core.request import Split, Unavailable
from auditor.core.values import Array
from auditor.experiments.examples import gathered, joined, mixed
from auditor.experiments.lab import affordable, private_copy
from auditor.experiments.renewal import on_batches, renew
from auditor.intake.batches import Batch
from auditor.intake.dropouts import dropped, dropped_inside
from auditor.intake.reference import blame
from auditor.intake.running_statistics import Moments, keepers, renewable
from auditor.intake.scoring import Scorer
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.norm_trial import ARMS, PIECES, READ, NormTrial, NormTrialOver
from auditor.observations.performance import Performance

RUNS = 16
"""Shares of the budget of which a pass over the batches takes one: less than half is spent."""

LEAST = 16
"""Examples below which batches are joined before statistics are computed from them."""


SAME = 1e-3
"""Ratio of variances that is rounding."""


@dataclass(frozen=True)
class Score:
    """The rows of one arm."""

    measure: str
    scores: Array
    entropies: Array


def norm_trial(request: NormTrialOver, subject: Subject) -> NormTrial | Unavailable:
    """Score a copy in each way, and see what its layers are given meanwhile."""
    split: Split = "train" if request.split == "train" else "val"
    seed = derived_seed(subject.seed, request.key)
    with seeded(seed):
        batches = _mixed(subject, split, request.batches, LEAST)
        val = _mixed(subject, "val", request.scored, 1)
    if not batches:
        return Unavailable(f"data.{split} has no batch to compute statistics from")
    model = private_copy(subject)
    plain = _scored(subject, model, val)
    note, drops = "", False
    try:
        with seeded(seed), _Drops() as watch, _watched(model) as trained:
            renew(model, _on(subject, batches), training=True)
        drops = watch.seen or any(map(_drops_inside, model.modules()))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a model may be made for inference
        note = f"in training mode the model {blame(error)}"
        trained = {}
    scores = {ARMS[0]: plain}
    shift = np.zeros((0, 0))
    if trained:
        scores[ARMS[1]] = _scored(subject, model, val)
    if drops:
        with torch.no_grad(), _watched(model) as tested:
            for batch in _on(subject, batches):
                model(*batch.args, **batch.kwargs)
        shift = _shift(trained, tested)
    shifted = shift.size and np.nanmax(np.abs(shift - 1), initial=0.0) > SAME
    if drops and not shifted:  # what drops comes behind the last norm
        scores[ARMS[2]] = scores[ARMS[1]]
    elif drops or not trained:
        with seeded(seed), _watched(model) as found:
            renew(model, _on(subject, batches))
        trained = trained or found
        scores[ARMS[2] if drops else ARMS[1]] = _scored(subject, model, val)
    size = max(2, subject.training.batch_size or subject.facts.data[split].batch_size)
    with seeded(seed):
        scores[ARMS[3]] = _on_pieces(subject, model, val, size)
    given = [moments.layer(name) for name, moments in trained.items()]
    return NormTrial(
        plain.measure,
        plain.measure == "accuracy",
        *_tables(scores),
        given=tuple(layer for layer in given if layer is not None),
        shift=shift,
        drops=drops,
        examples=sum(batch.size for batch in batches),
        size=size,
        split=split,
        note=note,
    )


def _mixed(subject: Subject, split: Split, most: int, least: int) -> list[Batch]:
    """Return up to `most` batches of a split, of examples drawn from many of its own, on the CPU.

    A loader may sort by class, and the first batches then stand for nothing. Small ones are joined
    to `least` examples. Batches whose examples may belong together are left as they are.
    """
    size = max(1, least, subject.facts.data[split].batch_size)
    count = affordable(subject, most, size, RUNS, training=False)
    count = min(count, max(1, subject.facts.data[split].batches))
    if subject.facts.task == "custom":
        return list(subject.data[split].first(count))
    return mixed(gathered(subject, split, READ), size)[:count]


def _on(subject: Subject, batches: Sequence[Batch]) -> Iterator[Batch]:
    return (batch.to(subject.device) for batch in batches)


@contextmanager
def _watched(model: nn.Module) -> Iterator[dict[str, Moments]]:
    """See what every layer that keeps running statistics is given inside the block."""
    found: dict[str, Moments] = {}
    names = {module: name for name, module in keepers(model)}
    kept = {module: Moments(module) for module in names}

    def see(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        values = next((v for v in (*args, *kwargs.values()) if isinstance(v, torch.Tensor)), None)
        if values is not None:
            found.setdefault(names[module], kept[module]).add(values)

    with ExitStack() as stack:
        for module in names:
            handle = module.register_forward_pre_hook(see, with_kwargs=True)
            stack.callback(handle.remove)
        yield found


class _Drops(TorchFunctionMode):
    """Notes whether anything is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        self.seen = self.seen or dropped(func, (*args, *kwargs.values())) is not None
        return func(*args, **kwargs)


def _drops_inside(module: nn.Module) -> bool:
    was = module.training
    module.training = True
    share = dropped_inside(module)
    module.training = was
    return share is not None


def _shift(trained: dict[str, Moments], tested: dict[str, Moments]) -> Array:
    """Return the median ratio of variances, [batches, layers]; NaN where it can't be told."""
    columns = []
    for name, moments in trained.items():
        one = moments.variances()
        two = tested[name].variances() if name in tested else one[:0]
        calls = min(len(one), len(two))
        column = np.full(len(one), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(
                (one[:calls] > 0) & (two[:calls] > 0), one[:calls] / two[:calls], np.nan
            )
        known = ~np.isnan(ratio).all(axis=1) if ratio.size else np.zeros(calls, bool)
        column[:calls][known] = np.nanmedian(ratio[known], axis=1)
        columns.append(column)
    longest = max(map(len, columns), default=0)
    table = np.full((longest, len(columns)), np.nan)
    for place, column in enumerate(columns):
        table[: len(column), place] = column
    return table


@torch.no_grad()
def _scored(subject: Subject, model: nn.Module, batches: list[Batch]) -> Score:
    """Score a private model in evaluation mode."""
    model.eval()
    return _score(subject, model, batches)


def _score(subject: Subject, model: nn.Module, batches: Sequence[Batch]) -> Score:
    if subject.loss is None or not batches:
        return Score("", np.zeros(0), np.zeros(0))
    scorer, losses = Scorer(subject, "val"), []
    for batch in _on(subject, batches):
        outputs = model(*batch.args, **batch.kwargs)
        losses.append(subject.loss(outputs, batch.target))
        scorer.add(outputs, batch.target, losses[-1])
    found = scorer.result()
    if isinstance(found, Performance):
        classes = found.entropies if found.metric == "accuracy" else found.entropies[:0]
        return Score(found.metric, np.asarray(found.scores, float), np.asarray(classes, float))
    return Score("loss", torch.stack(losses).double().cpu().numpy(), np.zeros(0))


@torch.no_grad()
def _on_pieces(subject: Subject, model: nn.Module, batches: list[Batch], size: int) -> Score:
    """Score with the statistics of each batch, cut to the training's size.

    Rows are NaN where an example was not scored; there are none where batches can't be cut.
    """
    nothing = Score("", np.zeros(0), np.zeros(0))
    whole = joined(batches) if subject.facts.task != "custom" else None
    if whole is None or not renewable(model):
        return nothing
    rows = [index for index in torch.arange(whole.size).split(size) if len(index) > 1][:PIECES]
    on_batches(model)
    try:
        score = _score(subject, model, [whole.rows(index) for index in rows])
    except (InputError, RuntimeError, ValueError, IndexError, TypeError):
        return nothing
    places = np.concatenate([index.numpy() for index in rows]) if rows else np.zeros(0, int)
    if score.measure in ("", "loss") or len(score.scores) != len(places):
        return nothing
    parts = (score.scores, score.entropies)
    return Score(score.measure, *(_placed(part, places, whole.size) for part in parts))


def _placed(values: Array, rows: Array, total: int) -> Array:
    if len(values) != len(rows):
        return np.zeros(0)
    found = np.full(total, np.nan)
    found[rows] = values
    return found


def _tables(scores: dict[Any, Score]) -> tuple[Array, Array]:
    """Return scores and entropies, [arms, rows]; an arm of another length was not scored."""
    plain = scores[ARMS[0]]
    tables = []
    for part in ("scores", "entropies"):
        rows = len(getattr(plain, part))
        table = np.full((len(ARMS), rows), np.nan)
        for place, arm in enumerate(ARMS):
            values: Sequence[float] = getattr(scores[arm], part) if arm in scores else ()
            if len(values) == rows:
                table[place] = values
        tables.append(table)
    return tables[0], tables[1]
