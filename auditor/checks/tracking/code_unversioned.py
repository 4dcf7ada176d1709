"""A model whose code is in no git commit, or in another one than it was trained from.

What it does
------------
Finds the files that build the model (its factory, the classes of its layers) and asks git whether
they are committed as they are, in which commit, and whether the checkpoint records another one.

Why it matters
--------------
Weights are of use only with the very code that made them. A file that is in no commit is gone with
the next edit, and then nobody can train the model again, or say what was audited.

How it is measured
------------------
Git is asked offline and changes nothing. It is a warning where a file of the model is in no
repository, not tracked, or changed since the commit, and where the checkpoint records another
commit, unless the model's files are the same in both. Other changed files, files of the data, and a
commit that no remote has are told and no more. The version of an installed package counts as a
commit. Where git is missing or refuses, the commit is read off the repository's files, and nothing
is judged.

When it misleads
----------------
An image or a copy of the folder may be versioned though git is not in it. Whether a commit was
pushed is known as of the last fetch. Files that the model's own files import are told among the
other changed ones.

What to do
----------
Commit before you train, and save the commit in the checkpoint.

Source
------
Pineau et al. 2021, "Improving Reproducibility in Machine Learning Research" (JMLR 22); Sculley et
al. 2015, "Hidden Technical Debt in Machine Learning Systems" (NeurIPS).
"""

import shlex

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Table
from auditor.core.finding import Judgement, Metric, Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict
from auditor.observations.code import CodeFile, CodeOf, CodeState, RecordedCommit, Repository

CODE = CodeOf()

SHORT = 12
"""Digits of a commit that sentences tell."""

FAULTS = {
    "outside": "in no git repository",
    "untracked": "not tracked by git",
    "ignored": "ignored by git",
    "modified": "changed since the commit",
}

STATES = {
    **FAULTS,
    "committed": "as committed",
    "installed": "installed",
    "typed": "typed into a session",
    "unknown": "git does not tell",
}


