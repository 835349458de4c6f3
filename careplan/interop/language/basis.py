"""What answers are made of, and what they are made from."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from careplan.interop.language.queries import Strict
from careplan.language import N_
from careplan.store import Actor, Database, local_account
from careplan.world.loaded import World

THEN = N_("{name}: {before:.1f}, then {after:.1f}, a change of {change}.")
DAYS_IN = N_("{days:.1f} days of readings in {period}")


class Answer(Strict):
    """text: in sentences. figures: the numbers, in `unit` where they are levels. basis: what they rest on. model: the hash of the
    weights that made them, None where no model did. abstains: why there is no figure where one was asked for.
    """

    understood: str
    text: tuple[str, ...]
    unit: str | None = None
    figures: Mapping[str, Any] = Field(default_factory=dict)
    basis: tuple[str, ...] = ()
    model: str | None = None
    abstains: tuple[str, ...] = ()


class Sources:
    """What answers are made from: the store, who asks, and the world model of a therapy, by name, once one is needed."""

    def __init__(self, db: Database, world: Callable[[str], World], actor: Actor | None = None) -> None:
        self.db, self.actor, self.open_world = db, actor or local_account(), world
