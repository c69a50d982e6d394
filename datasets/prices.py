"""Egress price books: which one an epoch takes, what fills its gaps, what looks wrong in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datasets import flags
from datasets.errors import DataError
from datasets.published import Published, PublishedFolder, number
from datasets.regions import cloud_of, without_zone
from datasets.tables import Row

# Epochs before this day take the oldest book, later ones the newest.
BOOK_CHANGES = "2022-06-01"

# The book has Singapore at 0.19 and Jakarta at 0.14 to other clouds: the two look swapped.
_SWAPPED = ("gcp:asia-southeast1", "gcp:asia-southeast2")
# GCP's price between neighbours in North America; US to Canada stands at eight times that.
_NEIGHBOUR_MOST_USD_PER_GB = 0.02

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one pair costs, which book says so, and what is odd about it."""

    usd_per_gb: float
    book: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBooks:
    """Every book by date, (src, dst) to USD a GB; and which country a region is in."""

    books: Mapping[str, Mapping[Pair, float]]
    aws_transfer: Mapping[Pair, float]
    countries: Mapping[str, str]
    same_region_rows: int
    published: tuple[Published, ...]

    def book_of(self, epoch: str) -> str:
        """The date of the book that `epoch` takes."""
        dates = sorted(self.books)
        return dates[0] if epoch < BOOK_CHANGES else dates[-1]

    def price(self, epoch: str, src: str, dst: str) -> Price | None:
        """From the epoch's own book; else from another one, flagged; else None."""
        own = self.book_of(epoch)
        for date in (own, *(date for date in sorted(self.books) if date != own)):
            usd_per_gb = self.books[date].get((src, dst))
            if usd_per_gb is not None:
                other = () if date == own else (flags.OTHER_BOOK,)
                odd = self.suspicions(src, dst, usd_per_gb)
                return Price(usd_per_gb=usd_per_gb, book=date, flags=(*other, *odd))
        return None

    def suspicions(self, src: str, dst: str, usd_per_gb: float) -> tuple[str, ...]:
        """Flags of a price that looks wrong; it is used as published all the same."""
        if src in _SWAPPED and cloud_of(dst) != "gcp":
            return (flags.SWAP_SUSPECTED,)
        neighbours = {self.countries.get(src), self.countries.get(dst)} == {"US", "CA"}
        inside_gcp = cloud_of(src) == cloud_of(dst) == "gcp"
        if inside_gcp and neighbours and usd_per_gb > _NEIGHBOUR_MOST_USD_PER_GB:
            return (flags.PRICE_SUSPECTED,)
        return ()

    def cross_check(self, date: str) -> dict[str, int]:
        """Pairs that the AWS transfer table prices too: how many, and how many differ."""
        book = self.books[date]
        shared = [pair for pair in self.aws_transfer if pair in book and pair[0] != pair[1]]
        differ = sum(book[pair] != self.aws_transfer[pair] for pair in shared)
        return {"pairs": len(shared), "disagree": differ}

    def rows(self) -> list[Row]:
        """`tables/egress_prices.csv`, sorted."""
        return [
            {
                "book": date,
                "src": src,
                "dst": dst,
                "usd_per_gb": f"{usd_per_gb:.4f}",
                "flags": ";".join(self.suspicions(src, dst, usd_per_gb)),
            }
            for date, book in sorted(self.books.items())
            for (src, dst), usd_per_gb in sorted(book.items())
        ]

    def aws_rows(self) -> list[Row]:
        """`tables/aws_transfer_prices.csv`, sorted."""
        return [
            {"src": src, "dst": dst, "usd_per_gb": f"{usd_per_gb:.4f}"}
            for (src, dst), usd_per_gb in sorted(self.aws_transfer.items())
        ]


def read_price_books(folder: PublishedFolder, countries: Mapping[str, str]) -> PriceBooks:
    """Every published book. Prices inside a region are left out and counted.

    Raises: DataError if there is no book, or a pair stands twice in one at different prices.
    """
    books: dict[str, dict[Pair, float]] = {}
    published = []
    same_region = 0
    for date, name in folder.price_books().items():
        file = folder.raw(name)
        published.append(file)
        book: dict[Pair, float] = {}
        for i, row in enumerate(file.rows, start=1):
            src, dst = without_zone(row["src"]), without_zone(row["dest"])
            if src == dst:
                same_region += 1
                continue
            usd_per_gb = number(row["cost"], file=name, row=i, column="cost")
            if book.setdefault((src, dst), usd_per_gb) != usd_per_gb:
                raise DataError(f"{name}, row {i}: {src} to {dst} has two prices.")
        books[date] = book
    if not books:
        raise DataError("There is no price book among the published files.")
    aws = folder.raw(folder.named("aws_transfer_price_"))
    published.append(aws)
    return PriceBooks(
        books=books,
        aws_transfer=_aws_transfer(aws.name, aws.rows),
        countries=countries,
        same_region_rows=same_region,
        published=tuple(published),
    )


def _aws_transfer(name: str, rows: Sequence[Mapping[str, str]]) -> dict[Pair, float]:
    table = {}
    for i, row in enumerate(rows, start=1):
        dst = row["dst"] if row["dst"] == "internet" else f"aws:{row['dst']}"
        usd_per_gb = number(row["cost"], file=name, row=i, column="cost")
        table[f"aws:{row['src']}", dst] = usd_per_gb
    return table
