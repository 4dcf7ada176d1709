"""Cron expressions: what they mean, held against systemd's own reading of them."""

import re
import shutil
import subprocess
from datetime import datetime

import pytest

from auditor.core.errors import InputError
from auditor.schedule.cron import cron
from auditor.schedule.every import Calendar, when

SYSTEMD = shutil.which("systemd-analyze")
START = datetime(2026, 1, 30, 23, 58)

EXPRESSIONS = [
    "30 4 * * *",
    "*/15 * * * *",
    "7 */6 * * *",
    "0 0 1 * *",
    "5,10-12,59 23 * * *",
    "0 12 * * 1-5",
    "0 12 * * sun,WED",
    "1 1 29 2 *",
    "0 3 31 jan-dec/2 *",
    "58 23 * * *",
]


@pytest.mark.skipif(SYSTEMD is None, reason="no systemd here")
@pytest.mark.parametrize("text", EXPRESSIONS)
def test_the_next_times_are_those_that_systemd_finds(text):
    when = cron(text)
    found, moment = [], START
    for _ in range(5):
        moment = when.after(moment)
        found.append(moment.strftime("%Y-%m-%d %H:%M:%S"))
    # Only what lies ahead of now is listed, so that the year is moved into the future.
    done = subprocess.run(
        [SYSTEMD, "calendar", "--iterations=5", f"--base-time={START}", "--", when.calendar],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC", "LC_ALL": "C"},
    )
    theirs = re.findall(r"(?:elapse|#\d): \w+ (\S+ \S+)", done.stdout)
    assert found == theirs


def test_a_calendar_is_short():
    assert cron("30 4 * * *").calendar == "*-*-* 04:30:00"
    assert cron("0 12 * * 1-5").calendar == "Mon,Tue,Wed,Thu,Fri *-*-* 12:00:00"
    assert cron("*/20 1,2 1-31 1-3,7 *").calendar == "*-01..03,07-* 01,02:00,20,40:00"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected five fields"),
        ("* * * *", "expected five fields"),
        ("@daily", "expected five fields"),
        ("* * * * * *", "expected five fields"),
        ("60 * * * *", "'60' is no minute (0 to 59)"),
        ("* 24 * * *", "'24' is no hour"),
        ("* * 0 * *", "'0' is no day of the month (1 to 31)"),
        ("* * * 13 *", "'13' is no month"),
        ("* * * * 7", "Sunday is 0"),
        ("* * * foo *", "'foo' is no month"),
        ("5-1 * * * *", "empty range"),
        ("*/0 * * * *", "empty range"),
        ("5/10 * * * *", "'5/10' is no minute"),
        ("1,,2 * * * *", "'' is no minute"),
        ("-1 * * * *", "'-1' is no minute"),
        ("٣ * * * *", "expected five fields"),
        ("0 0 1 * 1", "both at once"),
        ("0 0 31 2 *", "no such day ever comes"),
        ("* * * * *\n* * * * *", "expected five fields"),
        ("0 0 L * *", "'L' is no day of the month"),
    ],
)
def test_what_programs_read_in_different_ways_is_refused(text, says):
    with pytest.raises(InputError, match=re.escape(says)):
        cron(text)


def said(every=None, at=None, expression=None, calendar=None, name="digits"):
    return when(every, at, expression, calendar, name)


def test_words_become_expressions():
    assert said("day", at="4:05").text == "05 4 * * *".replace("05", "5")
    assert said("week", at="23:59").text == "59 23 * * 1"
    assert said("month", at="00:00").text == "0 0 1 * *"
    assert said("30m").text == "*/30 * * * *"
    assert re.fullmatch(r"\d+ \*/6 \* \* \*", said("6h").text)
    assert re.fullmatch(r"\d+ 4 \* \* \*", said("day").text)
    assert said(expression=" 1  2 * * * ").text == "1 2 * * *"


def test_schedules_don_t_all_start_at_once():
    minutes = {said("day", name=f"model-{number}").text.split()[0] for number in range(40)}
    assert len(minutes) > 20
    assert said("day") == said("day")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "when is it to run?"),
        ({"every": "day", "expression": "* * * * *"}, "when is it to run?"),
        ({"every": "5h"}, "--every: '5h' is none of hour, day, week, month, 2h"),
        ({"every": "7m"}, "--every: '7m'"),
        ({"every": "yesterday"}, "--every: 'yesterday'"),
        ({"every": "day", "at": "25:00"}, "--at: '25:00'"),
        ({"every": "day", "at": "4:5"}, "--at: '4:5'"),
        ({"every": "6h", "at": "04:00"}, "--at: goes with --every day"),
        ({"calendar": "daily\nExecStart=/bin/sh"}, "--calendar:"),
        ({"calendar": "--help"}, "--calendar:"),
        ({"calendar": ""}, "--calendar:"),
        ({"calendar": "%i"}, "--calendar:"),
    ],
)
def test_what_says_no_time_is_refused(given, says):
    with pytest.raises(InputError, match=re.escape(says)):
        said(**given)


@pytest.mark.skipif(SYSTEMD is None, reason="no systemd here")
def test_systemd_checks_its_own_words():
    assert said(calendar="Mon..Fri *-*-* 04:30") == Calendar("Mon..Fri *-*-* 04:30")
    with pytest.raises(InputError, match="Mittwoch"):
        said(calendar="Mittwoch 04:30")
