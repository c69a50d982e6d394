"""A calibration: what fitting to executed Runs found, as a file that later simulations name.

`calibrate.py` makes it. The file is canonical JSON with its digest in it, and holds no path and no
host's name, so that it can be published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from datasets.canonical import Json, digest, rounded
from datasets.errors import DataError, InputError
from datasets.files import checked_content, read_json, write_json
from simulator.assumptions import Provisioning, Ramp, check_number
from simulator.world import World

CALIBRATION_SCHEMA_VERSION = 1
# Decimal places of what was fitted: a microsecond, a millionth of an exponent or a share.
_PLACES = 6
PARAMETERS: Mapping[str, str] = {
    "ramp_base_s": "s, on the run's own clock",
    "ramp_rtts": "round-trip times",
    "chunk_overhead_s": "s, on the run's own clock",
    "saturation": "exponent a of C(n) = C64·min(1, (n/64)^a)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """One parameter: its `value`, or None where the Runs do not tell it, and the `reason`.

    It rests on `runs` Runs; `least` and `most` are its range when each of them in turn is left out.
    """

    value: float | None
    runs: int = 0
    least: float | None = None
    most: float | None = None
    reason: str = ""

    def as_json(self) -> dict[str, Json]:
        """As in a calibration file."""
        return {
            "value": _rounded(self.value),
            "runs": self.runs,
            "least": _rounded(self.least),
            "most": _rounded(self.most),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudProvisioning:
    """Seconds from asking for a VM to its answer, in one cloud: lognormal; `sigma` None for one."""

    cloud: str
    median_s: float
    sigma: float | None
    gateways: int
    runs: int

    def as_json(self) -> dict[str, Json]:
        """As in a calibration file."""
        return {
            "cloud": self.cloud,
            "median_s": _rounded(self.median_s),
            "sigma": _rounded(self.sigma),
            "gateways": self.gateways,
            "runs": self.runs,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutError:
    """|simulated − executed| / executed makespan of Runs that were not fitted, as shares.

    `method`: `leave_one_out` (each Run by a fit to all others) or `held_out` (Runs kept apart).
    `closer`: how many of the `runs` it is smaller of afterwards.
    """

    method: str
    runs: int
    closer: int
    median_before: float
    median_after: float
    mean_before: float
    mean_after: float

    def as_json(self) -> dict[str, Json]:
        """As in a calibration file."""
        return {
            "method": self.method,
            "runs": self.runs,
            "closer": self.closer,
            "median_before": rounded(self.median_before, _PLACES),
            "median_after": rounded(self.median_after, _PLACES),
            "mean_before": rounded(self.mean_before, _PLACES),
            "mean_after": rounded(self.mean_after, _PLACES),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The parameters of a World, as executed Runs of one `provider` tell them.

    `cpu_bound` Runs were left out. `machine` is what the manifests say of the machine; `versions`
    is the software that fitted.
    """

    provider: str
    ramp_base_s: Fitted
    ramp_rtts: Fitted
    chunk_overhead_s: Fitted
    saturation: Fitted
    provisioning: tuple[CloudProvisioning, ...]
    error: HeldOutError
    fitted_runs: tuple[str, ...]
    held_out_runs: tuple[str, ...] = ()
    cpu_bound: int = 0
    machine: Mapping[str, Json] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in PARAMETERS:
            fitted: Fitted = getattr(self, name)
            if fitted.value is not None:
                most = 1.0 if name == "saturation" else 1e6
                check_number(fitted.value, f"The calibrated {name}", most=most)
        for cloud in self.provisioning:
            check_number(cloud.median_s, f"The calibrated provisioning time of {cloud.cloud}")

    def content(self) -> dict[str, Json]:
        """Canonical content, without the digest of it."""
        return {
            "schema_version": CALIBRATION_SCHEMA_VERSION,
            "provider": self.provider,
            "parameters": {
                name: {**getattr(self, name).as_json(), "unit": unit}
                for name, unit in PARAMETERS.items()
            },
            "provisioning": [cloud.as_json() for cloud in self.provisioning],
            "error": self.error.as_json(),
            "fitted_runs": list(self.fitted_runs),
            "held_out_runs": list(self.held_out_runs),
            "cpu_bound": self.cpu_bound,
            "machine": dict(self.machine),
            "versions": dict(self.versions),
        }

    @property
    def digest(self) -> str:
        """Digest of the content: what a World that it was applied to is marked with."""
        return digest(self.content())

    def as_json(self) -> dict[str, Json]:
        """What the file holds."""
        return {"digest": self.digest, **self.content()}

    def applied_to(self, world: World) -> World:
        """The World with what was fitted, marked with the digest; the rest of it stays.

        Links' figures are taken as steady rates (`test_s` 0): start-up is what was fitted.
        """
        base_s, rtts = self.ramp_base_s.value, self.ramp_rtts.value
        changes: dict[str, Any] = {}
        if base_s is not None or rtts is not None:
            changes["ramp"] = Ramp(base_s=base_s or 0.0, rtts=rtts or 0.0, test_s=0.0)
        if self.chunk_overhead_s.value is not None:
            changes["chunk_overhead_s"] = self.chunk_overhead_s.value
        if self.saturation.value is not None:
            changes["saturation"] = self.saturation.value
        if self.provisioning:
            changes["provisioning"] = self._provisioning(world.provisioning)
        return replace(world, calibration=self.digest, **changes)

    def _provisioning(self, before: Provisioning) -> Provisioning:
        gateways = sum(cloud.gateways for cloud in self.provisioning)
        return replace(
            before,
            name=f"fitted to {gateways} gateways by {self.provider}; else {before.name}",
            median_s={
                **before.median_s,
                **{cloud.cloud: cloud.median_s for cloud in self.provisioning},
            },
            sigma={
                **before.sigma,
                **{
                    cloud.cloud: cloud.sigma
                    for cloud in self.provisioning
                    if cloud.sigma is not None
                },
            },
        )


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration file, whole or not at all. Raises: InputError if it cannot be written."""
    write_json(path, calibration.as_json(), what="calibration")


def load_calibration(path: Path) -> Calibration:
    """Read a calibration file. Raises: InputError or DataError, in one sentence."""
    value = read_json(path, what="calibration")
    try:
        return calibration_from_json(value)
    except InputError as error:
        raise DataError(f"{path}: {error}") from error


def calibration_from_json(value: object) -> Calibration:
    """A Calibration of its JSON, its digest checked against its content. Raises: DataError."""
    content = checked_content(
        value,
        what="calibration",
        version=CALIBRATION_SCHEMA_VERSION,
        key="digest",
        advice="Calibrate again.",
    )
    try:
        return _calibration_of(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"The calibration does not make sense at {error}.") from error


def _calibration_of(content: Mapping[str, Any]) -> Calibration:
    expected = {entry.name for entry in fields(Calibration)} - set(PARAMETERS)
    expected |= {"schema_version", "parameters"}
    for key in sorted(expected ^ set(content)):
        raise DataError(f"A calibration has {'no' if key in expected else 'an unknown'} {key!r}.")
    told = content["parameters"]
    if set(told) != set(PARAMETERS):
        raise DataError(f"A calibration has the parameters {', '.join(PARAMETERS)}.")
    fitted = {
        name: Fitted(**{key: entry for key, entry in each.items() if key != "unit"})
        for name, each in told.items()
    }
    return Calibration(
        provider=str(content["provider"]),
        provisioning=tuple(CloudProvisioning(**cloud) for cloud in content["provisioning"]),
        error=HeldOutError(**content["error"]),
        fitted_runs=tuple(content["fitted_runs"]),
        held_out_runs=tuple(content["held_out_runs"]),
        cpu_bound=int(content["cpu_bound"]),
        machine=dict(content["machine"]),
        versions=dict(content["versions"]),
        **fitted,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else rounded(value, _PLACES)
