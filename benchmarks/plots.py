"""Plots of rows: latency and throughput against batch size (or workers), and the roofline."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[dict[str, Any]]
MARKERS = "os^Dvx*"


def plot(rows: Rows, path: Path, scale: str) -> list[Path]:
    """Write PNG files next to `path`, named after it, and return them; without matplotlib say so and return none.

    rows: of one subject and machine. scale: "batch", or the name of one of the rows' details.
    """
    try:
        from matplotlib.figure import Figure  # in the extra `bench`
    except ImportError:
        print("no plots: matplotlib is not installed (pip install 'limner[bench]')")
        return []
    timed = [row for row in rows if row["p50_ms"] is not None]
    queries = [row for row in timed if row["scenario"] not in ("offline", "cold-start")]  # one batch, in a warm process
    plots = {
        "latency": lambda axes: _plot_against(axes, queries, scale, "p50_ms", "median ms"),
        "throughput": lambda axes: _plot_against(axes, timed, scale, "images_per_s", "images/s"),
        "roofline": lambda axes: _plot_roofline(axes, timed),
    }
    if not any("flop_per_byte" in row["details"] for row in timed):
        del plots["roofline"]
    subject = f"{rows[0]['subject']}, {rows[0]['environment']['hardware']}"
    written = []
    for name, plot_on in plots.items():
        figure = Figure(figsize=(11, 5), dpi=100, layout="constrained")
        axes = figure.subplots()
        plot_on(axes)  # type: ignore[no-untyped-call]
        figure.legend(loc="outside right upper", fontsize="x-small")
        axes.set_title(f"{name}: {subject}", fontsize="medium")
        axes.grid(alpha=0.3)
        written.append(path.with_name(f"{path.stem}_{name}.png"))
        figure.savefig(written[-1])
    return written


def _label(row: dict[str, Any]) -> str:
    return f"{row['backend']} {row['precision'] or ''}".rstrip() + f", {_scenario(row)}"


def _scenario(row: dict[str, Any]) -> str:
    """Drop the number of workers, which the x-axis shows."""
    return str(row["scenario"]).partition(",")[0]


def _plot_lines(axes: "Axes", rows: Rows, lines: dict[str, list[tuple[float, float]]]) -> None:
    """Plot points by label: a colour for each backend and precision, a marker for each scenario."""
    styles = {_label(row): ((row["backend"], row["precision"]), _scenario(row)) for row in rows}
    colours = list(dict.fromkeys(backend for backend, _ in styles.values()))
    markers = list(dict.fromkeys(scenario for _, scenario in styles.values()))
    for label, points in lines.items():
        backend, scenario = styles[label]
        marker = MARKERS[markers.index(scenario) % len(MARKERS)]
        linestyle = "-" if markers.index(scenario) == 0 else "--"
        axes.plot(
            *zip(*sorted(points), strict=True),
            color=f"C{colours.index(backend)}",
            marker=marker,
            linestyle=linestyle,
            label=label,
        )


def _plot_against(axes: "Axes", rows: Rows, scale: str, value: str, title: str) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        place = row["batch"] if scale == "batch" else row["details"].get(scale)
        if row[value] is not None and place is not None:
            lines.setdefault(_label(row), []).append((place, row[value]))
    _plot_lines(axes, rows, lines)
    places = sorted({place for points in lines.values() for place, _ in points})
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(scale)
    axes.set_ylabel(title)


def _plot_roofline(axes: "Axes", rows: Rows) -> None:
    """Plot GFLOP/s against operations per byte, under the machine's two measured limits."""
    limits = rows[-1]["environment"]["limits"]
    for precision, rate in limits["matrix_gflops"].items():
        intensities = [0.25, rate / limits["copy_gbytes"], 2048.0]
        roof = [min(rate, intensity * limits["copy_gbytes"]) for intensity in intensities]
        axes.plot(intensities, roof, color="black", linewidth=1, label=f"limit {precision}")
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        details = row["details"]
        if "flop_per_byte" in details:
            points.setdefault(_label(row), []).append((details["flop_per_byte"], details["gflop_per_s"]))
    _plot_lines(axes, rows, points)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("operations per byte")
    axes.set_ylabel("GFLOP/s")
