"""What one patient is treated to: what is in force, the presets of the therapy with their sources, and signing something else.

It draws what the therapy's practice declares. Nothing here names a therapy.
"""

import math
from collections.abc import Mapping
from html import escape

import streamlit as st

from app import access, drawings, sign_in
from app.screens import choose
from app.wording import group_name, outcome_name, when
from careplan import therapies
from careplan.clinic import ClinicError, StoreError, sign_targets, targets_in_force
from careplan.clinic.roles import DECIDES
from careplan.clinic.targets import InForce
from careplan.display import SEMICOLON, Unit, listed
from careplan.language import N_, _, retold
from careplan.targets import CUSTOM, Presets, Targets

LEVELS = {
    "very_low": N_("Very low: below"),
    "low": N_("In range: from"),
    "high": N_("In range: to"),
    "very_high": N_("Very high: above"),
}
ITS_OWN = N_("Targets of this patient alone")


def draw() -> None:
    patient = choose.patient(N_("Targets of patient {patient}"))
    found = access.remembered(f"targets:{patient}", lambda: targets_in_force(access.database(), patient))
    presets = therapies.practice(found.therapy).presets
    unit = unit_of(found.therapy)
    if told := st.session_state.pop("targets_signed", None):
        st.success(told, icon=":material/verified:")
    if not presets.known:
        st.info(_("This therapy knows no targets."))
        return
    if found.problem is not None:
        problem = retold(found.problem)
        st.error(_("**These targets were changed past careplan.** {problem}.", problem=problem), icon=":material/error:")
    _in_force(found)
    st.html(table(found, unit))
    sources = dict.fromkeys(each.source for each in found.presets)
    st.caption(_("Sources: {sources}.", sources=listed(sources, SEMICOLON)))
    if access.allowed(DECIDES):
        _other(found, presets, unit)
    else:
        st.caption(_("Deciding takes the role of clinician."))


def unit_of(therapy: str) -> Unit:
    """The reader's choice where the therapy's level has it, else the therapy's own unit."""
    units = therapies.practice(therapy).units
    chosen = access.unit()
    return chosen if chosen in units else units[0] if units else Unit("", 1.0, 1)


def name_of(targets: Targets, presets: Presets) -> str:
    """For whom targets are, in words."""
    known = presets.named(targets.preset)
    return _(ITS_OWN) if known is None else _(known.whom)


def _in_force(found: InForce) -> None:
    st.header(_("In force"))
    whom = name_of(found.targets, therapies.practice(found.therapy).presets)
    signed = found.signed
    if signed is None:
        said = _("the default of the group {group}, until somebody signs other targets", group=group_name(found.group))
    else:
        said = _("signed by {who}, {when} UTC: {reason}", who=signed.signer, when=when(signed.since, "UTC"), reason=signed.reason)
    st.markdown(_("**{whom}** \N{EN DASH} {said}.", whom=whom, said=said))


def table(found: InForce, unit: Unit) -> str:
    """What is in force beside every preset: a row a level and a share."""
    every = [found.targets, *(each.targets for each in found.presets if each.targets.preset != found.targets.preset)]
    presets = therapies.practice(found.therapy).presets
    names = dict.fromkeys(name for each in every for name in (*each.levels, *each.shares))
    heads = [f"{escape(name_of(each, presets))}{_here(place)}" for place, each in enumerate(every)]
    head = "".join(f"<th scope='col'>{name}</th>" for name in heads)
    rows = []
    for name in names:
        cells = "".join(f"<td{_marked(place)}>{_value(each, name, unit)}</td>" for place, each in enumerate(every))
        title = _(LEVELS.get(name, "")) if name in found.targets.levels else outcome_name(name)
        rows.append(f"<tr><th scope='row'>{title}</th>{cells}</tr>")
    body = "".join(rows)
    whole = f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody>"
    return drawings.scrolled(f"<table class='cp-regimen cp-wraps'>{whole}</table>", _("Targets"))


def _here(place: int) -> str:
    said = _("in force")
    return f"<small>{said}</small>" if place == 0 else ""


def _marked(place: int) -> str:
    return " class='cp-changed'" if place == 0 else ""


def _value(targets: Targets, name: str, unit: Unit) -> str:
    if name in targets.levels:
        return f"{unit.text(targets.levels[name])} {unit.name}"
    if name not in targets.shares:
        return "<small>\N{EN DASH}</small>"
    sign = {"in_range": ">", "cv": "\N{LESS-THAN OR EQUAL TO}"}.get(name, "<")
    return f"{sign} {targets.shares[name]:g} %"


