"""A training environment that nobody could rebuild.

What it does
------------
Looks for the versions that the model was trained with (Python, PyTorch, other libraries, the
platform and CUDA), in the checkpoint where there is one, and in the files beside it.

Why it matters
--------------
The same code with another PyTorch gives another model, and sometimes a model that loads and is
wrong. Without the versions a result can neither be repeated nor a difference explained.

How it is measured
------------------
By reading what is there; where there is no place to look, as for a model that is given without its
file, nothing is judged. A version counts as recorded where an exact one is given; a range such as
`>=2.0` does not. The check warns where PyTorch's version is not recorded, and never fails.

When it misleads
----------------
The versions may stand in an experiment tracker or a container image that the audit does not see.
Files beside the checkpoint may belong to another run.

What to do
----------
Write the versions into the checkpoint itself when it is saved: that is the one place which never
gets lost.

Source
------
Pineau et al. 2021, "Improving Reproducibility in Machine Learning Research" (JMLR 22), the
checklist's item on dependencies; PyTorch documentation, "Reproducibility": results are not
guaranteed to be the same across releases or platforms.
"""

import re

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Table
from auditor.core.finding import Judgement, Metric, Place
from auditor.core.text import clean_text, listed
from auditor.core.verdict import Verdict
from auditor.observations.environment import EnvironmentEvidenceOf, Evidence

EVIDENCE = EnvironmentEvidenceOf()

WANTED = {
    "Python": ("python",),
    "PyTorch": ("torch", "pytorch"),
    "other libraries": ("numpy", "torchvision", "transformers", "lightning", "scikit-learn"),
    "platform or CUDA": ("platform", "cuda", "cudnn", "gpu"),
}
"""What should be recorded, and the items that tell it."""

RANGE = re.compile(r"^\s*(>|<|~|\^|!=|\*|$)|\*|,")
"""Text of a requirement that leaves the version open, or of no version at all."""

RECIPE = (
    step(
        "Save the versions with the weights, in the training script:",
        "import platform\n"
        "import numpy\n\n"
        "environment = {\n"
        '    "python": platform.python_version(),\n'
        '    "torch": str(torch.__version__),\n'
        '    "numpy": numpy.__version__,\n'
        '    "cuda": torch.version.cuda,\n'
        '    "platform": platform.platform(),\n'
        "}\n"
        'torch.save({"model": model.state_dict(), "environment": environment}, path)',
    ),
    step(
        "Keep every other version beside the checkpoint:",
        "pip freeze > requirements.lock",
        language="text",
    ),
)


@check(
    title="The training environment is recorded",
    failure_title="The training environment is not recorded",
    needs=(EVIDENCE,),
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether the versions of Python and PyTorch are recorded."""
    evidence = seen[EVIDENCE]
    if not evidence.looked_at:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "There was no place to look for versions: neither a checkpoint nor files beside it.",
        )
    told = {
        name: [fact for fact in evidence.found if fact.item.strip().lower() in items]
        for name, items in WANTED.items()
    }
    exact = {name: [fact for fact in facts if _exact(fact)] for name, facts in told.items()}
    missing = [name for name, facts in exact.items() if not facts]
    open_ended = [fact for facts in told.values() for fact in facts if not _exact(fact)]
    places = listed(list(evidence.looked_at), 2)
    essential = [
        f"{name} {clean_text(exact[name][0].value)}"
        for name in ("Python", "PyTorch")
        if exact[name]
    ]
    recorded = f"{' and '.join(essential)} {'is' if len(essential) == 1 else 'are'} recorded"
    if not exact["PyTorch"]:
        verdict = Verdict.WARN
        summary = f"PyTorch's version is not recorded in any place that was searched ({places})."
    elif not exact["Python"]:
        verdict = Verdict.INFO
        summary = f"{recorded}, but Python's version is not ({places} searched)."
    else:
        verdict = Verdict.PASS
        summary = f"{recorded} ({listed(sorted({f.where for f in evidence.found}))})."
    if missing and len(missing) < len(WANTED):
        summary += f" Not recorded: {', '.join(missing)}."
    if open_ended:
        summary += (
            f" `{clean_text(open_ended[0].item)} {clean_text(open_ended[0].value)}` leaves the "
            "version open."
        )
    return Judgement(
        verdict,
        summary,
        metrics=(
            Metric("kinds of fact recorded", len(WANTED) - len(missing), f"of {len(WANTED)}"),
        ),
        where=tuple(
            Place("file", clean_text(place), f"no version of {', '.join(missing)}")
            for place in evidence.looked_at[:1]
            if verdict is not Verdict.PASS
        ),
        advice=() if verdict is Verdict.PASS else RECIPE,
        figures=(_kinds(exact), *((_table(evidence.found),) if evidence.found else ())),
    )


def _exact(fact: Evidence) -> bool:
    return not RANGE.search(fact.value)


def _kinds(exact: dict[str, list[Evidence]]) -> Table:
    """Return what should be recorded, and what is."""
    return Table(
        title="What should be recorded",
        caption="Each kind of fact, with the version that is recorded exactly, if one is.",
        columns=("kind", "recorded", "where"),
        rows=tuple(
            (kind, clean_text(facts[0].value), clean_text(facts[0].where))
            if facts
            else (kind, "no", "")
            for kind, facts in exact.items()
        ),
    )


def _table(found: tuple[Evidence, ...]) -> Table:
    return Table(
        title="What is recorded",
        caption="Every fact found about the environment of the training, and where it stands.",
        columns=("item", "value", "where"),
        rows=tuple(
            (clean_text(fact.item), clean_text(fact.value), clean_text(fact.where))
            for fact in found
        ),
    )
