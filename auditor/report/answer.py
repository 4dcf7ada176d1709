"""What a report says first: may the model ship, what came out, and how sure that is."""

from auditor.core.record import AuditRecord
from auditor.core.subject import SubjectFacts
from auditor.core.text import counted
from auditor.core.verdict import Verdict

_ANSWERS = {
    Verdict.FAIL: "Not as it is.",
    Verdict.WARN: "Not before its warnings have been looked at.",
    Verdict.PASS: "Nothing that was checked speaks against it.",
    Verdict.INCOMPLETE: "Not known: part of the audit could not be done.",
}


def answer(record: AuditRecord) -> str:
    """Return whether the model may ship, as far as the verdict tells."""
    live = {f.verdict for f in record.findings if f.waived is None}
    if Verdict.FAIL in live:  # An audit that did not run to its end is incomplete all the same.
        return _ANSWERS[Verdict.FAIL]
    if record.verdict not in _ANSWERS or live.isdisjoint(_ANSWERS):
        return "Not known: nothing could be judged."
    if record.verdict is Verdict.PASS and _excused(record):
        return "Nothing that was checked speaks against it, save what is waived."
    return _ANSWERS[record.verdict]


def unflawed(record: AuditRecord) -> tuple[str, str]:
    """Return a title and a sentence for where nothing is to be fixed, no more sure than it is."""
    live = {f.verdict for f in record.findings if f.waived is None}
    if live.isdisjoint(_ANSWERS):
        return "Nothing known to fix", "No check came to a verdict."
    excused = ", save what is waived" if _excused(record) else ""
    if Verdict.ERROR in live or record.error is not None:
        found = "No check that could be judged failed or gave a warning"
        return "Nothing known to fix", f"{found}{excused}."
    return "Nothing to fix", f"No check failed or gave a warning{excused}."


def _excused(record: AuditRecord) -> bool:
    flaws = {Verdict.FAIL, Verdict.WARN}
    return any(f.waived is not None and f.verdict in flaws for f in record.findings)


def headline(record: AuditRecord) -> str:
    """Return in a sentence or two what came out."""
    live = [f.verdict for f in record.findings if f.waived is None]
    failed, warned = live.count(Verdict.FAIL), live.count(Verdict.WARN)
    broken, passed = live.count(Verdict.ERROR), live.count(Verdict.PASS)
    judged = failed + warned + passed
    said = []
    if failed:
        said.append(f"{failed} of {counted(judged, 'check')} failed")
    if warned:
        one = "gives a warning" if warned == 1 else "give a warning"
        said.append(f"{warned} {one}" if failed else f"{counted(warned, 'check')} {one}")
    if broken:
        said.append(f"{broken if said else counted(broken, 'check')} could not be judged")
    if said and not failed and passed:
        said.append(f"the other {passed} passed")
    if not said:
        every = "the one check" if passed == 1 else f"all {passed:,} checks"
        said.append(f"{every} that could be judged passed" if passed else "nothing could be judged")
    waived = len(record.findings) - len(live)
    if waived:
        said.append(f"{counted(waived, 'finding')} {'is' if waived == 1 else 'are'} waived")
    text = ", ".join(said[:-1]) + (" and " if len(said) > 1 else "") + said[-1] + "."
    return text[0].upper() + text[1:]


def sureness(record: AuditRecord) -> str:
    """Return what the verdict rests on: checks judged, examples seen, causes confirmed."""
    total = len(record.findings)
    judged = sum(f.verdict in {Verdict.PASS, Verdict.WARN, Verdict.FAIL} for f in record.findings)
    looks = sum(f.verdict is Verdict.INFO for f in record.findings)
    said = f"{judged:,} of {counted(total, 'check')} gave a verdict"
    if looks:
        said += f", {looks} {'is' if looks == 1 else 'are'} for a look"
    if looked := _looked_at(record.subject):
        said += f"; looked at: {looked}"
    sentences = [f"{said}."]
    if record.causes:
        proven = sum(any(remedy.helped for remedy in cause.remedies) for cause in record.causes)
        tried = any(remedy.tried for cause in record.causes for remedy in cause.remedies)
        likely = counted(len(record.causes), "likely cause")
        sentences.append(
            f"A remedy tried on copies helped against {proven} of {likely}."
            if tried
            else "No remedy was tried on copies."
        )
    return " ".join(sentences)


_SPLITS = {"train": "training", "val": "validation"}


def _looked_at(subject: SubjectFacts) -> str:
    """Return how much of the data was seen; "all" only where a split was read to its end."""
    parts = []
    for split, facts in sorted(subject.data.items(), reverse=True):
        every = "all " if facts.complete else "the first "
        parts.append(f"{every}{facts.examples:,} {_SPLITS.get(split, split)} examples")
    return " and ".join(parts)
