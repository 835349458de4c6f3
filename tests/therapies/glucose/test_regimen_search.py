"""A regimen is searched on replayed days: each regimen is replayed once, and alike alone and beside others."""

import pytest
import torch
from torch import Tensor

from careplan.clinic import open_database, store_records
from careplan.clinic.recordings import read_recording
from careplan.recording import Recording
from careplan.therapies.glucose.days import Days, recent_days
from careplan.therapies.glucose.regimen_search import regimen_of
from careplan.therapies.glucose.world import open_world
from careplan.world.personalise import Personalisation, personalise
from tests.clinic.build import record


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recording, Personalisation]:
    """A recording of 18 days and what the shipped model knows of its patient."""
    database = open_database(str(tmp_path_factory.mktemp("known") / "store.db"))
    store_records(database, "table", [record("ann", days=18)])
    recording = read_recording(database, "ann")
    database.close()
    return recording, personalise(open_world().model, [recording.series])[0]


def test_no_regimen_is_replayed_twice(known: tuple[Recording, Personalisation], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[tuple[float, ...]]] = []
    replay = Days.replay

    def noted(days: Days, multipliers: Tensor, *also: object) -> Tensor:
        asked.append([tuple(row) for row in multipliers.tolist()])
        return replay(days, multipliers, *also)  # type: ignore[arg-type]

    monkeypatch.setattr(Days, "replay", noted)
    assert not regimen_of(open_world(), *known).abstained
    searched = [row for rows in asked[1:] for row in rows]  # the first tells how far each setting moves the level alone
    assert len(searched) > 20 and len(set(searched)) == len(searched)


def test_a_regimen_is_replayed_alike_alone_and_beside_others(known: tuple[Recording, Personalisation]) -> None:
    recording, person = known
    assert recording.regimen is not None
    days = recent_days(open_world().model, recording.series, person, recording.regimen)
    assert days is not None
    multipliers = torch.ones(3, 3 * len(recording.regimen.starts) + 1)
    multipliers[1, 0], multipliers[2] = 0.8, 1.2
    together = days.replay(multipliers)
    alone = torch.cat([days.replay(row.unsqueeze(0)) for row in multipliers])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-3)
    assert (together[1] - together[0]).abs().max() > 1.0
