import shlex
from dataclasses import replace

import pytest

from auditor.checks.tracking.code_unversioned import CODE, judge
from auditor.core.advice import parts
from auditor.core.verdict import Verdict
from auditor.observations.code import CodeFile, CodeState, RecordedCommit, Repository

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
TREE = Repository("project", COMMIT, "main", "https://host/project", pushed=True)
FACTORY = CodeFile("model.factory", "model.py", "committed")
LAYERS = CodeFile("layers of class Net", "net.py", "committed")
RECORDED = RecordedCommit(OTHER, "checkpoint: git_commit", False)


def seen(*model: CodeFile, **more) -> dict:
    return {CODE: CodeState(**{"model": model or (FACTORY,), "repository": TREE, **more})}


def test_committed_and_clean(judged) -> None:
    found = judged(judge, seen())
    assert found.verdict is Verdict.PASS
    assert "0123456789ab of project, branch main" in found.summary
    assert ("commit", COMMIT) in found.figures[1].rows
    assert not found.advice


@pytest.mark.parametrize("state", ["untracked", "modified", "ignored"])
def test_a_file_that_is_not_committed(judged, state: str) -> None:
    found = judged(judge, seen(FACTORY, replace(LAYERS, state=state)))
    assert found.verdict is Verdict.WARN
    assert [place.name for place in found.where] == ["net.py"]
    assert "-- net.py" in found.advice[0]
    assert ("--force" in found.advice[0]) == (state == "ignored")
    assert found.summary.startswith("1 of the 2 files")
    assert "is not committed as it is" in found.summary


def test_no_repository(judged) -> None:
    found = judged(judge, seen(replace(FACTORY, state="outside"), repository=None))
    assert found.verdict is Verdict.WARN
    assert "git init" in found.advice[0]
    assert "in no git repository" in found.summary


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (RECORDED, Verdict.WARN),
        (replace(RECORDED, differing=("model.py",)), Verdict.WARN),
        (replace(RECORDED, differing=()), Verdict.INFO),
        (replace(RECORDED, commit=COMMIT, current=True, differing=()), Verdict.PASS),
        (replace(RECORDED, current=True, differing=(), dirty=True), Verdict.INFO),
    ],
)
def test_a_recorded_commit(judged, one: RecordedCommit, verdict: Verdict) -> None:
    found = judged(judge, seen(recorded=(one,)))
    assert found.verdict is verdict, found.summary
    if verdict is Verdict.WARN:
        assert found.where[0].name == "checkpoint: git_commit"
        assert f"git worktree add ../as-trained {OTHER}" in found.advice[0]


def test_a_recorded_commit_of_an_installed_package_is_only_told(judged) -> None:
    installed = CodeFile("model.factory", "resnet.py", "installed", "torchvision 0.20.0")
    found = judged(judge, seen(installed, repository=None, recorded=(RECORDED,)))
    assert found.verdict is Verdict.PASS
    assert "torchvision 0.20.0" in found.summary


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"others": (CodeFile("data.train", "data.py", "untracked"),)}, "`data.py` (not tracked"),
        ({"repository": replace(TREE, changed=("a.py", "b.py"), changes=7)}, "7 other files"),
        ({"repository": replace(TREE, pushed=False)}, "has not been pushed"),
    ],
)
def test_what_is_merely_good_to_know(judged, more: dict, words: str) -> None:
    found = judged(judge, seen(**more))
    assert found.verdict is Verdict.INFO
    assert words in found.summary
    assert not found.where


def test_the_models_own_change_is_not_counted_among_the_others(judged) -> None:
    tree = replace(TREE, changed=("model.py",), changes=1)
    found = judged(judge, seen(replace(FACTORY, state="modified"), repository=tree))
    assert "other file" not in found.summary


@pytest.mark.parametrize(
    ("model", "tree", "words"),
    [
        ((), None, "no factory"),
        ((CodeFile("model.factory", "", "typed"),), None, "notebook"),
        (
            (replace(FACTORY, state="unknown"),),
            replace(TREE, reason="git is not installed"),
            "0123456789ab, but whether",
        ),
    ],
)
def test_what_cannot_be_told(judged, model, tree, words: str) -> None:
    found = judged(judge, {CODE: CodeState(model, repository=tree)})
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert words in found.summary


def test_a_recorded_commit_is_set_against_one_that_was_read_without_git(judged) -> None:
    tree = replace(TREE, reason="git is not installed")
    unknown = replace(FACTORY, state="unknown")
    found = judged(judge, seen(unknown, repository=tree, recorded=(RECORDED,)))
    assert found.verdict is Verdict.WARN
    assert "can't be told" in found.summary


def test_hostile_names_are_quoted(judged) -> None:
    hostile = replace(FACTORY, state="untracked", path='a"; rm -rf $(x) `y`.py')
    found = judged(judge, seen(hostile))
    assert found.verdict is Verdict.WARN
    assert shlex.split(parts(found.advice[0]).code.splitlines()[0])[-1] == hostile.path
