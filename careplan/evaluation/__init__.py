"""Judging predictions: forecasts, intervals, risks and personalisation, as pure functions over arrays."""

from typing import TYPE_CHECKING

from careplan.lazy import exported

if TYPE_CHECKING:
    from careplan.evaluation.fingersticks import between_readings, thinned
    from careplan.evaluation.forecasts import boosted, fit_baselines, forecast_rows, persistence, truths
    from careplan.evaluation.intervals import adaptive, conformal, cover, happens
    from careplan.evaluation.personalisation import fine_tuned, learning_curve

__all__ = [
    "adaptive",
    "between_readings",
    "boosted",
    "conformal",
    "cover",
    "fine_tuned",
    "fit_baselines",
    "forecast_rows",
    "happens",
    "learning_curve",
    "persistence",
    "thinned",
    "truths",
]

__getattr__, __dir__ = exported(
    __name__,
    {
        **dict.fromkeys(("between_readings", "thinned"), "fingersticks"),
        **dict.fromkeys(("boosted", "fit_baselines", "forecast_rows", "persistence", "truths"), "forecasts"),
        **dict.fromkeys(("adaptive", "conformal", "cover", "happens"), "intervals"),
        **dict.fromkeys(("fine_tuned", "learning_curve"), "personalisation"),
    },
)
