"""Plugins of pytest that hold the house's rules."""
