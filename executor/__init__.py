"""A Plan in the real world: a Run."""
