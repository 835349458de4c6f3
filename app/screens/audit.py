"""Who did what: the newest entries of the audit trail, and whether its chain is whole."""

import json

import streamlit as st

from app import access
from careplan.clinic import audit_trail, patient_names, verify_audit
from careplan.language import N_, _

SHOWN, SHOWN_FINDINGS = 200, 20
ACTIONS = (  # as the trail has them, for the catalogue
    N_("patient added"), N_("course begun"), N_("covariates recorded"), N_("imported"), N_("taken back"), N_("regimen added"),
    N_("read"), N_("suggested"), N_("drafted"), N_("draft set aside"), N_("signed"), N_("clinic changed"), N_("personalised"),
    N_("trail accepted"), N_("audit key replaced"), N_("trail begun"), N_("sealed"),
)  # fmt: skip


def draw() -> None:
    st.title(_("Audit trail"))
    result = access.remembered("verified", lambda: verify_audit(access.address(), since_last=True))
    if result.problem is None:
        said = _(
            "Entry {entry}: the trail is whole, and what it covers is as it was put on record. Head `{head}…`",
            entry=result.last,
            head=result.head[:16],
        )
        st.success(said, icon=":material/verified:")
    else:
        mine = {*patient_names(access.database()), None}
        ours = [finding for finding in result.findings if finding.patient in mine]
        listed = "".join(f"\n- {finding}" for finding in ours[:SHOWN_FINDINGS])
        if len(ours) < len(result.findings):
            more = len(result.findings) - len(ours)
            listed += "\n- " + _("{count} more, of patients of other clinics", count=more)
        st.error(_("**What is on record was changed.**\n{findings}", findings=listed), icon=":material/error:")
    st.caption(
        _(
            "Entries since the last time nothing was found; `careplan audit verify` recomputes everything. The newest {count}, "
            "newest first; times in UTC.",
            count=SHOWN,
        )
    )
    entries = access.remembered("entries", lambda: audit_trail(access.database(), limit=SHOWN))
    st.dataframe(
        {
            _("Entry"): [entry.id for entry in entries],
            _("Time"): [f"{entry.time:%Y-%m-%d %H:%M:%S}" for entry in entries],
            _("Who"): [entry.actor for entry in entries],
            _("What"): [_(entry.action) for entry in entries],
            _("Patient"): [entry.patient or "" for entry in entries],
            _("Detail"): [json.dumps(entry.detail, ensure_ascii=False) if entry.detail else "" for entry in entries],
        },
        hide_index=True,
        height=560,
        column_config={
            _("Entry"): st.column_config.NumberColumn(width="small"),
            _("Who"): st.column_config.TextColumn(width="medium"),
            _("Detail"): st.column_config.TextColumn(width="large"),
        },
    )
