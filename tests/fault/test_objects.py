"""Copies to and from an object store that misbehaves, or whose client is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datasets.errors import InputError, IntegrityError, TransferFailed
from executor.endpoints import s3
from executor.endpoints.local import chunk_digest, root_digest
from executor.endpoints.object_download import partial_name
from executor.endpoints.object_upload import SourceChanged
from executor.endpoints.store import CHUNK_BYTES, ObjectChanged, StoreOptions
from executor.operations.copied import COMPARED, READ_BACK
from executor.operations.objects import download, upload
from tests.s3_server import KEYS, Asked, Proxy, client, moto_server, proxy_before

pytestmark = pytest.mark.xdist_group("s3")

CHUNKS = 5
SIZE = CHUNKS * CHUNK_BYTES - 1000
CONNECTIONS = 2


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture
def oracle(server: str) -> Iterator[Any]:
    with client(server) as made:
        yield made


@pytest.fixture
def bucket(oracle: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, text in KEYS.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(s3, "_FIRST_PAUSE_S", 0.01)
    name = f"tests-{uuid.uuid4().hex[:12]}"
    oracle.create_bucket(Bucket=name)
    return name


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    with proxy_before(server) as made:
        yield made


@pytest.fixture
def data() -> bytes:
    return os.urandom(SIZE)


def file_digests_of(data: bytes) -> list[bytes]:
    return [chunk_digest(data[at : at + CHUNK_BYTES]) for at in range(0, SIZE, CHUNK_BYTES)]


def by(proxy: Proxy) -> StoreOptions:
    return StoreOptions(endpoint_url=proxy.endpoint, connections=CONNECTIONS, timeout_s=5.0)


def first(
    count: int, spoil: Callable[[Asked], None], method: str = "GET"
) -> Callable[[Asked], None]:
    """A rule that spoils the first `count` requests with a body of their own."""
    left = [count]

    def rule(one: Asked) -> None:
        carries = one.body_bytes if method == "PUT" else "list-type" not in one.target
        if one.method == method and carries and left[0]:
            left[0] -= 1
            spoil(one)

    return rule


@pytest.mark.parametrize("ours", [True, False])
def test_truncated_answers_are_asked_for_again(
    ours: bool, proxy: Proxy, bucket: str, oracle: Any, data: bytes, tmp_path: Path
) -> None:
    """What we wrote has a root digest, and goes by the kernel alone."""
    if ours:
        (tmp_path / "source").write_bytes(data)
        upload(tmp_path / "source", f"s3://{bucket}/key", by(proxy))
    else:
        oracle.put_object(Bucket=bucket, Key="key", Body=data)
    proxy.rule = first(3, lambda one: setattr(one, "cut_after", 1_000_000))
    download(f"s3://{bucket}/key", tmp_path / "file", by(proxy))
    assert (tmp_path / "file").read_bytes() == data
    assert len(proxy.reads()) == CHUNKS + 3


@pytest.mark.parametrize("status", [503, 500, 429])
def test_a_busy_store_is_asked_again_both_ways(
    status: int, proxy: Proxy, bucket: str, oracle: Any, data: bytes, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(data)
    proxy.rule = first(3, lambda one: setattr(one, "status", status), "PUT")
    upload(tmp_path / "file", f"s3://{bucket}/key", by(proxy))
    proxy.rule = first(3, lambda one: setattr(one, "status", status))
    download(f"s3://{bucket}/key", tmp_path / "back", by(proxy))
    assert (tmp_path / "back").read_bytes() == data


def test_a_store_that_stays_busy_is_given_up_and_the_next_run_goes_on(
    proxy: Proxy, bucket: str, oracle: Any, data: bytes, tmp_path: Path
) -> None:
    oracle.put_object(Bucket=bucket, Key="key", Body=data)
    reads = [0]

    def rule(one: Asked) -> None:
        reads[0] += one.method == "GET"
        one.status = 503 if one.method == "GET" and reads[0] > 3 else 0

    proxy.rule = rule
    with pytest.raises(TransferFailed, match="failed 6 times"):
        download(f"s3://{bucket}/key", tmp_path / "file", by(proxy))
    assert not (tmp_path / "file").exists()
    proxy.rule = lambda _: None
    proxy.asked.clear()
    download(f"s3://{bucket}/key", tmp_path / "file", by(proxy))
    assert (tmp_path / "file").read_bytes() == data
    assert len(proxy.reads()) == CHUNKS - 3
    assert os.listdir(tmp_path) == ["file"]


def test_a_source_that_changed_between_two_runs_is_never_mixed(
    proxy: Proxy, bucket: str, oracle: Any, data: bytes, tmp_path: Path
) -> None:
    oracle.put_object(Bucket=bucket, Key="key", Body=data)
    proxy.rule = lambda one: setattr(one, "status", 503 * (len(proxy.reads()) >= 3))
    with pytest.raises(TransferFailed):
        download(f"s3://{bucket}/key", tmp_path / "file", by(proxy))
    other = os.urandom(SIZE)
    oracle.put_object(Bucket=bucket, Key="key", Body=other)
    proxy.rule = lambda _: None
    proxy.asked.clear()
    download(f"s3://{bucket}/key", tmp_path / "file", by(proxy))
    assert (tmp_path / "file").read_bytes() == other
    assert len(proxy.reads()) == CHUNKS


@pytest.mark.parametrize("minds_if_match", [True, False])
def test_a_source_that_changes_while_it_is_read_is_noticed(
    minds_if_match: bool, proxy: Proxy, bucket: str, oracle: Any, data: bytes, tmp_path: Path
) -> None:
    oracle.put_object(Bucket=bucket, Key="key", Body=data)

    def rule(one: Asked) -> None:
        if one.method == "GET" and len(proxy.reads()) == 2:
            oracle.put_object(Bucket=bucket, Key="key", Body=os.urandom(SIZE))
        if not minds_if_match:
            one.headers.pop("if-match", None)

    proxy.rule = rule
    with pytest.raises(ObjectChanged):
        download(f"s3://{bucket}/key", tmp_path / "file", by(proxy))
    assert os.listdir(tmp_path) == []


def test_a_bit_that_turned_on_the_way_down_is_found_by_the_root_digest(
    proxy: Proxy, bucket: str, data: bytes, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(data)
    upload(tmp_path / "file", f"s3://{bucket}/key", by(proxy))
    proxy.rule = first(1, lambda one: setattr(one, "flip", True))
    with pytest.raises(IntegrityError, match="not what its root digest says"):
        download(f"s3://{bucket}/key", tmp_path / "back", by(proxy))
    assert sorted(os.listdir(tmp_path)) == ["file", "state"]
    assert list((tmp_path / "state" / "uploads").iterdir()) == []


def test_a_store_without_checksums_is_held_to_its_md5_and_else_read_back(
    proxy: Proxy, bucket: str, data: bytes, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(data)
    proxy.rule = lambda one: setattr(one, "hide", ("x-amz-checksum-sha256",))
    assert upload(tmp_path / "file", f"s3://{bucket}/a", by(proxy)).confirmed == COMPARED
    assert proxy.reads() == []
    proxy.rule = lambda one: setattr(
        one, "hide", ("x-amz-checksum-sha256", "etag") if one.method == "PUT" else ()
    )
    (tmp_path / "small").write_bytes(b"small")
    assert upload(tmp_path / "small", f"s3://{bucket}/b", by(proxy)).confirmed == READ_BACK

    def spoiled(one: Asked) -> None:
        one.hide = ("x-amz-checksum-sha256", "etag") if one.method == "PUT" else ()
        one.flip = one.method == "GET"

    proxy.rule = spoiled
    (tmp_path / "small").write_bytes(b"other")
    with pytest.raises(IntegrityError, match="not what was sent"):
        upload(tmp_path / "small", f"s3://{bucket}/c", by(proxy))


@pytest.mark.parametrize("spoiled", [1, 4])
@pytest.mark.parametrize("hidden", [(), ("x-amz-checksum-sha256",)], ids=["sums", "md5 only"])
def test_a_bit_that_turns_on_the_way_up_never_stays_unseen(
    spoiled: int,
    hidden: tuple[str, ...],
    proxy: Proxy,
    bucket: str,
    oracle: Any,
    data: bytes,
    tmp_path: Path,
) -> None:
    """Refused by the store and sent again, or found by its sum or by reading back: all are well."""
    (tmp_path / "file").write_bytes(data)
    turned = [0]

    def rule(one: Asked) -> None:
        one.hide = hidden
        if one.method == "PUT" and len(proxy.parts()) >= spoiled and not turned[0]:
            turned[0] = 1
            one.flip_body = True

    proxy.rule = rule
    try:
        upload(tmp_path / "file", f"s3://{bucket}/key", by(proxy))
    except (IntegrityError, TransferFailed):
        pass
    else:
        assert oracle.get_object(Bucket=bucket, Key="key")["Body"].read() == data
    assert turned == [1]


def test_an_answer_that_was_lost_is_no_failure(
    proxy: Proxy, bucket: str, oracle: Any, data: bytes, tmp_path: Path
) -> None:
    """The store wrote it; the next attempt finds our own object there."""
    (tmp_path / "small").write_bytes(b"small")
    (tmp_path / "large").write_bytes(data)
    proxy.rule = first(1, lambda one: setattr(one, "drop_answer", True), "PUT")
    upload(tmp_path / "small", f"s3://{bucket}/small", by(proxy))
    lost = [0]

    def rule(one: Asked) -> None:
        if one.method == "POST" and "uploadId" in one.target and not lost[0]:
            lost[0] = 1
            one.drop_answer = True

    proxy.rule = rule
    upload(tmp_path / "large", f"s3://{bucket}/large", by(proxy))
    assert lost == [1]
    assert oracle.get_object(Bucket=bucket, Key="large")["Body"].read() == data
    assert oracle.get_object(Bucket=bucket, Key="small")["Body"].read() == b"small"


def test_a_file_that_changes_while_it_is_sent_is_noticed_and_nothing_stays(
    proxy: Proxy, bucket: str, oracle: Any, data: bytes, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(data)

    def rule(one: Asked) -> None:
        if one.method == "PUT" and len(proxy.parts()) == 1:
            with open(tmp_path / "file", "r+b") as file:
                file.seek(SIZE - 5)
                file.write(b"other")

    proxy.rule = rule
    with pytest.raises(SourceChanged):
        upload(tmp_path / "file", f"s3://{bucket}/key", by(proxy))
    assert oracle.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert oracle.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


# --- Killed, and run again.

RUN = """
import sys
from pathlib import Path
from executor.endpoints.store import StoreOptions
from executor.operations.objects import download, upload
way, source, destination, endpoint = sys.argv[1:]
options = StoreOptions(endpoint_url=endpoint, connections=2)
if way == "upload":
    upload(Path(source), destination, options)
