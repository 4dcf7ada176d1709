"""What the site's pages are made of: mkdocs calls this while it builds (`mkdocs.yml`).

Texts stand once. The page of a check is its docstring, the commands and the spec's keys are read
off the code, the documents at the root of the repository become pages as they are, and a line
`<!-- include: README.md#try-it -->` in a page stands for that section of the README.
"""

import re
from pathlib import Path
from typing import Any

from check_page import check_page, index_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from reference import commands_page, spec_page

from auditor.checks import catalogue
from auditor.core.check import SECTIONS

ROOT = Path(__file__).resolve().parents[2]

DOCUMENTS = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Documents at the root of the repository, and the pages that they become."""

MOVED = {**DOCUMENTS, "docs/": ""}
"""Beginnings of links in the repository, and what they are on the site."""

MADE = {"commands": commands_page, "spec": spec_page}
"""What stands for the lines `<!-- made: commands -->` and `<!-- made: spec -->`."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the checks into the navigation, by section in the order of the report."""
    checks: list[Any] = ["checks/index.md"]
    for section, title in SECTIONS.items():
        ids = [check.id for check in catalogue() if check.section == section]
        checks.append({title: [{name: f"checks/{name}.md"} for name in ids]})
    config.nav = [{"Checks": checks} if item == "checks" else item for item in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = {f"checks/{check.id}.md": check_page(check) for check in catalogue()}
    made["checks/index.md"] = index_page()
    for document, page in DOCUMENTS.items():
        made[page] = (ROOT / document).read_text(encoding="utf-8")
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in what a page includes, and turn links within the repository into those of the site."""
    text = re.sub(r"<!-- made: (\w+) -->", lambda found: MADE[found[1]](), markdown)
    text = re.sub(
        r"<!-- include: ([\w.]+)#([\w-]*) -->",
        lambda found: section_of((ROOT / found[1]).read_text(encoding="utf-8"), found[2]),
        text,
    )
    for old, new in MOVED.items():
        text = re.sub(rf'(\]\(|src="|srcset="){re.escape(old)}', rf"\g<1>{new}", text)
    return text


def section_of(document: str, anchor: str) -> str:
    """Return a section of a document, with its heading; without an anchor, what precedes them all.

    Raises:
        KeyError: the document has no such section.
    """
    title, *sections = re.split(r"^(?=## )", document, flags=re.MULTILINE)
    if not anchor:
        return title.partition("\n")[2].strip()
    named = {
        re.sub(r"[^a-z0-9]+", "-", text.splitlines()[0][3:].lower()).strip("-"): text
        for text in sections
    }
    return named[anchor].strip()
