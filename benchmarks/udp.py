"""The UDP transport on long and lossy links, beside TCP; and over loopback, beside TCP and QUIC.

Links are emulated between two namespaces: needs root, and takes minutes. A share is goodput over
the link's rate of wire bytes (at best 0.954 for UDP's 1,400-byte datagrams, 0.956 for TCP), over
8 s from the fourth second on. The queue is drop-tail, one bandwidth-delay product.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.gateway import MEMORY
from benchmarks.peer_venv import folder_of, made, quietly
from benchmarks.skyplane_venv import PeerMissing
from benchmarks.spec import BenchSpec, Measure, Sizes
from datasets.units import MEBIBYTE, gbps_of
from executor.providers.netns import why_not
from tests.emulated_network import emulated_network

MBPS = 500.0
LOSSES = (0.0, 0.001, 0.01)
RTTS_MS = (10, 100, 250)
WARM_S = 4
BESIDE_RTT_MS = 20
BESIDE_WARM_S = 8
ENDED_S = 60.0
QUIC = ("aioquic==1.7.2",)
NGTCP2_CLIENT, NGTCP2_SERVER = "gtlsclient", "gtlsserver"
QUIC_FLOW = Path(__file__).with_name("quic_flow.py")


class LinksMissing(PeerMissing):
    """Namespaces cannot be made here."""


def _words(side: str, kind: str, address: str, port: int, seconds: int, warm_s: int) -> list[str]:
    flow = [sys.executable, "-m", "benchmarks.udp_flow", side, kind, address]
    return [*flow, str(port), str(seconds), str(warm_s)]


def shares(
    kinds: tuple[str, ...], seconds: int, *, rtt_ms: float, loss: float, warm_s: int = WARM_S
) -> list[float]:
    """The share of the link that each kind of flow gets, all at once."""
    running: list[subprocess.Popen[str]] = []
    with emulated_network(mbps=MBPS, rtt_ms=rtt_ms, loss=loss) as network:
        address = network.addresses["right"]
        try:
            receivers = []
            for number, kind in enumerate(kinds):
                words = _words("receive", kind, address, 7500 + number, seconds, warm_s)
                receivers.append(network.popen("right", words, stdout=subprocess.PIPE))
            running += receivers
            time.sleep(1.0)
            for number, kind in enumerate(kinds):
                words = _words("send", kind, address, 7500 + number, seconds, warm_s)
                running.append(network.popen("left", words, stdout=subprocess.DEVNULL))
            return [
                _told(receiver, seconds + warm_s + ENDED_S) / (MBPS / 1e3) for receiver in receivers
            ]
        finally:
            _end(running)


def _told(process: subprocess.Popen[str], timeout_s: float) -> float:
    output, _ = process.communicate(timeout=timeout_s)
    return float(json.loads(output)["gbps"])


def _end(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.kill()
        process.wait(timeout=10)
        if process.stdout is not None:
            process.stdout.close()


def alone(kind: str, rtt_ms: float, loss: float, seconds: int) -> float:
    """The share of a link that one kind of flow gets."""
    return shares((kind,), seconds, rtt_ms=rtt_ms, loss=loss)[0]


def left_to_cubic(beside: str, seconds: int) -> float:
    """The share that one cubic flow has beside another flow in a drop-tail queue."""
    kinds = ("cubic:1", beside)
    return shares(kinds, seconds, rtt_ms=BESIDE_RTT_MS, loss=0.0, warm_s=BESIDE_WARM_S)[0]


def loopback_gbps(kind: str, seconds: int) -> float:
    """Frames of 1 MiB, memory to memory, between two processes."""
    with socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = partial(_words, kind=kind, address="127.0.0.1", port=port, seconds=seconds, warm_s=1)
    running: list[subprocess.Popen[str]] = []
    try:
        receiver = subprocess.Popen(words("receive"), stdout=subprocess.PIPE, text=True)
        running.append(receiver)
        time.sleep(1.0)
        running.append(subprocess.Popen(words("send"), stdout=subprocess.DEVNULL, text=True))
        return _told(receiver, seconds + ENDED_S)
    finally:
        _end(running)


def aioquic_gbps(python: Path, seconds: int) -> float:
    """aioquic over loopback, both ends in one process; 4 MiB for each second asked."""
    with tempfile.TemporaryDirectory(prefix="tradewind-bench-") as name:
        key, certificate = _certificate(Path(name))
        told = subprocess.run(
            [str(python), str(QUIC_FLOW), certificate, key, str(4 * seconds)],
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
        )
    return float(json.loads(told.stdout)["gbps"])


def ngtcp2_gbps(seconds: int) -> float:
    """ngtcp2's own server and client (HTTP/3 over QUIC, in C) over loopback: one file, in memory.

    64 MiB for each second asked; the handshake and the client's start and end are in the time.
    """
    size_bytes = seconds * 64 * MEBIBYTE
    with tempfile.TemporaryDirectory(prefix="tradewind-bench-", dir=_memory()) as name:
        folder = Path(name)
        (folder / "root").mkdir()
        with open(folder / "root" / "file", "wb") as file:
            file.truncate(size_bytes)
        key, certificate = _certificate(folder)
        server = subprocess.Popen(
            [
                NGTCP2_SERVER,
                "-q",
                "-d",
                str(folder / "root"),
                "127.0.0.1",
                "7599",
                key,
                certificate,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(0.5)
            words = [NGTCP2_CLIENT, "-q", "--exit-on-all-streams-close", "--max-data=64M"]
            words += ["--max-stream-data-bidi-local=64M", f"--download={folder}"]
            begin = time.perf_counter()
            quietly([*words, "127.0.0.1", "7599", "https://localhost/file"], timeout_s=600)
            taken_s = time.perf_counter() - begin
        finally:
            server.kill()
            server.wait(timeout=10)
        if (folder / "file").stat().st_size != size_bytes:
            raise RuntimeError("ngtcp2 did not deliver the file whole")
    return gbps_of(size_bytes, taken_s)


def _certificate(folder: Path) -> tuple[str, str]:
    key, certificate = f"{folder}/key.pem", f"{folder}/certificate.pem"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost".split()
    quietly([*words, "-keyout", key, "-out", certificate], timeout_s=60)
    return key, certificate


def _memory() -> str | None:
    return MEMORY if os.access(MEMORY, os.W_OK) else None


def _link_spec(name: str, run: Measure, peer: Measure, against: str) -> BenchSpec:
    return BenchSpec(
        name=f"udp.{name}",
        run=run,
        peer=peer,
        against=against,
        unit="share of the link",
        sizes=Sizes(full=8, tiny=1),
        of="s",
    )


def specs() -> tuple[BenchSpec, ...]:
    """All cases. Raises: LinksMissing where namespaces cannot be made."""
    reason = why_not()
    if reason is not None:
        raise LinksMissing(f"Links cannot be emulated: {reason}.")
    found = []
    for loss in LOSSES:
        for rtt_ms in RTTS_MS:
            cell = f"{rtt_ms}ms_{100 * loss:g}%"
            at = {"rtt_ms": rtt_ms, "loss": loss}
            share = partial(_alone_at, at)
            found += [
                _link_spec(cell, share("udp"), share("cubic:1"), "one TCP flow, cubic"),
                _link_spec(
                    f"{cell}_cubic64", share("cubic:64"), share("bbr:1"), "one TCP flow, bbr"
                ),
            ]
    found.append(
        _link_spec(
            "left_to_cubic",
            partial(left_to_cubic, "udp"),
            partial(left_to_cubic, "cubic:1"),
            "what another cubic flow leaves it",
        )
    )
    found.append(_loopback_spec("loopback", partial(loopback_gbps, "tcp"), "our tcp transport"))
    quic = made(folder_of("quic"), QUIC, _install)
    if isinstance(quic, Path):
        found.append(
            _loopback_spec(
                "quic", partial(aioquic_gbps, quic), "aioquic 1.7.2, in Python; TLS as well"
            )
        )
    # Debian's packages ngtcp2-client and ngtcp2-server; left out where they are not.
    if shutil.which(NGTCP2_CLIENT) and shutil.which(NGTCP2_SERVER):
        found.append(_loopback_spec("ngtcp2", ngtcp2_gbps, "ngtcp2 with GnuTLS, HTTP/3, in C"))
    return tuple(found)


def _install(pip: list[str]) -> None:
    quietly([*pip, *QUIC], timeout_s=600)


def _alone_at(at: dict[str, float], kind: str) -> Measure:
    return lambda seconds: alone(kind, at["rtt_ms"], at["loss"], seconds)


def _loopback_spec(name: str, peer: Measure, against: str) -> BenchSpec:
    return BenchSpec(
        name=f"udp.{name}",
        run=partial(loopback_gbps, "udp"),
        peer=peer,
        against=against,
        unit="Gbit/s",
        sizes=Sizes(full=5, tiny=1),
        of="s",
    )
