"""Suggestions of every kind, drawn: what the sentences that are made of them are held against."""

from datetime import UTC, datetime

import hypothesis.strategies as st

from careplan.breach import Breach
from careplan.minutes import DAY
from careplan.suggestion import Interval, Line, Moment, Option, Part, Path, Pattern, Seen, Suggestion, Sureness, Why
from careplan.therapies.glucose.bands import OLDER, PREGNANCY
from careplan.therapies.glucose.declaration import BLOCKS

SPANS = list(zip(BLOCKS, (*BLOCKS[1:], DAY), strict=True))
LAYERS = ("below_54", "below_70", "in_range", "above_180", "above_250")

small = st.floats(-3, 3).map(lambda value: round(value, 4))
share = st.floats(0, 100).map(lambda value: round(value, 2))


@st.composite
def intervals(draw: st.DrawFn, low: float = 0.0, high: float = 100.0) -> Interval:
    least, mid, most = sorted(draw(st.lists(st.floats(low, high), min_size=3, max_size=3)))
    return Interval(mid=mid, low=least, high=most)


@st.composite
def patterns(draw: st.DrawFn) -> Pattern:
    start, end = draw(st.sampled_from(SPANS))
    days = draw(st.integers(0, 14))
    count = draw(st.integers(0, days))
    side = draw(st.sampled_from(("low", "high")))
    level = st.floats(40, 69) if side == "low" else st.floats(181, 400)
    seen = tuple(
        Seen(date=f"2024-0{3 + day % 2}-{1 + day:02d}", minute=draw(st.integers(start, end - 1)), level=draw(level), minutes=30.0)
        for day in range(count)
    )
    return Pattern(side=side, start=start, end=end, days=days, seen=seen)  # type: ignore[arg-type]


@st.composite
def lines(draw: st.DrawFn, kind: str) -> tuple[Line, ...]:
    common = {"lowest": 0.0, "highest": 100.0, "absolute_low": 0.0, "absolute_high": 500.0, "days": draw(st.integers(1, 14))}
    if kind == "doses":
        units = draw(st.floats(0.05, 15)) if draw(st.booleans()) else 0.0
        rate = draw(st.sampled_from((0.0, 0.5, 1.0, 2.0)))
        bolus = Line(
            key="bolus@0", setting="bolus", start=0, end=0, unit="U", current=0.0, proposed=round(units, 2), why="w", **common
        )
        basal = Line(
            key="temp_basal@30", setting="temp_basal", start=30, end=60, unit="x", current=1.0, proposed=rate, why="w", **common
        )
        return (*((bolus,) if bolus.proposed else ()), *((basal,) if rate != 1.0 else ()))
    made = []
    for setting in draw(st.sets(st.sampled_from(("basal", "carb_ratio", "correction_factor")), max_size=3)):
        start, end = draw(st.sampled_from(SPANS))
        current = draw(st.floats(0.3, 60))
        proposed = current * draw(st.sampled_from((0.7, 0.8, 0.9, 1.1, 1.2)))
        more = (proposed > current) == (setting == "basal")
        why = f"{'more' if more else 'less'} insulin against {'highs' if more else 'lows'}"
        key = f"{setting}@{start}"
        made.append(
            Line(key=key, setting=setting, start=start, end=end, unit="", current=current, proposed=proposed, why=why, **common)
        )
    return tuple(made)


@st.composite
def suggestions(draw: st.DrawFn) -> Suggestion:
    kind = draw(st.sampled_from(("regimen", "doses")))
    changed = draw(lines(kind))
    spans = SPANS if kind == "regimen" else [(60 * hour, 60 * (hour + 1)) for hour in range(4)]
    parts = [
        Part(outcome=outcome, start=start, end=end, gain=draw(small), before=draw(share), after=draw(share))
        for start, end in draw(st.lists(st.sampled_from(spans), unique=True, max_size=3))
        for outcome in LAYERS
    ]
    whole = (spans[0][0], spans[-1][1])
    parts.append(Part(outcome="change", start=whole[0], end=whole[1], gain=-abs(draw(small))))
    parts.append(
        Part(outcome="budget below_70", start=whole[0], end=whole[1], gain=draw(small), before=draw(share), after=draw(share))
    )
    gain = sum(part.gain for part in parts)
    of = draw(st.integers(1, 16))
    effects = {name: draw(intervals(-20, 20)) for name in ("in_range", "below_70", "above_180", "mean")}
    runner_up = draw(st.none() | small)
    moments = None
    if kind == "doses":
        moments = tuple(
            Moment(
                date=f"2024-03-{1 + place:02d}",
                minute=draw(st.integers(0, DAY - 1)),
                level=draw(st.floats(60, 300)),
                given={"bolus": round(draw(st.floats(0, 10)), 2), "carbs": float(draw(st.integers(0, 90)))},
                lowest=draw(st.floats(40, 120)),
                highest=draw(st.floats(121, 400)),
            )
            for place in range(draw(st.integers(0, 5)))
        )
    why = Why(
        gain=gain if changed else 0.0,
        runner_up=runner_up,
        worth=0.2,
        parts=tuple(parts) if changed or runner_up is not None else (),
        sure=Sureness(better=draw(st.integers(0, of)), of=of, effects=effects) if changed or runner_up is not None else None,
        low_risk=draw(st.none() | st.floats(0, 1)),
        patterns=tuple(draw(st.lists(patterns(), max_size=3))) if kind == "regimen" else (),
        moments=moments,
    )
    path = Path(minutes=(15.0,), mid=(120.0,), low=(100.0,), high=(150.0,))
    names = (["proposed"] if changed else []) + (["runner-up"] if runner_up is not None else []) + ["no change"]
    options = tuple(
        Option(
            name=name,
            path=path,
            outcomes={key: draw(intervals()) for key in ("in_range", "below_70")},
            does="basal +10 % all day",
        )
        for name in names
    )
    return Suggestion(
        id=1,
        patient="ann",
        kind=kind,  # type: ignore[arg-type]
        created=datetime(2024, 3, 16, tzinfo=UTC),
        at=datetime(2024, 3, 16, tzinfo=UTC),
        abstained=False,
        reasons=(),
        lines=changed,
        options=options,
        limits_bound=tuple(draw(st.lists(breaches(), max_size=4))),
        banners=(),
        provenance={},
        why=why,
        targets=draw(st.sampled_from((None, OLDER, PREGNANCY))),
    )


@st.composite
def breaches(draw: st.DrawFn) -> Breach:
    rule = draw(st.sampled_from(("evidence", "change in one visit", "low-level target", "budget below_70", "max_dose", "floor")))
    key = f"{draw(st.sampled_from(('basal', 'carb_ratio')))}@{draw(st.sampled_from(BLOCKS))}"
    numbers = {"evidence": {"days": float(draw(st.integers(0, 3))), "needed": 7.0}, "change in one visit": {"most": 0.2}}.get(
        rule, {}
    )
    return Breach(rule, key if numbers or rule == "low-level target" else "", numbers)
