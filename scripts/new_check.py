"""Write the two files of a new check: `python scripts/new_check.py SECTION NAME`.

SECTION is a section of the report (`internals`), NAME the id of the check (`saturated-units`).
The check can be run at once, and says that it is not written yet.
"""

import argparse
import keyword
import re
from pathlib import Path

from auditor.core.check import HEADINGS, SECTIONS

ROOT = Path(__file__).resolve().parents[1]

HINTS = {
    "What it does": "TODO: what is looked at, in two sentences that a newcomer understands.",
    "Why it matters": "TODO: what goes wrong where this goes unnoticed, in two sentences at most.",
    "How it is measured": "TODO: the figure, its formula, its units and its interval.",
    "When it misleads": "TODO: healthy models that look ill, and ill ones that look healthy.",
    "What to do": "TODO: the first thing to try, then the second.",
    "Source": "TODO: the literature behind the method and the limits.",
}

CHECK = '''"""TODO: what the check finds, in one line that reads in a table.

{page}
"""

from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement
from auditor.core.verdict import Verdict
from auditor.observations.finite import WeightFlagsOf

WEIGHTS = WeightFlagsOf()
"""TODO: ask for what this check needs to see; `auditor/observations/` lists what can be seen."""


@check(
    title="TODO: a sentence that is true when the check passes",
    failure_title="TODO: a sentence that is true when it does not",
    needs=(WEIGHTS,),
    limits={{}},
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """TODO: judge what was seen."""
    return Judgement(Verdict.NOT_APPLICABLE, "The check {name} is not written yet.")
'''

TEST = """from auditor.checks.{folder}.{module} import WEIGHTS, judge
from auditor.core.check import Seen
from auditor.core.verdict import Verdict
from auditor.observations.finite import WeightFlags


def test_is_not_written_yet() -> None:
    seen = Seen({{WEIGHTS: WeightFlags(("a.weight",), (10,), (0,), (0,))}})
    found = judge(seen)
    assert judge.id == "{name}"
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "not written yet" in found.summary
"""


def new_check(root: Path, section: str, name: str) -> tuple[Path, Path]:
    """Write the check and its test below `root` and return their paths.

    Raises:
        ValueError: the section is unknown, the name is no id, or one of the files exists.
    """
    if section not in SECTIONS:
        raise ValueError(f"no section is named {section!r}; known: {', '.join(SECTIONS)}")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is no id: use lower-case words joined by dashes")
    folder, module = section.replace("-", "_"), name.replace("-", "_")
    page = "\n\n".join(f"{title}\n{'-' * len(title)}\n{HINTS[title]}" for title in HEADINGS)
    files = {
        root / "auditor/checks" / folder / f"{module}.py": CHECK.format(page=page, name=name),
        root / "tests/checks" / folder / f"test_{module}.py": TEST.format(
            folder=folder, module=module, name=name
        ),
    }
    taken = [path for path in files if path.exists()]
    if taken:
        raise ValueError(f"{taken[0]} exists already; nothing was written")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    first, second = files
    return first, second


def main() -> None:
    """Write the files named on the command line, or say why not and end with 2."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("section", help=", ".join(SECTIONS))
    parser.add_argument("name", help="the check's id: the noun of the failing state")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    given = parser.parse_args()
    try:
        written = new_check(given.root, given.section, given.name)
    except ValueError as error:
        parser.error(str(error))
    for path in written:
        print(path)


if __name__ == "__main__":
    main()
