"""How fast the world model encodes and predicts, beside a plain recurrent seq2seq of equal size, and how far both are from the
machine's floor.

`python benchmarks/world.py [--rounds 7] [--device cuda] [--json]`: at each batch windows encoded a second, and patient-hours
predicted a second (four hours ahead, doses given, on the 15-min integration grid; the seq2seq decodes the same grid). The two
take turns in one process. The floor counts multiplications of matrices alone, at the rate at which this machine multiplies two
square ones.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from careplan.series import Window
from careplan.therapies.glucose.declaration import GLUCOSE
from careplan.therapies.glucose.weights_folder import WEIGHTS
from careplan.world.model import WorldModel, load_model
from careplan.world.question import Given, Question

BATCHES = (1, 32, 1024)
HOURS = 4
ROWS = round(60 * HOURS / GLUCOSE.step)


class Seq2Seq(nn.Module):
    """A gated recurrent encoder over the same patches and a gated recurrent decoder of the level, given the doses."""

    def __init__(self, model: WorldModel, hidden: int) -> None:
        super().__init__()
        channels, self.patch = len(GLUCOSE.channels), model.shape.patch
        self.embed = nn.Linear(2 * channels * self.patch, hidden)
        self.encoder = nn.GRU(hidden, hidden, batch_first=True)
        self.decoder = nn.GRUCell(channels + 1, hidden)
        self.out = nn.Linear(hidden, 1)

    def encode(self, values: Tensor, mask: Tensor) -> Tensor:
        """`[B, T, C]` -> `[B, hidden]`."""
        patches = torch.cat([values, mask.to(values.dtype)], -1).unflatten(1, (-1, self.patch)).flatten(2)
        return self.encoder(torch.relu(self.embed(patches)))[0][:, -1]

    def predict(self, hidden: Tensor, level: Tensor, future: Tensor) -> Tensor:
        """State, level `[B, 1]` and doses `[B, H, C]` -> levels `[B, H]`."""
        levels = []
        for doses in future.unbind(1):
            hidden = self.decoder(torch.cat([level, doses], -1), hidden)
            level = level + self.out(hidden)
            levels.append(level)
        return torch.cat(levels, 1)


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def equal(model: WorldModel) -> Seq2Seq:
    """The widest that has no more parameters."""
    hidden = 64
    while size(Seq2Seq(model, hidden + 8)) <= size(model):
        hidden += 8
    return Seq2Seq(model, hidden)


def seconds(call: Callable[[], object], device: torch.device, least: float = 0.2) -> float:
    """Of one call, over at least `least` seconds of them."""
    count, began = 0, time.perf_counter()
    while True:
        call()
        count += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
        if (spent := time.perf_counter() - began) > least:
            return spent / count


def work(model: WorldModel, other: Seq2Seq, batch: int, device: torch.device) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    context, channels = model.shape.context, len(GLUCOSE.channels)
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(batch, context + ROWS, channels, generator=generator).to(device)
    values[..., GLUCOSE.index("glucose")] = 100 + 80 * values[..., GLUCOSE.index("glucose")]
    mask = torch.ones_like(values, dtype=torch.bool)
    minute = (torch.arange(context + ROWS, device=device) * GLUCOSE.step % 1440).expand(batch, -1)
    past = Window(values[:, :context], mask[:, :context], minute[:, :context])
    usual = torch.cat([values.mean(1), values[..., :1].std(1)], 1)
    code = model.typical(usual)
    asked = Given.PLAN.codes(batch, device)
    state = model.state(model.encode(past, usual)[:, -1], past, usual, code)
    recent = slice(context - model.shape.memory, context)
    hidden, level = other.encode(values[:, recent], mask[:, recent]), values[:, context - 1, :1]
    group = round(model.shape.interval / GLUCOSE.step)
    doses = values[:, context:].unflatten(1, (-1, group)).mean(2)
    return {
        "careplan encode": lambda: model.state(model.encode(past, usual)[:, -1], past, usual, code),
        "seq2seq encode": lambda: other.encode(values[:, recent], mask[:, recent]),
        "careplan predict": lambda: model.rollout(state, Question(values[:, context:], mask[:, context:], asked, usual, code)),
        "seq2seq predict": lambda: other.predict(hidden, level, doses),
    }


def peak(device: torch.device) -> float:
    """Operations a second of this machine, multiplying matrices."""
    a, b = torch.rand(1024, 1024, device=device), torch.rand(1024, 1024, device=device)
    return 2 * 1024**3 / min(seconds(lambda: a @ b, device, 0.05) for _ in range(10))


@torch.inference_mode()
def compare(rounds: int, device: torch.device) -> dict[str, object]:
    model = load_model(GLUCOSE, WEIGHTS, device)
    other = equal(model).to(device)
    most = max(peak(device) for _ in range(rounds))
    table: dict[str, object] = {
        "parameters": {"careplan": size(model), "seq2seq": size(other)},
        "device": str(device),
        "threads": torch.get_num_threads(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "operations_a_second": float(f"{most:.3g}"),
    }
    for batch in BATCHES:
        calls = work(model, other, batch, device)
        for call in calls.values():
            call()
        spent: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                spent[name].append(seconds(call, device))
        row: dict[str, float] = {}
        for name, call in calls.items():
            with FlopCounterMode(display=False) as counter:
                call()
            mid = statistics.median(spent[name])
            amount = batch * (HOURS if "predict" in name else 1)
            unit = "patient_hours_a_second" if "predict" in name else "windows_a_second"
            key = name.replace(" ", "_")
            row[f"{key}_{unit}"] = float(f"{amount / mid:.3g}")
            row[f"{key}_times_the_floor"] = float(f"{mid * most / counter.get_total_flops():.3g}")
        for part in ("encode", "predict"):
            ratio = statistics.median(spent[f"seq2seq {part}"]) / statistics.median(spent[f"careplan {part}"])
            row[f"ratio_seq2seq_{part}"] = float(f"{ratio:.3g}")
        table[f"batch_{batch}"] = row
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="one object, on one line")
    chosen = parser.parse_args()
    table = compare(chosen.rounds, torch.device(chosen.device))
    print(json.dumps(table) if chosen.json else json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
