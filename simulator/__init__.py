"""A Plan in a modelled world: a Run."""
