"""The gateway's control server: gRPC over mutual TLS, each call allowed by the caller's role."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from types import MappingProxyType
from typing import Any

import grpc

from datasets.errors import (
    InputError,
    IntegrityError,
    ProviderError,
    SessionRefused,
    TradewindError,
    TransferFailed,
)
from executor.control.credentials import Credentials, Identity, identity_of
from executor.control.messages_pb2_grpc import add_GatewayServicer_to_server

_CLIENT = frozenset({"client"})

# Which role may make which call. A relay may only ask its neighbour to let its connections in; so
# may a destination, from which a tree goes on.
ALLOWED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "Describe": _CLIENT,
        "Configure": _CLIENT,
        "AddListing": _CLIENT,
        "Prepare": _CLIENT,
        "Permit": _CLIENT,
        "Connect": _CLIENT,
        "Start": _CLIENT,
        "Watch": _CLIENT,
        "Digests": _CLIENT,
        "Confirm": _CLIENT,
        "Received": _CLIENT,
        "Hold": _CLIENT,
        "Revoke": _CLIENT,
        "Stop": _CLIENT,
        "Extend": _CLIENT,
        "Sever": _CLIENT,
        "Settle": _CLIENT,
        "Admit": frozenset({"source", "relay", "destination"}),
        "NextChunk": frozenset({"source"}),
    }
)

# Our errors and the status that carries each to the caller; `client.py` turns them back.
STATUS: Mapping[type[TradewindError], grpc.StatusCode] = MappingProxyType(
    {
        InputError: grpc.StatusCode.INVALID_ARGUMENT,
        SessionRefused: grpc.StatusCode.PERMISSION_DENIED,
        IntegrityError: grpc.StatusCode.DATA_LOSS,
        TransferFailed: grpc.StatusCode.ABORTED,
        ProviderError: grpc.StatusCode.UNAVAILABLE,
    }
)


# A listing or the roots of a million files in one message; only certificates of the transfer's own
# authority can send any.
_MOST_MESSAGE_BYTES = 256 << 20
MESSAGE_LIMITS = (
    ("grpc.max_receive_message_length", _MOST_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MOST_MESSAGE_BYTES),
)


def caller(context: grpc.ServicerContext) -> Identity:
    """Who calls, by the certificate. Raises: SessionRefused."""
    for name in context.auth_context().get("x509_subject_alternative_name", []):
        if name.startswith(b"tradewind://"):
            return identity_of(name.decode())
    raise SessionRefused("the caller's certificate names no role")


class _Guard(grpc.ServerInterceptor):  # type: ignore[misc]
    """Checks transfer and role before any call, and translates our errors."""

    def __init__(self, transfer: str) -> None:
        self._transfer = transfer

    def intercept_service(self, continuation: Callable[..., Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None:
            return None
        method = details.method.rsplit("/", 1)[-1]
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(method, handler.unary_unary),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _check(self, method: str, context: grpc.ServicerContext) -> None:
        identity = caller(context)
        if identity.transfer != self._transfer:
            raise SessionRefused("the caller belongs to another transfer")
        if identity.role not in ALLOWED.get(method, frozenset()):
            raise SessionRefused(f"a {identity.role} may not call {method}")

    def _unary(self, method: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                self._check(method, context)
                return inner(request, context)
            except TradewindError as error:
                context.abort(_status(error), str(error))

        return call

    def _stream(self, method: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            try:
                self._check(method, context)
                yield from inner(request, context)
            except TradewindError as error:
                context.abort(_status(error), str(error))

        return call


def _status(error: TradewindError) -> grpc.StatusCode:
    for kind, status in STATUS.items():
        if isinstance(error, kind):
            return status
    return grpc.StatusCode.UNKNOWN


def serve(
    servicer: Any, *, address: str, port: int, transfer: str, credentials: Credentials
) -> grpc.Server:
    """Start serving. Raises: ProviderError if the port is taken."""
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=32),
        interceptors=[_Guard(transfer)],
        options=[("grpc.so_reuseport", 0), *MESSAGE_LIMITS],
    )
    add_GatewayServicer_to_server(servicer, server)
    tls = grpc.ssl_server_credentials(
        [(credentials.key_pem, credentials.certificate_pem)],
        root_certificates=credentials.authority_pem,
        require_client_auth=True,
    )
    try:
        bound = server.add_secure_port(f"{address}:{port}", tls)
    except RuntimeError as error:
        raise ProviderError(f"control port {port} on {address} is taken") from error
    if bound != port:
        raise ProviderError(f"control port {port} on {address} is taken")
    server.start()
    return server
