"""The report as one page that needs nothing else: figures drawn, tables, and what it does not show."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, select_autoescape
from plotly.offline import get_plotlyjs

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444", "#999999")  # Okabe and Ito 2008
UNKNOWN = "\N{EN DASH}"
SHOWN = {  # the models that are drawn, and how they are called
    "persistence": "no change",
    "ridge": "ridge",
    "boosting": "boosting",
    "careplan": "careplan, a stranger",
    "careplan, personal": "careplan, personal",
}


def page(found: dict[str, Any]) -> str:
    """The report of `figures` as HTML."""
    environment = Environment(
        loader=PackageLoader("careplan.studies.report"), autoescape=select_autoescape(), trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["span"] = span
    environment.filters["number"] = number
    environment.filters["percent"] = percent
    drawn = {} if "forecasts" not in found else {name: _html(name, figure) for name, figure in _figures(found).items()}
    return environment.get_template("report.html.j2").render(found=found, drawn=drawn, plotly=get_plotlyjs(), shown=SHOWN)


def span(figure: dict[str, Any] | None, digits: int = 1, times: float = 1.0) -> str:
    """A figure and its interval, as people read them."""
    if not figure or figure.get("mean") is None:
        return UNKNOWN
    low, high = figure.get("low"), figure.get("high")
    mid = number(times * figure["mean"], digits)
    return mid if low is None or high is None else f"{mid} ({number(times * low, digits)} to {number(times * high, digits)})"


def number(value: float | None, digits: int = 1) -> str:
    """A number with so many digits after the point, without the sign of a nought."""
    return UNKNOWN if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage."""
    return UNKNOWN if value is None else f"{100 * value:.{digits}f} %"


def _html(name: str, figure: go.Figure) -> str:
    figure.update_layout(template="plotly_white", height=360, margin={"l": 60, "r": 20, "t": 20, "b": 50}, font={"size": 13})
    return str(figure.to_html(full_html=False, include_plotlyjs=False, div_id=name))


def _figures(found: dict[str, Any]) -> dict[str, go.Figure]:
    drawn = {"errors": _errors(found["forecasts"]), "coverage": _coverage(found["intervals"])}
    if found["risks"]:
        drawn["calibration"] = _calibration(found["risks"])
    if found["dosing"].get("worth"):
        drawn["worth"] = _worth(found["dosing"]["worth"])
    return drawn


def _errors(rows: list[dict[str, Any]]) -> go.Figure:
    """Error by minutes ahead, told nothing of the future."""
    figure = go.Figure()
    for place, (model, name) in enumerate(SHOWN.items()):
        some = [row for row in rows if row["model"] == model and row["rmse"]["mean"] is not None]
        if some:
            mid = [row["rmse"]["mean"] for row in some]
            up = [(row["rmse"]["high"] or value) - value for row, value in zip(some, mid, strict=True)]
            down = [value - (row["rmse"]["low"] or value) for row, value in zip(some, mid, strict=True)]
            bars = {"type": "data", "array": up, "arrayminus": down, "thickness": 1}
            figure.add_scatter(x=[row["horizon"] for row in some], y=mid, error_y=bars, name=name, line={"color": COLOURS[place]})
    return figure.update_layout(xaxis_title="minutes ahead", yaxis_title="RMSE, mg/dL, mean over people")


def _coverage(rows: list[dict[str, Any]]) -> go.Figure:
    """Share of readings inside the 90 % intervals, everybody and the worst tenth."""
    ahead = [row["horizon"] for row in rows]
    figure = go.Figure()
    mean, tenth = ([100 * value for value in column] for column in zip(*_covered(rows), strict=True))
    figure.add_scatter(x=ahead, y=mean, name="mean over people", line={"color": COLOURS[0]})
    figure.add_scatter(x=ahead, y=tenth, name="worst tenth of people", line={"color": COLOURS[1]})
    figure.add_hline(y=90, line_dash="dot", line_color="#666666")
    return figure.update_layout(xaxis_title="minutes ahead", yaxis_title="% inside the 90 % interval")


def _covered(rows: list[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(row["coverage"]["mean"], row["worst_decile"]) for row in rows]


def _calibration(rows: list[dict[str, Any]]) -> go.Figure:
    """How often a risk that was told came true, by tenths of the risk."""
    figure = go.Figure()
    for place, row in enumerate(rows):
        counts, told, happened = _tenths(row)
        size = [6 + 14 * (count / max(counts)) ** 0.5 for count in counts]
        figure.add_scatter(
            x=told,
            y=happened,
            mode="lines+markers",
            marker={"size": size, "color": COLOURS[place]},
            line={"color": COLOURS[place], "width": 1},
            name=row["hazard"],
        )
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"dash": "dot", "color": "#666666"})
    return figure.update_layout(xaxis_title="risk told", yaxis_title="share that came true")


def _tenths(row: dict[str, Any]) -> tuple[list[int], list[float], list[float]]:
    """Moments, mean risk told and share that came true in each tenth of the risk that has moments."""
    told, count = np.array(row["told"]), np.array(row["counts"])
    tenth = (10 * told).astype(int)
    total = np.bincount(tenth, count)
    used = total > 0
    mean, share = (np.bincount(tenth, count * values)[used] / total[used] for values in (told, np.array(row["happened"])))
    return total[used].astype(int).tolist(), mean.tolist(), share.tolist()


def _worth(rows: list[dict[str, Any]]) -> go.Figure:
    """What a shift of every dose is estimated to change, by estimator."""
    figure = go.Figure()
    names = ("naive", "weighted", "fitted_q", "doubly_robust", "world_model")
    for place, name in enumerate(names):
        some = [row for row in rows if name in row["estimates"]]
        if some:
            mid = [row["estimates"][name]["difference"] for row in some]
            half = [row["estimates"][name]["high"] - row["estimates"][name]["difference"] for row in some]
            figure.add_scatter(
                x=[row["factor"] + 0.006 * (place - 2) for row in some],
                y=mid,
                error_y={"type": "data", "array": half, "thickness": 1},
                mode="markers",
                marker={"color": COLOURS[place], "size": 9},
                name=name.replace("_", " "),
            )
    figure.add_hline(y=0, line_dash="dot", line_color="#666666")
    return figure.update_layout(xaxis_title="every dose times", yaxis_title="points in range, less as observed")
