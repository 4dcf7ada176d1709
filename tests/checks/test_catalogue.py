import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import auditor.checks as checks
from auditor.core.check import HEADINGS, SECTIONS, Check
from auditor.core.errors import InputError
from auditor.core.finding import Limit
from auditor.core.request import Request
from auditor.core.spec import LimitSpec

HERE = Path(__file__).parent
SOURCE = Path(checks.__file__).parent
FILES = sorted(path for path in SOURCE.glob("*/*.py") if path.name != "__init__.py")


def test_every_file_is_a_check_and_every_check_a_file() -> None:
    known = {(item.section, item.id) for item in checks.catalogue()}
    assert known == {
        (path.parent.name.replace("_", "-"), path.stem.replace("_", "-")) for path in FILES
    }
    assert len({item.id for item in checks.catalogue()}) == len(known)


def test_the_order_is_that_of_the_report() -> None:
    places = [(list(SECTIONS).index(item.section), item.id) for item in checks.catalogue()]
    assert places == sorted(places)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_check_has_a_test_of_its_name(path: Path) -> None:
    assert (HERE / path.parent.name / f"test_{path.name}").is_file()


@pytest.mark.parametrize("item", checks.catalogue(), ids=lambda item: item.id)
def test_every_check_is_complete(item: Check) -> None:
    for heading in HEADINGS:
        assert item.heading(heading), heading
    for title in (item.title, item.failure_title):
        assert title[0].isupper()
        assert not title.endswith(".")
        assert len(title.split()) >= 2
    assert item.title != item.failure_title
    assert item.needs
    assert all(isinstance(request, Request) for request in (*item.needs, *item.wants))
    for name, limit in item.limits.items():
        assert limit.source, name
        assert limit.warn is not None or limit.fail is not None
    assert item.judge.__doc__


@pytest.mark.parametrize("item", checks.catalogue(), ids=lambda item: item.id)
def test_what_a_check_finds_is_one_line_and_why_it_matters_two_sentences(item: Check) -> None:
    line = item.page.splitlines()[0]
    assert line.endswith(".")
    assert len(line) <= 97
    assert item.finds == line[0].lower() + line[1:-1] or line.startswith("NaN")
    why = item.heading("Why it matters")
    assert len(re.findall(r"[.!?]['\")]*(?=\s+[A-Z\"`]|$)", why)) in (1, 2)
    assert len(why.split()) <= 60


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_check_imports_no_other_check_and_no_torch(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "import torch" not in text.split("from auditor", 1)[1].split("@check", 1)[0]
    for folder in (path.name for path in SOURCE.iterdir() if path.is_dir()):
        assert f"auditor.checks.{folder}" not in text


def test_judging_starts_without_torch_or_scipy() -> None:
    code = (
        "import sys, auditor.checks; auditor.checks.catalogue(); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_select() -> None:
    every = checks.catalogue()
    assert checks.select() == every
    assert [item.id for item in checks.select(["dead-units"])] == ["dead-units"]
    assert checks.select(skip=["dead-units"]) == tuple(i for i in every if i.id != "dead-units")
    assert checks.select(["dead-units"], ["dead-units"]) == ()
    assert checks.select([]) == ()


@pytest.mark.parametrize("name", ["dead-unit", "dead_units", "Dead-Units"])
def test_an_unknown_check_is_told_the_nearest(name: str) -> None:
    with pytest.raises(InputError, match=r"did you mean 'dead-units'\?"):
        checks.select([name])
    with pytest.raises(InputError, match=r"did you mean 'dead-units'\?"):
        checks.select(skip=[name])
    with pytest.raises(InputError, match=r"did you mean 'dead-units'\?"):
        checks.validate_limits({name: {}})


def test_a_name_like_no_other_is_told_all() -> None:
    every = ", ".join(item.id for item in checks.catalogue())
    with pytest.raises(InputError, match=f"known: {every}$"):
        checks.find("xyzzy")


def test_limits_are_replaced_one_by_one() -> None:
    item = checks.find("dead-units")
    own = item.limits["worst_dead_share"]
    given = checks.limits_for(item, {"worst_dead_share": LimitSpec(warn=0.05)})
    assert given["worst_dead_share"].warn == 0.05
    assert given["worst_dead_share"].fail == own.fail
    assert given["worst_dead_share"].source.startswith("your spec (default: warn 0.25, fail 0.5")
    assert given["dead_share"] == item.limits["dead_share"]
    assert checks.limits_for(item, {}) == item.limits
    assert checks.limits_for(item, {"dead_share": LimitSpec()}) == item.limits


def test_wrong_limits_are_told() -> None:
    item = checks.find("dead-units")
    with pytest.raises(InputError, match=r"'dead_shares' is not known; did you mean 'dead_share'"):
        checks.limits_for(item, {"dead_shares": LimitSpec(warn=0.1)})
    with pytest.raises(InputError, match=r"warns at 0\.5, which is beyond where it fails, 0\.4"):
        checks.limits_for(item, {"dead_share": LimitSpec(warn=0.5)})
    with pytest.raises(InputError, match="NaN"):
        checks.limits_for(item, {"dead_share": LimitSpec(warn=float("nan"))})
    low = checks.find("update-ratio-off")
    with pytest.raises(InputError, match="beyond"):
        checks.limits_for(low, {"ratio_low": LimitSpec(warn=1e-9)})
    with pytest.raises(InputError, match="did you mean"):
        checks.validate_limits({"dead-units": {"worst_dead": LimitSpec(warn=0.1)}})
    with pytest.raises(InputError, match="has no limits"):
        checks.validate_limits({"environment-unrecorded": {"x": LimitSpec(warn=0.1)}})


def test_guides() -> None:
    both = Limit(warn=1, fail=2).guides()
    assert [(guide.value, guide.severity) for guide in both] == [(1, "warn"), (2, "fail")]
    assert Limit(fail=2, bad="below").guides()[0].label == "fail below 2"


def test_a_file_without_a_judge_is_an_error(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "stray.py").write_text('"""No check."""\n', encoding="utf-8")
    package = importlib.import_module("auditor.checks.loss")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    with pytest.raises(TypeError, match="no `judge`"):
        checks.catalogue.__wrapped__()
    sys.modules.pop("auditor.checks.loss.stray", None)


def test_names_joined_by_commas_are_told_apart() -> None:
    with pytest.raises(InputError, match="names several checks: give each its own --only"):
        checks.select(["dead-units,overfitted"])
