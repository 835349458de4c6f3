"""Questions in words: read to typed queries by a grammar of our own, and answered by the engine.

What a name needs is imported when it is asked for: a question that is asked back waits for no model.
"""

from careplan.interop.language.grammar import Known, read
from careplan.interop.language.known import known_in
from careplan.interop.language.queries import KINDS, QUERY, Reading
from careplan.interop.language.remote import ask_model

__all__ = ["KINDS", "QUERY", "Known", "Reading", "ask_model", "known_in", "read"]
