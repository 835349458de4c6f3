"""Accept, edit or reject each line, kept at once; then sign."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import access
from app.access import Reviewer
from app.wording import change, direction, in_words, key_name, line_name, scale, when
from careplan import therapies
from careplan.clinic import ClinicError, ReviewError, StoreError, meaning_of, save_draft, sign_review
from careplan.clinic.views import Review
from careplan.display import Unit, sentence
from careplan.suggestion import MEANINGS, Decision, Kind, Line, Meaning, Suggestion, Verdict

CHOICES: Mapping[Verdict, str] = {"accept": "Accept", "edit": "Edit", "reject": "Reject"}
PAST: Mapping[Verdict, str] = {"accept": "accepted", "edit": "edited", "reject": "rejected"}


@st.fragment
def decide(
    suggestion: Suggestion, draft: tuple[Decision, ...], out_of_date: tuple[str, ...], reviewer: Reviewer, unit: Unit
) -> None:
    """Every line with its choice, then the signature; neither where it is out of date. `draft`: where a session left off."""
    if out_of_date:
        listed = "".join(f"\n- {sentence(reason)}" for reason in out_of_date)
        st.warning(f"**Out of date: this suggestion cannot be signed.**\n{listed}", icon=":material/history:")
        for line in suggestion.lines:
            st.markdown(f"- **{line_name(line, suggestion.kind)}** &nbsp; {_values(line, suggestion.kind, unit)}")
        return
    decided = access.remembered(f"decided:{suggestion.id}", lambda: {decision.key: decision for decision in draft})
    if suggestion.lines:
        st.subheader("Your decision")
        st.caption("Every choice is kept as a draft at once; nothing is prescribed until you sign.")
    for line in suggestion.lines:
        _line(suggestion, line, decided, reviewer, unit)
    if problem := st.session_state.get("unsaved"):
        st.error(f"The draft was not kept: {problem}", icon=":material/error:")
    elif decided:
        st.caption(f":material/check: Draft kept: {len(decided)} of {len(suggestion.lines)} lines decided.")
    _sign(suggestion, decided, reviewer, unit)


def _line(suggestion: Suggestion, line: Line, decided: dict[str, Decision], reviewer: Reviewer, unit: Unit) -> None:
    name = f"{suggestion.id}:{line.key}"
    before = decided.get(line.key)
    keys = {"verdict": f"verdict:{name}", "value": f"value:{unit.name}:{name}", "reason": f"reason:{name}"}
    kept: dict[str, Any] = {"on_change": _keep, "args": (suggestion, line, keys, decided, reviewer, unit)}
    with st.container(border=True):
        what, choice = st.columns([1.6, 1], vertical_alignment="center")
        with what:
            st.markdown(f"**{line_name(line, suggestion.kind)}** &nbsp; {_values(line, suggestion.kind, unit)}")
            st.caption(sentence(_because(line, suggestion, unit)))
        with choice:
            st.session_state.setdefault(keys["verdict"], before.verdict if before else None)
            verdict: Verdict | None = st.segmented_control(
                f"Decision on {line_name(line, suggestion.kind)}",
                list(CHOICES),
                format_func=lambda choice: CHOICES[choice],
                key=keys["verdict"],
                label_visibility="collapsed",
                width="stretch",
                **kept,
            )
        if verdict is not None and _asks(line, verdict):
            value, why = st.columns([1, 2]) if verdict == "edit" else (None, st.container())
            if value is not None:
                with value:
                    _edit(line, keys["value"], before, unit, kept)
            st.session_state.setdefault(keys["reason"], before.reason if before else "")
            why.text_input("Reason", key=keys["reason"], placeholder="Why (needed to sign)", **kept)


def _because(line: Line, suggestion: Suggestion, unit: Unit) -> str:
    """Why a line is proposed, as its therapy says it."""
    practice = therapies.practice(suggestion.therapy) if suggestion.therapy else therapies.first()
    return line.why if practice.words is None else practice.words.because(line, suggestion, unit)


def _values(line: Line, kind: Kind, unit: Unit) -> str:
    shown = scale(line.setting, unit)
    if kind == "doses":
        return f"**{shown.text(line.proposed)}** {shown.unit}"
    meaning = direction(line.setting, line.current, line.proposed)
    difference = change(line.setting, line.current, line.proposed, unit)
    values = f"{shown.text(line.current)} → **{shown.text(line.proposed)}** {shown.unit}"
    return f"{values} &nbsp; {difference}{meaning and ', ' + meaning}"


def _asks(line: Line, verdict: Verdict) -> bool:
    """Whether a choice needs a reason: any but accepting what lies within the recommended range."""
    return verdict != "accept" or not line.lowest <= line.proposed <= line.highest


def _edit(line: Line, key: str, before: Decision | None, unit: Unit, kept: dict[str, Any]) -> None:
    shown = scale(line.setting, unit)
    start = before.value if before is not None and before.verdict == "edit" else line.proposed
    st.session_state.setdefault(key, round(shown.of(start), shown.digits))
    value = st.number_input(
        f"Value, {shown.unit}",
        min_value=shown.of(line.absolute_low) - 1e-9,
        max_value=shown.of(line.absolute_high) + 1e-9,
        step=shown.step,
        format=f"%.{shown.digits}f",
        key=key,
        help=f"Nobody can sign beyond {shown.text(line.absolute_low)} to {shown.text(line.absolute_high)} {shown.unit}.",
        **kept,
    )
    recommended = f"{shown.text(line.lowest)} to {shown.text(line.highest)} {shown.unit}"
    if line.lowest > line.highest:
        st.warning("No value near the current one is within the recommended range: signing needs a typed reason.")
    elif shown.of(line.lowest) - 1e-6 <= value <= shown.of(line.highest) + 1e-6:
        st.caption(f"{change(line.setting, line.current, shown.back(value), unit)} from now. Recommended: {recommended}.")
    else:
        st.warning(f"Beyond the recommended {recommended}: signing this needs a typed reason.", icon=":material/warning:")


def _keep(
    suggestion: Suggestion, line: Line, keys: Mapping[str, str], decided: dict[str, Decision], reviewer: Reviewer, unit: Unit
) -> None:
    """A choice was made: into the database at once."""
    verdict = st.session_state.get(keys["verdict"])
    if verdict is None:
        decided.pop(line.key, None)
    else:
        shown = st.session_state.get(keys["value"])
        edited = line.proposed if shown is None else scale(line.setting, unit).back(shown)
        value = {"accept": line.proposed, "reject": line.current, "edit": edited}[verdict]
        reason = st.session_state.get(keys["reason"], "").strip() if _asks(line, verdict) else ""
        decided[line.key] = Decision(key=line.key, verdict=verdict, value=value, reason=reason)
    st.session_state.pop("unsaved", None)
    st.session_state.pop("refused", None)
    try:
        save_draft(access.database(), _id(suggestion), tuple(decided.values()), reviewer.actor)
    except (ClinicError, StoreError) as error:
        st.session_state["unsaved"] = str(error)


def _sign(suggestion: Suggestion, decided: Mapping[str, Decision], reviewer: Reviewer, unit: Unit) -> None:
    left = len(suggestion.lines) - len(decided)
    follows = meaning_of(suggestion.lines, tuple(decided.values()))
    with st.form("sign", border=True):
        st.markdown(
            f"**Signature.** {left} of {len(suggestion.lines)} lines are still to decide."
            if left
            else f"**Signature.** {_statement(suggestion, decided, unit)}"
        )
        meaning = st.selectbox(
            "This signature means", MEANINGS, index=MEANINGS.index(follows), key=f"meaning:{suggestion.id}:{follows}", width=320
        )
        name = st.text_input("Type your name to sign", key="sign_name", placeholder=reviewer.name, width=320)
        pressed = st.form_submit_button("Sign", type="primary", disabled=left > 0)
    if pressed:
        st.session_state["refused"] = _try(suggestion, decided, reviewer, meaning, name)
        if not st.session_state["refused"]:
            access.forget()
            st.rerun()
    if refused := st.session_state.get("refused"):
        listed = "\n".join(f"- {in_words(problem, suggestion.lines, suggestion.kind)}" for problem in refused)
        st.error(f"**Not signed.**\n\n{listed}", icon=":material/block:")


def _statement(suggestion: Suggestion, decided: Mapping[str, Decision], unit: Unit) -> str:
    """What a signature says: it names every value, so that it can be read by itself."""
    prescribed = []
    for line in suggestion.lines:
        decision = decided.get(line.key)
        if decision is not None and decision.verdict != "reject":
            shown = scale(line.setting, unit)
            prescribed.append(f"{line_name(line, suggestion.kind)}: {shown.text(decision.value)} {shown.unit}")
    doses = f" for the hours after {suggestion.at:%Y-%m-%d %H:%M} UTC" if suggestion.kind == "doses" else ""
    reviewed = (
        f"I have reviewed the recordings of patient {suggestion.patient} and suggestion {suggestion.id}{doses}, and I prescribe"
    )
    return f"{reviewed} {'; '.join(prescribed)}." if prescribed else f"{reviewed} no change."


def _try(
    suggestion: Suggestion, decided: Mapping[str, Decision], reviewer: Reviewer, meaning: Meaning, name: str
) -> tuple[str, ...]:
    """Signs, or says why not."""
    if " ".join(name.split()).casefold() != reviewer.name.casefold():
        return (f"the name typed is not {reviewer.name}, who is reviewing",)
    try:
        sign_review(access.database(), _id(suggestion), tuple(decided.values()), reviewer.actor, meaning)
    except ReviewError as error:
        return error.problems
    except (ClinicError, StoreError) as error:
        return (str(error),)
    return ()


def signed_review(suggestion: Suggestion, review: Review, unit: Unit) -> None:
    """What was decided, as the database has it."""
    st.subheader("Signed")
    st.success(f"{review.reviewer}, {when(review.signed, 'UTC')} UTC: “{review.meaning}”", icon=":material/verified:")
    by_key = {decision.key: decision for decision in review.decisions}
    for line in suggestion.lines:
        decision, shown = by_key[line.key], scale(line.setting, unit)
        reason = f" Reason: {decision.reason}" if decision.reason else ""
        st.markdown(
            f"- {line_name(line, suggestion.kind)}: **{PAST[decision.verdict]}**; "
            + (f"was {shown.text(line.current)}, " if suggestion.kind == "regimen" else "")
            + f"proposed {shown.text(line.proposed)}, prescribed **{shown.text(decision.value)} {shown.unit}**.{reason}"
        )


def _id(suggestion: Suggestion) -> int:
    if suggestion.id is None:
        raise ClinicError("a suggestion that is not stored cannot be decided")
    return suggestion.id


def history(reviews: tuple[Review, ...], zone: str, kind: Kind = "regimen") -> None:
    """Reviews signed earlier, the newest first."""
    if not reviews:
        return
    st.subheader("Signed reviews")
    for review in reviews:
        with st.expander(f"{when(review.signed, zone)}, {review.reviewer}"):
            st.markdown(f"> {review.meaning}")
            for decision in review.decisions:
                reason = f": {decision.reason}" if decision.reason else ""
                st.markdown(f"- {key_name(decision.key, kind)}: **{PAST[decision.verdict]}** at {decision.value:g}{reason}")
