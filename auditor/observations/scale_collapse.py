"""Where the outputs become alike whatever the model is given."""

import numpy as np

from auditor.core.check import Limits
from auditor.core.layer import MODEL
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.core.verdict import Verdict, worst
from auditor.observations.activation_scale import ActivationScale
from auditor.observations.scale_faults import Fault
from auditor.observations.scale_sizes import differing_of

RESOLVED = {"float64": 1e-12, "float32": 1e-5, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Deviation between examples, relative to the root mean square, that counts as none: the spacing of
the half formats (IEEE 754), and a hundred times that of the others, which sums round to."""

VARIED = 1e-3
"""Deviation between the examples' inputs, relative to their size, that a layer ought to pass on."""


def collapsed_layers(scale: ActivationScale, limits: Limits) -> list[Fault]:
    """Return the first layer that answers alike whatever it is given, where there is one."""
    out, given = differing_of(scale.of("across")), differing_of(scale.of("given_across"))
    floor = np.asarray([RESOLVED.get(kind.precision, 1e-5) for kind in scale.layers])
    # What a normalisation takes next may lie far from zero, as it takes the mean away again, and so
    # may what the model puts out, if the targets do.
    flat = np.asarray([kind.leaf for kind in scale.layers]) & [
        out[place] <= floor[place]
        or (
            not (kind.normalised or kind.whole)
            and limits["variation"].verdict(out[place]) is not Verdict.PASS
        )
        for place, kind in enumerate(scale.layers)
    ]
    flat &= ~np.isnan(out)
    guilty = np.flatnonzero(flat & (given > np.maximum(VARIED, 10 * np.maximum(out, floor))))
    inputs = float(np.nan_to_num(np.sqrt(scale.inputs_across)).max(initial=0))
    blind = inputs > VARIED and any(
        kind.layer == MODEL and out[place] <= floor[place]
        for place, kind in enumerate(scale.layers)
    )
    judged = [place for place in guilty if blind or not scale.layers[place].empty]
    if blind and not judged:
        judged = [place for place in np.flatnonzero(out <= floor) if scale.layers[place].leaf]
    if not judged:
        return []
    first = judged[0]
    name, total = clean_text(scale.layers[first].layer), len(scale.layers)
    what = (
        f"`{name}` puts out nearly the same for every example though its inputs differ: relative "
        f"to their size its outputs deviate by {out[first]:.1g}, its inputs by {given[first]:.2g}."
        if first in guilty
        else f"From `{name}` on outputs are the same for every example, though the model's inputs "
        f"differ{_before(scale, out, int(first))}."
    )
    if blind:
        what += " So does the whole model."
    dead = "All its weights are zero." if scale.layers[first].empty else ""
    return [
        Fault(
            name,
            Verdict.FAIL
            if blind
            else worst((Verdict.WARN, limits["variation"].verdict(out[first]))),
            f"between examples {out[first]:.1g} of its size",
            " ".join(part for part in (what, dead) if part),
            (
                f"Look at `{name}`, layer {first + 1:,} of {total:,}: weights at or near zero, "
                "biases that outweigh them by far, or an activation in its flat part make an "
                "output that ignores the input. `dead-units` and `saturated-units` tell which.",
                *(
                    (
                        f"Initialise `{name}` anew, for instance by "
                        "`torch.nn.init.kaiming_normal_`, with its bias at zero, and train it "
                        "with a smaller weight decay.",
                    )
                    if scale.layers[first].weighted
                    else ()
                ),
            ),
        )
    ]


def _before(scale: ActivationScale, out: Array, first: int) -> str:
    """Return by how much the output of the layer before still differs, where it is known."""
    earlier = [p for p in range(first) if scale.layers[p].leaf and np.isfinite(out[p])]
    if not earlier:
        return ""
    name = clean_text(scale.layers[earlier[-1]].layer)
    return f" and those of `{name}` before it still do, by {out[earlier[-1]]:.2g} of their size"
