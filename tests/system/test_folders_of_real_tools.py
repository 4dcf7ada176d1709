"""Folders that transformers, accelerate and MLflow wrote are audited like the plain weights."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from auditor.api import Record, audit_spec
from auditor.commands.progress import Silent
from auditor.commands.targets import flags_of, spec_of
from auditor.core.errors import InputError
from auditor.core.verdict import Verdict
from auditor.intake.checkpoint import open_checkpoint

pytestmark = pytest.mark.slow

MODULE = '''\
import torch
from torch import nn

def small():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

def val():
    torch.manual_seed(1)
    return [(torch.randn(16, 4), torch.randint(0, 3, (16,))) for _ in range(3)]

def bert():
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig(
        vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=8, num_labels=2,
    ))
'''  # fmt: skip


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///nowhere")


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(MODULE, names)
    return names


def audited(target: Path, factory: str, folder: Path, **more: Any) -> Record:
    (folder / "spec").mkdir()
    (folder / "spec" / "own_models.py").write_text(MODULE)
    only = ["weights-degenerate", "non-finite-values", "dead-units", "logged-loss-diverges"]
    given = {"only": only, "model": f"own_models:{factory}", "device": "cpu", "no_history": True}
    there = os.getcwd()
    os.chdir(folder / "spec")
    try:
        spec = spec_of(str(target), flags_of({**given, **more}))
        return audit_spec(spec, folder / "out", Silent())
    finally:
        os.chdir(there)


def findings(record: Record) -> dict[str, Any]:
    return {
        finding.check: (finding.verdict, finding.summary, finding.metrics, finding.where)
        for section in record.sections
        for finding in section.findings
    }


def trained(model: nn.Module, folder: Path) -> Path:
    transformers = pytest.importorskip("transformers")

    class Words(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 24

        def __getitem__(self, place: int) -> dict[str, Any]:
            return {"input_ids": torch.arange(6) % 9 + place % 3, "labels": place % 2}

    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "run"), report_to=[], use_cpu=True, disable_tqdm=True,
        save_strategy="epoch", logging_steps=1, num_train_epochs=5, learning_rate=3e-4,
        per_device_train_batch_size=8,
    )  # fmt: skip
    transformers.Trainer(model, arguments, train_dataset=Words()).train()
    return folder / "run" / "checkpoint-15"


def in_shards(model: Any, folder: Path) -> Path:
    pytest.importorskip("transformers")
    model.save_pretrained(folder / "shards", max_shard_size="2KB")
    assert len([*(folder / "shards").glob("*.safetensors")]) > 1
    return folder / "shards"


def stepped(model: nn.Module, folder: Path, **options: Any) -> Path:
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    model, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    accelerator.backward(model(torch.randn(8, 4)).square().sum())
    optimizer.step()
    schedule.step()
    accelerator.save_state(str(folder / "state"), **options)
    return folder / "state"


def stepped_in_pickles(model: nn.Module, folder: Path) -> Path:
    return stepped(model, folder, safe_serialization=False)


def of_mlflow(model: nn.Module, folder: Path, **options: Any) -> Path:
    mlflow = pytest.importorskip("mlflow.pytorch")
    mlflow.save_model(model.eval(), str(folder / "model"), pip_requirements=["torch"], **options)
    return folder / "model"


def of_mlflow_in_pickles(model: nn.Module, folder: Path) -> Path:
    return of_mlflow(model, folder, serialization_format="pickle")


def of_mlflow_exported(model: nn.Module, folder: Path) -> Path:
    example = torch.randn(2, 4).numpy()
    return of_mlflow(model, folder, serialization_format="pt2", input_example=example)


WRITERS: dict[str, tuple[Callable[[Any, Path], Path], str, str]] = {
    "Trainer": (trained, "bert", "Trainer checkpoint (safetensors)"),
    "save_pretrained": (in_shards, "bert", "Hugging Face folder (safetensors, 2 shards)"),
    "save_state": (stepped, "small", "accelerate state (safetensors)"),
    "save_state of pickles": (stepped_in_pickles, "small", "accelerate state (torch zip)"),
    "MLflow": (of_mlflow_in_pickles, "small", "MLflow model (torch zip)"),
    "MLflow, exported": (of_mlflow_exported, "small", "MLflow model (torch.export archive)"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_findings_are_those_of_the_plain_weights(
    name: str, made: dict[str, Any], tmp_path: Path
) -> None:
    write, factory, kind = WRITERS[name]
    model = made[factory]()
    folder = write(model, tmp_path)
    torch.save(model.state_dict(), tmp_path / "plain.pt")
    data = {"val": "own_models:val", "loss": "cross_entropy"} if factory == "small" else {}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    found = audited(folder, factory, tmp_path / "a", **data)
    plain = audited(tmp_path / "plain.pt", factory, tmp_path / "b", **data)
    facts = found.subject.checkpoint
    assert facts is not None
    assert facts.format == kind
    assert facts.path == str(folder)
    ours, theirs = findings(found), findings(plain)
    if name == "Trainer":
        assert ours.pop("logged-loss-diverges")[0] is not Verdict.NOT_APPLICABLE
        assert theirs.pop("logged-loss-diverges")[0] is Verdict.NOT_APPLICABLE
    assert ours == theirs
    assert {verdict.value for verdict, *_ in ours.values()} & {"pass", "info", "warn", "fail"}


def test_the_output_folder_of_a_trainer_is_refused_with_the_list(
    made: dict[str, Any], tmp_path: Path
) -> None:
    folder = trained(made["bert"](), tmp_path).parent
    with pytest.raises(InputError, match="a folder of checkpoints: checkpoint-3, checkpoint-6"):
        open_checkpoint(folder)


def test_what_a_trainer_pickled_tells_its_settings(made: dict[str, Any], tmp_path: Path) -> None:
    from auditor.intake.trainer_files import arguments_in

    folder = trained(made["bert"](), tmp_path)
    told = arguments_in(folder / "training_args.bin")
    assert told["learning_rate"] == 3e-4
    assert told["per_device_train_batch_size"] == 8
    assert told["lr_scheduler_type"] == "linear"
