"""Checks of activations and gradients, and of what they do to the weights."""
