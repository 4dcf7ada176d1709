"""The words that everything else is said in. Nothing here imports torch."""
