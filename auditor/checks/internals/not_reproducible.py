"""Answers that hang on chance, state, batch or padding; dropout left on; spectral norms never run.

What it does
------------
Asks a private copy the same thing again: the same batch twice, examples by themselves, the batch in
another order, sequences with less padding, and training mode with dropout off. Where an answer
differs beyond rounding, it names the first module whose output does though its input does not.

Why it matters
--------------
A score can't be reproduced, nor a complaint looked into, if the answer depends on chance, on what
was asked before, or on what else is in the batch. Dropout that stays on in evaluation costs
accuracy in every prediction, and no loss curve shows it.

How it is measured
------------------
The same batch runs three times in evaluation mode, with random numbers that go on from run to run.
Answers that are not equal bit for bit are looked into: copies with the same random numbers tell
whether it is chance (equal), state kept from call to call, or the order of a sum. The other
comparisons start from the same random numbers and, where the model allows it, run in double
precision, in which rounding stays below a billionth of the largest output and a real difference
does not; in single precision a ten-thousandth is allowed. It fails on dropout in evaluation mode,
on state that changes answers, and on answers that depend on the batch. It warns of other random
numbers, which may be meant; of answers that depend on padding where the loader pads batches to
different lengths; and of a training mode that answers otherwise for a reason that is not noise,
batch statistics or a last activation. Weights that a layer computes for itself, as a spectral norm
does, are measured before and after three passes in training mode, in which nothing is learnt.

When it misleads
----------------
Models that sample on purpose (a variational autoencoder, Monte Carlo dropout) are told: waive it.
Nondeterministic kernels that happened to agree are not seen, and count as rounding where they do
not. What is wrong with one input in a million is not found with a handful.

What to do
----------
Call `model.eval()`, give `self.training` to every functional dropout, sample in training only, and
mask what is padding.

Source
------
Karpathy 2019, "A Recipe for Training Neural Networks"; PyTorch documentation, "Reproducibility" and
`torch.nn.functional.dropout` (`training=True` by default).
"""

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict, worst
from auditor.observations.culprit import Difference
from auditor.observations.reproducibility import Reproducibility, ReproducibilityOver, Unsettled

ANSWERS = ReproducibilityOver()

Said = tuple[Verdict, str, tuple[Place, ...], tuple[str, ...]]
"""What one comparison comes to: a verdict, a sentence, the places, the advice."""


