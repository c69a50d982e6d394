"""`make demo`: the whole thread on one measured transfer, on this machine, in under a minute.

The transfer is picked for what it shows: its relays gain on what was received and on what was
sent, so the gain is not the start-up of a five-second test.
"""

from __future__ import annotations

import sys

from experiments.cli import cli, exit_with

TRANSFER = ("azure:eastasia", "aws:us-east-1")


def main() -> None:
    """Run it as a user would type it."""
    words = [
        "run",
        *TRANSFER,
        *("--bytes", "1TB"),
        "--fastest",
        *("--vm-limit", "1"),
        *("--strategy", "direct,overlay"),
    ]
    sys.stderr.write(f"tradewind {' '.join(words)}\n")
    exit_with(lambda: cli.main(words, standalone_mode=False))


if __name__ == "__main__":
    main()
