"""The table of root causes: it names what exists, and says each thing once."""

from auditor.checks import catalogue
from auditor.diagnosis.rules import RULES


def test_the_table_names_checks_that_exist() -> None:
    known = {check.id for check in catalogue()}
    named = set().union(*(rule.known for rule in RULES))
    assert named <= known, sorted(named - known)


def test_every_cause_has_a_name_of_its_own() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(rule.plain and rule.title and rule.sights for rule in RULES)


def test_every_remedy_that_can_be_tried_is_said_in_words() -> None:
    for rule in RULES:
        for cure in rule.cures:
            assert cure.text.endswith(".")
        assert all(line.endswith(".") for line in rule.equally)
