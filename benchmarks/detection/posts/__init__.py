"""Programs of real posts, by id: the `POST` in each file of this folder."""

import importlib
import pkgutil

from benchmarks.detection.post import Post


def _found() -> dict[str, Post]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    posts = [importlib.import_module(f"{__name__}.{name}").POST for name in names]
    return {post.id: post for post in posts}


POSTS = _found()

LEFT_OUT = {
    "TC-transformers-17877": "what is drawn again comes from the same distribution",
    "TC-lightning-thunder-725": "more precise than asked for: the weights and data do not tell",
    "TC-deepspeed-1801": "each rank's weights are sound by themselves: only two ranks' show it",
    "TC-pytorch-104336": "a rank's weights are those of a sound run on its share of the data",
}
"""Programs whose fault can't be seen in one process with a checkpoint and its data, and why."""
