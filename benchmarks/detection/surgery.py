"""Changing models that are built: exchanging parts of a kind, and putting parts behind others."""

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from benchmarks.detection.recipe import Recipe

Kinds = type[nn.Module] | tuple[type[nn.Module], ...]


def altered(recipe: Recipe, change: Callable[[nn.Module], None]) -> Recipe:
    """Return a recipe whose models are built as before, and changed in place then."""
    build = recipe.build

    def built() -> nn.Module:
        model = build()
        change(model)
        return model

    return replace(recipe, build=built)


def named(model: nn.Module, kinds: Kinds) -> list[str]:
    """Return the names of the modules of a kind, in the order in which they are held."""
    return [name for name, module in model.named_modules() if isinstance(module, kinds)]


def exchange(model: nn.Module, kinds: Kinds, make: Callable[[nn.Module], nn.Module]) -> None:
    """Put what `make` makes of each module of a kind in its place."""
    for name in named(model, kinds):
        model.set_submodule(name, make(model.get_submodule(name)))


def behind(model: nn.Module, name: str, *more: nn.Module) -> None:
    """Let what a module puts out go through more modules."""
    model.set_submodule(name, nn.Sequential(model.get_submodule(name), *more))
