"""The behaviour policy: how people dose in a state, fitted so that nobody's dose is judged by a model that knew it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gaussian_kde
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from careplan.evaluation.occasions import Index, Occasions, Values

FOLDS = 5  # of episodes, so that nobody's dose is judged by a model that was fitted to it
SHRINK = 10.0  # decisions of a person that count as much as everybody's mean
GRID = np.linspace(-8.0, 8.0, 1601)  # standardised residuals at which the density of doses is tabulated
LEAST_DOSE = 0.1  # what the terms add up to at least, in the dose's unit
ROWS = 10_000  # decisions whose splines are held at one time
FLOOR = 1e-4  # the least density: a residual that was never seen is rare, not impossible


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
        size = (x[train] ** 2).mean(0)
        penalty = SHRINK * np.diag(np.where(size > 0, size, 1.0))  # a term that is nowhere has no factor
        found[own] = terms[own] @ (everybody + np.linalg.solve(mine.T @ mine + penalty, mine.T @ missed))
    return np.log(np.maximum(found, LEAST_DOSE))


def _additive(occasions: Occasions, state: Values, target: Values, train: NDArray[np.bool_]) -> Values:
    """`[N]` additive splines of `state` `[N, F]` and each person's shrunken mean of what they miss, fitted where `train`."""
    person = occasions.person[occasions.episode]
    splines = SplineTransformer(n_knots=4, degree=2, extrapolation="linear")
    model = make_pipeline(StandardScaler(), splines, Ridge(alpha=1.0, copy_X=False)).fit(state[train], target[train])
    found = np.concatenate([model.predict(state[row : row + ROWS]) for row in range(0, len(state), ROWS)])
    size = int(person.max()) + 1
    left = np.bincount(person[train], (target - found)[train], size)
    return found + (left / (np.bincount(person[train], minlength=size) + SHRINK))[person]
