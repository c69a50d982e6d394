"""Payloads from one TCP connection to another inside the kernel, through a pipe of 1 MiB.

The 160-byte command is read and checked as ever; the sealed payload behind it never enters this
process. Memory of a spliced connection: its pipe, and the sockets' own buffers.
"""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Callable

from executor.gateway.tcp import TcpConnection
from executor.gateway.transport import IDLE_TIMEOUT_S, Closed, Idle

PIPE_BYTES = 1 << 20
# What goes on at once, if it comes without a pause: smaller pieces wake the next hop more often.
GATHER_BYTES, GATHER_MS = PIPE_BYTES, 2
_SPLICE_MOVE, _SPLICE_NONBLOCK, _SPLICE_MORE = 1, 2, 4


class Splice:
    """A pipe between two connections; one thread's own. Raises: OSError where there is none."""

    def __init__(self, incoming: TcpConnection, outgoing: TcpConnection) -> None:
        # Own descriptors: another thread that closes the connections must not leave this one with
        # numbers that mean another file by then.
        self._descriptors: list[int] = []
        try:
            self._in = self._kept(os.dup(incoming.sock.fileno()))
            self._out = self._kept(os.dup(outgoing.sock.fileno()))
            ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._from, self._into = self._kept(ends[0]), self._kept(ends[1])
        except OSError:
            self.close()
            raise
        try:
            self._room = fcntl.fcntl(self._into, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:  # more than a plain user may have: then what pipes have by themselves
            self._room = fcntl.fcntl(self._into, fcntl.F_GETPIPE_SZ)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._in, select.POLLIN)
        self._writable.register(self._out, select.POLLOUT)

    def _kept(self, descriptor: int) -> int:
        self._descriptors.append(descriptor)
        return descriptor

    def pass_on(self, count: int, *, came: Callable[[], None] = lambda: None) -> None:
        """The next `count` bytes that come, to the other connection. Raises: Closed, Idle.

        `came` is called when the last of them is here, before it goes on.
        """
        held = 0
        try:
            while count or held:
                taken = 0
                if count and held < self._room:
                    taken = self._take(min(count, self._room - held), held)
                    count, held = count - taken, held + taken
                    if taken and not count:
                        came()
                if held and (not count or not taken or held >= GATHER_BYTES):
                    held -= self._give(held, more=count > 0)
        except OSError as error:
            raise Closed(f"the connection broke: {error.strerror}") from error

    def _take(self, most: int, held: int) -> int:
        """Some of what comes; 0 if the pipe is full, or nothing came for a moment."""
        while True:
            try:
                taken = os.splice(self._in, self._into, most, flags=_SPLICE_MOVE | _SPLICE_NONBLOCK)
            except BlockingIOError:
                if not held:
                    self._await(self._readable, "came")
                elif self._readable.poll(0) or not self._readable.poll(GATHER_MS):
                    return 0
                continue
            if taken == 0:
                raise Closed("the other end closed the connection")
            return taken

    def _give(self, most: int, *, more: bool) -> int:
        flags = _SPLICE_MOVE | _SPLICE_NONBLOCK | (_SPLICE_MORE if more else 0)
        while True:
            try:
                return os.splice(self._from, self._out, most, flags=flags)
            except BlockingIOError:
                self._await(self._writable, "could be sent")

    def _await(self, poll: select.poll, what: str) -> None:
        if not poll.poll(IDLE_TIMEOUT_S * 1000):
            raise Idle(f"nothing {what} for {IDLE_TIMEOUT_S:.0f} s")

    def close(self) -> None:
        """Close the pipe."""
        while self._descriptors:
            os.close(self._descriptors.pop())
