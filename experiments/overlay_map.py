"""The overlay on a map, as inline SVG: regions at their coordinates, links by width and fullness.

Equirectangular, cropped to the regions in use, with a graticule. Two sizes are drawn, one for wide
and one for narrow pages, so that text keeps its size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from experiments.labels import Box, Ground, Point, around, text_width
from experiments.markup import Markup, joined, tag
from experiments.style import fullness_colour
from experiments.ways import planned_gbps
from planner.plan import Flow, Plan

# (latitude, longitude), degrees.
Places = Mapping[str, tuple[float, float]]

_DOT = 7.0
_NARROW = 600.0  # a map up to this wide has no room for names
_MOST_NAMED, _MOST_LABELLED = 8, 14  # regions named on the map, links labelled on it
# Where a link's label may be, about a point of it: (half widths, pixels down).
_AROUND_LINE = ((0, -13), (0, 14), (1, 0), (-1, 0), (1, -10), (-1, 10), (1, 10), (-1, -10), (0, 26))
_APART = 96.0  # dots closer than this are drawn apart, in pixels
# Degrees of longitude and latitude: cities side by side still get a map around them.
_LEAST_WIDE, _LEAST_HIGH = 10.0, 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Canvas:
    width: float
    height: float
    at: Mapping[str, Point]
    graticule: Markup

    @property
    def wide(self) -> bool:
        """Room for long lines."""
        return self.width > _NARROW

    @property
    def named(self) -> bool:
        """Room for names beside the dots; else dots are numbered, and named below the map."""
        return self.wide and len(self.at) <= _MOST_NAMED


def overlay_map(plan: Plan, places: Places) -> Markup:
    """The map in both sizes, one of them shown; a schematic where coordinates are missing."""
    names = tag(
        "ol",
        *(
            tag("li", f"{region}: {role(plan, region)}, {carried_gbps(plan, region):.3g} Gbit/s")
            for region in sorted(plan.vms)
        ),
        class_="names" if len(plan.vms) > _MOST_NAMED else "names narrow",
    )
    return joined([_draw(plan, places, 900.0, "wide"), _draw(plan, places, 340.0, "narrow"), names])


def fullness(plan: Plan, flow: Flow) -> float:
    """The share of a link that its flow takes: of what as many VM pairs carry as both ends have."""
    pairs = min(plan.vms[flow.src], plan.vms[flow.dst])
    return flow.gbps / (plan.link(flow.src, flow.dst).gbps * pairs)


def carried_gbps(plan: Plan, region: str) -> float:
    """What leaves a source, or arrives at any other region."""
    if region in plan.job.sources and region not in plan.job.destinations:
        return sum(flow.gbps for flow in plan.flows if flow.src == region)
    return sum(flow.gbps for flow in plan.flows if flow.dst == region)


def role(plan: Plan, region: str) -> str:
    """Source, destination or relay."""
    if region in plan.job.sources:
        return "source and destination" if region in plan.job.destinations else "source"
    return "destination" if region in plan.job.destinations else "relay"


def _draw(plan: Plan, places: Places, width: float, class_: str) -> Markup:
    canvas = _canvas(plan, places, width)
    frame = Box(4, 4, width - 4, canvas.height - 40)
    ground = Ground(frame=frame)
    ground.taken += [Box(x - 11, y - 11, x + 11, y + 11) for x, y in canvas.at.values()]
    curves = {
        (flow.src, flow.dst): _curve(canvas.at[flow.src], canvas.at[flow.dst])
        for flow in plan.flows
    }
    for start, middle, end in curves.values():
        ground.points += [_on(start, middle, end, step / 30) for step in range(1, 30)]
    nodes = [_node(plan, region, canvas, ground) for region in sorted(canvas.at)]
    links = [
        _link(plan, flow, curves[flow.src, flow.dst], canvas, ground)
        for flow in sorted(plan.flows, key=lambda flow: -flow.gbps)
    ]
    return tag(
        "svg",
        canvas.graticule,
        *(line for line, _ in links),
        *nodes,
        *(
            [tag("g", *(text for _, text in links), class_="labels")]
            if len(links) <= _MOST_LABELLED
            else []
        ),
        viewBox=f"0 0 {width:.0f} {canvas.height:.0f}",
        class_=class_,
        role="group",
        aria_label="Map of the overlay",
    )


def _link(
    plan: Plan, flow: Flow, curve: tuple[Point, Point, Point], canvas: _Canvas, ground: Ground
) -> tuple[Markup, Markup]:
    """The line with what it says, and its label, which is drawn above all lines."""
    start, middle, end = curve
    link = plan.link(flow.src, flow.dst)
    full = fullness(plan, flow)
    most = max(other.gbps for other in plan.flows)
    thick = 1.5 + 5.5 * flow.gbps / most
    label = f"{flow.gbps:.3g}{' Gbit/s' if canvas.wide else ''} · {full:.0%}"
    wide = text_width(label, 11) + 6
    candidates = []
    for along in (0.5, 0.42, 0.58, 0.34, 0.66, 0.25, 0.75, 0.17, 0.83):
        x, y = _on(start, middle, end, along)
        for dx, dy in _AROUND_LINE:
            left = x - wide / 2 + dx * (wide / 2 + 6)
            candidates.append(Box(left, y + dy - 8, left + wide, y + dy + 7))
    box = ground.place(candidates)
    share = flow.gbps / planned_gbps(plan)
    about = (
        f"{flow.src} to {flow.dst}",
        f"{flow.gbps:.3g} Gbit/s, {share:.0%} of the transfer, {full:.0%} full",
        f"${link.usd_per_gb:.4g} a GB, RTT {link.rtt_ms:.4g} ms",
    )
    colour = fullness_colour(full)
    trail = (
        f"M{start[0]:.1f} {start[1]:.1f}Q{middle[0]:.1f} {middle[1]:.1f} {end[0]:.1f} {end[1]:.1f}"
    )
    line = _with_tip(
        about,
        canvas,
        tag("path", d=trail, fill="none", stroke="transparent", stroke_width=max(thick, 16)),
        tag("path", d=trail, fill="none", stroke=colour, stroke_width=thick, class_="shape"),
        tag("polygon", points=_arrow(start, middle, end, thick), fill=colour, class_="shape"),
    )
    text = tag(
        "text",
        label,
        x=(box.left + box.right) / 2,
        y=box.bottom - 4,
        text_anchor="middle",
        font_size=11,
        class_="halo",
    )
    return line, text


def _node(plan: Plan, region: str, canvas: _Canvas, ground: Ground) -> Markup:
    x, y = canvas.at[region]
    kind, count = role(plan, region), plan.vms[region]
    carried = carried_gbps(plan, region)
    vms = f"{count} VM" + ("" if count == 1 else "s")
    line = f"{kind}, {carried:.3g} Gbit/s, {vms}"
    share = carried / planned_gbps(plan)
    machine = plan.vm(region)
    about = (
        f"{region}, {kind}",
        f"{carried:.3g} Gbit/s, {share:.0%} of the transfer",
        f"{vms} of {machine.type}, ${machine.usd_per_hour:.4g} an hour each",
    )
    extra = "relay" if kind == "relay" else ""
    if not canvas.named:
        number = str(sorted(canvas.at).index(region) + 1)
        return _with_tip(
            about,
            canvas,
            tag("circle", cx=x, cy=y, r=10, class_="dot"),
            tag("text", number, x=x, y=y + 4, text_anchor="middle", class_="number"),
            extra=extra,
        )
    wide = max(text_width(region, 14), text_width(line, 11)) + 4
    box = ground.place(list(around((x, y), wide, 31, 13)))
    anchor, tx = "start", box.left + 2
    if box.right < x:
        anchor, tx = "end", box.right - 2
    elif box.left < x < box.right:
        anchor, tx = "middle", (box.left + box.right) / 2
    return _with_tip(
        about,
        canvas,
        tag("circle", cx=x, cy=y, r=_DOT if kind == "relay" else _DOT + 1.5, class_="dot"),
        tag("text", region, x=tx, y=box.top + 13, text_anchor=anchor, class_="name halo"),
        tag("text", line, x=tx, y=box.top + 27, text_anchor=anchor, class_="quiet halo"),
        extra=extra,
    )


def _with_tip(about: tuple[str, ...], canvas: _Canvas, *shapes: str, extra: str = "") -> Markup:
    """A group with what it says on hover and on keyboard focus, in the strip below the map."""
    wide = canvas.wide
    lines = ["; ".join(about)] if wide else list(about)
    first = canvas.height - (10 if wide else 30)
    tip = tag(
        "g",
        *(
            tag("text", line, x=8, y=first + 13 * at, class_="halo", font_size=12 if wide else 11)
            for at, line in enumerate(lines)
        ),
        class_="tip",
    )
    whole = "; ".join(about)
    return tag(
        "g",
        tag("title", whole),
        *shapes,
        tip,
        class_=f"with-tip {extra}".strip(),
        tabindex="0",
        role="img",
        aria_label=whole,
    )


def _canvas(plan: Plan, places: Places, width: float) -> _Canvas:
    regions = sorted(plan.vms)
    side = 110.0 if width > _NARROW else 52.0
    top, bottom = 56.0, 84.0
    if any(region not in places for region in regions):
        return _schematic(plan, width, side)
    lat = {region: places[region][0] for region in regions}
    lon = {region: places[region][1] for region in regions}
    if max(lon.values()) - min(lon.values()) > 180:  # the Pacific lies between
        lon = {region: value + 360 if value < 0 else value for region, value in lon.items()}
    middle_lat = (max(lat.values()) + min(lat.values())) / 2
    middle_lon = (max(lon.values()) + min(lon.values())) / 2
    narrowing = max(0.3, math.cos(math.radians(middle_lat)))
    wide = max(max(lon.values()) - min(lon.values()), _LEAST_WIDE) * narrowing
    high = max(max(lat.values()) - min(lat.values()), _LEAST_HIGH)
    most_high = (0.5 if width > _NARROW else 1.0) * width
    least_high = (0.2 if width > _NARROW else 0.6) * width
    scale = min((width - 2 * side) / wide, most_high / high)
    inner = max(high * scale, least_high)
    height = top + inner + bottom

    def to(latitude: float, longitude: float) -> Point:
        return (
            width / 2 + (longitude - middle_lon) * narrowing * scale,
            top + inner / 2 - (latitude - middle_lat) * scale,
        )

    exact = {region: to(lat[region], lon[region]) for region in regions}
    at = _apart(exact, Box(side * 0.6, 26, width - side * 0.6, height - 66), width)
    step = next(s for s in (1, 2, 5, 10, 15, 30, 45, 90) if s * scale >= width / 9 or s == 90)
    lines = []
    span_lon = width / 2 / narrowing / scale
    for degree in range(-360, 721, step):
        if abs(degree - middle_lon) < span_lon:
            x, _ = to(0, degree)
            lines += [tag("line", x1=x, x2=x, y1=0, y2=height - 40, class_="grid")]
            if 16 < x < width - 16:
                lines += [_degrees(_meridian(degree), x, height - 45, "middle")]
    for degree in range(-90, 91, step):
        _, y = to(degree, 0)
        if 16 < y < height - 62:
            lines += [tag("line", x1=0, x2=width, y1=y, y2=y, class_="grid")]
            lines += [_degrees(_parallel(degree), 4, y - 3, "start")]
    return _Canvas(width=width, height=height, at=at, graticule=tag("g", *lines))


def _schematic(plan: Plan, width: float, side: float) -> _Canvas:
    """Sources left, the last right, others by how far along their path or tree they first come."""
    column: dict[str, float] = {}
    for path in plan.paths:
        for at, region in enumerate(path.hops):
            column.setdefault(region, at / (len(path.hops) - 1))
    for tree in plan.trees:
        depth = {tree.source: 0}
        for src, dst in tree.edges:
            depth.setdefault(dst, depth[src] + 1)
        for region, at in depth.items():
            column.setdefault(region, at / max(depth.values()))
    height = 360.0
    points: dict[str, Point] = {}
    for place in sorted(set(column.values())):
        here = [region for region in sorted(column) if column[region] == place]
        for number, region in enumerate(here):
            y = 40 + (height - 140) * (number + 1) / (len(here) + 1)
            points[region] = (side + place * (width - 2 * side), y)
    frame = Box(side * 0.6, 26, width - side * 0.6, height - 66)
    return _Canvas(width=width, height=height, at=_apart(points, frame, width), graticule=tag("g"))


def _apart(at: Mapping[str, Point], frame: Box, width: float) -> dict[str, Point]:
    """Push dots that would cover each other apart, each a little, inside the frame."""
    roomy = width > _NARROW and len(at) <= _MOST_NAMED
    apart = _APART if roomy else _APART / 2
    places = {region: list(point) for region, point in at.items()}
    names = sorted(places)
    for _ in range(200):
        calm = True
        for i, one in enumerate(names):
            for two in names[i + 1 :]:
                dx = places[two][0] - places[one][0]
                dy = places[two][1] - places[one][1]
                far = math.hypot(dx, dy)
                if far >= apart - 0.5:
                    continue
                calm = False
                if far < 1e-6:
                    dx, dy, far = 1.0, 0.4, math.hypot(1.0, 0.4)
                push = (apart - far) / 2 / far
                for name, sign in ((one, -1), (two, 1)):
                    places[name][0] += sign * dx * push
                    places[name][1] += sign * dy * push
        for point in places.values():
            point[0] = min(max(point[0], frame.left), frame.right)
            point[1] = min(max(point[1], frame.top), frame.bottom)
        if calm:
            break
    return {region: (x, y) for region, (x, y) in places.items()}


def _curve(start: Point, end: Point) -> tuple[Point, Point, Point]:
    """A bow to the left of its direction, so that there and back do not cover each other."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    far = max(math.hypot(dx, dy), 1e-6)
    bow = 0.16
    middle = (
        (start[0] + end[0]) / 2 + dy * bow,
        (start[1] + end[1]) / 2 - dx * bow,
    )
    cut = (_DOT + 4) / far
    return _on(start, middle, end, cut), middle, _on(start, middle, end, 1 - cut * 1.5)


