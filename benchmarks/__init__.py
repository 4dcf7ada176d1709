"""Measurements of the auditor itself."""
