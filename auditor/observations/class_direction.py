"""Which way a loss of the user's own pushes the scores of classes."""

from dataclasses import dataclass

from auditor.core.values import Number


@dataclass(frozen=True)
class ClassDirection:
    """Slopes of a loss by the scores of classes, where all scores are alike.

    In `against` of `rows` the score of the row's own class raises the loss more than the scores of
    all classes do on average. `unseen` are classes that stand in the targets and whose scores the
    loss does not look at. `when_sure` is the largest slope where a wrong class leads in each row by
    far, over that where none leads.
    """

    against: int
    rows: int
    unseen: tuple[int, ...]
    when_sure: Number


def together(found: list[ClassDirection | None]) -> ClassDirection | None:
    """Return what several batches showed; None unless all showed something."""
    known = [one for one in found if one is not None]
    if not known or len(known) < len(found):
        return None
    unseen = set.intersection(*({*one.unseen} for one in known))
    return ClassDirection(
        against=sum(one.against for one in known),
        rows=sum(one.rows for one in known),
        unseen=tuple(sorted(unseen)),
        when_sure=max(float(one.when_sure) for one in known),
    )
