"""The spec: what to audit and how, as `audit.yaml` says it."""

import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from auditor.core.addresses import without_credentials
from auditor.core.notify_spec import NotifySpec
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
Format = Literal["html", "pdf", "json", "markdown", "junit", "sarif"]
FORMATS: tuple[Format, ...] = ("html", "pdf", "json", "markdown", "junit", "sarif")
USUAL: tuple[Format, ...] = ("html", "pdf", "json", "markdown", "junit")
"""The formats of an audit that asks for none by name."""


class Strict(BaseModel):
    """A part of the spec; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


Patterns = Annotated[tuple[str, ...], Field(max_length=100)]


class AllowSpec(Strict):
    """What may not fit between checkpoint and model, by patterns of names such as `head.*`.

    It stays as the factory made it, and the report says so.
    """

    missing: Patterns = ()
    """Names of the model that the checkpoint may lack."""
    unexpected: Patterns = ()
    """Names of the checkpoint that the model may do without."""
    misshapen: Patterns = ()
    """Names of tensors that may have another shape in the checkpoint."""


class ModelSpec(Strict):
    """Where the model and its weights come from."""

    factory: str | None = None
    """`module:callable` that returns a freshly initialised `nn.Module`; without it only weights are
    audited."""
    args: dict[str, Any] = {}
    """Keyword arguments of the factory."""
    checkpoint: str | None = None
    """The weights: a file, a folder of a model or a trainer, or an address such as `s3://...`."""
    key: str | None = None
    """Where the state dict sits in it; found by itself where it can be."""
    allow_pickle: Annotated[str, Field(pattern=r"^sha256:[0-9a-fA-F]{64}$")] | None = None
    """The hash of the checkpoint, as `sha256:...`, if its pickle may run: it can do whatever you
    can."""
    allow: AllowSpec = AllowSpec()
    """What may not fit, by pattern; anything else that does not ends the audit."""
    allow_torchscript: bool = False
    """Whether the weights of a TorchScript archive are read; its code is not run either way."""

    @property
    def allowed(self) -> frozenset[str]:
        """Return what is read that is refused otherwise, by its names."""
        return frozenset({"torchscript"} if self.allow_torchscript else ())


Place = str | Annotated[int, Field(ge=0)]
"""A place in a batch: a key, the number of an item, an attribute, or several joined by dots."""

Places = Place | list[Place] | dict[str, Place]


class BatchSpec(Strict):
    """Where inputs and target stand in a batch.

    A list is given to the model in its order, a mapping by name.
    """

    inputs: Places
    """The place of the inputs, such as `image` or `[0, 1]` or `{input_ids: tokens.ids}`."""
    target: Places
    """The place of the target."""


class DataSpec(Strict):
    """Where batches come from and how to read one."""

    train: str | None = None
    """`module:callable` that returns the training loader, or any re-iterable of batches."""
    val: str | None = None
    """The same for validation; it alone is enough for most checks."""
    args: dict[str, Any] = {}
    """Keyword arguments of both callables."""
    batch: str | BatchSpec | None = None
    """`module:callable` from a batch to (inputs, target), or their places in it; common shapes are
    understood."""


class OptimizerSpec(BaseModel):
    """A class of `torch.optim` by name, and its arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    """The class in `torch.optim`."""
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """The learning rate; further keys are further arguments of the class."""

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the optimizer's class."""
        return {"lr": self.lr, **(self.model_extra or {})}

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v}' for k, v in self.arguments().items())})"


class TrainingSpec(Strict):
    """How the model was trained, as its authors declare it."""

    optimizer: OptimizerSpec | None = None
    """The optimizer and its settings; a checkpoint that holds it tells more."""
    batch_size: Annotated[int, Field(gt=0)] | None = None
    """Examples that one step was made of."""
    epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Passes over the training data."""
    clip_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The norm that gradients were clipped to."""
    schedule: str | dict[str, Any] | None = None
    """A class of `torch.optim.lr_scheduler` with arguments, a word such as `cosine`, or `none`."""
    seed: int | None = None
    """The seed that training began with."""
    log: str | None = None
    """The log of training: CSV, JSON lines, `trainer_state.json`, TensorBoard events, or their
    folder; looked for beside the checkpoint where it is left out."""


