"""The rich record and its page, made once."""

import pytest
from report_records import rich_record

from auditor.core.record import AuditRecord
from auditor.report.html import render_html


@pytest.fixture(scope="session")
def record() -> AuditRecord:
    return rich_record()


@pytest.fixture(scope="session")
def page(record: AuditRecord) -> str:
    return render_html(record)
