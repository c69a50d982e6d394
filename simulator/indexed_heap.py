"""A binary heap of numbered items, each at one place, by a key that may change while it is in.

`order` holds the items and `key` their keys, both by place, the least at 0; `place` says where
each item stands (OUT: not in). `size`, how many are in, is passed and returned. Runs plain or
compiled, as `sharing_kernel.py` does.
"""

from __future__ import annotations

from typing import Any

# An index that none has; indices are unsigned (`sharing_kernel.py` says why).
OUT = 0xFFFFFFFF


def heap_place(order: Any, place: Any, key: Any, size: int, item: int, own: float) -> int:
    """Put `item`, new or already in, where its key `own` belongs. The new size. O(log size)"""
    at = place[item]
    if at == OUT:
        at = size
        size += 1
    while at > 0:
        parent = (at - 1) >> 1
        if key[parent] <= own:
            break
        _move(order, place, key, parent, at)
        at = parent
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size:
            child += key[child + 1] < key[child]  # added, not branched on: it is anybody's guess
        if own <= key[child]:
            break
        _move(order, place, key, child, at)
        at = child
    order[at] = item
    key[at] = own
    place[item] = at
    return size


def heap_remove(order: Any, place: Any, key: Any, size: int, item: int) -> int:
    """Take `item` out, if it is in. The new size. O(log size)"""
    at = place[item]
    if at == OUT:
        return size
    place[item] = OUT
    size -= 1
    if at == size:
        return size
    last, own = order[size], key[size]
    # The gap sinks to a leaf and the last item rises from there: it seldom rises far.
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size:
            child += key[child + 1] < key[child]
        _move(order, place, key, child, at)
        at = child
    while at > 0:
        parent = (at - 1) >> 1
        if key[parent] <= own:
            break
        _move(order, place, key, parent, at)
        at = parent
    order[at] = last
    key[at] = own
    place[last] = at
    return size


def _move(order: Any, place: Any, key: Any, source: int, target: int) -> None:
    order[target] = order[source]
    key[target] = key[source]
    place[order[target]] = target
