"""LightningModules and data modules as the source of model, loss, data and optimizer."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.spec_file import spec_from
from auditor.intake.declared import lightning_epochs
from auditor.intake.loading import load
from auditor.intake.subject import Subject

pytest.importorskip("lightning")

MODULE = """
import torch
from torch import nn
from torch.nn import functional
import lightning

class Lit(lightning.LightningModule):
    def __init__(self, width=4, lr=0.1, note="plain"):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))
        self.criterion = nn.CrossEntropyLoss(label_smoothing=0.1)

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = self.criterion(self(x), y)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2)]

class Functional(Lit):
    def training_step(self, batch, batch_idx):
        x, y = batch
        return {"loss": functional.cross_entropy(self.net(x), y)}

class Number(Lit):
    def __init__(self):
        super().__init__()
        self.net[2] = nn.Linear(4, 1)

    def training_step(self, batch):
        x, y = batch
        return functional.mse_loss(self(x)[:, 0], y.float())

class Focal(Lit):
    def training_step(self, batch, batch_idx):
        x, y = batch
        each = functional.cross_entropy(self(x), y, reduction="none")
        return ((1 - (-each).exp()) ** 2 * each).mean()

class Looks(Lit):
    def training_step(self, batch, batch_idx):
        x, y = batch
        return functional.cross_entropy(self(x), y) + (x ** 2).mean(1)[0]

class Needs(Lit):
    def training_step(self, batch, batch_idx):
        return functional.cross_entropy(self(batch[0]), batch[1]) * self.trainer.max_epochs

class Around(lightning.LightningModule):
    def __init__(self, width=4):
        super().__init__()
        self.save_hyperparameters()
        self.model = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))

    def training_step(self, batch, batch_idx):
        return functional.cross_entropy(self.model(batch[0]), batch[1])

class Given(lightning.LightningModule):
    def __init__(self, backbone, head, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.backbone, self.head = backbone, head

    def forward(self, x):
        return self.head(self.backbone(x))

class Config(lightning.LightningModule):
    def __init__(self, config):
        super().__init__()
        self.save_hyperparameters(config)
        self.net = nn.Linear(6, config["classes"])

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        return functional.cross_entropy(self(batch[0]), batch[1])

def made():
    return Lit(width=5)

class Data(lightning.LightningDataModule):
    def __init__(self, size=8, several=False):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage):
        assert stage == "fit"
        inputs = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
        self.data = torch.utils.data.TensorDataset(inputs, inputs[:, :3].argmax(1))

    def train_dataloader(self):
        return torch.utils.data.DataLoader(self.data, self.hparams.size, shuffle=True)

    def val_dataloader(self):
        loader = torch.utils.data.DataLoader(self.data, self.hparams.size)
        return [loader, loader] if self.hparams.several else [loader]

def data():
    return Data(size=16)

def loader():
    inputs = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
    return torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(inputs, inputs[:, :3].argmax(1)), 8
    )
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "lit_user.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    import sys

    sys.modules.pop("lit_user", None)
    return importlib.import_module("lit_user")


def saved(module: Any, data: Any = None, file: str = "last.ckpt") -> str:
    """Write a checkpoint as Lightning's own Trainer does, with its states."""
    import lightning

    torch.manual_seed(0)
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, data)
    trainer.save_checkpoint(file)
    return file


def bare(module: Any, file: str = "bare.ckpt") -> str:
    """Write the parts of a checkpoint of Lightning's, without training."""
    kept = {
        "state_dict": module.state_dict(),
        "hyper_parameters": dict(module.hparams),
        "hparams_name": module._hparams_name,
        "pytorch-lightning_version": "2.6.0",
        "epoch": 0,
        "global_step": 0,
    }
    torch.save(kept, file)
    return file


def brought(folder: Path, factory: str, checkpoint: str, **more: Any) -> Subject:
    model = {"factory": f"lit_user:{factory}", "checkpoint": checkpoint, **more.pop("model", {})}
    data = more.pop("data", {"val": "lit_user:loader"})
    return load(spec_from({"model": model, "data": data, **more}, "test", folder))


@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_of_the_trainer_tells_all(home: Any, tmp_path: Path) -> None:
    file = saved(home.Lit(width=7, lr=0.05), home.Data(size=4))
    data = {"train": "lit_user:Data", "val": "lit_user:Data"}
    subject = brought(tmp_path, "Lit", file, data=data)
    assert isinstance(subject.model, home.Lit)
    assert subject.model.net[0].out_features == 7, "hyperparameters of the checkpoint"
    held = torch.load(file, weights_only=True)["state_dict"]
    assert all(torch.equal(subject.model.state_dict()[name], held[name]) for name in held)
    assert subject.loss is not None
    assert subject.loss.known == "cross_entropy"
    assert subject.loss.smoothing == 0.1
    assert subject.facts.task == "multiclass"
    assert subject.facts.data["val"].batch_size == 4, "hyperparameters of the data module"
    assert subject.optimizer is not None
    assert str(subject.optimizer).startswith("SGD(lr=0.05, momentum=0.9")
    assert subject.facts.checkpoint is not None
    assert subject.facts.checkpoint.format == "Lightning checkpoint (torch zip)"
    assert subject.facts.checkpoint.removed_prefix == ""
    extras = dict(subject.facts.checkpoint.extras)
    assert extras["epoch"] == "2"
    assert extras["hyper_parameters.width"] == "7"
    assert not torch.equal(subject.fresh(1).net[0].weight, subject.fresh(2).net[0].weight)
    assert not list(tmp_path.glob("lightning_logs*"))


