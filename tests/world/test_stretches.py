"""Read along a recording, the present is encoded as from a window of its own, with a little more remembered."""

from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from careplan.series import PatientSeries
from careplan.world.corpus import Corpus, usual
from careplan.world.forecast import predict, predict_each
from careplan.world.personalise import typical
from careplan.world.question import Given
from careplan.world.stretches import encoded_along
from tests.world.toy import random_model, recording

MODEL = random_model(4)
ROWS = st.lists(st.integers(1, 600), min_size=1, max_size=12)


def along(series: PatientSeries, rows: list[int]) -> torch.Tensor:
    return encoded_along(MODEL, Corpus.of([series]), 0, torch.tensor(rows))


@settings(max_examples=15)
@given(ROWS)
def test_each_is_what_the_encoder_says_at_the_end_of_what_it_read(rows: list[int]) -> None:
    series, patch, memory = recording(3), MODEL.shape.patch, MODEL.shape.memory
    corpus, found = Corpus.of([series]), along(series, rows)
    for row, one in zip(rows, found, strict=True):
        first = row - memory - (row // patch - 1) * patch % memory - patch  # the beginning of the block before the row's
        window = corpus.windows(torch.tensor([0]), torch.tensor([first]), row - first)
        assert memory < row - first <= 2 * memory
        with torch.no_grad():
            whole = MODEL.encoder(MODEL.received.scaled(window, corpus.usual, MODEL.center, MODEL.scale), window)
        assert torch.allclose(one, whole[0, -1], atol=1e-5)


@settings(max_examples=10)
@given(ROWS)
def test_what_comes_later_and_what_else_is_asked_change_nothing(rows: list[int]) -> None:
    series, last = recording(3), max(rows)
    spoilt = series.values.copy()
    spoilt[last:] += 50.0
    found = encoded_along(MODEL, with_values(Corpus.of([series]), torch.from_numpy(spoilt)), 0, torch.tensor(rows))
    assert torch.allclose(found, torch.cat([along(series, [row]) for row in rows]), atol=1e-5)


def with_values(corpus: Corpus, values: torch.Tensor) -> Corpus:
    """The same but for what was measured."""
    return replace(corpus, values=values)


def test_several_questions_at_once_are_answered_as_one_by_one() -> None:
    series, rows = recording(5), list(range(120, 500, 7))
    stranger = typical(MODEL, "one", usual(series))
    known = replace(stranger, mean=stranger.mean + 0.3)
    asked = [(who, given_) for who in (stranger, known) for given_ in Given]
    for (who, given_), (minutes, levels, offsets) in zip(asked, predict_each(MODEL, series, rows, asked), strict=True):
        alone = predict(MODEL, series, rows, who, given=given_)
        assert torch.equal(minutes, alone[0]) and torch.equal(levels, alone[1]) and torch.equal(offsets, alone[2])
    read_along = predict(MODEL, series, rows, known, given=Given.NOTHING, along=True)[1]
    assert (read_along - predict(MODEL, series, rows, known, given=Given.NOTHING)[1]).abs().median() < 1.0
