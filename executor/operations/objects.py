"""Copying between local files and object stores: `tradewind cp` with an s3, gs or az address.

A key is one object; a prefix (it ends with a slash, or is a bucket alone) is many, each a file
below a folder. Both ways resume when they are run again, and neither overwrites anything. Modes,
times and links are no part of an object: a folder that holds a link is refused.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from blake3 import blake3

from datasets.errors import InputError, TradewindError
from executor.endpoints.local import (
    EntryKind,
    check_space,
    file_digests,
    files,
    list_source,
    root_digest,
    total_bytes,
)
from executor.endpoints.notes import Notes
from executor.endpoints.object_download import Download, partial_name
from executor.endpoints.object_upload import Upload
from executor.endpoints.open_store import open_store
from executor.endpoints.store import (
    CHUNK_BYTES,
    Address,
    ObjectAbout,
    ObjectStore,
    StoreOptions,
    address_of,
)
from executor.endpoints.tally import Observe, Tally
from executor.endpoints.workers import Step, carry_out
from executor.operations.copied import COMPARED, READ_BACK, Copied


def tree_digest(roots: dict[str, bytes]) -> str:
    """One digest of many objects: BLAKE3 over their relative names and root digests, in order."""
    whole = blake3(b"tradewind tree v1")
    for name in sorted(roots):
        encoded = name.encode("utf-8", "surrogateescape")
        whole.update(len(encoded).to_bytes(4, "big") + encoded + roots[name])
    return whole.hexdigest()


def _silent(moved_bytes: int, total_bytes: int) -> None:
    pass


def upload(
    source: Path, url: str, options: StoreOptions | None = None, observe: Observe = _silent
) -> Copied:
    """Copy a file to an object, or a folder to a prefix.

    Raises: InputError (nothing is overwritten), TransferFailed, IntegrityError.
    """
    begin_s = time.monotonic()
    chosen = options or StoreOptions()
    address = address_of(url)
    entries = list_source(source)
    folder = entries[0].kind is EntryKind.FOLDER
    for entry in entries[1:] if folder else entries:
        if entry.kind is EntryKind.LINK:
            raise InputError(f"{source} holds a link, {_text(entry.path)!r}; a store has no links.")
    if address.is_prefix and not folder:
        address = Address(
            scheme=address.scheme, bucket=address.bucket, key=address.key + source.name
        )
    prefix = address.key if address.is_prefix else f"{address.key}/"
    named = (
        {_text(entry.path): prefix + _text(entry.path) for entry in files(entries)}
        if folder
        else {"": address.key}
    )
    with closing(open_store(address, chosen)) as store:
        tally = Tally(observe)
        tally.total_bytes = total_bytes(entries)
        return _upload(store, source, address, named, prefix, folder, chosen, tally, begin_s)


def _upload(
    store: ObjectStore,
    source: Path,
    address: Address,
    named: dict[str, str],
    prefix: str,
    folder: bool,
    options: StoreOptions,
    tally: Tally,
    begin_s: float,
) -> Copied:
    there = _standing(store, prefix) if folder else {address.key}
    uploads = {
        name: Upload(
            store, source / name if name else source, key, address.url(key), key in there, tally
        )
        for name, key in named.items()
    }
    marks = _empty_folders(source, prefix) if folder else []
    steps = [*(one.begin for one in uploads.values())]
    _finish(steps, [one.fail for one in uploads.values()], options)
    for key in marks:
        if key not in there:
            store.put(key, memoryview(b""), root_digest([], 0).hex())
    roots = {name: one.root for name, one in uploads.items()}
    read_back = any(one.read_back for one in uploads.values())
    return Copied(
        size_bytes=sum(one.size for one in uploads.values()),
        seconds=time.monotonic() - begin_s,
        digest=tree_digest(roots) if folder else roots[""].hex(),
        resumed_bytes=tally.resumed_bytes,
        final=address.url(prefix if folder else None),
        objects=len(uploads),
        confirmed=READ_BACK if read_back else COMPARED,
    )


def _text(path: bytes) -> str:
    """A file's name as a key. Raises: InputError if it is no UTF-8, which keys are."""
    try:
        return path.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{os.fsdecode(path)!r} is no UTF-8; a store's keys are.") from error