else:
    download(source, Path(destination), options)
"""


def killed(words: list[str], ready: Callable[[], bool]) -> None:
    """Run a copy in a process of its own and kill it as soon as `ready`."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *words], env={**os.environ, **KEYS}
    ) as process:
        deadline_s = time.monotonic() + 30
        while not ready() and time.monotonic() < deadline_s:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)


@pytest.mark.parametrize("root", [True, False])
def test_a_download_that_was_killed_goes_on_where_it_was(
    root: bool, proxy: Proxy, bucket: str, oracle: Any, data: bytes, tmp_path: Path
) -> None:
    kept = {"tradewind-root": root_digest(file_digests_of(data), SIZE).hex()} if root else {}
    oracle.put_object(Bucket=bucket, Key="key", Body=data, Metadata=kept)
    proxy.rule = lambda one: setattr(one, "delay_s", 0.2 * (len(proxy.reads()) >= 3))
    notes = tmp_path / partial_name("file").replace(".part", ".notes")

    def ready() -> bool:
        return notes.exists() and notes.read_bytes().count(b"\n") >= 4

    killed(["download", f"s3://{bucket}/key", str(tmp_path / "file"), proxy.endpoint], ready)
    assert not (tmp_path / "file").exists()
    noted = notes.read_bytes().count(b"\n") - 1
    proxy.rule = lambda _: None
    time.sleep(0.5)  # what the killed one asked for comes to its end
    proxy.asked.clear()
    download(f"s3://{bucket}/key", tmp_path / "file", by(proxy))
    assert (tmp_path / "file").read_bytes() == data
    assert len(proxy.reads()) == CHUNKS - noted
    assert os.listdir(tmp_path) == ["file"]


