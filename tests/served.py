"""A real site in a process of its own, copies by the command, and a proxy that is up to no good."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 30.0
COPY_TIMEOUT_S = 90.0
COMMAND = (sys.executable, "-m", "experiments")


def tradewind(*words: str | Path) -> tuple[str, ...]:
    """The command line of the `tradewind` command, by this interpreter."""
    return (sys.executable, "-c", "from experiments.cli import main; main()", *map(str, words))


@dataclass
class Served:
    """A site on `root`; its process may be killed and started again."""

    root: Path
    credentials: Path
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    address: str = "127.0.0.1:0"

    def start(self) -> Served:
        """Start, at the same address as before where there was one."""
        words = ("serve", "--root", self.root, "--listen", self.address, "--verbose")
        self.errors = self.credentials.with_suffix(".err")
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(
                tradewind(*words, "--credentials", self.credentials, *self.options),
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        told = json.loads(line)
        assert told["credentials"] == str(self.credentials)
        self.address = told["address"]
        return self

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def url(self, path: str) -> str:
        return f"tw://{self.address}/{path}"

    def kill(self) -> None:
        """As a crash does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def stop(self) -> int:
        """As a user does; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def refused(self) -> str:
        """What it said on stderr."""
        return self.errors.read_text()

    def hidden(self) -> list[str]:
        """What is left of transfers in the root, the index's empty folder apart."""
        found = [path for path in self.root.rglob(".tradewind-*") if path.exists()]
        return sorted(
            path.name
            for path in found
            if not (path.name == ".tradewind-transfers" and not any(path.iterdir()))
        )


@contextlib.contextmanager
def served(folder: Path, *options: str, root: Path | None = None) -> Iterator[Served]:
    """A site on the folder `root` in `folder`, ended afterwards."""
    where = root or folder / "root"
    where.mkdir(exist_ok=True)
    site = Served(root=where, credentials=folder / "credentials", options=options).start()
    try:
        yield site
    finally:
        if site.process is not None and site.process.poll() is None:
            site.stop()


def begin_copy(*words: str | Path) -> subprocess.Popen[str]:
    """`tradewind cp … --json`, under way."""
    return subprocess.Popen(
        tradewind("cp", *words, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    """(status, what it printed, what it said on stderr)."""
    out, err = process.communicate(timeout=COPY_TIMEOUT_S)
    return process.returncode, json.loads(out) if out.strip() else {}, err


def copy(*words: str | Path) -> tuple[int, dict[str, Any], str]:
    """`tradewind cp … --json` to its end."""
    return ended(begin_copy(*words))


def copied(*words: str | Path) -> dict[str, Any]:
    """The same, which must succeed; what it printed."""
    status, told, err = copy(*words)
    assert status == 0, err
    return told


def wait_until(true: Callable[[], bool], *, seconds: float = 30.0) -> None:
    """Until `true`; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.005)


@dataclass
class Proxy:
    """Passes connections on to `port`; `change` sees, and may change, what goes each way."""

    port: int
    change: Callable[[bytes, bool, int], bytes] = lambda data, forward, at: data
    listener: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def own_port(self) -> int:
        return int(self.listener.getsockname()[1])

    def _run(self) -> None:
        while True:
            try:
                incoming, _ = self.listener.accept()
            except OSError:
                return
            outgoing = socket.create_connection(("127.0.0.1", self.port))
            self._open += [incoming, outgoing]
            threading.Thread(target=self._pass, args=(incoming, outgoing), daemon=True).start()

    def _pass(self, incoming: socket.socket, outgoing: socket.socket) -> None:
        at = {incoming: 0, outgoing: 0}
        with selectors.DefaultSelector() as selector:
            selector.register(incoming, selectors.EVENT_READ, outgoing)
            selector.register(outgoing, selectors.EVENT_READ, incoming)
            with contextlib.suppress(OSError, ValueError):
                while True:
                    for key, _ in selector.select():
                        source = key.fileobj
                        assert isinstance(source, socket.socket)
                        data = source.recv(1 << 16)
                        if not data:
                            raise OSError
                        changed = self.change(data, source is incoming, at[source])
                        at[source] += len(data)
                        key.data.sendall(changed)
        for sock in (incoming, outgoing):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def big_file(path: Path, size_bytes: int) -> bytes:
    """A file of random bytes, which it gives."""
    data = os.urandom(size_bytes)
    path.write_bytes(data)
    return data
