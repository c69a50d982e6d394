"""`python -m benchmarks.soak --minutes 30`: copies to a site again and again, with random kills.

Each copy may lose its client or its server to SIGKILL at a random moment, several times over; the
server comes back with the same credentials, the client is run again, and in the end the bytes must
be equal. Between them Plans are carried out whose relays are killed and whose links are taken down
(`soak_plans.py`). The server's memory is sampled after each copy. At the end nothing may be left:
no partial file, no process, nothing in the ledger. The seed says which kills come, not when to the
microsecond.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.page import write_block
from benchmarks.served import TRADEWIND, end, free_port, run_s
from benchmarks.soak_plans import MEBIBYTES, PlanFailed, carry_out
from benchmarks.transfers import digest_of, memory_folder
from datasets.units import MEBIBYTE

COPY_TIMEOUT_S = 180.0
READY_TIMEOUT_S = 30.0
MOST_KILLS = 4
# Of the kills; a client dies more often than a server.
SERVER_SHARE = 0.25
COPIES_A_PLAN = 5
PHASES = 10
_SMALL_FILES = 500
# Where a site keeps which transfers it knows; it is the site's own and stays.
INDEX = ".tradewind-transfers"


@dataclass(slots=True, kw_only=True)
class Phase:
    """A tenth of the soak."""

    copies: int = 0
    moved_bytes: int = 0
    resumed_bytes: int = 0
    clients_killed: int = 0
    servers_killed: int = 0
    again: int = 0
    plans: int = 0
    plans_upset: int = 0
    sent_again_bytes: int = 0
    rss_bytes: list[int] = field(default_factory=list)


class Failed(Exception):
    """What a soak is there to find."""


class Server:
    """`tradewind serve`, killed and brought back with the same identity and port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.root.mkdir()
        self.port = free_port()
        self.credentials = folder / "credentials.json"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it says that it is ready."""
        words = [TRADEWIND, "serve", "--root", str(self.root)]
        words += ["--listen", f"127.0.0.1:{self.port}", "--credentials", str(self.credentials)]
        with open(self.folder / "serve.log", "ab") as log:
            self._process = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        if self._process.stdout is None or not self._process.stdout.readline():
            raise Failed("the server did not come up")

    def kill(self) -> None:
        """As a crash does."""
        process = self._running()
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=READY_TIMEOUT_S)
        if process.stdout:
            process.stdout.close()

    def stop(self) -> None:
        """As a user does."""
        process = self._running()
        end(process)
        if process.stdout:
            process.stdout.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise Failed("the server was never started")
        return self._process

    def rss_bytes(self) -> int:
        """Memory that it holds now."""
        status = Path(f"/proc/{self._running().pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


@contextmanager
def _state(folder: Path) -> Iterator[None]:
    before = os.environ.get("TRADEWIND_STATE")
    os.environ["TRADEWIND_STATE"] = str(folder / "state")
    try:
        yield
    finally:
        if before is None:
            del os.environ["TRADEWIND_STATE"]
        else:
            os.environ["TRADEWIND_STATE"] = before


def _sources(folder: Path, mebibytes: int) -> list[Path]:
    large = folder / "large"
    with open(large, "wb") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(MEBIBYTE))
    small = folder / "small"
    small.mkdir()
    for at in range(_SMALL_FILES):
        (small / f"{at:04}").write_bytes(os.urandom(1 + at * 37))
    return [large, large, small]


def _one_copy(
    server: Server, source: Path, down: bool, number: int, rng: random.Random, phase: Phase
) -> None:
    """One copy, killed and run again until it is whole. Raises: Failed."""
    name = f"copy-{number}"
    near = server.folder / "back" / name
    far = f"tw://127.0.0.1:{server.port}"
    held = server.root / ("held" if source.is_file() else "held-folder")
    ends = [f"{far}/{held.name}", str(near)] if down else [str(source), f"{far}/{name}"]
    words = [TRADEWIND, "cp", *ends, "--credentials", str(server.credentials), "--json"]
    arrived = near if down else server.root / name
    kills = rng.choice((0, 0, 1, 1, 2, MOST_KILLS))
    deadline_s = time.monotonic() + COPY_TIMEOUT_S
    while True:
        if time.monotonic() > deadline_s:
            raise Failed(f"copy {number} was not whole after {COPY_TIMEOUT_S:g} s")
        with (
            open(server.folder / "client.log", "ab") as log,
            subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            ) as client,
        ):
            if kills and _kill_in(client, server, rng, phase):
                kills -= 1
            try:
                told, _ = client.communicate(timeout=COPY_TIMEOUT_S)
            except subprocess.TimeoutExpired as error:
                client.kill()
                raise Failed(f"copy {number} stood still for {COPY_TIMEOUT_S:g} s") from error
        if client.returncode == 0:
            said = json.loads(told)
            phase.moved_bytes += said["bytes"]
            phase.resumed_bytes += said["resumed_bytes"]
            break
        phase.again += 1
        if arrived.exists():  # killed between placing and saying so: the next would be refused
            break
    phase.copies += 1
    if digest_of(arrived) != digest_of(source):
        raise Failed(f"copy {number} arrived as something else")
    run_s(["rm", "-r", str(arrived)], server.folder / "rm.log", timeout_s=COPY_TIMEOUT_S)


def _kill_in(
    client: subprocess.Popen[bytes], server: Server, rng: random.Random, phase: Phase
) -> bool:
    """Kill one of the two at a random moment; whether there was one to kill."""
    time.sleep(rng.uniform(0.1, 1.2))
    if client.poll() is not None:
        return False
    if rng.random() < SERVER_SHARE:
        server.kill()
        time.sleep(rng.uniform(0.0, 0.5))
        server.start()
        phase.servers_killed += 1
    else:
        client.kill()
        phase.clients_killed += 1
    return True


def _left(server: Server, expected: set[str]) -> list[str]:
    """What should not be there any more."""
    found = [
        str(path.relative_to(server.folder))
        for folder in (server.root, server.folder / "back")
        for path in sorted(folder.iterdir())
        if path.name not in expected
    ]
    audit = subprocess.run(
        [TRADEWIND, "audit", "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    if audit.returncode != 0:
        found.append(f"audit: {audit.stdout.strip() or audit.stderr.strip()}")
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue  # it ended while we looked
        if os.fsencode(server.folder) in words and int(entry.name) != os.getpid():
            found.append(f"process {entry.name}")
    return found


def _table(phases: list[Phase], each_s: float) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    copies = ("minutes", "copies", "GiB", "resumed", "clients killed", "servers killed", "again")
    for column in (*copies, "Plans", "upset", "MiB again", "RSS MiB"):
        table.add_column(column, justify="right")
    for at, phase in enumerate(phases):
        table.add_row(
            f"{at * each_s / 60:.1f}–{(at + 1) * each_s / 60:.1f}",
            str(phase.copies),
            f"{phase.moved_bytes / 1024**3:.1f}",
            f"{phase.resumed_bytes / 1024**3:.1f}",
            str(phase.clients_killed),
            str(phase.servers_killed),
            str(phase.again),
            str(phase.plans),
            str(phase.plans_upset),
            f"{phase.sent_again_bytes / MEBIBYTE:.1f}",
            f"{max(phase.rss_bytes, default=0) / MEBIBYTE:.0f}",
        )
    return table


def soak(minutes: float, mebibytes: int, seed: int) -> tuple[list[Phase], list[str], int]:
    """Copy and kill for so long; the phases, what was left at the end that should not be, and how
    many entries the site's index has. Raises: Failed."""
    rng = random.Random(seed)
    phases = [Phase() for _ in range(PHASES)]
    each_s = minutes * 60 / PHASES
    with tempfile.TemporaryDirectory(prefix="tradewind-soak-", dir=memory_folder()) as name:
        folder = Path(name)
        (folder / "back").mkdir()
        with _state(folder):
            server = Server(folder)
            sources = _sources(folder, mebibytes)
            for source in sources[1:]:
                held = server.root / ("held" if source.is_file() else "held-folder")
                run_s(["cp", "-r", str(source), str(held)], folder / "cp.log", timeout_s=60.0)
            plan_source = folder / "plan-source"
            plan_source.write_bytes(os.urandom(MEBIBYTES * MEBIBYTE))
            server.start()
            try:
                begin = time.monotonic()
                number = 0
                while (spent_s := time.monotonic() - begin) < minutes * 60:
                    phase = phases[min(int(spent_s / each_s), PHASES - 1)]
                    _one_copy(server, rng.choice(sources), rng.random() < 0.4, number, rng, phase)
                    phase.rss_bytes.append(server.rss_bytes())
                    number += 1
                    if number % COPIES_A_PLAN == 0:
                        carried = carry_out(folder, plan_source, rng)
                        phase.plans += 1
                        phase.plans_upset += carried.upset != "none"
                        phase.sent_again_bytes += carried.sent_again_bytes
                    if number % 20 == 0:
                        click.echo(f"{spent_s / 60:.1f} minutes, {number} copies", err=True)
            finally:
                server.stop()
            left = _left(server, {"held", "held-folder", INDEX})
            index = server.root / INDEX
            offers = len(list(index.iterdir())) if index.exists() else 0
    return phases, left, offers


