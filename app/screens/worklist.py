"""Who to look at first: every patient by urgency, hypoglycaemia first."""

from collections.abc import Callable
from html import escape

import streamlit as st

from app import access, drawings
from app.palette import COLORS, LINE, MUTED
from app.wording import duration
from careplan.clinic import worklist
from careplan.clinic.views import WorklistRow
from careplan.therapies.glucose.metrics import SUFFICIENT_DAYS

PAGE = 20  # patients at once
STATUS = {
    "no data": "No data",
    "not planned": "Not planned",
    "suggested": "To review",
    "no change": "No change proposed",
    "abstained": "Abstained",
    "draft": "Draft",
    "signed": "Signed",
    "altered": "Changed past careplan",
}
WIDTHS = [2.6, 2.6, 1.5, 1.1]


def draw(open_patient: Callable[[str], None]) -> None:
    st.title("Worklist")
    rows = access.remembered("worklist", lambda: worklist(access.database(), actor=access.reviewer().actor))
    if not rows:
        st.info(
            "There are no patients yet. Bring recordings in on the page Patients, with `careplan import`, or try `careplan demo`."
        )
        return
    waiting = sum(row.status in ("suggested", "draft") for row in rows)
    st.caption(
        f"{len(rows)} patients, {waiting} waiting for a decision. The most urgent first: below 54 mg/dL, below 70, then highs; "
        "judged on the last 14 days recorded."
    )
    found = _filter(rows)
    pages = max(1, -(-len(found) // PAGE))
    number = st.number_input(f"Page, of {pages}", 1, pages, 1, key="worklist_page", width=140) if pages > 1 else 1
    if not found:
        st.info("No patient matches.")
    for row in found[(number - 1) * PAGE : number * PAGE]:
        _row(row, open_patient)


def _filter(rows: list[WorklistRow]) -> list[WorklistRow]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Find a patient", key="worklist_find", width=260).strip().lower()
        present = [status for status in STATUS if any(row.status == status for row in rows)]
        chosen = st.pills("Status", present, selection_mode="multi", format_func=STATUS.__getitem__, key="worklist_status")
    return [row for row in rows if text in row.patient.lower() and (not chosen or row.status in chosen)]


def _row(row: WorklistRow, open_patient: Callable[[str], None]) -> None:
    with st.container(border=True):
        who, bands, status, action = st.columns(WIDTHS, vertical_alignment="center")
        who.html(
            f"<div class='cp-row cp-urgent' style='border-color:{_color(row)}'><b>{escape(row.patient)}</b> "
            f"<span style='color:{MUTED}'>{escape(row.group)}</span><small>{escape(row.headline)}{_short(row)}</small></div>"
        )
        bands.html(drawings.mini_bar(row.metrics))
        last = "-" if row.last is None else f"{row.last:%d %b %Y}"
        status.html(f"<span class='cp-chip'>{STATUS[row.status]}</span><br><small>last data {last}</small>")
        waits = row.status in ("suggested", "draft")
        pressed = action.button(
            "Review" if waits else "Open", key=f"open:{row.patient}", type="primary" if waits else "secondary", width="stretch"
        )
        if pressed:
            open_patient(row.patient)


def _short(row: WorklistRow) -> str:
    """A recording too short to judge says so beside its figures."""
    if not row.metrics.readings or row.days >= SUFFICIENT_DAYS - 0.5:
        return ""
    return f"; only {duration(60 * 24 * row.days)} recorded"


def _color(row: WorklistRow) -> str:
    metrics = row.metrics
    if not metrics.readings or (_short(row) and row.urgency < 200):
        return LINE
    if row.urgency >= 300:
        return COLORS["very_low"]
    if row.urgency >= 200:
        return COLORS["low"]
    return COLORS["very_high"] if row.urgency >= 100 else COLORS["in_range"]
