"""The faults, a class of them a file: each has a `SHELF` of cases."""
