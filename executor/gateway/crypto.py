"""Keys and sealing: the only place where keys are derived, records sealed and commands signed.

AES-256-GCM; a subkey by HKDF-SHA256 for each (object, attempt, 64 GiB span, key id); the nonce is
the record's number in the span. The key id is 64 random bits that whoever seals draws anew for each
connection, on which it seals a record once: a chunk that is sent again, by another connection,
after a crash or from a source that changed, is under another subkey. So no nonce covers two
plaintexts (nor one plaintext under two commands, which would give the authentication key away), and
no key covers more than 64 GiB.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from datasets.errors import IntegrityError, SessionRefused
from executor.gateway.command import (
    COMMAND_BYTES,
    MAC_BYTES,
    SIGNED_BYTES,
    TAG_BYTES,
    Command,
    pack_into,
)

KEY_BYTES = 32
SPAN_BYTES = 64 << 30


def new_key() -> bytes:
    """32 random bytes from the system."""
    return secrets.token_bytes(KEY_BYTES)


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(key)


def new_key_id() -> int:
    """64 random bits: the key id of one connection."""
    return int.from_bytes(secrets.token_bytes(8), "big")


def session_key(site_key: bytes, grant: bytes) -> bytes:
    """The key that signs a session's commands; any worker of the site derives it.

    `grant` is all that was granted (`Session.grant`), as it stands in each command: a command that
    claims anything else would have to be signed under another key.
    """
    return _derive(site_key, b"tradewind session v1" + grant)


def session_data_key(site_key: bytes, grant: bytes) -> bytes:
    """The master key of a session's data, where the site is an end: derived, nothing to store."""
    return _derive(site_key, b"tradewind session data v1" + grant)


def sign(buffer: memoryview, key: bytes) -> None:
    """Put the MAC over bytes 0 to 143 of `buffer` into bytes 144 to 159."""
    buffer[SIGNED_BYTES:COMMAND_BYTES] = _mac(buffer, key)


def check_signature(buffer: memoryview, key: bytes) -> None:
    """Raises: SessionRefused unless the command in `buffer` is signed under `key`."""
    if not hmac.compare_digest(_mac(buffer, key), bytes(buffer[SIGNED_BYTES:COMMAND_BYTES])):
        raise SessionRefused("a command is not signed by its session")


def _mac(buffer: memoryview, key: bytes) -> bytes:
    return hmac.digest(key, buffer[:SIGNED_BYTES], hashlib.sha256)[:MAC_BYTES]


def signed_command(command: Command, key: bytes) -> bytes:
    """160 bytes that stand alone: a hello, an acknowledgement, an end."""
    buffer = bytearray(COMMAND_BYTES)
    view = memoryview(buffer)
    pack_into(view, command)
    sign(view, key)
    return bytes(buffer)


class Sealer:
    """Seals and opens the records of one transfer. Held by its two ends only."""

    def __init__(self, master_key: bytes, *, record_bytes: int) -> None:
        if len(master_key) != KEY_BYTES:
            raise SessionRefused(f"a data key has {KEY_BYTES} bytes, not {len(master_key)}")
        if SPAN_BYTES % record_bytes:
            raise SessionRefused(f"a record of {record_bytes} bytes does not divide a span")
        self._master_key = master_key
        self._record_bytes = record_bytes
        self._cipher = lru_cache(maxsize=4096)(self._make_cipher)

    def _make_cipher(self, object_id: bytes, attempt: int, span: int, key_id: int) -> AESGCM:
        purpose = b"tradewind data v1" + object_id + attempt.to_bytes(4, "big")
        place = span.to_bytes(8, "big") + key_id.to_bytes(8, "big")
        return AESGCM(_derive(self._master_key, purpose + place))

    def _place(self, command: Command) -> tuple[AESGCM, bytes]:
        span, inside = divmod(command.offset, SPAN_BYTES)
        number, rest = divmod(inside, self._record_bytes)
        if rest:
            raise SessionRefused(f"a record begins at byte {command.offset}, where none can")
        cipher = self._cipher(command.object_id, command.attempt, span, command.key_id)
        return cipher, number.to_bytes(12, "big")

    def seal(self, buffer: memoryview, command: Command, plain: memoryview, key: bytes) -> int:
        """Command, ciphertext and tag into `buffer`, signed under `key`; the length in all.

        `plain` may stand in `buffer` where the ciphertext will.
        """
        end = COMMAND_BYTES + len(plain) + TAG_BYTES
        cipher, nonce = self._place(command)
        pack_into(buffer, command)
        sign(buffer, key)
        cipher.encrypt_into(nonce, plain, buffer[:SIGNED_BYTES], buffer[COMMAND_BYTES:end])
        return end

    def open(self, command: Command, head: memoryview, sealed: memoryview, into: memoryview) -> int:
        """The plaintext of `sealed` into `into`, which may be `sealed` itself; its length.

        Raises: IntegrityError.
        """
        cipher, nonce = self._place(command)
        length = len(sealed) - TAG_BYTES
        try:
            cipher.decrypt_into(nonce, sealed, head[:SIGNED_BYTES], into[:length])
        except InvalidTag as error:
            raise IntegrityError(
                f"A record at byte {command.offset} was changed on its way."
            ) from error
        return length
