"""Object stores as this toolkit sees them: one small surface, and what an address names.

`s3://BUCKET/KEY` is spoken by our own client (`s3.py`), since uploads that resume and never
overwrite need requests that no client library under one roof for three clouds offers; `gs://`
and `az://` go by way of obstore (`obstore_store.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from datasets.errors import InputError, TransferFailed
from datasets.units import MEBIBYTE

SCHEMES = ("s3", "gs", "az")
CHUNK_BYTES = 8 * MEBIBYTE
# User metadata that holds an object's root digest in hexadecimal digits.
ROOT_ATTRIBUTE = "tradewind-root"


class ObjectChanged(TransferFailed):
    """The object is no longer the one that was listed."""


class ObjectExists(InputError):
    """An object stands where one would be written; nothing is overwritten."""


class UploadGone(TransferFailed):
    """The store knows no multipart upload of this name any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A bucket, and a key or a prefix in it; a prefix ends with a slash or is empty."""

    scheme: str
    bucket: str
    key: str

    @property
    def is_prefix(self) -> bool:
        """Whether many objects are meant."""
        return not self.key or self.key.endswith("/")

    def url(self, key: str | None = None) -> str:
        """As the user writes it."""
        return f"{self.scheme}://{self.bucket}/{self.key if key is None else key}"


def address_of(url: str) -> Address:
    """What `url` names. Raises: InputError if it is no address of a store."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.netloc or "@" in parts.netloc:
        raise InputError(f"{url!r} names no object; one looks like s3://BUCKET/KEY.")
    # A key may hold ? and #, which are no query here.
    key = url.split("://", 1)[1].partition("/")[2]
    return Address(scheme=parts.scheme, bucket=parts.netloc, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """How to reach a store. `endpoint_url` is for servers that are not the cloud's own.

    Memory: `connections` times (8 MiB of part, or more above 78 GiB an object) of buffers.
    """

    endpoint_url: str | None = None
    connections: int = 8
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if not 1 <= self.connections <= 256:
            raise InputError(f"1 to 256 connections are possible, not {self.connections}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectAbout:
    """One object as it was listed. `etag` changes when the content does; `root` may be missing."""

    key: str
    size: int
    etag: str
    root: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartDone:
    """A part that the store has. `checksum` is the store's own SHA-256, if it keeps one.

    `compared`: the store's checksum was equal to ours; else the bytes are to be read back.
    """

    number: int
    etag: str
    checksum: str
    compared: bool


class Sink(Protocol):
    """Where bytes that are read go, piece by piece."""

    @property
    def buffer(self) -> memoryview:
        """Memory to read into, small enough to stay in a processor's cache until it is taken."""

    def restart(self) -> int:
        """An attempt begins, perhaps not the first: how many bytes it need not bring again."""

    def take(self, view: memoryview) -> None:
        """The next bytes; `view` is free again afterwards."""

    def place(self) -> tuple[int, int, int] | None:
        """A file, the offset and the length where the next bytes may be put without being taken;
        None: they are to be taken."""

    def put(self, count: int) -> None:
        """So many bytes were put at their place."""


class ObjectStore(Protocol):
    """One bucket. Every call has bounded waits and retries what is worth it, then raises
    TransferFailed; all may be called by several threads at once."""

    resumes: bool  # whether uploads in parts are ours to order (begin … complete)

    def about(self, key: str) -> ObjectAbout | None:
        """The object, or None."""

    def listed(self, prefix: str) -> Iterator[ObjectAbout]:
        """Every object whose key begins so, in the store's order."""

    def read(self, about: ObjectAbout, offset: int, size: int, sink: Sink) -> str:
        """Give `size` bytes from `offset` to `sink`; the root kept with the object, or "".

        Raises: ObjectChanged if the object is another by now.
        """

    def put(self, key: str, body: memoryview, root: str) -> bool:
        """A whole object at once, not over another; whether the store's checksum was equal.

        Raises: ObjectExists.
        """

    def begin(self, key: str, root: str) -> str:
        """Begin an upload in parts; its name. Only where `resumes`."""

    def put_part(self, key: str, upload: str, number: int, body: memoryview) -> PartDone:
        """One part, counted from 1. Raises: UploadGone."""

    def parts(self, key: str, upload: str) -> dict[int, tuple[int, str]]:
        """Size and ETag of the parts that the store has. Raises: UploadGone."""

    def complete(self, key: str, upload: str, parts: list[PartDone], root: str, size: int) -> None:
        """Make the object of its parts, not over another. Raises: ObjectExists, UploadGone."""

    def abort(self, key: str, upload: str) -> None:
        """Give up an upload and free its parts; harmless if it is gone."""

    def put_file(self, key: str, descriptor: int, size: int, root: str) -> None:
        """A whole object of any size from an open file, where `resumes` is false."""

    def close(self) -> None:
        """End the connections."""
