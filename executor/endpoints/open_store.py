"""The store that an address names."""

from __future__ import annotations

from executor.endpoints.s3 import S3Store
from executor.endpoints.store import Address, ObjectStore, StoreOptions


def open_store(address: Address, options: StoreOptions) -> ObjectStore:
    """The store of an address. Raises: InputError where credentials are missing, TransferFailed."""
    if address.scheme == "s3":
        return S3Store(address.bucket, options)
    # Compiled code that nobody needs who copies to S3.
    from executor.endpoints.obstore_store import open_obstore

    return open_obstore(address, options)
