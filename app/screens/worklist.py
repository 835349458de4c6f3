"""Who to look at first: every patient by urgency, hypoglycaemia first."""

from collections.abc import Callable
from dataclasses import replace
from html import escape
from typing import Any

import streamlit as st

from app import access, drawings, planning
from app.palette import COLORS, LINE
from app.screens import choose
from app.wording import duration, group_name, outcome_name
from careplan import therapies
from careplan.clinic import worklist
from careplan.clinic.roles import DECIDES
from careplan.clinic.views import Sort, Status, WorklistPage, WorklistQuery, WorklistRow
from careplan.clinic.worklists import WAITING
from careplan.display import SEMICOLON, listed, sentence
from careplan.language import N_, _, day, number, retold
from careplan.therapies.glucose.bands import LOW, VERY_LOW
from careplan.therapies.glucose.declaration import GATE
from careplan.therapies.glucose.views import Metrics

STATUS: dict[Status, str] = {
    "no data": N_("No data"),
    "not planned": N_("Not planned"),
    "suggested": N_("To review"),
    "no change": N_("No change proposed"),
    "abstained": N_("Abstained"),
    "draft": N_("Draft"),
    "signed": N_("Signed"),
    "altered": N_("Changed past careplan"),
    "not readable": N_("Not readable here"),
}
SORTS: dict[Sort, str] = {"urgency": N_("Most urgent first"), "name": N_("By name"), "last": N_("Newest data first")}
WIDTHS = [0.25, 2.6, 2.6, 1.5, 1.1]
ASKED = "worklist_asked"  # what was asked last: it outlives another page; the address keeps it through a reload
NAMES = ("find", "status", "group", "unmet", "due", "sort", "page")


