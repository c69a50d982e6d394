"""The folded part of a Run's page: paths, lanes, VMs, events, manifest, provenance."""

from __future__ import annotations

import json

from datasets.run import Run
from experiments.markup import Markup, folded, joined, table, tag
from experiments.ways import way_names
from planner.plan import Plan

# A page stays under a megabyte whatever the plan: rows and characters beyond are counted.
_MOST_ROWS = 200
_MOST_TEXT = 20_000


def details(plan: Plan, simulated: Run | None, executed: Run | None) -> tuple[Markup, ...]:
    """One fold a subject."""
    runs = [(name, run) for name, run in (("simulated", simulated), ("executed", executed)) if run]
    return (
        tag("h2", "Details"),
        folded("Trees", _trees(plan)) if plan.trees else folded("Paths", _paths(plan)),
        folded("Lanes: which VM, how many connections", _lanes(plan)),
        folded("VMs and links", _vms(plan), _links(plan)),
        folded("Events", _events(runs)),
        *(folded(f"Manifest of the {name} run", _json(dict(run.manifest))) for name, run in runs),
        folded("Plan and provenance", _provenance(plan)),
    )


def _paths(plan: Plan) -> Markup:
    return table(
        ["path", "Gbit/s", "share"],
        [
            [" → ".join(path.hops), f"{path.gbps:.4g}", f"{path.share:.1%}"]
            for path in plan.paths[:_MOST_ROWS]
        ],
    )


def _trees(plan: Plan) -> Markup:
    return table(
        ["tree", "Gbit/s", "share"],
        [
            [words, f"{tree.gbps:.4g}", f"{tree.share:.1%}"]
            for words, tree in zip(way_names(plan), plan.trees[:_MOST_ROWS], strict=False)
        ],
    )


def _lanes(plan: Plan) -> Markup:
    if plan.trees:
        return _tree_lanes(plan)
    return _cut(
        len(plan.lanes),
        table(
            ["gateways", "connections a hop", "Gbit/s", "share"],
            [
                [
                    " → ".join(lane.gateways),
                    ", ".join(str(count) for count in lane.connections),
                    f"{lane.gbps:.4g}",
                    f"{lane.share:.1%}",
                ]
                for lane in plan.lanes[:_MOST_ROWS]
            ],
        ),
    )


def _tree_lanes(plan: Plan) -> Markup:
    return _cut(
        len(plan.tree_lanes),
        table(
            ["edges by gateway, connections of each", "Gbit/s", "share"],
            [
                [
                    "; ".join(
                        f"{src} → {dst}, {count}"
                        for (src, dst), count in zip(lane.edges, lane.connections, strict=True)
                    ),
                    f"{lane.gbps:.4g}",
                    f"{lane.share:.1%}",
                ]
                for lane in plan.tree_lanes[:_MOST_ROWS]
            ],
        ),
    )


def _vms(plan: Plan) -> Markup:
    return table(
        ["region", "VMs", "type", "USD/h", "egress Gbit/s", "to other clouds", "ingress Gbit/s"],
        [
            [
                region,
                str(count),
                plan.vm(region).type,
                f"{plan.vm(region).usd_per_hour:.4g}",
                f"{plan.vm(region).egress_gbps:.4g}",
                f"{plan.vm(region).egress_public_gbps:.4g}",
                f"{plan.vm(region).ingress_gbps:.4g}",
            ]
            for region, count in sorted(plan.vms.items())[:_MOST_ROWS]
        ],
        words=frozenset({2}),
    )


def _links(plan: Plan) -> Markup:
    flows = {(flow.src, flow.dst): flow.gbps for flow in plan.flows}
    return table(
        ["link", "planned Gbit/s", "one VM pair, Gbit/s", "USD/GB", "RTT ms"],
        [
            [
                f"{link.src} → {link.dst}",
                f"{flows.get((link.src, link.dst), 0.0):.4g}",
                f"{link.gbps:.4g}",
                f"{link.usd_per_gb:.4g}",
                f"{link.rtt_ms:.4g}",
            ]
            for link in plan.links[:_MOST_ROWS]
        ],
    )


def _events(runs: list[tuple[str, Run]]) -> Markup:
    counts = {name: run.events["event"].value_counts().to_dict() for name, run in runs}
    words = list(dict.fromkeys(word for _, run in runs for word in run.events["event"].unique()))
    return table(
        ["event", *counts],
        [[word, *(f"{count.get(word, 0):,}" for count in counts.values())] for word in words],
    )


def _provenance(plan: Plan) -> Markup:
    matrix = plan.matrix
    rows = [
        ["plan", plan.id],
        ["strategy", plan.strategy],
        ["matrix", matrix.digest],
        ["epoch", matrix.epoch],
        ["column, tier", f"{matrix.column}, {matrix.tier}"],
        ["repair policy", matrix.policy],
        ["VM caps", matrix.caps],
        ["lower bound of any plan, USD", f"{plan.bound_usd:.6g}"],
        ["gap to the bound", f"{plan.gap:.2%}"],
    ]
    return joined(
        [
            table(["", ""], rows, words=frozenset({1})),
            *(tag("p", note, class_="wrap") for note in plan.notes[:_MOST_ROWS]),
            tag("p", "The job:"),
            _json(plan.job.as_json()),
        ]
    )


def _json(value: object) -> Markup:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str)
    if len(text) > _MOST_TEXT:
        text = f"{text[:_MOST_TEXT]}\n… {len(text) - _MOST_TEXT:,} characters more"
    return tag("pre", text)


def _cut(count: int, shown: Markup) -> Markup:
    if count <= _MOST_ROWS:
        return shown
    return joined([shown, tag("p", f"and {count - _MOST_ROWS} more", class_="quiet")])
