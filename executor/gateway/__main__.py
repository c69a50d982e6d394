"""A gateway process. What it is told comes on standard input, so no secret is in its arguments.

It prints one JSON line when it serves, or why it cannot; and it ends by itself when its client
has been silent for longer than the lease.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time

from datasets.errors import ProviderError
from executor.control.credentials import Credentials
from executor.control.server import serve
from executor.gateway.daemon import Bootstrap, Gateway
from executor.gateway.privileges import drop_capabilities, keep_to_self


def main() -> int:
    """Serve until told to stop, or until the client is gone."""
    parser = argparse.ArgumentParser(prog="executor.gateway", description=__doc__)
    parser.add_argument("--transfer", required=True)
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--owner", required=True, help="PID:STARTED of the client, for gc")
    arguments = parser.parse_args()
    try:
        keep_to_self()
        bootstrap = _bootstrap(json.loads(sys.stdin.readline()), arguments)
        drop_capabilities(bootstrap.role, congestion=bootstrap.congestion)
    except ProviderError as error:
        return _say({"error": str(error)}, status=1)
    try:
        gateway = Gateway(bootstrap)
    except OSError as error:
        return _say({"error": f"data port {bootstrap.data_port}: {error.strerror}"}, status=1)
    try:
        server = serve(
            gateway,
            address=bootstrap.address,
            port=bootstrap.control_port,
            transfer=bootstrap.transfer,
            credentials=bootstrap.credentials,
        )
    except ProviderError as error:
        return _say({"error": str(error)}, status=1)
    _say({"ready": True}, status=0)
    while not gateway.stopped.wait(1.0):
        if time.monotonic() - gateway.last_seen > bootstrap.lease_s:
            break
    server.stop(grace=2.0).wait()
    return 0


def _bootstrap(told: dict[str, str], arguments: argparse.Namespace) -> Bootstrap:
    return Bootstrap(
        transfer=arguments.transfer,
        gateway=arguments.gateway,
        role=told["role"],
        address=told["address"],
        control_port=int(told["control_port"]),
        data_port=int(told["data_port"]),
        lease_s=float(told["lease_s"]),
        transport=told.get("transport", "tcp"),
        congestion=told.get("congestion", ""),
        credentials=Credentials(
            authority_pem=base64.b64decode(told["authority"]),
            certificate_pem=base64.b64decode(told["certificate"]),
            key_pem=base64.b64decode(told["key"]),
        ),
    )


def _say(value: dict[str, object], *, status: int) -> int:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
    return status


if __name__ == "__main__":
    sys.exit(main())
