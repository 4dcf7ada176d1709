"""Checks of what was written down."""
