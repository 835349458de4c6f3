"""Accept, edit or reject each line, kept at once; then sign."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import access, sign_in
from app.wording import Scale, change, direction, in_words, key_name, line_name, scale, when
from careplan import therapies
from careplan.clinic import Actor, ClinicError, ReviewError, StoreError, load_draft, meaning_of, save_draft, sign_review
from careplan.clinic.roles import DECIDES
from careplan.clinic.views import Review
from careplan.display import SEMICOLON, Unit, listed, sentence
from careplan.language import N_, _, retold
from careplan.suggestion import MEANINGS, Decision, Kind, Line, Meaning, Suggestion, Verdict

CHOICES: Mapping[Verdict, str] = {"accept": N_("Accept"), "edit": N_("Edit"), "reject": N_("Reject")}
PAST: Mapping[Verdict, str] = {"accept": N_("accepted"), "edit": N_("edited"), "reject": N_("rejected")}
SAID = (N_("prescribe as proposed"), N_("prescribe with changes"), N_("prescribe no change"))  # `MEANINGS`, for the catalogue


@st.fragment
def decide(suggestion: Suggestion, draft: tuple[Decision, ...], out_of_date: tuple[str, ...], actor: Actor, unit: Unit) -> None:
    """Every line with its choice, then the signature; neither where it is out of date. `draft`: where a session left off."""
    if out_of_date:
        told = "".join(f"\n- {sentence(in_words(reason, suggestion.lines, suggestion.kind))}" for reason in out_of_date)
        st.warning(_("**Out of date: this suggestion cannot be signed.**\n{why}", why=told), icon=":material/history:")
        for line in suggestion.lines:
            st.markdown(f"- **{line_name(line, suggestion.kind)}** &nbsp; {_values(line, suggestion.kind, unit)}")
        return
    decided = _decided(suggestion, draft, actor)
    if suggestion.lines:
        st.header(_("Your decision"))
        st.caption(_("Every choice is kept as a draft at once; nothing is prescribed until you sign."))
    if not access.allowed(DECIDES):
        st.caption(_("Deciding takes the role of clinician."))
        for line in suggestion.lines:
            st.markdown(f"- **{line_name(line, suggestion.kind)}** &nbsp; {_values(line, suggestion.kind, unit)}")
        return
    for line in suggestion.lines:
        _line(suggestion, line, draft, actor, unit)
    left = [line for line in suggestion.lines if line.key not in decided and not _asks(line, "accept")]
    if len(left) > 1:
        label = _("Accept the {count} lines left as proposed", count=len(left))
        st.button(label, key="accept_left", icon=":material/done_all:", on_click=_accept, args=(suggestion, left, draft, actor))
    if problem := st.session_state.get("unsaved"):
        st.error(_("The draft was not kept: {problem}", problem=retold(problem)), icon=":material/error:")
    elif decided:
        count, lines = len(decided), len(suggestion.lines)
        st.caption(_(":material/check: Draft kept: {count} of {lines} lines decided.", count=count, lines=lines))
    _sign(suggestion, decided, actor, unit)


def _decided(suggestion: Suggestion, draft: tuple[Decision, ...], actor: Actor) -> dict[str, Decision]:
    """The decisions so far, by line. Whoever draws or changes a line asks for them here at that moment: a run may be broken off
    after they were read anew and before the line was drawn again. draft: of another reviewer, where this one has none."""

    def load() -> dict[str, Decision]:
        mine = load_draft(access.database(), _id(suggestion), actor)
        return {decision.key: decision for decision in mine or draft}

    return access.remembered(f"decided:{suggestion.id}", load)


def _line(suggestion: Suggestion, line: Line, draft: tuple[Decision, ...], actor: Actor, unit: Unit) -> None:
    name = f"{suggestion.id}:{line.key}"
    before = _decided(suggestion, draft, actor).get(line.key)
    keys = {"verdict": f"verdict:{name}", "value": f"value:{unit.name}:{name}", "reason": f"reason:{name}"}
    kept: dict[str, Any] = {"on_change": _keep, "args": (suggestion, line, keys, draft, actor, unit)}
    with st.container(border=True):
        what, choice = st.columns([1.6, 1], vertical_alignment="center")
        with what:
            st.markdown(f"**{line_name(line, suggestion.kind)}** &nbsp; {_values(line, suggestion.kind, unit)}")
            st.caption(sentence(_because(line, suggestion, unit)))
        with choice:
            st.session_state.setdefault(keys["verdict"], before.verdict if before else None)
            verdict: Verdict | None = st.segmented_control(
                _("Decision on {line}", line=line_name(line, suggestion.kind)),
                list(CHOICES),
                format_func=lambda choice: _(CHOICES[choice]),
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
            why.text_input(_("Reason"), key=keys["reason"], placeholder=_("Why (needed to sign)"), **kept)


def _because(line: Line, suggestion: Suggestion, unit: Unit) -> str:
    """Why a line is proposed, as its therapy says it."""
    practice = therapies.practice(suggestion.therapy) if suggestion.therapy else therapies.first()
    return retold(line.why) if practice.words is None else practice.words.because(line, suggestion, unit)


def _values(line: Line, kind: Kind, unit: Unit) -> str:
    shown = scale(line.setting, unit)
    if kind == "doses":
        return f"**{shown.text(line.proposed)}** {shown.unit}"
    meaning = direction(line.setting, line.current, line.proposed)
    difference = change(line.setting, line.current, line.proposed, unit)
    values = f"{shown.text(line.current)} → **{shown.text(line.proposed)}** {shown.unit}"
    return f"{values} &nbsp; {listed([difference, meaning])}"


def _asks(line: Line, verdict: Verdict) -> bool:
    """Whether a choice needs a reason: any but accepting what lies within the recommended range."""
    return verdict != "accept" or not line.lowest <= line.proposed <= line.highest


def _edit(line: Line, key: str, before: Decision | None, unit: Unit, kept: dict[str, Any]) -> None:
    shown = scale(line.setting, unit)
    start = before.value if before is not None and before.verdict == "edit" else line.proposed
    st.session_state.setdefault(key, round(shown.of(start), shown.digits))
    value = st.number_input(
        _("Value, {unit}", unit=shown.unit),
        min_value=shown.of(line.absolute_low) - 1e-9,
        max_value=shown.of(line.absolute_high) + 1e-9,
        step=shown.step,
        format=f"%.{shown.digits}f",
        key=key,
        help=_("Nobody can sign beyond {range}.", range=_range(line.absolute_low, line.absolute_high, shown)),
        **kept,
    )
    recommended = _range(line.lowest, line.highest, shown)
    if line.lowest > line.highest:
        st.warning(_("No value near the current one is within the recommended range: signing needs a typed reason."))
    elif shown.of(line.lowest) - 1e-6 <= value <= shown.of(line.highest) + 1e-6:
        moved = change(line.setting, line.current, shown.back(value), unit)
        st.caption(_("{change} from now. Recommended: {range}.", change=moved, range=recommended))
    else:
        said = _("Beyond the recommended {range}: signing this needs a typed reason.", range=recommended)
        st.warning(said, icon=":material/warning:")


def _range(low: float, high: float, shown: Scale) -> str:
    return _("{low} to {high} {unit}", low=shown.text(low), high=shown.text(high), unit=shown.unit)


def _keep(
    suggestion: Suggestion, line: Line, keys: Mapping[str, str], draft: tuple[Decision, ...], actor: Actor, unit: Unit
) -> None:
    """A choice was made: into the database at once."""
    st.session_state.pop("unsaved", None)
    st.session_state.pop("refused", None)
    try:
        decided = _decided(suggestion, draft, actor)
        _choose(line, keys, decided, unit)
        save_draft(access.database(), _id(suggestion), tuple(decided.values()), actor)
    except (ClinicError, StoreError) as error:
        st.session_state["unsaved"] = str(error)


def _accept(suggestion: Suggestion, left: list[Line], draft: tuple[Decision, ...], actor: Actor) -> None:
    """The lines that nobody decided are accepted as proposed: into the database at once."""
    st.session_state.pop("unsaved", None)
    st.session_state.pop("refused", None)
    try:
        decided = _decided(suggestion, draft, actor)
        for line in left:
            if line.key not in decided:
                decided[line.key] = Decision(key=line.key, verdict="accept", value=line.proposed)
                st.session_state[f"verdict:{suggestion.id}:{line.key}"] = "accept"
        save_draft(access.database(), _id(suggestion), tuple(decided.values()), actor)
    except (ClinicError, StoreError) as error:
        st.session_state["unsaved"] = str(error)


def _choose(line: Line, keys: Mapping[str, str], decided: dict[str, Decision], unit: Unit) -> None:
    """What the fields of a line say now, among the decisions."""
    verdict = st.session_state.get(keys["verdict"])
    if verdict is None:
        decided.pop(line.key, None)
    else:
        shown = st.session_state.get(keys["value"])
        edited = line.proposed if shown is None else scale(line.setting, unit).back(shown)
        value = {"accept": line.proposed, "reject": line.current, "edit": edited}[verdict]
        reason = st.session_state.get(keys["reason"], "").strip() if _asks(line, verdict) else ""
        decided[line.key] = Decision(key=line.key, verdict=verdict, value=value, reason=reason)


def _sign(suggestion: Suggestion, decided: Mapping[str, Decision], actor: Actor, unit: Unit) -> None:
    left, lines = len(suggestion.lines) - len(decided), len(suggestion.lines)
    undecided = _("**Signature.** {left} of {lines} lines are still to decide.", left=left, lines=lines)
    if sign_in.configured() and not sign_in.fresh():
        st.markdown(undecided if left else _("**Signature.**"))
        st.caption(_("To sign, confirm who you are: you are asked for your password once more, and come back here."))
        if st.button(_("Confirm who you are"), key="confirm", icon=":material/login:", disabled=left > 0):
            access.come_back("review" if suggestion.kind == "regimen" else "doses", suggestion.patient)
            sign_in.begin(anew=True)
        return
    follows = meaning_of(suggestion.lines, tuple(decided.values()))
    with st.form("sign", border=True):
        stated = _("**Signature.** {statement}", statement=_statement(suggestion, decided, unit))
        st.markdown(undecided if left else stated)
        meaning = st.selectbox(
            _("This signature means"),
            MEANINGS,
            index=MEANINGS.index(follows),
            format_func=_,
            key=f"meaning:{suggestion.id}:{follows}",
            width=320,
        )
        name = actor.name
        if not sign_in.configured():
            name = st.text_input(_("Type your name to sign"), key="sign_name", placeholder=actor.name, width=320)
        pressed = st.form_submit_button(_("Sign"), type="primary", disabled=left > 0)
    if pressed:
        st.session_state["refused"] = _try(suggestion, decided, actor, meaning, name)
        if not st.session_state["refused"]:
            access.forget()
            st.rerun()
    if refused := st.session_state.get("refused"):
        told = "\n".join(f"- {in_words(problem, suggestion.lines, suggestion.kind)}" for problem in refused)
        st.error(_("**Not signed.**\n\n{why}", why=told), icon=":material/block:")


def _statement(suggestion: Suggestion, decided: Mapping[str, Decision], unit: Unit) -> str:
    """What a signature says: it names every value, so that it can be read by itself."""
    prescribed = []
    for line in suggestion.lines:
        decision = decided.get(line.key)
        if decision is not None and decision.verdict != "reject":
            shown = scale(line.setting, unit)
            value = f"{shown.text(decision.value)} {shown.unit}"
            prescribed.append(_("{name}: {said}", name=line_name(line, suggestion.kind), said=value))
    statement = (
        N_(
            "I have reviewed the recordings of patient {patient} and suggestion {suggestion} for the hours after {time} UTC, and "
            "I prescribe {what}."
        )
        if suggestion.kind == "doses"
        else N_("I have reviewed the recordings of patient {patient} and suggestion {suggestion}, and I prescribe {what}.")
    )
    return _(
        statement,
        patient=suggestion.patient,
        suggestion=suggestion.id,
        time=f"{suggestion.at:%Y-%m-%d %H:%M}",
        what=listed(prescribed, SEMICOLON) or _("no change"),
    )


def _try(suggestion: Suggestion, decided: Mapping[str, Decision], actor: Actor, meaning: Meaning, name: str) -> tuple[str, ...]:
    """Signs, or says why not."""
    if " ".join(name.split()).casefold() != actor.name.casefold():
        return (N_("the name typed is not {name}, as whom you are at work").format(name=actor.name),)
    try:
        sign_review(access.database(), _id(suggestion), tuple(decided.values()), actor, meaning)
    except ReviewError as error:
        return error.problems
    except (ClinicError, StoreError) as error:
        return (str(error),)
    return ()


def signed_review(suggestion: Suggestion, review: Review, unit: Unit) -> None:
    """What was decided, as the database has it."""
    st.header(_("Signed"))
    said = _(
        "{reviewer}, {time} UTC: “{meaning}”",
        reviewer=review.reviewer,
        time=when(review.signed, "UTC"),
        meaning=_(review.meaning),
    )
    st.success(said, icon=":material/verified:")
    by_key = {decision.key: decision for decision in review.decisions}
    told = (
        N_("- {line}: **{verdict}**; was {current}, proposed {proposed}, prescribed **{value} {unit}**.")
        if suggestion.kind == "regimen"
        else N_("- {line}: **{verdict}**; proposed {proposed}, prescribed **{value} {unit}**.")
    )
    for line in suggestion.lines:
        decision, shown = by_key[line.key], scale(line.setting, unit)
        said = _(
            told,
            line=line_name(line, suggestion.kind),
            verdict=_(PAST[decision.verdict]),
            current=shown.text(line.current),
            proposed=shown.text(line.proposed),
            value=shown.text(decision.value),
            unit=shown.unit,
        )
        st.markdown(said + (_(" Reason: {reason}", reason=decision.reason) if decision.reason else ""))


def _id(suggestion: Suggestion) -> int:
    if suggestion.id is None:
        raise ClinicError(N_("a suggestion that is not stored cannot be decided"))
    return suggestion.id


def history(reviews: tuple[Review, ...], kind: Kind = "regimen") -> None:
    """Reviews signed earlier, the newest first."""
    if not reviews:
        return
    st.header(_("Signed reviews"))
    for review in reviews:
        with st.expander(_("{time} UTC, {reviewer}", time=when(review.signed, "UTC"), reviewer=review.reviewer)):
            st.markdown(f"> {_(review.meaning)}")
            for decision in review.decisions:
                line, verdict = key_name(decision.key, kind), _(PAST[decision.verdict])
                said = _("- {line}: **{verdict}** at {value:g}", line=line, verdict=verdict, value=decision.value)
                st.markdown(_("{name}: {said}", name=said, said=decision.reason) if decision.reason else said)
