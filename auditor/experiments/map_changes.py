"""How maps change when weights are shuffled: all of them, or those of the last layers only."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from auditor.core.values import Array
from auditor.experiments.maps import Maps, Path, path_of, pooled
from auditor.experiments.scenes import Scene
from auditor.experiments.shuffled import put, settle_norms, shuffled
from auditor.intake.reference import blame
from auditor.intake.seeding import derived_seed
from auditor.intake.subject import Subject
from auditor.observations.attributions import (
    FEWEST,
    FEWEST_EXAMPLES,
    SHUFFLES,
    STAGES,
    STEPS,
    MapChange,
)

SHARES = (0.0, 0.125, 0.25, 0.5, 0.75)
"""Shares of the layers that are shuffled one after the other, from the output down."""


@dataclass(frozen=True)
class Shuffling:
    """What became of the maps; `why` tells why nothing could be measured.

    `shown` and `path` are the pictured examples' maps after the first shuffle, `features` [columns]
    the mean magnitude of integrated gradients, and the rest is as `Attributions` tells it.
    """

    why: str = ""
    changes: tuple[MapChange, ...] = ()
    inner: MapChange | None = None
    stage_layers: tuple[int, ...] = ()
    stage_names: tuple[str, ...] = ()
    cascade: Array = field(default_factory=lambda: np.zeros((0, 0)))
    score_change: float = float("nan")
    shown: Maps | None = None
    path: Path | None = None
    integrated: Array = field(default_factory=lambda: np.zeros(0))
    features: Array = field(default_factory=lambda: np.zeros(0))


def shuffling(
    subject: Subject,
    scene: Scene,
    rows: Sequence[int],
    whole: Maps,
    layers: Sequence[tuple[str, nn.Module]],
    camera: nn.Module | None,
    first: nn.Module | None,
    own_path: Path,
    some: Sequence[int],
) -> Shuffling:
    """Return how the maps of the examples in `rows` change; the first of them have the `own_path`.

    The weights are put back as they were.
    """
    parameters = {id(p): p for _, layer in layers for p in layer.parameters(recurse=False)}
    own = {key: p.detach().clone() for key, p in parameters.items()}
    if not own:
        return Shuffling("the model has no weights that could be shuffled")
    modules = [layer for _, layer in layers]
    made: list[Maps] = []
    first_values: dict[int, torch.Tensor] = {}
    path, features, told = None, [], ""
    batch, what = scene.at(rows[: len(own_path.integrated)])
    few = len(rows) < FEWEST_EXAMPLES
    try:
        for number in range(1 if few else SHUFFLES):
            seed = derived_seed(subject.seed, f"shuffle {number}")
            generator = torch.Generator().manual_seed(seed % (1 << 62))
            values = {key: shuffled(tensor, generator) for key, tensor in own.items()}
            if all(torch.equal(values[key], tensor) for key, tensor in own.items()):
                return Shuffling("no weight of the model changes by being shuffled")
            put(modules, values)
            settle_norms(scene.model, scene.at(rows)[0])
            maps = scene.maps(rows, camera, first)
            if maps is None or not np.isfinite(maps.saliency).any():
                told = "with shuffled weights no finite gradient reaches the input"
                break
            made.append(maps)
            if number == 0:
                first_values = values
                path = path_of(scene.model, batch, scene.source, what, STEPS[0], 1.0)
            if scene.kind == "features":
                table, asked = scene.at(some)
                found = path_of(scene.model, table, scene.source, asked, STEPS[0], 1.0)
                if found is not None:
                    features.append(np.abs(found.integrated).mean(axis=0))
        stages = [] if few or told else _stages(len(layers))
        cascade = []
        for count in stages:
            put(modules, own)
            put(modules[len(modules) - count :], first_values)
            settle_norms(scene.model, scene.at(rows)[0])
            maps = scene.maps(rows, None, None)
            cascade.append(np.full_like(whole.saliency, np.nan) if maps is None else maps.saliency)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - the user's model, with weights it never had
        told = f"with shuffled weights the model {blame(error)}"
    finally:
        put(modules, own)
    if told or not made:
        return Shuffling(told)
    live, spread = _live(scene, whole.saliency)
    if _in_steps(scene):
        # A causal network looks at no later step, and one that goes step by step at its own alone.
        every = np.concatenate([m.saliency for m in (whole, *made)])
        marked = np.asarray(every.any(axis=0))
        live = _box(marked) if live is None else live & _box(marked)
    shown = _first(made[0], len(own_path.integrated))
    integrated = np.zeros(0)
    if path is not None:
        own_sizes, sizes = (np.abs(one.integrated) for one in (own_path, path))
        integrated = _correlations(own_sizes, sizes, live)
    mean = np.mean(features, axis=0) if features else np.zeros(0)
    if few:
        why = f"{len(rows)} examples could be compared, {FEWEST_EXAMPLES} are needed"
        return Shuffling(why, shown=shown, path=path, integrated=integrated, features=mean)
    changes = [_change("saliency", whole.saliency, [m.saliency for m in made], live)]
    if spread is not None:
        scaled = [m.saliency * spread for m in made]
        changes.append(_change("saliency x spread", whole.saliency * spread, scaled, live))
    if _in_steps(scene):
        saliency = [m.saliency for m in made]
        built_in = _steps(whole.saliency.shape[1:])
        changes.append(_change("saliency beside steps", whole.saliency, saliency, live, built_in))
    if whole.cam is not None and all(m.cam is not None for m in made):
        cams = [np.asarray(m.cam) for m in made]
        changes.append(_change("Grad-CAM", whole.cam, cams, None))
    inner = None
    if whole.inner is not None and all(
        m.inner is not None and m.inner.shape == whole.inner.shape for m in made
    ):
        inner = _change("inner", whole.inner, [np.asarray(m.inner) for m in made], None)
    falls = [_correlations(whole.saliency, after, live) for after in cascade]
    names = [layers[len(layers) - count][0] for count in stages]
    scores = np.stack([m.scores for m in made])
    return Shuffling(
        changes=tuple(changes),
        inner=inner,
        stage_layers=(*stages, len(layers)),
        stage_names=(*names, layers[0][0]),
        cascade=np.stack([*falls, changes[0].trained[0]]),
        score_change=_moved(whole.scores, scores),
        shown=shown,
        path=path,
        integrated=integrated,
        features=mean,
    )


def _stages(layers: int) -> list[int]:
    """Return after how many shuffled layers, from the output down, the maps are looked at."""
    counts = sorted({max(1, round(share * layers)) for share in SHARES})
    return [count for count in counts if count < layers][: STAGES - 1]


def _first(maps: Maps, count: int) -> Maps:
    return Maps(
        maps.saliency[:count],
        None if maps.cam is None else maps.cam[:count],
        None,
        maps.scores[:count],
    )


def _moved(own: Array, others: Array) -> float:
    """Return the root mean square change of the scores, as a share of their size and spread."""
    size = float(np.sqrt(np.mean(np.square(own - own.mean())))) + 1e-3 * float(np.abs(own).mean())
    return float(np.sqrt(np.mean(np.square(others - own)))) / max(size, 1e-12)


def _live(scene: Scene, saliency: Array) -> tuple[Array, Array | None]:
    """Return [places] where the input differs between examples, and by how much; not of tokens.

    Where every example has the same value, as at the border of a scan, a map shows weights that
    were never trained.
    """
    values = scene.source.values(scene.batch).float()
    spread = values.std(dim=0, correction=0).nan_to_num(0.0)[None]
    if scene.source.tokens:
        return (spread[0] > 0).cpu().numpy(), None
    told = pooled(spread)[0].double().cpu().numpy()
    return told > 1e-6 * told.max(initial=0.0), told


def _in_steps(scene: Scene) -> bool:
    """Tell whether a map is laid out over the steps of a sequence: of tokens, or of rows."""
    return scene.source.tokens or scene.source.values(scene.batch).ndim == 3


def _steps(shape: tuple[int, ...]) -> Array:
    """Return [places, columns] where each place stands along each side, and how near to its ends.

    Any recurrent network, whatever its weights, hangs most on the steps that are nearest to its
    answer: its last ones, or those at both ends.
    """
    columns = []
    for axis, size in enumerate(shape):
        here = np.arange(size, dtype=float)
        for line in (here, np.minimum(here, here[::-1])):
            whole = np.expand_dims(line, [other for other in range(len(shape)) if other != axis])
            columns.append(np.broadcast_to(whole, shape).ravel())
    return np.stack(columns, axis=1)


def _change(
    method: str,
    own: Array,
    others: list[Array],
    live: Array | None,
    built_in: Array | None = None,
) -> MapChange:
    """Return how much of a method's maps stays, over the places that are `live`.

    With [places, columns] `built_in`, it is the partial correlation beside their ranks.
    What no map marks in one example, though some do in another, is padding and left out. What no
    map ever marks is a place that the architecture does not look at, and stays.
    """
    zero = (np.stack([own, *others]) == 0).all(axis=0)
    mask = ~zero | zero.all(axis=0)[None]
    mask = mask if live is None else mask & live[None]
    ranks = [_ranked(maps, mask, built_in) for maps in (own, *others)]
    trained = np.stack([_products(ranks[0], other) for other in ranks[1:]])
    pairs = [
        _products(ranks[1 + i], ranks[1 + j])
        for i in range(len(others))
        for j in range(i + 1, len(others))
    ]
    return MapChange(method, trained, np.stack(pairs) if pairs else np.zeros((0, len(own))))


def _box(marked: Array) -> Array:
    """Return the smallest box of places that holds all that are marked."""
    inside = np.ones(marked.shape, bool)
    for axis, size in enumerate(marked.shape):
        others = tuple(other for other in range(marked.ndim) if other != axis)
        there = np.flatnonzero(marked.any(axis=others))
        line = np.zeros(size, bool)
        if there.size:
            line[there[0] : there[-1] + 1] = True
        inside &= np.expand_dims(line, others)
    return inside


def _correlations(own: Array, other: Array, live: Array | None) -> Array:
    return np.asarray(_change("", own, [other], live).trained[0])


def _ranked(maps: Array, mask: Array, built_in: Array | None) -> list[Array]:
    """Return, for each example, the ranks of its map, with a mean of 0 and a norm of 1.

    The product of two is Spearman's correlation; ties share their mean rank. A map that is constant
    or not finite has ranks of NaN. What the ranks of the columns of `built_in` explain is taken
    off; where nothing is left, the ranks are 0.
    """
    from scipy.stats import rankdata

    found = []
    for values, kept in zip(maps, mask, strict=True):
        flat = np.asarray(values, float)[kept]
        if flat.size < FEWEST or not np.isfinite(flat).all() or np.ptp(flat) == 0:
            found.append(np.full(flat.size, np.nan))
            continue
        ranks = rankdata(flat) - (flat.size + 1) / 2
        size = np.linalg.norm(ranks)
        if built_in is not None:
            columns = rankdata(built_in[kept.ravel()], axis=0) - (flat.size + 1) / 2
            if flat.size < FEWEST + columns.shape[1]:
                found.append(np.full(flat.size, np.nan))
                continue
            ranks = ranks - columns @ np.linalg.lstsq(columns, ranks, rcond=None)[0]
        left = np.linalg.norm(ranks)
        found.append(ranks / left if left > 1e-6 * size else np.zeros(flat.size))
    return found


def _products(one: list[Array], other: list[Array]) -> Array:
    return np.asarray([float(a @ b) if a.size else np.nan for a, b in zip(one, other, strict=True)])
