"""The receiving process of a plain copy: one socket into one file; the other end is gateway.py."""

from __future__ import annotations

import os
import socket
import sys

BUFFER_BYTES = 1 << 20


def main() -> None:
    """Say the port, take one connection to its end, write it, answer one byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        connection, _ = listener.accept()
    buffer = memoryview(bytearray(BUFFER_BYTES))
    with connection, open(sys.argv[1], "wb", buffering=0) as file:
        while count := connection.recv_into(buffer):
            done = 0
            while done < count:
                done += os.write(file.fileno(), buffer[done:count])
        connection.sendall(b"\x01")


if __name__ == "__main__":
    main()
