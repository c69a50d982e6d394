"""What was measured, and every table's schema."""
