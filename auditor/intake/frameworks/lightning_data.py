"""A LightningDataModule as the source of a split."""

from collections.abc import Mapping
from typing import Any

from auditor.core.errors import InputError
from auditor.core.request import Split
from auditor.core.text import clean_text, kind_of
from auditor.intake.frameworks.lightning_model import is_lightning
from auditor.intake.reference import blame


def loader_in(made: Any, split: Split) -> Any:
    """Return the loader of a split that a data module sets up; anything else as it is.

    It is set up as for fitting, which is when Lightning asks for both splits.

    Raises:
        InputError: the data module raised, or gives no loader or several.
    """
    if not is_lightning(type(made), "LightningDataModule"):
        return made
    shown = f"{clean_text(type(made).__name__, 60)}.{split}_dataloader"
    try:
        made.prepare_data()
        made.setup("fit")
        loader = getattr(made, f"{split}_dataloader")()
    except (Exception, SystemExit) as error:
        raise InputError(f"data.{split}: {shown}: {blame(error)}") from error
    if isinstance(loader, Mapping):
        loader = list(loader.values())
    if isinstance(loader, list | tuple) and len(loader) == 1:
        return loader[0]
    if isinstance(loader, list | tuple):
        raise InputError(
            f"data.{split}: {shown} returned {len(loader)} loaders, an audit reads one.\n"
            f"Write a function that returns it, and name it (`data: {{{split}: data:{split}}}`):\n"
            f"  def {split}(): module = {clean_text(type(made).__name__, 60)}(...); "
            f'module.setup("fit"); return module.{split}_dataloader()[0]'
        )
    if loader is None:
        raise InputError(f"data.{split}: {shown} returned {kind_of(loader)}, expected a loader")
    return loader
