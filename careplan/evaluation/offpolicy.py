"""What another way of dosing would have been worth, from a record of how people dosed: off-policy evaluation of shifts.

The policies asked about shift every dose by a factor: "every dose a tenth smaller". A shift is a modified treatment policy
(Haneuse and Rotnitzky 2013, doi 10.1002/sim.5907): it is defined by the dose that was given, and it keeps overlap where a policy
that always gives one certain dose has none. Estimators of different kinds stand side by side, since each fails in its own way:

- `naive`: people on the days on which they dosed nearest to what is asked about; confounded, and shown for that;
- `weighted`: per-decision weighted importance sampling (Precup 2000), by a fitted behaviour policy;
- `fitted_q`: a substitution estimator, the outcome model iterated backward over the decisions of an episode;
- `doubly_robust`: the one-step estimator that is right where either of the two is (Díaz et al. 2023, doi
  10.1080/01621459.2021.1955691, section 4).

All assume that what a dose was decided on is in the state: no estimator here is right where people knew more than the record.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import t
from sklearn.preprocessing import SplineTransformer, StandardScaler

from careplan.evaluation.behaviour import FOLDS, ROWS, SHRINK, BehaviourPolicy, fit_behaviour, folds_of
from careplan.evaluation.occasions import Index, Occasions, Values

GROUPS, REFITS = 200, 10  # of people, left out in turn; where a model is fitted anew without each
LEAST, LEAST_SHARE = 30.0, 0.05  # episodes, and their share, below which an effective sample is no overlap
WIDEST = 5.0  # standard deviations of a dose about what is usual, beyond which effects go no further


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The outcome model of one shift: `[N]` what is to come after each decision, as dosed and as shifted."""

    as_dosed: Values
    as_shifted: Values


def fit_outcomes(occasions: Occasions, behaviour: BehaviourPolicy, shift: float, *, seed: int = 0) -> Outcomes:
    """Fitted Q iteration, backward over the decisions of an episode: q(x) + e (b + b'x) + c e^2, where e is the dose less what is
    usual there, in which the effect of a dose is told apart from the effect of what it was given for (Robinson 1988). Each
    decision's are of the folds that it is not in."""
    fold, last = folds_of(occasions, seed), occasions.last
    person = occasions.person[occasions.episode]
    state = StandardScaler().fit_transform(occasions.state)
    base = SplineTransformer(n_knots=4, degree=2, extrapolation="linear").fit_transform(state)
    away = occasions.dose - behaviour.mean
    scale = float(away.std()) or 1.0

    def effect(e: Values) -> Values:
        e = np.clip(e / scale, -WIDEST, WIDEST)[:, None]
        return np.concatenate([e, e * state, e**2], axis=1)

    as_dosed, as_shifted = effect(away), effect(away + shift)
    values, width = occasions.value, base.shape[1]
    dosed, shifted = np.zeros(len(away)), np.zeros(len(away))
    for index in range(FOLDS):
        train = fold != index
        episodes = np.unique(occasions.episode[train])
        size = int(person.max()) + 1
        usual = np.bincount(occasions.person[episodes], values[episodes], size)
        counts = np.bincount(occasions.person[episodes], minlength=size)
        own = ((usual + SHRINK * values[episodes].mean()) / (counts + SHRINK))[person][:, None]
        ahead, solve = np.zeros(len(away)), ridge((base, own, as_dosed), train, 10.0)
        for _ in range(int(occasions.place.max()) + 1):  # each round looks one decision further
            target = occasions.reward + np.where(last, 0.0, np.append(ahead[1:], 0.0))
            weights, intercept = solve(target)
            of_state = base @ weights[:width] + own[:, 0] * weights[width] + intercept
            ahead = of_state + as_shifted @ weights[width + 1 :]
        test = fold == index
        dosed[test], shifted[test] = (of_state + as_dosed @ weights[width + 1 :])[test], ahead[test]
    return Outcomes(dosed, shifted)


