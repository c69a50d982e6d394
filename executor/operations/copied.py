"""What a copy did, whatever its ends were."""

from __future__ import annotations

from dataclasses import dataclass

from datasets.canonical import Json

READ_BACK = "read back"
COMPARED = "checksum compared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """`digest` is the root of a single file or object; of many, over their names and roots.

    `resumed_bytes` of `size_bytes` stood there before, by an earlier run. Of a copy to or from an
    object store, `objects` counts them, and `confirmed` says how the destination was: read back, or
    the store's own checksum of each part held against ours.
    """

    size_bytes: int
    seconds: float
    digest: str
    resumed_bytes: int
    final: str
    objects: int | None = None
    confirmed: str = READ_BACK

    def as_json(self) -> dict[str, Json]:
        """As `tradewind cp --json` prints it."""
        told: dict[str, Json] = {
            "bytes": self.size_bytes,
            "seconds": self.seconds,
            "digest": self.digest,
            "resumed_bytes": self.resumed_bytes,
            "destination": self.final,
        }
        if self.objects is not None:
            told |= {"objects": self.objects, "confirmed": self.confirmed}
        return told
