"""What can be seen: a request and the observation that answers it, one file per family."""
