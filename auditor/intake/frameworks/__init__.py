"""Where a model comes from: a function of the user's, or a framework that knows how to build it."""
