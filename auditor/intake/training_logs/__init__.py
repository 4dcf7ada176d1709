"""Logs of training: one file a format, recognised by content; the same plain rows come out of each.

`found.log_of` is the one way in: it finds the log that the spec names, or that lies beside the
checkpoint, and reads it. Anybody may have written such a file, so sizes, rows and columns are
bounded, and what can't be read is said.
"""