def _standing(store: ObjectStore, prefix: str) -> set[str]:
    return {about.key for about in store.listed(prefix)}


def _empty_folders(source: Path, prefix: str) -> list[str]:
    """Keys that stand for folders without anything in them: stores know folders by content only."""
    return [
        prefix + _text(os.fsencode(os.path.relpath(folder, source))) + "/"
        for folder, inner, inside in os.walk(source)
        if not inner and not inside and folder != str(source)
    ]


def _finish(
    steps: Iterable[Step], fails: list[Callable[[BaseException], None]], options: StoreOptions
) -> None:
    """Carry out the steps; when one fails, leave every object as the next run wants it."""
    try:
        carry_out(steps, workers=options.connections)
    except BaseException as error:
        for fail in fails:
            try:
                fail(error)
            except TradewindError as other:
                error.__cause__ = error.__cause__ or other
        raise


@dataclass(slots=True)
class _Tree:
    """The files of a prefix on their way into a folder."""

    address: Address
    folder: Path
    store: ObjectStore
    tally: Tally
    notes: Notes
    placed: dict[str, dict[str, str | int]]
    objects: dict[str, ObjectAbout]
    roots: dict[str, bytes] = field(default_factory=dict)
    downloads: list[Download] = field(default_factory=list)

    def steps(self) -> Iterator[Step]:
        for name, about in self.objects.items():
            yield partial(self._one, name, about)

    def _one(self, name: str, about: ObjectAbout) -> Iterable[Step]:
        final = self.folder / name
        if os.path.lexists(final):
            self.roots[name] = self._stands_already(name, about, final)
            self.tally.stood(about.size)
            return ()
        one = Download(self.store, about, self.address.url(about.key), final, self.tally)
        self.downloads.append(one)
        return self._followed(name, one, one.begin())

    def _followed(self, name: str, one: Download, more: Iterable[Step]) -> Iterable[Step]:
        """Its steps, and after the last of them a line in the notes."""
        if one.root:
            self.roots[name] = one.root
            self.notes.add({"name": name, "etag": one.about.etag, "root": one.root.hex()})
            return ()
        return [partial(self._step, name, one, step) for step in more]

    def _step(self, name: str, one: Download, step: Step) -> Iterable[Step]:
        more = step()
        return self._followed(name, one, more) if one.root or more else ()

    def _stands_already(self, name: str, about: ObjectAbout, final: Path) -> bytes:
        """The root of a file that is the very same. Raises: InputError if it is another."""
        noted = self.placed.get(name)
        known = about if noted else self.store.about(about.key)
        promised = (
            str(noted["root"])
            if noted and noted["etag"] == about.etag
            else (known.root if known else "")
        )
        if promised and final.is_file() and not final.is_symlink():
            found = _file_root(final)
            if found.hex() == promised:
                return found
        raise InputError(f"{final} exists; nothing is overwritten. Name another destination.")


def _file_root(path: Path) -> bytes:
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        return root_digest(file_digests(file.fileno(), size, CHUNK_BYTES), size)


def download(
    url: str,
    destination: Path,
    options: StoreOptions | None = None,
    observe: Observe = _silent,
) -> Copied:
    """Copy an object to a file, or every object of a prefix into a folder.

    Raises: InputError (nothing is overwritten), TransferFailed, IntegrityError.
    """
    begin_s = time.monotonic()
    chosen = options or StoreOptions()
    address = address_of(url)
    with closing(open_store(address, chosen)) as store:
        if address.is_prefix:
            return _download_tree(store, address, destination, chosen, Tally(observe), begin_s)
        return _download_one(store, address, destination, chosen, Tally(observe), begin_s)


