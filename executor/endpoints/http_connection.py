"""One HTTP/1.1 connection whose bodies go from and to the caller's own buffers.

The standard library's client parses headers by way of the mail parser and reads through a buffer
of its own; with a thousand small objects both show, and large ones want `recv_into` at once.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from datasets.errors import InputError

# More than any store's headers take; what is longer is not a store.
MOST_HEADER_BYTES = 64 << 10
# Bodies that are parsed: lists of 1,000 keys, errors.
MOST_DOCUMENT_BYTES = 8 << 20
_JOINED_BYTES = 128 << 10
_PIPE_BYTES = 1 << 20
_BODILESS = (204, 304)


class BrokenResponse(OSError):
    """The connection ended within a response, or carried what is no HTTP/1.1: worth a retry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a server is."""

    host: str
    port: int
    tls: bool

    @property
    def authority(self) -> str:
        """The `host` header: with the port unless it is the scheme's own."""
        usual = 443 if self.tls else 80
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == usual else f"{host}:{self.port}"


def origin_of(url: str) -> Origin:
    """The origin of an address such as `https://127.0.0.1:9000`. Raises: InputError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{url!r} is no address of a store; one looks like https://HOST:PORT.")
    if parts.username or parts.password:
        raise InputError("An address of a store holds no credentials; they come otherwise.")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise InputError(f"{url!r} names more than a server; give scheme, host and port only.")
    tls = parts.scheme == "https"
    try:
        port = parts.port or (443 if tls else 80)
    except ValueError as error:
        raise InputError(f"{url!r} has no possible port.") from error
    return Origin(host=parts.hostname, port=port, tls=tls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Status and headers of a response; names in lower case."""

    status: int
    headers: Mapping[str, str]


