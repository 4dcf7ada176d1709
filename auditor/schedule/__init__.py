"""Audits that run by themselves: when, how a machine is told, one at a time, and what is kept."""
