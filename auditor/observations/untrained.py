"""What weights at their start tell: that all of a model, or a part of it, was never trained."""

import math
from collections.abc import Mapping, Sequence

from auditor.core import snippets
from auditor.core.advice import step as step_of_advice
from auditor.core.finding import Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict
from auditor.observations.at_start import ERROR, Start, least_move
from auditor.observations.initial_weights import InitialTensor, InitialWeights
from auditor.observations.performance import Performance
from auditor.observations.said import Said
from auditor.observations.step_changes import StepChange, StepChanges
from auditor.observations.targets import no_better_than_constant

SAVE = step_of_advice(
    "Save after training, from the very model that the optimizer holds, and see that a step moves "
    "its weights:",
    "weight = next(p for p in model.parameters() if p.requires_grad)\n"
    'assert any(weight is p for group in optimizer.param_groups for p in group["params"])\n'
    "before = weight.detach().clone()\n"
    "loss_fn(model(inputs), targets).backward()\n"
    "optimizer.step()\n"
    "assert not torch.equal(before, weight)",
)

FARTHER = "; the optimizer goes farther"
"""What tells that the steps of the optimizer went elsewhere: there and back like a random walk, n
of them of length s still come to about s √n."""


def said_of_weights(
    start: Start,
    fresh: InitialWeights,
    step: StepChanges | None,
    seen: Performance | None = None,
    counts: Mapping[str, int] | None = None,
) -> list[Said]:
    """Return what the weights tell: never trained, partly never trained, batch norm untouched.

    `counts` are the steps that optimizers have counted, by parameter.
    """
    if start.untrained:
        return [_never(start, fresh, step, counts or {})]
    if start.looks_untrained and seen is not None and no_better_than_constant(seen):
        return [_as_if_never(start)]
    if not start.moved and start.given:
        return [
            Said(
                Verdict.WARN,
                f"The weights are bit for bit those that the factory hands out under "
                f"{counted(len(fresh.seeds), 'different seed')}: either they were never trained, "
                "or the factory loads the trained ones.",
                tuple(Place("parameter", clean_text(t.name), "as built") for t in start.given),
                "Let `model.factory` build the model without loading weights, so that fresh and "
                "trained ones can be told apart; if it does, the checkpoint holds no training.",
            )
        ]
    found = []
    reached = {c.name: c for c in step.parameters} if step is not None else {}
    still = [t for t in start.proven if _would_move(reached.get(t.name))] if start.moved else []
    if still:
        drawn = [t for t in still if not t.fixed and t.dimensions > 1]
        names = [f"`{clean_text(t.name)}`" for t in still]
        text = (
            f"{len(still):,} of {counted(start.total, 'trainable parameter')} {_are(still)} still "
            f"at the start, while others have moved: {listed(names, 4)}."
        )
        if step is not None:
            text += " A step on a copy moves " + ("it." if len(still) == 1 else "them.")
        found.append(
            Said(
                Verdict.FAIL if drawn and step is not None else Verdict.WARN,
                text,
                tuple(Place("parameter", clean_text(t.name), proof_of_start(t)) for t in still),
                step_of_advice(
                    f"See that the optimizer of the training script holds {names[0]} and was made "
                    "after the last change to the model, that nothing resets the layer after "
                    "training, and that it was not frozen; if it was, freeze it in the factory "
                    "too. If it does get its steps, they are too small to show: "
                    "`update-ratio-off` tells.",
                    'held = {id(p) for group in optimizer.param_groups for p in group["params"]}\n'
                    f"p = {snippets.parameter(still[0].name)}\n"
                    "assert id(p) in held and p.requires_grad",
                ),
            )
        )
    if fresh.untouched and start.moved:
        names = [clean_text(name) for name in fresh.untouched]
        found.append(
            Said(
                Verdict.WARN,
                f"{len(names):,} of {counted(fresh.batch_norms, 'batch-norm layer')} never "
                f"counted a batch in training mode: {listed(names, 4)}.",
                tuple(Place("layer", name, "num_batches_tracked is 0") for name in names),
                "Call `model.train()` before training, and save buffers together with the "
                "weights (`state_dict()` does; `parameters()` does not).",
            )
        )
    if start.given:
        names = [clean_text(t.name) for t in start.given]
        found.append(Said(Verdict.INFO, f"As the factory hands them out: {listed(names, 3)}."))
    return found


