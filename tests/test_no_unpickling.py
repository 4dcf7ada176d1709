"""Nothing in the program unpickles, or loads by way of what does, but at the places named here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
SOURCES = ("auditor", "scripts", "sample_models", "benchmarks")

ALLOWED = {
    # What a user runs by name and hash.
    ("auditor/intake/run_pickle.py", "torch.load"),
    # The restricted reader: every name is an inert class.
    ("auditor/opening/pickled.py", "pickle.Unpickler"),
    # With a loader of its own that is safer than the safe one.
    ("auditor/core/spec_yaml.py", "yaml.load"),
    ("auditor/intake/trainer_files.py", "yaml.load"),
}

LOADING = {"torch.load", "torch.jit.load", "torch.export.load", "torch.hub.load", "torch.package"}
UNPICKLING = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
NEVER = {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "eval", "exec"}


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def uses(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield what a file refers to by its full name, whatever it was imported as."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                known[one.asname or one.name.partition(".")[0]] = (
                    one.name if one.asname else one.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for one in node.names:
                known[one.asname or one.name] = f"{node.module}.{one.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            head, _, rest = dotted(node).partition(".")
            whole = known.get(head, head)
            yield f"{whole}.{rest}" if rest else whole, node


def faults(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = path.relative_to(HOUSE).as_posix()
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for used, node in uses(tree):
        call = calls.get(id(node))
        keywords = {k.arg for k in call.keywords} if call is not None else set()
        module, _, function = used.rpartition(".")
        bad = (
            used in LOADING
            or (module in UNPICKLING and function in ("load", "loads", "Unpickler", "open"))
            or used in NEVER
            or "allow_pickle" in keywords
            or used.endswith("add_safe_globals")
        )
        if bad and (name, used) not in ALLOWED:
            yield f"{name}, line {node.lineno}: {used}"
        if used == "torch.load" and call is not None and "weights_only" not in keywords:
            yield f"{name}, line {node.lineno}: torch.load without weights_only"


def sources() -> list[Path]:
    return [path for part in SOURCES for path in sorted((HOUSE / part).rglob("*.py"))]


def test_nothing_is_unpickled() -> None:
    assert [fault for path in sources() for fault in faults(path)] == []


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ntorch.load('x', weights_only=True)",
        "from torch import load\nload('x', weights_only=True)",
        "import torch as t\nread = t.load",
        "import pickle\npickle.loads(b'')",
        "from pickle import Unpickler as U\nU(file)",
        "import joblib\njoblib.load('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import yaml\nyaml.load('x', Loader=yaml.SafeLoader)",
        "import torch.jit\ntorch.jit.load('x')",
        "eval('1')",
    ],
)
def test_it_would_be_found(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_no_unpickling.HOUSE", tmp_path)
    (tmp_path / "a.py").write_text(code)
    assert list(faults(tmp_path / "a.py"))


def test_the_allowed_call_names_what_it_loads() -> None:
    """`TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD` disarms a call that does not."""
    path = HOUSE / "auditor/intake/run_pickle.py"
    assert "weights_only=False" in path.read_text(encoding="utf-8")
