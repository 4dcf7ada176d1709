"""The names that code to paste takes for granted: made of a spec, and run on a sample model."""

import ast
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from auditor.core import probes, snippets
from auditor.core.spec_file import read_spec
from auditor.report.html import render_html
from auditor.report.setup import setup_code

SAMPLES = Path(__file__).parents[2] / "sample_models"


def of_sample(record, name):
    return replace(record, spec=read_spec(SAMPLES / name / "audit.yaml").model_dump(mode="json"))


@pytest.fixture(autouse=True)
def own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the modules of another test's subject from standing in for the sample's."""
    for name in ("model", "data"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def in_sample(monkeypatch):
    monkeypatch.chdir(SAMPLES / "digits_cnn")
    monkeypatch.syspath_prepend(str(SAMPLES / "digits_cnn"))
    yield
    for module in ("model", "data"):
        sys.modules.pop(module, None)


@pytest.mark.usefixtures("in_sample")
def test_it_makes_the_sample_and_code_to_paste_runs_on_it(record, tmp_path, monkeypatch, capsys):
    world = {}
    exec(setup_code(of_sample(record, "digits_cnn")), world)
    assert sum(p.numel() for p in world["model"].parameters()) > 1000
    assert type(world["optimizer"]).__name__ == "SGD"
    monkeypatch.chdir(tmp_path)
    torch = world["torch"]
    world["model"].eval()

    def accuracy():
        world["model"].eval()
        with torch.no_grad():
            right = [(world["model"](x).argmax(1) == y).float() for x, y in world["val_loader"]]
        return float(torch.cat(right).mean())

    before = accuracy()
    assert before > 0.9
    exec(snippets.STATISTICS_ANEW, world)
    assert accuracy() > before - 0.05
    assert Path("mended.pt").is_file()
    norm = next(m for m in world["model"].modules() if "BatchNorm" in type(m).__name__)
    norm.running_mean += 100
    assert accuracy() < 0.5
    exec(snippets.STATISTICS_WITHOUT_DROPOUT, world)
    assert accuracy() > before - 0.05
    exec(snippets.initialised("features.0.0"), world)
    assert accuracy() < before
    exec(probes.gradients_listed(), world)
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("in_sample")
def test_a_checkpoint_that_an_audit_takes_is_taken_here_too(record, tmp_path):
    there = torch.load("digits.pt", weights_only=True)
    held = there.get("state_dict", there)
    name = next(iter(held))
    torch.save({f"module.{n}": t for n, t in held.items() if n != name}, tmp_path / "w.pt")
    sample = of_sample(record, "digits_cnn")
    allow = {"missing": [name], "unexpected": []}
    model = {**sample.spec["model"], "checkpoint": str(tmp_path / "w.pt"), "key": None}
    world = {}
    spec = {**sample.spec, "model": {**model, "allow": allow}}
    exec(setup_code(replace(sample, spec=spec)), world)
    last = list(held)[-1]
    assert torch.equal(world["model"].state_dict()[last], held[last])


def test_the_page_shows_it(record):
    shown = render_html(of_sample(record, "digits_cnn"))
    assert "model = build_model(width=16)" in shown


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"model": {"factory": "model:build(); import os  #"}},
        {"model": {"factory": "model:build", "args": {"a=1); exit(": 1}}},
        {"model": {"factory": "model:build", "args": {"a": {"b": 1}}}},
    ],
)
def test_what_can_not_be_written_is_left_out(record, spec):
    assert setup_code(replace(record, spec=spec)) == ""


def test_texts_of_the_spec_only_name(record):
    odd = 'x"); import os  #\n'
    model = {"factory": "model:build", "args": {"kind": odd}, "checkpoint": odd, "key": odd}
    spec = {"model": model, "loss": odd, "training": {"optimizer": {"name": odd, "lr": 0.1}}}
    tree = ast.parse(setup_code(replace(record, spec=spec)))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert texts.count(odd) == 3
    imported = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    assert imported == ["torch"]
