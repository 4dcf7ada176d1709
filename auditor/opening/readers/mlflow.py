"""MLflow model folders: the description says where the model's file lies. Their code never runs."""

from pathlib import PurePosixPath
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text, listed
from auditor.opening.folders import CHECKPOINT, MLFLOW, MLFLOW_DATA
from auditor.opening.listing import listing_of
from auditor.opening.readers.one_file import read_part
from auditor.opening.reading import Reading

LARGEST = 1 << 20
"""Bytes of the largest description that is read."""
USUAL = ("model.pth", "model.pt2", "state_dict.pth")


def read(reading: Reading) -> tuple[str, Any]:
    """Return what stands in the model's file of an MLflow folder."""
    flavors = _flavors(reading)
    flavor = flavors.get("pytorch")
    if not isinstance(flavor, dict):
        others = [str(name) for name in flavors if name != "python_function"]
        inner = flavors.get("transformers")
        place = inner.get("model_binary") if isinstance(inner, dict) else None
        hint = f"; name its folder {clean_text(place, 120)}" if isinstance(place, str) else ""
        named = listed(others) or "python_function"
        raise InputError(f"an MLflow model of the flavor {named}, not pytorch{hint}")
    data = flavor.get("model_data", MLFLOW_DATA)
    if not isinstance(data, str) or PurePosixPath(data).parts != (data,) or data == "..":
        raise InputError(f"MLmodel: model_data: no folder of the model: {clean_text(data, 80)!r}")
    lying = listing_of(reading.path / data)
    names = [name for name in lying.files if CHECKPOINT.fullmatch(name)]
    chosen = next((name for name in USUAL if name in names), names[0] if len(names) == 1 else None)
    if chosen is None:
        raise InputError(f"an MLflow model whose {clean_text(data)} holds {lying.shown()}")
    if flavor.get("code"):
        reading.notes.append("The code that lies in the MLflow model was not run.")
    container, tree = read_part(reading, f"{data}/{chosen}")
    return f"MLflow model ({container})", tree


def _flavors(reading: Reading) -> dict[str, Any]:
    import yaml

    _, file = reading.open(MLFLOW)
    text = file.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise InputError(f"MLmodel: has more than {LARGEST:,} bytes")
    try:
        held = yaml.safe_load(text.decode())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"MLmodel: not valid YAML: {clean_text(error, 120)}") from error
    flavors = held.get("flavors") if isinstance(held, dict) else None
    if not isinstance(flavors, dict):
        raise InputError("MLmodel: names no flavors")
    return flavors
