"""The floor that sees all floors, and the command line."""
