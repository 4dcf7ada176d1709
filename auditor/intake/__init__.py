"""Bringing a subject in: checkpoints, models, data and losses."""
