"""What is wrong where values are not finite: in words, with the places and what to do."""

from dataclasses import dataclass

import numpy as np

from auditor.core import probes
from auditor.core.advice import step
from auditor.core.finding import Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.values import Array
from auditor.observations.finite import NAN, POSITIVE, Culprit, NonFinite
from auditor.observations.gradients import GradientNorms

MOST_PLACES = 20
"""Layers, examples and parameters that are told one by one: those after the first pass it on."""


@dataclass(frozen=True)
class Fault:
    """A sentence on what was found, where, and what to do about it, empty where that is said.

    `unread` tells that the loss did not read what is not finite.
    """

    sentence: str
    places: tuple[Place, ...]
    advice: str
    unread: bool = False


def in_values(values: NonFinite, spoilt: int, mode: str) -> list[Fault]:
    """Return what is not finite in a forward pass and the loss; nothing to mend where weights are
    spoilt, which explains whatever comes after them.
    """
    bad = (values.flags & (NAN | POSITIVE)) != 0
    batches = bad.any(axis=1)
    lost = _lost(values)
    if not batches.any() and not lost.any() and not values.examples:
        return []
    total = counted(len(values.input_flags), "batch", "batches")
    where = f"of {total} of the {_split(values)} data in {mode}"
    places: list[Place] = []
    if batches.any():
        columns = np.flatnonzero(bad.any(axis=0))
        first = f"`{clean_text(values.layers[columns[0]])}`"
        kind = _kind(values.flags[:, columns[0]])
        what = "A NaN" if kind == "NaN" else "An infinity"
        layer = clean_text(values.layers[columns[0]])
        given = any(c.place == f"the input of {layer}" for c in values.culprits)
        earlier = clean_text(values.layers[columns[0] - 1]) if columns[0] else ""
        place = f"in what {first} is given" if given else f"in the output of {first}"
        place += f", after `{earlier}` was finite" if given and earlier else ""
        sentence = f"{what} first appears {place}, in {int(batches.sum()):,} {where}."
        for column in columns[:MOST_PLACES]:
            at = " in what it is given," if given and column == columns[0] else ""
            note = f"{_kind(values.flags[:, column])}{at} in {_batches(bad[:, column])}, {mode}"
            places.append(Place("layer", clean_text(values.layers[column]), note))
    else:
        first = "the loss"
        sentence = (
            f"The loss is not finite for {int(lost.sum()):,} {where}, while every layer's output "
            f"is, with {_loss_kind(values.losses)} in place of a number."
        )
    if values.examples:
        sentence += (
            f" The outputs of {counted(len(values.examples), 'example')} are not finite, among "
            f"them number {listed([str(index) for index in values.examples])}."
        )
        places += [
            Place("example", str(index), "its output is not finite")
            for index in values.examples[:MOST_PLACES]
        ]
    broken = batches | lost
    from_inputs = broken & (values.input_flags != 0)
    from_targets = lost & _flags_of(values.target_flags, lost)
    traced = [culprit for culprit in values.culprits if culprit.place != "the gradient"]
    sentence += _traced(traced, values.split)
    places += _examples(traced, places)
    unread = _unread(values, lost)
    if unread:
        sentence += " The losses are finite: it stands where they do not read, such as padding."
    broke = np.flatnonzero(broken)
    loader = "val_loader" if values.split == "val" else "train_loader"
    at_loss = first == "the loss" and len(broke)
    advice = _advice(first, traced, loader, int(broke[0]) if at_loss else -1)
    if from_inputs.any() or from_targets.any():
        what, flags = ("inputs", from_inputs) if from_inputs.any() else ("targets", from_targets)
        whole = "all" if flags.sum() == broken.sum() else f"{int(flags.sum()):,}"
        sentence += f" The {what} of {whole} of these batches held values that are not finite."
        advice = step(
            f"Clean the data first: its {what} hold NaN or infinity before the model has seen "
            "them. Drop or fill them in the loader. This names the batches and has to print none:",
            f"for number, (inputs, targets) in enumerate({loader}):\n"
            f"    if not torch.isfinite({what}).all():\n"
            "        print(number)",
        )
    elif spoilt:
        advice = ""
    return [Fault(sentence, tuple(places), advice, unread)]


