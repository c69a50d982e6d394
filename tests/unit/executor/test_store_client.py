"""The parts of the client of object stores: signatures, credentials, HTTP, notes, workers."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import InputError, TransferFailed
from executor.endpoints.http_connection import BrokenResponse, HttpConnection, Origin, origin_of
from executor.endpoints.notes import Notes
from executor.endpoints.object_upload import MOST_PARTS, part_bytes_for
from executor.endpoints.pieces import stretches_of
from executor.endpoints.s3_credentials import find_identity
from executor.endpoints.s3_signature import (
    EMPTY_SHA256,
    Credentials,
    escaped_path,
    escaped_query,
    signed_headers,
)
from executor.endpoints.store import CHUNK_BYTES, StoreOptions, address_of
from executor.endpoints.workers import Step, carry_out

# --- Signatures.

EXAMPLE = Credentials(
    access_key="AKIAIOSFODNN7EXAMPLE",
    secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",  # noqa: S106  # AWS's published example
)
MAY_24_2013_S = 1369353600.0


def test_a_signature_is_that_of_the_published_example() -> None:
    """Source: AWS, Amazon S3 API Reference, "Signature Calculations", example "GET Object"."""
    signed = signed_headers(
        "GET",
        "/test.txt",
        "",
        {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9"},
        credentials=EXAMPLE,
        region="us-east-1",
        body_sha256=EMPTY_SHA256,
        now_s=MAY_24_2013_S,
    )
    assert signed["authorization"].endswith(
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


@given(
    key=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20),
    query=st.dictionaries(
        st.text("abcXYZ-.~ +%é", min_size=1, max_size=5), st.text("a =&/+é", max_size=5), max_size=3
    ),
)
def test_a_signature_is_that_of_botocore(key: str, query: dict[str, str]) -> None:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as TheirCredentials

    path = escaped_path(f"/bucket/{key}")
    asked = escaped_query(query)
    ours = signed_headers(
        "PUT",
        path,
        asked,
        {"host": "127.0.0.1:9000", "x-amz-meta-a": "b  c"},
        credentials=EXAMPLE,
        region="eu-west-1",
        body_sha256=EMPTY_SHA256,
        now_s=MAY_24_2013_S,
    )
    request = AWSRequest(
        method="PUT",
        url=f"http://127.0.0.1:9000{path}{'?' * bool(asked)}{asked}",
        headers={"x-amz-meta-a": "b  c", "x-amz-content-sha256": EMPTY_SHA256},
    )
    request.context["timestamp"] = "20130524T000000Z"
    request.headers["X-Amz-Date"] = "20130524T000000Z"
    theirs = S3SigV4Auth(
        TheirCredentials(EXAMPLE.access_key, EXAMPLE.secret_key), "s3", "eu-west-1"
    )
    canonical = theirs.canonical_request(request)
    signature = theirs.signature(theirs.string_to_sign(request, canonical), request)
    assert ours["authorization"].endswith(f"Signature={signature}")


def test_credentials_come_from_the_environment_or_a_profile(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = A\naws_secret_access_key = B\n"
        "[other]\naws_access_key_id = C\naws_secret_access_key = D\naws_session_token = E\n"
    )
    (tmp_path / ".aws" / "config").write_text("[profile other]\nregion = eu-west-1\n")
    home = {"HOME": str(tmp_path)}
    plain = find_identity(home)
    assert (plain.credentials.access_key, plain.region) == ("A", "us-east-1")
    other = find_identity({**home, "AWS_PROFILE": "other"})
    assert (other.credentials.token, other.region) == ("E", "eu-west-1")
    named = {"AWS_ACCESS_KEY_ID": "F", "AWS_SECRET_ACCESS_KEY": "G", "AWS_REGION": "x"}
    assert find_identity({**home, **named}).credentials.access_key == "F"
    assert "G" not in repr(find_identity({**home, **named}))
    (tmp_path / ".aws" / "credentials").write_text("SECRETSECRET\n")
    with pytest.raises(InputError) as told:
        find_identity(home)
    assert "SECRETSECRET" not in str(told.value)


# --- Addresses.


def test_a_key_may_hold_what_a_query_or_a_fragment_begins_with() -> None:
    assert address_of("s3://bucket/a?b#c").key == "a?b#c"
    assert address_of("s3://bucket/a/").is_prefix
    assert address_of("gs://bucket").is_prefix
    for text in ("s3://", "s3:///key", "ftp://x/y", "s3://user:secret@bucket/key"):
        with pytest.raises(InputError):
            address_of(text)
    for text in ("http://a:b@host", "host:9000", "http://host/path", "http://host:99999"):
        with pytest.raises(InputError):
            origin_of(text)
    with pytest.raises(InputError):
        StoreOptions(connections=0)


@given(st.integers(1, 5 << 40))
def test_no_object_has_more_parts_than_a_store_allows(size: int) -> None:
    part = part_bytes_for(size)
    assert part % CHUNK_BYTES == 0
    assert -(-size // part) <= MOST_PARTS


@given(st.sets(st.integers(0, 200)))
def test_stretches_are_the_chunks_once_and_in_order(chunks: set[int]) -> None:
    found = stretches_of(sorted(chunks))
    assert [first + at for first, count in found for at in range(count)] == sorted(chunks)


# --- HTTP.


@contextmanager
def answering(*answers: bytes) -> Iterator[HttpConnection]:
    """A connection to a server that gives these bytes, a connection each, and ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(5)
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        origin = Origin(host="127.0.0.1", port=listener.getsockname()[1], tls=False)
        connection = HttpConnection(origin, timeout_s=2.0, tls=None)
        try:
            yield connection
        finally:
            connection.close()
            thread.join(timeout=5)


