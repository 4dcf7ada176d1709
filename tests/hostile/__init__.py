"""Hostile, broken and odd checkpoints, written when the tests run, and what must become of each."""
