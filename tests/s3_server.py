"""An S3 server for tests (moto, in a process of its own), and a proxy before it that misbehaves."""

from __future__ import annotations

import http.client
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

START_TIMEOUT_S = 60.0
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLEEXAMPLE00",
    "AWS_SECRET_ACCESS_KEY": "not-a-real-secret-of-anybody",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def moto_server() -> Iterator[str]:
    """The address of a server that is ready, ended afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **KEYS},
    ) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(timeout=START_TIMEOUT_S)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise RuntimeError(f"the S3 server ended at once with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the S3 server did not come up")


@contextmanager
def client(endpoint: str) -> Iterator[Any]:
    """boto3's client of a server: the oracle."""
    import boto3
    from botocore.config import Config

    made = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        region_name=KEYS["AWS_REGION"],
        config=Config(proxies={}),
    )
    try:
        yield made
    finally:
        made.close()


@dataclass(kw_only=True)
class Asked:
    """One request as the proxy saw it, and what it is to do with it."""

    method: str
    target: str
    headers: dict[str, str]
    body_bytes: int
    status: int = 0  # answer so at once, without asking the server
    cut_after: int | None = None  # end the connection after so many bytes of the body
    flip: bool = False  # turn one bit of the body
    flip_body: bool = False  # turn one bit of what the client sends
    hide: tuple[str, ...] = ()  # headers that the answer goes without
    delay_s: float = 0.0
    drop_answer: bool = False  # the server does it, and nobody hears of it


Rule = Callable[[Asked], None]


@dataclass(kw_only=True)
class Proxy:
    """What went through, and the rule that may spoil it."""

    endpoint: str
    rule: Rule
    asked: list[Asked] = field(default_factory=list)

    def reads(self) -> list[Asked]:
        """Requests for bytes of objects."""
        return [one for one in self.asked if one.method == "GET" and "list-type" not in one.target]

    def parts(self) -> list[Asked]:
        """Parts that were written."""
        return [one for one in self.asked if one.method == "PUT" and "partNumber" in one.target]


@contextmanager
def proxy_before(server: str, rule: Rule | None = None) -> Iterator[Proxy]:
    """A proxy that passes requests on to `server`, spoiling those that `rule` says."""
    state = Proxy(endpoint="", rule=rule or (lambda _: None))
    host = server.partition("://")[2]

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def log_message(self, *_: object) -> None:
            pass

        def handle_any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length)
            one = Asked(
                method=self.command,
                target=self.path,
                headers={name.lower(): text for name, text in self.headers.items()},
                body_bytes=length,
            )
            state.rule(one)
            state.asked.append(one)
            time.sleep(one.delay_s)
            if one.status:
                text = b"<Error><Code>SlowDown</Code></Error>"
                self.send_response(one.status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text if self.command != "HEAD" else b"")
                return
            if one.flip_body and body:
                body = bytes([body[0] ^ 1]) + body[1:]
            connection = http.client.HTTPConnection(host, timeout=30)
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            if one.drop_answer:
                self.close_connection = True
                return
            if one.flip and data:
                data = bytes([data[0] ^ 1]) + data[1:]
            self.send_response(answer.status)
            ours = ("content-length", "connection", "date", "transfer-encoding", "server")
            for name, said in answer.getheaders():
                if name.lower() not in (*one.hide, *ours):
                    self.send_header(name, said)
            size = answer.getheader("content-length") if self.command == "HEAD" else None
            self.send_header("content-length", size or str(len(data)))
            self.end_headers()
            if one.cut_after is not None and len(data) > one.cut_after:
                self.wfile.write(data[: one.cut_after])
                self.close_connection = True
                return
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # a client that was killed: that is what the tests do

    listener = Server(("127.0.0.1", 0), Handler)
    state.endpoint = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join(timeout=10)
