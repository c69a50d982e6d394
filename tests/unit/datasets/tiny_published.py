"""A folder of published files small enough to check by hand, every defect planted once."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from pathlib import Path

A, B, C = "aws:us-east-1", "azure:eastus", "aws:eu-west-1"
G, H = "gcp:us-east4", "gcp:europe-west1"
_THROUGHPUT = (
    "src_region,src_tier,src_instance_class,dst_region,dst_tier,dst_instance_class,"
    "iperf3_connections,iperf3_runtime,tag,stdout_path,stderr_path,throughput_sent,"
    "throughput_recieved,cpu_utilization,success"
).split(",")
_PING = "src_region,src_tier,src_instance_class,dst_region,dst_tier,dst_instance_class".split(",")
_CLASS = {"aws": "m5.8xlarge", "azure": "Standard_D32_v5", "gcp": "n2-standard-32"}

Sample = tuple[str, str, str, str, float, float]  # src, dst, tiers, sent and received in Gbit/s


def sample(
    src: str,
    dst: str,
    received_gbps: float,
    *,
    sent_gbps: float | None = None,
    tiers: tuple[str, str] = ("PREMIUM", "PREMIUM"),
) -> Sample:
    sent = sent_gbps if sent_gbps is not None else received_gbps * 1.1
    return src, dst, tiers[0], tiers[1], sent, received_gbps


JANUARY = (
    sample(A, B, 4.0),
    sample(B, A, 9.0),
    sample(A, f"{G}-a", 2.0),  # twice: median 3, spread 2
    sample(A, f"{G}-a", 4.0),
    sample(f"{G}-a", A, 6.0),
    sample(f"{G}-a", f"{G}-a", 20.0),  # a self-loop
    sample(f"{G}-a", f"{H}-b", 6.9),
    sample(f"{G}-a", f"{H}-b", 5.0, tiers=("STANDARD", "STANDARD")),
    sample(f"{G}-a", A, 3.5, tiers=("STANDARD", "PREMIUM")),
    sample(f"{H}-b", f"{G}-a", 7.1),
    sample(C, B, 4.5),  # neither book has a price
)
NOVEMBER = (
    sample(A, B, 4.4),
    sample(B, A, 17.0),  # above Azure's 16, and above AWS's 10 in
    sample(C, B, 4.0),
    sample(A, f"{G}-a", 0.1),  # implausible
    sample(f"{G}-a", A, 6.5),
    sample(A, f"{H}-b", 4.2),
    sample(A, "gcp:us-west1-a", 4.4),
    sample(C, f"{G}-a", 4.0),
    sample("aws:us-west-2", f"{G}-a", 4.1),
    sample(f"{G}-a", f"{H}-b", 28.0),
    sample(f"{H}-b", f"{G}-a", 30.0, tiers=("", "")),  # a blank tier
)
_PRICES_MAY = (
    (A, B, 0.09),
    (B, A, 0.0875),
    (A, G, 0.09),
    (G, A, 0.12),
    (G, H, 0.08),
    (A, A, 0.0),  # inside one region
)
_PRICES_FEBRUARY = (
    (A, B, 0.08),
    (B, A, 0.08),
    (C, A, 0.02),
    (A, G, 0.08),
    (A, H, 0.08),
    (A, "gcp:us-west1", 0.08),
    (C, G, 0.08),
    ("aws:us-west-2", G, 0.08),
    (G, A, 0.11),
    (G, H, 0.07),
    (H, G, 0.06),
)


def write_published(folder: Path, *, january: Sequence[Sample] = JANUARY) -> Path:
    """Write the folder and return it."""
    (folder / "raw").mkdir(parents=True)
    files = {
        "throughput_2022-01-29": _throughput(january),
        "throughput_2022-11-28": _throughput(NOVEMBER),
        "price_2022-05-10": _table(
            ("src", "dest", "src_tier", "dest_tier", "cost"),
            [(s, d, "PREMIUM", "PREMIUM", usd) for s, d, usd in _PRICES_MAY],
        ),
        "price_2023-02-06": _table(("src", "dest", "cost"), _PRICES_FEBRUARY),
        "aws_transfer_price_2022-12-04": _table(
            ("src", "dst", "cost"),
            [("eu-west-1", "us-east-1", 0.03), ("us-east-1", "internet", 0.09)],
        ),
        "latency_2022-04-16_v1": _pings(
            [(A, B, 5.0), (f"{G}-a", A, 3.0), (A, C, 70.0), (f"{G}-a", f"{H}-b", "")]
        ),
        "latency_2022-04-16_v2": _pings(
            [(A, B, 99.0), (f"{G}-a", f"{H}-b", 1.0), (f"{H}-b", f"{G}-a", 90.0), (A, A, 0.1)]
        ),
        "vcpu_info_2024-01-10": _table(
            ("instance_name", "cloud_provider", "vcpu_cost"), [("m5.8xlarge", "aws", 32)]
        ),
    }
    lines = ["| file under raw/ | taken from commit | path there | rows |", "| --- |"]
    for name, text in files.items():
        (folder / "raw" / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
        lines.append(f"| {name} | abcdef12 | profiles/{name}.csv | {text.count(chr(10)) - 1:,} |")
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")
    _write_tables(folder)
    return folder


def _throughput(samples: Sequence[Sample]) -> str:
    rows = []
    for src, dst, src_tier, dst_tier, sent_gbps, received_gbps in samples:
        kinds = [_CLASS[end.split(":")[0]] for end in (src, dst)]
        test = (64, 5, "t")
        path = "/home/somebody/logs/x.stdout"
        bits = [sent_gbps * 1e9, received_gbps * 1e9]
        rows.append(
            (src, src_tier, kinds[0], dst, dst_tier, kinds[1], *test, path, path, *bits, 9, "True")
        )
    return _table(_THROUGHPUT, rows)


def _pings(rows: Sequence[tuple[str, str, float | str]]) -> str:
    head = (*_PING, "min_rtt", "avg_rtt", "max_rtt", "mdev_rtt")
    return _table(
        head, [(s, "PREMIUM", "x", d, "PREMIUM", "x", ms, ms, ms, 0) for s, d, ms in rows]
    )


def _write_tables(folder: Path) -> None:
    azure = "Used here: 32 for ingress, none is documented (unverified)"
    places = [
        (A, "Ashburn", "US", 39.0, -77.5),
        ("aws:us-west-2", "Boardman", "US", 45.8, -119.7),
        (B, "Boydton", "US", 36.7, -78.4),
        (C, "Dublin", "IE", 53.3, -6.3),
        (G, "Ashburn", "US", 39.0, -77.5),
        (H, "St. Ghislain", "BE", 50.5, 3.8),
        ("gcp:us-west1", "The Dalles", "US", 45.6, -121.2),
    ]
    head = ("region", "city", "country", "latitude", "longitude", "precision", "source")
    tables = {
        "coordinates": _table(head, [(*row, "city", "named") for row in places]),
        "carbon": _table(
            ("region", "gco2e_per_kwh", "carbon_free_share", "year", "source", "licence"),
            [
                (A, 400.0, "", "", "ccf@1 a.csv", "Apache-2.0"),
                (B, 300.0, "", "", "ccf@1 b.csv", "Apache-2.0"),
                (C, 280.0, "", "", "ccf@1 a.csv", "Apache-2.0"),
                (G, 999.0, "", "", "proxy: same country; ccf@1 a.csv", "Apache-2.0"),
            ],
        ),
        "vm_prices": _table(
            ("region", "vm_type", "usd_per_hour", "spot_usd_per_hour", "source", "as_of"),
            [
                (A, "m5.8xlarge", 1.536, 0.5, "catalog@1 a.csv", "v5"),
                (C, "m5.8xlarge", 1.712, 0.5, "catalog@1 a.csv", "v5"),
                (B, "Standard_D32_v5", 1.5, 0.5, "catalog@1 b.csv", "v5"),
                (G, "n2-standard-32", 1.75, 0.5, "catalog@1 g.csv", "v5"),
            ],
        ),
        "vm_caps": _table(
            (
                "cloud,vm_type,vcpus,egress_public_gbps,egress_gbps,ingress_gbps,"
                "skyplane_egress_gbps,skyplane_ingress_gbps,default_vcpu_quota,source,verified"
            ).split(","),
            [
                ("aws", "m5.8xlarge", 32, 5, 5, 10, 5, 10, 5, "read", "yes"),
                ("azure", "Standard_D32_v5", 32, 16, 16, 32, 16, 16, "", azure, "yes"),
                ("gcp", "n2-standard-32", 32, 7, 32, 32, 7, 16, "", "not opened", "no"),
            ],
        ),
    }
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue()
