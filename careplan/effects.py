"""What treatment does to the observations under control, and what those do by themselves: pure data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from careplan.rules import Side

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What the contents of pools do to an observation: one direction, and a strength that each patient has of their own.

    pools: whose doses act as one (two drugs of one kind). on: the observation; the first regulated one where empty.
    usual: the amount within `Clock.span` that counts as 1. own: the patient's own usual amount takes its place where known, so
    that doses are compared as shares of it.
    size: how far that amount moves the observation, given over one span, in its link (with the log link: 0.7 halves it or doubles
    it, whatever it is: an effect in proportion); a prior, refined by training.
    half: where set, the effect saturates (Emax): half of the most is reached where so many usual amounts act within a span, and
    `size` is what the usual amount does all the same; steep is Hill's exponent. It stays monotone.
    stops: of a lowering effect, the share that acts by stopping what the body itself supplies (`Output.supply`), of which
    nothing stops more than all.
    synthesis: whether it acts on the making of a substance that holds the observation at rest, and not on the observation itself
    (indirect response: Dayneka 1993). While an amount x of the usual ones acts within a span, x / (half + x) of the making stops;
    what is there is lost at the rate at which the output returns; and the logarithm of what is left moves the link in proportion.
    `size` is then how far the usual amount, given all the time, moves the observation in the end.
    quadratic: of an amount x of the usual ones, the effect is as x + quadratic x^2 (the linear-quadratic model of radiation has
    beta over alpha, times the usual dose).
    with_: another effect that this one acts together with: it adds `together` times the geometric mean of both.
    """

    name: str
    pools: tuple[str, ...]
    direction: Side
    usual: float
    size: float
    on: str = ""
    own: bool = False
    half: float | None = None
    steep: float = 1.0
    stops: float = 0.0
    synthesis: bool = False
    quadratic: float = 0.0
    with_: str = ""
    together: float = 0.0

    def __post_init__(self) -> None:
        if self.synthesis and (self.half is None or self.steep != 1.0 or self.quadratic or self.with_ or self.stops):
            raise ValueError(f"effect {self.name!r} on synthesis: needs a half, and has no other shape")


@dataclass(frozen=True, kw_only=True)
class Output:
    """One observation under control: what it does by itself, and what a plan wants of it.

    name: of the channel. risk: level `[...]` in the channel's unit -> risk `[...]`, 0 at `best`, larger is worse; the reward is
    its negative, summed over the outputs. weight: of this one in the sum.
    returns: of the distance to the usual level, the share that goes by itself in a `Clock.pace`. rest: how many usual amounts of
    the first lowering effect, given all the time, hold the level where it is (an upward pull that treatment stands against).
    supply: what the body itself supplies over what a level at rest needs of it, softness: how gradually that runs out over the
    same; None where nothing of that kind is stopped by treatment (`Effect.stops`).
    compounds: minutes in which everything that acts on a level with the log link adds up as shares of that level before it
    compounds, as an equation in steps has it: over so long the level goes to (1 + growth - kill) times itself, and what nobody
    foresees adds there too. 0 where everything adds in the logarithm, at every instant.
    drifts: whether the context moves it under a plan, beside what is declared. Where readings are few they tell of the person and
    hardly of a context, and a level then goes where the person's equation takes it.
    bends: scaled levels beyond which the networks see the level anew, below and above.
    lowest, highest: scaled levels outside are not predicted. harm: the side that harms more, which plans are pessimistic about.
    """

    name: str
    risk: "Callable[[Tensor], Tensor]"
    best: float
    weight: float = 1.0
    returns: float = 0.0
    rest: float = 0.0
    supply: float | None = None
    softness: float = 0.75
    compounds: float = 0.0
    drifts: bool = True
    bends: tuple[float, float] = (-0.8, 1.0)
    lowest: float = -3.0
    highest: float = 8.0
    harm: Side = -1
