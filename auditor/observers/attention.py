"""How attention is spread, computed anew from queries and keys for some of the queries."""

import inspect
import math
from typing import Any

import torch
from torch.nn import functional

MOST = 2**20
"""Probabilities of one attention that are computed for one batch."""

ROWS, QUERIES = 16, 128
"""Examples, and queries of each, that are looked at."""

MASKED = -5e3
"""Scores below this are masked: the usual masks are -inf, -1e9, the least float, and -1e4."""

ONE_KEY, ALL_KEYS = 0.01, 0.9999
"""Normalised entropy below which one key has all, and above which all keys have the same."""

Sums = tuple[int, torch.Tensor]
"""The number of queries, and [4, heads] of summed entropy, collapsed, uniform, deviation."""

_MHA = inspect.signature(functional.multi_head_attention_forward)
_SDPA = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")


def of_multi_head(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """Return scores [rows, heads, queries, keys], -inf where masked, of multi-head attention."""
    given = _MHA.bind(*args, **kwargs)
    given.apply_defaults()
    a = given.arguments
    query, key, heads = a["query"].detach(), a["key"].detach(), a["num_heads"]
    if query.ndim == 2:
        query, key = query.unsqueeze(1), key.unsqueeze(1)
    width = a["embed_dim_to_check"]
    if a["use_separate_proj_weight"]:
        wq, wk = a["q_proj_weight"], a["k_proj_weight"]
    else:
        wq, wk, _ = a["in_proj_weight"].chunk(3)
    bias = a["in_proj_bias"]
    bq, bk = (None, None) if bias is None else bias.chunk(3)[:2]
    rows, places = _chosen(query.shape[1], query.shape[0], heads * key.shape[0], query.device)
    query, key = query[places][:, :rows], key[:, :rows]
    q, k = _linear(query, wq, bq), _linear(key, wk, bk)
    q = q.unflatten(-1, (heads, width // heads)).permute(1, 2, 0, 3)
    k = k.unflatten(-1, (heads, width // heads)).permute(1, 2, 0, 3)
    scores = _scores(q, k, None)
    mask = a["attn_mask"]
    if mask is not None:
        if mask.ndim == 3:
            mask = mask.unflatten(0, (-1, heads))[:rows]
        scores = _masked(scores, mask[..., places, :], keeps=False)
    elif a["is_causal"]:
        scores = _causal(scores, places)
    padding = a["key_padding_mask"]
    if padding is not None:
        padding = padding if padding.ndim == 2 else padding.unsqueeze(0)
        scores = _masked(scores, padding[:rows, None, None, :], keeps=False)
    return scores


def of_scaled_dot_product(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """Return scores [rows, heads, queries, keys], -inf where masked, of a call of torch's."""
    a = dict(zip(_SDPA, args, strict=False)) | kwargs
    q, k = a["query"].detach(), a["key"].detach()
    if q.ndim < 2:
        return None
    while q.ndim < 4:
        q, k = q.unsqueeze(-3 if q.ndim == 3 else 0), k.unsqueeze(-3 if k.ndim == 3 else 0)
    if q.ndim > 4:
        q, k = q.flatten(0, -4), k.flatten(0, -4)
    if q.shape[1] != k.shape[1]:
        k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    rows, places = _chosen(q.shape[0], q.shape[2], q.shape[1] * k.shape[2], q.device)
    scores = _scores(q[:rows][:, :, places], k[:rows], a.get("scale"))
    mask = a.get("attn_mask")
    if mask is not None:
        if mask.ndim == 3 and a["query"].ndim == 3:
            mask = mask.unsqueeze(1)
        mask = mask[:rows] if mask.ndim == 4 and len(mask) > 1 else mask
        mask = mask[..., places, :] if mask.shape[-2] > 1 else mask
        scores = _masked(scores, mask, keeps=True)
    elif a.get("is_causal"):
        scores = _causal(scores, places)
    return scores


def of_softmax(scores: torch.Tensor) -> torch.Tensor:
    """Return scores [rows, heads, queries, keys] of a softmax over the last of several dimensions.

    Three dimensions are those of one head.
    """
    scores = scores.detach()
    scores = scores.unsqueeze(1) if scores.ndim == 3 else scores
    scores = scores.flatten(0, -4) if scores.ndim > 4 else scores
    heads, queries, keys = scores.shape[1:]
    rows, places = _chosen(len(scores), queries, heads * keys, scores.device)
    scores = scores[:rows][:, :, places].float()
    return scores.masked_fill(scores <= MASKED, -math.inf)


def spread(scores: torch.Tensor) -> Sums:
    """Return how the softmax of scores [rows, heads, queries, keys] is spread over keys.

    The entropy is divided by the logarithm of the number of visible keys; queries that see fewer
    than two keys are left out (with one, there is nothing to choose).
    """
    visible = torch.isfinite(scores)
    count = visible.sum(-1)
    chooses = count > 1
    safe = scores.masked_fill(~visible, 0.0)
    logs = torch.log_softmax(scores.masked_fill(~visible, -math.inf), -1)
    logs = logs.masked_fill(~visible, 0.0)
    entropy = -(logs.exp() * logs * visible).sum(-1) / count.clamp(min=2).log()
    mean = safe.sum(-1) / count.clamp(min=1)
    around = (safe - mean.unsqueeze(-1)).square() * visible
    deviation = (around.sum(-1) / count.clamp(min=1)).sqrt()
    parts = (entropy, (entropy < ONE_KEY).float(), (entropy > ALL_KEYS).float(), deviation)
    sums = torch.stack([(part * chooses).nan_to_num().sum((0, 2)) for part in parts])
    # Masks are the same for all heads but in exotic models; the count is that of the first.
    return chooses[:, 0].sum(), sums  # type: ignore[return-value]


def _chosen(
    examples: int, queries: int, row: int, device: torch.device
) -> tuple[int, torch.Tensor]:
    """Return how many examples, and which queries, keep within `MOST` probabilities."""
    most = max(1, MOST // max(row, 1))
    rows = max(1, min(examples, ROWS, most))
    kept = max(1, min(queries, QUERIES, most // rows))
    places = torch.linspace(queries - 1, 0, kept, device=device).round().long().flip(0)
    return rows, places


def _linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    made = x @ weight.detach().t()
    return made if bias is None else made + bias.detach()


def _scores(q: torch.Tensor, k: torch.Tensor, scale: float | None) -> torch.Tensor:
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    return (q.float() * factor) @ k.float().transpose(-2, -1)


def _masked(scores: torch.Tensor, mask: torch.Tensor, *, keeps: bool) -> torch.Tensor:
    """Return scores with a mask applied; a mask of bools `keeps` or takes out what is True."""
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask if keeps else mask, -math.inf)
    scores = scores + mask.float()
    return scores.masked_fill(mask.float().expand_as(scores) <= MASKED, -math.inf)


def _causal(scores: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    later = torch.arange(scores.shape[-1], device=scores.device) > places[:, None]
    return scores.masked_fill(later, -math.inf)
