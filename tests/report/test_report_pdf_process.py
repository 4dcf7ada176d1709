"""The process that makes the PDF: held to its bounds, alone, and missed by no other report."""

import http.server
import io
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pypdf
import pytest

from auditor.core.record import AuditRecord
from auditor.report.files import write_reports
from auditor.report.pdf import render_pdf
from auditor.report.pdf_layout import PACKAGES, no_fetching
from auditor.report.pdf_process import BOUNDS, Bounds, PdfProcess, PdfUnavailable


@pytest.fixture
def small(record) -> AuditRecord:
    return replace(record, sections=record.sections[1:2], causes=())


@pytest.fixture
def rooms(tmp_path, monkeypatch) -> Path:
    """Have processes keep their files where a test can see what is left of them."""
    folder = tmp_path / "rooms"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Have the process find, in place of WeasyPrint, what a test wants it to."""

    def put(inside: str) -> None:
        package = tmp_path / "stand_in" / "weasyprint"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(inside)
        (package / "urls.py").write_text("def URLFetcher(**given): pass")
        known = [str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(known))

    return put


def doing(work: str) -> str:
    return f"import os, sys, time\ndef HTML(string, url_fetcher):\n    {work}\n"


def reason(record: AuditRecord, bounds: Bounds = BOUNDS) -> str:
    with pytest.raises(PdfUnavailable) as raised:
        render_pdf(record, bounds)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_one_that_hangs_is_ended_with_all_it_started(small, stand_in, rooms, tmp_path):
    mark = tmp_path / "mark"
    late = f"time.sleep(4); open({str(mark)!r}, 'w')"
    stand_in(
        "import subprocess\n"
        + doing(
            f"subprocess.Popen([sys.executable, '-c', {f'import time; {late}'!r}]); time.sleep(60)"
        )
    )
    began = time.monotonic()
    assert "took longer than 3 s" in reason(small, Bounds(seconds=3))
    assert time.monotonic() - began < 15
    assert list(rooms.iterdir()) == []
    time.sleep(4.5)
    assert not mark.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems may not bound memory")
def test_one_that_takes_too_much_memory_says_so(small, stand_in, rooms):
    stand_in(doing("return bytearray(2 << 30)"))
    assert reason(small, Bounds(memory=1 << 30)) == (
        "laying it out takes more than 1,024 MB of memory"
    )
    assert list(rooms.iterdir()) == []


def test_one_that_is_killed_or_dies_says_how(small, stand_in):
    stand_in(doing("os.kill(os.getpid(), 9)"))
    assert "its process was ended by SIGKILL (out of memory, perhaps" in reason(small)


def test_one_that_breaks_off_gives_its_last_words(small, stand_in):
    stand_in(doing("print('so it\\x1b[31m goes', file=sys.stderr); os._exit(7)"))
    told = reason(small)
    assert "exit code 7" in told
    assert "so it\\x1b[31m goes" in told


def test_an_exception_is_told_by_its_name(small, stand_in):
    stand_in(doing("raise ZeroDivisionError('no\\nway')"))
    assert "ZeroDivisionError: no\\nway" in reason(small)


@pytest.mark.parametrize("error", ["OSError('cannot load library libpango')", "ImportError('no')"])
def test_missing_libraries_are_named(small, stand_in, error):
    stand_in(f"raise {error}")
    told = reason(small)
    assert "WeasyPrint" in told
    assert (PACKAGES in told) == error.startswith("OSError")


def test_what_can_not_be_begun_is_told_as_well(small, monkeypatch):
    monkeypatch.setattr(PdfProcess, "_command", lambda self: ["/no/such/python"])
    assert "could not be started: [Errno 2]" in reason(small)


def test_a_page_that_can_not_be_drawn_is_told_as_well(small, monkeypatch):
    def broken(text):
        raise ZeroDivisionError("no way")

    monkeypatch.setattr("auditor.report.pdf_page.paper_page", broken)
    assert reason(small) == "its page could not be drawn: no way"


def test_a_failure_leaves_the_other_reports_and_the_old_pdf(small, stand_in, tmp_path, rooms):
    stand_in(doing("raise ZeroDivisionError"))
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "report.pdf").write_bytes(b"old")
    written = write_reports(small, folder, ("html", "pdf"))
    assert [path.name for path in written.paths] == ["report.html"]
    assert (folder / "report.html").read_text(encoding="utf-8").endswith("</html>\n")
    assert (folder / "report.pdf").read_bytes() == b"old"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["SHA256SUMS", "report.html", "report.pdf"]
    [problem] = written.problems
    assert problem.startswith("report.pdf was not written: laying it out failed: ZeroDivisionError")


def test_when_its_parent_gives_up_it_ends(small, stand_in, tmp_path, rooms, monkeypatch):
    stand_in(doing("time.sleep(60)"))
    started = []
    begin = subprocess.Popen

    def kept(*given, **named):
        started.append(begin(*given, **named))
        return started[-1]

    def interrupted(path, data, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", kept)
    monkeypatch.setattr("auditor.report.files.write_whole", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_reports(small, tmp_path / "out", ("html", "pdf"))
    [process] = started
    assert process.poll() is not None
    assert list(rooms.iterdir()) == []


def test_it_imports_no_torch_and_inherits_little(small, stand_in, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    stand_in(
        doing(
            "raise ValueError(f\"{'torch' in sys.modules} {'scipy' in sys.modules} "
            '{sorted(os.environ)}")'
        )
    )
    told = reason(small)
    assert "ValueError: False False" in told
    assert "SECRET" not in told
    assert "PROXY" not in told


def test_no_core_dump_and_bounded_time(small, stand_in):
    pytest.importorskip("resource")
    stand_in(
        doing(
            "import resource as r; raise ValueError("
            "r.getrlimit(r.RLIMIT_CORE), r.getrlimit(r.RLIMIT_CPU), r.getrlimit(r.RLIMIT_AS))"
        )
    )
    assert "((0, 0), (8, 8), (2147483648, 2147483648))" in reason(
        small, Bounds(seconds=7, memory=2 << 30)
    )


SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="30">'
SECRET = f'{SVG}<text y="20">SECRET</text></svg>'


def test_nothing_is_fetched(tmp_path):
    weasyprint = pytest.importorskip("weasyprint", exc_type=ImportError)
    asked: list[str] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *given):
            pass

    secret = tmp_path / "secret.svg"
    secret.write_text(SECRET)
    style = tmp_path / "secret.css"
    style.write_text("p::before { content: 'SECRET' }")
    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        web = f"http://127.0.0.1:{server.server_port}"
        page = f"""<html lang="en"><head>
        <base href="{web}/"><link rel="stylesheet" href="{web}/a.css">
        <link rel="stylesheet" href="{style.as_uri()}"><link rel="attachment" href="/etc/passwd">
        <style>@import url({web}/b.css); @import url({style.as_uri()});
        @font-face {{ font-family: X; src: url({web}/c.ttf), url(file:///etc/passwd); }}
        p {{ font-family: X; background: url({web}/d.png); }}</style></head><body><p>Plain.
        <img src="{web}/e.png" alt="web"><img src="{secret.as_uri()}" alt="file">
        <img src="relative.png" alt="relative"><img src="ftp://127.0.0.1/f.png" alt="ftp">
        <object data="{web}/g.svg"></object><embed src="{secret.as_uri()}">
        <svg xmlns="http://www.w3.org/2000/svg" width="90" height="90">
        <image href="{web}/h.png" width="9" height="9"/><use href="{secret.as_uri()}#x"/></svg>
        <a href="#here" id="here">link</a></p></body></html>"""
        pdf = weasyprint.HTML(string=page, url_fetcher=no_fetching(weasyprint)).write_pdf()
        server.shutdown()
    assert asked == []
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    text = "".join(page.extract_text() for page in reader.pages)
    assert "Plain." in text
    assert "SECRET" not in text
    assert reader.attachments == {}
