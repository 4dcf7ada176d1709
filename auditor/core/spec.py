"""The spec: what to audit and how, as `audit.yaml` says it."""

import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from auditor.core.request import Profile

Task = Literal[
    "multiclass",
    "binary",
    "multilabel",
    "regression",
    "segmentation",
    "language_model",
    "custom",
]
Format = Literal["html", "pdf", "json", "markdown", "junit"]
FORMATS: tuple[Format, ...] = ("html", "pdf", "json", "markdown", "junit")


class Strict(BaseModel):
    """A part of the spec; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ModelSpec(Strict):
    """Where the model and its weights come from."""

    factory: str | None = None
    args: dict[str, Any] = {}
    checkpoint: str | None = None
    key: str | None = None


class DataSpec(Strict):
    """Where batches come from and how to read one."""

    train: str | None = None
    val: str | None = None
    args: dict[str, Any] = {}
    batch: str | None = None


class OptimizerSpec(BaseModel):
    """A class of `torch.optim` by name, and its arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the optimizer's class."""
        return {"lr": self.lr, **(self.model_extra or {})}

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v}' for k, v in self.arguments().items())})"


class TrainingSpec(Strict):
    """How the model was trained, as its authors declare it."""

    optimizer: OptimizerSpec | None = None
    batch_size: Annotated[int, Field(gt=0)] | None = None
    epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    clip_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    schedule: str | dict[str, Any] | None = None
    seed: int | None = None
    log: str | None = None


class LimitSpec(Strict):
    """New values for a limit of a check."""

    warn: float | None = None
    fail: float | None = None


class ChecksSpec(Strict):
    """Which checks to run."""

    only: list[str] | None = None
    skip: list[str] = []


class WaiverSpec(Strict):
    """A finding that is accepted, why, where, and until when."""

    check: str
    where: str = "*"
    reason: Annotated[str, Field(min_length=1)]
    until: datetime.date | None = None


class AuditSettings(Strict):
    """How thorough the audit is; `remedies` tells whether those that can be are tried on copies."""

    profile: Profile = "standard"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    device: str = "auto"
    time_limit: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0
    checks: ChecksSpec = ChecksSpec()
    remedies: bool = True
    limits: dict[str, dict[str, LimitSpec]] = {}
    waive: list[WaiverSpec] = []


class OutputSpec(Strict):
    """Where reports go."""

    dir: str = "audit-report"
    formats: Annotated[list[Format], Field(min_length=1)] = list(FORMATS)


class AuditSpec(Strict):
    """What to audit and how. Paths of the subject are relative to `base`, the
    folder of the spec's file; the output folder is relative to the current one.
    """

    version: Literal[1] = 1
    name: str | None = None
    model: ModelSpec = ModelSpec()
    data: DataSpec = DataSpec()
    task: Task | None = None
    loss: str | Annotated[dict[str, str], Field(min_length=1)] | None = None
    training: TrainingSpec = TrainingSpec()
    claims: dict[str, float] = {}
    audit: AuditSettings = AuditSettings()
    output: OutputSpec = OutputSpec()
    base: Annotated[Path, Field(exclude=True)] = Path()
