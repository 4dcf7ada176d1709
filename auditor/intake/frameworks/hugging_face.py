"""A Hugging Face folder as the source of the model: built by transformers as `config.json` says.

The configuration is read and bounded by `opening.hub_config` first. No code of the folder's is ever
run, nothing is fetched, and the weights are read like those of any checkpoint.
"""

import copy
import difflib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.intake.frameworks.hugging_face_loss import told_of
from auditor.intake.frameworks.hugging_face_names import of_today
from auditor.intake.frameworks.package import package
from auditor.intake.frameworks.source import Source
from auditor.intake.reference import blame
from auditor.opening.hub_config import CONFIG, architecture_of, hub_folder, read_config

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

FORCED = {"use_cache": False, "use_pretrained_backbone": False}
"""Settings that an audit decides: nothing is kept between steps, and nothing fetched."""

LEFT_OUT = ("quantization_config", "_attn_implementation", "attn_implementation", "use_kernels")
"""Keys of how the folder's author ran it, which ask for other code."""

TIMES, BESIDE = 4, 1 << 26
"""A model may hold that many times the checkpoint's values, and as many beside them."""
MODULES_EACH, MODULES_BESIDE = 50, 2_000
"""Parts that a model may be made of, for each tensor in the checkpoint and beside."""


MOST_FILES = 10_000
"""Files of a folder that are looked at."""


def hugging_face_source(
    weights: Mapping[str, torch.Tensor] | None,
    path: Path | None,
    named: str | None,
    given: dict[str, Any],
) -> Source:
    """Return the source of a model of transformers', with `config.json` beside the checkpoint.

    `named` is the class where the spec names one; `given` goes over the configuration.

    Raises:
        InputError: there is no such folder, its configuration names no class of transformers', or
            a model of it would be far larger than the checkpoint.
    """
    if path is None or weights is None:
        raise InputError(
            "model.checkpoint: a model of transformers' is built as the `config.json` beside its "
            "weights says; name the folder that holds both"
        )
    folder = hub_folder(path)
    shown = clean_text(folder / CONFIG)
    config = read_config(folder)
    name = named or architecture_of(config, shown)
    with quiet():
        kind = _class_of(package("transformers", "model.factory"), name, shown, named is not None)
        made = _configured(kind, config, given, shown)
        sketch = _sketched(kind, made, weights, shown)
        _ties_agree(sketch, weights, shown)
        named_now = of_today(kind, made, sketch, weights, shown)

    def build() -> nn.Module:
        with quiet():
            built: nn.Module = kind(copy.deepcopy(made))
            return built

    return Source(
        function=build,
        code=kind,
        offered={"tokenizer": lambda: tokenizer_of(folder)},
        tells=quiet()(told_of),
        weights=named_now,
        notes=(f"The model is transformers' {name}, as {CONFIG} beside its weights says.",),
    )


def tokenizer_of(folder: Path) -> Any:
    """Return the tokenizer in a folder, which transformers' own classes make.

    Raises:
        InputError: there is none, or it wants code of the folder's.
    """
    read_config(folder, "tokenizer_config.json")
    for path in islice(folder.iterdir(), MOST_FILES):
        # Whatever of them a tokenizer opens: a FIFO would wait for its writer.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(f"{clean_text(path)}: not a regular file")
    with quiet():
        transformers = package("transformers", "data")
        try:
            return transformers.AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
        except Exception as error:
            raise InputError(f"{clean_text(folder)}: its tokenizer {blame(error)}") from error


def _class_of(transformers: Any, name: str, shown: str, in_spec: bool) -> Any:
    where = "model.factory" if in_spec else f"{shown}: `architectures`"
    try:
        kind = getattr(transformers, name, None) if name in dir(transformers) else None
    except Exception as error:
        raise InputError(f"{where}: transformers' {clean_text(name, 80)} {blame(error)}") from error
    if isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel):
        return kind
    near = difflib.get_close_matches(name, [n for n in dir(transformers) if "For" in n], n=1)
    hint = f"did you mean {near[0]!r}? Else build" if near else "build"
    raise InputError(
        f"{where}: transformers {clean_text(transformers.__version__, 20)} has no model "
        f"{clean_text(name, 80)!r}; {hint} it by a function of your own "
        "(`model: {factory: module:callable}`)"
    )


