"""Predictions made by hand, for whatever judges outputs beside targets."""

from dataclasses import replace
from typing import Any

import numpy as np

from auditor.observations.predictions import Predictions
from auditor.observations.probabilities import by_batch, log_softmax, read

BATCH = 50


def predicted(
    outputs: Any, targets: Any, loss: str = "cross_entropy", **changes: Any
) -> Predictions:
    """Return predictions of one row an example, with the losses that their batches have."""
    outputs, targets = np.asarray(outputs, np.float32), np.asarray(targets)
    rows = len(outputs)
    kind: Any = "classes" if targets.ndim == 1 else "labels"
    sizes = np.asarray([min(BATCH, rows - start) for start in range(0, rows, BATCH)])
    seen = Predictions(
        kind=kind,
        outputs=outputs,
        targets=targets,
        example=np.arange(rows),
        losses=np.zeros(len(sizes)),
        batch_examples=sizes,
        rows_seen=rows,
        ignored=0,
        loss=loss,
        plain=True,
        split="val",
        task="multiclass" if kind == "classes" else "multilabel",
    )
    stated = read(seen, as_loss=True)
    if not isinstance(stated, str):
        seen = replace(seen, losses=by_batch(seen, stated.surprise)[0])
    return replace(seen, **changes)


def drawn(rows: int, classes: int, scale: float = 3.0, seed: int = 0) -> tuple[Any, Any]:
    """Return logits of a calibrated model, [rows, classes], and the classes drawn from them."""
    rng = np.random.default_rng(seed)
    logits = scale * rng.standard_normal((rows, classes))
    share = np.exp(log_softmax(logits)).cumsum(axis=1)
    return logits, (share > rng.random((rows, 1))).argmax(axis=1)