def _on(start: Point, middle: Point, end: Point, t: float) -> Point:
    u = 1 - t
    return (
        u * u * start[0] + 2 * u * t * middle[0] + t * t * end[0],
        u * u * start[1] + 2 * u * t * middle[1] + t * t * end[1],
    )


def _arrow(start: Point, middle: Point, end: Point, thick: float) -> str:
    dx, dy = end[0] - middle[0], end[1] - middle[1]
    far = max(math.hypot(dx, dy), 1e-6)
    ux, uy = dx / far, dy / far
    long, half = 5 + 0.9 * thick, 3.5 + 0.8 * thick
    tip = (end[0] + ux * 3, end[1] + uy * 3)
    back = (tip[0] - ux * long, tip[1] - uy * long)
    corners = (
        tip,
        (back[0] - uy * half, back[1] + ux * half),
        (back[0] + uy * half, back[1] - ux * half),
    )
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _degrees(text: str, x: float, y: float, anchor: str) -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=anchor, class_="quiet", opacity=0.75)


def _meridian(degree: int) -> str:
    around_world = (degree + 180) % 360 - 180
    return f"{abs(around_world)}°{'E' if around_world > 0 else 'W' if around_world < 0 else ''}"


def _parallel(degree: int) -> str:
    return f"{abs(degree)}°{'N' if degree > 0 else 'S' if degree < 0 else ''}"
