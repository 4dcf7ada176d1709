"""What stands in a checkpoint as JSON, for programs; docs/checkpoints.md says what it holds."""

import json
import math
from typing import Any

from auditor.core.text import clean_text
from auditor.intake.inspection import Inspection, Weights

VERSION = 1
"""Of this format: raised where a key goes or changes what it means."""


def inspection_json(seen: Inspection) -> str:
    """Return what stands in a checkpoint: all of it but the values of its tensors."""
    told = {
        "schema_version": VERSION,
        "path": clean_text(seen.path),
        "container": clean_text(seen.container),
        "bytes": seen.bytes,
        "sha256": seen.sha256,
        "files": [
            {"name": clean_text(file.name), "bytes": file.bytes, "sha256": file.sha256}
            for file in seen.files
        ],
        "weights": {**_state_dict(seen.chosen), "tensors": _tensors(seen.chosen)},
        "other_weights": [
            {**_state_dict(other), "tensors": len(other.tensors)} for other in seen.others
        ],
        "optimizers": [
            {
                "key": clean_text(one.key),
                "classes": one.classes,
                "groups": one.groups,
                "settings": [[name, _plain(value)] for name, value in one.settings],
                "keeps": one.slots,
            }
            for one in seen.optimizers
        ],
        "training": [
            {"name": one.name, "value": _plain(one.value), "source": clean_text(one.source)}
            for one in seen.settings
        ],
        "extras": dict(seen.extras),
        "beside": seen.beside,
        "classes": seen.classes,
        "notes": [clean_text(note, 400) for note in seen.notes],
    }
    return json.dumps(told, indent=2, allow_nan=False)


def _state_dict(weights: Weights) -> dict[str, Any]:
    return {
        "key": clean_text(weights.key),
        "averaged": weights.averaged,
        "parameters": weights.values,
        "bytes": weights.bytes,
    }


def _tensors(weights: Weights) -> list[dict[str, Any]]:
    return [
        {
            "name": clean_text(tensor.name),
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "bytes": tensor.bytes,
        }
        for tensor in weights.tensors
    ]


def _plain(value: Any) -> Any:
    """Return a setting as JSON has it; what JSON has no sign for is text."""
    if isinstance(value, dict):
        return {clean_text(name, 80): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    plain = value is None or isinstance(value, bool | int | float)
    return value if plain else clean_text(value)
