"""Pictures of rows: time and throughput against batch size (or workers), and the roofline."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[dict[str, Any]]
MARKS = "os^Dvx*"


def plot(rows: Rows, path: Path, scale: str) -> list[Path]:
    """Write PNG files beside `path`, named after it, and return them; none, with a word, without matplotlib.

    scale: "batch", or the name of one of the rows' details.
    """
    try:
        from matplotlib.figure import Figure  # an extra of the project
    except ImportError:
        print("no plots: matplotlib is not installed (pip install 'limner[bench]')")
        return []
    timed = [row for row in rows if row["p50_ms"] is not None]
    answered = [row for row in timed if row["scenario"] not in ("offline", "start")]  # of one batch, in a warm process
    drawings = {
        "latency": lambda axes: _against(axes, answered, scale, "p50_ms", "median ms"),
        "throughput": lambda axes: _against(axes, timed, scale, "images_per_s", "images/s"),
        "roofline": lambda axes: _roofline(axes, timed),
    }
    if not any("flop_per_byte" in row["details"] for row in timed):
        del drawings["roofline"]
    written = []
    for name, draw in drawings.items():
        figure = Figure(figsize=(11, 5), dpi=100, layout="constrained")
        axes = figure.subplots()
        draw(axes)  # type: ignore[no-untyped-call]
        figure.legend(loc="outside right upper", fontsize="x-small")
        axes.set_title(f"{path.stem}: {name}", fontsize="medium")
        axes.grid(alpha=0.3)
        written.append(path.with_name(f"{path.stem}_{name}.png"))
        figure.savefig(written[-1])
    return written


def _label(row: dict[str, Any]) -> str:
    return f"{row['backend']} {row['precision']}, {_scenario(row)}"


def _scenario(row: dict[str, Any]) -> str:
    """Without the number of workers, which is a place on the axis."""
    return str(row["scenario"]).partition(",")[0]


def _draw(axes: "Axes", rows: Rows, lines: dict[str, list[tuple[float, float]]]) -> None:
    """Lines of points by label: a colour for each backend and precision, a mark for each scenario."""
    looks = {_label(row): ((row["backend"], row["precision"]), _scenario(row)) for row in rows}
    colours = list(dict.fromkeys(backend for backend, _ in looks.values()))
    marks = list(dict.fromkeys(scenario for _, scenario in looks.values()))
    for label, points in lines.items():
        backend, scenario = looks[label]
        mark = MARKS[marks.index(scenario) % len(MARKS)]
        style = "-" if marks.index(scenario) == 0 else "--"
        axes.plot(
            *zip(*sorted(points), strict=True),
            color=f"C{colours.index(backend)}",
            marker=mark,
            linestyle=style,
            label=label,
        )


def _against(axes: "Axes", rows: Rows, scale: str, value: str, title: str) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        place = row["batch"] if scale == "batch" else row["details"].get(scale)
        if row[value] is not None and place is not None:
            lines.setdefault(_label(row), []).append((place, row[value]))
    _draw(axes, rows, lines)
    places = sorted({place for points in lines.values() for place, _ in points})
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(scale)
    axes.set_ylabel(title)


def _roofline(axes: "Axes", rows: Rows) -> None:
    """Floating-point operations a second against operations per byte, under the machine's two measured limits."""
    limits = rows[0]["environment"]["limits"]
    for precision, rate in limits["matrix_gflops"].items():
        intensities = [0.25, rate / limits["copy_gbytes"], 2048.0]
        roof = [min(rate, intensity * limits["copy_gbytes"]) for intensity in intensities]
        axes.plot(intensities, roof, color="black", linewidth=1, label=f"limit {precision}")
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        details = row["details"]
        if "flop_per_byte" in details:
            points.setdefault(_label(row), []).append((details["flop_per_byte"], details["gflop_per_s"]))
    _draw(axes, rows, points)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("operations per byte")
    axes.set_ylabel("GFLOP/s")
