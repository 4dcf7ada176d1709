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
    judged = any(f.verdict in _ANSWERS for f in record.findings)
    if record.verdict not in _ANSWERS or not judged:
        return "Not known: nothing could be judged."
    return _ANSWERS[record.verdict]


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
        said.append(
            f"all {counted(passed, 'check')} that could be judged passed"
            if passed
            else "nothing could be judged"
        )
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
        likely = counted(len(record.causes), "likely cause")
        sentences.append(f"A remedy tried on copies helped against {proven} of {likely}.")
    return " ".join(sentences)


_SPLITS = {"train": "training", "val": "validation"}


def _looked_at(subject: SubjectFacts) -> str:
    """Return how much of the data was seen; "all" only where a split was read to its end."""
    parts = []
    for split, facts in sorted(subject.data.items(), reverse=True):
        every = "all " if facts.complete else "the first "
        parts.append(f"{every}{facts.examples:,} {_SPLITS.get(split, split)} examples")
    return " and ".join(parts)
