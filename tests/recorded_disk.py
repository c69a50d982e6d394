"""A disk that remembers what was done to it, and gives what a power cut would have left.

The model: a file's bytes and length are safe once the file was synced; a name in a folder once the
folder was; `sync_all` makes everything safe. What is not safe is lost, all of it or, by `keep`, any
part: writes may be torn at any byte, and names and bytes may reach the disk in any order.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from executor.endpoints.disk import Disk


@dataclass(slots=True)
class Effect:
    """One effect: `safe_at` is the number of the sync that made it safe, if any did."""

    kind: str
    path: bytes
    inode: int = 0
    offset: int = 0
    data: bytes = b""
    other: bytes = b""
    safe_at: int | None = None


@dataclass
class RecordingDisk(Disk):
    """Does everything for real, and records it. Paths are those given; folders are `root`'s."""

    effects: list[Effect] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self._open: dict[int, int] = {}
        self._inodes: dict[bytes, int] = {}
        self._count = 0

    def _note(self, effect: Effect) -> None:
        self.before()
        self.effects.append(effect)

    def _safe(self, which: Callable[[Effect], bool]) -> None:
        self.before()
        for effect in self.effects:
            if effect.safe_at is None and which(effect):
                effect.safe_at = len(self.effects)
        self.effects.append(Effect(kind="sync", path=b"", safe_at=len(self.effects)))

    def create(self, path: bytes, *, exclusive: bool = True, mode: int = 0o600) -> int:
        is_new = not os.path.lexists(path)
        if is_new:
            self._count += 1
            self._inodes[path] = self._count
            self._note(Effect(kind="create", path=path, inode=self._count))
        descriptor = super().create(path, exclusive=exclusive, mode=mode)
        self._open[descriptor] = self._inodes[path]
        return descriptor

    def open(self, path: bytes) -> int:
        descriptor = super().open(path)
        self._open[descriptor] = self._inodes[path]
        return descriptor

    def allocate(self, descriptor: int, size_bytes: int) -> None:
        self.stretch(descriptor, size_bytes)

    def stretch(self, descriptor: int, size_bytes: int) -> None:
        self._note(
            Effect(kind="stretch", path=b"", inode=self._open[descriptor], offset=size_bytes)
        )
        super().stretch(descriptor, size_bytes)

    def write(self, descriptor: int, view: memoryview | bytes, offset: int) -> None:
        inode = self._open[descriptor]
        self._note(Effect(kind="write", path=b"", inode=inode, offset=offset, data=bytes(view)))
        super().write(descriptor, view, offset)

    def sync(self, descriptor: int) -> None:
        inode = self._open[descriptor]
        self._safe(lambda effect: effect.inode == inode and effect.kind in ("write", "stretch"))

    def sync_all(self, path: bytes) -> None:
        self._safe(lambda effect: True)

    def sync_folder(self, path: bytes) -> None:
        def is_name_in(effect: Effect) -> bool:
            names = effect.kind in ("create", "folder", "symlink", "link", "rename", "unlink")
            return names and os.path.dirname(effect.other or effect.path) == path

        self._safe(is_name_in)

    def make_folder(self, path: bytes) -> None:
        super().make_folder(path)
        self._note(Effect(kind="folder", path=path))

    def symlink(self, target: bytes, path: bytes) -> None:
        super().symlink(target, path)
        self._note(Effect(kind="symlink", path=path, data=target))

    def link(self, path: bytes, new: bytes) -> None:
        super().link(path, new)
        self._inodes[new] = self._inodes[path]
        self._note(Effect(kind="link", path=path, other=new, inode=self._inodes[path]))

    def rename(self, path: bytes, new: bytes) -> None:
        super().rename(path, new)
        for known in [
            name for name in self._inodes if name == path or name.startswith(path + b"/")
        ]:
            self._inodes[new + known[len(path) :]] = self._inodes.pop(known)
        self._note(Effect(kind="rename", path=path, other=new))

    def unlink(self, path: bytes) -> None:
        super().unlink(path)
        self._note(Effect(kind="unlink", path=path))

    def after_power_cut(
        self, at: int, root: Path, into: Path, *, keep: random.Random | None = None
    ) -> None:
        """What stands in `into`, new, of `root` if the power went after `at` effects.

        `keep`: what was not safe may have reached the disk, in part; else all of it is lost.
        """
        into.mkdir()
        files: dict[int, bytearray] = {}
        names: dict[bytes, int | bytes | None] = {}
        for effect in self.effects[:at]:
            safe = effect.safe_at is not None and effect.safe_at < at
            if not safe and (keep is None or keep.random() < 0.5):
                continue
            _apply(effect, files, names, None if safe else keep)
        prefix = os.fsencode(root) + b"/"
        for path, what in sorted(names.items()):
            there = os.path.join(os.fsencode(into), path.removeprefix(prefix))
            if not os.path.isdir(os.path.dirname(there)):
                continue  # its folder never reached the disk
            if what is None:
                os.mkdir(there)
            elif isinstance(what, bytes):
                os.symlink(what, there)
            else:
                with open(there, "wb") as file:
                    file.write(files.get(what, b""))


def _apply(
    effect: Effect,
    files: dict[int, bytearray],
    names: dict[bytes, int | bytes | None],
    torn: random.Random | None,
) -> None:
    if effect.kind == "create":
        names[effect.path] = effect.inode
    elif effect.kind == "folder":
        names[effect.path] = None
    elif effect.kind == "symlink":
        names[effect.path] = effect.data
    elif effect.kind == "link":
        names[effect.other] = effect.inode
    elif effect.kind == "unlink":
        names.pop(effect.path, None)
    elif effect.kind == "rename":
        for known in list(names):
            if known == effect.path or known.startswith(effect.path + b"/"):
                names[effect.other + known[len(effect.path) :]] = names.pop(known)
    elif effect.kind == "stretch":
        held = files.setdefault(effect.inode, bytearray())
        held.extend(bytes(max(effect.offset - len(held), 0)))
    elif effect.kind == "write":
        data = effect.data if torn is None else effect.data[: torn.randrange(len(effect.data) + 1)]
        held = files.setdefault(effect.inode, bytearray())
        held.extend(bytes(max(effect.offset + len(data) - len(held), 0)))
        held[effect.offset : effect.offset + len(data)] = data
