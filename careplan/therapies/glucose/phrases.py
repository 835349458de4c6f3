"""The messages that `words` fills: what limits, aims, drivers and options are called, for the catalogue."""

from collections.abc import Mapping

from careplan.language import N_

LIMIT_WORDS: Mapping[str, str] = {  # of those rules that are said otherwise beside a suggestion
    "max_dose": N_("the largest bolus allowed"),
    "max_on_board": N_("the most insulin on board allowed"),
    "min_spacing": N_("the least time between boluses"),
    "floor": N_("glucose too low for more insulin"),
    "max_rate": N_("the highest basal rate allowed"),
    "max_rate_ratio": N_("the highest temporary basal allowed"),
    "budget below_70": N_("the budget for time below {low} {unit}"),
    "budget below_54": N_("the budget for time below {very_low} {unit}"),
    "low-level target": N_("more insulin where lows already miss their target"),
}

OUTCOMES: Mapping[str, str] = {
    "in_range": N_("In range"),
    "below_70": N_("Below {low}"),
    "below_54": N_("Below {very_low}"),
    "above_180": N_("Above {high}"),
    "above_250": N_("Above {very_high}"),
    "mean": N_("Mean"),
    "risk": N_("Mean risk"),
    "change": N_("Cost of a change"),
    "budget below_70": N_("Beyond the budget below {low}"),
    "budget below_54": N_("Beyond the budget below {very_low}"),
}

AIMS = {
    "low": N_("fewer lows"),
    "high": N_("fewer highs"),
    "in_range": N_("glucose nearer the middle of the range"),
    "budget": N_("lows within budget"),
}

MILDER = {"low": N_("milder lows"), "high": N_("milder highs")}  # where there is no less time of them

DRIVERS: Mapping[tuple[str, str], str] = {  # of lows and highs, whether there is less or more of them, and of what
    ("fewer", "low"): N_("fewer lows {where}"),
    ("fewer", "high"): N_("fewer highs {where}"),
    ("milder", "low"): N_("milder lows {where}"),
    ("milder", "high"): N_("milder highs {where}"),
    ("more", "low"): N_("more lows {where}"),
    ("more", "high"): N_("more highs {where}"),
    ("graver", "low"): N_("graver lows {where}"),
    ("graver", "high"): N_("graver highs {where}"),
}

# What an option does is stored in English, a part for each dose or setting; these are too short to be told from any text.
DOES = (
    N_("{setting} {percent} % all day"),
    N_("{setting} {percent} % from {times}"),
    N_("{setting} {percent} %"),
    N_("{units:g} U now"),
    N_("{units:g} U in {minutes:g} min"),
    N_("basal x{multiple:g} from now to {end:g} min"),
    N_("basal x{multiple:g} from {start:g} to {end:g} min"),
)

OF_SETTINGS = (N_("basal"), N_("carb ratio"), N_("correction factor"), N_("long acting"), N_("{least} to {most}"))

NOTHING = N_("as prescribed")

SURE = {  # of doses or of a regimen, and whether of what is proposed or of the best alternative
    (True, True): N_("better than no change in {better} of {of} futures drawn for this patient"),
    (True, False): N_("the best alternative is better than no change in {better} of {of} futures drawn for this patient"),
    (False, True): N_("better than no change in {better} of {of} versions of this patient that fit the recording"),
    (False, False): N_(
        "the best alternative is better than no change in {better} of {of} versions of this patient that fit the recording"
    ),
}
