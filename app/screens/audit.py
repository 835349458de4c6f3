"""Who did what: the newest entries of the audit trail, and whether its chain is whole."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app import access
from careplan.clinic import Verification, audit_trail, happened, patient_names, verify_audit
from careplan.clinic.views import AuditRecord
from careplan.display import COMMA, SEMICOLON, listed
from careplan.language import N_, _, retold

SHOWN, SHOWN_FINDINGS = 200, 20
LISTED = 5  # of what an entry lists
NAMES = {  # what entries keep beside, as the trail has it
    "patients": N_("patients"), "purpose": N_("for"), "source": N_("Source"), "files": N_("Files"), "reason": N_("Reason"),
    "therapy": N_("Therapy"), "group": N_("Group"), "suggestion": N_("Suggestion"), "regimen": N_("Regimen"),
    "address": N_("Address"), "tool": N_("Tool"), "model": N_("Model"), "tables": N_("Tables"), "key": N_("Key"),
    "note": N_("Note"), "revision": N_("Version of the tables"), "database": N_("Database"),
}  # fmt: skip
NOTE = N_("what was there when this was written; whether it was changed before cannot be told")
PURPOSES = (N_("review"), N_("planning"), N_("record"), N_("question"), N_("summary"), N_("worklist"), N_("tool"))
ACTIONS = (  # as the trail has them, for the catalogue
    N_("patient added"), N_("course begun"), N_("covariates recorded"), N_("imported"), N_("taken back"), N_("regimen added"),
    N_("read"), N_("suggested"), N_("drafted"), N_("draft set aside"), N_("signed"), N_("clinic changed"), N_("personalised"),
    N_("trail accepted"), N_("audit key replaced"), N_("trail begun"), N_("sealed"),
)  # fmt: skip


def draw() -> None:
    st.title(_("Audit trail"))
    verdict = st.container()
    st.caption(
        _(
            "What was written since the last time nothing was found is recomputed whenever this page opens. The newest {count} "
            "entries, newest first; times in UTC.",
            count=SHOWN,
        )
    )
    if st.button(_("Recompute the whole trail"), key="verify_all"):
        with st.spinner(_("Recomputing the whole trail")):
            result = verify_audit(access.address())
    else:
        result = access.remembered("verified", lambda: verify_audit(access.address(), since_last=True))
    with verdict:
        _verdict(result)
    entries = access.remembered("entries", lambda: audit_trail(access.database(), limit=SHOWN))
    st.dataframe(
        {
            _("Entry"): [entry.id for entry in entries],
            _("Time"): [f"{entry.time:%Y-%m-%d %H:%M:%S}" for entry in entries],
            _("Who"): [entry.actor for entry in entries],
            _("What"): [_(entry.action) for entry in entries],
            _("Patient"): [entry.patient or "" for entry in entries],
            _("Detail"): [detail_in_words(entry) for entry in entries],
        },
        hide_index=True,
        height=560,
        column_config={
            _("Entry"): st.column_config.NumberColumn(width="small"),
            _("Who"): st.column_config.TextColumn(width="medium"),
            _("Detail"): st.column_config.TextColumn(width="large"),
        },
    )


def _verdict(result: Verification) -> None:
    """Whether what is on record is as it was put there; of other clinics' patients only how much was found."""
    if result.problem is None:
        said = _(
            "Entry {entry}: the trail is whole, and what it covers is as it was put on record. Head `{head}…`",
            entry=result.last,
            head=result.head[:16],
        )
        st.success(said, icon=":material/verified:")
        return
    mine = {*patient_names(access.database()), None}
    ours = [finding for finding in result.findings if finding.patient in mine]
    found = "".join(f"\n- {finding}" for finding in ours[:SHOWN_FINDINGS])
    if len(ours) < len(result.findings):
        found += "\n- " + _("{count} more, of patients of other clinics", count=len(result.findings) - len(ours))
    st.error(_("**What is on record was changed.**\n{findings}", findings=found), icon=":material/error:")


def detail_in_words(entry: AuditRecord) -> str:
    """What an entry tells beside who, when and what: as the history tells it, else by the names it was kept under."""
    told = happened(entry)
    return retold(told) if told else _in_words(entry.detail)


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        named = ((NAMES.get(name, name.replace("_", " ")), _in_words(inner)) for name, inner in value.items())
        return listed((_("{name}: {said}", name=_(name), said=said) for name, said in named if said), SEMICOLON)
    if isinstance(value, Sequence) and not isinstance(value, str):
        more = _(" and {count} more", count=len(value) - LISTED) if len(value) > LISTED else ""
        return listed(map(_in_words, value[:LISTED]), COMMA) + more
    return "" if value is None else retold(str(value))
