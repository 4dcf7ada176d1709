"""What a folder is by the names in it: which file holds the weights, which others belong to it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from auditor.core.errors import InputError
from auditor.core.text import clean_text, listed
from auditor.opening.listing import Listing

STEMS = ("model", "pytorch_model", "diffusion_pytorch_model", "open_clip_model",
         "open_clip_pytorch_model")  # fmt: skip
"""Names under which libraries save a model's weights, the likeliest first."""
SUFFIXES = (".safetensors", ".bin")
"""What follows them, the safer first."""
INDEX = ".index.json"

STATES = re.compile(r"(optimizer|scheduler)(_\d{1,3})?\.(?:pt|bin)")
"""Files in which trainers keep the states of optimizers and schedules."""
CHECKPOINT = re.compile(r".+\.(?:pt|pth|th|ckpt|safetensors|bin|pt2|onnx)", re.IGNORECASE)
"""Names of checkpoints that nothing else tells of."""
NO_MODEL = re.compile(
    r"(?:optimizer|scheduler|scaler|sampler|rng_state|random_states|training_args|tokenizer"
    r"|custom_checkpoint|dl_state_dict).*",
    re.IGNORECASE,
)
"""Names of what trainers save beside a model's weights."""
ONE_OF_SEVERAL = re.compile(r"(?:checkpoint|global_step|pytorch_model_fsdp)[-_]?\w*")
"""Names of folders that hold a checkpoint each."""

ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
MLFLOW = "MLmodel"
MLFLOW_DATA = "data"
DISTRIBUTED = ".metadata"


@dataclass(frozen=True)
class Layout:
    """How a folder is read: by which of `readers`, and from which of its files.

    `weights` is a file, or the index of several. `states` are the files of states by the key that
    each goes under. `files` are all that may be read, and `folders` those that are read whole.
    `notes` tell of weights that are not read.
    """

    reader: str
    what: str
    weights: str = ""
    states: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def layout_of(folder: Listing) -> Layout:
    """Return how a folder is read.

    Raises:
        InputError: it is no checkpoint, or one of a kind that is not read; it says what to do.
    """
    files = folder.files
    if DISTRIBUTED in files:
        return Layout("dcp", "distributed checkpoint", files=tuple(files))
    if MLFLOW in files:
        return Layout("mlflow", "MLflow model", files=(MLFLOW,), folders=(MLFLOW_DATA,))
    weights, notes = _weights(folder)
    states = tuple(_states(files))
    read = {weights, *(name for _, name in states)}
    if weights.endswith(".json"):
        kind = next(suffix for suffix in SUFFIXES if suffix in weights)
        read |= {name for name in files if name.endswith(kind)}
    return Layout(
        reader="folder",
        what=_what(folder),
        weights=weights,
        states=states,
        files=tuple(sorted(read)),
        notes=notes,
    )


def _what(folder: Listing) -> str:
    if "trainer_state.json" in folder.files:
        return "Trainer checkpoint"
    if any(name.startswith("random_states_") for name in folder.files):
        return "accelerate state"
    return "Hugging Face folder" if "config.json" in folder.files else "folder"


def _states(files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the files of states, each under a key of its own."""
    taken: set[str] = set()
    for name in files:
        found = STATES.fullmatch(name)
        if found and (key := found[1] + (found[2] or "")) not in taken:
            taken.add(key)
            yield key, name


def _weights(folder: Listing) -> tuple[str, tuple[str, ...]]:
    """Return the file, or the index, that holds the weights of a folder, and notes."""
    files = [name for name in folder.files if not NO_MODEL.fullmatch(name)]
    found = [
        name
        for suffix in SUFFIXES
        for stem in STEMS
        for name in (f"{stem}{suffix}", f"{stem}{suffix}{INDEX}")
        if name in files
    ]
    if found:
        _only_model(found[0], files)
        rest = [name for name in (*found[1:], *_variants(files)) if name != found[0]]
        note = f"Not read: {listed(rest)}; {found[0]} holds the weights."
        return found[0], (note,) if rest else ()
    variants = _variants(files)
    if len(variants) == 1:
        return variants[0], (f"The weights are a variant: {clean_text(variants[0], 120)}.",)
    if variants:
        raise InputError(f"a folder of several variants of weights: {listed(variants)}; name one")
    _refuse_what_is_known(folder, files)
    checkpoints = [name for name in files if CHECKPOINT.fullmatch(name)]
    if len(checkpoints) == 1:
        return checkpoints[0], (
            f"The folder's only checkpoint was read: {clean_text(checkpoints[0], 120)}.",
        )
    if checkpoints:
        raise InputError(f"a folder of several checkpoints: {listed(checkpoints)}; name one")
    raise InputError(
        f"a folder without a checkpoint; it holds {folder.shown()}.\n"
        "Expected: model.safetensors, an index of shards, a checkpoint of a trainer, a distributed "
        "checkpoint, an MLflow model, or one checkpoint file"
    )


def _only_model(chosen: str, files: list[str]) -> None:
    """Refuse a folder in which accelerate put several models."""
    stem, _, suffix = chosen.partition(".")
    several = re.compile(rf"{re.escape(stem)}_\d{{1,3}}\.{re.escape(suffix)}")
    others = [name for name in files if several.fullmatch(name)]
    if others:
        raise InputError(
            f"a folder of several models: {listed([chosen, *others])}; name the file of one"
        )


def _variants(files: list[str]) -> list[str]:
    """Return weights of another precision or kind: `model.fp16.safetensors`, or the index of it."""
    stems, suffixes = "|".join(STEMS), "|".join(re.escape(one) for one in SUFFIXES)
    variant = re.compile(
        rf"(?:{stems})(?:\.(?!index\b)[\w-]{{1,40}}(?:{suffixes})"
        rf"|(?:{suffixes})\.index\.[\w-]{{1,40}}\.json)"
    )
    shard = re.compile(r".+-\d+-of-\d+\.\w+")
    return [name for name in files if variant.fullmatch(name) and not shard.fullmatch(name)]


def _refuse_what_is_known(folder: Listing, files: list[str]) -> None:
    """Refuse folders whose names tell what they are, and what to do with them."""
    if any(name in files for name in ADAPTER):
        raise InputError(
            "an adapter (PEFT, LoRA) without the model that it changes; put both together and "
            "audit that:\n"
            "  model = AutoPeftModel.from_pretrained(folder).merge_and_unload()\n"
            "  model.save_pretrained(merged)"
        )
    shards = [name for name in files if re.fullmatch(r".+-\d+-of-\d+\.(?:safetensors|bin)", name)]
    if shards:
        first = re.sub(r"-\d+-of-\d+", "", shards[0])
        raise InputError(
            f"a folder of shards without their index {clean_text(first, 120)}{INDEX}: "
            f"{listed(shards, 3)}"
        )
    if "model_index.json" in files:
        raise InputError(
            "a pipeline of several models (diffusers); name the folder of one: "
            f"{listed(list(folder.folders))}"
        )
    inner = sorted(filter(ONE_OF_SEVERAL.fullmatch, folder.folders), key=_in_order)
    if inner and not any(CHECKPOINT.fullmatch(name) for name in files):
        raise InputError(
            f"a folder of checkpoints: {listed(inner)}; name one, for instance "
            f"{clean_text(inner[-1], 120)}"
        )


def _in_order(name: str) -> tuple[int, str]:
    number = re.search(r"(\d{1,18})\D*$", name)
    return int(number[1]) if number else -1, name
