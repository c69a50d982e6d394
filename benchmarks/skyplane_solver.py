"""Skyplane's own planner, asked line by line; run by the interpreter of the peer's environment.

    python skyplane_solver.py GRID.csv      a JSON question a line in, a JSON answer a line out

It imports nothing of ours and we import nothing of it. GRID.csv has the column names of Skyplane's
throughput grid (`throughput_sent` in its own unit, 2^30 bit/s a Gbit/s, so that its division
gives back our Gbit/s) and one more, `usd_per_gb`. Besides the answer, times are told: the whole
of `solve_min_cost`, and the part of it that the solver had the model (cvxpy's own part is
the difference).
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any, ClassVar

# Its grid is divided by this to give what it calls Gbit/s.
GRID_UNIT = 2**30


class _Stopwatch:
    """Seconds spent inside the solvers' interfaces of cvxpy."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, owner: Any) -> None:
        """Time every call of `owner.solve_via_data`."""
        inner = owner.solve_via_data

        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - begin

        owner.solve_via_data = timed


class Peer:
    """Skyplane's ILP over one grid."""

    def __init__(self, grid: str) -> None:
        self._cp: Any = importlib.import_module("cvxpy")
        numpy: Any = importlib.import_module("numpy")
        ilp: Any = importlib.import_module("skyplane.planner.solver_ilp")
        base: Any = importlib.import_module("skyplane.planner.solver")
        self._problem = base.ThroughputProblem
        base.TopologyPlan = _Recorded
        conic = "cvxpy.reductions.solvers.conic_solvers"
        self.stopwatch = _Stopwatch()
        self.stopwatch.around(importlib.import_module(f"{conic}.cbc_conif").CBC)
        self.stopwatch.around(importlib.import_module(f"{conic}.highs_conif").HIGHS)
        self._solver: Any = ilp.ThroughputSolverILP(grid)
        frame = self._solver.df
        regions = self._solver.get_regions()
        at = {region: number for number, region in enumerate(regions)}
        self._cost = numpy.zeros((len(regions), len(regions)))
        prices, sent = {}, {}
        for (src, dst, *_), row in zip(frame.index, frame.to_dict("records"), strict=True):
            self._cost[at[src], at[dst]] = prices[src, dst] = row["usd_per_gb"]
            sent[src, dst] = row["throughput_sent"]
        # Its own look-ups want a price book that lacks some of our regions, and a grid in which
        # a pair stands more than once.
        self._solver.get_path_cost = lambda src, dst, *_: prices[src, dst]
        self._solver.get_path_throughput = lambda src, dst, *_: sent.get((src, dst), 0.0)
        self._throughput = self._solver.get_throughput_grid()
        self.regions = regions

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What it decides for one question, and how long that took."""
        problem = self._problem(
            src=asked["src"],
            dst=asked["dst"],
            required_throughput_gbits=asked["goal_gbps"],
            gbyte_to_transfer=asked["gigabytes"],
            instance_limit=asked["vm_limit"],
            const_throughput_grid_gbits=self._throughput,
            const_cost_per_gb_grid=self._cost,
        )
        problem.cost_per_instance_hr = asked["usd_per_hour"]  # not a parameter of it
        solver = getattr(self._cp, asked["solver"])
        self.stopwatch.seconds = 0.0
        begin = time.perf_counter()
        try:
            found = self._solver.solve_min_cost(problem, solver=solver)
        except self._cp.SolverError as error:
            return {"feasible": False, "status": str(error), **self._times(begin)}
        times = self._times(begin)
        if not found.is_feasible:
            return {"feasible": False, "status": str(found.extra_data), **times}
        flow, conn = found.var_edge_flow_gigabits, found.var_conn
        names = self.regions
        return {
            "feasible": True,
            **times,
            "cost_usd": float(found.cost_total),
            "vms": {
                names[i]: float(n) for i, n in enumerate(found.var_instances_per_region) if n > 1e-6
            },
            "flows": [
                [names[i], names[j], float(flow[i, j]), float(conn[i, j])]
                for i, j in zip(*flow.nonzero(), strict=True)
                if flow[i, j] > 0
            ],
            "edges": self._edges(found),
        }

    def _times(self, begin: float) -> dict[str, float]:
        return {"total_s": time.perf_counter() - begin, "solver_s": self.stopwatch.seconds}

    def _edges(self, found: Any) -> list[list[Any]] | None:
        """Its rounded answer, [src, VM, dst, VM, connections] each; None where it fails."""
        _Recorded.edges = []
        try:
            self._solver.to_replication_topology(found)
        except (AssertionError, ValueError, ZeroDivisionError):
            return None
        return _Recorded.edges


class _Recorded:
    """Stands for the topology that Skyplane's rounding fills.

    The rounding calls what the released topology no longer has; it is left as it is, and what it
    calls is written down.
    """

    edges: ClassVar[list[list[Any]]] = []

    def __init__(self, **_: Any) -> None: ...

    def add_instance_instance_edge(self, **e: Any) -> None:
        """One group of connections between two VMs."""
        self.edges.append(
            [
                e["src_region"],
                int(e["src_instance"]),
                e["dest_region"],
                int(e["dest_instance"]),
                int(e["num_connections"]),
            ]
        )

    def add_objstore_instance_edge(self, **_: Any) -> None:
        """A VM that reads the object store: not part of the network."""

    def add_instance_objstore_edge(self, **_: Any) -> None:
        """A VM that writes it."""


def main() -> None:
    """Answer until the questions end; what the libraries print goes to stderr."""
    out, sys.stdout = sys.stdout, sys.stderr
    peer = Peer(sys.argv[1])
    out.write(json.dumps({"regions": len(peer.regions)}) + "\n")
    out.flush()
    for line in sys.stdin:
        out.write(json.dumps(peer.answer(json.loads(line))) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