class HttpConnection:
    """Requests one after another on one socket, each wait bounded by `timeout_s`.

    After an error the connection is closed, and the next request opens it anew.
    """

    def __init__(self, origin: Origin, *, timeout_s: float, tls: ssl.SSLContext | None) -> None:
        self._origin = origin
        self._timeout_s = timeout_s
        self._tls = tls
        self._socket: socket.socket | None = None
        self._buffer = memoryview(bytearray(MOST_HEADER_BYTES))
        self._begin = 0
        self._end = 0
        self._left: int | None = 0  # bytes of the body not yet read; None: in pieces
        self._keep = True

    def close(self) -> None:
        """End the connection; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._begin = self._end = 0
        self._left = 0

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: memoryview | None = None,
    ) -> Head:
        """Send one request and read the head of its answer; the body is the caller's to read.

        Raises: OSError (BrokenResponse among them).
        """
        if self._left != 0 or not self._keep:
            self.close()
        length = len(body) if body is not None else 0
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {headers[name]}" for name in headers)]
        if body is not None or method in ("PUT", "POST"):
            lines.append(f"content-length: {length}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        try:
            self._send(head, body)
            return self._head(method)
        except OSError:
            self.close()
            raise

    def _send(self, head: bytes, body: memoryview | None) -> None:
        connection = self._connected()
        if body is not None and len(body) <= _JOINED_BYTES:
            connection.sendall(b"".join((head, body)))
            return
        connection.sendall(head)
        if body is not None:
            try:
                connection.sendall(body)
            except (BrokenPipeError, ConnectionResetError):
                # A store that refuses early answers and closes: its words are worth more.
                self._keep = False

    def _connected(self) -> socket.socket:
        if self._socket is None:
            address = (self._origin.host, self._origin.port)
            plain = socket.create_connection(address, timeout=self._timeout_s)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self._socket = (
                    plain
                    if self._tls is None
                    else self._tls.wrap_socket(plain, server_hostname=self._origin.host)
                )
            except OSError:
                plain.close()
                raise
            self._keep = True
        return self._socket

    def _head(self, method: str) -> Head:
        while True:
            text = self._until_blank().decode("latin-1")
            status_line, *lines = text.split("\r\n")
            words = status_line.split(" ", 2)
            if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
                raise BrokenResponse("the answer is not HTTP/1.1")
            status = int(words[1])
            if status >= 200:
                break
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise BrokenResponse("a header of the answer has no colon")
            headers[name.strip().lower()] = value.strip()
        self._keep = (
            self._keep
            and words[0] == "HTTP/1.1"
            and (headers.get("connection", "").lower() != "close")
        )
        if method == "HEAD" or status in _BODILESS:
            self._left = 0
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            self._left = None
        elif headers.get("content-length", "").isdigit():
            self._left = int(headers["content-length"])
        else:
            raise BrokenResponse("the answer does not say how long it is")
        return Head(status=status, headers=headers)

    def _until_blank(self) -> bytes:
        if self._begin:
            rest = bytes(self._buffer[self._begin : self._end])
            self._buffer[: len(rest)] = rest
            self._begin, self._end = 0, len(rest)
        searched = 0
        while True:
            at = bytes(self._buffer[searched : self._end]).find(b"\r\n\r\n")
            if at >= 0:
                at += searched
                self._begin = at + 4
                return bytes(self._buffer[:at])
            searched = max(self._end - 3, 0)
            if self._end == len(self._buffer):
                raise BrokenResponse("the answer's headers are longer than any store's")
            self._end += self._receive(self._buffer[self._end :])

    def _receive(self, view: memoryview) -> int:
        if self._socket is None:
            raise BrokenResponse("the connection is closed")
        count = self._socket.recv_into(view)
        if count == 0:
            raise BrokenResponse("the store ended the connection within its answer")
        return count

    def read_into(self, view: memoryview) -> None:
        """Fill `view` from the body. Raises: OSError, BrokenResponse if the body is shorter."""
        try:
            if self._left is None:
                raise BrokenResponse("a body in pieces came where bytes were asked for")
            if len(view) > self._left:
                raise BrokenResponse(f"a body of {self._left} bytes came, not of {len(view)}")
            done = 0
            while done < len(view):
                done += self._some(view[done:])
            self._left -= len(view)
        except OSError:
            self.close()
            raise

    def _some(self, view: memoryview) -> int:
        waiting = self._end - self._begin
        if waiting == 0:
            return self._receive(view)
        count = min(waiting, len(view))
        view[:count] = self._buffer[self._begin : self._begin + count]
        self._begin += count
        return count

    @property
    def can_splice(self) -> bool:
        """Whether a body may go into a file by the kernel alone: not through TLS."""
        return isinstance(self._socket, socket.socket) and not isinstance(
            self._socket, ssl.SSLSocket
        )

    def splice_into(self, descriptor: int, offset: int, size: int) -> None:
        """Put the next bytes of the body into an open file, unseen. Raises: OSError."""
        if self._left is None or size > self._left or self._socket is None:
            self.close()
            raise BrokenResponse("a body of another length came than was asked for")
        try:
            done = 0
            waiting = self._buffer[self._begin : min(self._end, self._begin + size)]
            while done < len(waiting):
                done += os.pwrite(descriptor, waiting[done:], offset + done)
            self._begin += done
            if done < size:
                self._splice(descriptor, offset + done, size - done)
            self._left -= size
        except OSError:
            self.close()
            raise

    def _splice(self, descriptor: int, offset: int, size: int) -> None:
        if self._socket is None:
            raise BrokenResponse("the connection is closed")
        ready = select.poll()
        ready.register(self._socket, select.POLLIN)
        source, sink = os.pipe()
        try:
            fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            end = offset + size
            while offset < end:
                # A socket with a timeout does not block: the wait is ours.
                if not ready.poll(self._timeout_s * 1e3):
                    raise TimeoutError(f"nothing came for {self._timeout_s:g} s")
                try:
                    count = os.splice(self._socket.fileno(), sink, min(end - offset, _PIPE_BYTES))
                except BlockingIOError:
                    continue
                if count == 0:
                    raise BrokenResponse("the store ended the connection within its answer")
                while count:
                    moved = os.splice(source, descriptor, count, offset_dst=offset)
                    offset += moved
                    count -= moved
        finally:
            os.close(source)
            os.close(sink)

    def body_bytes(self) -> int | None:
        """How much of the body is still to be read; None: it comes in pieces."""
        return self._left

    def document(self) -> bytes:
        """The rest of the body, as one. Raises: OSError, BrokenResponse if it is no document."""
        try:
            if self._left is None:
                return self._pieces()
            if self._left > MOST_DOCUMENT_BYTES:
                raise BrokenResponse(f"an answer of {self._left} bytes is no document")
            body = bytearray(self._left)
            view = memoryview(body)
            done = 0
            while done < len(view):
                done += self._some(view[done:])
            self._left = 0
        except OSError:
            self.close()
            raise
        return bytes(body)

    def _pieces(self) -> bytes:
        body = bytearray()
        while True:
            size_text = self._line().split(b";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError as error:
                raise BrokenResponse("a piece of the answer states no length") from error
            if not 0 <= size <= MOST_DOCUMENT_BYTES - len(body):
                raise BrokenResponse("an answer in pieces is too long for a document")
            piece = memoryview(bytearray(size + 2 if size else 0))
            done = 0
            while done < len(piece):
                done += self._some(piece[done:])
            if size == 0:
                while self._line():  # trailers
                    pass
                self._left = 0
                return bytes(body)
            body += piece[:size]

    def _line(self) -> bytes:
        line = bytearray()
        byte = memoryview(bytearray(1))
        while not line.endswith(b"\r\n"):
            if len(line) > MOST_HEADER_BYTES:
                raise BrokenResponse("a line of the answer does not end")
            self._some(byte)
            line += byte
        return bytes(line[:-2])
