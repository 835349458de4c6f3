"""Wajima 2009's prothrombin time, integrated: the oracle of the powers that `cohorts.warfarin.network` reads the INR by.

Plasma diluted to a third, 300 nM of tissue factor, no thrombomodulin; the time at which the integral of fibrin is 1,500 nM s.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

RESTING = {"II": 1394.4, "V": 26.7, "VII": 10.0, "VIII": 0.7, "IX": 89.6, "X": 174.3, "Fg": 8945.5, "TFPI": 2.5, "XIII": 70.3}
ACTIVE = ("IIa", "Va", "VIIa", "VIIIa", "IXa", "Xa", "Xa.Va", "IXa.VIIIa", "VIIa.TF", "Xa.TFPI", "all.TFPI")
NAMES = (*RESTING, *ACTIVE, "TF", "VII.TF", "F", "XIIIa", "area")
# What turns into what, by which enzyme: v (1/h) and k (nM).
TURNS = (
    ("VIII", "VIIIa", "IIa", 5e4, 1e-6), ("VII", "VIIa", "IIa", 0.1, 10), ("X", "Xa", "IXa", 0.02, 10),
    ("X", "Xa", "IXa.VIIIa", 2, 0.1), ("X", "Xa", "VIIa", 1e-9, 10), ("V", "Va", "IIa", 5e4, 10), ("II", "IIa", "Xa.Va", 100, 10),
    ("II", "IIa", "Xa", 9, 500), ("Fg", "F", "IIa", 2e4, 0.5), ("F", "", "XIIIa", 7, 10), ("XIII", "XIIIa", "IIa", 7, 1),
    ("VII.TF", "VIIa.TF", "Xa", 70, 1), ("X", "Xa", "VIIa.TF", 900, 200), ("IX", "IXa", "VIIa.TF", 70, 1),
    ("VII.TF", "VIIa.TF", "TF", 1000, 1), ("VII", "VIIa", "Xa", 1, 10), ("VII", "VIIa", "VIIa.TF", 1, 10),
    ("VII", "VIIa", "IXa", 0.2, 10),
)  # fmt: skip
# What binds what into what, by a constant (nM h).
BINDS = (
    ("IXa", "VIIIa", "IXa.VIIIa", 0.01), ("Xa", "Va", "Xa.Va", 0.5), ("TF", "VIIa", "VIIa.TF", 0.5), ("TF", "VII", "VII.TF", 0.1),
    ("VIIa.TF", "Xa.TFPI", "all.TFPI", 0.5), ("Xa", "TFPI", "Xa.TFPI", 0.5),
)  # fmt: skip
LEAVES = {**dict.fromkeys(ACTIVE, 20.0), "IIa": 67.4, "TF": 0.05, "VII.TF": 0.7, "F": 0.05, "XIIIa": 0.69}


def prothrombin_time(two: float, seven: float, ten: float) -> float:
    """Seconds, of plasma with shares of factors II, VII and X; IX as the mean of II and X."""
    place = {name: index for index, name in enumerate(NAMES)}

    def rate(_: float, state: NDArray[np.float64]) -> NDArray[np.float64]:
        now = np.maximum(state, 0.0)
        change = np.zeros_like(now)
        for name, leaves in LEAVES.items():
            change[place[name]] -= leaves * now[place[name]]
        for source, product, enzyme, most, half in TURNS:
            turned = most * now[place[source]] * now[place[enzyme]] / (half + now[place[enzyme]])
            change[place[source]] -= turned
            if product:
                change[place[product]] += turned
        for one, other, both, constant in BINDS:
            bound = now[place[one]] * now[place[other]] / constant
            change[[place[one], place[other]]] -= bound
            change[place[both]] += bound
        change[place["area"]] = now[place["F"]]
        return change

    start = np.zeros(len(NAMES))
    for name, amount in RESTING.items():
        start[place[name]] = amount / 3
    for name, share in (("II", two), ("VII", seven), ("X", ten), ("IX", (two * ten) ** 0.5)):
        start[place[name]] *= share
    start[place["TF"]] = 300.0

    def clots(_: float, state: NDArray[np.float64]) -> float:
        return float(state[place["area"]] - 1500.0 / 3600.0)

    clots.terminal = True  # type: ignore[attr-defined]
    found = solve_ivp(rate, (0.0, 200.0 / 3600.0), start, method="LSODA", events=clots, rtol=1e-6, atol=1e-9)
    return 3600.0 * float(found.t[-1])
