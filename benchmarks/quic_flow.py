"""aioquic, memory to memory over loopback: run by the interpreter that has it.

python quic_flow.py CERTIFICATE KEY MEBIBYTES     prints {"gbps": ...}
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time

from aioquic.asyncio import QuicConnectionProtocol, connect, serve  # type: ignore[import-not-found]
from aioquic.quic.configuration import QuicConfiguration  # type: ignore[import-not-found]


async def measure(certificate: str, key: str, mebibytes: int) -> float:
    """Gbit/s from the first byte sent until the other end has read the last."""
    total = mebibytes << 20
    done = asyncio.Event()
    got = 0

    async def take(reader: asyncio.StreamReader) -> None:
        nonlocal got
        while block := await reader.read(1 << 20):
            got += len(block)
        done.set()

    tasks = []

    def on_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.ensure_future(take(reader)))

    serving = QuicConfiguration(is_client=False, max_data=1 << 30, max_stream_data=1 << 30)
    serving.load_cert_chain(certificate, key)
    server = await serve("127.0.0.1", 0, configuration=serving, stream_handler=on_stream)
    port = server._transport.get_extra_info("sockname")[1]
    asking = QuicConfiguration(is_client=True, verify_mode=ssl.CERT_NONE)
    async with connect("127.0.0.1", port, configuration=asking) as client:
        protocol: QuicConnectionProtocol = client
        _, writer = await protocol.create_stream()
        begin = time.perf_counter()
        block = bytes(1 << 20)
        for _ in range(mebibytes):
            writer.write(block)
        writer.write_eof()
        await asyncio.wait_for(done.wait(), 600)
        taken = time.perf_counter() - begin
    server.close()
    if got != total:
        raise RuntimeError(f"{got} of {total} bytes arrived")
    return total * 8 / taken / 1e9


if __name__ == "__main__":
    found = asyncio.run(measure(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    sys.stdout.write(json.dumps({"gbps": found}) + "\n")