def _download_one(
    store: ObjectStore,
    address: Address,
    destination: Path,
    options: StoreOptions,
    tally: Tally,
    begin_s: float,
) -> Copied:
    url = address.url()
    about = store.about(address.key)
    if about is None:
        raise InputError(f"There is no object {url}; a prefix ends with a slash.")
    final = destination / address.key.rpartition("/")[2] if destination.is_dir() else destination
    _check_folder(final.parent)
    if os.path.lexists(final):
        if about.root and final.is_file() and _file_root(final).hex() == about.root:
            tally.stood(about.size)
            return _one(about.size, about.root, tally, final, begin_s)
        raise InputError(f"{final} exists; nothing is overwritten. Name another destination.")
    # What an earlier run wrote is part of what is needed.
    held = final.with_name(partial_name(final.name))
    held_bytes = held.stat().st_blocks * 512 if held.exists() else 0
    check_space(final.parent, max(0, about.size - held_bytes))
    tally.total_bytes = about.size
    one = Download(store, about, url, final, tally)
    _finish([one.begin], [one.fail], options)
    _sync_folder(final.parent)
    return _one(about.size, one.root.hex(), tally, final, begin_s)


def _one(size: int, root: str, tally: Tally, final: Path, begin_s: float) -> Copied:
    return Copied(
        size_bytes=size,
        seconds=time.monotonic() - begin_s,
        digest=root,
        resumed_bytes=tally.resumed_bytes,
        final=str(final),
        objects=1,
        confirmed=READ_BACK,
    )


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"The destination's folder {folder} does not exist; make it first.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"The destination's folder {folder} is not writable.")


def _download_tree(
    store: ObjectStore,
    address: Address,
    destination: Path,
    options: StoreOptions,
    tally: Tally,
    begin_s: float,
) -> Copied:
    listed = list(store.listed(address.key))
    if not listed:
        raise InputError(f"There is no object below {address.url()}.")
    objects, folders = _planned(address, listed)
    if os.path.lexists(destination) and not destination.is_dir():
        raise InputError(f"{destination} exists and is no folder; name another destination.")
    _check_folder(destination if destination.is_dir() else destination.parent)
    destination.mkdir(exist_ok=True)
    tally.total_bytes = sum(about.size for about in objects.values())
    check_space(destination, tally.total_bytes)
    notes = Notes(destination / partial_name(address.url()), {"url": address.url()})
    made = {destination, *(_folder_below(destination, name) for name in folders)}
    tree = _Tree(
        address=address,
        folder=destination,
        store=store,
        tally=tally,
        notes=notes,
        placed={str(line["name"]): line for line in notes.lines},
        objects=objects,
    )

    def fail(error: BaseException) -> None:
        for one in tree.downloads:
            one.fail(error)
        notes.close()

    _finish(tree.steps(), [fail], options)
    notes.remove()
    for folder in made:
        _sync_folder(folder)
    return Copied(
        size_bytes=tally.total_bytes,
        seconds=time.monotonic() - begin_s,
        digest=tree_digest(tree.roots),
        resumed_bytes=tally.resumed_bytes,
        final=str(destination),
        objects=len(objects),
        confirmed=READ_BACK,
    )


def _planned(
    address: Address, listed: list[ObjectAbout]
) -> tuple[dict[str, ObjectAbout], list[str]]:
    """Relative names of files, and the folders they need, parents first.

    Raises: InputError for a key that no file below a folder can have.
    """
    objects: dict[str, ObjectAbout] = {}
    folders: set[str] = set()
    for about in listed:
        name = about.key[len(address.key) :]
        is_mark = (name.endswith("/") or not name) and not about.size
        parts = name.rstrip("/").split("/") if is_mark else name.split("/")
        if not name and is_mark:
            continue
        for part in parts:
            reserved = part.startswith(".tradewind-") and part.endswith((".part", ".notes"))
            if part in ("", ".", "..") or "\0" in part or reserved:
                raise InputError(f"No file can be called as the object {address.url(about.key)!r}.")
        inside = parts if is_mark else parts[:-1]
        folders.update("/".join(inside[: at + 1]) for at in range(len(inside)))
        if not is_mark:
            objects[name] = about
    both = sorted(folders & set(objects))
    if both:
        raise InputError(f"{address.url(address.key + both[0])!r} is an object and a folder.")
    return objects, sorted(folders)


def _folder_below(root: Path, name: str) -> Path:
    """Make a folder below `root`; a link in its place would lead elsewhere. Raises: InputError."""
    folder = root / name
    if not folder.is_dir() or folder.is_symlink():
        try:
            folder.mkdir()
        except OSError as error:
            raise InputError(f"Cannot make the folder {folder}: {error.strerror}.") from error
    return folder


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