def asked(connection: HttpConnection) -> bytes:
    connection.request("GET", "/", {})
    return connection.document()


def test_a_document_in_pieces_is_put_together() -> None:
    body = b"4\r\nWiki\r\n6;x=y\r\npedia \r\n0\r\ntrailer: x\r\n\r\n"
    with answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body) as connection:
        assert connection.request("GET", "/", {}).status == 200
        assert connection.document() == b"Wikipedia "


def test_an_interim_answer_is_passed_over() -> None:
    text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    with answering(text) as connection:
        assert connection.request("GET", "/", {}).status == 200
        assert connection.document() == b"ok"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
    ],
)
def test_what_is_no_answer_is_an_error_and_the_next_request_begins_anew(answer: bytes) -> None:
    good = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    with answering(answer, good) as connection:
        with pytest.raises(OSError):  # noqa: PT011  # a reset is as good as a BrokenResponse
            asked(connection)
        assert connection.request("GET", "/", {}).status == 200
        assert connection.document() == b"ok"


@pytest.mark.parametrize("length", [5, 100_000, 3_000_000])
def test_a_body_goes_into_a_file_by_the_kernel(length: int, tmp_path: Path) -> None:
    body = os.urandom(length)
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n".encode()
    with answering(head + body) as connection, open(tmp_path / "file", "w+b") as file:
        connection.request("GET", "/", {})
        assert connection.can_splice
        connection.splice_into(file.fileno(), 7, length)
        assert connection.body_bytes() == 0
        with pytest.raises(BrokenResponse):
            connection.splice_into(file.fileno(), 0, 1)
    assert (tmp_path / "file").read_bytes()[7:] == body


def test_a_body_that_ends_early_is_noticed_by_the_kernel_too(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
    with answering(head + b"x" * 300) as connection, open(tmp_path / "file", "w+b") as file:
        connection.request("GET", "/", {})
        with pytest.raises(BrokenResponse):
            connection.splice_into(file.fileno(), 0, 1000)


# --- Notes.


def test_notes_are_found_again_without_a_line_that_was_cut(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "notes", {"url": "x"})
    notes.add({"chunk": 1})
    notes.add({"chunk": 2})
    notes.close()
    with open(tmp_path / "notes", "ab") as file:
        file.write(b'{"chunk": 3')
    again = Notes(tmp_path / "notes", {"url": "x"})
    assert again.lines == [{"chunk": 1}, {"chunk": 2}]
    again.add({"chunk": 4})
    again.close()
    last = Notes(tmp_path / "notes", {"url": "x"})
    assert last.lines == [{"chunk": 1}, {"chunk": 2}, {"chunk": 4}]
    with pytest.raises(InputError, match="already under way"):
        Notes(tmp_path / "notes", {"url": "x"})
    last.close()
    other = Notes(tmp_path / "notes", {"url": "y"})
    assert (other.lines, other.discarded[0]) == ([], {"url": "x"})
    other.remove()
    assert os.listdir(tmp_path) == []


# --- Workers.


def test_what_a_step_brings_is_done_before_anything_new() -> None:
    done: list[str] = []

    def step(name: str, more: list[Step]) -> list[Step]:
        done.append(name)
        return more

    inner: Step = partial(step, "inner", [])
    carry_out([partial(step, "first", [inner]), partial(step, "second", [])], workers=1)
    assert done == ["first", "inner", "second"]


def test_the_first_error_ends_all_and_is_raised() -> None:
    begun: list[int] = []

    def step(number: int) -> list[Step]:
        begun.append(number)
        if number == 3:
            raise TransferFailed("the third")
        return []

    with pytest.raises(TransferFailed, match="the third"):
        carry_out((partial(step, number) for number in range(1000)), workers=2)
    assert len(begun) < 20
