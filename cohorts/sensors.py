"""Continuous glucose monitors: what is shown of the interstitial glucose."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from cohorts.scenarios import ROWS, own_generator

LOW, HIGH = 39.0, 401.0  # what a sensor shows at its ends: below 40, above 400

# Compression lows of the Dexcom G4: median and 5th-95th percentile 45 (30-70) minutes and 24 (10-48) mg/dL, mostly at night; the
# fall and the return are those of a first-order system (Facchinetti 2016, Diabetes Technol Ther 18(4), 264-272). Its time
# constant, the hours of the night and how often it happens are ours.
PRESSED = (9.0, 0.26)  # rows: median, and spread of the logarithm
PRESSURE = (24.0, 0.48)  # mg/dL, the same
YIELDING = math.exp(-5.0 / 12.0)  # over five minutes
NIGHT = 72  # rows after midnight in which pressure begins


@dataclass(frozen=True, eq=False)
class Wear:
    """The truth of what a sensor adds, `[B, T]`: relative gain, additive error mg/dL, mg/dL lost under pressure, whether it warms
    up, whether a reading is shown (neither warm-up nor a gap).
    """

    gain: Tensor
    error: Tensor
    pressure: Tensor
    warming: Tensor
    shown: Tensor

    def reading(self, sensed: Tensor, row: int) -> Tensor:
        """What the sensor makes of an interstitial glucose `[B]` mg/dL at one row."""
        return (sensed * self.gain[:, row] + self.error[:, row] - self.pressure[:, row]).clamp(LOW, HIGH)


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """Error: a gain that belongs to each wear, and an autoregressive part, by default of order 1, 0.7 over a quarter of an hour
    (Breton & Kovatchev 2008, J Diabetes Sci Technol 2(5), 853-862; theirs is bent by a Johnson transform, ours is normal).

    noise: its spread, mg/dL; memory, second: its coefficients one and two rows back; gain: spread of the relative error of one
    wear of `wear` days; dropout: gaps a day, of up to `gap` rows; compression: share of nights with a compression low; warmup:
    minutes without a reading at the start of each wear; staggered: everyone changes sensors at a time of their own, instead of
    all at the first midnight. 0 switches a source off; `Sensor.none()` shows the interstitial glucose.
    """

    noise: float = 7.0
    memory: float = 0.7 ** (1 / 3)
    gain: float = 0.06
    wear: int = 10
    dropout: float = 0.4
    gap: int = 36
    second: float = 0.0
    compression: float = 0.0
    warmup: float = 0.0
    staggered: bool = False

    @classmethod
    def dexcom(cls) -> "Sensor":
        """After the Dexcom G6. The autoregression of order 2 has the variance and the first two autocorrelations of the sum of
        the paper's two, "sensor specific" (1.220, -0.331, 3.641) and "common" (1.340, -0.492, 5.538): Vettoretti, Del Favero,
        Sparacino, Facchinetti, "Modeling the error of factory-calibrated CGM sensors", EMBC 2019, after Facchinetti 2014 (IEEE
        TBME 61(3), 620-629). Their drift of calibration over a wear is not modelled. Ten days, two hours of warm-up; nine in ten
        disconnections are shorter than 20 minutes (Facchinetti 2016). The gain, how often gaps come and compression are ours.
        """
        error = cls(noise=7.96, memory=1.298, second=-0.434, gain=0.07, dropout=0.8, gap=4)
        return replace(error, compression=0.15, warmup=120.0, staggered=True)

    @classmethod
    def libre(cls) -> "Sensor":
        """After the FreeStyle Libre 2: fourteen days, an hour of warm-up. No autocorrelated error of its own is known to us, so
        it has that of the same maker's Navigator (Breton & Kovatchev 2008) and a gain that brings the mean relative error near
        the published 9.2 % (Alva 2022, J Diabetes Sci Technol 16(1), 70-77). Gaps and compression are ours.
        """
        return cls(gain=0.08, wear=14, dropout=0.4, gap=12, compression=0.15, warmup=60.0, staggered=True)

    @classmethod
    def none(cls) -> "Sensor":
        """Every source off."""
        return cls(noise=0.0, gain=0.0, dropout=0.0)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (abs(value) < math.inf and (value >= 0 or field.name == "second")):
                raise ValueError(f"sensor: {field.name} is {value}, expected a finite number, 0 or more")
        steady = abs(self.second) < 1 and self.memory + self.second < 1 and self.second - self.memory < 1
        if not (steady and self.wear >= 1 and self.gap >= 1 and self.compression <= 1):
            raise ValueError(f"{self}: expected an error that fades, wear and gap of at least 1, compression of at most 1")

    def draw(self, count: int, rows: int, generator: torch.Generator) -> Wear:
        """What `count` sensors add over `rows` rows, drawn in advance. Sources are independent, as in `scenarios.draw_life`."""
        fresh = torch.randn(rows, count, generator=generator) * self.noise
        error, before, trail = fresh[0], fresh[0], [fresh[0]]
        # Innovations of a steady autoregression of order 2 with a variance of 1; 1 - memory^2 where `second` is 0.
        share = ((1 + self.second) * ((1 - self.second) ** 2 - self.memory**2) / (1 - self.second)) ** 0.5
        for row in fresh[1:]:
            error, before = self.memory * error + self.second * before + share * row, error
            trail.append(error)
        wear = ROWS * self.wear
        gain = 1 + self.gain * torch.randn(rows // wear + 1, count, generator=generator)
        starts = torch.rand(rows, count, generator=generator) < self.dropout / ROWS
        length = (torch.rand(rows, count, generator=generator) * self.gap + 1).long() * starts
        clock = torch.arange(rows).unsqueeze(1)
        ends = (clock + length).cummax(0).values  # of the gaps begun so far
        age = clock.expand(rows, count)  # rows since the first wear began
        if self.staggered:
            own = own_generator(generator, "staggered")
            age = clock + (torch.rand(count, generator=own) * wear).long()
            gain = torch.cat([gain, 1 + self.gain * torch.randn(1, count, generator=own)])
        warming = age % wear < self.warmup / 5
        pressure = torch.zeros(1, 1).expand(rows, count)
        if self.compression:
            pressure = _pressure(count, rows, self.compression, own_generator(generator, "compression"))
        shown = (clock >= ends) & ~warming
        return Wear(gain.gather(0, age // wear).T, torch.stack(trail).T, pressure.T, warming.T, shown.T)


SENSORS: dict[str, Callable[[], Sensor]] = {
    "usual": Sensor,
    "dexcom": Sensor.dexcom,
    "libre": Sensor.libre,
    "none": Sensor.none,
}


def _pressure(count: int, rows: int, share: float, generator: torch.Generator) -> Tensor:
    """What sleeping on the sensor takes from what it shows, mg/dL `[T, B]`."""
    nights = -(-rows // ROWS)
    begins = (torch.rand(nights, count, generator=generator) * NIGHT).long()
    shapes = torch.randn(2, nights, count, generator=generator).clamp(-2, 2)
    lasts, depth = PRESSED[0] * torch.exp(PRESSED[1] * shapes[0]), PRESSURE[0] * torch.exp(PRESSURE[1] * shapes[1])
    depth = depth * (torch.rand(nights, count, generator=generator) < share)
    left, trail = torch.zeros(count), []
    for row in range(rows):
        night, hour = divmod(row, ROWS)
        held = (begins[night] <= hour) & (hour < begins[night] + lasts[night])
        left = left * YIELDING + (1 - YIELDING) * depth[night] * held
        trail.append(left)
    return torch.stack(trail)
