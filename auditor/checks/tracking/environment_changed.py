"""An environment that is not the one of the training, or of the last audit.

What it does
------------
Sets what this audit runs with (Python, PyTorch, CUDA, libraries, device, settings of precision)
against what the checkpoint and the files beside it record of the training, and against the last
audit where one is named.

Why it matters
--------------
Another release brings other defaults and kernels: the same weights then answer differently, and a
score that moved looks like a fault of the model. Who knows that the ground has moved looks there
first.

How it is measured
------------------
Versions are compared by their parts; what stands behind a plus (`+cpu`, `+cu121`) names a build of
the same version, and a part that is not recorded is not compared. Another major or minor version of
PyTorch, or another major one of Python, is a warning, with the changes of defaults that are known.
Everything else that differs is told and no more. Nothing fails: a change of environment is a
reason to look, not a fault.

When it misleads
----------------
Files beside the checkpoint may pin the environment of another run, or of the service that uses the
model. That CUDA is recorded tells the build of PyTorch, and not surely the device.

What to do
----------
Score the checkpoint in the environment of the training too. Where the scores agree, pin the new
environment; where they do not, train anew in it.

Source
------
PyTorch documentation, "Reproducibility": results are not guaranteed to be the same across releases,
commits or platforms; "CUDA semantics" on TF32; release notes of PyTorch, torchvision and NumPy.
"""

from collections.abc import Mapping

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Table
from auditor.core.finding import Judgement, Metric, Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict
from auditor.observations.earlier import EarlierOf
from auditor.observations.environment import EnvironmentEvidenceOf, EnvironmentNow, Evidence
from auditor.observations.environment_change import (
    SHOWN,
    Change,
    changes,
    trained_with,
    version_of,
)

NOW = EnvironmentNow()
EVIDENCE = EnvironmentEvidenceOf()
LAST = EarlierOf("last")

LONGEST = 80
"""Characters shown of one value."""


@check(
    title="The environment is the one that was recorded",
    failure_title="The environment is not the one that was recorded",
    needs=(NOW, EVIDENCE),
    wants=(LAST,),
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge how far this environment is from those of the training and of the last audit."""
    now = seen[NOW].facts
    trained = trained_with(seen[EVIDENCE].found)
    earlier = seen.get(LAST)
    audited: dict[str, Evidence] = {}
    if earlier is not None:
        audited = {k: Evidence(k, v, earlier.source) for k, v in earlier.environment.items()}
    since_training, in_training = changes(trained, now, "training")
    since_audit, in_audit = changes(audited, now, "the last audit")
    compared = len(in_training) + len(in_audit)
    if not compared:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "There is nothing to compare with: no version is recorded of the training, and no "
            "earlier audit is named (`--baseline last`).",
        )
    found = [*since_training, *since_audit]
    grave = [change for change in found if _grave(change)]
    verdict = Verdict.WARN if grave else Verdict.INFO if found else Verdict.PASS
    said = [_sentence(change) for change in grave]
    told = list(dict.fromkeys(note for change in found for note in change.known))
    if grave and told:
        said.append(f"Known to have changed in between: {'; '.join(told)}.")
    elif grave:
        said.append("No default that changes results is known to differ between them; kernels do.")
    rest = [change for change in found if change not in grave]
    if rest:
        said.append(f"{'Also' if grave else 'What'} differs: {_pairs(rest)}.")
        if told and not grave:
            said.append(f"Known to have changed in between: {'; '.join(told)}.")
    if not found:
        said.append(_same(trained, in_training, in_audit))
    if "torch" not in {*in_training, *in_audit}:
        verdict = Verdict.INFO if verdict is Verdict.PASS else verdict
        said.append("Which PyTorch the model was trained with is not recorded.")
    return Judgement(
        verdict,
        " ".join(said),
        metrics=(
            Metric("facts compared", compared),
            Metric("facts that differ", len(found)),
        ),
        where=tuple(_place(change) for change in [*grave, *rest]),
        advice=_advice(grave),
        figures=(_table(trained, audited, now, found),),
    )


def _grave(change: Change) -> bool:
    parts = {"torch": ("major", "minor"), "python": ("major",)}
    return change.distance in parts.get(change.item, ())


def _sentence(change: Change) -> str:
    when = "for the training" if change.since == "training" else "at the last audit"
    return (
        f"{change.name} is {clean_text(change.now, LONGEST)} and was "
        f"{clean_text(change.was, LONGEST)} {when} ({clean_text(change.where, LONGEST)}): another "
        f"{change.distance} version."
    )


def _pairs(found: list[Change]) -> str:
    return listed([f"{c.name} ({c.was} in {c.since}, {c.now} now)" for c in found], 4)


def _same(trained: Mapping[str, Evidence], in_training: list[str], in_audit: list[str]) -> str:
    kinds = [
        *([f"of the training ({counted(len(in_training), 'fact')})"] if in_training else []),
        *([f"of the last audit ({counted(len(in_audit), 'fact')})"] if in_audit else []),
    ]
    names = [f"{SHOWN[i]} {trained[i].value}" for i in ("torch", "python") if i in in_training]
    among = f", {listed(names)} among it" if names else ""
    return f"All that is recorded {' and '.join(kinds)} is as it was{among}."


def _place(change: Change) -> Place:
    was, now = clean_text(change.was, LONGEST), clean_text(change.now, LONGEST)
    return Place(
        "setting", change.item, f"{was} in {change.since} ({clean_text(change.where)}), {now} now"
    )


def _advice(grave: list[Change]) -> tuple[str, ...]:
    if not grave:
        return ()
    first = next((change for change in grave if change.item == "torch"), grave[0])
    known = version_of(first.was)
    when = "the training" if first.since == "training" else "the last audit"
    score = f"Score the checkpoint in an environment with the version of {when}"
    return (
        step(f"{score}, and compare:", f'pip install "torch=={known}"', language="text")
        if first.item == "torch"
        else f"{score} ({first.name} {known}), and compare.",
        "Where the scores agree the version does not matter: pin the new one beside the "
        "checkpoint. Where they do not, keep the old one until the model is trained anew.",
    )


def _table(
    trained: Mapping[str, Evidence],
    audited: Mapping[str, Evidence],
    now: Mapping[str, str],
    found: list[Change],
) -> Table:
    """Return every item that is known of the training or of the last audit, changes first."""
    changed = list(dict.fromkeys(change.item for change in found))
    rest = [item for item in SHOWN if item in {*trained, *audited} and item not in changed]

    def value(facts: Mapping[str, Evidence], item: str) -> str:
        return clean_text(facts[item].value, LONGEST) if item in facts else "not recorded"

    return Table(
        title="Environments",
        caption="What is recorded of the training, what the last audit ran with, and what this one "
        "runs with; first what differs.",
        columns=("item", "trained with", "last audit", "now"),
        rows=tuple(
            (
                SHOWN[item],
                value(trained, item),
                value(audited, item) if audited else "none named",
                clean_text(now[item], LONGEST) if item in now else "none",
            )
            for item in [*changed, *rest]
        ),
    )
