"""AWS Signature Version 4: what proves to a store who asks, without the secret on the wire.

Pure: the time is the caller's. Every header that is sent is signed, and the body by its SHA-256,
which the store compares with what came before it accepts it.
Source: AWS, "Signature Version 4 for API requests", Amazon S3 User Guide, read in November 2026.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
# What RFC 3986 leaves unreserved; the slash separates a key's parts.
_UNESCAPED = "-_.~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An access key. The secrets are in no representation of it."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)


def escaped_path(path: str) -> str:
    """A path as it stands in the request and in its signature."""
    return quote(path, safe=f"/{_UNESCAPED}")


def escaped_query(query: Mapping[str, str]) -> str:
    """A query in the order and the escapes of the signature."""
    pairs = sorted(
        (quote(name, safe=_UNESCAPED), quote(text, safe=_UNESCAPED)) for name, text in query.items()
    )
    return "&".join(f"{name}={text}" for name, text in pairs)


@lru_cache(maxsize=8)
def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def signed_headers(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    *,
    credentials: Credentials,
    region: str,
    body_sha256: str,
    now_s: float,
) -> dict[str, str]:
    """`headers` with those that sign the request; names come in lower case, `host` among them.

    `path` and `query` are escaped; `now_s` is Unix time, by which a store refuses old requests.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    day = stamp[:8]
    signed = {**headers, "x-amz-content-sha256": body_sha256, "x-amz-date": stamp}
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    names = sorted(signed)
    listed = ";".join(names)
    lines = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in names)
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{listed}\n{body_sha256}"
    scope = f"{day}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = _signing_key(credentials.secret_key, day, region)
    signature = hmac.digest(
        key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}".encode(), "sha256"
    ).hex()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={listed}, Signature={signature}"
    )
    return signed
