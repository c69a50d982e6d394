"""Google Cloud Storage and Azure Blob through obstore, as an object store of this toolkit.

Credentials are found as the clouds' own tools find them. obstore orders large uploads itself, so
they begin anew after a kill; nothing of them is visible before they are whole. What is written is
read back, since no checksum of the store's comes back through it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError

from datasets.errors import TransferFailed
from executor.endpoints.store import (
    CHUNK_BYTES,
    ROOT_ATTRIBUTE,
    Address,
    ObjectAbout,
    ObjectChanged,
    ObjectExists,
    PartDone,
    Sink,
    StoreOptions,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Backing

_NOT_OURS = "this store orders uploads in parts itself"


def open_obstore(address: Address, options: StoreOptions) -> ObstoreStore:
    """The bucket of an address. Raises: TransferFailed if obstore cannot make a client of it."""
    from obstore.store import from_url

    # Azure takes names of metadata that are identifiers of C#, without a hyphen.
    attribute = ROOT_ATTRIBUTE.replace("-", "_") if address.scheme == "az" else ROOT_ATTRIBUTE
    client = {"timeout": timedelta(seconds=options.timeout_s)}
    try:
        backing = from_url(f"{address.scheme}://{address.bucket}", client_options=client)  # type: ignore[call-overload]
    except BaseError as error:
        raise TransferFailed(f"Cannot reach {address.url('')}: {_told(error)}.") from error
    return ObstoreStore(backing, address.url(""), attribute)


class ObstoreStore:
    """Any store of obstore's, by the surface of `store.ObjectStore`."""

    resumes = False

    def __init__(self, backing: Backing, url: str, attribute: str = ROOT_ATTRIBUTE) -> None:
        self._backing = backing
        self._url = url
        self._attribute = attribute

    def about(self, key: str) -> ObjectAbout | None:
        """See ObjectStore."""
        try:
            found = obstore.get(self._backing, key, options={"head": True})
        except (NotFoundError, FileNotFoundError):
            return None
        except BaseError as error:
            raise self._failed("describe", key, error) from error
        root = {str(name).lower(): text for name, text in found.attributes.items()}
        return ObjectAbout(
            key=key,
            size=found.meta["size"],
            etag=found.meta["e_tag"] or "",
            root=root.get(self._attribute, ""),
        )

    def listed(self, prefix: str) -> Iterator[ObjectAbout]:
        """See ObjectStore. obstore's prefixes are whole folders."""
        try:
            for page in obstore.list(self._backing, prefix.rstrip("/") or None):
                for meta in page:
                    yield ObjectAbout(key=meta["path"], size=meta["size"], etag=meta["e_tag"] or "")
        except BaseError as error:
            raise self._failed("list", prefix, error) from error

    def read(self, about: ObjectAbout, offset: int, size: int, sink: Sink) -> str:
        """See ObjectStore."""
        if not size:
            return about.root
        begin = offset + sink.restart()
        try:
            found = obstore.get(
                self._backing,
                about.key,
                options={
                    "range": (begin, offset + size),
                    "if_match": about.etag or None,
                },
            )
            body = memoryview(found.bytes())
        except (PreconditionError, NotFoundError, FileNotFoundError) as error:
            raise ObjectChanged(f"{about.key!r} changed while it was being read.") from error
        except BaseError as error:
            raise self._failed("read", about.key, error) from error
        if len(body) != offset + size - begin:
            raise ObjectChanged(f"{about.key!r} is not as long as it was listed.")
        for at in range(0, len(body), len(sink.buffer)):
            sink.take(body[at : at + len(sink.buffer)])
        root = {str(name).lower(): text for name, text in found.attributes.items()}
        return root.get(self._attribute, "")

    def put(self, key: str, body: memoryview, root: str) -> bool:
        """See ObjectStore."""
        try:
            obstore.put(
                self._backing,
                key,
                bytes(body),
                attributes={self._attribute: root},
                mode="create",
            )
        except AlreadyExistsError as error:
            there = self.about(key)
            if there is None or (there.root, there.size) != (root, len(body)):
                raise ObjectExists(
                    f"{self._url}{key} exists; nothing is overwritten. Name another destination."
                ) from error
        except BaseError as error:
            raise self._failed("write", key, error) from error
        return False

    def put_file(self, key: str, descriptor: int, size: int, root: str) -> None:
        """See ObjectStore. An object that comes to stand there meanwhile is not noticed."""
        if self.about(key) is not None:
            raise ObjectExists(
                f"{self._url}{key} exists; nothing is overwritten. Name another destination."
            )
        try:
            with os.fdopen(os.dup(descriptor), "rb") as file:
                file.seek(0)
                obstore.put(
                    self._backing,
                    key,
                    file,
                    attributes={self._attribute: root},
                    use_multipart=True,
                    chunk_size=max(CHUNK_BYTES, -(-size // 10_000)),
                )
        except BaseError as error:
            raise self._failed("write", key, error) from error

    def begin(self, key: str, root: str) -> str:
        """See ObjectStore."""
        raise TransferFailed(_NOT_OURS)

    def put_part(self, key: str, upload: str, number: int, body: memoryview) -> PartDone:
        """See ObjectStore."""
        raise TransferFailed(_NOT_OURS)

    def parts(self, key: str, upload: str) -> dict[int, tuple[int, str]]:
        """See ObjectStore."""
        raise TransferFailed(_NOT_OURS)

    def complete(self, key: str, upload: str, parts: list[PartDone], root: str, size: int) -> None:
        """See ObjectStore."""
        raise TransferFailed(_NOT_OURS)

    def abort(self, key: str, upload: str) -> None:
        """See ObjectStore."""
        raise TransferFailed(_NOT_OURS)

    def close(self) -> None:
        """See ObjectStore: obstore ends its connections itself."""

    def _failed(self, what: str, key: str, error: BaseError) -> TransferFailed:
        return TransferFailed(f"The store failed to {what} {self._url}{key}: {_told(error)}.")


def _told(error: BaseError) -> str:
    """The first line: what follows is the library's own structure."""
    return str(error).strip().split("\n", 1)[0].rstrip(".") or type(error).__name__
