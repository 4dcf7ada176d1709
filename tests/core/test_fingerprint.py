from dataclasses import replace

import pytest

from auditor.core.finding import Place
from auditor.core.fingerprint import Identity, fingerprint, identity_of
from auditor.core.glance import Spot, SubjectGlance

DIGITS = Identity("digits", "model:build", "multiclass")
RELU = Place("layer", "features.relu", "31 % of its units")


def test_a_fingerprint_stays_the_same_for_ever() -> None:
    """Code-scanning services keep them: another value would show every finding as new."""
    assert fingerprint("dead-units", DIGITS, RELU) == (
        "abd8faa35d5b048f68a6ef7bdb239614a665eaa594c512e6739fa7e172b17855"
    )


def test_words_and_the_type_of_the_place_do_not_count() -> None:
    told = fingerprint("dead-units", DIGITS, RELU)
    assert fingerprint("dead-units", DIGITS, replace(RELU, note="2 of 32")) == told
    assert fingerprint("dead-units", DIGITS, Spot("layer", "features.relu")) == told


@pytest.mark.parametrize(
    "other",
    [
        fingerprint("saturated-units", DIGITS, RELU),
        fingerprint("dead-units", replace(DIGITS, name="letters"), RELU),
        fingerprint("dead-units", replace(DIGITS, factory="model:other"), RELU),
        fingerprint("dead-units", replace(DIGITS, task="binary"), RELU),
        fingerprint("dead-units", DIGITS, replace(RELU, kind="parameter")),
        fingerprint("dead-units", DIGITS, replace(RELU, name="features")),
        fingerprint("dead-units", DIGITS),
    ],
)
def test_all_else_counts(other: str) -> None:
    assert other != fingerprint("dead-units", DIGITS, RELU)


def test_what_stands_beside_another_is_not_taken_for_it() -> None:
    apart = fingerprint("a", Identity("b", "c", ""), Spot("layer", "d"))
    assert fingerprint("a", Identity("b", "", "c"), Spot("layer", "d")) != apart
    assert fingerprint("a", Identity('b", "c', "", ""), Spot("layer", "d")) != apart


def test_a_name_of_half_a_character_has_that_of_its_record() -> None:
    raw = fingerprint("a", Identity("\ud800", "", ""), Spot("layer", "\udfff"))
    assert raw == fingerprint("a", Identity("\\ud800", "", ""), Spot("layer", "\\udfff"))


def test_a_task_that_is_not_known_is_empty() -> None:
    assert identity_of(SubjectGlance("digits", "", None, None)) == Identity("digits", "", "")