@check(
    title="The same input gets the same answer",
    failure_title="The same input gets different answers",
    needs=(ANSWERS,),
    limits={
        "difference": Limit(
            fail=0.0,
            source="share of the largest output, beyond rounding: in evaluation mode an answer is "
            "to be a function of the example alone",
        ),
        "unsettled": Limit(
            warn=1.5,
            fail=3.0,
            source="times the size that training mode gives a weight: a power iteration that took "
            "one step from random vectors is within 1.4 of a random square matrix's norm (moments "
            "of Marchenko & Pastur 1967); one that took none may be off without bound",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge each comparison by itself; the worst decides."""
    answers = seen[ANSWERS]
    limit = limits["difference"]
    found = [
        _repeated(answers, limit),
        _company(answers, limit),
        _padding(answers),
        _training(answers),
        _unsettled(answers, limits["unsettled"]),
    ]
    verdict = worst(said[0] for said in found)
    ranked = sorted(found, key=lambda said: said[0] not in (Verdict.FAIL, Verdict.WARN))
    loud = [said for said in ranked if said[0] in (Verdict.FAIL, Verdict.WARN)]
    return Judgement(
        verdict,
        " ".join(said[1] for said in ranked if said[1]),
        metrics=tuple(_metrics(answers, limit)),
        where=tuple(dict.fromkeys(place for said in loud for place in said[2])),
        advice=tuple(step for said in loud for step in said[3]),
        figures=(_table(answers),),
    )


def _repeated(answers: Reproducibility, limit: Limit) -> Said:
    """Judge the same batch again."""
    again = answers.repeated
    examples = counted(answers.examples, "example")
    if answers.identical:
        return Verdict.PASS, f"The same {examples} three times over: equal bit for bit.", (), ()
    size = _size(again)
    verdict = limit.verdict(again.change)
    first = f", first in {again.culprit.shown}" if again.culprit else ""
    if answers.cause == "kernel":
        return (
            Verdict.PASS,
            f"The same {examples} again: equal but for {size}{first}; that is the order in which "
            "sums are taken, which differs from run to run on this device.",
            (),
            (),
        )
    places = tuple(
        culprit.place(f"draws {listed(list(culprit.functions), 3)} in evaluation mode")
        for culprit in answers.drawing
    ) or ((again.culprit.place("the first that answers differently"),) if again.culprit else ())
    if answers.cause == "dropout":
        return (
            verdict,
            f"Dropout is on in evaluation mode: the same {examples} again differ by {size}{first}.",
            places,
            (*_dropout_advice(answers), _measure_anew()),
        )
    if answers.cause == "state":
        kept = (
            f" A pass changes {listed(list(answers.kept))}."
            if answers.kept
            else " Nothing was seen to change: it may be a random generator of its own."
        )
        return (
            verdict,
            f"What was asked before changes the answer: the same {examples} again differ by "
            f"{size}{first}, though the random numbers were the same.{kept}",
            (
                *(
                    (again.culprit.place("answers otherwise at its next call"),)
                    if again.culprit
                    else ()
                ),
                *(
                    Place("parameter", clean_text(name), "changes in evaluation mode")
                    for name in answers.kept
                    if again.culprit and name.startswith(f"{again.culprit.layer}.")
                ),
            ),
            (
                f"Let {_owner(answers)} write to what it keeps in training only: `if "
                "self.training:` around the update of a running mean, counter or cache.",
                "Reset a recurrent state or cache at the start of `forward`, or take it as an "
                "argument.",
            ),
        )
    return (
        Verdict.WARN if verdict is Verdict.FAIL else verdict,
        f"The model draws random numbers in evaluation mode: the same {examples} again differ by "
        f"{size}{first}.",
        places,
        (
            f"If that is not meant, draw only in training: `if self.training:` in "
            f"{_owner(answers)}; in evaluation use the mean (of a variational autoencoder `mu`).",
            step(
                "If it is meant (sampling, Monte Carlo dropout), average over many passes, report "
                "the spread beside the score, fix a seed, and waive this check with that reason.",
                "audit:\n  waive:\n    - {check: not-reproducible, reason: samples on purpose}",
                language="yaml",
            ),
        ),
    )


def _company(answers: Reproducibility, limit: Limit) -> Said:
    """Judge examples alone and in another order."""
    verdict = Verdict.PASS
    sentences: list[str] = []
    places: list[Place] = []
    advice: list[str] = []
    named = (("A batch of one", answers.alone), ("The batch in another order", answers.reordered))
    for name, difference in named:
        if not difference.found:
            continue
        verdict = worst((verdict, limit.verdict(difference.change)))
        first = f", first in {difference.culprit.shown}" if difference.culprit else ""
        sentences.append(
            f"{name} gets answers that differ by {_size(difference)} from those in a batch of "
            f"{answers.examples}{first}."
        )
        if difference.kind == "unsettled":
            verdict = Verdict.WARN
            sentences.append(
                "Nothing tells whether the first dimension counts examples: if it is time, as "
                "`batch_first=False` has it, all is well."
            )
        if difference.culprit and not places:
            places.append(difference.culprit.place("its answer depends on the rest of the batch"))
    if sentences:
        where = f"`{places[0].name}`" if places else "the first module that does"
        advice.append(
            f"Find what {where} takes from the batch as a whole: statistics of it (batch norm "
            "without running statistics), a maximum or sum over dimension 0, a `squeeze()` that "
            "loses the dimension of a batch of one, a `view` with the wrong sizes."
        )
        return verdict, " ".join(sentences), tuple(places), tuple(advice)
    compared = [d for d in (answers.alone, answers.reordered) if not d.missing]
    if not compared:
        said = f"Answers alone and together were not compared: {answers.alone.missing}."
        return Verdict.NOT_APPLICABLE, said, (), ()
    said = f"Alone or in another order they get the same up to rounding ({answers.precision})."
    if answers.alone.missing:
        said = f"Examples could not be run alone: {answers.alone.missing}."
    if answers.shape:
        said += f" A batch of one comes out in another shape, {clean_text(answers.shape)}."
    return Verdict.PASS, said, (), ()


def _padding(answers: Reproducibility) -> Said:
    """Judge less padding: a fault where the loader pads batches to different lengths."""
    padded = answers.padded
    if padded.missing:
        return Verdict.NOT_APPLICABLE, "", (), ()
    if not padded.found:
        return Verdict.PASS, "Padding makes no difference.", (), ()
    first = f", first in {padded.culprit.shown}" if padded.culprit else ""
    said = f"Padding changes answers: without it the shortest one differs by {_size(padded)}{first}"
    if answers.widths < 2:
        return (
            Verdict.PASS,
            f"{said}; all batches are padded to one length, so it must be kept wherever the model "
            "is used.",
            (),
            (),
        )
    where = f"`{clean_text(padded.culprit.layer)}`" if padded.culprit else "the layer that reads it"
    return (
        Verdict.WARN,
        f"{said}; batches are padded to {answers.widths} different lengths, so an answer depends "
        "on the longest example beside it.",
        (padded.culprit.place("reads the padding"),) if padded.culprit else (),
        (
            f"Keep the padding from {where}: `pack_padded_sequence` before a recurrent layer, "
            "`src_key_padding_mask` for attention, a mask in every mean or maximum over time, the "
            "state at the last real step in place of the last one.",
        ),
    )


def _training(answers: Reproducibility) -> Said:
    """Judge training mode: noise, batch statistics and a last activation explain a difference."""
    training = answers.training
    off = [
        counted(count, name)
        for count, name in ((answers.dropouts, "dropout layer"), (answers.norms, "batch norm"))
        if count
    ]
    apart = f", {' and '.join(off)} apart," if off else ""
    if training.missing:
        said = f"Training mode was not compared: {training.missing}."
        return Verdict.INFO, said, (), ()
    if not training.found:
        return Verdict.PASS, f"Training mode{apart} answers as evaluation mode does.", (), ()
    first = f", first in {training.culprit.shown}" if training.culprit else ""
    if training.kind:
        why = {
            "noise": "by random numbers, as noise and stochastic depth do",
            "statistics": "by statistics of the batch that it keeps, as batch norm does",
            "activation": "by a last activation that training leaves to the loss",
        }[training.kind]
        return Verdict.PASS, f"Training mode{apart} differs {why}{first}.", (), ()
    return (
        Verdict.WARN,
        f"Training mode{apart} answers otherwise: by {_size(training)}{first}, which neither noise "
        "nor batch statistics nor a last activation explains, so that what is trained is not what "
        "is evaluated.",
        (training.culprit.place("differs between training and evaluation mode"),)
        if training.culprit
        else (),
        (
            f"Look for `self.training` in {_name(training)}, and make sure that both branches "
            "compute the same function, or waive this with the reason why not.",
        ),
    )


def _unsettled(answers: Reproducibility, limit: Limit) -> Said:
    """Judge weights that are of another size once the model was in training mode."""
    off = [(_off(one), one) for one in answers.unsettled]
    off = [(times, one) for times, one in off if limit.verdict(times) is not Verdict.PASS]
    if not off:
        return Verdict.PASS, "", (), ()
    places = tuple(
        Place(
            "layer",
            clean_text(one.layer),
            f"its {clean_text(one.weight)} is {times:.3g} times too "
            f"{'large' if one.times > 1 else 'small'} until a pass in training mode",
        )
        for times, one in off
    )
    worst_of_all = max(off, key=lambda pair: pair[0])[0]
    names = listed([f"`{place.name}`" for place in places], 3)
    return (
        limit.verdict(worst_of_all),
        f"A few passes in training mode, without a step, change the weights that {names} "
        f"compute{'s' if len(places) == 1 else ''}, by up to {worst_of_all:.3g} times: a spectral "
        "norm divides by what its power iteration has found, and this one has not run, or ran on "
        "other weights.",
        places,
        (
            step(
                "Run a few batches through the model in training mode before it is saved or used:",
                "model.train()\n"
                "with torch.no_grad():\n"
                "    for inputs, _ in train_loader:\n"
                "        model(inputs)\n"
                "model.eval()\n"
                'torch.save(model.state_dict(), "mended.pt")',
            ),
            "Save and load the vectors of the power iteration with the weights (`weight_u` and "
            "`weight_v`, of parametrisations `_u` and `_v`): look for `strict=False`, for averages "
            "of weights that leave buffers out, and for weights that were copied by name.",
            "Prefer `torch.nn.utils.parametrizations.spectral_norm`, which begins with 15 steps.",
        ),
    )


def _off(one: Unsettled) -> float:
    return max(one.times, 1 / one.times)


def _dropout_advice(answers: Reproducibility) -> tuple[str, ...]:
    functional = [
        culprit for culprit in answers.drawing if culprit.inner or "Dropout" not in culprit.kind
    ]
    if functional:
        names = listed([f"`{culprit.layer}`" for culprit in functional], 3)
        return (
            f"In {names}, write `F.dropout(x, p, training=self.training)`: the default is "
            "`training=True`, whatever the mode. Or use `nn.Dropout(p)`.",
        )
    names = listed([f"`{culprit.layer}`" for culprit in answers.drawing], 3) or "the layer named"
    return (
        step(
            f"{names} stays in training mode after `model.eval()`: look for `.train()` in "
            "`forward` or `__init__`, an overridden `train()`, and modules kept in a plain list. "
            "This has to print nothing:",
            "model.eval()\n"
            "for name, module in model.named_modules():\n"
            "    if module.training:\n"
            "        print(name)",
        ),
    )


def _measure_anew() -> str:
    return "Measure the model anew: its scores so far are those of a network with units missing."


def _owner(answers: Reproducibility) -> str:
    return _name(answers.repeated)


def _name(difference: Difference) -> str:
    return f"`{clean_text(difference.culprit.layer)}`" if difference.culprit else "the model"


def _size(difference: Difference) -> str:
    if difference.change == float("inf"):
        return "their shape, or by values that are not finite"
    return f"{difference.change:.2g} of the largest output"


def _rows(answers: Reproducibility) -> list[tuple[str, Difference]]:
    return [
        ("the same batch again", answers.repeated),
        ("a batch of one", answers.alone),
        ("another order", answers.reordered),
        ("less padding", answers.padded),
        ("training mode, dropout off", answers.training),
    ]


def _metrics(answers: Reproducibility, limit: Limit) -> list[Metric]:
    return [
        Metric(
            f"difference: {name}",
            difference.change if difference.found else 0.0,
            "of the largest output",
            limit=limit if number < 3 else None,
        )
        for number, (name, difference) in enumerate(_rows(answers))
        if not difference.missing
    ]


def _table(answers: Reproducibility) -> Table:
    return Table(
        title="The same examples, asked again",
        caption="Largest difference from the first answer, as a share of the largest output, and "
        "the first module that answers otherwise.",
        columns=("asked", "difference", "rounding", "seen", "first in"),
        rows=tuple(
            (
                name,
                None if difference.missing else difference.change,
                difference.tolerance,
                clean_text(difference.missing) or difference.seen,
                clean_text(difference.culprit.layer) if difference.culprit else "",
            )
            for name, difference in _rows(answers)
        ),
    )
