"""The ledger: what a transfer is about to make, has made and has removed. SQLite, durable.

Intent is committed before the effect and removal is confirmed after it, so that whoever is killed
at any instant leaves a trail: `gc` follows it, `audit` prints it. States of a resource:
intent → live → condemned → gone.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.errors import InputError, ProviderError
from executor.machine import boot_id, is_alive, own_start
from executor.retry import retried

PHASES = (
    "reserve",
    "provision",
    "permit",
    "transfer",
    "revoke",
    "delete",
    "closed",
)
OPEN_TIMEOUT_S = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS transfer (
    id TEXT PRIMARY KEY, plan_id TEXT NOT NULL, phase TEXT NOT NULL,
    owner_pid INTEGER NOT NULL, owner_started TEXT NOT NULL, boot_id TEXT NOT NULL,
    created_unix_s REAL NOT NULL);
CREATE TABLE IF NOT EXISTS resource (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT NOT NULL UNIQUE,
    transfer TEXT NOT NULL REFERENCES transfer(id), kind TEXT NOT NULL, name TEXT NOT NULL,
    spec TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS history (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at_unix_s REAL NOT NULL, transfer TEXT NOT NULL,
    token TEXT NOT NULL, state TEXT NOT NULL);
"""


def state_folder() -> Path:
    """Where the ledger lives: TRADEWIND_STATE, or the user's state folder."""
    named = os.environ.get("TRADEWIND_STATE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "tradewind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One thing that a transfer made or was about to make."""

    token: str
    transfer: str
    kind: str
    name: str
    spec: Mapping[str, Any]
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One transfer, and the client process that owns it."""

    id: str
    plan_id: str
    phase: str
    owner_pid: int
    owner_started: str
    boot_id: str
    created_unix_s: float

    def owner_lives(self) -> bool:
        """Whether its client still runs, on this boot of the machine."""
        return self.boot_id == boot_id() and is_alive(self.owner_pid, self.owner_started)


class _Locked(Exception):
    """Another process holds the ledger for a moment."""


def token_of(transfer: str, kind: str, name: str) -> str:
    """Derived, so that a repeated intent is the same intent."""
    return hashlib.sha256(f"{transfer}/{kind}/{name}".encode()).hexdigest()[:32]


class Ledger:
    """The journal of one user on one machine. Safe between threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database = sqlite3.connect(
                path, timeout=30.0, isolation_level=None, check_same_thread=False
            )
        except OSError as error:
            raise InputError(f"Cannot open the ledger {path}: {error.strerror}.") from error
        except sqlite3.Error as error:
            raise InputError(f"Cannot open the ledger {path}: {error}.") from error
        try:
            retried(self._set_up, on=_Locked, total_s=OPEN_TIMEOUT_S)
        except (sqlite3.Error, _Locked) as error:
            self._database.close()
            raise InputError(f"Cannot open the ledger {path}: {error}.") from error
        self._lock = threading.RLock()

    def _set_up(self) -> None:
        """Raises: _Locked while another sets the same file up, for which SQLite does not wait."""
        try:
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise _Locked(str(error)) from error
            raise

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._readable():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Translate what SQLite says of a damaged file. Raises: InputError."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"The ledger {self.path} is damaged ({error}); move it away, then `tradewind gc` "
                "removes what the marks on gateways and namespaces show."
            ) from error

    def begin(self, transfer: str, plan_id: str) -> None:
        """A new transfer, owned by this process, in its first phase."""
        with self._transaction() as database:
            database.execute(
                "INSERT INTO transfer VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    transfer,
                    plan_id,
                    PHASES[0],
                    os.getpid(),
                    own_start(),
                    boot_id(),
                    time.time(),
                ),
            )

    def phase(self, transfer: str, phase: str) -> None:
        """The transfer enters `phase`."""
        if phase not in PHASES:
            raise ProviderError(f"there is no phase {phase!r}")
        with self._transaction() as database:
            database.execute("UPDATE transfer SET phase = ? WHERE id = ?", (phase, transfer))

    def intend(self, transfer: str, kind: str, name: str, **spec: Any) -> str:
        """Commit the intent to make something; its token. Before the effect, always."""
        token = token_of(transfer, kind, name)
        with self._transaction() as database:
            database.execute(
                "INSERT INTO resource (token, transfer, kind, name, spec, state) "
                "VALUES (?, ?, ?, ?, ?, 'intent') "
                "ON CONFLICT (token) DO UPDATE SET spec = excluded.spec, state = 'intent'",
                (token, transfer, kind, name, json.dumps(spec, sort_keys=True)),
            )
            self._note(database, transfer, token, "intent")
        return token

    def live(self, token: str, **found: Any) -> None:
        """It exists; `found` is what identifies it (a process id, say)."""
        with self._transaction() as database:
            row = database.execute(
                "SELECT transfer, spec FROM resource WHERE token = ?", (token,)
            ).fetchone()
            spec = {**json.loads(row[1]), **found}
            database.execute(
                "UPDATE resource SET state = 'live', spec = ? WHERE token = ?",
                (json.dumps(spec, sort_keys=True), token),
            )
            self._note(database, row[0], token, "live")

    def condemn(self, token: str) -> None:
        """It is about to be removed."""
        self._move(token, "condemned")

    def gone(self, token: str) -> None:
        """Its removal was confirmed."""
        self._move(token, "gone")

    def _move(self, token: str, state: str) -> None:
        with self._transaction() as database:
            row = database.execute(
                "SELECT transfer FROM resource WHERE token = ?", (token,)
            ).fetchone()
            database.execute("UPDATE resource SET state = ? WHERE token = ?", (state, token))
            self._note(database, row[0], token, state)

    def _note(self, database: sqlite3.Connection, transfer: str, token: str, state: str) -> None:
        database.execute(
            "INSERT INTO history (at_unix_s, transfer, token, state) VALUES (?, ?, ?, ?)",
            (time.time(), transfer, token, state),
        )

    def transfers(self) -> tuple[Transfer, ...]:
        """Every transfer that is not closed, oldest first."""
        with self._lock, self._readable():
            rows = self._database.execute(
                "SELECT id, plan_id, phase, owner_pid, owner_started, boot_id, created_unix_s "
                "FROM transfer WHERE phase != 'closed' ORDER BY created_unix_s, id"
            ).fetchall()
        return tuple(
            Transfer(
                id=row[0],
                plan_id=row[1],
                phase=row[2],
                owner_pid=row[3],
                owner_started=row[4],
                boot_id=row[5],
                created_unix_s=row[6],
            )
            for row in rows
        )

    def remaining(self, transfer: str) -> tuple[Resource, ...]:
        """What is not gone of a transfer, newest first: the order in which to remove it."""
        with self._lock, self._readable():
            rows = self._database.execute(
                "SELECT token, transfer, kind, name, spec, state FROM resource "
                "WHERE transfer = ? AND state != 'gone' ORDER BY seq DESC",
                (transfer,),
            ).fetchall()
        return tuple(
            Resource(
                token=row[0],
                transfer=row[1],
                kind=row[2],
                name=row[3],
                spec=json.loads(row[4]),
                state=row[5],
            )
            for row in rows
        )

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()


def open_ledger() -> Ledger:
    """The user's ledger."""
    return Ledger(state_folder() / "ledger.sqlite")