def ridge(inputs: Sequence[Values], train: NDArray[np.bool_], penalty: float) -> Callable[[Values], tuple[Values, float]]:
    """Ridge regression on the rows `train` `[N]` of several `inputs` `[N, F]`, which are never put together, factored once for
    many targets `[N]`: what gives the weights and the intercept."""
    count, rows = int(train.sum()), np.flatnonzero(train)
    mean = np.concatenate([train @ some for some in inputs]) / count
    gram = penalty * np.eye(len(mean))
    for start in range(0, count, ROWS):
        centred = np.concatenate([some[rows[start : start + ROWS]] for some in inputs], axis=1) - mean
        gram += centred.T @ centred
    factored = cho_factor(gram)

    def solve(target: Values) -> tuple[Values, float]:
        usual = float(target[train].mean())
        left = np.where(train, target - usual, 0.0)
        weights = cho_solve(factored, np.concatenate([some.T @ left for some in inputs]))
        return weights, float(usual - mean @ weights)

    return solve


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a shift would have changed in the mean value of an episode: `difference`, its standard error, its 95 % interval."""

    difference: float
    error: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Worth:
    """One shift of a cohort.

    factor: on every dose. observed: the mean value of an episode. effective: episodes that the weights leave (Kish 1965).
    estimable: whether that is overlap enough. estimates: by estimator; only `naive` where it is not.
    """

    factor: float
    observed: float
    episodes: int
    people: int
    effective: float
    estimable: bool
    estimates: dict[str, Estimate]


def worth_of(occasions: Occasions, factor: float, *, behaviour: BehaviourPolicy | None = None, seed: int = 0) -> Worth:
    """The value of multiplying every dose by `factor`, by every estimator, less the observed value.

    Raises `ValueError` for a factor that is not a finite number above 0, and for fewer than two people.
    """
    if not 0 < factor < np.inf:
        raise ValueError(f"worth_of: factor {factor}, expected a finite number above 0")
    if len(np.unique(occasions.person)) < 2:
        raise ValueError("worth_of: expected at least two people, whose differences tell how sure a mean is")
    behaviour = behaviour or fit_behaviour(occasions, seed=seed)
    shift = float(np.log(factor))
    weights = cumulative(occasions, behaviour.ratio(occasions.dose, shift))
    final = final_weights(occasions, weights)
    effective = float(final.sum() ** 2 / (final**2).sum())
    estimable = effective >= max(LEAST, LEAST_SHARE * len(final))
    found = {"naive": naive(occasions, behaviour, shift)}
    if estimable:
        ours = fit_outcomes(occasions, behaviour, shift, seed=seed)
        found |= {
            "weighted": weighted(occasions, weights, final),
            "fitted_q": fitted_q(occasions, behaviour, shift, seed=seed),
            "doubly_robust": doubly_robust(occasions, weights, ours),
        }
    return Worth(
        factor=factor,
        observed=float(occasions.value.mean()),
        episodes=len(occasions.person),
        people=len(np.unique(occasions.person)),
        effective=effective,
        estimable=estimable,
        estimates=found,
    )


def cumulative(occasions: Occasions, ratio: Values) -> Values:
    """`[N]` the product of the ratios of an episode up to and with each decision."""
    logs = np.log(ratio)
    total, index = np.cumsum(logs), np.arange(len(logs))
    start = np.maximum.accumulate(np.where(occasions.first, index, 0))
    return np.exp(total - (total - logs)[start])


def final_weights(occasions: Occasions, weights: Values) -> Values:
    """`[E]` the weight of each whole episode; 1 without a decision."""
    final = np.ones(len(occasions.person))
    final[occasions.episode[occasions.last]] = weights[occasions.last]
    return final


def naive(occasions: Occasions, behaviour: BehaviourPolicy, shift: float) -> Estimate:
    """The third of episodes whose doses were nearest to the person's usual ones times the factor, beside all of them."""
    away = np.bincount(occasions.episode, np.abs(occasions.dose - behaviour.mean - shift), len(occasions.person))
    count = np.bincount(occasions.episode, minlength=len(occasions.person))
    nearness = np.where(count > 0, away / np.maximum(count, 1), np.inf)
    chosen = nearness <= np.quantile(nearness[count > 0], 1 / 3) if (count > 0).any() else count > 0

    def difference(keep: NDArray[np.bool_]) -> float:
        return float(occasions.value[keep & chosen].mean() - occasions.value[keep].mean()) if (keep & chosen).any() else np.nan

    return jackknife(occasions.person, difference)


def weighted(occasions: Occasions, weights: Values, final: Values) -> Estimate:
    """Per-decision weighted importance sampling: each decision's rewards by the weight so far, over the mean weight of all
    episodes at that place, those that are over keeping their last."""
    place, episodes = occasions.place, len(occasions.person)
    reached = int(place.max()) + 1
    at = np.ones((episodes, reached))  # weight after so many decisions
    at[occasions.episode, place] = weights
    count = np.bincount(occasions.episode, minlength=episodes)
    over = np.arange(reached) >= count[:, None]
    at = np.where(over, final[:, None], at)
    gained = np.zeros((episodes, reached))
    gained[occasions.episode, place] = weights * occasions.reward

    def difference(keep: NDArray[np.bool_]) -> float:
        shifted = occasions.before[keep].mean() + (gained[keep].sum(0) / at[keep].sum(0)).sum()
        return float(shifted - occasions.value[keep].mean())

    return jackknife(occasions.person, difference)


def fitted_q(occasions: Occasions, behaviour: BehaviourPolicy, shift: float, *, seed: int = 0) -> Estimate:
    """The outcome model alone, as shifted less as dosed, fitted anew without each of `REFITS` groups of people."""
    _, rank = np.unique(occasions.person, return_inverse=True)
    groups = min(int(rank.max()) + 1, REFITS)

    def difference(keep: NDArray[np.bool_]) -> float:
        some, policy = among(occasions, behaviour, keep)
        ours, none = (fit_outcomes(some, policy, change, seed=seed) for change in (shift, 0.0))
        return float((ours.as_shifted - none.as_shifted)[some.first].sum() / len(some.person))

    return jackknife(rank % groups, difference)


