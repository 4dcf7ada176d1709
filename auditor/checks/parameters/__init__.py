"""Checks of the weights and what is kept beside them."""
