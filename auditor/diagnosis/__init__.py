"""From findings to their likely causes, and to remedies that can be tried. No torch."""

from auditor.diagnosis.causes import diagnosed
from auditor.diagnosis.trying import trials

__all__ = ["diagnosed", "trials"]