def in_gradients(gradients: GradientNorms, training: NonFinite | None, spoilt: int) -> list[Fault]:
    """Return what is not finite in the backward pass."""
    lost = int((~np.isfinite(gradients.losses)).sum())
    bad = np.isinf(gradients.parameter_norms)
    deep = np.isinf(gradients.activation_norms)
    if not lost and not bad.any() and not deep.any():
        return []
    total = counted(len(gradients.losses), "batch", "batches")
    batches: Array = np.asarray(bad.any(axis=1) | deep.any(axis=1))
    if training is not None and len(training.flags) == len(batches):
        forward = ((training.flags & (NAN | POSITIVE)) != 0).any(axis=1) | _lost(training)
        if forward[batches].all() and forward.any():
            return []  # The forward pass, of which is told already, explains it.
    if not batches.any():
        if training is not None and _lost(training).any():
            return []  # Said of the forward pass already.
        sentence = f"The loss is not finite in {lost:,} of {total} in training mode."
        return [Fault(sentence, (), "" if spoilt else _advice("the loss", [], "train_loader", 0))]
    counts = bad.sum(axis=0)
    places = [
        Place(
            "parameter",
            clean_text(gradients.parameters[column]),
            f"gradient not finite in {_batches(bad[:, column])}",
        )
        for column in np.argsort(-counts, kind="stable")[:MOST_PLACES]
        if counts[column]
    ]
    layer, way = _breaks(gradients, deep)
    if layer:
        places.insert(0, Place("layer", layer, "the first on the way back with such a gradient"))
    sentence = f"Gradients are not finite in {int(batches.sum()):,} of {total} in training mode" + (
        f", first {way}." if layer else "."
    )
    traced = [c for c in training.culprits if c.place == "the gradient"] if training else []
    sentence += _traced(traced, training.split if training else "")
    places += _examples(traced, [])
    advice = (
        f"The gradient breaks {way} first, coming from the output. Look there for a root, "
        "norm or logarithm at zero, whose slope is infinite though its value is not; add an "
        "epsilon inside it, as in `torch.sqrt(x + 1e-8)`."
    )
    return [Fault(sentence, tuple(places), "" if spoilt else advice)]


def harmless(values: NonFinite) -> list[str]:
    """Return sentences on what is not finite and no fault."""
    notes = []
    hidden = int((values.flags != 0).any(axis=0).sum())
    if hidden:
        notes.append(
            f"Minus infinity stands in the output of {counted(hidden, 'layer')}, with finite "
            "results: that is how attention hides positions."
        )
    given = int((values.input_flags != 0).sum())
    if given:
        notes.append(
            f"The inputs of {counted(given, 'batch', 'batches')} hold values that are not finite, "
            "which the model takes care of."
        )
    return notes


def broken_batches(
    values: NonFinite | None, gradients: GradientNorms | None
) -> list[tuple[str, int]]:
    """Return in how many batches activations and gradients are not finite, where they were seen."""
    found = []
    if values is not None:
        bad = ((values.flags & (NAN | POSITIVE)) != 0).any(axis=1).sum()
        found.append(("activations", int(bad)))
    if gradients is not None:
        bad = np.isinf(gradients.parameter_norms).any(axis=1).sum()
        found.append(("gradients", int(bad)))
    return found


def _lost(values: NonFinite) -> Array:
    lost = np.zeros(len(values.input_flags), bool)
    lost[: len(values.losses)] = ~np.isfinite(values.losses)
    return lost


