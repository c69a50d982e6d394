"""Registered cases, each measured beside a reference in the same rounds; nothing is asserted."""
