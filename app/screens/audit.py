"""Who did what: the newest entries of the audit trail, and whether its chain is whole."""

import json

import streamlit as st

from app import access
from careplan.clinic import audit_trail, patient_names, verify_audit

SHOWN, SHOWN_FINDINGS = 200, 20


def draw() -> None:
    st.title("Audit trail")
    result = access.remembered("verified", lambda: verify_audit(access.address(), since_last=True))
    if result.problem is None:
        st.success(
            f"Entry {result.last}: the trail is whole, and what it covers is as it was put on record. Head `{result.head[:16]}…`",
            icon=":material/verified:",
        )
    else:
        mine = {*patient_names(access.database()), None}
        ours = [finding for finding in result.findings if finding.patient in mine]
        listed = "".join(f"\n- {finding}" for finding in ours[:SHOWN_FINDINGS])
        if len(ours) < len(result.findings):
            listed += f"\n- {len(result.findings) - len(ours)} more, of patients of other clinics"
        st.error(f"**What is on record was changed.**\n{listed}", icon=":material/error:")
    st.caption(
        "Entries since the last time nothing was found; `careplan audit verify` recomputes everything. "
        f"The newest {SHOWN}, newest first; times in UTC."
    )
    entries = access.remembered("entries", lambda: audit_trail(access.database(), limit=SHOWN))
    st.dataframe(
        {
            "Entry": [entry.id for entry in entries],
            "Time": [f"{entry.time:%Y-%m-%d %H:%M:%S}" for entry in entries],
            "Who": [entry.actor for entry in entries],
            "What": [entry.action for entry in entries],
            "Patient": [entry.patient or "" for entry in entries],
            "Detail": [json.dumps(entry.detail, ensure_ascii=False) if entry.detail else "" for entry in entries],
        },
        hide_index=True,
        height=560,
        column_config={
            "Entry": st.column_config.NumberColumn(width="small"),
            "Who": st.column_config.TextColumn(width="medium"),
            "Detail": st.column_config.TextColumn(width="large"),
        },
    )
