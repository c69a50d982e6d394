"""Control: mutual TLS 1.3, calls by role, nothing for strangers; against a real gateway."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets.errors import ProviderError, SessionRefused, TradewindError
from executor.control import messages_pb2 as messages
from executor.control.authority import Authority
from executor.control.client import GatewayClient
from executor.control.credentials import Credentials, host_name
from executor.control.server import ALLOWED
from executor.gateway.command import COMMAND_BYTES, Command, Kind
from executor.gateway.crypto import new_key, signed_command
from executor.machine import owner_word

# One gateway process on one address: these tests share it.
pytestmark = pytest.mark.xdist_group("control")

TRANSFER = "ab" * 16
ADDRESS, PORT = f"127.93.{os.getpid() % 250}.{os.getpid() // 250 % 250 + 2}", 7410
NAME = "gcp:b-1#0"
NOW = datetime.datetime.now(datetime.timezone.utc)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority(TRANSFER, now=NOW)


@pytest.fixture(scope="module")
def gateway(authority: Authority) -> Iterator[subprocess.Popen[str]]:
    """A relay's process, permitted nobody yet."""
    own = authority.issue(role="relay", gateway=NAME)
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "executor.gateway", "--transfer", TRANSFER),
            *("--gateway", NAME, "--owner", owner_word()),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told = {
            "role": "relay",
            "address": ADDRESS,
            "control_port": PORT + 1,
            "data_port": PORT,
            "lease_s": 60,
            "authority": b64encode(own.authority_pem).decode(),
            "certificate": b64encode(own.certificate_pem).decode(),
            "key": b64encode(own.key_pem).decode(),
        }
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == {"ready": True}
        yield process
        process.terminate()


def client_of(credentials: Credentials, *, gateway: str = NAME) -> GatewayClient:
    return GatewayClient(gateway, address=ADDRESS, port=PORT + 1, credentials=credentials)


@pytest.mark.usefixtures("gateway")
def test_control_negotiates_tls_1_3_and_names_the_gateway(
    authority: Authority, tmp_path: Path
) -> None:
    own = authority.issue(role="client", gateway="client")
    (tmp_path / "ca").write_bytes(own.authority_pem)
    (tmp_path / "pair").write_bytes(own.certificate_pem + own.key_pem)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca"))
    context.load_cert_chain(str(tmp_path / "pair"))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((ADDRESS, PORT + 1), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=host_name(NAME)) as tls,
    ):
        assert tls.version() == "TLSv1.3"


@pytest.mark.usefixtures("gateway")
def test_a_client_may_call(authority: Authority) -> None:
    client = client_of(authority.issue(role="client", gateway="client"))
    assert client.call("Describe").gateway == NAME
    client.close()


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("role", ["source", "relay", "destination"])
def test_a_gateways_certificate_drives_nobody(role: str, authority: Authority) -> None:
    client = client_of(authority.issue(role=role, gateway="aws:a-1#0"))
    calls = [method for method, roles in ALLOWED.items() if role not in roles]
    assert len(calls) >= 12
    for method in calls:
        request = {
            "Configure": messages.Configuration(),
            "AddListing": messages.Listing(),
            "Permit": messages.Permission(),
            "Confirm": messages.Roots(),
            "Admit": messages.AdmitRequest(),
            "NextChunk": messages.ChunkRequest(),
        }.get(method, messages.Empty())
        streams = method in ("Watch", "Digests", "Received")
        with pytest.raises(SessionRefused, match=f"a {role} may not call {method}"):
            next(client.stream(method)) if streams else client.call(method, request)
    client.close()


@pytest.mark.usefixtures("gateway")
def test_a_relay_refuses_keys(authority: Authority) -> None:
    client = client_of(authority.issue(role="client", gateway="client"))
    offered = messages.Configuration(keys=messages.EndKeys(data_key=new_key()))
    with pytest.raises(SessionRefused, match="must not hold"):
        client.call("Configure", offered)
    client.close()


@pytest.mark.usefixtures("gateway")
def test_a_neighbour_without_a_permit_gets_no_ticket(authority: Authority) -> None:
    client = client_of(authority.issue(role="source", gateway="aws:a-1#0"))
    with pytest.raises(SessionRefused, match="does not come before"):
        client.call("Admit", messages.AdmitRequest(lane=0, count=1))
    client.close()


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("whose", ["another transfer", "another authority"])
def test_a_certificate_of_elsewhere_gets_nothing(whose: str) -> None:
    other = Authority("cd" * 16 if whose == "another transfer" else TRANSFER, now=NOW)
    client = client_of(other.issue(role="client", gateway="client"))
    with pytest.raises(ProviderError):
        client.call("Describe", timeout_s=2.0)
    client.close()


@pytest.mark.usefixtures("gateway")
def test_a_certificate_of_this_authority_for_another_transfer_is_refused(
    authority: Authority,
) -> None:
    authority.transfer, kept = "cd" * 16, authority.transfer
    try:
        credentials = authority.issue(role="client", gateway="client")
    finally:
        authority.transfer = kept
    client = client_of(credentials)
    with pytest.raises(SessionRefused, match="another transfer"):
        client.call("Describe")
    client.close()


@pytest.mark.usefixtures("gateway")
def test_a_client_insists_on_the_gateways_own_name(authority: Authority) -> None:
    client = client_of(authority.issue(role="client", gateway="client"), gateway="gcp:b-1#1")
    with pytest.raises(ProviderError):
        client.call("Describe", timeout_s=2.0)
    client.close()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(COMMAND_BYTES),
        signed_command(Command(kind=Kind.HELLO, transfer=bytes.fromhex(TRANSFER)), new_key()),
    ],
    ids=["silence", "http", "zeros", "forged hello"],
)
def test_a_stranger_on_the_data_port_is_cut_off_and_service_goes_on(
    said: bytes, gateway: subprocess.Popen[str], authority: Authority
) -> None:
    with socket.create_connection((ADDRESS, PORT), timeout=15) as stranger:
        stranger.sendall(said)
        with contextlib.suppress(ConnectionResetError):  # cut off all the same
            assert stranger.recv(1) == b""
    assert gateway.poll() is None
    client = client_of(authority.issue(role="client", gateway="client"))
    assert client.call("Describe").gateway == NAME
    client.close()


def test_an_error_crosses_the_wire_as_itself(
    gateway: subprocess.Popen[str], authority: Authority
) -> None:
    assert gateway.poll() is None
    client = client_of(authority.issue(role="client", gateway="client"))
    with pytest.raises(TradewindError, match="no source"):
        client.call("Start")
    client.close()
