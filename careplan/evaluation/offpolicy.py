"""What another way of dosing would have been worth, from a record of how people dosed: off-policy evaluation of shifts.

The policies asked about shift every dose by a factor: "every bolus a tenth smaller". A shift is a modified treatment policy
(Haneuse and Rotnitzky 2013, doi 10.1002/sim.5907): it is defined by the dose that was given, and it keeps overlap where a policy
that always gives one certain dose has none. Estimators of different kinds stand side by side, since each fails in its own way:

- `naive`: people on the days on which they dosed nearest to what is asked about; confounded, and shown for that;
- `weighted`: per-decision weighted importance sampling (Precup 2000), by a fitted behaviour policy;
- `fitted_q`: a substitution estimator, the outcome model iterated backward over the decisions of an episode;
- `doubly_robust`: the one-step estimator that is right where either of the two is (Díaz et al. 2023, doi
  10.1080/01621459.2021.1955691, section 4).

All assume that what a dose was decided on is in the state: no estimator here is right where people knew more than the record.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gaussian_kde, t
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

FOLDS = 5  # of episodes, so that nobody's dose is judged by a model that was fitted to it
SHRINK = 10.0  # decisions of a person that count as much as everybody's mean
GROUPS, REFITS = 200, 10  # of people, left out in turn; where a model is fitted anew without each
LEAST, LEAST_SHARE = 30.0, 0.05  # episodes, and their share, below which an effective sample is no overlap
GRID = np.linspace(-8.0, 8.0, 1601)  # standardised residuals at which the density of doses is tabulated
LEAST_DOSE = 0.1  # what the terms add up to at least, in the dose's unit
WIDEST = 5.0  # standard deviations of a dose about what is usual, beyond which effects go no further
FLOOR = 1e-4  # the least density: a residual that was never seen is rare, not impossible

Values = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Occasions:
    """N decisions of E episodes; those of an episode stand together, in the order of time.

    episode `[N]`: which episode a decision belongs to. person `[E]`: whose an episode is. state `[N, F]`: what was known as the
    decision was taken. terms `[N, K]`: of the state, what a person adds up to a dose, each times a factor of their own.
    dose `[N]`: the natural logarithm of the dose. reward `[N]`: from the decision until the next of the episode or its end.
    before `[E]`: the reward of an episode before its first decision. An episode's value is their sum.
    """

    episode: Index
    person: Index
    state: Values
    terms: Values
    dose: Values
    reward: Values
    before: Values

    def __post_init__(self) -> None:
        decisions, episodes = len(self.episode), len(self.person)
        for name, each in (("state", self.state), ("terms", self.terms), ("dose", self.dose), ("reward", self.reward)):
            if len(each) != decisions:
                raise ValueError(f"occasions: {len(each)} rows of {name}, expected {decisions} decisions")
        if self.before.shape != (episodes,) or (decisions and not 0 <= self.episode.min() <= self.episode.max() < episodes):
            raise ValueError(f"occasions: {episodes} episodes, but before {self.before.shape} or an episode beyond them")
        if (np.diff(self.episode) < 0).any():
            raise ValueError("occasions: the decisions of an episode do not stand together in order")
        for name in ("state", "terms", "dose", "reward", "before"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"occasions: {name} holds a number that is not finite")

    @property
    def value(self) -> Values:
        """`[E]` what each episode came to."""
        return self.before + np.bincount(self.episode, self.reward, len(self.person))

    @property
    def last(self) -> NDArray[np.bool_]:
        """`[N]` whether a decision is the last of its episode."""
        return np.append(self.episode[1:] != self.episode[:-1], True)[: len(self.episode)]

    @property
    def first(self) -> NDArray[np.bool_]:
        """`[N]` whether a decision is the first of its episode."""
        return np.append(True, self.episode[1:] != self.episode[:-1])[: len(self.episode)]

    @property
    def place(self) -> Index:
        """`[N]` how many decisions of the episode came before."""
        index = np.arange(len(self.episode))
        return index - np.maximum.accumulate(np.where(self.first, index, 0))


@dataclass(frozen=True, eq=False)
class BehaviourPolicy:
    """How doses are given in a state, out of fold: `[N]` mean and spread of the logarithm, and the density of what is left over,
    standardised, on `GRID`."""

    mean: Values
    spread: Values
    density: Values

    def standardised(self, dose: Values) -> Values:
        """`[N]` how far doses are from what is usual, in spreads."""
        return (dose - self.mean) / self.spread

    def ratio(self, dose: Values, shift: float) -> Values:
        """`[N]` density of the doses under a policy that multiplies each by `exp(shift)`, over their density as given."""
        shifted = np.interp(self.standardised(dose - shift), GRID, self.density)
        return np.asarray(shifted / np.interp(self.standardised(dose), GRID, self.density))

    def probability(self, dose: Values) -> Values:
        """`[N]` the share of doses expected below each: uniform between 0 and 1 where the policy is calibrated."""
        total = np.cumsum(self.density)
        return np.interp(self.standardised(dose), GRID, total / total[-1])


def fit_behaviour(occasions: Occasions, *, seed: int = 0) -> BehaviourPolicy:
    """What each person's own factors on the terms add up to; additive splines of that and of the state, with a shrunken mean of
    each person, for the dose and for the logarithm of how much it varies; a kernel density for the shape. Each decision's are of
    the folds of episodes that it is not in."""
    fold = folds_of(occasions, seed)
    mean, spread = np.empty(len(fold)), np.empty(len(fold))
    for index in range(FOLDS):
        train, test = fold != index, fold == index
        if test.any():
            added = _added_up(occasions, train)
            state = np.column_stack([occasions.state, added])
            mean_here = _additive(occasions, state, occasions.dose, train)
            left = np.log(np.abs(occasions.dose - mean_here) + 0.02)
            mean[test], spread[test] = mean_here[test], np.exp(_additive(occasions, state, left, train)[test])
    left = occasions.dose - mean
    spread = spread * np.sqrt(np.mean((left / spread) ** 2))
    density = gaussian_kde(np.clip(left / spread, -6, 6))(GRID) + FLOOR
    return BehaviourPolicy(mean, spread, density)


def folds_of(occasions: Occasions, seed: int) -> Index:
    """`[N]` the fold of each decision's episode."""
    order = np.random.default_rng(seed).permutation(len(occasions.person))
    return np.asarray((np.argsort(order) % FOLDS)[occasions.episode])


