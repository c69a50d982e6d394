"""Carbon intensity of each region's grid, its gaps filled and marked.

Google's figures and the others' follow two methods: compare clouds with care.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import mean

from datasets.published import number
from datasets.tables import Row, read_rows

# ISO 3166-1 alpha-2 of every country that has a region.
_CONTINENT = {
    **dict.fromkeys(("AE", "BH", "HK", "ID", "IL", "IN", "JP", "KR", "QA", "SG", "TW"), "Asia"),
    **dict.fromkeys(
        ("BE", "CH", "DE", "ES", "FI", "FR", "GB", "IE", "IT", "NL", "NO", "PL", "SE"), "Europe"
    ),
    **dict.fromkeys(("CA", "US"), "North America"),
    **dict.fromkeys(("BR", "CL"), "South America"),
    "AU": "Oceania",
    "ZA": "Africa",
}


def gco2e_per_kwh(region: str) -> float | None:
    """Grams of CO2 equivalent a kWh of `region`'s grid, or None for an unknown region."""
    return _figures().get(region)


@lru_cache(maxsize=1)
def _figures() -> Mapping[str, float]:
    return {row["region"]: float(row["gco2e_per_kwh"]) for row in read_rows("carbon")}


def filled(published: Sequence[Mapping[str, str]], countries: Mapping[str, str]) -> list[Row]:
    """`tables/carbon.csv`: a row for every region of `countries`, sorted.

    A region without a figure takes the mean of its country, else of its continent, marked; proxies
    (a figure borrowed from another region of the same country) do not enter a mean.
    """
    given = {row["region"]: row for row in published}
    own = {
        region: number(row["gco2e_per_kwh"], file="carbon", row=i, column="gco2e_per_kwh")
        for i, (region, row) in enumerate(given.items(), start=1)
        if not row["source"].startswith("proxy:")
    }
    rows = []
    for region, country in sorted(countries.items()):
        if region in given:
            row = given[region]
            mark = "" if region in own else "proxy"
            rows.append(
                _row(
                    region,
                    number(row["gco2e_per_kwh"], file="carbon", row=0, column=region),
                    row["carbon_free_share"],
                    row["year"],
                    mark,
                    row["source"],
                )
            )
            continue
        same = [
            own[other] for other, where in countries.items() if where == country and other in own
        ]
        near = [
            own[other]
            for other, where in countries.items()
            if _CONTINENT.get(where) == _CONTINENT.get(country) and other in own
        ]
        if same:
            rows.append(_row(region, mean(same), "", "", "country_mean", f"mean of {country}"))
        elif near and country in _CONTINENT:
            continent = _CONTINENT[country]
            rows.append(_row(region, mean(near), "", "", "continent_mean", f"mean of {continent}"))
    return rows


def _row(region: str, figure: float, share: str, year: str, mark: str, source: str) -> Row:
    return {
        "region": region,
        "gco2e_per_kwh": f"{figure:.3f}",
        "carbon_free_share": share,
        "year": year,
        "mark": mark,
        "source": source,
    }
