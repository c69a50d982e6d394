"""S3 over HTTP, in the few requests that copying needs; bodies come and go in place.

A body is signed by its SHA-256, which the store holds against what came before it accepts it, and
keeps as the part's checksum if it keeps any. A store that keeps none, but gives a body's MD5 as its
ETag, is held to that instead: some such stores do not even look at the SHA-256. What is worth
another attempt (a lost connection, a truncated body, 429 and 5xx) is tried again after a pause that
doubles, a bounded number of times.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import re
import ssl
import threading
import time
import xml.etree.ElementTree as ElementTree  # bounded documents; see _xml
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar
from urllib.parse import unquote_plus

from datasets.errors import InputError, TransferFailed
from executor.endpoints.http_connection import BrokenResponse, Head, HttpConnection, origin_of
from executor.endpoints.s3_credentials import find_identity
from executor.endpoints.s3_signature import (
    EMPTY_SHA256,
    escaped_path,
    escaped_query,
    signed_headers,
)
from executor.endpoints.store import (
    ROOT_ATTRIBUTE,
    ObjectAbout,
    ObjectChanged,
    ObjectExists,
    PartDone,
    Sink,
    StoreOptions,
    UploadGone,
)

_T = TypeVar("_T")

ATTEMPTS = 6
_FIRST_PAUSE_S = 0.2
_MD5_ATTEMPTS = 2
_MOST_PAUSE_S = 5.0
_WORTH_ANOTHER = (429, 500, 502, 503, 504)
_META = f"x-amz-meta-{ROOT_ATTRIBUTE}"
_MD5 = re.compile(r"[0-9a-f]{32}")
# AWS's own rule for names that fit a host name; with dots, TLS's wildcard does not cover them.
_HOST_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


class _Refused(TransferFailed):
    def __init__(self, what: str, status: int, code: str) -> None:
        self.status = status
        self.code = code
        super().__init__(f"The store refused to {what}: {code or 'no reason given'} ({status}).")


class S3Store:
    """One bucket of an S3 store; a connection a thread."""

    resumes = True

    def __init__(self, bucket: str, options: StoreOptions) -> None:
        identity = find_identity()
        self._credentials = identity.credentials
        self._region = identity.region
        endpoint = (
            options.endpoint_url
            or os.environ.get("AWS_ENDPOINT_URL_S3")
            or os.environ.get("AWS_ENDPOINT_URL")
        )
        self._base = f"/{bucket}"
        if endpoint is None:
            host = f"s3.{self._region}.amazonaws.com"
            if _HOST_BUCKET.fullmatch(bucket):
                host, self._base = f"{bucket}.{host}", ""
            endpoint = f"https://{host}"
        self._origin = origin_of(endpoint)
        self._bucket = bucket
        self._timeout_s = options.timeout_s
        self._tls = ssl.create_default_context() if self._origin.tls else None
        self._own = threading.local()
        self._opened: list[HttpConnection] = []
        # Learnt from the store's answers.
        self._md5_only = False

    def _connection(self) -> HttpConnection:
        held: HttpConnection | None = getattr(self._own, "connection", None)
        if held is None:
            held = HttpConnection(self._origin, timeout_s=self._timeout_s, tls=self._tls)
            self._own.connection = held
            self._opened.append(held)
        return held

    def close(self) -> None:
        """See ObjectStore."""
        for connection in self._opened:
            connection.close()

    def _send(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: memoryview | None = None,
        sha256: str = EMPTY_SHA256,
    ) -> Head:
        """One request, signed now. Raises: OSError."""
        path = escaped_path(f"{self._base}/{key}" if key or not self._base else self._base)
        asked = escaped_query(query)
        signed = signed_headers(
            method,
            path,
            asked,
            {**headers, "host": self._origin.authority},
            credentials=self._credentials,
            region=self._region,
            body_sha256=sha256,
            now_s=time.time(),
        )
        target = f"{path}?{asked}" if asked else path
        return self._connection().request(method, target, signed, body)

    def _ask(
        self,
        what: str,
        method: str,
        key: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: memoryview | None = None,
        sha256: str = EMPTY_SHA256,
    ) -> tuple[Head, bytes]:
        """One request whose answer is a document, with attempts. Raises: TransferFailed."""

        def once() -> tuple[Head, bytes]:
            head = self._send(method, key, query or {}, headers or {}, body, sha256)
            document = self._connection().document()
            self._check(what, head, document)
            return head, document

        return _attempts(what, once)

    def _check(self, what: str, head: Head, document: bytes) -> None:
        """Raises: BrokenResponse if another attempt is worth it, _Refused if not."""
        if head.status < 300:
            return
        code = _code(document)
        if head.status in _WORTH_ANOTHER or code == "RequestTimeout":
            raise BrokenResponse(f"{code or 'no reason given'} ({head.status})")
        if head.status in (301, 307) and "x-amz-bucket-region" in head.headers:
            region = head.headers["x-amz-bucket-region"]
            raise InputError(f"{self._bucket} is in {region}, not {self._region}; set AWS_REGION.")
        if code == "NoSuchBucket":
            raise InputError(f"There is no bucket {self._bucket!r}.")
        raise _Refused(what, head.status, code)

    def about(self, key: str) -> ObjectAbout | None:
        """See ObjectStore."""
        try:
            head, _ = self._ask(f"describe {key!r}", "HEAD", key)
        except _Refused as error:
            if error.status == 404:
                return None
            raise
        return ObjectAbout(
            key=key,
            size=int(head.headers.get("content-length", "0")),
            etag=_bare(head.headers.get("etag", "")),
            root=head.headers.get(_META, ""),
        )

    def listed(self, prefix: str) -> Iterator[ObjectAbout]:
        """See ObjectStore."""
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "max-keys": "1000"}
        while True:
            _, document = self._ask(f"list {prefix!r}", "GET", "", query)
            tree = _xml(document)
            escaped = tree.findtext("EncodingType") == "url"
            for entry in tree.findall("Contents"):
                key = entry.findtext("Key") or ""
                yield ObjectAbout(
                    key=unquote_plus(key) if escaped else key,
                    size=int(entry.findtext("Size") or 0),
                    etag=_bare(entry.findtext("ETag") or ""),
                )
            token = tree.findtext("NextContinuationToken")
            if tree.findtext("IsTruncated") != "true" or not token:
                return
            query = {**query, "continuation-token": token}

    def read(self, about: ObjectAbout, offset: int, size: int, sink: Sink) -> str:
        """See ObjectStore."""
        last = offset + size - 1

        def once() -> str:
            begin = offset + sink.restart()
            headers = {"if-match": f'"{about.etag}"'} if about.etag else {}
            if begin or last < about.size - 1:
                headers["range"] = f"bytes={begin}-{last}"
            head = self._send("GET", about.key, {}, headers)
            connection = self._connection()
            if head.status not in (200, 206):
                self._check(f"read {about.key!r}", head, connection.document())
            # Not every server minds If-Match, and some answer a range with 200.
            if _bare(head.headers.get("etag", about.etag)) != about.etag:
                connection.close()
                raise ObjectChanged(f"{about.key!r} changed while it was being read.")
            if "range" in headers:
                said = head.headers.get("content-range", "")
                if said != f"bytes {begin}-{last}/{about.size}":
                    raise BrokenResponse(f"the store answered with the range {said!r}")
            left = last + 1 - begin
            while left:
                place = sink.place() if connection.can_splice else None
                if place is not None:
                    descriptor, at, count = place
                    connection.splice_into(descriptor, at, count)
                    sink.put(count)
                    left -= count
                    continue
                piece = sink.buffer[: min(left, len(sink.buffer))]
                connection.read_into(piece)
                sink.take(piece)
                left -= len(piece)
            if connection.body_bytes():
                connection.close()
                raise ObjectChanged(f"{about.key!r} is longer than it was listed.")
            return head.headers.get(_META, "")

        try:
            return _attempts(f"read {about.key!r}", once)
        except _Refused as error:
            if error.status in (404, 412, 416):
                raise ObjectChanged(f"{about.key!r} changed while it was being read.") from error
            raise

    def put(self, key: str, body: memoryview, root: str) -> bool:
        """See ObjectStore."""
        headers = {_META: root, "if-none-match": "*"}
        try:
            return self._put(f"write {key!r}", key, {}, headers, body).compared
        except _Refused as error:
            self._judge(error, key, root, len(body))
            return False

    def _put(
        self,
        what: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: memoryview,
    ) -> PartDone:
        if self._md5_only:
            try:
                return self._put_unsigned(what, key, query, headers, body)
            except _Refused as error:
                if error.status not in (400, 403):
                    raise
                self._md5_only = False
        digest = hashlib.sha256(body)
        checksum = base64.b64encode(digest.digest()).decode()
        headers = {**headers, "x-amz-checksum-sha256": checksum}
        head, _ = self._ask(what, "PUT", key, query, headers, body, digest.hexdigest())
        etag = _bare(head.headers.get("etag", ""))
        kept = head.headers.get("x-amz-checksum-sha256", "")
        compared = kept == checksum
        if not kept and _is_md5_of(etag, body):
            compared = True
            # The store keeps no checksum but this one: the other kind is work for nothing.
            self._md5_only = True
        return PartDone(
            number=int(query.get("partNumber", "1")), etag=etag, checksum=kept, compared=compared
        )

    def _put_unsigned(
        self,
        what: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: memoryview,
    ) -> PartDone:
        """Held to its MD5, which the store answers with; sent again if it is another."""
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        etag = ""
        for _ in range(_MD5_ATTEMPTS):
            head, _ = self._ask(what, "PUT", key, query, headers, body, "UNSIGNED-PAYLOAD")
            etag = _bare(head.headers.get("etag", ""))
            if etag == digest:
                break
        return PartDone(
            number=int(query.get("partNumber", "1")),
            etag=etag,
            checksum="",
            compared=etag == digest,
        )

    def _judge(self, error: _Refused, key: str, root: str, size: int) -> None:
        """An object stands there: perhaps ours, whose answer was lost. Raises: ObjectExists."""
        if error.status not in (409, 412) and error.code != "NoSuchUpload":
            raise error
        there = self.about(key)
        if there is None:
            if error.code == "NoSuchUpload":
                raise UploadGone(f"The store no longer knows the upload of {key!r}.") from error
            raise error
        if (there.root, there.size) != (root, size):
            url = f"s3://{self._bucket}/{key}"
            raise ObjectExists(
                f"{url} exists; nothing is overwritten. Name another destination."
            ) from error

    def begin(self, key: str, root: str) -> str:
        """See ObjectStore."""
        headers = {_META: root, "x-amz-checksum-algorithm": "SHA256"}
        _, document = self._ask(f"begin {key!r}", "POST", key, {"uploads": ""}, headers)
        upload = _xml(document).findtext("UploadId")
        if not upload:
            raise TransferFailed(f"The store began no upload of {key!r}.")
        return upload

    def put_part(self, key: str, upload: str, number: int, body: memoryview) -> PartDone:
        """See ObjectStore."""
        query = {"partNumber": str(number), "uploadId": upload}
        try:
            return self._put(f"write part {number} of {key!r}", key, query, {}, body)
        except _Refused as error:
            raise _gone(error, key) from error

    def parts(self, key: str, upload: str) -> dict[int, tuple[int, str]]:
        """See ObjectStore."""
        found: dict[int, tuple[int, str]] = {}
        query = {"uploadId": upload, "max-parts": "1000"}
        while True:
            try:
                _, document = self._ask(f"list the parts of {key!r}", "GET", key, query)
            except _Refused as error:
                raise _gone(error, key) from error
            tree = _xml(document)
            for entry in tree.findall("Part"):
                number = int(entry.findtext("PartNumber") or 0)
                found[number] = (
                    int(entry.findtext("Size") or 0),
                    _bare(entry.findtext("ETag") or ""),
                )
            marker = tree.findtext("NextPartNumberMarker")
            if tree.findtext("IsTruncated") != "true" or not marker:
                return found
            query = {**query, "part-number-marker": marker}

    def complete(self, key: str, upload: str, parts: list[PartDone], root: str, size: int) -> None:
        """See ObjectStore."""
        entries = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{_escaped(part.etag)}&quot;</ETag>"
            + (
                f"<ChecksumSHA256>{_escaped(part.checksum)}</ChecksumSHA256>"
                if part.checksum
                else ""
            )
            + "</Part>"
            for part in sorted(parts, key=lambda part: part.number)
        )
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        text = f'<CompleteMultipartUpload xmlns="{space}">{entries}</CompleteMultipartUpload>'
        body = memoryview(text.encode())
        what = f"complete {key!r}"
        headers = {"if-none-match": "*", "content-type": "application/xml"}
        query = {"uploadId": upload}
        sha256 = hashlib.sha256(body).hexdigest()
        try:
            _, document = self._ask(what, "POST", key, query, headers, body, sha256)
            code = _code(document)
            if code:  # S3 may say 200 first and fail afterwards
                raise _Refused(what, 200, code)
        except _Refused as error:
            self._judge(error, key, root, size)

    def abort(self, key: str, upload: str) -> None:
        """See ObjectStore."""
        try:
            self._ask(f"give up {key!r}", "DELETE", key, {"uploadId": upload})
        except _Refused as error:
            if error.status != 404:
                raise

    def put_file(self, key: str, descriptor: int, size: int, root: str) -> None:
        """See ObjectStore: S3 uploads are ordered part by part."""
        raise TransferFailed("S3 takes large objects in parts")


def _gone(error: _Refused, key: str) -> TransferFailed:
    if error.status == 404:
        return UploadGone(f"The store no longer knows the upload of {key!r}.")
    return error


def _attempts(what: str, once: Callable[[], _T]) -> _T:
    """What `once` answers, tried again after OSError. Raises: TransferFailed after the last."""
    for number in range(1, ATTEMPTS + 1):
        try:
            return once()
        except OSError as error:
            if number == ATTEMPTS:
                told = error.strerror or str(error) or type(error).__name__
                raise TransferFailed(
                    f"The store failed {ATTEMPTS} times to {what}: {told}."
                ) from error
            pause_s = min(_FIRST_PAUSE_S * 2 ** (number - 1), _MOST_PAUSE_S)
            # Many clients that fail together must not come back together.
            time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
    raise TransferFailed(f"The store was not asked to {what}.")


def _is_md5_of(etag: str, body: memoryview) -> bool:
    """Stores without checksums of their own give a body's MD5 as its ETag, unless they encrypt."""
    if not _MD5.fullmatch(etag):
        return False
    return hashlib.md5(body, usedforsecurity=False).hexdigest() == etag


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _bare(etag: str) -> str:
    """Without quotes: some servers list them so and answer them quoted."""
    return etag.strip('"')


def _code(document: bytes) -> str:
    """The code of an error document; "" if it is none."""
    if b"<Error" not in document[:400]:
        return ""
    tree = _xml(document)
    return tree.findtext("Code") or "an error without a code"


def _xml(document: bytes) -> ElementTree.Element:
    """A store's document without namespaces. Raises: TransferFailed if it is none.

    Its length is bounded where it is read, and expat bounds what entities may expand to.
    """
    try:
        tree = ElementTree.fromstring(document)  # noqa: S314
    except ElementTree.ParseError as error:
        raise TransferFailed("The store answered with a document that is no XML.") from error
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]
    return tree
