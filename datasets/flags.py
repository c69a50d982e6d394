"""The words that mark an odd row of `links.csv`, and what each means. Flagged is not dropped."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

IMPLAUSIBLE = "implausible"
OVER_EGRESS = "over_egress_cap"
OVER_INGRESS = "over_ingress_cap"
BLANK_TIER = "blank_tier"
NO_PRICE = "no_price"
OTHER_BOOK = "other_book"
PREMIUM_PRICE = "premium_price"
SWAP_SUSPECTED = "swap_suspected"
PRICE_SUSPECTED = "price_suspected"
PREMIUM_RTT = "premium_rtt"

MEANING: Mapping[str, str] = MappingProxyType(
    {
        IMPLAUSIBLE: "at most 0.5 Gbit/s, and less than a quarter of the reverse direction, of the "
        "median out of its source to that cloud, and of the median into its destination",
        OVER_EGRESS: "received more than the sender's documented cap",
        OVER_INGRESS: "received more than the receiver's documented cap",
        BLANK_TIER: "the published tier is blank; it counts as premium",
        NO_PRICE: "neither price book has the pair: the link is absent from every Matrix",
        OTHER_BOOK: "the epoch's own price book lacks the pair; the other one has it",
        PREMIUM_PRICE: "an end is on the standard tier, the price book knows premium only",
        SWAP_SUSPECTED: "leaves GCP Singapore or Jakarta for another cloud; the two look swapped",
        PRICE_SUSPECTED: "GCP between the US and Canada above $0.02, where neighbours cost $0.01",
        PREMIUM_RTT: "an end is on the standard tier, the round trip is of the premium one",
    }
)
