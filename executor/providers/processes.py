"""Gateway processes on this machine: started with their secrets on standard input, ended by id."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.errors import InputError, ProviderError
from executor.control.credentials import Credentials
from executor.ledger import Ledger
from executor.machine import GATEWAY_MODULE, owner_word, started
from executor.placement import Carriage, GatewaySpec, Placed, Ports

START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 5.0


class GatewayProcesses:
    """The processes of one transfer."""

    def __init__(self, ledger: Ledger, transfer: str, folder: Path, ports: Ports) -> None:
        self._ledger = ledger
        self._transfer = transfer
        self._folder = folder
        self._ports = ports
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        gateways: Sequence[GatewaySpec],
        placed: Mapping[str, Placed],
        credentials: Mapping[str, Credentials],
        *,
        prefix: Mapping[str, Sequence[str]],
        lease_s: float,
        carriage: Carriage,
    ) -> None:
        """Start all of them, then wait until each serves. Raises: InputError or ProviderError.

        `prefix` is the command that puts a gateway where it belongs (into its namespace).
        """
        for spec in gateways:
            self._start_one(
                spec, placed[spec.name], credentials[spec.name], prefix, lease_s, carriage
            )
        for spec in gateways:
            self._await(spec.name)

    def _start_one(
        self,
        spec: GatewaySpec,
        place: Placed,
        credentials: Credentials,
        prefix: Mapping[str, Sequence[str]],
        lease_s: float,
        carriage: Carriage,
    ) -> None:
        command = [
            *prefix.get(spec.name, ()),
            sys.executable,
            "-m",
            GATEWAY_MODULE,
            "--transfer",
            self._transfer,
            "--gateway",
            spec.name,
            "--owner",
            owner_word(),
        ]
        told = {
            "role": spec.role,
            "address": place.address,
            "control_port": self._ports.control,
            "data_port": self._ports.data,
            "lease_s": lease_s,
            "transport": carriage.transport,
            "congestion": carriage.congestion,
            "authority": base64.b64encode(credentials.authority_pem).decode(),
            "certificate": base64.b64encode(credentials.certificate_pem).decode(),
            "key": base64.b64encode(credentials.key_pem).decode(),
        }
        token = self._ledger.intend(self._transfer, "gateway", spec.name)
        with open(self._log_of(spec.name), "wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                # A Ctrl-C is the client's to handle: it ends its gateways in order.
                start_new_session=True,
                env=_environment(),
            )
        self._processes[spec.name] = process
        self._ledger.live(token, pid=process.pid, started=started(process.pid) or "")
        if process.stdin is not None:
            process.stdin.write(json.dumps(told).encode() + b"\n")
            process.stdin.close()

    def _log_of(self, gateway: str) -> Path:
        return self._folder / f"{gateway.replace(':', '_')}.log"

    def _await(self, gateway: str) -> None:
        process = self._processes[gateway]
        if process.stdout is None:
            raise ProviderError(f"gateway {gateway} has no standard output to be ready on")
        readable, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
        line = process.stdout.readline() if readable else b""
        process.stdout.close()
        said = json.loads(line) if line else {}
        if said.get("ready") is True:
            return
        reason = said.get("error") or self._last_words(gateway)
        if "taken" in reason or "already in use" in reason:
            raise InputError(
                f"Gateway {gateway} cannot listen: {reason}; choose other ports with --port."
            )
        raise ProviderError(f"Gateway {gateway} did not start: {reason}.")

    def _last_words(self, gateway: str) -> str:
        lines = self._log_of(gateway).read_text(errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
        try:
            status = self._processes[gateway].wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            return f"it said nothing within {START_TIMEOUT_S:.0f} s"
        return f"it ended with status {status}"

    def lost(self) -> tuple[str, ...]:
        """Those that are no longer running."""
        return tuple(
            gateway for gateway, process in self._processes.items() if process.poll() is not None
        )

    def end_one(self, gateway: str) -> None:
        """End one that is of no more use, by force: it may not be able to do so itself."""
        process = self._processes[gateway]
        mine = [
            resource.token
            for resource in self._ledger.remaining(self._transfer)
            if resource.kind == "gateway" and resource.name == gateway
        ]
        for token in mine:
            self._ledger.condemn(token)
        process.kill()
        process.wait()
        for token in mine:
            self._ledger.gone(token)

    def end(self) -> None:
        """End all of them: politely, then by force; confirmed in the ledger."""
        for resource in self._ledger.remaining(self._transfer):
            if resource.kind == "gateway":
                self._ledger.condemn(resource.token)
        deadline = time.monotonic() + END_TIMEOUT_S
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(timeout=max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for resource in self._ledger.remaining(self._transfer):
            if resource.kind == "gateway":
                self._ledger.gone(resource.token)


def _environment() -> dict[str, str]:
    """What a gateway needs of the environment: no secret of the client's is handed down."""
    kept = ("PATH", "TMPDIR", "LANG", "LC_ALL", "HOME", "VIRTUAL_ENV")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "PYTHONUNBUFFERED": "1",
        "GRPC_VERBOSITY": "NONE",
    }
