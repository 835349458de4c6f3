"""Ask in one's own words: what was understood is shown, and can be corrected before it is answered. No answer decides a dose."""

from typing import Any

import plotly.graph_objects as go
import streamlit as st
from pydantic import ValidationError

from app import access, charts
from app.palette import PROPOSED, RUNNER_UP, UNCHANGED
from careplan.clinic.worker import world_of
from careplan.display import SEMICOLON, listed
from careplan.errors import AskError
from careplan.interop.language import QUERY, Reading, ask_model, known_in, read
from careplan.interop.language.answers import Answer, Sources, answer
from careplan.language import N_, _, retold

EXAMPLES = (
    N_("Who needs a look?"),
    N_("Where will NAME's level be in two hours?"),
    N_("What if NAME had taken two units less at lunch yesterday?"),
    N_("Compare NAME's last week with the week before"),
)


def draw() -> None:
    actor = access.actor()
    st.title(_("Ask"))
    question = st.text_input(_("Your question, in English or Japanese"), key="question")
    known = known_in(access.database())
    if not question:
        st.caption(_("Such as:"))
        for place, example in enumerate(EXAMPLES):
            filled = _(example).replace("NAME", next(iter(known.patients), "NAME"))
            st.button(filled, key=f"example:{place}", type="tertiary", on_click=_ask, args=(filled,))
        return
    reading = ask_model(question, read(question, known), known)
    meant = reading.query or (reading.offers if st.session_state.get("meant") == question else None)
    if meant is None:
        _asked_back(reading)
        return
    query = _corrected(meant)
    if query is None:
        return
    st.markdown(_("**Understood:** {question}", question=retold(query.said())))
    if st.button(_("Answer"), type="primary", key="answer"):
        try:
            with st.spinner(_("Answering")):
                _show(answer(query, Sources(access.database(), world_of, actor)))
        except AskError as error:
            st.error(retold(str(error)))


def _ask(question: str) -> None:
    st.session_state["question"] = question


def _asked_back(reading: Reading) -> None:
    """What is asked, the choices there are, and what may be meant, which is shown like any query once it was pressed."""
    st.info(retold(reading.asks or ""))
    for choice in reading.choices:
        st.caption(retold(choice))
    if reading.offers is not None:
        offered = _("Did you mean: {question}", question=retold(reading.offers.said()))
        st.button(offered, key="offered", on_click=_mean, args=(reading.question,))


def _mean(question: str) -> None:
    st.session_state["meant"] = question


def _corrected(query: Any) -> Any | None:
    """The query, as it is or as the reader puts it."""
    with st.expander(_("Correct what was understood")):
        text = st.text_area(_("As a query"), query.model_dump_json(indent=2, exclude_none=True), height=220, key="query")
    try:
        return QUERY.validate_json(text)
    except ValidationError as error:
        st.error("; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()))
        return None


def _show(found: Answer) -> None:
    st.subheader(retold(found.understood))
    for text in found.text:
        st.markdown(retold(text))
    paths = found.figures.get("paths")
    if paths:
        figure = go.Figure()
        for (name, path), colour in zip(paths.items(), (PROPOSED, UNCHANGED, RUNNER_UP), strict=False):
            figure.add_scatter(x=path["minutes"], y=path["high"], line={"width": 0}, showlegend=False, hoverinfo="skip")
            figure.add_scatter(x=path["minutes"], y=path["low"], fill="tonexty", line={"width": 0}, opacity=0.3, showlegend=False)
            figure.add_scatter(x=path["minutes"], y=path["mid"], name=retold(name), line={"color": colour})
        figure.update_layout(xaxis_title=_("minutes"), yaxis_title=found.unit, template="simple_white")
        st.plotly_chart(figure, config=charts.CONFIG, key="asked")
    basis = _("Based on {basis}", basis=listed((retold(each) for each in found.basis), SEMICOLON) or _("nothing"))
    st.caption(listed([basis, _("model {model}", model=found.model) if found.model else ""], " · "))
