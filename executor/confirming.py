"""What the destinations are to confirm: each object's root, of the digests of what was sent."""

from __future__ import annotations

from collections.abc import Iterable

from executor.control import messages_pb2 as messages
from executor.control.client import GatewayClient
from executor.endpoints.local import Entry, files, root_digest

DIGESTS_TIMEOUT_S = 60.0


def roots_of(sources: Iterable[GatewayClient], entries: tuple[Entry, ...]) -> messages.Roots:
    """Asked of every source; a chunk that two of them sent has one digest.

    Raises: the error of a source that does not answer.
    """
    digests: dict[int, dict[int, bytes]] = {entry.index: {} for entry in files(entries)}
    for source in sources:
        for message in source.stream("Digests", timeout_s=DIGESTS_TIMEOUT_S):
            for entry in message.digests:
                digests[entry.object][entry.chunk] = entry.digest
    return messages.Roots(
        roots=[
            messages.Root(
                object=entry.index,
                digest=root_digest(
                    [digest for _, digest in sorted(digests[entry.index].items())], entry.size
                ),
            )
            for entry in files(entries)
        ]
    )
