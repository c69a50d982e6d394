"""Formulations, and OR-Tools' edge."""