def draw(open_patient: Callable[[str, str], None]) -> None:
    st.title(_("Worklist"))
    query = _asked()
    page = access.remembered(
        f"worklist:{query}", lambda: worklist(access.database(), query, actor=access.actor()), only="worklist:"
    )
    everybody = sum(page.statuses.values())
    if not everybody:
        choose.nobody()
        return
    waiting = sum(page.statuses.get(status, 0) for status in WAITING)
    counts = [
        _("1 patient") if everybody == 1 else _("{count} patients", count=number(everybody)),
        _("{count} waiting for a decision", count=number(waiting)),
        _("{count} due for a look after a change", count=number(page.due)) if page.due else "",
    ]
    st.caption(" ".join((sentence(listed(counts)), _order(query, page))))
    _filter(query, page)
    pages = max(1, -(-page.found // query.size))
    if not page.found:
        st.info(_("No patient matches."))
        return
    if access.allowed(DECIDES):
        _chosen(page)
    for row in page.rows:
        _row(row, open_patient)
    if pages > 1:
        label = _("Page, of {pages}", pages=pages)
        st.number_input(label, 1, pages, min(query.page, pages), key="worklist_page", width=140, on_change=_keep)


def _order(query: WorklistQuery, page: WorklistPage) -> str:
    """What comes first, as far as it is true of those who are shown."""
    unit = access.unit()
    if query.sort != "urgency" or not any(isinstance(row.metrics, Metrics) for row in page.rows):
        return sentence(_(SORTS[query.sort]))
    return _(
        "Most urgent first: by time below {very_low} {unit}, then below {low}, then highs, over the last 14 days recorded.",
        very_low=unit.text(VERY_LOW),
        low=unit.text(LOW),
        unit=unit.name,
    )


def _asked() -> WorklistQuery:
    """What is asked: of the address where it says anything, else as it was last."""
    given = st.query_params
    if not any(name in given for name in NAMES):
        last: WorklistQuery = st.session_state.get(ASKED, WorklistQuery())
        _tell(last)
        return last
    asked = WorklistQuery(
        find=given.get("find", ""),
        statuses=tuple(status for status in STATUS if status in given.get_all("status")),
        group=given.get("group"),
        unmet=tuple(given.get_all("unmet")),
        due="due" in given,
        sort=next((sort for sort in SORTS if sort == given.get("sort")), "urgency"),
        page=int(given["page"]) if given.get("page", "").isdecimal() else 1,
    )
    st.session_state[ASKED] = asked
    return asked


def _tell(query: WorklistQuery) -> None:
    """Puts what is asked into the address."""
    said: dict[str, Any] = {
        "find": query.find,
        "status": list(query.statuses),
        "group": query.group,
        "unmet": list(query.unmet),
        "due": "yes" if query.due else "",
        "sort": "" if query.sort == "urgency" else query.sort,
        "page": "" if query.page == 1 else str(query.page),
    }
    for name, value in said.items():
        if value:
            st.query_params[name] = value
        elif name in st.query_params:
            del st.query_params[name]
    st.session_state[ASKED] = query


def _keep() -> None:
    """Something was chosen; whatever it was, the list begins at its first page unless that was chosen itself."""
    state = st.session_state
    asked = WorklistQuery(
        find=state.get("worklist_find", "").strip(),
        statuses=tuple(state.get("worklist_status") or ()),
        group=state.get("worklist_group"),
        unmet=tuple(state.get("worklist_unmet") or ()),
        due=bool(state.get("worklist_due")),
        sort=state.get("worklist_sort") or "urgency",
    )
    before: WorklistQuery = state.get(ASKED, WorklistQuery())
    page = state.get("worklist_page", 1) if replace(before, page=1) == asked else 1
    _tell(replace(asked, page=page))


def _filter(query: WorklistQuery, page: WorklistPage) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(_("Find a patient"), query.find, key="worklist_find", width=220, on_change=_keep)
        if len(page.groups) > 1:
            _select(_("Group"), list(page.groups), query.group, "worklist_group", group_name)
        st.multiselect(
            _("Target not met"),
            list(page.unmet),
            list(query.unmet),
            key="worklist_unmet",
            format_func=outcome_name,
            placeholder=_("Any"),
            width=240,
            on_change=_keep,
        )
        st.selectbox(
            _("Order"),
            list(SORTS),
            list(SORTS).index(query.sort),
            key="worklist_sort",
            format_func=lambda sort: _(SORTS[sort]),
            width=200,
            on_change=_keep,
        )
        if page.due or query.due:
            st.checkbox(_("Due for a look after a change"), query.due, key="worklist_due", on_change=_keep)
    present = [status for status in STATUS if page.statuses.get(status)]
    st.pills(
        _("Status"),
        present,
        default=[status for status in query.statuses if status in present],
        selection_mode="multi",
        format_func=lambda status: f"{_(STATUS[status])} {number(page.statuses[status])}",
        key="worklist_status",
        on_change=_keep,
    )


def _select(label: str, options: list[str], chosen: str | None, key: str, said: Callable[[str], str]) -> None:
    place = options.index(chosen) if chosen in options else None
    st.selectbox(label, options, place, key=key, format_func=said, placeholder=_("Any"), width=160, on_change=_keep)


def _chosen(page: WorklistPage) -> None:
    """What to do for those who are chosen on this page."""
    names = [row.patient for row in page.rows]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.checkbox(_("All {count} shown", count=len(names)), key="choose_all", on_change=_choose_all, args=(names,))
        chosen = [name for name in names if st.session_state.get(f"choose:{name}")]
        some = _("Plan a regimen for {count} chosen", count=len(chosen))
        label = some if chosen else _("Plan a regimen for the chosen")
        if st.button(label, key="plan_chosen", disabled=not chosen, icon=":material/play_arrow:"):
            planning.begin(chosen, "regimen")


def _choose_all(names: list[str]) -> None:
    for name in names:
        st.session_state[f"choose:{name}"] = st.session_state["choose_all"]


def _row(row: WorklistRow, open_patient: Callable[[str, str], None]) -> None:
    with st.container(border=True):
        mark, who, bands, status, action = st.columns(WIDTHS, vertical_alignment="center")
        if access.allowed(DECIDES):
            mark.checkbox(_("Choose {patient}", patient=row.patient), key=f"choose:{row.patient}", label_visibility="collapsed")
        who.html(
            f"<div class='cp-row cp-urgent' style='border-color:{_color(row)}'><b>{escape(row.patient)}</b> "
            f"<span class='cp-quiet'>{escape(_(row.group))}</span><small>{escape(_headline(row))}</small></div>"
        )
        if (bar := _bar(row)) is not None:
            bands.html(bar)
        last = _("last data {day}", day="-" if row.last is None else day(row.last))
        notes = [_("due after a change")] if row.due else []
        small = "".join(f"<br><small>{each}</small>" for each in [*notes, last])
        status.html(f"<span class='cp-chip'>{_(STATUS[row.status])}</span>{small}")
        waits = row.status in WAITING
        pressed = action.button(
            _("Review") if waits else _("What became of it") if row.due else _("Open"),
            key=f"open:{row.patient}",
            type="primary" if waits else "secondary",
            width="stretch",
        )
        if pressed:
            open_patient(row.patient, "history" if row.due and not waits else "review")


def _bar(row: WorklistRow) -> str | None:
    """The share of readings in each band of the row's therapy; None where it draws none."""
    if isinstance(row.metrics, Metrics):
        return drawings.mini_bar(row.metrics)
    known = therapies.installed().get(row.therapy)
    marks = None if known is None or known.practice is None else known.practice.marks
    told = [getattr(row.metrics, band.field, None) for band in marks.bands] if marks is not None else [None]
    return None if marks is None or all(value is None for value in told) else drawings.mini_bar(row.metrics, marks)


def _headline(row: WorklistRow) -> str:
    """Why somebody is where they are on the list; a recording too short to judge says so beside its figures."""
    short = _("only {time} recorded", time=duration(60 * 24 * row.days)) if _short(row) else ""
    return listed([retold(row.headline), short], SEMICOLON)


def _short(row: WorklistRow) -> bool:
    """Whether a recording is too short to judge."""
    return isinstance(row.metrics, Metrics) and row.metrics.readings > 0 and row.days < GATE.days - 0.5


def _color(row: WorklistRow) -> str:
    readings = row.metrics.get("readings") if isinstance(row.metrics, dict) else getattr(row.metrics, "readings", 0)
    if not readings or (_short(row) and row.urgency < 200):
        return LINE
    if row.urgency >= 300:
        return COLORS["very_low"]
    if row.urgency >= 200:
        return COLORS["low"]
    return COLORS["very_high"] if row.urgency >= 100 else COLORS["in_range"]
