"""The ledger: intent before effect, states, owners; a repeated intent is the same intent."""

from __future__ import annotations

import concurrent.futures
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from datasets.errors import InputError
from executor.ledger import Ledger, token_of


def test_what_is_intended_remains_until_it_is_gone(ledger: Ledger) -> None:
    ledger.begin("t1", "plan")
    first = ledger.intend("t1", "namespace", "tw-1")
    second = ledger.intend("t1", "gateway", "aws:a-1#0")
    assert [r.token for r in ledger.remaining("t1")] == [second, first]
    ledger.live(second, pid=17, started="5")
    assert ledger.remaining("t1")[0].spec == {"pid": 17, "started": "5"}
    ledger.condemn(second)
    assert ledger.remaining("t1")[0].state == "condemned"
    ledger.gone(second)
    assert [r.name for r in ledger.remaining("t1")] == ["tw-1"]


def test_a_repeated_intent_has_the_same_token(ledger: Ledger) -> None:
    ledger.begin("t1", "plan")
    assert ledger.intend("t1", "folder", "/x") == ledger.intend("t1", "folder", "/x")
    assert len(ledger.remaining("t1")) == 1
    assert token_of("t1", "folder", "/x") != token_of("t2", "folder", "/x")


def test_intent_is_on_disk_before_the_call_returns(ledger: Ledger) -> None:
    ledger.begin("t1", "plan")
    ledger.intend("t1", "folder", "/x")
    other = sqlite3.connect(ledger.path)
    assert other.execute("SELECT state FROM resource").fetchall() == [("intent",)]
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


def test_a_transfer_is_its_owners_as_long_as_that_process_lives(ledger: Ledger) -> None:
    ledger.begin("mine", "plan")
    code = "\n".join(
        [
            "import sys; from pathlib import Path; from executor.ledger import Ledger",
            "Ledger(Path(sys.argv[1])).begin('theirs', 'plan')",
        ]
    )
    subprocess.run([sys.executable, "-c", code, str(ledger.path)], check=True)
    lives = {transfer.id: transfer.owner_lives() for transfer in ledger.transfers()}
    assert lives == {"mine": True, "theirs": False}
    ledger.phase("mine", "closed")
    assert [transfer.id for transfer in ledger.transfers()] == ["theirs"]


def test_many_may_open_a_new_ledger_at_once(tmp_path: Path) -> None:
    """SQLite itself does not wait while another sets the journal's mode."""
    together = threading.Barrier(8)

    def one(path: Path) -> None:
        together.wait(timeout=30)
        Ledger(path).close()

    for number in range(20):
        path = tmp_path / f"{number}.sqlite"
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert list(pool.map(one, [path] * 8)) == [None] * 8


def test_the_ledger_is_private(ledger: Ledger) -> None:
    assert os.stat(ledger.path.parent).st_mode & 0o077 == 0


def read_all(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.transfers()
        ledger.remaining("t1")


def test_a_ledger_whose_pages_are_damaged_is_one_sentence(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as whole:
        whole.begin("t1", "plan")
        for number in range(200):
            whole.intend("t1", "folder", f"/x/{number}")
    data = bytearray((tmp_path / "ledger.sqlite").read_bytes())
    data[4096:] = b"\xff" * len(data[4096:])
    (tmp_path / "ledger.sqlite").write_bytes(data)
    with pytest.raises(InputError, match=r"Cannot open the ledger|ledger .* is damaged"):
        read_all(tmp_path / "ledger.sqlite")


def test_a_ledger_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot open the ledger"):
        Ledger(tmp_path / "file" / "ledger.sqlite")
    (tmp_path / "garbage").write_bytes(b"not a database" * 1000)
    with pytest.raises(InputError, match="Cannot open the ledger"):
        Ledger(tmp_path / "garbage")
