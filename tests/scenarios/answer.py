"""What SimGrid says of the drawn scenarios, as checked in; written anew by

    python -m tests.scenarios.answer --write

which makes SimGrid's environment first if it is not there. `answers.json` holds the digest of all
scenarios drawn, and for each seed the finish times, flows first and then each pool's chunks, as
they are listed. Seeds in whose pools connections of different routes come free at one instant are
left out: which of them takes the next chunk is open, and each engine has its own way.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import click

from benchmarks.simgrid_peer import simgrid_answers
from tests.scenarios.draw import drawn

FILE = Path(__file__).parent / "answers.json"
SEEDS = range(360)
_DIGITS = 12


def known() -> dict[int, list[float]]:
    """The checked-in finish times by seed."""
    return {int(seed): finish for seed, finish in json.loads(FILE.read_text())["finish"].items()}


def listed_ids(scenario: dict[str, Any]) -> list[str]:
    """Its flows, then its chunks."""
    ids = [flow["id"] for flow in scenario["flows"]]
    return ids + [
        f"{pool['id']}/{at}" for pool in scenario["pools"] for at in range(pool["chunks"])
    ]


def digest(seeds: list[int]) -> str:
    """Of those scenarios: the same wherever they are drawn."""
    text = json.dumps([drawn(seed) for seed in seeds], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def asked(seeds: list[int]) -> dict[int, list[float]]:
    """SimGrid's finish times of those without a tie. Raises: SimgridMissing."""
    scenarios = [drawn(seed) for seed in seeds]
    found = {}
    for seed, scenario, answer in zip(seeds, scenarios, simgrid_answers(scenarios), strict=True):
        if not answer["ties"]:
            finish = answer["finish"]
            found[seed] = [float(f"{finish[each]:.{_DIGITS}g}") for each in listed_ids(scenario)]
    return found


@click.command()
@click.option("--write", is_flag=True, required=True, help="Write answers.json anew.")
def main(write: bool) -> None:
    """Ask SimGrid for every answer."""
    found = asked(list(SEEDS))
    lines = [f'"{seed}": {json.dumps(finish)}' for seed, finish in found.items()]
    head = f'{{"digest": "{digest(list(found))}",\n"finish": {{\n'
    FILE.write_text(head + ",\n".join(lines) + "\n}}\n")
    click.echo(f"{len(found)} of {len(SEEDS)} scenarios, {FILE.stat().st_size:,} bytes.")


if __name__ == "__main__":
    main()
