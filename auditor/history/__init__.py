"""Every audit of every subject, kept: found again, compared with, and followed over time."""