@click.command()
@click.option("--minutes", default=30.0, show_default=True, type=click.FloatRange(min=0.01))
@click.option("--mebibytes", default=256, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--write",
    "page",
    type=click.Path(path_type=Path),
    help="Put what is printed into the page's block.",
)
def main(minutes: float, mebibytes: int, seed: int, page: Path | None) -> None:
    """Copy to and from a site with random kills; equal digests, flat memory, nothing left."""
    try:
        phases, left, offers = soak(minutes, mebibytes, seed)
    except (Failed, PlanFailed) as error:
        raise click.ClickException(str(error)) from error
    screen = Console(highlight=False, width=96, record=page is not None)
    screen.print(_table(phases, minutes * 60 / PHASES))
    screen.print(
        f"{sum(phase.copies for phase in phases)} copies and "
        f"{sum(phase.plans for phase in phases)} Plans, every digest equal; seed {seed}"
    )
    screen.print(f"left at the end: {', '.join(left) if left else 'nothing'}")
    screen.print(
        f"the site's index has {offers} entries: copies that were killed before they were told,\n"
        "and offers of downloads, which are forgotten when their sessions expire"
    )
    if page is not None:
        command = (
            f"python -m benchmarks.soak --minutes {minutes:g} --mebibytes {mebibytes} --seed {seed}"
        )
        write_block(page, "soak", command, screen.export_text())
    if left:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
