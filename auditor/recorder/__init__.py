"""Writes what training does into one file beside the checkpoint, for the audit to read."""

from auditor.recorder.recorder import Recorder

__all__ = ["Recorder"]