def _other(found: InForce, presets: Presets, unit: Unit) -> None:
    """Another preset, or other numbers, with a reason and a signature."""
    st.header(_("Sign other targets"))
    others = [each.targets.preset for each in presets.known if each.targets.preset != found.targets.preset or not found.signed]
    chosen = st.selectbox(
        _("Treat to"),
        [*others, CUSTOM],
        None,
        key=f"targets_of:{found.patient}",
        format_func=lambda name: _(ITS_OWN) if name == CUSTOM else name_of(_named(presets, name), presets),
        placeholder=_("Choose"),
        width=420,
    )
    if chosen is None:
        return
    changed = _numbers(found, presets, unit) if chosen == CUSTOM else {}
    reason = st.text_input(_("Why"), key="targets_reason", placeholder=_("Goes on record with the signature"), width=420)
    st.caption(
        _(
            "From then on metrics, charts, the worklist, plans and limits go by these targets. What was proposed under others "
            "can no longer be signed: plan again."
        )
    )
    _sign(found, None if chosen == CUSTOM else chosen, changed, reason)


def _named(presets: Presets, name: str) -> Targets:
    known = presets.named(name)
    return presets.of("") if known is None else known.targets


def _numbers(found: InForce, presets: Presets, unit: Unit) -> dict[str, float]:
    """The levels and shares that are moved; each has a box of its own, empty where there is no target."""
    values: dict[str, float] = {}
    every = dict.fromkeys([*found.targets.levels, *(name for each in presets.known for name in each.targets.shares)])
    columns = st.columns(4)
    for place, name in enumerate(every):
        level = name in found.targets.levels
        scale = unit if level else Unit("%", 1.0, 1)
        low, high = (round(scale.of(bound), scale.digits) for bound in presets.bounds[name])
        now = found.targets.levels.get(name, found.targets.shares.get(name))
        shown = None if now is None else round(scale.of(now), scale.digits)
        title = _(LEVELS.get(name, "")) if level else outcome_name(name)
        value = columns[place % 4].number_input(
            f"{title}, {scale.name}",
            min_value=float(low),
            max_value=float(high),
            value=None if shown is None else float(shown),
            step=1.0 if scale.digits == 0 or not level else 0.1,
            format="%.0f" if scale.digits == 0 else "%.1f",
            placeholder=_("no target"),
            key=f"target:{found.patient}:{unit.name}:{name}",
        )
        if value != shown:
            values[name] = math.nan if value is None else scale.back(value)
    return values


def _sign(found: InForce, preset: str | None, changed: Mapping[str, float], reason: str) -> None:
    """The signature, as that of a review: the provider asks anew, or on one's own machine the name is typed."""
    actor = access.actor()
    if sign_in.configured() and not sign_in.fresh():
        st.caption(_("To sign, confirm who you are: you are asked for your password once more, and come back here."))
        if st.button(_("Confirm who you are"), key="confirm", icon=":material/login:"):
            access.come_back("targets", found.patient)
            sign_in.begin(anew=True)
        return
    name = actor.name
    if not sign_in.configured():
        name = st.text_input(_("Type your name to sign"), key="targets_name", placeholder=actor.name, width=320)
    ready = bool(reason.strip()) and (preset is not None or bool(changed))
    if not st.button(_("Sign"), key="sign_targets", type="primary", disabled=not ready, icon=":material/signature:"):
        return
    if " ".join(name.split()).casefold() != actor.name.casefold():
        said = _("Not signed: the name typed is not {name}, as whom you are at work.", name=actor.name)
        st.error(said, icon=":material/block:")
        return
    try:
        done = sign_targets(
            access.database(), found.patient, preset=preset, changed=changed, reason=reason, actor=actor, therapy=found.therapy
        )
    except (ClinicError, StoreError) as error:
        st.error(_("Not signed: {problem}", problem=retold(str(error))), icon=":material/block:")
        return
    whom = name_of(done.targets, therapies.practice(done.therapy).presets)
    st.session_state["targets_signed"] = _("Signed: {patient} is treated to: {whom}.", patient=done.patient, whom=whom)
    st.session_state.pop(f"targets_of:{found.patient}", None)
    access.forget()
    st.rerun()
