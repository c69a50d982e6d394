"""A peer outside a transfer gets nothing from a site, and cannot keep it from serving others."""

from __future__ import annotations

import contextlib
import datetime
import os
import random
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datasets.canonical import Json
from datasets.errors import SessionRefused, TransferFailed
from executor.control.authority import Authority
from executor.gateway.command import (
    COMMAND_BYTES,
    RIGHT_READ,
    RIGHT_WRITE,
    Command,
    Kind,
    pack_into,
)
from executor.gateway.crypto import new_key, signed_command
from executor.gateway.session import Session
from executor.operations.site_client import Place, SiteClient
from executor.site.client_file import read_credentials
from executor.site.documents import Documents, dial, tls_context
from executor.site.sessions import way_of
from tests.served import Served, copied, served, wait_until

pytestmark = pytest.mark.xdist_group("served")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("strangers")) as found:
        yield found


@pytest.fixture(autouse=True)
def serves_on(site: Served, tmp_path: Path) -> Iterator[None]:
    """After whatever a stranger did, a client is served, by the same process."""
    yield
    (tmp_path / "after").write_bytes(os.urandom(3000))
    name = f"after{time.monotonic_ns()}"
    copied(tmp_path / "after", site.url(name), "--credentials", site.credentials)
    assert (site.root / name).read_bytes() == (tmp_path / "after").read_bytes()
    assert site.process is not None
    assert site.process.poll() is None
    assert "Traceback" not in site.refused()


def answer_to(site: Served, sent: bytes, *, timeout_s: float = 8.0) -> bytes:
    """What comes back to those bytes before the site closes; empty if nothing."""
    with socket.create_connection(("127.0.0.1", site.port)) as sock:
        sock.settimeout(timeout_s)
        with contextlib.suppress(OSError):
            sock.sendall(sent)
        with contextlib.suppress(OSError):
            return sock.recv(1 << 16)
    return b""


def test_a_port_scan_and_garbage_get_nothing(site: Served) -> None:
    dice = random.Random(3)
    for _ in range(20):
        socket.create_connection(("127.0.0.1", site.port)).close()
    for sent in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"x" * 200, b"SSH-2.0-x\r\n" + b"y" * 200):
        assert b"TWND" not in answer_to(site, sent)
    for _ in range(20):
        assert b"TWND" not in answer_to(site, dice.randbytes(dice.randrange(160, 600)))


def hello(**fields: int | bytes) -> Command:
    return Command(kind=Kind.HELLO, transfer=bytes(16), **fields)  # type: ignore[arg-type]


def test_commands_without_a_session_of_this_site_get_nothing(site: Served) -> None:
    whole = signed_command(hello(epoch=1, expiry=1 << 40, rights=3, last_byte=1 << 40), new_key())
    assert answer_to(site, whole) == b""
    assert answer_to(site, whole[:100] + bytes(60)) == b""
    oversized = bytearray(whole)
    oversized[76:80] = b"\xff\xff\xff\xff"
    assert answer_to(site, bytes(oversized)) == b""


def test_tls_without_a_certificate_gets_no_answer(site: Served) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", site.port)) as plain:
        plain.settimeout(8)
        with contextlib.suppress(OSError), context.wrap_socket(plain) as sock:
            # In TLS 1.3 a client learns that it was refused when it reads.
            sock.sendall(b"x" * 400)
            assert sock.recv(1) == b""


def test_tls_below_1_3_is_refused(site: Served) -> None:
    given = read_credentials(site.credentials)
    context = tls_context(given.credentials, server=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", site.port)) as plain,
        pytest.raises((ssl.SSLError, OSError)),
    ):
        context.wrap_socket(plain, server_hostname=given.host_name)


def test_another_authority_and_another_role_are_refused(site: Served) -> None:
    given = read_credentials(site.credentials)
    now = datetime.datetime.now(datetime.timezone.utc)
    stranger = Authority(given.name, now=now).issue(role="client", gateway="client")
    context = tls_context(stranger, server=False)
    context.load_verify_locations(cadata=given.credentials.authority_pem.decode())
    with socket.create_connection(("127.0.0.1", site.port)) as plain:
        plain.settimeout(8)
        with contextlib.suppress(OSError):
            with context.wrap_socket(plain, server_hostname=given.host_name) as sock:
                told = None
                with contextlib.suppress(TransferFailed):
                    told = Documents(sock).ask({"ask": "get", "path": ""})
            assert told is None


def ask(site: Served, *documents: object) -> list[dict[str, Any]]:
    given = read_credentials(site.credentials)
    found = dial(
        "127.0.0.1", site.port, credentials=given.credentials, name=given.host_name, timeout_s=10
    )
    try:
        return [found.ask(document) for document in documents]  # type: ignore[arg-type]
    finally:
        found.close()


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "x",
        {"ask": "none"},
        {"ask": "put"},
        {"ask": "put", "path": 7, "name": "x", "entries": [["", 0, 1, 0, 0, ""]]},
        {"ask": "put", "path": "p", "name": "x", "entries": [["../x", 0, 1, 0, 0, ""]]},
        {"ask": "confirm", "transfer": "zz", "roots": {}},
        {"ask": "confirm", "transfer": "00" * 16, "roots": {}},
        {"ask": "confirm", "transfer": "00" * 16, "roots": {"x": "y"}},
        {"ask": "roots", "transfer": "00" * 16},
        {"ask": "get", "path": "../../etc/passwd"},
        {"ask": "get", "path": "\0"},
    ],
)
def test_requests_that_make_no_sense_are_refused(site: Served, document: object) -> None:
    told = ask(site, document)[0]
    assert told["error"] in ("refused", "failed", "input")


