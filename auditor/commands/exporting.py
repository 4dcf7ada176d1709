"""The commands that write what an audit found where models are kept."""

from pathlib import Path
from typing import Annotated

import typer

exports = typer.Typer(
    name="export",
    help="Write an audit to where models are kept: MLflow, a model card.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Audited = Annotated[
    str,
    typer.Argument(
        metavar="RECORD|FOLDER|ID", help="A record.json, its folder, or an id in the history."
    ),
]


@exports.command()
def mlflow(
    target: Audited,
    run_id: Annotated[
        str | None, typer.Option("--run-id", help="The run to write to [a new one].")
    ] = None,
    experiment: Annotated[
        str, typer.Option("--experiment", help="The experiment of a new run.")
    ] = "audits",
    tracking_uri: Annotated[
        str | None, typer.Option("--tracking-uri", help="The server or store [MLflow's own].")
    ] = None,
) -> None:
    """Write reports, verdicts and key metrics to a run of MLflow."""
    from auditor.commands.looking_back import opened
    from auditor.exports.mlflow_run import log_audit
    from auditor.history.named import record_named

    named = record_named(target, opened)
    logged = log_audit(
        named.record,
        named.path.parent if named.path else None,
        run_id=run_id,
        experiment=experiment,
        tracking_uri=tracking_uri,
    )
    typer.echo(f"run {logged.run_id} of experiment {logged.experiment_id}")
    typer.echo(f"artifacts: {', '.join(logged.artifacts)}")


@exports.command(name="model-card")
def model_card(
    target: Audited,
    into: Annotated[
        str | None,
        typer.Option("--into", help="The card to write it into, such as README.md [print it]."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The model's name in the model-index.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="What validation data is called on the Hub.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", help="The task on the Hub: image-classification ...; inferred."),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="The address at which the report is found.")
    ] = None,
) -> None:
    """Write measured metrics and an audit section for a Hugging Face model card."""
    from auditor.commands.looking_back import opened
    from auditor.commands.printing import print_path
    from auditor.exports.card_file import card_of, write_card
    from auditor.exports.model_card import About
    from auditor.history.named import record_named

    record = record_named(target, opened).record
    about = About(name=name, task=task, dataset=dataset, source=source)
    if into is None:
        typer.echo(card_of(record, about), nl=False)
        return
    write_card(Path(into), record, about)
    print_path(Path(into))
