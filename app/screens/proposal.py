"""What every suggestion shows, of settings or of doses: warnings, why, its limits, and its effect beside no change."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from app import charts, drawings, explained
from app.wording import in_words, option_name
from careplan.display import SEMICOLON, Unit, listed, sentence
from careplan.language import N_, _, retold
from careplan.suggestion import Interval, Kind, Option, Path, Suggestion
from careplan.targets import Targets
from careplan.therapies.glucose import words
from careplan.therapies.glucose.bands import ADULTS

MADE_OF = {  # what a suggestion names as its origin
    "asked": N_("What was asked"),
    "model": N_("Model"),
    "data": N_("Data"),
    "code": N_("careplan version"),
    "seed": N_("Seed of random numbers"),
    "limits": N_("Limits"),
}


def warnings(suggestion: Suggestion) -> None:
    """Why careplan abstains, and whatever else must be known first."""
    if suggestion.abstained:
        why = "\n".join(f"- {sentence(retold(reason))}" for reason in suggestion.reasons)
        st.warning(_("**careplan abstains for this patient.**\n\n{why}", why=why), icon=":material/front_hand:")
    if suggestion.source == "guideline":
        why = "\n".join(f"- {sentence(retold(reason))}" for reason in suggestion.reasons)
        st.warning(_("**The guideline speaks here, not the model.**\n\n{why}", why=why), icon=":material/clinical_notes:")
    for banner in suggestion.banners:
        st.warning(sentence(in_words(banner, suggestion.lines, suggestion.kind)), icon=":material/warning:")


def notices(told: tuple[str, ...]) -> None:
    """What is not shown, or was set aside, because it is not as it was put on record."""
    for each in told:
        st.error(retold(each), icon=":material/error:")


def point(suggestion: Suggestion, unit: Unit) -> None:
    """The suggestion at a glance."""
    if said := explained.point(suggestion, unit):
        st.html(said)


def why(suggestion: Suggestion, unit: Unit) -> None:
    """What drove it with the patient's own days, the runner-up, and the limits that bound it."""
    if suggestion.why is None:  # stored before suggestions were explained
        st.markdown(_("**Why.** {why}", why=" ".join(sentence(retold(reason)) for reason in suggestion.reasons)))
        if suggestion.limits_bound:
            bound = words.limits_in_words(suggestion.limits_bound, unit, words.aim(suggestion))
            st.markdown(_("**Limits that bound it.** {limits}", limits=sentence(listed(bound, SEMICOLON))))
        return
    st.html(explained.panel(suggestion, unit))
    with st.expander(_("Every part of the gain, the days behind it, and where each limit bound")):
        st.html(explained.limits(suggestion, unit))
        if suggestion.why.parts:
            st.html(explained.table(suggestion, unit) + explained.days(suggestion, unit))
        st.caption(
            _(
                "Each number is a part of what the search weighed: glycaemia risk (0 at 112.5 mg/dL, lows counted twice), by "
                "what of it lies beyond each threshold, and what it charges for a change and for time beyond the budgets for "
                "lows. They sum to the gain."
            )
        )
        if suggestion.why.patterns:
            st.caption(_("Low: 15 minutes below range in that part of the day. High: more than a quarter of it above range."))
        st.caption(" ".join(sentence(retold(reason)) for reason in suggestion.reasons))


def effect(suggestion: Suggestion, unit: Unit, recorded: Path | None = None) -> None:
    """Every option's predicted path and outcomes; `recorded`: what was measured around then."""
    st.header(_("Predicted effect, beside no change"))
    left, right = st.columns([1.35, 1], gap="medium")
    with left:
        st.plotly_chart(
            charts.prediction_figure(suggestion.options, unit, suggestion.kind, recorded, words.aim(suggestion)),
            config=charts.CONFIG,
            key="prediction",
        )
        if recorded is not None and any(minute > 0 for minute in recorded.minutes):
            st.caption(_('Dots are readings; those after "now" came of what was really given and eaten.'))
    with right:
        st.html(outcomes_table(suggestion.options, unit, suggestion.kind, words.aim(suggestion)))
        st.caption(_("Each value with its 90 % interval, by this patient's own model. A prediction, not a promise."))


def outcomes_table(options: Sequence[Option], unit: Unit, kind: Kind = "regimen", targets: Targets = ADULTS) -> str:
    """Every outcome, a row each, under every option, a column each."""
    keys = list(dict.fromkeys(key for option in options for key in option.outcomes))
    head = "".join(f"<th>{option_name(option.name)}{_doses_in_words(option, kind)}</th>" for option in options)
    rows = []
    for key in keys:
        title = words.outcome(key, unit, targets)
        cells = "".join(f"<td>{_interval(key, option.outcomes.get(key), unit)}</td>" for option in options)
        rows.append(f"<tr><th>{title}</th>{cells}</tr>")
    table = f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return drawings.scrolled(f"<table class='cp-regimen'>{table}</table>", _("Predicted outcomes"))


def _doses_in_words(option: Option, kind: Kind) -> str:
    """Doses in a word; the settings of a regimen stand elsewhere."""
    return f"<small>{escape(words.option_retold(option.does))}</small>" if option.does and kind == "doses" else ""


def _interval(key: str, value: Interval | None, unit: Unit) -> str:
    if value is None:
        return "-"
    if key == "mean":
        between = _("{low} to {high} {unit}", low=unit.text(value.low), high=unit.text(value.high), unit=unit.name)
        return f"<b>{unit.text(value.mid)}</b><small>{between}</small>"
    if key == "risk":
        between = _("{low:.1f} to {high:.1f}", low=value.low, high=value.high)
        return f"<b>{value.mid:.1f}</b><small>{between}</small>"
    between = _("{low:.1f} to {high:.1f} %", low=value.low, high=value.high)
    return f"<b>{value.mid:.1f} %</b><small>{between}</small>"


def provenance(suggestion: Suggestion) -> None:
    made = suggestion.provenance
    with st.expander(_("How this suggestion was made")):
        names = [_(MADE_OF.get(name, name)) for name in made]
        st.table({"": names, _("Value"): [retold(str(value)) for value in made.values()]})
