"""The calling side of control: a client's view of a gateway, and a gateway's view of the next.

Only the certificate of the expected gateway is accepted; gRPC's statuses come back as our errors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc

from datasets.errors import ProviderError, TradewindError
from executor.control import messages_pb2 as messages
from executor.control.credentials import Credentials, host_name
from executor.control.messages_pb2_grpc import GatewayStub
from executor.control.server import MESSAGE_LIMITS, STATUS

CALL_TIMEOUT_S = 30.0
_CHECK_S = 0.25
# Confirming reads every byte back from disk: give it the time of a slow one.
CONFIRM_TIMEOUT_S = 24 * 3600.0


class GatewayClient:
    """One gateway, called over mutual TLS."""

    def __init__(self, gateway: str, *, address: str, port: int, credentials: Credentials) -> None:
        self.gateway = gateway
        self._channel = grpc.secure_channel(
            f"{address}:{port}",
            grpc.ssl_channel_credentials(
                root_certificates=credentials.authority_pem,
                private_key=credentials.key_pem,
                certificate_chain=credentials.certificate_pem,
            ),
            options=[
                ("grpc.ssl_target_name_override", host_name(gateway)),
                ("grpc.enable_http_proxy", 0),
                *MESSAGE_LIMITS,
            ],
        )
        self._stub = GatewayStub(self._channel)

    def call(
        self,
        method: str,
        request: Any = None,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        check: Callable[[], None] = lambda: None,
    ) -> Any:
        """One call; `check` is asked now and then whether it is still worth waiting.

        Raises: the error that the gateway raised, ProviderError if it is away, or what `check`
        raises.
        """
        pending = getattr(self._stub, method).future(
            messages.Empty() if request is None else request,
            timeout=timeout_s,
            wait_for_ready=True,
        )
        while True:
            try:
                return pending.result(timeout=_CHECK_S)
            except grpc.FutureTimeoutError:
                try:
                    check()
                except BaseException:
                    pending.cancel()
                    raise
            except grpc.RpcError as error:
                raise self._translated(method, error) from error

    def stream(self, method: str, *, timeout_s: float | None = None) -> Iterator[Any]:
        """A call that answers with a stream; `timeout_s` is for all of it. Raises as `call`."""
        try:
            yield from getattr(self._stub, method)(messages.Empty(), timeout=timeout_s)
        except grpc.RpcError as error:
            raise self._translated(method, error) from error

    def _translated(self, method: str, error: Any) -> TradewindError:
        details = error.details() or ""
        for kind, status in STATUS.items():
            if error.code() == status and kind is not ProviderError:
                return kind(details)
        return ProviderError(f"gateway {self.gateway} did not answer {method}: {details}")

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def stop_quietly(clients: Iterable[GatewayClient], *, timeout_s: float) -> None:
    """Ask all of them to stop, at once, whether they still can or not."""

    def stop(client: GatewayClient) -> None:
        try:
            client.call("Stop", timeout_s=timeout_s)
        except (TradewindError, ValueError):
            return  # it is gone already (or its channel is), or will be ended by its id

    threads = [threading.Thread(target=stop, args=(client,), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=2 * timeout_s)
