"""What is wrong with how batch norm is set and used: one rule a function."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.finding import Limit
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict, worst
from auditor.observations.batch_norm import BatchNormStatistics
from auditor.observations.norm_layers import NormLayer, NormLayers, NormSequence
from auditor.observations.norm_trial import Gain, NormTrial, limit_on
from auditor.observations.settings import Settings

SMALL = 8
"""Examples of a batch up to which its size is held against batch norm: Wu & He 2018, figure 1, see
the error of a ResNet-50 rise from 23.6 % at 32 to 24.8 % at 8, 27.3 % at 4 and 34.7 % at 2."""

TINY = 4
"""Examples up to which it is held against the model where it does harm; half of that always is."""

LEFT = 0.05
"""Share of what statistics were built with that may be left in them."""

OFF = 0.05
"""Nats in the mean over channels up to which statistics are sound."""

BLOWN = 10.0
"""Deviations, by what a layer remembers, of what it is given, from which on a channel is blown up:
sound ones show 1."""


@dataclass(frozen=True)
class Known:
    """All that the rules look at; what is not known is None.

    `harm` is what computing the statistics anew gains, `mismatch` what the statistics of the batch
    gain over those, with dropout off in both; each with the verdict on it.
    """

    norms: NormLayers
    statistics: BatchNormStatistics | None
    sequence: NormSequence | None
    trial: NormTrial | None
    settings: Settings
    harm: tuple[Verdict, Gain | None]
    mismatch: tuple[Verdict, Gain | None]
    noise: tuple[Verdict, Gain | None]

    def held_against(self, layers: list[NormLayer]) -> Verdict:
        """Return the verdict on a setting of some layers that spoils statistics.

        It is that of the harm measured, where one of them is off by itself: where what it
        remembers is not what it is given behind sound layers.
        """
        verdict, gain = self.harm
        if self.trial is None or gain is None or verdict is Verdict.PASS:
            return Verdict.INFO
        off = {
            one.layer
            for one in self.trial.given
            if not float(np.nan_to_num(one.divergence, nan=np.inf).mean()) <= OFF
        }
        return verdict if any(one.layer in off for one in layers) else Verdict.INFO


@dataclass(frozen=True)
class Fault:
    """A fault with its verdict: the layers, what is said of each, what is said in all, and advice.

    `said` is a sentence.
    """

    verdict: Verdict
    layers: tuple[tuple[str, str], ...]
    said: str
    advice: tuple[str, ...] = ()


Rule = Callable[[Known], Iterator[Fault]]


def judged_gain(
    gains: tuple[Gain, ...], limits: Mapping[str, Limit]
) -> tuple[Verdict, Gain | None]:
    """Return the worst verdict on gains by several measures, with the one that gives it."""
    verdicts = [(gain.verdict(limit_on(gain, limits)), gain) for gain in gains]
    if not verdicts:
        return Verdict.PASS, None
    whole = worst(verdict for verdict, _ in verdicts)
    return next((pair for pair in verdicts if pair[0] is whole), verdicts[0])


def impossible(known: Known) -> Iterator[Fault]:
    """Find negative variances and statistics that are not finite, where nothing else does."""
    layers = [one for one in known.norms.layers if one.impossible]
    layers.sort(key=lambda one: -one.impossible)
    if layers and known.statistics is None:
        first = clean_text(layers[0].layer)
        yield Fault(
            Verdict.FAIL,
            _named(layers, lambda one: f"{one.impossible:,} impossible statistics"),
            f"{_these(layers)} negative variances or statistics that are not finite.",
            (
                step(
                    f"Compute the running statistics of `{first}` anew, and look for NaN in a "
                    "batch:",
                    snippets.STATISTICS_ANEW,
                ),
            ),
        )


def near_zero(known: Known) -> Iterator[Fault]:
    """Find channels whose remembered variance is next to nothing, and what that does."""
    _, gain = known.harm
    if known.statistics is None:
        bare = [one for one in known.norms.layers if one.running and one.constant]
        if bare:
            whole = [one for one in bare if one.constant >= max(1, one.channels) / 2]
            yield Fault(
                Verdict.WARN if whole else Verdict.INFO,
                _named(bare, lambda one: f"{one.constant:,} of {one.channels:,} channels"),
                f"{_these(bare)} channels whose running variance is below eps, so that they are "
                "blown up or say nothing.",
                ("Audit with data: it tells whether these channels carry anything.",),
            )
        return
    blown, swamped, still = [], [], 0
    for layer in known.statistics.layers:
        with np.errstate(invalid="ignore", over="ignore"):
            size = np.sqrt(np.maximum(layer.about, 0) / layer.remembered)
        running = np.asarray(layer.running_var, float)
        tiny = (running >= 0) & (running < max(layer.eps, 1e-12) * 10)
        count = int(((size > BLOWN) & tiny).sum())
        if count:
            note = f"{count:,} of {size.size:,} channels, up to {np.nanmax(size):.2g} deviations"
            blown.append((count / size.size, layer.layer, note))
        variance = np.maximum(layer.variance, 0)
        still += int(((variance < layer.eps) & (layer.running_var < layer.eps)).sum())
        alive = variance > layer.eps * 1e-6
        middle = float(np.median(variance[alive])) if alive.mean() > 0.5 else math.inf
        if middle < layer.eps and not layer.within:
            left = math.sqrt(middle / (middle + layer.eps))
            note = f"variance {middle:.2g}, eps {layer.eps:.2g}: deviation {left:.2g} left of 1"
            swamped.append((layer.layer, note))
    if blown:
        blown.sort(reverse=True)
        severe = blown[0][0] >= 0.5
        names = {name for _, name, _ in blown}
        bad = known.held_against([one for one in known.norms.layers if one.layer in names])
        verdict = worst((Verdict.WARN if severe else Verdict.INFO, bad))
        name = clean_text(blown[0][1])
        said = (
            f" Computed anew, they bring a copy from {gain.shown}."
            if gain is not None and bad is not Verdict.INFO
            else ""
        )
        yield Fault(
            verdict,
            tuple((name, note) for _, name, note in blown),
            f"{counted(len(blown), 'layer')} remember{'s' if len(blown) == 1 else ''} a variance "
            f"of next to nothing for channels that do vary, first of all `{name}` "
            f"({blown[0][2]}): it divides by almost nothing.{said}",
            (
                step(
                    f"Compute the running statistics of `{name}` anew, and save:",
                    snippets.STATISTICS_ANEW,
                ),
                f"Look for training batches in which `{name}` was given zeros or constants, and "
                "for code that writes into or averages `running_var`.",
            ),
        )
    if swamped:
        name, note = swamped[0]
        yield Fault(
            Verdict.WARN,
            tuple(swamped),
            f"`{clean_text(name)}` is given values so small that eps outweighs their variance "
            f"({note}), so that it no longer normalises.",
            (
                f"Bring what goes into `{clean_text(name)}` to the order of 1 (scale the inputs, "
                "or initialise the layer before it), or lower its `eps`.",
            ),
        )
    if still:
        yield Fault(
            Verdict.INFO,
            (),
            f"{counted(still, 'channel')} vary by less than eps, in what is remembered and in the "
            "data: they are switched off, and batch norm passes on their shift alone.",
        )


def never_updated(known: Known) -> Iterator[Fault]:
    """Find statistics that are as they were built although the model was trained."""
    layers = [one for one in known.norms.layers if one.running and one.untouched]
    layers = [one for one in layers if not one.updates > 0]
    if not layers:
        return
    steps = known.settings.updates
    trained = steps is not None and steps > 0
    others = any(one.updates > 0 for one in known.norms.layers)
    made = f", although {steps:,.0f} updates were made" if trained else ""
    made = made or (", although other layers were updated" if others else "")
    measured = known.harm[1] is not None
    verdict = known.held_against(layers)
    if not measured and (trained or others):
        verdict = Verdict.WARN
    ran = {one.layer for one in known.sequence.norms} if known.sequence else set()
    unused = [one for one in layers if known.sequence is not None and one.layer not in ran]
    if len(unused) == len(layers):
        verdict = Verdict.INFO
        made = ": they never ran on the batch looked at either"
    yield Fault(
        verdict,
        _named(layers, lambda one: "never updated: mean 0, variance 1"),
        f"{_these(layers)} running statistics that were never updated{made}.",
        (
            f"Make sure that `{clean_text(layers[0].layer)}` is in training mode while training "
            "(`model.train()` after each evaluation) and that its buffers are saved and loaded "
            "(`strict=False` and lists of `parameters()` leave them out).",
            step("Compute them now, and save:", snippets.STATISTICS_ANEW),
        ),
    )


def seldom_updated(known: Known) -> Iterator[Fault]:
    """Find layers that counted far fewer batches than there were updates."""
    counts = [one for one in known.norms.layers if one.updates > 0 and one.running]
    steps = known.settings.updates
    most = max((one.updates for one in counts), default=0.0)
    expected = max(most, steps or 0.0)
    few = [one for one in counts if one.updates < expected / 2]
    if few:
        few.sort(key=lambda one: one.updates)
        against = f"{steps:,.0f} updates" if steps and steps >= most else f"{most:,.0f} of another"
        yield Fault(
            known.held_against(few),
            _named(few, lambda one: f"counted {one.updates:,.0f} batches"),
            f"{_these(few)} a count of batches far below the {against}, down to "
            f"{few[0].updates:,.0f}: frozen or bypassed for most of the training.",
            (
                step(
                    "If that is not on purpose, look for `.eval()` on the layer or on the model "
                    "inside the training loop, then compute the statistics anew:",
                    snippets.STATISTICS_ANEW,
                ),
            ),
        )


def momentum_off(known: Known) -> Iterator[Fault]:
    """Find momenta by which statistics never move, still start, or hold a batch or two."""
    layers = [one for one in known.norms.layers if one.running and one.momentum is not None]
    layers = [one for one in layers if one.momentum == one.momentum]
    size = known.settings.batch_size
    fixed = [one for one in layers if one.momentum == 0]
    measured = known.harm[1] is not None
    few = size is not None and size <= SMALL
    keras = step(
        "PyTorch's `momentum` is the share of the new batch: 0.1 is Keras's 0.9, 0.01 its 0.99. "
        "Set 0.1, or 0.01 for batches of a few examples, and train or compute the statistics anew:",
        snippets.momentum(0.01 if few else 0.1),
    )
    if fixed:
        yield Fault(
            known.held_against(fixed) if measured else Verdict.WARN,
            _named(fixed, lambda one: "momentum 0"),
            f"{_these(fixed)} a momentum of 0, so that training never moves the running "
            "statistics.",
            (keras,),
        )
    slow = [
        one
        for one in layers
        if 0 < (one.momentum or 0) < 1 and one.updates > 0
        if (1 - (one.momentum or 0)) ** one.updates > LEFT
    ]
    slow.sort(key=lambda one: -((1 - (one.momentum or 0)) ** one.updates))
    if slow:
        first = slow[0]
        left = (1 - (first.momentum or 0)) ** first.updates
        yield Fault(
            known.held_against(slow) if measured else Verdict.INFO,
            _named(slow, lambda one: f"momentum {one.momentum:g}, {one.updates:,.0f} batches"),
            f"`{clean_text(first.layer)}` has a momentum of {first.momentum:g} and counted "
            f"{first.updates:,.0f} batches, so that {left:.0%} of its statistics are still the 0 "
            "and 1 that they were built with.",
            (keras,),
        )
    fast = [one for one in layers if (one.momentum or 0) >= 0.5]
    fast.sort(key=lambda one: -(one.momentum or 0))
    if fast:
        first = max(fast, key=lambda one: one.momentum or 0)
        share = min(1.0, first.momentum or 0)
        held = (2 - share) / share
        of = f" of {counted(size, 'example')}" if size else ""
        yield Fault(
            known.held_against(fast),
            _named(fast, lambda one: f"momentum {one.momentum:g}"),
            f"`{clean_text(first.layer)}` has a momentum of {first.momentum:g}: its statistics are "
            f"those of about {held:.2g} batch{'' if held == 1 else 'es'}{of}.",
            (keras,),
        )


def batch_too_small(known: Known) -> Iterator[Fault]:
    """Find batches on which a mean and a variance say little."""
    settings, trial, order = known.settings, known.trial, known.sequence
    size = settings.batch_size
    if order is None or not order.norms or not size or size > SMALL:
        return
    examples = max(order.examples, 1)
    values = [(size * one.values / examples, one.layer) for one in order.norms]
    least, name = min(values)
    places = tuple((layer, f"{_values(count)} per channel") for count, layer in sorted(values))
    source = settings.source("batch_size")
    said = (
        f"Batches of {counted(size, 'example')} (by {source or 'what is known'}) leave batch norm "
        f"{_values(least)} per channel at `{clean_text(name)}`"
    )
    advice = (
        f"Give batch norm 16 examples or more at a time instead of {size}. Accumulating gradients "
        "does not help; `nn.SyncBatchNorm` over several devices does.",
        step(
            "Where memory forbids it, replace each by group norm, which does not look at the "
            "batch, and train anew:",
            snippets.GROUP_NORM,
        ),
    )
    if least <= 1:
        yield Fault(
            Verdict.WARN, places, f"{said}, on which training mode raises.", advice
        )  # fmt: skip
        return
    verdict, gain = Verdict.INFO, None
    for found, measured in (known.noise, known.mismatch):
        if size <= TINY and measured is not None and found in (Verdict.WARN, Verdict.FAIL):
            verdict, gain = found, measured
            break
    if least <= 2:
        said += ", each of which it turns into plus or minus one"
    if size <= TINY / 2:
        verdict = worst((verdict, Verdict.WARN))
    if gain is not None and trial is not None:
        said += f". With the statistics of the batch instead of all a copy goes from {gain.shown}"
    yield Fault(verdict, places, f"{said}.", advice)


def modes(known: Known) -> Iterator[Fault]:
    """Find layers that do not follow the model from one mode to the other."""
    awake = [one for one in known.norms.layers if one.awake]
    if awake:
        yield Fault(
            Verdict.WARN,
            _named(awake, lambda one: "in training mode after `model.eval()`"),
            f"{_these(awake, verb='stay')} in training mode when the model is put in evaluation "
            "mode: each prediction depends on its batch, and statistics go on changing.",
            ("Look for a `train` method of your own that leaves them out of `model.eval()`.",),
        )
    batch = [one for one in known.norms.layers if not one.running and one.kind[:5] == "Batch"]
    if batch:
        yield Fault(
            Verdict.INFO,
            (),
            f"{_these(batch, verb='keep')} no running statistics, so that each prediction depends "
            "on the batch that it is made in.",
        )
    frozen = [one for one in known.norms.layers if one.frozen and one.running]
    if frozen:
        yield Fault(
            known.held_against(frozen),
            _named(frozen, lambda one: "stays in evaluation mode"),
            f"{_these(frozen, verb='stay')} in evaluation mode when the model is trained, as in "
            "fine-tuning with frozen statistics.",
            (
                step(
                    "Frozen statistics have to fit the new data: compute them anew once before "
                    "training, or let them train.",
                    snippets.STATISTICS_ANEW,
                ),
            ),
        )


def two_sources(known: Known) -> Iterator[Fault]:
    """Find layers that can't have one set of statistics: several inputs, or each example's own."""
    verdict, gain = known.mismatch
    quiet = verdict is Verdict.PASS or gain is None
    proof = "" if gain is None or quiet else (
        f" With the statistics of the batch a copy goes from {gain.shown}, which no running "
        "statistics reach."
    )  # fmt: skip
    shared = [one for one in known.sequence.norms if one.calls > 1] if known.sequence else []
    if shared:
        first = clean_text(shared[0].layer)
        yield Fault(
            Verdict.INFO if quiet else verdict,
            tuple((one.layer, f"runs {one.calls} times a pass") for one in shared),
            f"{counted(len(shared), 'layer')} normalise{'s' if len(shared) == 1 else ''} several "
            f"inputs by one set of statistics, first `{first}`, {shared[0].calls} a pass.{proof}",
            (
                f"Give each of the inputs of `{first}` a batch norm of its own; the weights before "
                "it may stay tied.",
            ),
        )
    instance = [one for one in known.norms.layers if one.running and "InstanceNorm" in one.kind]
    if instance:
        yield Fault(
            Verdict.INFO if quiet else verdict,
            _named(instance, lambda one: "keeps running statistics"),
            f"{_these(instance)} instance norm that keeps running statistics: in training each "
            f"example is normalised by its own, in evaluation by those of all.{proof}",
            ("Build it with `track_running_stats=False`: it then does the same in both modes.",),
        )
    if not quiet and gain is not None and not shared and not instance:
        yield Fault(
            Verdict.INFO,
            (),
            f"With the statistics of each batch a copy goes from {gain.shown}: validation data is "
            "not distributed as what statistics were computed from.",
        )


def useless(known: Known) -> Iterator[Fault]:
    """Find biases that batch norm takes away again, and scales of zero."""
    biased = [one.biased for one in known.sequence.norms if one.biased] if known.sequence else []
    if biased:
        yield Fault(
            Verdict.INFO,
            (),
            f"The bias of {counted(len(biased), 'layer')} is taken away again by the batch norm "
            f"right behind ({listed(biased)}): `bias=False` saves it.",
        )
    zeros = [one for one in known.norms.layers if one.scales and one.zeros == one.channels > 0]
    if zeros:
        yield Fault(
            Verdict.INFO,
            (),
            f"{_these(zeros)} all scales at 0, so that nothing passes: fine for a residual branch "
            "that has yet to be trained.",
        )


RULES: tuple[Rule, ...] = (
    impossible,
    near_zero,
    batch_too_small,
    never_updated,
    momentum_off,
    modes,
    two_sources,
    seldom_updated,
    useless,
)


def _values(count: float) -> str:
    return counted(max(1, round(count)), "value")


def _named(
    layers: list[NormLayer], note: Callable[[NormLayer], str]
) -> tuple[tuple[str, str], ...]:
    return tuple((one.layer, note(one)) for one in layers)


def _these(layers: list[NormLayer], verb: str = "has") -> str:
    """Return "`bn1` has", "3 layers (a, b, c) have"."""
    if len(layers) == 1:
        return f"`{clean_text(layers[0].layer)}` {verb if verb == 'has' else verb + 's'}"
    plural = "have" if verb == "has" else verb
    return f"{len(layers):,} layers ({listed([one.layer for one in layers], 3)}) {plural}"
