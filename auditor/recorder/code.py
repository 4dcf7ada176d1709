"""The commit of the code that trains."""

import sys
from pathlib import Path
from typing import Any

from torch import nn

from auditor.intake.sources import is_installed, model_sources
from auditor.intake.work_tree import WorkTree


def code_facts(model: nn.Module) -> dict[str, Any]:
    """Return the commit of the program's repository, or of the model's, and whether it is dirty.

    There is nothing to tell where neither is in one; where git can't say, only the commit is told.
    """
    for folder in _folders(model):
        tree = WorkTree.around(folder)
        if tree is not None and tree.status.commit:
            told: dict[str, Any] = {"commit": tree.status.commit, "branch": tree.status.branch}
            return told if tree.reason else {**told, "dirty": bool(tree.status.changed)}
    return {}


def _folders(model: nn.Module) -> list[Path]:
    """Return where the program that runs and the model's code stand, apart from installed files."""
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    files = [Path(program).resolve()] if program is not None else [Path.cwd() / "typed in"]
    files += [source.file for source in model_sources(model, {}) if source.file is not None]
    return list(dict.fromkeys(file.parent for file in files if not is_installed(file)))
