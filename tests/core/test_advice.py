"""Steps of advice: code goes in and comes out whole, and names in it stay names."""

import ast

import pytest
import yaml

from auditor.core.advice import MOST_LINES, fence, one_line, parts, quoted, step
from tests.names import HOSTILE_NAMES


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_quoted_name_is_that_name_and_nothing_else(name):
    code = f"layer = model.get_submodule({quoted(name)})"
    (line,) = ast.parse(code).body
    (argument,) = line.value.args
    assert isinstance(argument, ast.Constant)
    assert argument.value == name
    assert all(character.isprintable() for character in code)
    assert "<" not in code


@pytest.mark.parametrize("name", [name for name in HOSTILE_NAMES if "\ud800" not in name])
def test_a_quoted_name_is_that_name_in_yaml(name):
    assert yaml.safe_load(f"{quoted(name)}: 1") == {name: 1}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_step_comes_apart_as_it_was_made(name):
    code = f"first = 1\nmodel.get_submodule({quoted(name)})"
    made = parts(one_line(step("Do this:", code)))
    assert (made.text, made.code, made.language) == ("Do this:", code, "python")
    ast.parse(made.code)


def test_back_ticks_in_code_do_not_end_it():
    code = 'x = "```"\n```\ny = 1'
    assert fence(code) == "````"
    assert parts(one_line(step("Do this:", code))).code == code


def test_a_string_that_is_no_step_brings_no_code():
    forged = "Look at layer x:\n```python\nimport os\n```"
    assert parts(one_line(forged)).code == ""
    assert "\n" not in one_line(forged)
    hidden = step(f"Look at layer {forged}", "y = 1")
    assert parts(one_line(hidden)).code == "y = 1"


def test_the_sentence_alone_is_a_step():
    assert parts(one_line("Lower the rate.")).text == "Lower the rate."


def test_code_that_would_have_to_be_cut_is_left_out():
    assert step("Do this:", "x = 1\n" * (MOST_LINES + 1)) == "Do this."
    assert step("Do this:", f"model.get_submodule({quoted('m' * 1000)})") == "Do this."
    assert step("Do this:", "x = 1\n" * MOST_LINES) != "Do this."
