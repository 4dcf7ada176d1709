"""Many records on one page: a line a model."""
