"""SARIF: by the schema of OASIS, within GitHub's limits, and the same from audit to audit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft4Validator
from report_records import HOSTILE

from auditor.core.finding import Finding, Place
from auditor.core.record import AuditRecord
from auditor.core.verdict import Verdict
from auditor.core.waiver import Waiver, WaiverState
from auditor.report.sarif import MOST_RESULTS, render_sarif
from auditor.report.source import source_of

SCHEMA = json.loads((Path(__file__).parent / "schemas/sarif-2.1.0.json").read_text("utf-8"))


def run_of(record: AuditRecord) -> dict:
    """The one run of a record's SARIF, which keeps to the schema."""
    log = json.loads(render_sarif(record))
    problems = [error.message for error in Draft4Validator(SCHEMA).iter_errors(log)]
    assert problems == []
    (run,) = log["runs"]
    return run


def with_findings(record: AuditRecord, *findings: Finding) -> AuditRecord:
    return replace(record, sections=(replace(record.sections[0], findings=findings),))


def found(verdict: Verdict = Verdict.FAIL, *places: str, **more) -> Finding:
    where = tuple(Place("layer", name, "32 of 32") for name in places)
    return Finding("dead-units", verdict, "Some units are dead", "Half are.", where=where, **more)


def test_a_rich_record_of_hostile_texts_keeps_to_the_schema(record):
    run = run_of(record)
    assert {result["level"] for result in run["results"]} == {"error", "warning"}
    assert len(run["tool"]["driver"]["rules"]) == len(record.findings)
    for result in run["results"]:
        rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
        assert rule["id"] == result["ruleId"]


@pytest.mark.parametrize("change", ["level", "uri", "message"])
def test_the_schema_refuses_what_is_not_sarif(record, change):
    log = json.loads(render_sarif(record))
    result = log["runs"][0]["results"][0]
    match change:
        case "level":
            result["level"] = "fatal"
        case "uri":
            result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] = 3
        case "message":
            del result["message"]
    assert list(Draft4Validator(SCHEMA).iter_errors(log))


def test_only_what_failed_or_warns_is_a_result(record):
    findings = [replace(found(verdict), check=verdict.value) for verdict in Verdict]
    run = run_of(with_findings(record, *findings))
    assert [(r["ruleId"], r["level"]) for r in run["results"]] == [
        ("fail", "error"),
        ("warn", "warning"),
    ]
    notes = run["invocations"][0]["toolExecutionNotifications"]
    broken = [note["associatedRule"]["id"] for note in notes if note["level"] == "error"]
    assert broken == ["error", "incomplete"]


def test_each_place_is_a_result_with_the_layer_it_is_in(record):
    run = run_of(with_findings(record, found(Verdict.FAIL, "features.1", "features.3")))
    spots = [result["locations"][0]["logicalLocations"][0] for result in run["results"]]
    assert [(spot["fullyQualifiedName"], spot["kind"]) for spot in spots] == [
        ("features.1", "layer"),
        ("features.3", "layer"),
    ]
    assert run["results"][0]["message"]["text"] == (
        "Some units are dead. Layer features.1: 32 of 32. Half are."
    )
    for result in run["results"]:
        physical = result["locations"][0]["physicalLocation"]
        assert not physical["artifactLocation"]["uri"].startswith(("/", "..", "file:"))
        assert physical["region"]["startLine"] == 1


def test_fingerprints_outlive_numbers_verdicts_and_order(record):
    def prints(finding: Finding) -> dict:
        return {
            result["locations"][0]["logicalLocations"][0]["name"]: result["partialFingerprints"]
            for result in run_of(with_findings(record, finding))["results"]
        }

    before = prints(found(Verdict.FAIL, "a", "b"))
    assert before == prints(replace(found(Verdict.WARN, "b", "a"), summary="All are."))
    assert before["a"] != before["b"]
    assert len({one["primaryLocationLineHash"] for one in before.values()}) == 2
    other = replace(record.subject, name="another")
    assert prints(found(Verdict.FAIL, "a"))["a"] == before["a"]
    moved = with_findings(replace(record, subject=other), found(Verdict.FAIL, "a"))
    assert run_of(moved)["results"][0]["partialFingerprints"] != before["a"]


def test_a_place_named_twice_is_two_alerts(record):
    run = run_of(with_findings(record, found(Verdict.FAIL, "a", "a")))
    first, second = (result["partialFingerprints"] for result in run["results"])
    assert first["finding/v1"] == second["finding/v1"]
    assert first["primaryLocationLineHash"].endswith(":1")
    assert second["primaryLocationLineHash"].endswith(":2")


