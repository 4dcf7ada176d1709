"""A loss of the user's own that pushes scores of classes the wrong way, or not at all."""

from collections.abc import Iterator

from auditor.core.statistics import clopper_pearson
from auditor.core.text import counted, listed, percent
from auditor.observations.class_direction import ClassDirection
from auditor.observations.loss_fit import Cure, Misfit
from auditor.observations.loss_task import CONFIDENCE

ASTRAY = 0.1
"""Share of rows in which the loss may rise with the score of the right class: corrections for
wrong labels, and teachers that are wrong, do that to a few."""

GIVEN_UP = 1e-3
"""Slope at a sure and wrong answer, of that at an undecided one, below which it is given up. That
of cross-entropy is larger there, that of a hinge as large."""


def astray(found: ClassDirection, loss: str, softmax: bool) -> Iterator[Misfit]:
    """Yield what is wrong with the direction; `softmax` tells that the loss takes one itself."""
    cure = Cure("as they are", "cross_entropy")
    least, _ = clopper_pearson(found.against, found.rows, CONFIDENCE)
    if found.unseen:
        names = listed([str(label) for label in found.unseen])
        yield Misfit(
            "unseen classes",
            True,
            f"`{loss}` does not look at the scores of class {names}, though targets hold it: "
            "what the model says of it teaches nothing.",
            "Use `cross_entropy`, which weighs the score of each class against all others; a "
            "squared error of the class's number makes classes that follow each other alike.",
            "loss",
            f"does not look at class {names}",
            cure,
        )
    elif least > ASTRAY:
        yield Misfit(
            "against the target",
            True,
            f"In {found.against:,} of {counted(found.rows, 'row')} "
            f"({percent(found.against / found.rows)} %) `{loss}` rises with the score of the "
            "row's own class more than with others, so it teaches something else than the targets "
            "say.",
            "Look at how outputs and targets are brought together in the loss: `.view` or "
            "`.reshape` where the dimension of the classes has to be moved mixes places and "
            "classes (use `.permute` or `.transpose` first); other causes are a wrong sign and "
            "targets of other examples.",
            "loss",
            "sets outputs against the wrong targets",
            cure,
        )
    elif softmax and found.when_sure < GIVEN_UP:
        yield Misfit(
            "gives up",
            False,
            f"Where the model is sure and wrong `{loss}` has {found.when_sure:.1g} times the slope "
            "that it has where the model is undecided: what is wrong for sure is given up. That "
            "holds against wrong labels (Zhang & Sabuncu 2018), and learns slowly or not at all "
            "where there are many classes.",
            "Use `cross_entropy` on the logits, unless many labels are wrong.",
            "loss",
            "gives up on answers that are sure and wrong",
            cure,
        )
