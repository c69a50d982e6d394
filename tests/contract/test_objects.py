"""Copies to and from object stores, with boto3 as the oracle against an S3 server, and obstore's
own store in memory for the adapter that Google's and Azure's stores go through."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from datasets.errors import InputError
from executor.endpoints.local import root_digest
from executor.endpoints.obstore_store import ObstoreStore
from executor.endpoints.open_store import open_store
from executor.endpoints.store import CHUNK_BYTES, ObjectExists, StoreOptions, address_of
from executor.operations import objects
from executor.operations.copied import COMPARED, READ_BACK
from executor.operations.objects import download, upload
from tests.s3_server import KEYS, client, moto_server

pytestmark = pytest.mark.xdist_group("s3")

SIZES = [0, 1, 70_000, CHUNK_BYTES, 2 * CHUNK_BYTES + 12_345]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(oracle: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, text in KEYS.items():
        monkeypatch.setenv(name, text)
    name = f"tests-{uuid.uuid4().hex[:12]}"
    oracle.create_bucket(Bucket=name)
    return name


@pytest.fixture
def options(server: str) -> StoreOptions:
    return StoreOptions(endpoint_url=server, connections=3)


@pytest.fixture
def oracle(server: str) -> Iterator[Any]:
    with client(server) as made:
        yield made


def root_of(data: bytes) -> str:
    """The root digest by the plainest means."""
    chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
    return root_digest([blake3(chunk).digest() for chunk in chunks], len(data)).hex()


@pytest.mark.parametrize("size", SIZES)
def test_what_is_uploaded_boto3_reads(
    size: int, bucket: str, options: StoreOptions, oracle: Any, tmp_path: Path
) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    done = upload(tmp_path / "file", f"s3://{bucket}/a/key", options)
    found = oracle.get_object(Bucket=bucket, Key="a/key")
    assert found["Body"].read() == data
    assert found["Metadata"] == {"tradewind-root": root_of(data)}
    assert (done.size_bytes, done.digest, done.objects) == (size, root_of(data), 1)
    assert done.confirmed == COMPARED
    assert oracle.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


@pytest.mark.parametrize("size", SIZES)
def test_what_boto3_wrote_is_downloaded(
    size: int, bucket: str, options: StoreOptions, oracle: Any, tmp_path: Path
) -> None:
    data = os.urandom(size)
    oracle.put_object(Bucket=bucket, Key="key", Body=data)
    seen: list[tuple[int, int]] = []
    done = download(
        f"s3://{bucket}/key", tmp_path / "file", options, lambda *told: seen.append(told)
    )
    assert (tmp_path / "file").read_bytes() == data
    assert (done.size_bytes, done.digest, done.confirmed) == (size, root_of(data), READ_BACK)
    assert seen == sorted(seen)
    assert seen[-1:] == ([(size, size)] if size else [])
    assert os.listdir(tmp_path) == ["file"]


NAMES = ["plain", "a b", "a+b", "a%41b", "é/ü", "x?y=z", "x#y", "semi;colon", "deep/er/still", "~t"]


def test_many_objects_go_and_come_back_under_any_name(
    bucket: str, options: StoreOptions, oracle: Any, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    for at, name in enumerate(NAMES):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(at * 1000))
    (source / "empty").mkdir()
    sent = upload(source, f"s3://{bucket}/pre/", options)
    for name in NAMES:
        body = oracle.get_object(Bucket=bucket, Key=f"pre/{name}")["Body"].read()
        assert body == (source / name).read_bytes()
    came = download(f"s3://{bucket}/pre/", tmp_path / "back", options)
    for name in NAMES:
        assert (tmp_path / "back" / name).read_bytes() == (source / name).read_bytes()
    assert (tmp_path / "back" / "empty").is_dir()
    assert sent.digest == came.digest
    assert sent.objects == came.objects == len(NAMES)
    hidden = [path for path in (tmp_path / "back").rglob(".tradewind-*")]
    assert hidden == []


def test_more_objects_than_a_page_of_the_list_holds(
    bucket: str, options: StoreOptions, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for at in range(1003):
        (source / f"{at:04}").write_bytes(b"%d" % at)
    many = StoreOptions(endpoint_url=options.endpoint_url, connections=8)
    upload(source, f"s3://{bucket}/n/", many)
    assert download(f"s3://{bucket}/n/", tmp_path / "back", many).objects == 1003


def test_nothing_is_overwritten(
    bucket: str, options: StoreOptions, oracle: Any, tmp_path: Path
) -> None:
    url = f"s3://{bucket}/key"
    oracle.put_object(Bucket=bucket, Key="key", Body=b"theirs")
    for size in (5, CHUNK_BYTES + 1):
        (tmp_path / "ours").write_bytes(bytes(size))
        with pytest.raises(ObjectExists, match="nothing is overwritten"):
            upload(tmp_path / "ours", url, options)
    assert oracle.get_object(Bucket=bucket, Key="key")["Body"].read() == b"theirs"
    with pytest.raises(InputError, match="nothing is overwritten"):
        download(url, tmp_path / "ours", options)
    assert (tmp_path / "ours").stat().st_size == CHUNK_BYTES + 1


@pytest.mark.parametrize("size", [5, CHUNK_BYTES + 1])
def test_an_object_that_came_to_stand_there_meanwhile_is_not_overwritten(
    size: int, bucket: str, options: StoreOptions, oracle: Any
) -> None:
    with closing(open_store(address_of(f"s3://{bucket}/key"), options)) as begun:
        view = memoryview(bytes(size))
        name = begun.begin("key", "root")
        part = begun.put_part("key", name, 1, view)
        oracle.put_object(Bucket=bucket, Key="key", Body=b"theirs")
        with pytest.raises(ObjectExists):
            begun.complete("key", name, [part], "root", size)
        with pytest.raises(ObjectExists):
            begun.put("key", view, "root")
    assert oracle.get_object(Bucket=bucket, Key="key")["Body"].read() == b"theirs"


def test_the_same_copy_again_is_done_at_once(
    bucket: str, options: StoreOptions, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(os.urandom(CHUNK_BYTES + 1))
    url = f"s3://{bucket}/key"
    assert upload(tmp_path / "file", url, options).digest == (
        upload(tmp_path / "file", url, options).digest
    )
    first = download(url, tmp_path / "back", options)
    assert download(url, tmp_path / "back", options).digest == first.digest


@pytest.mark.parametrize("key", ["../up", "a/../b", "/top", "a//b", "a/.", ".tradewind-x.part"])
def test_a_key_that_no_file_may_have_is_refused(
    key: str, bucket: str, options: StoreOptions, oracle: Any, tmp_path: Path
) -> None:
    oracle.put_object(Bucket=bucket, Key=f"p/{key}", Body=b"x")
    with pytest.raises(InputError, match="No file can be called"):
        download(f"s3://{bucket}/p/", tmp_path / "back", options)
    assert sorted(os.listdir(tmp_path)) == []


def test_a_link_in_the_destination_is_not_followed(
    bucket: str, options: StoreOptions, oracle: Any, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "sub").symlink_to(tmp_path / "elsewhere")
    oracle.put_object(Bucket=bucket, Key="p/sub/file", Body=b"x")
    with pytest.raises(InputError):
        download(f"s3://{bucket}/p/", tmp_path / "back", options)
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_link_in_the_source_is_refused(
    bucket: str, options: StoreOptions, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "link").symlink_to("anywhere")
    with pytest.raises(InputError, match="a store has no links"):
        upload(tmp_path / "source", f"s3://{bucket}/p/", options)


def test_what_is_missing_is_said_in_one_sentence(
    bucket: str, options: StoreOptions, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="There is no object"):
        download(f"s3://{bucket}/nothing", tmp_path / "x", options)
    with pytest.raises(InputError, match="There is no object below"):
        download(f"s3://{bucket}/nothing/", tmp_path / "x", options)
    with pytest.raises(InputError, match="There is no bucket"):
        download("s3://no-such-bucket-anywhere/x/", tmp_path / "x", options)
    assert os.listdir(tmp_path) == []


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> ObstoreStore:
    """The adapter over obstore's own store in memory, in place of Google's and Azure's."""
    from obstore.store import MemoryStore

    held = ObstoreStore(MemoryStore(), "gs://bucket/")
    monkeypatch.setattr(objects, "open_store", lambda *_: held)
    return held


@pytest.mark.parametrize("size", SIZES)
def test_obstore_goes_and_comes_back(size: int, in_memory: ObstoreStore, tmp_path: Path) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    sent = upload(tmp_path / "file", "gs://bucket/a/key")
    assert sent.digest == root_of(data)
    assert sent.confirmed == (READ_BACK if size else COMPARED)
    about = in_memory.about("a/key")
    assert about is not None
    assert (about.size, about.root) == (size, root_of(data))
    download("gs://bucket/a/", tmp_path / "back")
    assert (tmp_path / "back" / "key").read_bytes() == data
    (tmp_path / "file").write_bytes(data + b"other")
    with pytest.raises(ObjectExists):
        upload(tmp_path / "file", "gs://bucket/a/key")


def test_no_secret_is_shown(server: str, bucket: str) -> None:
    opened = open_store(address_of(f"s3://{bucket}/k"), StoreOptions(endpoint_url=server))
    held = vars(opened)
    assert KEYS["AWS_ACCESS_KEY_ID"] in repr(held)  # it is there to be looked at
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in repr(held)


def test_without_credentials_nothing_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match="No credentials for the object store"):
        download("s3://bucket/key", tmp_path / "x")
