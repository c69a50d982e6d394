"""`tradewind serve` and `cp` as a user meets them: real processes, real bytes."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.gateway.transport import transport_names
from executor.site.client_file import read_credentials
from tests.served import Served, big_file, copied, copy, served, tradewind
from tests.unit.executor.test_local_endpoint import make_tree, seen

pytestmark = pytest.mark.xdist_group("served")
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("site")) as found:
        yield found


@pytest.mark.parametrize("transport", transport_names())
def test_a_file_goes_there_and_comes_back(site: Served, tmp_path: Path, transport: str) -> None:
    data = big_file(tmp_path / "file", 21 * MEBIBYTE + 13)
    os.utime(tmp_path / "file", ns=(5, 10**18 + 7))
    os.chmod(tmp_path / "file", 0o640)
    by = ("--credentials", site.credentials, "--connections", "3", "--transport", transport)
    there = copied(tmp_path / "file", site.url(f"there-{transport}"), *by)
    assert (site.root / f"there-{transport}").read_bytes() == data
    about = (site.root / f"there-{transport}").stat()
    assert (about.st_mtime_ns, stat.S_IMODE(about.st_mode)) == (10**18 + 7, 0o640)
    back = copied(site.url(f"there-{transport}"), tmp_path / "back", *by)
    assert (tmp_path / "back").read_bytes() == data
    assert there["digest"] == back["digest"]
    assert there["bytes"] == back["bytes"] == len(data)
    assert there["seconds"] > 0
    assert there["resumed_bytes"] == 0
    assert not site.hidden()
    assert not list(tmp_path.glob(".tradewind-*"))


def test_a_folder_of_odd_names_and_many_small_files(site: Served, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    (tmp_path / "tree" / "many").mkdir()
    for number in range(300):
        (tmp_path / "tree" / "many" / str(number)).write_bytes(os.urandom(number * 37))
    big_file(tmp_path / "tree" / "big", 9 * MEBIBYTE)
    there = copied(tmp_path / "tree", site.url("tree"), "--credentials", site.credentials)
    assert seen(site.root / "tree") == seen(tmp_path / "tree")
    back = copied(site.url("tree/"), tmp_path / "back", "--credentials", site.credentials)
    assert seen(tmp_path / "back") == seen(tmp_path / "tree")
    assert there["digest"] == back["digest"]


def test_later_rot_is_found_and_told_from_an_edit(site: Served, tmp_path: Path) -> None:
    try:
        os.setxattr(site.root, b"user.tradewind.probe", b"1")
    except OSError:
        pytest.skip("no attributes on this file system")
    (tmp_path / "tree").mkdir()
    for name, size in (("large", 9 * MEBIBYTE), ("small", 5000), ("other", 7), ("rotting", 6000)):
        big_file(tmp_path / "tree" / name, size)
    copied(tmp_path / "tree", site.url("kept"), "--credentials", site.credentials)
    kept = site.root / "kept"
    (kept / "mine").write_bytes(b"never copied")

    def verified() -> tuple[int, dict[str, int]]:
        done = subprocess.run(
            tradewind("verify", kept, "--json"), capture_output=True, text=True, check=False
        )
        return done.returncode, json.loads(done.stdout)["files"]

    assert verified() == (0, {"whole": 4, "rotten": 0, "edited": 0, "unknown": 1})
    (kept / "other").write_bytes(b"edited!")
    assert verified() == (0, {"whole": 3, "rotten": 0, "edited": 1, "unknown": 1})
    for name in ("large", "rotting"):
        about = (kept / name).stat()
        with open(kept / name, "r+b") as file:
            file.seek(5555)
            byte = file.read(1)
            file.seek(5555)
            file.write(bytes([byte[0] ^ 4]))
        os.utime(kept / name, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert verified() == (1, {"whole": 1, "rotten": 2, "edited": 1, "unknown": 1})


def test_empty_files_and_folders_arrive(site: Served, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name in ("empty", "folder"):
        copied(tmp_path / name, site.url(f"e-{name}"), "--credentials", site.credentials)
    assert (site.root / "e-empty").read_bytes() == b""
    assert list((site.root / "e-folder").iterdir()) == []


def test_a_file_goes_into_a_folder_and_nothing_is_overwritten(site: Served, tmp_path: Path) -> None:
    (site.root / "into").mkdir()
    (tmp_path / "name").write_bytes(b"first")
    give = ("--credentials", site.credentials)
    copied(tmp_path / "name", site.url("into"), *give)
    assert (site.root / "into" / "name").read_bytes() == b"first"
    (tmp_path / "name").write_bytes(b"second")
    status, _, err = copy(tmp_path / "name", site.url("into"), *give)
    assert status == 2
    assert "exists; nothing is overwritten" in err
    assert (site.root / "into" / "name").read_bytes() == b"first"
    status, _, err = copy(site.url("into/name"), tmp_path / "name", *give)
    assert status == 2
    assert (tmp_path / "name").read_bytes() == b"second"
    assert not site.hidden()


@pytest.mark.parametrize(
    "path", ["../out", "a/../../out", "/etc/tradewind", ".tradewind-x", "missing/f"]
)
def test_what_leads_out_is_refused_on_writing(site: Served, tmp_path: Path, path: str) -> None:
    (tmp_path / "f").write_bytes(b"x")
    status, _, err = copy(tmp_path / "f", site.url(path), "--credentials", site.credentials)
    assert status == 2, err
    assert err.count("\n") == 1
    assert not (site.root.parent / "out").exists()


def test_what_leads_out_is_refused_on_reading(site: Served, tmp_path: Path) -> None:
    (site.root.parent / "secret").write_bytes(b"secret")
    (site.root / "leak").symlink_to("../secret")
    (site.root / "folder_out").symlink_to("..")
    (site.root / "holds").mkdir()
    (site.root / "holds" / "leak").symlink_to("/etc/passwd")
    os.mkfifo(site.root / "pipe")
    for path in ("../secret", "leak", "folder_out/secret", "holds", "pipe", "/etc/passwd", "none"):
        status, _, err = copy(site.url(path), tmp_path / "got", "--credentials", site.credentials)
        assert status == 2, (path, err)
        assert not (tmp_path / "got").exists()


def test_a_link_in_an_upload_that_leads_out_is_refused(site: Served, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "l").symlink_to("/etc")
    (tmp_path / "tree" / "f").write_bytes(b"x")
    status, _, err = copy(tmp_path / "tree", site.url("linked"), "--credentials", site.credentials)
    assert status == 1
    assert "leads out" in err
    assert not (site.root / "linked").exists()


def test_without_the_right_credentials_nothing_is_told(site: Served, tmp_path: Path) -> None:
    with served(tmp_path) as other:
        (tmp_path / "f").write_bytes(b"x")
        status, _, err = copy(
            tmp_path / "f", site.url("stolen"), "--credentials", other.credentials
        )
        assert status == 1
        assert "not the site that the credentials are for" in err
        assert not (site.root / "stolen").exists()


def test_credentials_are_secret_and_the_site_keeps_its_identity(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100)
    with served(tmp_path) as site:
        own = site.credentials.with_name("credentials.site")
        for file in (site.credentials, own):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        kept = tmp_path / "kept"
        kept.write_bytes(site.credentials.read_bytes())
        kept.chmod(0o600)
        assert site.stop() == 0
        site.start()
        copied(tmp_path / "f", site.url("f"), "--credentials", kept)
        kept.chmod(0o644)
        status, _, err = copy(tmp_path / "f", site.url("g"), "--credentials", kept)
        assert status == 2
        assert "mode 0600" in err
        secret = json.loads(own.read_text())["site_key"]
        assert secret not in site.credentials.read_text()
        assert read_credentials(site.credentials).name == json.loads(own.read_text())["name"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--root", "missing"), "Cannot serve the folder"),
        (("--root", ".", "--listen", "0.0.0.0:0"), "loopback only"),
        (("--root", ".", "--listen", "nonsense"), "no HOST:PORT"),
        (("--root", ".", "--listen", "127.0.0.1:99999"), "no HOST:PORT"),
        (("--root", ".", "--listen", "198.51.100.7:0", "--credentials", "c"), "Cannot listen"),
    ],
)
def test_a_site_that_cannot_be_served_says_why(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = subprocess.run(
        tradewind("serve", *words),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TRADEWIND_STATE": str(tmp_path / "state")},
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a", "b"), "One of SRC and DST"),
        (("tw://h:1/a", "tw://h:1/b"), "One of SRC and DST"),
        (("f", "tw://nonsense"), "no tw://HOST:PORT/PATH"),
        (("f", "tw://127.0.0.1:1/x"), "No site answers"),
        (("missing", "tw://127.0.0.1:1/x"), "Cannot read the source"),
    ],
)
def test_a_copy_that_makes_no_sense_says_why(
    site: Served, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "f").write_bytes(b"x")
    named = [str(tmp_path / word) if word in ("f", "missing") else word for word in words]
    status, _, err = copy(*named, "--credentials", site.credentials)
    assert status in (1, 2)
    assert said in err
    assert "Traceback" not in err


def test_a_limit_is_kept_and_the_interface_is_used(site: Served, tmp_path: Path) -> None:
    """Not a test of speed: a limited copy may not be faster than its limit."""
    big_file(tmp_path / "f", 24 * MEBIBYTE)
    told = copied(
        tmp_path / "f",
        site.url("limited"),
        "--credentials",
        site.credentials,
        "--limit-gbps",
        "0.2",
        *(("--interface", "lo") if os.geteuid() == 0 else ()),
    )
    assert told["bytes"] * 8 / told["seconds"] < 0.2e9 * 1.05
    status, _, err = copy(
        tmp_path / "f", site.url("n"), "--credentials", site.credentials, "--interface", "none0"
    )
    assert status == 2
    assert "no network interface 'none0'" in err


def test_a_site_serves_on_while_a_port_is_taken(site: Served, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            tradewind("serve", "--root", tmp_path, "--listen", f"127.0.0.1:{port}"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "TRADEWIND_STATE": str(tmp_path / "state")},
        )
    assert done.returncode == 2
    assert "Cannot listen" in done.stderr


def test_sha256_agrees_from_outside(site: Served, tmp_path: Path) -> None:
    big_file(tmp_path / "f", 3 * MEBIBYTE)
    copied(tmp_path / "f", site.url("summed"), "--credentials", site.credentials)
    said = subprocess.run(
        ("sha256sum", site.root / "summed"), capture_output=True, text=True, check=True
    ).stdout.split()[0]
    assert said == hashlib.sha256((tmp_path / "f").read_bytes()).hexdigest()


def test_memory_stays_within_the_formula_of_the_docs(tmp_path: Path) -> None:
    """Peak memory of a fresh site, after 160 MiB by 8 connections, beyond that of an idle one."""
    big_file(tmp_path / "f", 160 * MEBIBYTE)
    with served(tmp_path) as site:
        assert site.process is not None
        status = Path(f"/proc/{site.process.pid}/status")

        def peak_bytes() -> int:
            line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
            return int(line.split()[1]) * 1024

        (tmp_path / "small").write_bytes(b"x")
        give = ("--credentials", site.credentials)
        copied(tmp_path / "small", site.url("warm"), *give)
        before = peak_bytes()
        copied(tmp_path / "f", site.url("f"), *give, "--connections", "8")
        copied(site.url("f"), tmp_path / "back", *give, "--connections", "8")
        frames = 2 * 8 * (MEBIBYTE + 336)
        other = MEBIBYTE + 2 * 20 * 160
        # Stacks of threads and the allocator's own slack: as much again, and 12 MiB.
        assert peak_bytes() - before < 2 * (frames + other) + 12 * MEBIBYTE
