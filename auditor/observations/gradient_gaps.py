"""Weights that are without a gradient: which ones, why, and what to do about each kind."""

from dataclasses import dataclass

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.finding import Place
from auditor.core.text import clean_text, counted, listed
from auditor.observations.gradients import GradientNorms

WORST_FADE = 1e-5
"""The fade that must still be told from zero, for a gradient of exactly zero to mean anything."""

FADED = 1e6
"""How many times the smallest number of its precision a gradient is that has all but gone."""

MOST_PLACES = 40


@dataclass(frozen=True)
class Gaps:
    """Names of weights by what they lack.

    `dead` have a gradient of exactly zero on every batch, `severed` get none though their module
    ran, `unused` get none otherwise. `waiting` are dead only until weights behind them that are
    zero, and do have a gradient, have moved. `doubtful` are zero in a precision that could not
    show a small gradient. `stops` are layers that get a gradient and hand none on; `rootless`
    tells whether a severed weight runs before every one that learns, `faded` whether the gradient
    had dwindled to the smallest numbers of its precision before it was zero.
    """

    dead: tuple[str, ...]
    severed: tuple[str, ...]
    unused: tuple[str, ...]
    waiting: tuple[str, ...]
    doubtful: tuple[str, ...]
    stops: tuple[str, ...]
    rootless: bool
    faded: bool = False

    def sentences(self) -> list[str]:
        """Return a sentence for each kind."""
        at = listed([f"`{stop}`" for stop in self.stops], 3)
        how = "fades away before it gets past" if self.faded else "stops at"
        place = f", as the gradient {how} {at}" if self.stops else ""
        kinds = (
            (self.dead, f"a gradient of exactly zero in all batches{place}"),
            (self.severed, "no gradient at all, though used in the forward pass"),
            (self.unused, "no gradient at all"),
            (self.waiting, f"no gradient until weights that are all zero have moved{place}"),
            (
                self.doubtful,
                "a gradient too small for the precision of this model to tell it from 0",
            ),
        )
        return [
            f"{counted(len(names), 'weight')} {'gets' if len(names) == 1 else 'get'} {what}: "
            f"{listed(list(names), 3)}."
            for names, what in kinds
            if names
        ]

    def first_places(self) -> tuple[Place, ...]:
        """Return the places of what is dead or cut off."""
        stops = (Place("layer", s, "the gradient gets no further") for s in self.stops if self.dead)
        dead = (Place("parameter", n, "gradient exactly zero") for n in self.dead[:MOST_PLACES])
        cut = (
            Place("parameter", n, "ran, but gets no gradient at all")
            for n in self.severed[:MOST_PLACES]
        )
        return (*stops, *dead, *cut)

    def last_places(self) -> tuple[Place, ...]:
        """Return the places of what is not used."""
        return tuple(
            Place("parameter", name, "no gradient at all") for name in self.unused[:MOST_PLACES]
        )

    def first_advice(self) -> list[str]:
        """Return what to do about what is dead or cut off."""
        lines = []
        idle = next((name for name in self.dead if "weight_hh" in name), None)
        if idle and not self.stops:
            lines.append(
                f"`{idle}` only works from the second step on: look whether the loss reads its "
                "layer where it has just begun. Of a bidirectional layer that is `output[:, -1]` "
                "for the reverse direction; take the final states `h_n` of both instead."
            )
        elif self.dead and not self.faded:
            lines.append(
                look_at(f"`{self.stops[0]}`" if self.stops else f"what uses `{self.dead[0]}`")
            )
        if self.severed:
            lines.append(
                step(
                    f"Look in `forward` at what follows `{self.severed[0]}`: `detach()`, "
                    "`torch.no_grad()`, `.data` or `argmax` cuts it off from the loss. If that is "
                    "on purpose, freeze it:",
                    snippets.frozen(self.severed),
                )
            )
        return lines

    def last_advice(self) -> list[str]:
        """Return what to do about what is not used, waits, or can't be told."""
        lines = []
        if self.unused:
            lines.append(
                step(
                    f"Use `{self.unused[0]}` in `forward`, or remove it or freeze it: it is saved "
                    "and counted but never trained.",
                    snippets.frozen(self.unused),
                )
            )
        if self.doubtful:
            lines.append("Audit a copy in float32, `model.float()`: this precision hides it.")
        return lines


def look_at(place: str) -> str:
    """Return where to look for what stops a gradient."""
    return (
        f"Look at {place}: dead rectifiers, `detach()`, `.data`, `argmax` or rounding let no "
        "gradient through."
    )


def gaps_of(norms: GradientNorms, columns: list[int]) -> Gaps:
    """Return which of the parameters in `columns` are without a gradient."""
    names = [clean_text(norms.parameters[column]) for column in columns]
    table = np.asarray(norms.parameter_norms, float)[:, columns]
    absent = np.isnan(table).all(axis=0)
    zero = ~absent & (np.nan_to_num(table) == 0).all(axis=0)
    live = ~(absent | zero)
    ran = np.asarray(norms.used, bool)[columns] if norms.used else np.zeros(len(names), bool)
    dead, severed, unused = (
        tuple(names[place] for place in np.flatnonzero(kind))
        for kind in (zero, absent & ran, absent & ~ran)
    )
    stops = stops_of(norms)
    faint, waits = too_faint(norms), _zeros_block(norms, stops)
    return Gaps(
        dead=() if faint or waits else dead,
        severed=severed,
        unused=unused,
        waiting=dead if waits else (),
        doubtful=dead if faint and not waits else (),
        stops=tuple(clean_text(stop) for stop in stops),
        faded=_faded(norms, stops),
        rootless=bool(severed and live.any() and np.argmax(absent & ran) < np.argmax(live)),
    )


def too_faint(norms: GradientNorms) -> bool:
    """Tell whether a gradient could be zero for want of precision alone."""
    table = np.asarray(norms.parameter_norms, float)
    return bool(np.nanmax(table, initial=0.0) * WORST_FADE < norms.tiny)


def _faded(norms: GradientNorms, stops: list[str]) -> bool:
    """Tell whether all stops get a gradient that is all but lost already."""
    found = np.nan_to_num(np.asarray(norms.activation_norms, float)).max(axis=0, initial=0.0)
    last = [found[norms.layers.index(stop)] for stop in stops]
    return bool(last) and max(last) < norms.tiny * FADED


def stops_of(norms: GradientNorms) -> list[str]:
    """Return the layers that get a gradient while one straight before them never does."""
    found = np.nan_to_num(np.asarray(norms.activation_norms, float))
    reached = dict(zip(norms.layers, (found != 0).any(axis=0), strict=True))
    edges = norms.edges or tuple(zip(norms.layers[:-1], norms.layers[1:], strict=True))
    following: dict[str, list[str]] = {}
    for before, layer in edges:
        if before in reached and layer in reached and not reached[before]:
            following.setdefault(before, []).append(layer)
    stops = {layer for layers in following.values() for layer in layers if reached[layer]}
    return [layer for layer in norms.layers if layer in stops]


def _zeros_block(norms: GradientNorms, stops: list[str]) -> bool:
    """Tell whether each stop is a layer of weights all zero that do have a gradient themselves."""
    moving = (np.nan_to_num(np.asarray(norms.parameter_norms, float)) > 0).any(axis=0)
    zeros = {
        home
        for name, home, size, moves in zip(
            norms.parameters, norms.homes, norms.weight_norms, moving, strict=False
        )
        if size == 0 and moves and not name.endswith("bias")
    }
    return bool(stops) and zeros.issuperset(stops)
