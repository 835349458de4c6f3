"""What every suggestion shows, of settings or of doses: warnings, why, its limits, and its effect beside no change."""

from collections.abc import Mapping
from html import escape

import streamlit as st

from app import charts
from app.wording import Unit, in_words, limits_in_words, sentence
from careplan.clinic.views import Interval, Path, Suggestion

OUTCOMES: Mapping[str, str] = {
    "in_range": "In range",
    "below_70": "Below {low}",
    "below_54": "Below {very_low}",
    "above_180": "Above {high}",
    "mean": "Mean",
    "risk": "Mean risk",
}


def warnings(suggestion: Suggestion) -> None:
    """Why careplan abstains, and whatever else must be known first."""
    if suggestion.abstained:
        why = "\n".join(f"- {sentence(reason)}" for reason in suggestion.reasons)
        st.warning(f"**careplan abstains for this patient.**\n\n{why}", icon=":material/front_hand:")
    for banner in suggestion.banners:
        st.warning(sentence(in_words(banner, suggestion.lines, suggestion.kind)), icon=":material/warning:")


def why(suggestion: Suggestion, unit: Unit) -> None:
    """The reasons, and the limits that bound the search."""
    if suggestion.reasons:
        st.markdown("**Why.** " + " ".join(sentence(reason) for reason in suggestion.reasons))
    if suggestion.limits_bound:
        st.markdown("**Limits that bound it.** " + sentence("; ".join(limits_in_words(suggestion.limits_bound, unit))))


def effect(suggestion: Suggestion, unit: Unit, recorded: Path | None = None) -> None:
    """Every option's predicted path and outcomes; `recorded`: what was measured around then."""
    st.subheader("Predicted effect, beside no change")
    left, right = st.columns([1.35, 1], gap="medium")
    with left:
        st.plotly_chart(
            charts.prediction_figure(suggestion.options, unit, suggestion.kind, recorded), config=charts.CONFIG, key="prediction"
        )
        if recorded is not None and any(minute > 0 for minute in recorded.minutes):
            st.caption('Dots are readings; those after "now" came of what was really given and eaten.')
    with right:
        st.html(_outcomes(suggestion, unit))
        st.caption("Each value with its 90 % interval, by this patient's own model. A prediction, not a promise.")


def _outcomes(suggestion: Suggestion, unit: Unit) -> str:
    names = {"low": unit.text(70), "very_low": unit.text(54), "high": unit.text(180)}
    keys = list(dict.fromkeys(key for option in suggestion.options for key in option.outcomes))
    head = "".join(
        f"<th>{option.name[:1].upper()}{option.name[1:]}{option.does and f'<small>{escape(option.does)}</small>'}</th>"
        for option in suggestion.options
    )
    rows = []
    for key in keys:
        title = OUTCOMES.get(key, key.replace("_", " ").capitalize()).format(**names)
        cells = "".join(f"<td>{_interval(key, option.outcomes.get(key), unit)}</td>" for option in suggestion.options)
        rows.append(f"<tr><th>{title}</th>{cells}</tr>")
    table = f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f"<div class='cp-scroll'><table class='cp-regimen'>{table}</table></div>"


def _interval(key: str, value: Interval | None, unit: Unit) -> str:
    if value is None:
        return "-"
    if key == "mean":
        return f"<b>{unit.text(value.mid)}</b><small>{unit.text(value.low)} to {unit.text(value.high)} {unit.name}</small>"
    if key == "risk":
        return f"<b>{value.mid:.1f}</b><small>{value.low:.1f} to {value.high:.1f}</small>"
    return f"<b>{value.mid:.1f} %</b><small>{value.low:.1f} to {value.high:.1f} %</small>"


def provenance(suggestion: Suggestion) -> None:
    with st.expander("How this suggestion was made"):
        st.table({"": list(suggestion.provenance), "value": [str(value) for value in suggestion.provenance.values()]})