def _added_up(occasions: Occasions, train: NDArray[np.bool_]) -> Values:
    """`[N]` logarithm of the sum of the terms, each times a factor of the person's: least squares of the relative error where
    `train`, shrunken to everybody's."""
    dose, terms = np.exp(occasions.dose), occasions.terms / occasions.terms.std(0).clip(min=1e-9)
    person = occasions.person[occasions.episode]
    weigh = 1.0 / np.maximum(dose, 1.0)
    x, y = terms * weigh[:, None], dose * weigh
    everybody = np.linalg.lstsq(x[train], y[train], rcond=None)[0]
    found = np.empty(len(dose))
    for one in np.unique(person):
        own = person == one
        mine, missed = x[own & train], y[own & train] - x[own & train] @ everybody
        penalty = SHRINK * np.diag((x[train] ** 2).mean(0))
        found[own] = terms[own] @ (everybody + np.linalg.solve(mine.T @ mine + penalty, mine.T @ missed))
    return np.log(np.maximum(found, LEAST_DOSE))


def _additive(occasions: Occasions, state: Values, target: Values, train: NDArray[np.bool_]) -> Values:
    """`[N]` additive splines of `state` `[N, F]` and each person's shrunken mean of what they miss, fitted where `train`."""
    person = occasions.person[occasions.episode]
    splines = SplineTransformer(n_knots=4, degree=2, extrapolation="linear")
    model = make_pipeline(StandardScaler(), splines, Ridge(alpha=1.0)).fit(state[train], target[train])
    found = np.asarray(model.predict(state))
    size = int(person.max()) + 1
    left = np.bincount(person[train], (target - found)[train], size)
    return found + (left / (np.bincount(person[train], minlength=size) + SHRINK))[person]


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

    def design(e: Values, own: Values) -> Values:
        e = np.clip(e / scale, -WIDEST, WIDEST)[:, None]
        return np.concatenate([base, own[:, None], e, e * state, e**2], axis=1)

    values = occasions.value
    dosed, shifted = np.zeros(len(away)), np.zeros(len(away))
    for index in range(FOLDS):
        train = fold != index
        episodes = np.unique(occasions.episode[train])
        size = int(person.max()) + 1
        usual = np.bincount(occasions.person[episodes], values[episodes], size)
        counts = np.bincount(occasions.person[episodes], minlength=size)
        own = ((usual + SHRINK * values[episodes].mean()) / (counts + SHRINK))[person]
        as_dosed, as_shifted = design(away, own), design(away + shift, own)
        ahead = np.zeros(len(away))
        for _ in range(int(occasions.place.max()) + 1):  # each round looks one decision further
            target = occasions.reward + np.where(last, 0.0, np.append(ahead[1:], 0.0))
            model = Ridge(alpha=10.0).fit(as_dosed[train], target[train])
            ahead = model.predict(as_shifted)
        test = fold == index
        dosed[test], shifted[test] = model.predict(as_dosed[test]), ahead[test]
    return Outcomes(dosed, shifted)


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
