"""The blocks of a model: the parts that can be taken out of it by themselves."""

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

_LISTS = (nn.ModuleList, nn.ModuleDict)
_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.LocalResponseNorm,
    nn.RMSNorm,
)


def is_norm(module: nn.Module) -> bool:
    """Tell whether a module normalises: by torch's class, or by its name."""
    return isinstance(module, _NORMS) or type(module).__name__.lower().endswith("norm")


def holds_weights(module: nn.Module) -> bool:
    """Tell whether a module has parameters, of its own or of its children."""
    return next(module.parameters(), None) is not None


def weighted(module: nn.Module) -> dict[str, nn.Module]:
    """Return the children that hold parameters, each once, those of parametrisations left out."""
    return {
        name: child
        for name, child in module.named_children()
        if not isinstance(child, ParametrizationList) and holds_weights(child)
    }


def blocks(model: nn.Module) -> dict[str, nn.Module]:
    """Return the model's blocks by name, each module once.

    Sequential and list modules are taken apart into what they hold, unless it is one layer with
    its normalisation and activation. Modules of other classes are whole blocks (a residual
    block, a layer of a transformer), unless there is a list of such blocks in them, or they are
    alone. A normalisation by itself is no block.
    """
    found: dict[str, nn.Module] = {}
    _collect(model, "", found, alone=True)
    return found


def _collect(module: nn.Module, name: str, found: dict[str, nn.Module], *, alone: bool) -> None:
    inner = weighted(module)
    if not inner or not (_divisible(module) or (alone and not isinstance(module, nn.Sequential))):
        if not is_norm(module) and all(module is not known for known in found.values()):
            found[name] = module
        return
    for label, child in inner.items():
        path = f"{name}.{label}" if name else label
        _collect(child, path, found, alone=len(inner) == 1)


def _divisible(module: nn.Module) -> bool:
    """Tell whether a module is to be taken apart."""
    if isinstance(module, _LISTS):
        return True
    if isinstance(module, nn.Sequential):
        return not _group(module)
    if isinstance(module, nn.MultiheadAttention):
        return False
    return any(
        isinstance(part, (*_LISTS, nn.Sequential))
        and sum(bool(weighted(held)) and not _group(held) for held in weighted(part).values()) > 1
        for part in module.modules()
        if part is not module
    )


def _group(module: nn.Module) -> bool:
    """Tell whether a module is one layer, with its normalisation perhaps."""
    layers = [m for m in module.modules() if m._parameters and not is_norm(m)]
    return isinstance(module, nn.Sequential) and len(layers) <= 1
