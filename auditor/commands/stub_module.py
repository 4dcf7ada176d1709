"""The stub module that `audit init` writes: what a checkpoint can't tell, each part with its TODO.

What the checkpoint says goes into comments alone, and below the lines that Python reads a coding
from.
"""

from pathlib import Path

from auditor.commands.tensor_groups import sizes_of
from auditor.commands.yaml_text import comment
from auditor.intake.inspection import Inspection, Tensor
from auditor.intake.setting_names import MODELS

MODULE = "audit_model"
"""Its name; it lies beside the spec."""

MOST_SAID = 3
"""Lines that a checkpoint's own settings may add on the architecture."""

BUILD = f'''
def build():
    """Return the model as training builds it; the audit puts the weights in."""
    raise NotImplementedError("TODO: have build() in {MODULE}.py return the model")
'''

LOADER = f'''
def val_loader():
    """Return a DataLoader, or a list of batches: (inputs, targets) and the like."""
    raise NotImplementedError("TODO: have val_loader() in {MODULE}.py return the data")
'''

TOKENIZED = LOADER.replace("val_loader():", "val_loader(tokenizer):", 1)

LIGHTNING = f"""
# from my_project import MyModule as LitModel, MyData as DataModule
# Without a LightningDataModule, write val_loader() here and name it in audit.yaml.
raise NotImplementedError("TODO: import LitModel and DataModule in {MODULE}.py, as above")
"""


def function_stub(seen: Inspection, *parts: str) -> str:
    """Return a module of functions that raise until they are written."""
    return "\n".join([_head(seen), *parts])


def import_stub(seen: Inspection) -> str:
    """Return a module that raises until the user's Lightning classes are imported in it."""
    return f"{_head(seen)}{LIGHTNING}"


def architecture_said(seen: Inspection) -> list[tuple[str, str]]:
    """Return the settings beside the weights that speak of the architecture."""
    return [(name, value) for name, value in seen.extras if name.rpartition(".")[2] in MODELS][
        :MOST_SAID
    ]


def _head(seen: Inspection) -> str:
    shaped = [tensor for tensor in seen.chosen.tensors if len(tensor.shape) > 1]
    lines = [
        '"""The model and the data for `audit run`: fill in what says TODO."""',
        "",
        f"# For {comment(Path(seen.path).name)}",
    ]
    if shaped:
        lines += [
            f"# Its first weights: {_weight(shaped[0])}",
            f"# Its last ones: {_weight(shaped[-1])}",
        ]
    said = architecture_said(seen)
    return "\n".join([*lines, *(f"# It says: {comment(f'{n} = {v}', 100)}" for n, v in said), ""])


def _weight(tensor: Tensor) -> str:
    return f"{comment(tensor.name, 60)}, {sizes_of(tensor.shape)}"
