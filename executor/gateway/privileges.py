"""What a gateway process gives up before it learns any secret, and before it has any thread.

No new privileges by what it might run, no crash dump that could hold keys, no file that others may
read; where it is root's, every capability but those that its role needs. Source: capabilities(7),
prctl(2), core(5).
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from datasets.errors import ProviderError

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_ADMIN = 1, 2, 12
# Root's gateways read any source, and write into anybody's folder; relays touch no file.
NEEDED: Mapping[str, frozenset[int]] = MappingProxyType(
    {
        "source": frozenset({CAP_DAC_READ_SEARCH}),
        "relay": frozenset(),
        "destination": frozenset({CAP_DAC_OVERRIDE}),
    }
)
_ALLOWED = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
_LAST_CAP = Path("/proc/sys/kernel/cap_last_cap")
_UMASK = 0o077
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def keep_to_self() -> None:
    """No dumps, no files for others, no new privileges. Raises: ProviderError."""
    os.umask(_UMASK)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A limit of 0 does not bind where the kernel pipes dumps to a program; this does.
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities(role: str, *, congestion: str = "") -> None:
    """Of the calling thread, and of those it starts. Nothing where there are none to drop.

    `congestion`: one that was asked for by name and that not every user may choose here is a
    privilege that is kept. Raises: ProviderError.
    """
    if os.geteuid() != 0:
        return
    kept = NEEDED.get(role, frozenset())
    if congestion and congestion not in _ALLOWED.read_text().split():
        kept |= {CAP_NET_ADMIN}
    for capability in range(int(_LAST_CAP.read_text()) + 1):
        if capability not in kept:
            _prctl(_PR_CAPBSET_DROP, capability)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _capset(kept)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        error = os.strerror(ctypes.get_errno())
        raise ProviderError(f"a gateway cannot give up its privileges (prctl {option}): {error}")


def _capset(kept: Iterable[int]) -> None:
    low = sum(1 << capability for capability in kept)
    header = _Header(version=_CAPABILITY_VERSION_3, pid=0)
    data = (_Data * 2)(_Data(effective=low, permitted=low, inheritable=0), _Data())
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(ctypes.byref(header), ctypes.byref(data)) != 0:
        error = os.strerror(ctypes.get_errno())
        raise ProviderError(f"a gateway cannot give up its capabilities: {error}")