def test_what_is_waived_is_suppressed_place_by_place(record):
    waiver = Waiver("dead-units", "a", "pruned", "2030-01-31", WaiverState.HOLDS, ("a",))
    lapsed = Waiver("dead-units", "b", "old", "2020-01-31", WaiverState.EXPIRED, ("b",))
    part = with_findings(record, found(Verdict.FAIL, "a", "b"))
    first, second = run_of(replace(part, waivers=(waiver, lapsed)))["results"]
    assert first["suppressions"] == [
        {"kind": "external", "status": "accepted", "justification": "pruned (until 2030-01-31)"}
    ]
    assert second["suppressions"] == []


def test_a_waived_finding_of_an_older_record_is_suppressed(record):
    run = run_of(with_findings(record, found(Verdict.FAIL, "a", waived="known")))
    assert run["results"][0]["suppressions"][0]["justification"] == "known"


def test_an_audit_that_stopped_says_so(record):
    run = run_of(replace(record, error="The disk is full."))
    assert run["invocations"][0]["executionSuccessful"] is False
    notes = run["invocations"][0]["toolExecutionNotifications"]
    assert any("The disk is full." in note["message"]["text"] for note in notes)


def test_times_stand_in_the_invocation_alone(record):
    later = replace(record, volatile=replace(record.volatile, started="2027-01-01T00:00:00+00:00"))
    one, two = run_of(record), run_of(later)
    assert one.pop("invocations") != two.pop("invocations")
    assert one == two
    assert run_of(record)["invocations"][0]["startTimeUtc"] == "2026-11-23T15:20:00Z"
    assert run_of(record)["invocations"][0]["endTimeUtc"] == "2026-11-23T15:21:13Z"


@pytest.mark.parametrize(
    ("started", "seconds"),
    [("yesterday", 1.0), ("9999-12-31T23:59:59+00:00", 1e9), ("2026-01-01", float("nan"))],
)
def test_odd_times_cost_nothing(record, started, seconds):
    run_of(replace(record, volatile=replace(record.volatile, started=started, seconds=seconds)))


def test_messages_are_short_and_hold_no_link_or_placeholder(record):
    text = "see [this](http://evil.example) {0} " + "word " * 1000
    run = run_of(with_findings(record, replace(found(), summary=text, title=text)))
    message = run["results"][0]["message"]["text"]
    assert "](" not in message
    assert "{0}" not in message
    assert len(message) <= 1024
    rule = run["tool"]["driver"]["rules"][0]
    assert max(len(rule[name]["text"]) for name in ("shortDescription", "fullDescription")) <= 1024


def test_hostile_names_stay_text(record):
    for name in HOSTILE:
        run = run_of(with_findings(record, found(Verdict.FAIL, name, why=name, advice=(name,))))
        told = json.dumps(run, ensure_ascii=False)
        assert "\x1b" not in told
        assert "\u202e" not in told
        assert len(told) < 20_000


def test_more_results_than_github_takes_are_cut_the_errors_first(record):
    places = tuple(f"layer{number}" for number in range(200))
    warns = [replace(found(Verdict.WARN, *places), check=f"w{n}") for n in range(20)]
    fails = [replace(found(Verdict.FAIL, *places), check=f"f{n}") for n in range(20)]
    text = render_sarif(with_findings(record, *warns, *fails))
    results = json.loads(text)["runs"][0]["results"]
    assert len(results) == MOST_RESULTS
    assert sum(result["level"] == "error" for result in results) == 4000
    assert len(text.encode()) < 10_000_000


def test_models_of_one_repository_do_not_replace_each_other(record):
    one = run_of(record)["automationDetails"]["id"]
    two = run_of(replace(record, subject=replace(record.subject, name="other/model v2")))
    assert one != two["automationDetails"]["id"] == "audit/other-model-v2/"


@pytest.mark.parametrize(
    ("command", "uri"),
    [
        ("audit run", "audit.yaml"),
        ("audit run --profile quick", "audit.yaml"),
        ("audit run models/digits --profile quick", "models/digits/audit.yaml"),
        ("audit run 'my models/a b.yaml'", "my%20models/a%20b.yaml"),
        ("audit run ./models/./digits/", "models/digits/audit.yaml"),
        ("audit run ../elsewhere/audit.yaml", "audit.yaml"),
        ("audit run /elsewhere/model", "audit.yaml"),
        ("audit run runs/2026-11-23/digits.pt --model model:build", "model.py"),
        ("audit run --model model:build --val data:val", "model.py"),
        ("audit(model, val=val)", "model.py"),
        ("audit run 'unclosed", "model.py"),
        ("", "model.py"),
    ],
)
def test_findings_are_attached_to_what_can_be_mended(record, command, uri):
    assert source_of(replace(record, command=command)) == uri


def test_an_absolute_path_is_told_from_the_folder_of_the_audit(record, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert source_of(replace(record, command=f"audit run {tmp_path}/a/spec.yml")) == "a/spec.yml"
