"""What the search for doses believes of a patient."""

from dataclasses import replace

import pytest
import torch

from careplan.clinic.dose_search import HORIZON, Ahead, _encoded, _strength
from careplan.clinic.world import open_world
from careplan.glucose import GLUCOSE
from careplan.planning.actions import NO_CHANGE
from careplan.series import Window
from careplan.world.dynamics import SENSITIVITY


def test_a_code_that_makes_insulin_weak_is_doubted_by_every_other_particle() -> None:
    typical, code = torch.zeros(2, 8), torch.zeros(2, 4, 8)
    code[0, :, SENSITIVITY], code[1, :, SENSITIVITY] = -1.0, 1.0
    doubted = float(torch.tensor(0.5).exp())
    torch.testing.assert_close(_strength(code, typical), torch.tensor([[1.0, doubted, 1.0, doubted], [1.0, 1.0, 1.0, 1.0]]))


@pytest.mark.parametrize("action", [(2.0, 1.0), (0.0, 2.0)])
def test_doubt_makes_more_insulin_lower_and_less_insulin_no_safer(action: tuple[float, float]) -> None:
    model, rows, channels = open_world().model, round(HORIZON / GLUCOSE.step), len(GLUCOSE.channels)
    values = torch.zeros(1, model.shape.context, channels)
    values[..., GLUCOSE.index("glucose")], values[..., GLUCOSE.index("basal")] = 180.0, 0.8
    clock = GLUCOSE.step * torch.arange(model.shape.context).float().unsqueeze(0)
    past = Window(values, torch.ones_like(values, dtype=torch.bool), clock)
    ahead = torch.zeros(1, rows, channels)
    ahead[..., GLUCOSE.index("basal")] = 0.8
    prescribed = Ahead(ahead, torch.ones_like(ahead, dtype=torch.bool), torch.tensor([0.05]), torch.tensor([True]))
    usual = torch.cat([values.mean(1), torch.tensor([[40.0]])], 1)
    with torch.no_grad():
        code = model.typical(usual).unsqueeze(1).expand(-1, 2, -1)
        believing, state, _, _ = _encoded(model, past, usual, code, torch.ones(1), prescribed, 0)
        doubting = replace(believing, strength=torch.tensor([[1.0, 1.6]]))
        for given, lower in ((action, True), (NO_CHANGE, False), ((0.0, 0.5), False)):
            treated = torch.tensor([[given]])
            (_, plain), (_, doubted) = believing.step(state.unsqueeze(1), treated), doubting.step(state.unsqueeze(1), treated)
            torch.testing.assert_close(plain[..., 0, :], doubted[..., 0, :])
            assert bool((doubted[..., 1, -1] < plain[..., 1, -1] - 0.01).all()) == lower
            if not lower:
                torch.testing.assert_close(plain, doubted)