def test_an_upload_that_was_killed_goes_on_where_it_was(
    proxy: Proxy, bucket: str, oracle: Any, data: bytes, tmp_path: Path, state: Path
) -> None:
    (tmp_path / "file").write_bytes(data)
    proxy.rule = lambda one: setattr(one, "delay_s", 0.2 * (len(proxy.parts()) >= 3))

    def noted() -> int:
        found = list((state / "uploads").glob("*.notes"))
        return found[0].read_bytes().count(b"\n") - 1 if found else 0

    url = f"s3://{bucket}/key"
    killed(["upload", str(tmp_path / "file"), url, proxy.endpoint], lambda: noted() >= 3)
    there = noted()
    proxy.rule = lambda _: None
    time.sleep(0.5)
    proxy.asked.clear()
    upload(tmp_path / "file", url, by(proxy))
    assert len(proxy.parts()) == CHUNKS - there
    assert oracle.get_object(Bucket=bucket, Key="key")["Body"].read() == data
    assert oracle.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    assert list((state / "uploads").iterdir()) == []


def test_a_killed_upload_of_a_file_that_changed_since_begins_anew(
    proxy: Proxy, bucket: str, oracle: Any, data: bytes, tmp_path: Path, state: Path
) -> None:
    (tmp_path / "file").write_bytes(data)
    proxy.rule = lambda one: setattr(one, "delay_s", 0.2)
    url = f"s3://{bucket}/key"
    killed(["upload", str(tmp_path / "file"), url, proxy.endpoint], lambda: bool(proxy.parts()))
    other = os.urandom(SIZE)
    (tmp_path / "file").write_bytes(other)
    proxy.rule = lambda _: None
    time.sleep(0.5)
    upload(tmp_path / "file", url, by(proxy))
    assert oracle.get_object(Bucket=bucket, Key="key")["Body"].read() == other
    assert oracle.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_a_folder_whose_download_was_killed_is_finished_by_the_next(
    proxy: Proxy, bucket: str, oracle: Any, tmp_path: Path
) -> None:
    """Objects of others carry no root digest; what was placed is known all the same."""
    bodies = {f"{at:02}": os.urandom(1000 + at) for at in range(20)}
    for name, body in bodies.items():
        oracle.put_object(Bucket=bucket, Key=f"p/{name}", Body=body)
    proxy.rule = lambda one: setattr(one, "delay_s", 0.05)
    back = tmp_path / "back"

    def ready() -> bool:
        return back.exists() and len(os.listdir(back)) > 6

    killed(["download", f"s3://{bucket}/p/", str(back), proxy.endpoint], ready)
    proxy.rule = lambda _: None
    download(f"s3://{bucket}/p/", back, by(proxy))
    assert {path.name: path.read_bytes() for path in back.iterdir()} == bodies