def test_a_document_that_is_none_ends_its_connection_alone(site: Served) -> None:
    given = read_credentials(site.credentials)
    for payload in (b"\xff", b"[" * 100_000, b'{"a":'):
        found = dial(
            "127.0.0.1", site.port, credentials=given.credentials, name=given.host_name, timeout_s=9
        )
        head = bytearray(COMMAND_BYTES)
        command = Command(
            kind=Kind.DOCUMENT,
            transfer=bytes(16),
            object_size=len(payload),
            payload_length=len(payload),
        )
        pack_into(memoryview(head), command)
        found.sock.sendall(bytes(head) + payload)
        with pytest.raises((TransferFailed, SessionRefused)):
            found.receive()
        found.close()


def test_a_slow_stranger_holds_nothing_up(site: Served, tmp_path: Path) -> None:
    """A byte now and then, of a command and of a TLS handshake: dropped, and others are served."""
    slow = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(6)]
    try:
        for sock in slow[:3]:
            sock.sendall(b"T")
        for sock in slow[3:]:
            sock.sendall(b"\x16\x03\x01\x02\x00" + bytes(200))
        (tmp_path / "f").write_bytes(b"x")
        copied(tmp_path / "f", site.url(f"slow{os.getpid()}"), "--credentials", site.credentials)
        end = time.monotonic() + 20
        for sock in slow:
            sock.settimeout(max(end - time.monotonic(), 0.1))
            with contextlib.suppress(ConnectionError):
                while sock.recv(100):
                    pass
    finally:
        for sock in slow:
            sock.close()


def test_idle_connections_do_not_keep_others_out(site: Served, tmp_path: Path) -> None:
    """More than wait at once: who waited longest goes. Ten thousand of them: `make bench`."""
    idle = []
    try:
        for _ in range(2500):
            try:
                idle.append(socket.create_connection(("127.0.0.1", site.port), timeout=5))
            except OSError:  # this test's own descriptors are used up
                break
        assert len(idle) > 500
        (tmp_path / "f").write_bytes(b"x" * 100_000)
        name = f"idle{os.getpid()}"
        copied(tmp_path / "f", site.url(name), "--credentials", site.credentials)
        assert (site.root / name).read_bytes() == b"x" * 100_000
    finally:
        for sock in idle:
            sock.close()


# Sessions, as a worker over a real connection judges them.


@pytest.fixture
def granted(site: Served, tmp_path: Path) -> Iterator[tuple[SiteClient, dict[str, Any]]]:
    client = SiteClient(
        Place(host="127.0.0.1", port=site.port, path="x"), read_credentials(site.credentials)
    )
    told = client.ask(
        {
            "ask": "put",
            "path": f"granted{time.monotonic_ns()}",
            "name": "f",
            "entries": [["", 0, 1 << 20, 0o600, 0, ""]],
        }
    )
    yield client, told
    client.close()


def opened_with(site: Served, session: Session, key: bytes) -> bool:
    """Whether a hello of that session, under that key, is let in: it answers END with END."""
    with socket.create_connection(("127.0.0.1", site.port)) as sock:
        sock.settimeout(8)
        with contextlib.suppress(OSError):
            sock.sendall(signed_command(session.command(Kind.HELLO), key))
            sock.sendall(signed_command(session.command(Kind.END), key))
            return len(sock.recv(COMMAND_BYTES)) == COMMAND_BYTES
    return False


def test_a_session_is_let_in_and_each_breach_of_it_is_not(
    site: Served, granted: tuple[SiteClient, dict[str, Any]], tmp_path: Path
) -> None:
    way = way_of(granted[1], attempt=1)
    good = way.session
    assert opened_with(site, good, way.key)
    for change in (
        {"transfer": bytes(16)},
        {"session": bytes(16)},
        {"epoch": good.epoch + 1},
        {"epoch": good.epoch - 1},
        {"expiry": good.expiry + 10_000},
        {"expiry": int(time.time()) - 10},
        {"rights": RIGHT_READ | RIGHT_WRITE},
        {"last_byte": 1 << 60},
    ):
        widened = replace(good, **change)  # by name
        assert not opened_with(site, widened, way.key), change
    assert not opened_with(site, good, new_key()), "forged"
    with served(tmp_path) as other:
        assert not opened_with(other, good, way.key), "replayed to another site"


def test_a_new_epoch_makes_older_sessions_stale(tmp_path: Path) -> None:
    with served(tmp_path) as site:
        client = SiteClient(
            Place(host="127.0.0.1", port=site.port, path="x"), read_credentials(site.credentials)
        )
        entries: list[Json] = [["", 0, 1 << 20, 0o600, 0, ""]]
        told = client.ask({"ask": "put", "path": "x", "name": "f", "entries": entries})
        client.close()
        way = way_of(told, attempt=1)
        assert opened_with(site, way.session, way.key)
        site.stop()
        site.options = ("--new-epoch",)
        site.start()
        assert not opened_with(site, way.session, way.key)
        wait_until(lambda: "epoch" in site.refused())


def test_a_certificate_is_short_lived_and_names_a_client(site: Served) -> None:
    from cryptography import x509

    given = read_credentials(site.credentials).credentials
    found = x509.load_pem_x509_certificate(given.certificate_pem)
    life = found.not_valid_after_utc - found.not_valid_before_utc
    assert life < datetime.timedelta(days=91)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert [uri.split("/")[3] for uri in uris] == ["client"]
