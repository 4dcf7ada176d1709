"""Checks against the simplest thing that could work."""