def _would_move(change: StepChange | None) -> bool:
    """Tell whether a step moves a parameter, or nothing is known; what gets no gradient can't."""
    return change is None or change.gradient == "finite"


def _are(what: Sequence[object]) -> str:
    return "is" if len(what) == 1 else "are"


def proof_of_start(tensor: InitialTensor) -> str:
    """Return what shows that a parameter is at its start."""
    if tensor.same and not tensor.fixed:
        return f"bit for bit that of a fresh model under seed {tensor.seed}"
    if tensor.constant:
        return f"exactly {tensor.value:g} everywhere, as built"
    return "spread over the interval of fresh ones to its very ends"


def _shows(tensor: InitialTensor, start: Start) -> float:
    """Return how far the values of a parameter at its start must have moved for that to show."""
    exact = tensor.same or tensor.constant
    return 0.0 if exact else least_move(tensor, ERROR / max(1, start.total))


def _as_if_never(start: Start) -> Said:
    """Say that all weights look like fresh ones, too few to prove it, and so does what they do."""
    first = max(start.alike, key=lambda tensor: tensor.size)
    least = _shows(first, start)
    return Said(
        Verdict.WARN,
        f"No trainable parameter can be told from a fresh one: `{clean_text(first.name)}`, for "
        f"one, is {proof_of_start(first)} (had its values moved by {least:.1g}, that would show). "
        "Nor is the model better than a constant answer. So the checkpoint was never or hardly "
        "trained, or not the trained weights were saved.",
        tuple(Place("parameter", clean_text(t.name), proof_of_start(t)) for t in start.alike),
        SAVE,
    )


def _never(
    start: Start, fresh: InitialWeights, step: StepChanges | None, counts: Mapping[str, int]
) -> Said:
    seeds = [t.seed for t in start.proven if t.seed is not None]
    how = ""
    if seeds:
        how = f": they are bit for bit those of a fresh model under seed {seeds[0]}"
    elif start.proven:
        first = start.proven[0]
        how = f": `{clean_text(first.name)}`, for one, is {proof_of_start(first)}"
        if first.uniform and not first.constant:
            how += f" (had its values moved by {_shows(first, start):.1g}, that would show)"
    both = (*start.proven, *start.alike)
    lengths = {c.name: c.length for c in step.parameters} if step is not None else {}
    farther = [
        t
        for t in start.proven
        if lengths.get(t.name, 0.0) * math.sqrt(counts.get(t.name, 1)) > _shows(t, start)
    ]
    if farther and farther[0] == start.proven[0]:
        name = farther[0].name
        made = f", and it counts {counts[name]:,}" if counts.get(name, 1) > 1 else ""
        how += f"; a step of the optimizer moves its values by {lengths[name]:.2g}{made}"
    sure = bool(seeds or farther) or any(t.constant for t in both)
    never = "never trained" if sure else "never or hardly trained"
    reached = {c.name: c for c in step.parameters} if step is not None else {}
    stuck = not any(_would_move(reached.get(t.name)) for t in both)
    why = (
        "No gradient reaches what shows it, so that training could not move it"
        if stuck
        else f"The checkpoint was {never}, or not the trained weights were saved"
    )
    text = f"No trainable parameter shows a trace of training{how}. {why}."
    if fresh.untouched:
        text += f" Nor did {counted(len(fresh.untouched), 'batch-norm layer')} count a batch."
    return Said(
        Verdict.FAIL,
        text,
        tuple(
            Place("parameter", clean_text(t.name), proof_of_start(t) + FARTHER * (t in farther))
            for t in both
        ),
        "Find what keeps the gradient away: `disconnected-parameters` and `dead-units` tell. "
        "Then train anew."
        if stuck
        else SAVE,
    )