def test_chunks_that_the_disk_lost_are_fetched_again(
    proxy: Proxy, bucket: str, oracle: Any, data: bytes, tmp_path: Path
) -> None:
    """As after a power cut: the notes are there, and pages of the partial file are not."""
    oracle.put_object(Bucket=bucket, Key="key", Body=data)
    proxy.rule = lambda one: setattr(one, "status", 503 * (len(proxy.reads()) >= 4))
    with pytest.raises(TransferFailed):
        download(f"s3://{bucket}/key", tmp_path / "file", by(proxy))
    with open(tmp_path / partial_name("file"), "r+b") as file:
        file.write(bytes(CHUNK_BYTES))
    proxy.rule = lambda _: None
    download(f"s3://{bucket}/key", tmp_path / "file", by(proxy))
    assert (tmp_path / "file").read_bytes() == data


def test_the_same_download_twice_at_once_is_refused(
    proxy: Proxy, bucket: str, oracle: Any, data: bytes, tmp_path: Path
) -> None:
    oracle.put_object(Bucket=bucket, Key="key", Body=data)
    again: list[BaseException] = []

    def rule(one: Asked) -> None:
        if one.method == "GET" and not again:
            again.append(InputError("none yet"))
            try:
                download(f"s3://{bucket}/key", tmp_path / "file", by(proxy))
            except InputError as error:
                again[0] = error

    proxy.rule = rule
    download(f"s3://{bucket}/key", tmp_path / "file", by(proxy))
    assert "by another process" in str(again[0])
    assert (tmp_path / "file").read_bytes() == data
