"""Layers with no activation between them, activations on top of one another or of the wrong kind.

What it does
------------
Follows tensors from each linear layer or convolution to the next, and tells where no activation
stands between the two, where one activation comes on top of another, and where a softmax stands
between hidden layers. Where it finds one, copies are trained as they are and with one ReLU there.

Why it matters
--------------
Two linear layers in a row are one: a deep network without activations can't learn more than a
linear model, and nothing ever raises. A sigmoid behind a ReLU passes a quarter of the gradient at
most, and behind a softmax, whose units share a sum of 1, the next layer is given hardly anything.

How it is measured
------------------
A copy runs a few validation examples in evaluation mode, where batch norm is linear too, and
autograd's graph is gone through backwards from what each layer is given to the layer that it comes
from. What is added, multiplied, matched or made by an unknown function is left alone. So are layers
that are narrower between than on either side, as the factors of a large matrix and the code of an
autoencoder are, and convolutions that go over each channel by itself. Whether the model as a whole
is linear is tried: f((a + b) / 2) = (f(a) + f(b)) / 2 in double precision.

Then fresh copies are trained by Adam, at the better of 2e-3 and 1e-2 and without dropout, as they
are and with one ReLU at each place. The check warns where the mended ones do better on validation
data (by cross-entropy where there are classes) for both seeds, at 99 % over the examples, and where
a quarter of the error goes away, of cross-entropy at least 0.05 nats or, where classes are rare, a
tenth of a constant answer's; it fails where half of it does. It fails, too, where several layers
together are no more than a linear model, though this data may need no more than that. Else what was
found is told as information.

When it misleads
----------------
A linear network, or one convolution after another, may be meant: waive it. A gain in some hundred
steps need not be there at the end of training. Activations that are called as functions are seen,
but where a pooling follows them they can't be exchanged on copies. Layers that run as functions are
not seen.

What to do
----------
Put `nn.ReLU()` or `nn.GELU()` between any two layers, one at each place, and none behind the last.

Source
------
Goodfellow, Bengio, Courville 2016, "Deep Learning", section 6.1 (a network of linear layers is a
linear function of its input) and 6.3 (hidden units: rectifiers are the default; sigmoids are
discouraged); Glorot & Bengio 2010 (sigmoids slow learning down).
"""

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Metric, Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict
from auditor.observations.activation_trial import ActivationTrial, ActivationTrialOver, Doubt
from auditor.observations.mended_copies import GAIN

TRIAL = ActivationTrialOver()

HOW = "one ReLU at each place"
"""What mended copies have."""

MOST = 40
"""Places that are told one by one."""


@check(
    title="One activation stands between any two layers",
    failure_title="Activations are missing between layers, or too many",
    needs=(TRIAL,),
    limits={"gain": GAIN},
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge by what mended copies gain."""
    found = seen[TRIAL]
    if not found.pairs:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "No linear layer or convolution certainly follows another one directly, so there is "
            "no place between two.",
        )
    if not found.doubts:
        return Judgement(
            Verdict.PASS,
            f"Of {counted(found.pairs, 'layer')} it is known which one comes straight before: one "
            "activation stands between the two each time, or they are two factors of one.",
        )
    verdict, metrics = Verdict.INFO, tuple[Metric, ...]()
    if found.copies.tried:
        verdict, metrics, gained = found.copies.gain(f"with {HOW}", limits["gain"])
    else:
        gained = f"Whether it matters could not be tried: {clean_text(found.copies.why)}."
    if found.linear:
        verdict = Verdict.FAIL
    return Judgement(
        verdict,
        f"{_said(found)} {gained}",
        metrics=metrics,
        where=tuple(_place(doubt) for doubt in found.doubts[:MOST]),
        advice=_advice(found) if verdict is not Verdict.INFO else (),
        figures=(found.copies.figure(HOW),) if metrics else (),
    )


def _said(found: ActivationTrial) -> str:
    parts = []
    for kind, words in (
        ("missing", "no activation stands between {} and the next layer"),
        ("stacked", "one activation comes on top of another behind {}"),
        ("softmax", "a softmax stands between {} and the next layer"),
    ):
        names = [f"`{clean_text(d.before, 80)}`" for d in found.doubts if d.kind == kind]
        if names:
            parts.append(words.format(listed(list(dict.fromkeys(names)))))
    text = "; ".join(parts)
    whole = " The model as a whole is a linear function of its inputs." if found.linear else ""
    return f"{text[0].upper()}{text[1:]}.{whole}"


def _place(doubt: Doubt) -> Place:
    before, layer = clean_text(doubt.before, 80), clean_text(doubt.layer, 80)
    if doubt.kind == "missing":
        return Place("layer", before, f"no activation before {layer}")
    between = [clean_text(name, 80) for name in doubt.between]
    if doubt.kind == "softmax":
        return Place("layer", between[-1], f"a softmax between {before} and {layer}")
    return Place("layer", between[-1], f"on top of {between[-2]}")


def _advice(found: ActivationTrial) -> tuple[str, ...]:
    steps = []
    for doubt in found.doubts[:3]:
        before, layer = clean_text(doubt.before, 80), clean_text(doubt.layer, 80)
        if doubt.kind == "missing":
            steps.append(
                step(
                    f"Put `nn.ReLU()` between `{before}` and `{layer}`, in the model's code or by",
                    f"layer = {snippets.layer(doubt.layer)}\n"
                    f"new = torch.nn.Sequential(torch.nn.ReLU(), layer)\n"
                    f"{snippets.replaced(doubt.layer, 'new')}",
                )
            )
        else:
            names = listed([f"`{clean_text(name, 80)}`" for name in doubt.between])
            first, *others = doubt.between
            steps.append(
                step(
                    f"Between `{before}` and `{layer}` keep one activation, `nn.ReLU()`, in the "
                    f"place of {names}, where they are modules:",
                    "\n".join(
                        (
                            snippets.replaced(first, "torch.nn.ReLU()"),
                            *(snippets.replaced(name, "torch.nn.Identity()") for name in others),
                        )
                    ),
                )
            )
    more = len(found.doubts) - len(steps)
    if more > 0:
        steps.append(f"Do the same at the {counted(more, 'other place')}.")
    steps.append("Train the model afresh: its weights have adapted to what stands there now.")
    return tuple(steps)