def among(occasions: Occasions, behaviour: BehaviourPolicy, keep: NDArray[np.bool_]) -> tuple[Occasions, BehaviourPolicy]:
    """The episodes of `keep` `[E]` alone, and how doses are given in them."""
    rows, number = keep[occasions.episode], np.cumsum(keep) - 1
    some = Occasions(
        episode=number[occasions.episode[rows]],
        person=occasions.person[keep],
        state=occasions.state[rows],
        terms=occasions.terms[rows],
        dose=occasions.dose[rows],
        reward=occasions.reward[rows],
        before=occasions.before[keep],
    )
    return some, BehaviourPolicy(behaviour.mean[rows], behaviour.spread[rows], behaviour.density)


def doubly_robust(occasions: Occasions, weights: Values, ours: Outcomes) -> Estimate:
    """The outcome model, and the weighted sum of what it misses at each decision."""
    ahead = np.where(occasions.last, 0.0, np.append(ours.as_shifted[1:], 0.0))
    missed = weights * (occasions.reward + ahead - ours.as_dosed)
    shifted = occasions.before + np.bincount(occasions.episode, missed, len(occasions.person))
    first = occasions.first
    shifted[occasions.episode[first]] += ours.as_shifted[first]
    changed = shifted - occasions.value
    return jackknife(occasions.person, lambda keep: float(changed[keep].mean()))


def jackknife(person: Index, difference: Callable[[NDArray[np.bool_]], float]) -> Estimate:
    """An estimate with its interval over people: each, or each of `GROUPS` groups of them, left out in turn (Quenouille 1956,
    Tukey 1958), Student's t."""
    _, rank = np.unique(person, return_inverse=True)
    count = min(int(rank.max()) + 1, GROUPS)
    whole = difference(np.ones(len(person), dtype=bool))
    without = np.array([difference(rank % count != one) for one in range(count)])
    error = float(np.sqrt((count - 1) / count * np.nansum((without - np.nanmean(without)) ** 2)))
    half = float(t.ppf(0.975, count - 1)) * error
    return Estimate(difference=whole, error=error, low=whole - half, high=whole + half)


@dataclass(frozen=True, kw_only=True)
class Control:
    """A difference that must be nothing, and its 95 % interval."""

    name: str
    estimate: Estimate

    @property
    def passes(self) -> bool:
        return self.estimate.low <= 0.0 <= self.estimate.high


def negative_controls(occasions: Occasions, behaviour: BehaviourPolicy, factor: float, *, seed: int = 0) -> tuple[Control, ...]:
    """What no shift can change: the value of the same person's episode before, and the value under doses dealt out anew among a
    person's decisions; and what a shift of nothing gives, which is what was observed."""
    shift = float(np.log(factor))
    weights = cumulative(occasions, behaviour.ratio(occasions.dose, shift))
    final = final_weights(occasions, weights)
    follows = np.append(False, occasions.person[1:] == occasions.person[:-1])
    earlier = np.where(follows, np.append(0.0, occasions.value[:-1]), 0.0)
    before = jackknife(occasions.person, lambda keep: _reweighted(final[keep & follows], earlier[keep & follows]))

    random, person = np.random.default_rng(seed), occasions.person[occasions.episode]
    dealt = behaviour.standardised(occasions.dose)
    for one in np.unique(person):
        own = np.flatnonzero(person == one)
        dealt[own] = dealt[random.permutation(own)]
    doses = behaviour.mean + behaviour.spread * dealt
    last = final_weights(occasions, cumulative(occasions, behaviour.ratio(doses, shift)))
    permuted = jackknife(occasions.person, lambda keep: _reweighted(last[keep], occasions.value[keep]))
    same = weighted(occasions, np.ones(len(occasions.dose)), np.ones(len(occasions.person)))
    return (
        Control(name="the episode before", estimate=before),
        Control(name="doses dealt out anew", estimate=permuted),
        Control(name="a shift of nothing", estimate=same),
    )


def _reweighted(weights: Values, values: Values) -> float:
    """The weighted mean less the mean."""
    return float(np.average(values, weights=weights) - values.mean()) if len(values) else np.nan


def e_value(estimate: Estimate, spread: float) -> float:
    """How strongly something that is not in the record would have to go with dose and outcome, as a risk ratio, to explain an
    estimate away (VanderWeele and Ding 2017, doi 10.7326/M16-2607; differences by exp(0.91 d)); 1 where its interval holds 0."""
    if estimate.low <= 0.0 <= estimate.high:
        return 1.0
    nearer = min(abs(estimate.low), abs(estimate.high))
    ratio = float(np.exp(0.91 * nearer / spread))
    return float(ratio + np.sqrt(ratio * (ratio - 1.0)))
