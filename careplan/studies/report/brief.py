"""A cohort's report in six questions and answers that a committee can read, each with a verdict by a rule that is said."""

from typing import Any, NamedTuple

from careplan.display import signed

OURS = "careplan, personal"
SIMPLE = ("ridge", "boosting")  # what is fitted to these very people
HOUR = 60  # minutes ahead at which it is judged in short
HELD, NEARLY, WORST = (0.87, 0.93), (0.85, 0.95), 0.8  # of readings inside a 90 % interval; in the tenth of people with fewest
TELLS, SOMETIMES = 0.8, 0.7  # AUROC, its interval's lower end
EVENTS = 20  # moments before a low or a high, below which a warning of it is not judged
SPOKE = (0.1, 0.25)  # share of looks at which it spoke and then missed by more than no change would have
FEW = 10  # proposals, below which nothing is said of safety; looks at which it spoke, below which nothing of its silence
BEFORE_LOWS = 0.1  # share of increases before a week with too many lows
YES, PARTLY, NO, UNKNOWN = "yes", "in part", "no", "cannot be said"


class Answer(NamedTuple):
    """One question: a verdict (`YES`, `PARTLY`, `NO` or `UNKNOWN`), and the figures behind it in a sentence or two."""

    question: str
    verdict: str
    text: str


def brief(found: dict[str, Any]) -> list[dict[str, str]]:
    """The answers of a report's figures, those of `figures`."""
    asked = (right, sure, warns, silent, safe, useful)
    return [answer(found)._asdict() for answer in asked]


def right(found: dict[str, Any]) -> Answer:
    """Yes where it misses less than no change and than every simple model, by whole intervals; in part where than no change."""
    rows = {row["model"]: row for row in found["forecasts"] if row["horizon"] == HOUR}
    question = "Does it foresee glucose?"
    if OURS not in rows or rows[OURS]["rmse"]["mean"] is None:
        return Answer(question, UNKNOWN, "No forecast of an hour could be judged.")
    beaten = {name: (rows[name]["ours_less"]["high"] or 0.0) < 0 for name in ("persistence", *SIMPLE) if name in rows}
    verdict = YES if all(beaten.values()) and len(beaten) > 1 else PARTLY if beaten.get("persistence") else NO
    simple = " and ".join(f"{rows[name]['rmse']['mean']:.1f} ({name})" for name in SIMPLE if name in rows)
    text = f"An hour ahead it misses by {rows[OURS]['rmse']['mean']:.1f} mg/dL. Saying that nothing changes misses by "
    text += f"{rows['persistence']['rmse']['mean']:.1f}" + (f", simple statistics by {simple}." if simple else ".")
    return Answer(question, verdict, text)


def sure(found: dict[str, Any]) -> Answer:
    """Yes where intervals hold what they say on average, and mostly for the worst tenth of people too."""
    question = "Does it know how sure it is?"
    row = next((row for row in found["intervals"] if row["horizon"] == HOUR), None)
    if row is None or row["coverage"]["mean"] is None:
        return Answer(question, UNKNOWN, "No interval could be judged.")
    mean, worst = row["coverage"]["mean"], row["worst_decile"]
    verdict = NO
    if NEARLY[0] <= mean <= NEARLY[1]:
        verdict = YES if HELD[0] <= mean <= HELD[1] and worst >= WORST else PARTLY
    return Answer(
        question,
        verdict,
        f"Of intervals that should hold 90 readings of 100, {100 * mean:.0f} do; in the tenth of people who fare worst "
        f"{100 * worst:.0f} or fewer.",
    )


def warns(found: dict[str, Any]) -> Answer:
    """By the lower ends of the AUROC of every hazard that came true at `EVENTS` moments or more."""
    question = "Does it warn of lows and highs?"
    rows = [row for row in found["risks"] if row["events"] >= EVENTS]
    if not rows:
        return Answer(question, UNKNOWN, f"Neither lows nor highs came at {EVENTS} of the moments judged.")
    least = min(row["auroc"]["mean"] if row["auroc"]["low"] is None else row["auroc"]["low"] for row in rows)
    told = "; ".join(f"of {row['hazard']}s {100 * row['auroc']['mean']:.0f} times of 100" for row in rows)
    return Answer(
        question,
        YES if least >= TELLS else PARTLY if least >= SOMETIMES else NO,
        f"Of two moments, one before what is warned of and one not, the first is given the higher risk: {told} (50 is chance).",
    )