class LimitSpec(Strict):
    """New values for a limit of a check."""

    warn: float | None = None
    """Where the metric becomes worrying."""
    fail: float | None = None
    """Where it becomes wrong."""


class ChecksSpec(Strict):
    """Which checks to run."""

    only: list[str] | None = None
    """The ids of the only checks to run; all, where it is left out."""
    skip: list[str] = []
    """The ids of checks to leave out."""


class WaiverSpec(Strict):
    """A finding that is accepted, why, where, and until when."""

    check: str
    """The id of the check."""
    where: str = "*"
    """The places it holds for, by a pattern such as `features.*`."""
    reason: Annotated[str, Field(min_length=1)]
    """Why the finding is accepted; the report shows it."""
    until: datetime.date | None = None
    """The last day on which it holds."""


class AuditSettings(Strict):
    """How thorough the audit is; `remedies` tells whether those that can be are tried on copies."""

    profile: Profile = "standard"
    """How many batches and steps to spend."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The seed of everything random in the audit."""
    device: str = "auto"
    """`auto` (CUDA where there is one, else the CPU), `cpu`, `cuda`, `cuda:1` and so on."""
    time_limit: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0
    """Seconds that each piece of work may take."""
    checks: ChecksSpec = ChecksSpec()
    """Which checks to run."""
    remedies: bool = True
    """Whether remedies that can be tried on copies are tried."""
    limits: dict[str, dict[str, LimitSpec]] = {}
    """New limits, by check and by limit."""
    waive: list[WaiverSpec] = []
    """Findings that are accepted."""
    baseline: str | None = None
    """The earlier audit to compare with: `last`, the file or folder of a record, or its id in the
    history."""


class HistorySpec(Strict):
    """Where audits are kept, to be compared with later."""

    file: str | None = None
    """The file of the history; where it is left out, `$AUDIT_HISTORY` or one in your home."""
    keep: bool = True
    """Whether the audit is kept there."""


class OutputSpec(Strict):
    """Where reports go."""

    dir: str = "audit-report"
    """The folder of the reports."""
    formats: Annotated[list[Format], Field(min_length=1)] = list(USUAL)
    """Which reports to write."""
    shared: bool = False
    """Whether others may read what is written, as far as the umask lets them; else nobody may."""
    include_samples: bool = False
    """Whether reports may show inputs of single examples: pictures, tokens, rows of a table."""


class AuditSpec(Strict):
    """What to audit and how. Paths of the subject are relative to `base`, the
    folder of the spec's file; the output folder is relative to the current one.
    """

    version: Literal[1] = 1
    """The version of this format."""
    name: str | None = None
    """The title of the report; the name of the checkpoint where it is left out."""
    model: ModelSpec = ModelSpec()
    """The model and its weights."""
    data: DataSpec = DataSpec()
    """The data to audit it on."""
    task: Task | None = None
    """What the model is for; read off data and loss where it is left out."""
    loss: str | Annotated[dict[str, str], Field(min_length=1)] | None = None
    """The name of a `torch.nn.functional` loss, a `module:callable`, or several terms by name."""
    training: TrainingSpec = TrainingSpec()
    """How the model was trained."""
    claims: Annotated[
        dict[str, Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=40)
    ] = {}
    """What its authors say of it, by metric (`accuracy: 0.97`); held against what is measured."""
    audit: AuditSettings = AuditSettings()
    """How to audit it."""
    history: HistorySpec = HistorySpec()
    """The history of audits."""
    output: OutputSpec = OutputSpec()
    """The reports."""
    notify: Annotated[NotifySpec | None, Field(exclude=True)] = None
    """Whom to tell what came out; neither record nor journal has it."""
    base: Annotated[Path, Field(exclude=True)] = Path()
    fetched: Annotated[Path | None, Field(exclude=True)] = None
    """Where on this machine the checkpoint lies that has an address."""

    @property
    def title(self) -> str:
        """Return the name of the subject."""
        named = without_credentials(self.model.checkpoint or "")
        return self.name or Path(named).stem or "model"
