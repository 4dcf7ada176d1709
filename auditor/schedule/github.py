"""A schedule as a workflow of GitHub Actions."""

import json
import shlex
from datetime import datetime, timedelta
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.schedule.cron import Cron
from auditor.schedule.job import COMPARED, Job

SHORTEST = timedelta(minutes=5)
"""GitHub runs nothing more often."""

_WORKFLOW = """\
# Goes into .github/workflows/audit-{name}.yml of the repository.
name: {title}

on:
  schedule:
    - cron: {schedule}  # in UTC; GitHub may start it late
  workflow_dispatch:

permissions:
  contents: read
{permissions}
concurrency:
  group: audit-{name}
  cancel-in-progress: false

jobs:
  audit:
    runs-on: ubuntu-latest
    timeout-minutes: 360
    env:
      AUDIT_HISTORY: ${{{{ github.workspace }}}}/.audit-history/history.sqlite
    steps:
      - uses: actions/checkout@v5
        with:
          lfs: true
          persist-credentials: false
      - uses: actions/setup-python@v6
        with:
          python-version: "3.12"
      - name: Install
        run: |
          if [ -f requirements.txt ]; then python -m pip install -r requirements.txt; fi
          python -m pip install auditor  # the name or address by which your pip finds it
      - name: Fetch the history of earlier audits
        uses: actions/cache/restore@v5
        with:
          path: .audit-history
          key: audit-history-{name}-${{{{ github.run_id }}}}-${{{{ github.run_attempt }}}}
          restore-keys: audit-history-{name}-
      - name: Audit
{secrets}        run: {command}
      - name: Show the summary
        if: always()
        run: |
          if [ -f audit-report/summary.md ]; then
            cat audit-report/summary.md >> "$GITHUB_STEP_SUMMARY"
          fi
      # Kept by hand, as the cache's own step keeps nothing of a job that failed.
      - name: Keep the history
        if: always()
        uses: actions/cache/save@v5
        with:
          path: .audit-history
          key: audit-history-{name}-${{{{ github.run_id }}}}-${{{{ github.run_attempt }}}}
      - name: Keep the reports
        if: always()
        uses: actions/upload-artifact@v6
        with:
          name: audit-{name}
          path: |
            audit-report
            !audit-report/journal
          retention-days: {keep}
          if-no-files-found: ignore
{sarif}"""

_SARIF = """\
      - name: Show the findings under code scanning
        if: always() && hashFiles('audit-report/audit.sarif') != ''
        uses: github/codeql-action/upload-sarif@v4
        with:
          sarif_file: audit-report/audit.sarif
          category: audit-{name}
"""


def workflow(job: Job, *, sarif: bool = False) -> str:
    """Return the workflow of a schedule, as YAML; with `sarif` it shows findings beside the code.

    Raises:
        InputError: GitHub can't say when, or can't name the spec.
    """
    if not isinstance(job.when, Cron):
        raise InputError("--calendar: only systemd knows such times; give --every or --cron")
    if _gap(job.when) < SHORTEST:
        raise InputError("--cron: GitHub runs nothing more often than every five minutes")
    path = _in_repository(job.spec)
    if "${{" in path:
        raise InputError(f"{clean_text(path)}: GitHub would read the path as an expression")
    words = ["audit", "run", path, "--out", "audit-report", *COMPARED]
    formats = ("html", "pdf", "json", "markdown", "junit", "sarif") if sarif else ()
    words += [word for name in formats for word in ("--format", name)]
    lines = [f"          {name}: ${{{{ secrets.{name} }}}}\n" for name in job.secrets]
    return _WORKFLOW.format(
        name=job.name,
        title=_scalar(f"Audit of {job.name}"),
        schedule=_scalar(job.when.text),
        permissions="  security-events: write\n" if sarif else "",
        command=_scalar(shlex.join(words)),
        secrets=f"        env:\n{''.join(lines)}" if lines else "",
        keep=min(job.keep, 90),
        sarif=_SARIF.format(name=job.name) if sarif else "",
    )


def _scalar(text: str) -> str:
    """Return text as YAML: a string of JSON is one of YAML too."""
    return json.dumps(text, ensure_ascii=False)


def _in_repository(spec: Path) -> str:
    """Return the path of a spec from the root of its repository; its name where there is none."""
    for folder in spec.parents:
        if (folder / ".git").exists():
            return spec.relative_to(folder).as_posix()
    return spec.name


def _gap(when: Cron) -> timedelta:
    """Return the least time between two runs."""
    first = when.after(datetime(2000, 1, 1))
    gaps = []
    for _ in range(62):
        following = when.after(first)
        gaps.append(following - first)
        first = following
    return min(gaps)
