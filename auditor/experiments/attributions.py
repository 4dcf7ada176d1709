"""Attributing a checkpoint's outputs to its inputs, and doing it again with shuffled weights."""

import numpy as np
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.values import Array
from auditor.experiments.examples import by_turns, distinct, gathered
from auditor.experiments.explained import rows_of
from auditor.experiments.lab import affordable, halving, private_copy
from auditor.experiments.map_changes import Shuffling, shuffling
from auditor.experiments.maps import Maps, Path, path_of
from auditor.experiments.scenes import Scene, chosen, ready, scene_of, shown_input
from auditor.experiments.shuffled import by_execution
from auditor.intake.preserve import preserved
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.attributions import (
    COMPARED,
    FEWEST_EXAMPLES,
    MOST_FEATURES,
    MOST_TOKENS,
    PICTURED,
    SHUFFLES,
    STAGES,
    STEPS,
    WITH_FEATURES,
    Attributed,
    Attributions,
    AttributionsOver,
)

CLOSE = 0.05
"""Share of the path's total that integrated gradients may miss: Captum's tutorials and the paper
(section 5) want the sum within 5 % and more steps where it is not."""


def attributions(request: AttributionsOver, subject: Subject) -> Attributions | Unavailable:
    """Return what the outputs of a few validation examples hang on."""
    assert subject.model is not None
    with preserved(subject.model), seeded(derived_seed(subject.seed, request.key)):
        pool = gathered(subject, request.split, request.batches)[0]
        model = ready(private_copy(subject))

        def attempt(fraction: float) -> Attributions | Unavailable:
            scene = scene_of(subject, model, pool, request.split, fraction)
            if isinstance(scene, str):
                return Unavailable(scene)
            return _attributed(request, subject, scene, fraction)

        made, _ = halving(attempt)
    return made


def _attributed(
    request: AttributionsOver, subject: Subject, scene: Scene, fraction: float
) -> Attributions | Unavailable:
    pictured = chosen(scene.what, max(1, int(PICTURED * fraction)))
    layers = by_execution(scene.model, scene.at(pictured[:1])[0])
    camera = _camera(scene, pictured)
    runs = 2 * (1 + SHUFFLES + STAGES)
    count = affordable(subject, COMPARED, 1, runs=runs)
    others = by_turns(scene.what.names, distinct(scene.batch), count)
    rows = list(dict.fromkeys([*pictured, *others]))
    if len(rows) < FEWEST_EXAMPLES and count < COMPARED:
        rows = pictured
    first = next((layer for _, layer in layers if _is_fed(layer)), None)
    whole = scene.maps(rows, camera[1], first)
    if whole is None:
        return Unavailable("no gradient of the output reaches the input")
    steps = affordable(subject, STEPS[-1], len(pictured), runs=3)
    batch, what = scene.at(pictured)
    path = path_of(scene.model, batch, scene.source, what, steps, CLOSE)
    if path is None:
        return Unavailable("no gradient of the output reaches the input")
    count = min(WITH_FEATURES, scene.batch.size)
    cost = sum(STEPS[:2]) + SHUFFLES * STEPS[0]
    some = list(range(affordable(subject, count, cost, runs=2)))
    features = _features(scene, some, STEPS[1])
    known = shuffling(subject, scene, rows, whole, layers, camera[1], first, path, some)
    return Attributions(
        kind=scene.kind,
        source="the input's embedding" if scene.source.tokens else "the input",
        baseline="the mean example" if scene.kind == "features" else "zero",
        cam_layer=camera[0],
        steps=path.steps,
        pictured=tuple(_pictures(subject, scene, pictured, whole, path, known)),
        feature_numbers=features[0],
        features=features[1],
        shuffled_features=known.features[features[0]] if len(known.features) else known.features,
        changes=known.changes,
        inner=known.inner,
        first=next((name for name, layer in layers if layer is first), ""),
        stage_layers=known.stage_layers,
        stage_names=known.stage_names,
        cascade=known.cascade,
        integrated_change=known.integrated,
        layers=len(layers),
        score_change=known.score_change,
        examples=len(rows),
        split=request.split,
        why_unchanged=known.why,
        one_place=scene.what.place,
    )


