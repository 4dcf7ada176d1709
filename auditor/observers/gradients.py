"""Sees gradient norms of parameters and activations."""

import math
from typing import Any

import numpy as np
import torch

from auditor.core.request import Unavailable
from auditor.intake.batches import tensors_in
from auditor.intake.norms import norm, norms
from auditor.intake.subject import Subject
from auditor.observations.gradients import GradientNorms, GradientNormsOver
from auditor.observers.graph import LayerGraph, layer_graph
from auditor.observers.observer import Observer, Place, Step


class GradientNormsObserver(Observer):
    """Keeps one norm a batch for each parameter and each leaf of the model."""

    def __init__(self, request: GradientNormsOver, subject: Subject) -> None:
        assert subject.model is not None
        self._split = request.split
        self._parameters = {
            name: parameter
            for name, parameter in subject.model.named_parameters()
            if parameter.requires_grad
        }
        self._order: dict[int, int] = {}
        self._used: set[int] = set()
        self._places: dict[str, Place] = {}
        self._met: set[str] = set()
        self._norms: dict[str, torch.Tensor] = {}
        self._activation_rows: list[dict[str, torch.Tensor]] = []
        self._parameter_rows: list[torch.Tensor] = []
        self._losses: list[torch.Tensor] = []
        self._sizes: list[int] = []
        self._marks: dict[Any, int] = {}
        self._weighted: set[int] = set()
        self._graph: LayerGraph | None = None
        self._tiny = 0.0

    def leaving(self, place: Place, output: Any) -> None:
        """Note in which order layers run and parameters come into use."""
        if place.leaf and not self._sizes:
            self._mark(place, output)
        if place.module is None or place.name in self._met:
            return
        self._met.add(place.name)
        # With what lies below: not every module that holds a parameter is itself called.
        for parameter in place.module.parameters():
            self._order.setdefault(id(parameter), place.index)
        if place.leaf and type(place.module).__module__.startswith("torch.nn."):
            self._used |= {id(parameter) for parameter in place.module.parameters()}

    def _mark(self, place: Place, output: Any) -> None:
        """Note where in autograd's graph a layer's output stands; a first pass shows it all."""
        tensor = next((t for t in tensors_in(output) if t.requires_grad and not t.is_leaf), None)
        if tensor is not None:
            self._marks.setdefault(tensor.grad_fn, place.index)
            self._tiny = max(self._tiny, torch.finfo(tensor.dtype).smallest_normal)
        if place.module is not None and any(p.ndim >= 2 for p in place.module.parameters()):
            self._weighted.add(place.index)

    def gradient(self, place: Place, gradient: torch.Tensor) -> None:
        """Add up the norms of the gradients at the outputs of a leaf, at right angles."""
        if not place.leaf:
            return
        self._places[place.name] = place
        found = norm(gradient)
        before = self._norms.get(place.name)
        self._norms[place.name] = found if before is None else torch.hypot(before, found)

    def step(self, step: Step) -> None:
        """Close the books on a batch."""
        gradients = [step.gradients.get(name) for name in self._parameters]
        found = _flagged(norms([g for g in gradients if g is not None]))
        row = found.new_full((len(gradients),), math.nan)
        row[[index for index, g in enumerate(gradients) if g is not None]] = found
        self._parameter_rows.append(row)
        self._activation_rows.append(self._norms)
        self._norms = {}
        if step.loss is not None:
            self._losses.append(step.loss.detach())
            if self._marks and step.loss.grad_fn is not None:
                self._graph = layer_graph(step.loss.grad_fn, self._marks, frozenset(self._weighted))
        self._marks = {}
        self._sizes.append(step.batch.size)

    def result(self) -> GradientNorms | Unavailable:
        """Return the norms of all batches, parameters and places in the order of execution."""
        if not self._parameters:
            return Unavailable("the model has no trainable parameters")
        if not self._parameter_rows:
            return Unavailable("no batch could be gone through in training mode")
        last = max(self._order.values(), default=0) + 1
        names = sorted(
            self._parameters, key=lambda name: self._order.get(id(self._parameters[name]), last)
        )
        place_of = {name: index for index, name in enumerate(self._parameters)}
        columns = [place_of[name] for name in names]
        parameters = [self._parameters[name] for name in names]
        places = sorted(self._places.values(), key=lambda place: place.index)
        named = {place.index: place.name for place in places}
        graph = self._graph or LayerGraph({}, frozenset())
        return GradientNorms(
            parameters=tuple(names),
            dimensions=tuple(parameter.ndim for parameter in parameters),
            weight_norms=norms(parameters).cpu().double().numpy(),
            parameter_norms=torch.stack([row.cpu() for row in self._parameter_rows]).numpy()[
                :, columns
            ],
            layers=tuple(place.name for place in places),
            kinds=tuple(place.kind for place in places),
            activation_norms=self._activation_norms([place.name for place in places]),
            losses=torch.stack(self._losses).cpu().double().numpy(),
            split=self._split,
            used=tuple(id(parameter) in self._used for parameter in parameters),
            homes=tuple(named.get(self._order.get(id(p), -1), "") for p in parameters),
            weighted=tuple(place.index in self._weighted for place in places),
            depths=self._depths(places),
            edges=tuple(
                sorted(
                    {
                        (named[earlier], named[later])
                        for earlier, later in graph.edges
                        if earlier in named and later in named
                    }
                )
            ),
            tiny=self._tiny,
        )

    def _depths(self, places: list[Place]) -> tuple[int, ...]:
        """Return the depth of each layer; one that the graph lacks is as deep as the one before."""
        if self._graph is None:
            return ()
        depths, last = [], 0
        for place in places:
            last = self._graph.depths.get(place.index, last)
            depths.append(last)
        return tuple(depths)

    def _activation_norms(self, layers: list[str]) -> np.ndarray[Any, Any]:
        table = np.full((len(self._activation_rows), len(layers)), np.nan)
        flat = [found for row in self._activation_rows for found in row.values()]
        values = iter(torch.stack(flat).cpu().double().tolist() if flat else ())
        column = {layer: place for place, layer in enumerate(layers)}
        for row, found_here in enumerate(self._activation_rows):
            for layer in found_here:
                found = next(values)
                per_example = found * math.sqrt(self._sizes[row])
                table[row, column[layer]] = math.inf if math.isnan(found) else per_example
        return table


def _flagged(found: torch.Tensor) -> torch.Tensor:
    """Return norms, infinite where they are NaN: NaN means that there was no gradient."""
    return torch.where(found.isnan(), math.inf, found)
