"""What a checkpoint and the files beside it tell of the environment it was trained in."""

import re
from pathlib import Path

from auditor.core.text import clean_text
from auditor.intake.recorder_file import Header
from auditor.observations.environment import EnvironmentEvidence, Evidence

FILES = (
    "requirements.txt",
    "requirements.lock",
    "environment.yml",
    "environment.yaml",
    "conda.yaml",
    "python_env.yaml",
    "environment.json",
    "uv.lock",
    "poetry.lock",
    "pylock.toml",
    "Pipfile.lock",
)
"""Files beside a checkpoint or a spec that pin an environment."""

LARGEST = 4 << 20
"""Bytes of the largest such file that is read."""

_ITEMS = {
    "python": "python",
    "torch": "torch",
    "pytorch": "torch",
    "numpy": "numpy",
    "scipy": "scipy",
    "torchvision": "torchvision",
    "torchaudio": "torchaudio",
    "timm": "timm",
    "transformers": "transformers",
    "lightning": "lightning",
    "pytorch-lightning": "lightning",
    "cuda": "cuda",
    "cudnn": "cudnn",
    "device": "device",
    "gpu": "gpu",
    "gpu-name": "gpu",
    "driver": "driver",
    "default-dtype": "default_dtype",
    "matmul-precision": "matmul_precision",
    "tf32-matmul": "tf32_matmul",
    "tf32-cudnn": "tf32_cudnn",
    "platform": "platform",
    "hostname": "host",
}

_PINNED = re.compile(r"^\s*-?\s*([A-Za-z][\w.-]*)\s*={1,3}\s*([0-9][\w.+-]*)", re.MULTILINE)
_LOCKED = re.compile(r'name = "([\w.-]+)"\s+version = "([^"]+)"')
_JSON = re.compile(r'"([A-Za-z][\w.-]*)"\s*:\s*(?:\{[^{}]*?"version"\s*:\s*)?"(?:==)?(\d[^"]*)"')


def evidence(
    extras: dict[str, str], folders: list[Path], recorded: Header | None = None
) -> EnvironmentEvidence:
    """Return the versions found in a checkpoint's plain values and in known files in `folders`.

    What a Recorder wrote beside the checkpoint comes before files that anybody may have put there.
    """
    found: dict[str, Evidence] = {}
    for key, value in extras.items():
        item = _item(key.rpartition(".")[2])
        number = item == "gpu" and value.isdigit()  # which of several, not which kind
        if item is not None and value not in ("", "None") and not number:
            found.setdefault(item, Evidence(item, value, f"checkpoint: {key}"))
    looked_at = ["the checkpoint"]
    if recorded is not None:
        looked_at.append(recorded.name)
        for key, value in recorded.environment.items():
            if (item := _item(key)) is not None:
                found.setdefault(item, Evidence(item, value, recorded.name))
    for folder in dict.fromkeys(folder.resolve() for folder in folders):
        for name in FILES:
            looked_at.append(name)
            for item, version in _versions(_text(folder / name)):
                found.setdefault(item, Evidence(item, version, name))
    return EnvironmentEvidence(tuple(found.values()), tuple(dict.fromkeys(looked_at)))


def _text(path: Path) -> str:
    """Return the text of a file; nothing where there is none, or none that can be read."""
    try:
        if path.is_file() and path.stat().st_size <= LARGEST:
            return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        pass
    return ""


def _versions(text: str) -> list[tuple[str, str]]:
    pairs = _PINNED.findall(text) + _LOCKED.findall(text) + _JSON.findall(text)
    return [
        (item, clean_text(version, 60))
        for name, version in pairs
        if (item := _item(name)) is not None
    ]


def _item(key: str) -> str | None:
    """Return the item that a key such as `torch_version` or `pytorch-lightning` tells of."""
    name = key.lower().replace("_", "-").removesuffix("-version").removesuffix(".version")
    return _ITEMS.get(name)
