"""A look at the files of the model's code, and at the git repository that holds them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from auditor.core.text import clean_text
from auditor.intake.commits import recorded_commits
from auditor.intake.sources import (
    Source,
    is_installed,
    model_sources,
    other_sources,
    package_of,
    relative,
)
from auditor.intake.subject import Subject
from auditor.intake.work_tree import WorkTree
from auditor.observations.code import (
    CodeFile,
    CodeOf,
    CodeState,
    RecordedCommit,
)


def code_state(request: CodeOf, subject: Subject) -> CodeState:
    """Return which files the model and its data are made by, and how they stand in git."""
    assert subject.model is not None
    loaders: dict[str, object] = {split: batches.loader for split, batches in subject.data.items()}
    model = model_sources(subject.model, subject.code)
    known = {source.file for source in model}
    others = [s for s in other_sources(subject.code, loaders) if s.file not in known]
    trees: dict[Path, WorkTree | None] = {}
    stand = [_standing(source, subject.base, trees) for source in (*model, *others)]
    tree = _tree_of(model, trees)
    told = list(recorded_commits(subject.checkpoint)) if subject.checkpoint is not None else []
    paths = [path for s in model if tree and (path := tree.path(s.file)) is not None]
    return CodeState(
        model=tuple(stand[: len(model)]),
        others=tuple(stand[len(model) :]),
        repository=None if tree is None else tree.described(),
        recorded=tuple(_placed(one, tree, paths) for one in told),
    )


def _standing(source: Source, base: Path, trees: dict[Path, WorkTree | None]) -> CodeFile:
    """Return how a source stands; trees that were asked are kept in `trees`, by folder."""
    file = source.file
    if file is None:
        return CodeFile(source.makes, "", "typed")
    if is_installed(file):
        return CodeFile(source.makes, file.name, "installed", clean_text(package_of(file), 120))
    if file.parent not in trees:
        trees[file.parent] = WorkTree.around(file.parent)
    tree = trees[file.parent]
    path = None if tree is None else tree.path(file)
    if tree is None or path is None:
        return CodeFile(source.makes, clean_text(relative(file, base.resolve()), 200), "outside")
    return CodeFile(source.makes, clean_text(path, 200), tree.state(path))


def _tree_of(model: list[Source], trees: Mapping[Path, WorkTree | None]) -> WorkTree | None:
    """Return the work tree of the model's first file that is in one."""
    folders = (source.file.parent for source in model if source.file is not None)
    return next((tree for folder in folders if (tree := trees.get(folder)) is not None), None)


def _placed(one: RecordedCommit, tree: WorkTree | None, paths: list[str]) -> RecordedCommit:
    """Return a recorded commit set against the one that is checked out."""
    if tree is None or not tree.status.commit:
        return one
    now = tree.status.commit
    if now.startswith(one.commit):
        return replace(one, current=True, differing=())
    if tree.reason or not paths:
        return one
    whole = tree.ask("rev-parse", "--verify", "--quiet", f"{one.commit}^{{commit}}")
    if whole.reason:
        return one
    said = tree.ask(
        *("--literal-pathspecs", "diff", "--name-only", "-z", "--no-ext-diff", "--no-renames"),
        *(whole.text.strip(), now, "--", *paths),
    )
    if said.reason:
        return one
    return replace(one, differing=tuple(clean_text(path, 200) for path in said.parts))
