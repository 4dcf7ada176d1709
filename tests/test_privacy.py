"""What an audit writes shows no inputs of examples unless asked, and is its owner's alone."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from auditor import audit
from auditor.checks import catalogue
from auditor.core.figure import Images, Table
from auditor.core.request import Failed
from auditor.core.samples import LEFT_OUT
from auditor.core.whole import make_folder, write_whole
from auditor.engine.perform import perform
from auditor.engine.plan import planned
from auditor.report.files import write_reports
from auditor.report.html import render_html
from tests.awkward import BY_NAME, Awkward, images

PICTURED = ("activation-pictures", "gradient-pictures", "suspicious-labels")


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)
    )


def arrays_in(value: Any) -> Iterator[np.ndarray[Any, Any]]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from arrays_in(part)
    elif isinstance(value, tuple | list):
        yield from arrays_in_flat(value)
    elif is_dataclass(value):
        for field in fields(value):
            yield from arrays_in(getattr(value, field.name))


def arrays_in_flat(values: Any) -> Iterator[np.ndarray[Any, Any]]:
    if values and all(isinstance(one, float | int) for one in values):
        yield np.asarray(values, float)
        return
    for part in values:
        yield from arrays_in(part)


def holds(array: np.ndarray[Any, Any], examples: np.ndarray[Any, Any]) -> bool:
    """Tell whether an array has the numbers of an example side by side, at any scale."""
    if array.dtype.kind not in "fiu":
        return False
    flat, width = np.asarray(array, float).ravel(), examples.shape[1]
    if len(flat) < width:
        return False
    windows = np.lib.stride_tricks.sliding_window_view(np.nan_to_num(flat), width)
    centred = windows - windows.mean(1, keepdims=True)
    own = examples - examples.mean(1, keepdims=True)
    sizes = np.outer(np.linalg.norm(centred, axis=1), np.linalg.norm(own, axis=1))
    likeness = np.abs(centred @ own.T) / np.maximum(sizes, 1e-9)
    return bool((likeness > 0.999).any())


def asked(case: Awkward, include: bool) -> dict[Any, Any]:
    """Return the answers to everything that is asked of a subject, as a journal holds them."""
    subject = replace(case.subject(profile="quick"), include_samples=include)
    answers: dict[Any, Any] = {}
    for work in planned(catalogue(), "quick", subject.facts).work:
        answers.update(perform(work, subject))
    assert not [answer for answer in answers.values() if isinstance(answer, Failed)]
    return answers


@pytest.mark.slow
@pytest.mark.usefixtures("frugal")
@pytest.mark.parametrize("name", ["mlp", "inplace-relu"])
def test_no_answer_holds_an_input(name: str) -> None:
    case = BY_NAME[name]
    examples = torch.cat([x for x, _ in case.batches()]).flatten(1).double().numpy()
    found = {
        type(request).__name__
        for request, answer in asked(case, include=False).items()
        for array in arrays_in(answer)
        if holds(array, examples)
    }
    assert found == set()


@pytest.mark.usefixtures("frugal")
@pytest.mark.parametrize("include", [False, True])
def test_pictures_of_inputs_are_there_where_they_are_asked_for(include: bool) -> None:
    torch.manual_seed(0)
    record = audit(
        convolutions(), val=images(), loss="cross_entropy", profile="quick", only=PICTURED,
        include_samples=include,
    )  # fmt: skip
    figures = {f.title: f for finding in record.findings for f in finding.figures}
    activations = next(f for title, f in figures.items() if title.startswith("Channels of"))
    assert isinstance(activations, Images if include else Table)
    assert isinstance(figures["Examples that excite a unit most"], Images if include else Table)
    attributed = figures["What the answers hang on"]
    assert isinstance(attributed, Images)
    # Input, saliency, integrated gradients, Grad-CAM: of four examples.
    assert len(attributed.images) == 4 * (3 + include)
    assert attributed.columns == 3 + include
    assert attributed.images[0].caption.startswith("example ")
    page = render_html(record)
    assert (LEFT_OUT.partition("`")[0] in page) is not include
    assert record.spec["output"]["include_samples"] is include


@pytest.mark.usefixtures("frugal")
@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("name", ["tied", "gru"])
def test_tokens_are_there_where_they_are_asked_for(name: str, include: bool) -> None:
    case = BY_NAME[name]
    record = audit(
        case.model(), val=case.batches(), loss=case.loss, profile="quick", only=PICTURED,
        include_samples=include,
    )  # fmt: skip
    tables = [f for finding in record.findings for f in finding.figures if isinstance(f, Table)]
    columns = {column for table in tables for column in table.columns}
    assert ("token" in columns) is include
    assert ("tokens up to the place" in columns) is include


def modes(folder: Path) -> dict[str, int]:
    places = [folder, *folder.rglob("*")]
    return {str(p.relative_to(folder)): stat.S_IMODE(p.stat().st_mode) for p in places}


@pytest.fixture(params=[0o022, 0o077, 0o000])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_what_is_written_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    tmp_path.chmod(0o755)
    make_folder(tmp_path / "a" / "b")
    write_whole(tmp_path / "a" / "b" / "file", b"x")
    assert modes(tmp_path) == {".": 0o755, "a": 0o700, "a/b": 0o700, "a/b/file": 0o600}


def test_what_is_shared_may_be_read_by_whom_the_umask_lets(tmp_path: Path, umask: int) -> None:
    tmp_path.chmod(0o755)
    make_folder(tmp_path / "a", shared=True)
    write_whole(tmp_path / "a" / "file", b"x", shared=True)
    assert modes(tmp_path) == {".": 0o755, "a": 0o777 & ~umask, "a/file": 0o666 & ~umask}
    (tmp_path / "a" / "file").chmod(0o640)
    write_whole(tmp_path / "a" / "file", b"y", shared=True)
    assert modes(tmp_path)["a/file"] == 0o640
    write_whole(tmp_path / "a" / "file", b"z")
    assert modes(tmp_path)["a/file"] == 0o600


def test_a_folder_of_the_users_stays_as_it_is(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    folder.chmod(0o751)
    record = audit(nn.Linear(8, 3), val=BY_NAME["mlp"].batches(), loss="cross_entropy",
                   only=["weights-degenerate"])  # fmt: skip
    write_reports(record, folder, ["json", "html", "markdown"])
    found = modes(folder)
    assert found.pop(".") == 0o751
    assert set(found.values()) == {0o600}
    record.to_html(tmp_path / "page.html")
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600
    record.to_json(tmp_path / "open.json", shared=True)
    assert stat.S_IMODE((tmp_path / "open.json").stat().st_mode) == 0o666 & ~umask


SUBJECT = """
import torch
def build(): return torch.nn.Linear(4, 3)
def val(): return [(torch.randn(6, 4), torch.randint(3, (6,))) for _ in range(3)]
"""


def ran(room: Path, *options: str) -> None:
    """Run an audit in a folder, with all that it writes of its own accord below it."""
    (room / "subject_here.py").write_text(SUBJECT)
    environment = os.environ | {
        "XDG_STATE_HOME": str(room / "state"),
        "XDG_CACHE_HOME": str(room / "cache"),
        "AUDIT_HISTORY": str(room / "state" / "history.sqlite"),
        "TMPDIR": str(room / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    (room / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "auditor.cli", "run", "--model", "subject_here:build",
         "--val", "subject_here:val", "--loss", "cross_entropy", "--only", "weights-degenerate",
         "--only", "non-finite-values", "--metrics", "figures.prom", "--quiet",
         "--fail-on", "never", *options],
        cwd=room, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_run_keeps_to_its_folders_and_to_itself(tmp_path: Path, mask: int) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(mask)
    try:
        ran(tmp_path, "--out", "new/report")
    finally:
        os.umask(before)
    found = modes(tmp_path)
    assert found.pop("figures.prom") == 0o666 & ~mask  # the exporter is another user
    written = {place: mode for place, mode in found.items() if place.startswith(("new", "state"))}
    assert {mode for place, mode in written.items() if "." in Path(place).name} <= {0o600}
    assert written["new"] == written["new/report"] == written["new/report/journal"] == 0o700
    assert written["new/report/record.json"] == written["new/report/report.html"] == 0o600
    assert written["new/report/report.pdf"] == written["state/history.sqlite"] == 0o600
    assert not [mode for mode in written.values() if mode & 0o077]
    others = set(found) - set(written) - {".", "subject_here.py", "tmp", "cache"}
    # Torch makes a folder for its compiler as soon as it makes an optimizer.
    assert [one for one in others if not one.startswith(("tmp/torchinductor", "cache/"))] == []


@pytest.mark.slow
def test_a_shared_run_is_as_open_as_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        ran(tmp_path, "--out", "report", "--shared")
    finally:
        os.umask(before)
    found = {place: mode for place, mode in modes(tmp_path).items() if place.startswith("report")}
    assert {mode for place, mode in found.items() if "." in Path(place).name} == {0o640}
    assert {found["report"], found["report/journal"]} == {0o750}
