"""How two environments differ: item by item, and how far apart two versions are."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from packaging.version import InvalidVersion, Version

from auditor.observations.environment import Evidence

Since = Literal["training", "the last audit"]
Distance = Literal["major", "minor", "patch", "other"]
"""The first part in which two versions differ; `other` of what has no parts, as a GPU's name."""

SHOWN: Mapping[str, str] = {
    "torch": "PyTorch",
    "python": "Python",
    "torchvision": "torchvision",
    "torchaudio": "torchaudio",
    "timm": "timm",
    "transformers": "Transformers",
    "lightning": "Lightning",
    "numpy": "NumPy",
    "scipy": "SciPy",
    "cuda": "CUDA",
    "cudnn": "cuDNN",
    "driver": "GPU driver",
    "auditor": "auditor",
    "device": "device",
    "gpu": "GPU",
    "cpu": "CPU instructions",
    "system": "system",
    "machine": "architecture",
    "implementation": "Python's kind",
    "default_dtype": "default number type",
    "matmul_precision": "precision of matrix products",
    "tf32_matmul": "TF32 in matrix products",
    "tf32_cudnn": "TF32 in cuDNN",
    "cudnn_benchmark": "cuDNN's search for the fastest kernel",
    "deterministic": "deterministic kernels only",
    "threads": "threads",
}
"""What is compared, in the order of a table, and how a sentence names it."""

VERSIONED = frozenset(list(SHOWN)[: list(SHOWN).index("device")])

OWN = frozenset({"auditor", "threads", "deterministic", "cudnn_benchmark", "cpu"})
"""Items in which a training run may well be another than an audit: compared among audits alone."""

KNOWN: Mapping[str, tuple[tuple[str, str], ...]] = {
    "torch": (
        ("1.1", "since PyTorch 1.1 the learning rate's schedule is stepped after the optimizer"),
        ("1.7", "since PyTorch 1.7 newer GPUs multiply float32 matrices in TF32"),
        ("1.12", "since PyTorch 1.12 GPUs multiply float32 matrices in TF32 on request only"),
        ("1.12", "since PyTorch 1.12 transformer encoders take a fused path in evaluation"),
        ("2.0", "since PyTorch 2.0 attention runs in fused kernels"),
        ("2.0", "since PyTorch 2.0 `zero_grad` sets gradients to None"),
        ("2.6", "since PyTorch 2.6 `torch.load` reads weights alone unless it is told otherwise"),
    ),
    "torchvision": (("0.17", "since torchvision 0.17 tensors are resized with antialiasing"),),
    "numpy": (("2.0", "since NumPy 2.0 float32 values stay float32 beside Python numbers"),),
}
"""Defaults that changed what comes out, by the version that brought them (release notes)."""


@dataclass(frozen=True)
class Change:
    """One item that is not what it was; `where` tells what says so."""

    item: str
    since: Since
    was: str
    now: str
    distance: Distance
    where: str

    @property
    def name(self) -> str:
        """Return how a sentence names the item."""
        return SHOWN[self.item]

    @property
    def known(self) -> tuple[str, ...]:
        """Return what is known to have changed between the two versions."""
        pair = version_of(self.was), version_of(self.now)
        if pair[0] is None or pair[1] is None:
            return ()
        low, high = sorted(version for version in pair if version is not None)
        notes = KNOWN.get(self.item, ())
        return tuple(note for since, note in notes if low < Version(since) <= high)


def trained_with(found: tuple[Evidence, ...]) -> dict[str, Evidence]:
    """Return the facts of a training that can be compared, by item."""
    kept: dict[str, Evidence] = {}
    for fact in found:
        item = fact.item.strip().lower()
        if item == "platform":
            system = re.match(r"linux|windows|macos|darwin", fact.value.strip(), re.IGNORECASE)
            name = "Darwin" if system and system[0].lower() == "macos" else system and system[0]
            item, fact = "system", Evidence("system", str(name or "").capitalize(), fact.where)
        fits = version_of(fact.value) is not None if item in VERSIONED else bool(fact.value)
        if item == "device":
            fits = kind_of_device(fact.value) in ("cpu", "cuda", "mps", "xpu")
        if item in SHOWN and fits:
            kept.setdefault(item, fact)
    if "device" not in kept and (told := kept.get("gpu") or kept.get("cuda")):
        kept["device"] = Evidence("device", "cuda", told.where)
    return kept


def changes(
    was: Mapping[str, Evidence], now: Mapping[str, str], since: Since
) -> tuple[list[Change], list[str]]:
    """Return what is not what it was, the gravest first, and all items that were compared."""
    found: list[Change] = []
    compared: list[str] = []
    for item in SHOWN:
        if item not in was or item not in now or (since == "training" and item in OWN):
            continue
        compared.append(item)
        distance = _distance(item, was[item].value, now[item])
        if distance is not None:
            fact = was[item]
            found.append(Change(item, since, fact.value, now[item], distance, fact.where))
    order = ["major", "minor", "patch", "other"]
    found.sort(key=lambda c: (c.item != "torch", c.item != "python", order.index(c.distance)))
    return found, compared


def _distance(item: str, was: str, now: str) -> Distance | None:
    """Return how far apart two values are, None where they are the same as far as both tell."""
    if item == "device":
        return None if kind_of_device(was) == kind_of_device(now) else "other"
    if item not in VERSIONED:
        return None if was.strip().lower() == now.strip().lower() else "other"
    one, other = version_of(was), version_of(now)
    if one is None or other is None:
        return None if was == now else "other"
    for name, a, b in zip(_names(), one.release, other.release, strict=False):
        if a != b:
            return name
    return None if (one.pre, one.dev, one.post) == (other.pre, other.dev, other.post) else "patch"


def _names() -> Iterator[Distance]:
    yield "major"
    yield "minor"
    while True:
        yield "patch"


def kind_of_device(device: str) -> str:
    """Return "cuda" of "cuda:1"."""
    kind = device.partition(":")[0].strip().lower()
    return "cuda" if kind == "gpu" else kind


def version_of(text: str) -> Version | None:
    """Return a version without what stands behind a plus, which names a build of it.

    None where the text leaves the version open, or is none.
    """
    try:
        return Version(text.strip().removeprefix("==").rstrip(".*").partition("+")[0][:40])
    except InvalidVersion:
        return None
