"""The options that commands share."""

import enum
from typing import Annotated

import typer


class Profile(enum.StrEnum):
    """How thorough an audit is."""

    QUICK = "quick"
    STANDARD = "standard"
    DEEP = "deep"


class FailOn(enum.StrEnum):
    """The least verdict that ends the program with exit code 1."""

    FAIL = "fail"
    WARN = "warn"
    NEW = "new"
    """Failures alone that the audit to compare with does not have."""
    NEVER = "never"


class IfRunning(enum.StrEnum):
    """What a run does while another audits the same subject."""

    WAIT = "wait"
    LEAVE = "leave"


class TableFormat(enum.StrEnum):
    """How a table is printed."""

    TEXT = "text"
    JSON = "json"


Target = Annotated[
    str | None,
    typer.Argument(help="A spec (audit.yaml), a folder that holds one, or a checkpoint."),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="module:callable that builds the model.")
]
CheckpointOption = Annotated[
    str | None, typer.Option("--checkpoint", help="File, folder or address of the weights.")
]
KeyOption = Annotated[
    str | None, typer.Option("--key", help="Where the state dict sits in the checkpoint.")
]
AllowTorchscriptOption = Annotated[
    bool | None,
    typer.Option(
        "--allow-torchscript", help="Read the weights of a TorchScript archive; run none of it."
    ),
]
AllowPickleOption = Annotated[
    str | None,
    typer.Option(
        "--allow-pickle",
        help="sha256:HEX of a checkpoint whose pickle may run: it can do whatever you can.",
    ),
]
TrainOption = Annotated[
    str | None, typer.Option("--train", help="module:callable of the training loader.")
]
ValOption = Annotated[
    str | None, typer.Option("--val", help="module:callable of the validation loader.")
]
BatchOption = Annotated[
    str | None, typer.Option("--batch", help="module:callable from a batch to (inputs, target).")
]
LossOption = Annotated[
    str | None, typer.Option("--loss", help="A torch.nn.functional name, or module:callable.")
]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="multiclass, binary, regression ...; inferred.")
]
OptimizerOption = Annotated[
    str | None, typer.Option("--optimizer", help="The class in torch.optim it was trained with.")
]
LrOption = Annotated[float | None, typer.Option("--lr", help="The learning rate it had.")]
NameOption = Annotated[str | None, typer.Option("--name", help="The title of the report.")]
ProfileOption = Annotated[
    Profile | None, typer.Option("--profile", help="How many batches and steps to spend.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Of everything random.")]
DeviceOption = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1 ...")]
OnlyOption = Annotated[
    list[str] | None, typer.Option("--only", help="Run this check alone; may be repeated.")
]
SkipOption = Annotated[
    list[str] | None, typer.Option("--skip", help="Leave this check out; may be repeated.")
]
OutOption = Annotated[
    str | None, typer.Option("--out", "-o", help="Folder for the reports [audit-report].")
]
FormatOption = Annotated[
    list[str] | None,
    typer.Option("--format", help="html, pdf, json, markdown, junit or sarif; may be repeated."),
]
TableFormatOption = Annotated[
    TableFormat, typer.Option("--format", help="For people or for programs.")
]
FailOnOption = Annotated[
    FailOn,
    typer.Option(
        "--fail-on", help="Least verdict for exit code 1; new: failures that the baseline lacks."
    ),
]
BaselineOption = Annotated[
    str | None,
    typer.Option("--baseline", help="Audit to compare with: last, a record, or an id [none]."),
]
HistoryOption = Annotated[
    str | None,
    typer.Option("--history", help="File of the history [$AUDIT_HISTORY, or one in your home]."),
]
SharedOption = Annotated[
    bool, typer.Option("--shared", help="Let others read what is written; else nobody can.")
]
SamplesOption = Annotated[
    bool, typer.Option("--include-samples", help="Show inputs of single examples in reports.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")]
IfRunningOption = Annotated[
    IfRunning, typer.Option("--if-running", help="Where this subject is being audited already.")
]
DatedOption = Annotated[
    bool, typer.Option("--dated", help="Write to a folder in --out named by date and time.")
]
KeepOption = Annotated[
    int | None,
    typer.Option("--keep", min=1, help="With --dated: delete all but the newest N [none]."),
]
MetricsOption = Annotated[
    str | None, typer.Option("--metrics", help="Write figures for Prometheus to this file.")
]