@pytest.mark.parametrize(
    ("factory", "known", "task"),
    [
        ("Functional", "cross_entropy", "multiclass"),
        ("Number", "mse_loss", "regression"),
        ("Focal", "", "multiclass"),
        ("Around", "cross_entropy", "multiclass"),
    ],
)
def test_the_loss_is_that_of_the_training_step(
    home: Any, tmp_path: Path, factory: str, known: str, task: str
) -> None:
    module = getattr(home, factory)()
    subject = brought(tmp_path, factory, bare(module))
    assert subject.loss is not None
    assert subject.loss.known == known
    assert subject.facts.task == task
    batch = next(subject.batches("val", 1))
    assert subject.model is not None
    outputs = subject.model.eval()(*batch.args)
    step = module.eval().training_step((batch.args[0], batch.target), *[0][: factory != "Number"])
    wanted = step["loss"] if isinstance(step, dict) else step
    made = subject.loss(outputs, batch.target)
    assert torch.allclose(made, wanted)
    made.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in subject.model.parameters())


def test_a_module_without_forward_is_its_only_part(home: Any, tmp_path: Path) -> None:
    subject = brought(tmp_path, "Around", bare(home.Around(width=9)))
    assert isinstance(subject.model, nn.Sequential)
    assert subject.facts.checkpoint is not None
    assert subject.facts.checkpoint.removed_prefix == "model."
    assert type(subject.fresh(0)) is nn.Sequential


@pytest.mark.parametrize("factory", ["Looks", "Needs"])
def test_a_loss_that_cant_be_told_is_asked_for(home: Any, tmp_path: Path, factory: str) -> None:
    file = bare(getattr(home, factory)())
    with pytest.raises(InputError, match=f"loss: what {factory} is trained with") as caught:
        brought(tmp_path, factory, file)
    assert "loss: model:loss" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 5
    assert brought(tmp_path, factory, file, loss="cross_entropy").facts.loss == "cross_entropy"
    assert brought(tmp_path, factory, file, data={}).loss is None


def test_arguments_that_are_objects_are_asked_for(home: Any, tmp_path: Path) -> None:
    file = bare(home.Given(nn.Linear(6, 4), nn.Linear(4, 3)))
    with pytest.raises(InputError, match=r"model.args: Given wants backbone, head") as caught:
        brought(tmp_path, "Given", file)
    assert "torch.nn.modules.linear.Linear" in str(caught.value)
    assert "def build(): return Given(backbone=..., head=...)" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 5


def test_one_argument_that_held_them_all(home: Any, tmp_path: Path) -> None:
    module = home.Config({"classes": 3})
    assert module._hparams_name == "config"
    subject = brought(tmp_path, "Config", bare(module))
    assert subject.facts.outputs == 3


def test_the_arguments_of_the_spec_go_over_those_of_the_checkpoint(
    home: Any, tmp_path: Path
) -> None:
    file = bare(home.Lit(width=7))
    with pytest.raises(InputError, match="of another shape"):
        brought(tmp_path, "Lit", file, model={"args": {"width": 6}})
    with pytest.raises(InputError, match=r"model.args: Lit\(\) got an unexpected keyword"):
        brought(tmp_path, "Lit", file, model={"args": {"wide": 6}})


def test_a_function_that_makes_a_module(home: Any, tmp_path: Path) -> None:
    subject = brought(tmp_path, "made", bare(home.Lit(width=5)), data={"val": "lit_user:data"})
    assert subject.loss is not None
    assert subject.loss.known == "cross_entropy"
    assert subject.facts.data["val"].batch_size == 16
    assert str(subject.optimizer) == "SGD(lr=0.1, momentum=0.9)", "its configure_optimizers"


def test_several_loaders_are_no_split(home: Any, tmp_path: Path) -> None:
    data = {"val": "lit_user:Data", "args": {"several": True}}
    with pytest.raises(InputError, match=r"data.val: Data.val_dataloader returned 2 loaders"):
        brought(tmp_path, "Lit", bare(home.Lit()), data=data)


def test_the_audited_module_stays_as_it_is(home: Any, tmp_path: Path) -> None:
    subject = brought(tmp_path, "Lit", bare(home.Lit()))
    fresh = subject.fresh(0)
    assert subject.model is not None
    assert vars(subject.model).keys() == vars(fresh).keys()
    assert not any("forward" in vars(module) for module in subject.model.modules())


@pytest.mark.parametrize(
    ("epoch", "processed", "made"), [(0, 1, 1), (1, 1, 1), (3, 3, 3), (2, None, 3)]
)
def test_epochs_are_counted_as_the_loops_of_lightning_count_them(
    epoch: int, processed: int | None, made: int
) -> None:
    loops = {"fit_loop": {"epoch_progress": {"current": {"processed": processed}}}}
    assert lightning_epochs({"epoch": epoch, "loops": loops}, epoch) == made
