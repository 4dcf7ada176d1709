"""A crontab of which only our own blocks change."""

import pytest

from auditor.core.errors import InputError
from auditor.schedule.cron import cron
from auditor.schedule.crontab import block, entries, with_job, without
from auditor.schedule.job import Entry
from tests.schedule.jobs import job

THEIRS = (
    "# audit schedule begin\nMAILTO=me@example.org\n\n"
    "*/5 * * * * echo 100\\% done\t\n  # audit schedule end digits\n"
    "5 5 * * * \udcff\udcfe bytes that are no text\n"
)


def test_every_other_byte_stays(tmp_path):
    mine, other = job(tmp_path), job(tmp_path, name="other")
    added = with_job(THEIRS, mine)
    assert added == THEIRS + block(mine)
    assert without(added, "digits") == THEIRS
    both = with_job(added, other)
    assert without(both, "digits") == THEIRS + block(other)
    assert [entry.name for entry in entries(both)] == ["digits", "other"]
    assert entries(added) == (Entry("digits", str(mine.spec), "30 4 * * *"),)


def test_adding_again_replaces_in_place(tmp_path):
    mine, later = job(tmp_path), job(tmp_path, when=cron("1 2 * * *"))
    table = with_job(with_job(THEIRS, mine), job(tmp_path, name="other"))
    assert with_job(table, later) == table.replace(block(mine), block(later))
    assert with_job(table, mine) == table


def test_a_last_line_without_an_end_gets_one(tmp_path):
    assert with_job("1 2 * * * true", job(tmp_path)).startswith("1 2 * * * true\n# audit")
    assert with_job("", job(tmp_path)) == block(job(tmp_path))


@pytest.mark.parametrize("lost", ["# audit schedule end digits\n", "30 4 "])
def test_a_block_changed_by_hand_is_left_alone(tmp_path, lost):
    table = with_job(THEIRS, job(tmp_path))
    place = table.rindex(lost)
    cut = table[:place] + ("" if lost.endswith("\n") else "x\n") + table[place + len(lost) :]
    for change in (lambda: with_job(cut, job(tmp_path)), lambda: without(cut, "digits")):
        with pytest.raises(InputError, match="was changed by hand"):
            change()


def test_what_looks_like_a_block_but_is_none_is_no_schedule(tmp_path):
    table = block(job(tmp_path)).replace('{"name": "digits"', '{"game": "digits"')
    assert entries(table) == ()
    assert without(table, "digits") == table
