"""A language model of the user's choice, off by default: it may only fill the same typed query that the grammar fills.

It is asked where the grammar did not see what is asked, and hears the question alone, with the patient's name taken out: nothing
of any record. What it answers is checked as any query is, shown as understood, and answered by the engine.
"""

import json
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from careplan.interop.language import people
from careplan.interop.language.grammar import ASKS, Known
from careplan.interop.language.queries import QUERY, Reading
from careplan.language import _
from careplan.settings import FromEnvironment

SOMEBODY = "PATIENT"  # stands for the patient's name
SECONDS = 30.0


class Remote(FromEnvironment):
    """From `CAREPLAN_LANGUAGE_URL` (the address up to and with `/v1`), `CAREPLAN_LANGUAGE_MODEL` and `CAREPLAN_LANGUAGE_KEY`."""

    model_config = SettingsConfigDict(env_prefix="CAREPLAN_LANGUAGE_")

    url: str | None = None
    model: str = "default"
    key: str | None = Field(default=None, repr=False)


def ask_model(question: str, reading: Reading, known: Known, remote: Remote | None = None) -> Reading:
    """What the grammar read; where it saw no kind of question, what the configured model reads, else what was asked back."""
    remote = remote or Remote()
    if remote.url is None or reading.asks != _(ASKS["kind"]):
        return reading
    named = people.named(question, known.patients)
    if len(named.patients) > 1 or named.unclear:
        return reading
    hidden = f"{SOMEBODY}: {' '.join(named.rest.split())}" if named.patients else named.rest
    try:
        body = _filled(hidden, remote)
        if "patient" in body:
            if not named.patients:
                return Reading(question=question, asks=_(ASKS["patient"]), choices=known.patients[:10])
            body["patient"] = named.patients[0]
        return Reading(question=question, query=QUERY.validate_python(body))
    except (ValidationError, ValueError, KeyError, TypeError, IndexError):
        return reading


def _filled(question: str, remote: Remote) -> dict[str, Any]:
    """The query that the model fills. Raises `ValueError` where it fills none, or cannot be reached."""
    import httpx

    told = (
        "Put the question into one JSON object of this schema and answer with nothing else. Never answer the question, never "
        f"propose a dose. The patient is {SOMEBODY}. Where it fits no kind, answer {{}}.\n" + json.dumps(QUERY.json_schema())
    )
    messages = [{"role": "system", "content": told}, {"role": "user", "content": question}]
    sent = {"model": remote.model, "temperature": 0, "response_format": {"type": "json_object"}, "messages": messages}
    headers = {"Authorization": f"Bearer {remote.key}"} if remote.key else {}
    try:
        response = httpx.post(f"{str(remote.url).rstrip('/')}/chat/completions", json=sent, headers=headers, timeout=SECONDS)
        response.raise_for_status()
        body = json.loads(response.json()["choices"][0]["message"]["content"])
    except httpx.HTTPError as error:
        raise ValueError(f"the language model cannot be reached: {error}") from error
    if not isinstance(body, dict):
        raise ValueError("expected an object")
    return body