def _is_fed(layer: nn.Module) -> bool:
    return not isinstance(layer, nn.Embedding | nn.EmbeddingBag | nn.ParameterList)


def _camera(scene: Scene, rows: list[int]) -> tuple[str, nn.Module | None]:
    """Return the last convolution whose output is smaller than a picture's, but no single place."""
    met: list[tuple[str, nn.Module]] = []
    names: dict[nn.Module, str] = {
        m: n for n, m in scene.model.named_modules() if isinstance(m, nn.Conv2d)
    }
    batch, _ = scene.at(rows[:1])
    sizes: dict[nn.Module, torch.Size] = {}

    def note(module: nn.Module, args: object, output: torch.Tensor) -> None:
        met.append((names[module], module))
        sizes[module] = output.shape

    handles = [module.register_forward_hook(note) for module in names]
    try:
        with torch.no_grad():
            main = rows_of(scene.model(*batch.args, **batch.kwargs), batch.size)
    finally:
        for handle in handles:
            handle.remove()
    for name, module in reversed(met):
        shape = sizes[module]
        same = main is not None and shape == main.shape
        if len(shape) == 4 and shape[2] * shape[3] >= 4 and not same:
            return name or "the model", module
    return "", None


def _features(scene: Scene, rows: list[int], steps: int) -> tuple[Array, Array]:
    """Return the numbers of the features that count most, and their integrated gradients."""
    if scene.kind != "features":
        return np.zeros(0, int), np.zeros((0, 0))
    batch, what = scene.at(rows)
    path = path_of(scene.model, batch, scene.source, what, steps, CLOSE)
    if path is None:
        return np.zeros(0, int), np.zeros((0, 0))
    most = np.argsort(-np.abs(path.integrated).mean(axis=0), kind="stable")[:MOST_FEATURES]
    return most, path.integrated[:, most]


def _pictures(
    subject: Subject, scene: Scene, rows: list[int], whole: Maps, path: Path, known: Shuffling
) -> list[Attributed]:
    scale = _scaled if scene.kind == "picture" else _kept
    values = scene.source.values(scene.batch).detach().cpu()
    made = []
    for place, row in enumerate(rows):
        after, changed = known.shown, known.path
        cam = _scaled(whole.cam[place]) if whole.cam is not None else np.zeros(0)
        new_cam = np.zeros(0)
        if after is not None and after.cam is not None:
            new_cam = _scaled(after.cam[place])
        made.append(
            Attributed(
                example=scene.numbers[row],
                explained=scene.what.names[row],
                truth=scene.what.truths[row] if scene.what.truths else "",
                right=_told(float(scene.what.right[row])),
                score=float(whole.scores[place]),
                shown=shown_input(subject, values[row], scene.kind),
                saliency=scale(whole.saliency[place]),
                integrated=scale(path.integrated[place]),
                cam=cam,
                shuffled_saliency=np.zeros(0) if after is None else scale(after.saliency[place]),
                shuffled_integrated=(
                    np.zeros(0) if changed is None else scale(changed.integrated[place])
                ),
                shuffled_cam=new_cam,
                total=float(path.total[place]),
                attributed=float(path.attributed[place]),
            )
        )
    return made


def _told(right: float) -> bool | None:
    return None if right != right else bool(right)


def _scaled(values: Array) -> Array:
    """Return a map with a largest magnitude of 1, in half precision."""
    peak = float(np.abs(values).max(initial=0.0))
    finite = np.nan_to_num(values / peak if peak > 0 else values, posinf=0.0, neginf=0.0)
    return finite.astype(np.float16)


def _kept(values: Array) -> Array:
    return np.asarray(values).ravel()[: max(MOST_FEATURES, MOST_TOKENS)].astype(np.float64)
