"""Two audits of a model side by side."""
