"""What the source may not do, lest a text out of a file become more than text."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

AUDITOR = Path(__file__).parents[1] / "auditor"
TEMPLATES = AUDITOR / "report" / "templates"

NO_FILE = {
    "engine/process.py": "a pipe to our own worker",
    "engine/worker.py": "a pipe to our own supervisor",
    "opening/process.py": "an order to our own child",
    "opening/child.py": "an answer to our own parent",
    "commands/targets.py": "a copy of plain values",
    "core/secrets.py": "what a seal is made of",
    "core/side_by_side.py": "a value in a table, cleaned afterwards",
    "opening/fetching.py": "texts, to be hashed",
    "core/fingerprint.py": "texts, to be hashed",
    "history/entry.py": "texts, to be hashed",
    "history/sqlite.py": "names of checks",
    "engine/journal.py": "a copy of an answer that was read",
    "schedule/github.py": "a text, quoted",
    "schedule/kubernetes.py": "a text, quoted",
    "schedule/job.py": "texts",
    "schedule/lock.py": "texts",
}
"""Where JSON is not written for others, so that it may have words for what is not finite."""

TRUSTED = {
    "report/page.py": 2,
    "report/compare/page.py": 1,
    "report/fleet/page.py": 1,
    "report/notebook.py": 1,
    "report/templating.py": 1,
}
"""Where text is said to be markup, and how often: our own style sheets, script and drawings."""

UNESCAPED = {"figure.html.j2": ["drawing.svg | svg"], "notebook.html.j2": ['"<br>" | safe']}
"""Where a template writes text as it is: drawings by `plots/svg.py`, which escapes, and a tag."""


def sources() -> list[str]:
    return sorted(str(path.relative_to(AUDITOR)) for path in AUDITOR.rglob("*.py"))


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield the calls in a file, each with the dotted name of what is called."""
    for node in ast.walk(ast.parse((AUDITOR / name).read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def said(call: ast.Call) -> dict[str, str]:
    return {one.arg or "**": ast.unparse(one.value) for one in call.keywords}


@pytest.mark.parametrize("name", sources())
def test_no_source_writes_what_it_may_not(name: str) -> None:
    assert "jinja2" not in (AUDITOR / name).read_text("utf-8") or name == "report/templating.py"
    for called, call in calls(name):
        given, last = said(call), called.rpartition(".")[2]
        if called in ("json.dump", "json.dumps") and name not in NO_FILE:
            assert given.get("allow_nan") == "False", f"{name}:{call.lineno}: allow_nan=False"
        if called == "Environment" and name.startswith("report/"):
            assert given.get("autoescape") == "True", f"{name}:{call.lineno}"
            assert given.get("undefined") == "StrictUndefined", f"{name}:{call.lineno}"
        assert last not in ("select_autoescape", "full_load", "unsafe_load"), name
        if called == "yaml.load":
            assert ast.unparse(call.args[1]) == "_Loader", f"{name}:{call.lineno}"
        assert given.get("shell") != "True", f"{name}:{call.lineno}"
        assert called not in ("eval", "exec", "os.system", "os.popen"), f"{name}:{call.lineno}"


def test_text_is_said_to_be_markup_where_it_is_known_to_be() -> None:
    found = Counter[str]()
    for name in sources():
        tree = ast.parse((AUDITOR / name).read_text("utf-8"))
        uses = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "Markup"]
        found[name] += len(uses)
    assert {name: count for name, count in found.items() if count} == TRUSTED


@pytest.mark.parametrize("template", sorted(path.name for path in TEMPLATES.glob("*.j2")))
def test_templates_escape_what_they_write(template: str) -> None:
    text = (TEMPLATES / template).read_text("utf-8")
    unescaped = re.findall(r"\S+ *\| *(?:safe|svg)\b", text)
    assert unescaped == UNESCAPED.get(template, [])
    assert not re.search(r"autoescape|\{% *raw|javascript:|https?://(?!www\.w3\.org/)", text)
    assert text.count("<script") == (template == "report.html.j2")
    for attribute in re.findall(r"[\w-]+=\{\{", text):
        raise AssertionError(f"{attribute} stands without quotes")
    assert not re.search(r"\son\w+=", text)


def test_nothing_draws_text_that_is_read_as_mathematics() -> None:
    for name in sources():
        text = (AUDITOR / name).read_text("utf-8")
        assert not re.search(r"^\s*(from|import) matplotlib", text, re.MULTILINE), name
