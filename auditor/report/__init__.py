"""The report: every page, file and table drawn from an audit record, and from nothing else."""
