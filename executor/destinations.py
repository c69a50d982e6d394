"""Where the destinations of a transfer are: the paths that were named, and where each is built."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import InputError
from datasets.regions import is_region
from executor.endpoints.landing import kept_chunk_bytes
from executor.endpoints.listing import partial_folder, transfer_id
from executor.endpoints.local import Entry, check_space, place_for, total_bytes
from executor.removal import STAGING_PREFIX
from planner.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where one destination's tree is built, and where it is put once it is whole.

    `shown` is the latter as it was named.
    """

    staging: Path
    final: Path
    shown: Path


def named_destinations(words: Sequence[str]) -> Path | dict[str, Path]:
    """What `--destination` said: one path, or REGION=PATH for each. Raises: InputError."""
    pairs = [word.partition("=") for word in words]
    regions = [head if path and is_region(head) else "" for head, _, path in pairs]
    if len(words) == 1 and not regions[0]:
        return Path(words[0])
    for word, region in zip(words, regions, strict=True):
        if not region:
            raise InputError(f"--destination {word}: with several, write REGION=PATH for each.")
        if regions.count(region) > 1:
            raise InputError(f"--destination names {region} twice.")
    return {region: Path(path) for region, (_, _, path) in zip(regions, pairs, strict=True)}


def destinations_of(plan: Plan, given: Path | Mapping[str, Path]) -> dict[str, Path]:
    """Destination region: its path, in the Job's order. Raises: InputError."""
    regions = plan.job.destinations
    if isinstance(given, Path):
        if len(regions) > 1:
            raise InputError(
                f"The plan has {len(regions)} destinations; give --destination REGION=PATH for "
                f"each of {', '.join(regions)}."
            )
        return {regions[0]: given}
    for region in sorted(given.keys() ^ {*regions}):
        found = "no destination of the plan" if region in given else "without a --destination"
        raise InputError(f"{region} is {found}; it has {', '.join(regions)}.")
    return {region: given[region] for region in regions}


def places_of(
    destinations: Mapping[str, Path],
    source: Path,
    entries: tuple[Entry, ...],
    *,
    transfer: str,
    resumes: bool,
) -> dict[str, Destination]:
    """Where each destination is built and put.

    Where it `resumes`, a destination's folder is named by its place and the source, so that the
    same transfer begun again finds it; else by the id of the `transfer`.
    Raises: InputError, as `place_for`, or where two are one place.
    """
    places: dict[str, Destination] = {}
    for number, (region, path) in enumerate(destinations.items()):
        shown = place_for(path, source, entries, room=False)
        final = shown.absolute()
        if final in (place.final for place in places.values()):
            raise InputError(f"Two destinations are both at {final}; name one path for each.")
        # Beside what it will become, on the same file system: placing is renaming.
        beside = final if final.is_dir() else final.parent
        if resumes:
            name = transfer_id(str(final), entries, 0)
            staging = Path(os.fsdecode(partial_folder(os.fsencode(beside), name)))
        else:
            suffix = "" if len(destinations) == 1 else f"-{number}"
            staging = beside / f"{STAGING_PREFIX}{transfer}{suffix}"
        if not staging.exists():  # what an earlier attempt left has its room already
            check_space(beside, total_bytes(entries))
        places[region] = Destination(staging=staging, final=final, shown=shown)
    return places


def agreed_chunk_bytes(places: Mapping[str, Destination]) -> int | None:
    """The chunk size that earlier attempts left at every destination; None where there is none.

    What others than the first left in chunks of another size is removed: it cannot be gone on from.
    """
    sizes = {region: kept_chunk_bytes(bytes(place.staging)) for region, place in places.items()}
    first = next((size for size in sizes.values() if size), None)
    for region, size in sizes.items():
        if size is not None and size != first:
            shutil.rmtree(places[region].staging, ignore_errors=True)
    return first