def _flags_of(flags: Array, like: Array) -> Array:
    return np.asarray(flags) != 0 if len(flags) == len(like) else np.zeros(len(like), bool)


def _unread(values: NonFinite, lost: Array) -> bool:
    """Tell whether some outputs of some examples, none of all, are bad and the losses finite."""
    read = lost.any() or bool(np.asarray(values.gradient_flags, bool).any())
    known = len(values.losses) == len(values.input_flags) and len(values.target_flags) > 0
    return bool(values.examples) and known and not read and values.whole == 0


def _split(values: NonFinite) -> str:
    return "validation" if values.split == "val" else "training"


def _kind(flags: Array) -> str:
    return "NaN" if (flags & NAN).any() else "+infinity"


def _loss_kind(losses: Array) -> str:
    if np.isnan(losses).any():
        return "NaN"
    return "-infinity" if (losses == -np.inf).any() else "+infinity"


def _batches(flags: Array) -> str:
    return counted(int(flags.sum()), "batch", "batches")


def _breaks(gradients: GradientNorms, deep: Array) -> tuple[str, str]:
    """Return the first layer on the way back whose gradient is not finite, and where it lies."""
    spoilt = {gradients.layers[column] for column in np.flatnonzero(deep.any(axis=0))}
    if not spoilt:
        return "", "at the loss"
    edges = gradients.edges or tuple(zip(gradients.layers[:-1], gradients.layers[1:], strict=True))
    following: dict[str, list[str]] = {}
    for before, layer in edges:
        following.setdefault(before, []).append(layer)
    starts = [
        name
        for name in gradients.layers
        if name in spoilt and not any(layer in spoilt for layer in following.get(name, ()))
    ]
    first = starts[-1] if starts else next(n for n in reversed(gradients.layers) if n in spoilt)
    name = clean_text(first)
    behind = following.get(first, [])
    to = f"`{clean_text(behind[0])}`" if behind else "the loss"
    return name, f"on the way from {to} back to `{name}`"


def _traced(traced: list[Culprit], split: str) -> str:
    """Return sentences on the examples that make it."""
    if not traced:
        return ""
    first = traced[0]
    data = "validation" if split == "val" else "training"
    if not first.alone:
        return f" In batch {first.batch} of the {data} data only several examples together make it."
    sentence = f" Example {first.example} of the {data} data (batch {first.batch}) makes it alone"
    sentence += f": {first.kind} in {_place(first)}"
    sentence += ", and its batch is finite without it" if first.rest else ""
    sentence += f"; {first.input}." if first.input else "."
    more = [str(culprit.example) for culprit in traced[1:] if culprit.alone]
    return sentence + (f" So do examples {', '.join(more)}." if more else "")


def _place(culprit: Culprit) -> str:
    return culprit.place if culprit.place.startswith("the ") else f"`{culprit.place}`"


def _examples(traced: list[Culprit], known: list[Place]) -> list[Place]:
    met = {place.name for place in known if place.kind == "example"}
    return [
        Place("example", str(c.example), f"{c.kind} in {_place(c)}; {c.input}".rstrip("; "))
        for c in traced
        if c.alone and str(c.example) not in met
    ]


def _advice(first: str, traced: list[Culprit], loader: str, batch: int = -1) -> str:
    alone = next((culprit for culprit in traced if culprit.alone), None)
    if alone and alone.place.startswith("the input of "):
        first = f"`forward`, at what makes the input of `{alone.place[len('the input of ') :]}`,"
    what = f"example {alone.example}" if alone else "the first such batch"
    how, code = "with anomaly detection", probes.anomaly(max(batch, 0), loader)
    if batch < 0:
        how, code = "and see which modules break", probes.modules_not_finite(loader)
    return step(
        f"Run {what} {how} and look in {first} for a "
        "division, logarithm, root or exponential without an epsilon or a clamp, or a softmax over "
        "scores that a mask has all made minus infinity.",
        code,
    )
