"""Every weight as matrices of units: gates, projections and groups told apart."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn.utils import parametrize

from auditor.intake.subject import Subject
from auditor.observations.weight_matrices import Kind

PARAMETRISED = re.compile(r"(?:(.+)\.)?parametrizations\.(\w+)\.original([01]?)$")
FUSED = re.compile(r"(?:^|[._])(?:w?qkv|query_key_value|c_attn|in_proj)$", re.IGNORECASE)
EMBEDS = re.compile(r"emb|^wte$|^wpe$|^tok(?:ens)?$", re.IGNORECASE)
STATE = re.compile(r"running_|num_batches|mask|_index$|_u$|inv_freq")

GATES = {
    1: ("",),
    3: ("reset gate", "update gate", "new gate"),
    4: ("input gate", "forget gate", "cell gate", "output gate"),
}
PROJECTIONS = ("query", "key", "value")


@dataclass(frozen=True)
class Part:
    """A weight [units, ...] with what each unit adds to it; `offset` is its first row's number.

    `before` are the rows of the same parameter that stand in its parts before this one, and
    `swapped` tells that the parameter itself has its inputs first.
    """

    name: str
    part: str
    kind: Kind
    values: torch.Tensor
    groups: int = 1
    bias: torch.Tensor | None = None
    trainable: bool | None = None
    offset: int = 0
    before: torch.Tensor | None = None
    swapped: bool = False


@dataclass(frozen=True)
class Owned:
    """The parameters of one module by their own names, with the module where it is known."""

    owner: str
    module: nn.Module | None
    tensors: dict[str, torch.Tensor]
    trainable: bool | None


def parts_of(subject: Subject) -> tuple[list[Part], list[str]]:
    """Return all weights and biases, and the names of tensors that nothing is known of."""
    if subject.model is not None:
        return _told_apart(owned_by(subject.model))
    return _told_apart(_owned_by_name(subject.checkpoint.weights if subject.checkpoint else {}))


def owned_by(model: nn.Module) -> Iterator[Owned]:
    """Yield the parameters of each module once, parametrised ones as they are used."""
    seen: set[int] = set()
    inner = {
        part
        for module in model.modules()
        if isinstance(module, parametrize.ParametrizationList)
        for part in module.modules()
    }
    for owner, module in model.named_modules():
        if module in inner:
            continue
        raw = {name: p for name, p in module._parameters.items() if p is not None}
        raw = {name: p for name, p in raw.items() if id(p) not in seen}
        seen |= {id(p) for p in raw.values()}
        trained = [p.requires_grad for p in raw.values()]
        tensors = {name: p.detach() for name, p in raw.items()}
        if parametrize.is_parametrized(module):
            module.eval()  # the power iteration of a spectral norm must not go on
            for name, made in module.parametrizations.items():
                tensors[name] = getattr(module, name).detach()
                trained += [p.requires_grad for p in made.parameters()]
        for name, mask in module._buffers.items():
            original = name.removesuffix("_mask") + "_orig"
            if mask is not None and name.endswith("_mask") and original in tensors:
                tensors[original] = tensors[original] * mask
        if tensors:
            yield Owned(owner, module, tensors, any(trained))


def _owned_by_name(weights: dict[str, torch.Tensor]) -> Iterator[Owned]:
    owners: dict[str, dict[str, torch.Tensor]] = {}
    seen: set[tuple[int, tuple[int, ...], tuple[int, ...]]] = set()
    for full, tensor in weights.items():
        if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided:
            continue
        same = tensor.data_ptr(), tuple(tensor.shape), tensor.stride()
        if tensor.numel() and same in seen:
            continue
        seen.add(same)
        matched = PARAMETRISED.match(full)
        if matched:
            owner, name, number = matched.groups()
            owner, name = owner or "", name + {"": "", "0": "_g", "1": "_v"}[number]
        else:
            owner, _, name = full.rpartition(".")
        owners.setdefault(owner, {})[name] = tensor
    for owner, tensors in owners.items():
        yield Owned(owner, None, tensors, None)


def _told_apart(owners: Iterator[Owned]) -> tuple[list[Part], list[str]]:
    parts: list[Part] = []
    unknown: list[str] = []
    for owned in owners:
        tensors = _weight_norm_undone(owned.tensors)
        bias = tensors.get("bias")
        for name, tensor in tensors.items():
            full = f"{owned.owner}.{name}".lstrip(".")
            readable = tensor.is_floating_point() or tensor.is_complex()
            if not readable or tensor.is_meta or tensor.is_quantized or STATE.search(name):
                continue
            squeezed = tensor.squeeze()
            if squeezed.ndim < 2 and "weight" not in name:
                known = owned.module is not None or "bias" in name
                if known and squeezed.ndim == 1:
                    parts.append(Part(full, "", "other", squeezed, trainable=owned.trainable))
                continue
            if tensor.ndim < 2:
                parts.append(Part(full, "", "other", tensor, trainable=owned.trainable))
                continue
            first = not any(p.kind == "convolution" for p in parts)
            found = _matrices(owned, name, tensors, first)
            if not found:
                unknown.append(full)
            for part in found:
                fits = bias is not None and name == "weight" and bias.ndim == 1
                rows = slice(part.offset, part.offset + len(part.values))
                own = bias[rows] if fits and bias is not None else None
                if own is not None and len(own) != len(part.values):
                    own = None
                parts.append(replace(part, name=full, bias=own, trainable=owned.trainable))
    return parts, unknown


def _matrices(owned: Owned, name: str, tensors: dict[str, torch.Tensor], first: bool) -> list[Part]:
    """Return a weight's parts, none where it can't be told what it is."""
    module, tensor = owned.module, tensors[name]
    last = owned.owner.rpartition(".")[2]
    main = re.fullmatch(r"weight(?:_orig)?|kernel", name) is not None
    if re.match(r"weight_(ih|hh|hr)", name):
        return _gates(name, tensor, tensors)
    if name == "in_proj_weight":
        return _split(tensor, PROJECTIONS, "attention")
    if isinstance(module, nn.modules.conv._ConvTransposeNd) and main:
        return [Part("", "", "convolution", *_untransposed(tensor, module.groups), swapped=True)]
    if isinstance(module, nn.modules.conv._ConvNd) and main:
        return [Part("", "", "convolution", tensor, module.groups)]
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) and main:
        return [Part("", "", "embedding", tensor)]
    if type(module).__name__ == "Conv1D" and main and tensor.ndim == 2:
        if FUSED.search(last) and tensor.shape[1] % 3 == 0:
            return [replace(p, swapped=True) for p in _split(tensor.T, PROJECTIONS, "attention")]
        return [Part("", "", "linear", tensor.T, swapped=True)]
    if main and tensor.ndim == 2:
        embeds = module is None and EMBEDS.search(last) is not None
        if FUSED.search(last) and tensor.shape[0] == 3 * tensor.shape[1]:
            return _split(tensor, PROJECTIONS, "attention")
        return [Part("", "", "embedding" if embeds else "linear", tensor)]
    if main and tensor.ndim in (3, 4, 5):
        if isinstance(module, nn.Bilinear):
            return [Part("", "", "linear", tensor)]
        # By its name alone one input a unit may be a depthwise kernel, unless it comes first.
        depthwise = tensor.shape[1] == 1 and not first
        return [Part("", "", "convolution", tensor, len(tensor) if depthwise else 1)]
    if re.search(r"weight|_proj|kernel", name) or module is not None:
        # A dimension of length 1 counts no units.
        flat = tensor.squeeze()
        return [Part("", "", "other", flat if flat.ndim > 1 else tensor)]
    return []


def _gates(name: str, tensor: torch.Tensor, tensors: dict[str, torch.Tensor]) -> list[Part]:
    hidden = tensors.get(name.replace("weight_ih", "weight_hh"))
    projected = tensors.get(re.sub(r"weight_(ih|hh)", "weight_hr", name))
    if name.startswith("weight_hr") or hidden is None or tensor.ndim != 2:
        return [Part("", "", "recurrent", tensor)]
    width = (projected if projected is not None else hidden).shape[1]
    number, odd = divmod(len(tensor), max(1, width))
    names = GATES.get(number if not odd else 1, ("",))
    return _split(tensor, names, "recurrent")


def _split(tensor: torch.Tensor, names: tuple[str, ...], kind: Kind) -> list[Part]:
    if len(tensor) % len(names):
        return [Part("", "", kind, tensor)]
    rows = len(tensor) // len(names)
    pieces = zip(names, tensor.split(rows), strict=True)
    return [
        Part("", name, kind, piece, offset=place * rows, before=tensor[: place * rows])
        for place, (name, piece) in enumerate(pieces)
    ]


def _untransposed(tensor: torch.Tensor, groups: int) -> tuple[torch.Tensor, int]:
    """Return the kernel of a transposed convolution with its units first."""
    taken, given = tensor.shape[:2]
    apart = tensor.reshape(groups, taken // groups, given, *tensor.shape[2:])
    return apart.transpose(1, 2).reshape(groups * given, taken // groups, *tensor.shape[2:]), groups


def _weight_norm_undone(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors with a direction and its length in two put together."""
    merged = dict(tensors)
    for name in [n for n in tensors if n.endswith("_v") and f"{n[:-2]}_g" in tensors]:
        direction, length = merged.pop(name), merged.pop(f"{name[:-2]}_g")
        fits = length.ndim == direction.ndim and direction.ndim > 1
        dims = [d for d in range(direction.ndim) if not fits or length.shape[d] == 1]
        if fits and dims:
            norm = torch.linalg.vector_norm(direction.float(), dim=dims, keepdim=True)
            merged[name[:-2]] = (direction * (length / norm.clamp(min=1e-30))).to(direction.dtype)
    return {n: t for n, t in merged.items() if not (n.endswith("_v") and t.ndim == 1)}
