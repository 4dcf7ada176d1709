"""Healthy models, trained properly, by family: the `RECIPES` in each file of this folder."""

import importlib
import pkgutil

from benchmarks.detection.recipe import Recipe


def _found() -> dict[str, Recipe]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return {recipe.family: recipe for module in modules for recipe in module.RECIPES}


ZOO = _found()
