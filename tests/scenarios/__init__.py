"""Plain network scenarios with the answers of another simulator."""