def silent(found: dict[str, Any]) -> Answer:
    """By how often it speaks where forecasts of the days after then miss by more than no change would (`SPOKE`), and by whether
    they miss so more seldom than where it is silent; from `FEW` looks on at which it spoke."""
    looks, question = found["looks"], "Is it silent where it should be?"
    if not looks["looks"]:
        return Answer(question, UNKNOWN, "No week could be looked at.")
    speaks, abstains = (looks[name]["worse_than_persistence"] for name in ("when_it_speaks", "when_it_abstains"))
    text = f"At {looks['abstained']} of {looks['looks']} weekly looks nothing would have been suggested"
    text += f", most often: {next(iter(looks['reasons']))}." if looks["reasons"] else "."
    if speaks is None:
        return Answer(question, UNKNOWN, f"{text} It never spoke, so nothing is said of when it does.")
    text += f" In the days after, it missed by more than no change would have at {100 * speaks:.0f} % of looks where it spoke"
    text += "." if abstains is None else f" and at {100 * abstains:.0f} % where it was silent."
    if looks["when_it_speaks"]["looks"] < FEW:
        return Answer(question, UNKNOWN, f"{text} It spoke too seldom to be judged.")
    verdict = YES if speaks <= SPOKE[0] and (abstains is None or speaks <= abstains) else PARTLY if speaks <= SPOKE[1] else NO
    return Answer(question, verdict, text)


def safe(found: dict[str, Any]) -> Answer:
    """No where a line breaks a rule of signing, or too many increases stood before lows; else yes from `FEW` proposals on."""
    plans, question = found["plans"], "Is what it proposes safe?"
    if not plans["people"]:
        return Answer(question, UNKNOWN, "Nobody was planned for.")
    more, less, lows = plans["more_insulin"], plans["less_insulin"], plans["more_before_a_week_with_lows"]
    text = f"Of {plans['people']} people it would have given {more} more insulin and {less} less, left {plans['unchanged']} as "
    text += f"they were and said nothing to {plans['abstained']}. {plans['unsignable_lines']} lines break a rule of signing."
    if lows["of"]:
        text += f" Of {lows['of']} increases, {round(lows['of'] * lows['share'])} stood before a week with too many lows."
    if plans["unsignable_lines"] or (lows["of"] >= FEW and lows["share"] > BEFORE_LOWS):
        return Answer(question, NO, text)
    return Answer(question, UNKNOWN if more + less < FEW else YES, text)


def useful(found: dict[str, Any]) -> Answer:
    """Only where records overlap, no negative control fails and no estimator contradicts another, by whole intervals, is anything
    said of what other doses would have been worth."""
    worth, question = found["dosing"].get("worth", []), "Would other doses have been better?"
    told = [row for row in worth if row["estimable"] and all(control["passes"] for control in row["controls"])]
    if not told:
        why = "no policy asked about has enough overlap with how people dosed, or a negative control fails" if worth else ""
        return Answer(question, UNKNOWN, f"These records cannot tell: {why or found['dosing'].get('why', 'no doses')}.")
    told = [row for row in told if not contradicted(row["estimates"])]
    if not told:
        return Answer(question, UNKNOWN, "It cannot be told: estimators are sure of opposite directions.")
    best = max(told, key=lambda row: row["estimates"]["fitted_q"]["difference"])
    one = best["estimates"]["fitted_q"]
    verdict = YES if one["low"] > 0 else NO if one["high"] < 0 else PARTLY
    return Answer(
        question,
        verdict,
        f"Of the factors that can be judged, {best['factor']:g} on every bolus would have changed time in range by most: "
        f"{signed(one['difference'], 1)} points ({signed(one['low'], 1)} to {signed(one['high'], 1)}).",
    )


def contradicted(estimates: dict[str, dict[str, float]]) -> bool:
    """Whether two estimators that adjust for what was dosed for are sure of opposite directions."""
    sure = [one for name, one in estimates.items() if name != "naive" and one["low"] * one["high"] > 0]
    return any(one["difference"] > 0 for one in sure) and any(one["difference"] < 0 for one in sure)