def _configured(kind: Any, config: dict[str, Any], given: dict[str, Any], shown: str) -> Any:
    """Return the configuration, an instance of the class that the model's class wants."""
    wanted = kind.config_class
    told = config.get("model_type", wanted.model_type)
    if told != wanted.model_type:
        raise InputError(
            f"{shown}: it is of a {clean_text(told, 60)!r}, and {kind.__name__} is built from one "
            f"of a {wanted.model_type!r}"
        )
    try:
        made = wanted.from_dict({**_without(config), **given})
        unknown = [name for name in given if not hasattr(wanted(), name)]
    except Exception as error:
        raise InputError(f"{shown}: {wanted.__name__} does not take it: {_said(error)}") from error
    if unknown:
        near = difflib.get_close_matches(unknown[0], list(vars(wanted())), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(
            f"model.args: {wanted.__name__} has no {clean_text(unknown[0], 60)!r}{hint}"
        )
    # Attention in plain steps: gradients of gradients go through it, and no other code is asked.
    made._attn_implementation = "eager"
    return made


def _without(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without what an audit decides, in its parts too."""
    kept = {
        key: _without(value) if isinstance(value, dict) and key != "id2label" else value
        for key, value in config.items()
        if key not in LEFT_OUT
    }
    return {**kept, **{key: value for key, value in FORCED.items() if key in kept}}


def _sketched(kind: Any, config: Any, weights: Mapping[str, torch.Tensor], shown: str) -> Any:
    """Return the model without memory; refuse one far beyond the weights that it is to hold."""
    values = TIMES * sum(tensor.numel() for tensor in weights.values()) + BESIDE
    parts = MODULES_EACH * len(weights) + MODULES_BESIDE
    try:
        with _bounded(values, parts), torch.device("meta"):
            return kind(copy.deepcopy(config))
    except InputError as error:
        raise InputError(
            f"{shown}: a {kind.__name__} of these sizes is far larger than the weights beside it: "
            f"{error}"
        ) from error
    except Exception as error:
        raise InputError(
            f"{shown}: {kind.__name__} can't be built as it says: {_said(error)}"
        ) from error


@contextmanager
def _bounded(values: int, parts: int) -> Iterator[None]:
    """Stop the building of a model that comes to more values or parts."""
    left = {"values": values, "parts": parts}

    def spend(what: str, count: int, limit: int) -> None:
        left[what] -= count
        if left[what] < 0:
            raise InputError(f"it would come to more than {limit:,} {what}")

    def tensor(_: nn.Module, __: str, held: torch.Tensor | None) -> None:
        spend("values", held.numel() if held is not None else 0, values)

    def part(_: nn.Module, __: str, ___: nn.Module | None) -> None:
        spend("parts", 1, parts)

    with ExitStack() as stack:
        for handle in (
            hooks.register_module_parameter_registration_hook(tensor),
            hooks.register_module_buffer_registration_hook(tensor),
            hooks.register_module_module_registration_hook(part),
        ):
            stack.callback(handle.remove)
        yield


def _ties_agree(built: nn.Module, weights: Mapping[str, torch.Tensor], shown: str) -> None:
    """Refuse weights that differ where the model has one."""
    names: dict[int, list[str]] = {}
    for name, parameter in built.named_parameters(remove_duplicate=False):
        if name in weights:
            names.setdefault(id(parameter), []).append(name)
    for first, *others in names.values():
        for other in others:
            one, two = weights[first], weights[other]
            if one.shape != two.shape or not torch.equal(one, two):
                raise InputError(
                    f"{shown}: it ties {clean_text(first)} and {clean_text(other)}, which differ "
                    "in the weights beside it; if they are meant to, say in the spec\n"
                    "  model: {args: {tie_word_embeddings: false}}"
                )


def _said(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return clean_text(": ".join(lines[:2]) or type(error).__name__, 240)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers offline and silent; afterwards it is as it was."""
    before = {name: os.environ.get(name) for name in OFFLINE}
    os.environ.update(OFFLINE)
    try:
        constants = package("huggingface_hub.constants", "model.factory")
        logging = package("transformers", "model.factory").utils.logging
        online, loud = constants.HF_HUB_OFFLINE, logging.get_verbosity()
        bars = logging.is_progress_bar_enabled()
        constants.HF_HUB_OFFLINE = True
        logging.set_verbosity(logging.CRITICAL)
        logging.disable_progress_bar()
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = online
            logging.set_verbosity(loud)
            if bars:
                logging.enable_progress_bar()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
