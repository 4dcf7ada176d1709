"""Where the code lies that a spec names, told without running it."""

import subprocess
import sys
from pathlib import Path

import pytest

from auditor.core.spec_file import spec_from
from auditor.intake.code_places import code_named_in, file_of, located_in
from tests.subjects import ROOT

RAISES = "raise SystemExit('this module was imported')\n"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text(RAISES)
    (tmp_path / "pkg/inner").mkdir(parents=True)
    (tmp_path / "pkg/__init__.py").write_text(RAISES)
    (tmp_path / "pkg/inner/net.py").write_text(RAISES)
    (tmp_path / "named/apart").mkdir(parents=True)
    (tmp_path / "named/apart/net.py").write_text(RAISES)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "file"),
    [
        ("model", "model.py"),
        ("pkg", "pkg/__init__.py"),
        ("pkg.inner.net", "pkg/inner/net.py"),
        ("named.apart.net", "named/apart/net.py"),
    ],
)
def test_what_lies_beside_the_spec_comes_first(module: str, file: str, base: Path) -> None:
    before = list(sys.path), set(sys.modules)
    assert file_of(module, base) == str(base.resolve() / file)
    assert (list(sys.path), set(sys.modules)) == before


def test_what_is_installed_is_found_too(base: Path) -> None:
    found = file_of("yaml.loader", base)
    assert found is not None
    assert found.endswith("yaml/loader.py")


@pytest.mark.parametrize(
    "module", ["nowhere", "model.part", "pkg.none", "", "a b", "../model", "pkg."]
)
def test_what_is_not_there_is_left_to_the_import(module: str, base: Path) -> None:
    assert file_of(module, base) is None


def test_it_finds_what_the_worker_imports(base: Path) -> None:
    """Python's own import, in a process with the worker's path, comes to the same file."""
    (base / "model.py").write_text("def build(): pass\n")
    code = (
        "import pathlib, sys; from auditor.intake.reference import resolve\n"
        "found = resolve(sys.argv[1], pathlib.Path(sys.argv[2]), 'k')\n"
        "print(sys.modules[found.__module__].__file__)"
    )
    for reference in ("model:build", "json.decoder:JSONDecoder"):
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, reference, base],
            capture_output=True,
            text=True,
            cwd=base,
            env={"PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 0, done.stderr
        assert file_of(reference.partition(":")[0], base) == done.stdout.strip()


def test_all_that_a_spec_names_is_told(base: Path) -> None:
    spec = spec_from(
        {
            "model": {"factory": "model:build"},
            "data": {"train": "pkg:train", "val": "gone:val", "batch": "pkg.inner.net:batch"},
            "loss": {"ce": "cross_entropy", "own": "model:loss"},
        },
        "here",
        base,
    )
    assert list(code_named_in(spec)) == [
        "model.factory", "data.train", "data.val", "data.batch", "loss.own",
    ]  # fmt: skip
    told = {one.key: one.file for one in located_in(spec)}
    assert list(told) == ["model.factory", "data.train", "data.batch", "loss.own"]
    assert told["data.batch"] == str(base / "pkg/inner/net.py")