@check(
    title="The code of the model is tied to a commit",
    failure_title="The code of the model is not tied to its commit",
    needs=(CODE,),
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether the model's code can be had again."""
    code = seen[CODE]
    tree = code.repository
    faults = [file for file in code.model if file.state in FAULTS]
    apart = [one for one in code.recorded if not one.current and one.differing != ()]
    if tree is None:
        apart = []
    if not faults and not apart and (reason := _undecided(code)):
        return Judgement(Verdict.NOT_APPLICABLE, reason, figures=_figures(code))
    said = [_fault(code.model, faults)] if faults else []
    said += [_apart(one, tree) for one in apart if tree is not None]
    minor = _minor(code)
    if not said:
        said.append(_fine(code))
    verdict = Verdict.WARN if faults or apart else Verdict.INFO if minor else Verdict.PASS
    return Judgement(
        verdict,
        " ".join([*said, *minor]),
        metrics=(
            Metric("files of the model", len(code.model)),
            Metric("of them not committed", len(faults)),
            *((Metric("changed files", tree.changes),) if tree and not tree.reason else ()),
        ),
        where=(
            *(Place("file", file.path, f"{file.makes}: {FAULTS[file.state]}") for file in faults),
            *(
                Place("setting", one.where, f"commit {one.commit[:SHORT]}, not the current one")
                for one in apart
            ),
        ),
        advice=_advice(faults, apart, tree),
        figures=_figures(code),
    )


def _undecided(code: CodeState) -> str:
    """Return why nothing can be said of the model's code; empty where something can."""
    if not code.model:
        return (
            "The model is put together of layers of installed packages, and no factory is given "
            "that tells by which code."
        )
    if all(file.state == "typed" for file in code.model):
        return (
            "The model's code was typed into a notebook or an interactive session: there is no "
            "file that could be committed. Move it into a module, and import it."
        )
    if any(file.state == "unknown" for file in code.model) and code.repository is not None:
        at = f"It is at commit {code.repository.commit[:SHORT]}, but w"
        return (
            f"{at if code.repository.commit else 'W'}hether the model's files are as committed "
            f"can't be told: {clean_text(code.repository.reason)}."
        )
    return ""


def _fault(model: tuple[CodeFile, ...], faults: list[CodeFile]) -> str:
    names = listed([f"`{file.path}` ({FAULTS[file.state]})" for file in faults], 3)
    if len(model) == 1:
        return f"The file that the model is built by is not committed as it is: {names}."
    of = f"{len(faults)} of the {len(model)} files that the model is built by"
    are, as_is = ("is", "it is") if len(faults) == 1 else ("are", "they are")
    return f"{of} {are} not committed as {as_is}: {names}."


def _apart(one: RecordedCommit, tree: Repository) -> str:
    first = (
        f"The checkpoint was trained from commit {one.commit[:SHORT]} ({clean_text(one.where)}), "
        f"and the code at hand is at {tree.commit[:SHORT]}"
    )
    if one.differing is None:
        return f"{first}; what differs between them can't be told."
    return f"{first}, in which {listed(list(one.differing), 3)} {_are(one.differing)} another."


def _are(names: tuple[str, ...]) -> str:
    return "is" if len(names) == 1 else "are"


def _fine(code: CodeState) -> str:
    packages = list(dict.fromkeys(file.package for file in code.model if file.package))
    if code.repository is None:
        return f"The model is built by an installed package: {listed(packages) or 'unnamed'}."
    tree = code.repository
    branch = f", branch {tree.branch}" if tree.branch else ""
    files = counted(sum(file.state == "committed" for file in code.model), "file")
    same = next((one for one in code.recorded if one.current), None)
    also = f", which the checkpoint records too ({same.where})" if same is not None else ""
    return (
        f"The model's code ({files}) is as committed: {tree.commit[:SHORT]} of "
        f"{tree.name}{branch}{also}."
    )


def _minor(code: CodeState) -> list[str]:
    """Return sentences on what is merely good to know."""
    tree, said = code.repository, []
    loose = [file for file in code.others if file.state in FAULTS]
    if loose:
        names = listed([f"`{file.path}` ({FAULTS[file.state]})" for file in loose], 3)
        said.append(f"Of the code of data and loss: {names}.")
    typed = [file.makes for file in code.model if file.state == "typed"]
    if typed and len(typed) < len(code.model):
        said.append(f"Typed into a session, and in no file: {listed(typed, 3)}.")
    if tree is None or tree.reason:
        return said
    own = {file.path for file in (*code.model, *code.others)}
    others = [path for path in tree.changed if path not in own]
    count = tree.changes - (len(tree.changed) - len(others))
    if count:
        files = counted(count, "other file")
        said.append(f"{files} of the repository changed since the commit: {listed(others, 3)}.")
    if tree.pushed is False:
        said.append("No remote is known to have the commit: it has not been pushed.")
    for one in code.recorded:
        if not one.current and one.differing == ():
            said.append(
                f"The checkpoint was trained from another commit, {one.commit[:SHORT]}, in which "
                "the model's files are the same."
            )
        if one.dirty:
            said.append(f"When it was trained, files had been changed since {one.commit[:SHORT]}.")
    return said


def _advice(
    faults: list[CodeFile], apart: list[RecordedCommit], tree: Repository | None
) -> tuple[str, ...]:
    steps = []
    if any(file.state == "outside" for file in faults):
        steps.append(
            step(
                "Put the project under version control, in the folder of its code:",
                "git init\ngit add *.py audit.yaml\ngit commit -m 'The model as it is audited'",
                language="text",
            )
        )
    inside = [file.path for file in faults if file.state != "outside"]
    if inside:
        names = " ".join(shlex.quote(path) for path in inside[:5])
        add = "git add --force" if any(f.state == "ignored" for f in faults) else "git add"
        steps.append(
            step(
                "Commit the files as they are:",
                f"{add} -- {names}\ngit commit -m 'The model as it is audited'",
                language="text",
            )
        )
    if apart and tree is not None:
        steps.append(
            step(
                "Audit the model with the code that it was trained with, in a folder of its own:",
                f"git worktree add ../as-trained {apart[0].commit}",
                language="text",
            )
        )
    if steps:
        steps.append(
            step(
                "Save the commit with the weights, in the training script:",
                "import subprocess\n\n"
                'head = ["git", "rev-parse", "HEAD"]\n'
                "commit = subprocess.check_output(head, text=True).strip()\n"
                'torch.save({"model": model.state_dict(), "git_commit": commit}, path)',
            )
        )
    return tuple(steps)


def _figures(code: CodeState) -> tuple[Table, ...]:
    tree = code.repository
    files = Table(
        title="Files of the code",
        caption="Each file that the model, its data or its loss are made by, and how it stands.",
        columns=("file", "makes", "state"),
        rows=tuple(
            (file.path or "none", file.makes, file.package or STATES[file.state])
            for file in (*code.model, *code.others)
        ),
    )
    facts = []
    if tree is not None:
        pushed = {True: "yes", False: "no", None: "not known"}[tree.pushed]
        facts = [
            ("repository", tree.name),
            ("commit", tree.commit or "none yet"),
            ("branch", tree.branch or "none: detached"),
            ("remote", tree.remote or "none"),
            ("pushed", pushed + (f", {tree.ahead} ahead" if tree.ahead else "")),
            ("changed files", tree.reason or f"{tree.changes}"),
            *((f"changed file {n}", path) for n, path in enumerate(tree.changed[:20], start=1)),
            *((f"submodule {n}", path) for n, path in enumerate(tree.submodules, start=1)),
        ]
    facts += [
        (f"recorded: {clean_text(one.where, 80)}", one.commit + (", changed" if one.dirty else ""))
        for one in code.recorded
    ]
    about = Table(
        title="Repository",
        caption="The git repository of the model's code, and the commits that the checkpoint "
        "records.",
        columns=("fact", "value"),
        rows=tuple(facts),
    )
    return tuple(table for table in (files, about) if table.rows)
