"""What a site has under way: uploads that land, and what it offers for reading.

Nothing here is needed to check a command: rights travel in each (`executor/gateway/session.py`).
An upload's state is its hidden folder, which any worker of the site opens; an offer is made anew
by asking again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import InputError, SessionRefused, TradewindError, TransferFailed
from executor.endpoints.landing import Landing, landing_at
from executor.endpoints.listing import leaves_root, partial_folder, partial_name, transfer_id
from executor.endpoints.local import (
    Entry,
    EntryKind,
    SourceReader,
    check_place,
    check_space,
    list_source,
    total_bytes,
)
from executor.endpoints.units import Unit, units_of
from executor.gateway.records import Arrivals, ListedArrivals
from executor.site.confined import ConfinedRoot
from executor.site.index import Index
from executor.site.spool import Enquire, Spool

# Offers that are kept; who asks for more makes the oldest be asked for again.
MOST_OFFERS = 4096
# Beyond the lifetime of any session.
OFFER_LIFETIME_S = 2 * 24 * 3600
# Uploads that are open; one that is let go goes on from its folder when it is asked for again.
MOST_UPLOADS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One transfer that comes in; its folder is held open by a descriptor."""

    landing: Landing
    final: bytes
    shown: str
    descriptor: int

    def release(self) -> None:
        """Close what is open; what came in stays on disk."""
        self.landing.close()
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What may be read under one transfer's id, held open by a descriptor.

    `digests`: of the chunks that were sent; what is missing there is read again for a root.
    """

    entries: tuple[Entry, ...]
    units: dict[int, Unit]
    source: SourceReader
    descriptor: int
    digests: dict[tuple[int, int], bytes]


class Transfers:
    """The site's uploads and offers. Safe between threads."""

    def __init__(self, root: ConfinedRoot) -> None:
        self._root = root
        self._index = Index(root.way)
        self._index.drop_stale(time.time() - OFFER_LIFETIME_S)
        self._lock = threading.Lock()
        self._uploads: OrderedDict[bytes, Upload] = OrderedDict()
        self._spools: dict[bytes, Spool] = {}
        self._offers: OrderedDict[bytes, Offer] = OrderedDict()

    # What comes in.

    def begin(
        self, path: str, name: str, entries: tuple[Entry, ...], chunk_bytes: int
    ) -> tuple[bytes, Upload | None]:
        """Begin an upload to `path`, or go on with it: its transfer id.

        None: it stands in its place already, and only the word of it was lost. A file sent to a
        folder goes into it as `name`. Raises: InputError if it may not stand there; TransferFailed.
        """
        single = entries[0].kind is not EntryKind.FOLDER
        if single and self._root.is_folder(path):
            path = os.path.join(path, name)
        transfer = transfer_id(path, entries, chunk_bytes)
        with self._lock:
            found = self._uploads.get(transfer)
            if found is None and self._index.find(transfer) == ("placing", path):
                self._place_again(path, transfer)
                return transfer, None
            if found is None:
                self._make_room(transfer)
                found = self._uploads[transfer] = self._begun(path, entries, chunk_bytes, transfer)
            self._uploads.move_to_end(transfer)
            return transfer, found

    def _begun(
        self, path: str, entries: tuple[Entry, ...], chunk_bytes: int, transfer: bytes
    ) -> Upload:
        is_new = self._index.find(transfer) is None
        self._index.drop_others(transfer)
        self._index.put(transfer, "upload", path)
        try:
            return self._opened(path, entries, chunk_bytes, transfer)
        except TradewindError:
            if is_new:
                self._index.drop(transfer)
            raise

    def _make_room(self, transfer: bytes) -> None:
        """Let go of what came to the same place from another source, and of the oldest of many."""
        leave = [other for other in self._uploads if other[:8] == transfer[:8]]
        if len(self._uploads) - len(leave) >= MOST_UPLOADS:
            leave.append(next(other for other in self._uploads if other not in leave))
        for other in leave:
            self._uploads.pop(other).release()

    def _opened(
        self, path: str, entries: tuple[Entry, ...], chunk_bytes: int, transfer: bytes
    ) -> Upload:
        held, name = self._root.folder_of(path)
        try:
            final = os.path.join(b"/proc/self/fd/%d" % held, name)
            try:
                beside = check_place(Path(os.fsdecode(final)), entries, shown=path or "/")
            except OSError as error:
                raise InputError(f"Cannot use the destination {path}: {error.strerror}.") from error
            partial = partial_folder(os.fsencode(beside), transfer)
            if not os.path.isdir(partial):  # what an earlier attempt left has its room already
                check_space(beside, total_bytes(entries), shown=path or "/")
            landing = Landing(partial, entries, chunk_bytes=chunk_bytes)
        except BaseException:
            os.close(held)
            raise
        return Upload(landing=landing, final=final, shown=path, descriptor=held)

    def upload(self, transfer: bytes) -> Upload:
        """An upload that is under way, here or by another worker of this site.

        Raises: SessionRefused if there is none of that id.
        """
        with self._lock:
            found = self._uploads.get(transfer)
            if found is None:
                found = self._reopened(transfer)
                self._uploads[transfer] = found
            return found

    def _place_again(self, path: str, transfer: bytes) -> None:
        """What was confirmed when its site was killed: the rest of it into its place."""
        held, name = self._root.folder_of(path)
        try:
            way = b"/proc/self/fd/%d" % held
            final = os.path.join(way, name)
            for folder in (way, final):
                partial = os.path.join(folder, partial_name(transfer))
                if os.path.isdir(partial):
                    landing_at(partial).place(final)
                    return
            if not os.path.lexists(final):
                raise TransferFailed(f"{path} was placed, and is gone by now")
        finally:
            os.close(held)

    def _reopened(self, transfer: bytes) -> Upload:
        """What another worker, or this one before it was killed, began."""
        known = self._index.find(transfer)
        if known is None or known[0] != "upload":
            raise SessionRefused("no transfer of that name comes in here; ask again")
        held, name = self._root.folder_of(known[1])
        way = b"/proc/self/fd/%d" % held
        final = os.path.join(way, name)
        try:
            beside = final if os.path.isdir(final) else way
            landing = landing_at(partial_folder(beside, transfer))
        except BaseException:
            os.close(held)
            raise
        return Upload(landing=landing, final=final, shown=known[1], descriptor=held)

    def place(self, transfer: bytes, roots: dict[int, bytes]) -> str:
        """Confirm an upload and put it in its place, which it gives.

        Raises: IntegrityError, InputError, TransferFailed.
        """
        found = self.upload(transfer)
        found.landing.confirm(roots)
        with self._lock:
            if self._uploads.pop(transfer, None) is not found:
                raise TransferFailed("another attempt has put this transfer in its place")
        try:
            self._index.put(transfer, "placing", found.shown)
            found.landing.place(found.final)
        except TradewindError:
            self._index.put(transfer, "upload", found.shown)
            raise
        finally:
            found.release()
        return found.shown

    def told(self, transfer: bytes) -> None:
        """The client knows that it is placed: forget it."""
        self._index.drop(transfer)

    # What is for another site.

    def spool(self, transfer: bytes, enquire: Enquire | None = None) -> Spool:
        """The spool of a transfer; begun where `enquire` is given.

        Raises: SessionRefused if there is none.
        """
        with self._lock:
            found = self._spools.get(transfer)
            if found is None:
                if enquire is None:
                    known = self._index.find(transfer)
                    if known is None or known[0] != "spool":
                        raise SessionRefused("no transfer of that name comes in here; ask again")
                self._index.put(transfer, "spool", "")
                # Without a word of it, sizes are taken as commands state them.
                found = Spool(self._root.way, transfer, enquire or (lambda command: None))
                self._spools[transfer] = found
            return found

    def arrivals(self, transfer: bytes) -> Arrivals:
        """Where records of a transfer land here. Raises: SessionRefused if they do not."""
        return self.spool_of(transfer) or ListedArrivals(self.upload(transfer).landing)

    def spool_of(self, transfer: bytes) -> Spool | None:
        """A transfer's spool, where it has one here."""
        with self._lock:
            found = self._spools.get(transfer)
            is_open = transfer in self._uploads or transfer in self._offers
        if found is not None or is_open:
            return found
        known = self._index.find(transfer)
        return self.spool(transfer) if known is not None and known[0] == "spool" else None

    def drop_spool(self, transfer: bytes) -> None:
        """Remove a spool; harmless when repeated."""
        with self._lock:
            found = self._spools.pop(transfer, None)
        if found is None:
            known = self._index.find(transfer)
            if known is None or known[0] != "spool":
                return
            found = Spool(self._root.way, transfer, lambda command: None)
        found.drop()
        self._index.drop(transfer)

    # What goes out.

    def offer(self, path: str, transfer: bytes) -> Offer:
        """Offer what `path` names under that transfer's id. Raises: InputError."""
        offer = self._offer(path)
        # What this folder does not take is kept in memory alone: other workers will ask again.
        with contextlib.suppress(TransferFailed):
            self._index.put(transfer, "offer", path)
        with self._lock:
            self._keep(transfer, offer)
        return offer

    def _offer(self, path: str) -> Offer:
        with self._root.reading(path) as way:
            held = os.open(way, os.O_RDONLY | os.O_CLOEXEC)
        try:
            own = b"/proc/self/fd/%d" % held
            entries = list_source(Path(os.fsdecode(own)), shown=path)
            for entry in entries:
                if entry.kind is EntryKind.LINK and leaves_root(entry.path, entry.target):
                    raise InputError(
                        f"{path} holds a link that leads out of it, {os.fsdecode(entry.path)!r}: "
                        "such are not served."
                    )
            offer = Offer(
                entries=entries,
                units={unit.index: unit for unit in units_of(entries)},
                source=SourceReader(own, entries),
                descriptor=held,
                digests={},
            )
        except BaseException:
            os.close(held)
            raise
        return offer

    def _keep(self, transfer: bytes, offer: Offer) -> None:
        self._offers[transfer] = offer
        while len(self._offers) > MOST_OFFERS:
            os.close(self._offers.popitem(last=False)[1].descriptor)

    def offered(self, transfer: bytes) -> Offer:
        """Raises: SessionRefused if nothing is offered under that id."""
        with self._lock:
            found = self._offers.get(transfer)
            if found is None:
                known = self._index.find(transfer)
                if known is None or known[0] != "offer":
                    raise SessionRefused("nothing is offered under that name; ask again")
                # By another worker: objects have their ids from what stands there now.
                found = self._offer(known[1])
                self._keep(transfer, found)
            return found

    def withdraw(self, transfer: bytes) -> None:
        """Offer it no more; harmless when repeated."""
        with self._lock:
            found = self._offers.pop(transfer, None)
        if found is not None:
            os.close(found.descriptor)
        self._index.drop(transfer)

    def close(self) -> None:
        """Close all; what came in stays for the next attempt."""
        with self._lock:
            uploads, self._uploads = list(self._uploads.values()), OrderedDict()
            spools, self._spools = list(self._spools.values()), {}
            offers, self._offers = list(self._offers.values()), OrderedDict()
        for upload in uploads:
            upload.release()
        for spool in spools:
            spool.close()
        for offer in offers:
            os.close(offer.descriptor)
