"""Therapies that differ from the shipped ones in nearly everything are declared, learned, planned, guarded, reviewed and
signed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from careplan import therapies
from careplan.clinic import open_database, save_regimen, sign_review, store_records, suggest_doses
from careplan.declared.plans import as_it_stands
from careplan.declared.standing import estimate
from careplan.planning.course import CoursePlans, CourseSearch
from careplan.planning.measuring import next_measurement
from careplan.planning.menu import Menu
from careplan.planning.rules import rules_of
from careplan.records.events import PatientRecord, events_frame
from careplan.rules import Lockout
from careplan.series import PatientSeries, given_columns, windows
from careplan.store import Database, append, local_account
from careplan.store.schema import Course
from careplan.suggestion import Decision, Suggestion
from careplan.therapy import Therapy
from careplan.world.calibration import effects, sign_right
from careplan.world.corpus import Corpus
from careplan.world.filter import filter_recording
from careplan.world.loaded import World
from careplan.world.model import WorldModel, load_model
from careplan.world.personalise import Personalisation, personalise
from careplan.world.question import Question
from tests.therapies.contract import growth, pressures, thinning
from tests.therapies.contract.build import branched, practice, recorded, trained
from tests.therapies.contract.plans import planned, stranger, suggestions

from ..kept import DR_ADA

COUNT = 16


@dataclass(frozen=True, eq=False)
class Learned:
    """A contract therapy with its small model, the recordings that it was trained on, and what three of them are known by."""

    module: ModuleType
    therapy: Therapy
    model: WorldModel
    series: list[PatientSeries]
    people: list[Personalisation]
    branches: Any


@cache
def learned(name: str) -> Learned:
    """Trained for 50 steps on virtual patients of its own."""
    module, therapy, rows, every = {
        "thinning": (thinning, thinning.THINNING, 56, 7),
        "growth": (growth, growth.GROWTH, 30, 1),
        "pressures": (pressures, pressures.PRESSURES, 60, 1),
    }[name]
    people, doses = module.people(COUNT, 1), module.doses(COUNT, rows, 2)
    measured = np.zeros((COUNT, rows), bool)
    measured[:, every - 1 :: every] = True
    wide = 0.03 if therapy.channel(therapy.regulated).link == "log" else 0.5
    noise = np.random.default_rng(3).normal(0, wide, (COUNT, rows, len(therapy.outputs))).astype(np.float32)
    series = recorded(therapy, people, doses, measured, noise=noise)
    ahead = therapy.clock.rows(therapy.clock.horizon)
    branches = branched(therapy, people, doses, module.doses(COUNT, rows, 9), therapy.clock.context, ahead)
    model = trained(therapy, series, branches, Path(mkdtemp()))
    return Learned(module, therapy, model, series, personalise(model, series[:3], windows=12), branches)


NAMES = ("thinning", "growth", "pressures")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_learned_of_a_patient_foretells_them_better_than_the_typical_one(name: str) -> None:
    found = learned(name)
    for person in found.people:
        assert float(person.errors[-1, 1]) <= float(person.errors[-1, 0]) * 1.05
        assert torch.linalg.eigvalsh(found.model.code_covariance - person.covariance).min() > -1e-4, "readings never add doubt"


@pytest.mark.parametrize("name", NAMES)
def test_the_direction_of_effects_is_learned(name: str) -> None:
    found = learned(name)
    corpus = Corpus.of(found.series)
    people = [stranger(found.model, series) for series in found.series]
    branches = found.branches
    predicted, true = effects(found.model, corpus, branches, people)
    true = true if true.ndim == 2 else true[..., 0]
    assert sign_right(predicted, true, over=float(true.abs().quantile(0.75))) > 0.6


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_more_of_a_drug_moves_every_output_only_in_its_direction(name: str) -> None:
    found = learned(name)
    model, therapy = found.model, found.therapy
    past = windows(found.series[0], [len(found.series[0])], model.shape.context)
    usual, code = found.people[0].usual.unsqueeze(0), found.people[0].mean.unsqueeze(0)
    state = model.state(model.encode(past, usual)[:, -1], past, usual, code)
    rows = therapy.clock.rows(therapy.clock.horizon)
    values = torch.zeros(1, rows, len(therapy.channels))
    base = model.rollout(state, Question.plan(values, torch.ones_like(values, dtype=torch.bool), usual, code)).levels
    for column in given_columns(therapy):
        more = values.clone()
        more[..., column] = therapy.channels[column].scale
        moved = model.rollout(state, Question.plan(more, torch.ones_like(more, dtype=torch.bool), usual, code)).levels - base
        for place, output in enumerate(therapy.outputs):
            acting = [
                e.direction
                for e in therapy.effects
                if (e.on or therapy.regulated) == output.name and column in therapy.columns(e)
            ]
            assert acting, "each drug of these acts on each output"
            assert bool((moved[..., place] * acting[0] >= -1e-4).all()) and float(moved[..., -1, place].abs().max()) > 1e-4


def test_a_positive_level_stays_positive_and_covariates_are_a_strangers_code() -> None:
    found = learned("thinning")
    slow, fast = (stranger(found.model, replace(found.series[0], facts={"gene": gene, "age": 60.0})) for gene in ("slow", "fast"))
    effect = found.model.layout.effect("drug")
    assert not torch.allclose(slow.mean, fast.mean)
    assert float(slow.mean[effect]) > float(fast.mean[effect]), "whose gene is slow needs less"
    low = found.model.natural_of(0, torch.tensor([-50.0, 0.0]))
    assert float(low[0]) > 0 and float(low[1]) == pytest.approx(2.0)
    with pytest.raises(ValueError, match=r"ann: gene: 'odd' is not one of slow, usual, fast"):
        found.therapy.facts({"gene": "odd"}, "ann")
    with pytest.raises(ValueError, match="age: 300 years is outside"):
        found.therapy.facts({"age": 300.0})


@torch.no_grad()
def test_a_reading_lessens_doubt_and_a_gap_adds_to_it() -> None:
    found = learned("thinning")
    series, person = found.series[0], found.people[0]
    corpus = Corpus.of([series])
    window = corpus.windows(torch.tensor([0]), torch.tensor([0]), 56)
    told = filter_recording(found.model, window, person.usual.unsqueeze(0), person.mean.unsqueeze(0))
    variance, seen = told.variance[0, :, 0], told.seen[0, :, 0]
    assert int(seen.sum()) == 8
    after = torch.nonzero(seen).squeeze(1)[1]
    assert variance[after + 1] < variance[after], "a day after a reading less is unknown than before it"
    assert (variance[after + 1 : after + 6].diff() > 0).all(), "and then more each day"
    rows = found.model.shape.context
    states = []
    for end in (49, 55):  # a week of which the last day was read, or the first
        past = windows(series, [end], rows)
        z = found.model.encode(past, person.usual.unsqueeze(0))[:, -1]
        states.append(found.model.state(z, past, person.usual.unsqueeze(0), person.mean.unsqueeze(0)))
    assert float(states[1].doubt) > float(states[0].doubt) > 0


@pytest.mark.usefixtures("compiled_engine")
@pytest.mark.parametrize("name", NAMES)
def test_native_and_eager_searches_answer_alike(name: str) -> None:
    found = learned(name)
    asked = (found.model, found.series[0], found.people[0], found.module.LIMITS)
    eager, native = (planned(*asked, how=CourseSearch(depth=2, simulations=12, backend=each)) for each in ("eager", "native"))
    assert torch.equal(eager.actions, native.actions)
    torch.testing.assert_close(eager.terms.score, native.terms.score, rtol=1e-5, atol=1e-6)


def rules(plans: CoursePlans) -> set[str]:
    """That forbade the first patient a first action."""
    return {breach.rule for breach in plans.bound[0]}


def test_a_ceiling_lets_nothing_be_raised_and_a_floor_nothing_be_withheld() -> None:
    found = learned("thinning")
    for level, fewer, more in ((4.5, True, False), (1.2, False, True)):
        plans = planned(found.model, found.series[0], found.people[0], found.module.LIMITS, level=torch.tensor([[level]]))
        given, stands = plans.amounts[0, :2, 0, 0], plans.amounts[0, 2, 0, 0]
        assert bool((given <= stands).all()) or more
        assert bool((given >= stands).all()) or fewer
        assert ("ceiling" if level > 4 else "clots") in rules(plans)


def test_the_numbers_of_limits_are_rules_of_a_course() -> None:
    found = learned("thinning")
    asked = (found.model, found.series[0], found.people[0])
    low = torch.tensor([[1.6]])  # so low that more is better
    free = planned(*asked, found.module.LIMITS, level=low)
    stands = float(free.amounts[0, 2, 0, 0])
    assert "the largest dose" not in rules(free)
    tight = planned(*asked, replace(found.module.LIMITS, max_dose=stands / 7), level=low)
    assert "the largest dose" in rules(tight) and float(tight.amounts[0, 0, 0, 0]) <= stands + 1e-3
    with pytest.raises(ValueError, match="thinning: a course does not count what is on board; declare a Cap within a time"):
        planned(*asked, replace(found.module.LIMITS, max_on_board=5.0))


def test_multiples_of_what_stands_are_rounded_to_what_can_be_given() -> None:
    therapy = replace(thinning.THINNING, actions=(replace(thinning.THINNING.actions[0], increment=1.0),))
    values = torch.zeros(2, 28, 2)
    values[0, :, 1] = 5.0  # mg every day; the other takes nothing
    table, exists = Menu(therapy, values, torch.zeros(2, 2)).candidates()
    given = (table[..., 0] * 5.0)[0][exists[0]]
    assert given.sort().values.tolist() == pytest.approx([0.0, 2.0, 4.0, 5.0, 6.0, 7.0]), "5.5 and 4.5 mg cannot be given"
    assert exists[1].sum() == 1, "of nothing there is no multiple"


@settings(max_examples=40, deadline=None)
@given(days=st.sets(st.integers(0, 6), min_size=1), dose=st.sampled_from([1.0, 4.0, 12.5]), weeks=st.integers(3, 6))
def test_single_doses_stand_in_their_rows_of_the_cycle(days: set[int], dose: float, weeks: int) -> None:
    """A dose on some days of the week goes on, on those days; three a week are not taken for none."""
    rows = 7 * weeks + 2
    given = np.array([dose if row % 7 in days else 0.0 for row in range(rows + 28)], np.float32)
    values = np.stack([np.full(rows, 2.0), given[:rows]], 1).astype(np.float32)
    start = pd.Timestamp("2026-01-05", tz="UTC")
    series = PatientSeries("ann", thinning.THINNING, start, "UTC", values, np.ones(values.shape, dtype=bool))
    standing = estimate(thinning.THINNING, series)
    assert standing is not None and standing.of("tablet") == dose
    assert as_it_stands(series, torch.zeros(8), standing, 28)[:, 1].tolist() == given[rows:].tolist()


def test_rates_spacing_and_a_floor_are_rules_of_a_course() -> None:
    limits = replace(pressures.LIMITS, max_rate=10.0, floor=60.0, min_spacing=3.0)
    found = {(type(rule).__name__, rule.channels): rule for rule in rules_of(limits, pressures.PRESSURES)[len(limits.rules) :]}
    assert set(found) == {("Cap", ("raiser",)), ("Cap", ("slower",)), ("Hold", ("slower",))}
    assert found["Cap", ("raiser",)].most == pytest.approx(10.0)  # ug in a decision of a minute
    channels = tuple(replace(each, form="impulse") if each.direction else each for each in growth.GROWTH.channels)
    single = replace(growth.GROWTH, channels=channels)
    spaced = [rule for rule in rules_of(replace(growth.LIMITS, min_spacing=600.0), single) if isinstance(rule, Lockout)]
    assert [rule.channels for rule in spaced] == [("drug",), ("drug",), ("beam",)]


def test_what_is_unknown_closes_the_gate_and_what_was_given_counts() -> None:
    found = learned("growth")
    asked = (found.model, found.series[0], found.people[0], found.module.LIMITS)
    unknown = planned(*asked, level=torch.tensor([[float("nan")]]))
    assert bool(unknown.abstained[0]) and not bool(unknown.changed[0]) and unknown.reasons[0][0].rule == "level"
    free = planned(*asked, history=torch.zeros(1, 30, 2))
    spent = torch.zeros(1, 30, 2)
    spent[:, :6, 1] = 1.0  # six beams long ago: the cap of the course
    capped = planned(*asked, history=spent)
    assert "beam in all" in rules(capped) and "beam in all" not in rules(free)
    assert float(capped.amounts[0, 0, :, 1].sum()) == 0
    late = torch.zeros(1, 30, 2)
    late[:, -1, 0] = 1.0  # the drug a day ago, which may not be given again for four
    assert "between drugs" in rules(planned(*asked, history=late))
    assert float(planned(*asked, history=late).amounts[0, 0, 0, 0]) == 0
    lost = torch.full((1, 30, 2), float("nan"))
    nothing = planned(*asked, history=lost).amounts[0, 0]
    assert float(nothing.sum()) == 0, "what may have been given before closes what it bears on"


def test_two_that_may_not_be_given_together_never_are() -> None:
    found = learned("growth")
    for series, person in zip(found.series[:3], found.people, strict=True):
        plans = planned(found.model, series, person, found.module.LIMITS, how=CourseSearch(depth=3, simulations=24))
        assert bool(((plans.amounts[0] > 0).sum(-1) <= 1).all())
        assert float(plans.amounts[0, :, :, 1].sum(-1).max()) <= 6.0 + 1e-3


def test_when_to_look_next_is_sooner_where_more_can_be_avoided_and_later_where_a_look_costs_more() -> None:
    therapy = learned("thinning").therapy
    days = torch.arange(1.0, 29.0)
    sure = torch.full((1, 4, 1, 28), 2.5)
    unsure = 2.5 * torch.exp(torch.tensor([-0.5, -0.2, 0.2, 0.5])[:, None, None] * days / 28).unsqueeze(0)
    gaps = [float(next_measurement(therapy, levels, 1440.0)[0]) / 1440 for levels in (sure, unsure)]
    assert gaps[0] == 28 > gaps[1]
    dear = replace(therapy, measure=replace(therapy.measure, cost=100.0))
    assert float(next_measurement(dear, unsure, 1440.0)[0]) / 1440 == 28
    with pytest.raises(ValueError, match="does not reach the shortest gap"):
        next_measurement(therapy, sure[..., :3], 1440.0)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_kept_and_read_again(name: str, tmp_path: Path) -> None:
    found = learned(name)
    found.model.save(tmp_path, {})
    assert load_model(found.therapy, tmp_path).fingerprint() == found.model.fingerprint()


def events(series: PatientSeries) -> PatientRecord:
    """A recording as a source would tell it."""
    rows: list[tuple[object, ...]] = []
    for column, channel in enumerate(series.therapy.channels):
        for row in np.flatnonzero(series.mask[:, column]):
            value = round(float(series.values[row, column]), 4)
            rows.append((series.times[row], channel.name, value, float("nan") if channel.form == "rate" else 0.0, "", f"t:{row}"))
    frame = events_frame(rows).sort_values("time", kind="stable", ignore_index=True)
    return PatientRecord(patient=series.patient, zone="UTC", events=frame, group="everybody")


@pytest.mark.parametrize("name", NAMES)
def test_a_course_is_planned_reviewed_and_signed_in_the_clinic(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = learned(name)
    module = found.module

    def plan(world: World, recordings: Sequence[Any], people: Sequence[Personalisation], **_: Any) -> list[Suggestion]:
        return suggestions(module.LIMITS, module.HOLDS, world, recordings, people)

    used = practice(found.therapy, module.LIMITS, plan, holds=module.HOLDS)
    monkeypatch.setattr(module, "PRACTICE", used, raising=False)
    point = EntryPoint(name, f"{module.__name__}:PRACTICE", therapies.GROUP)
    monkeypatch.setattr(therapies, "_found", lambda: {name: point})
    therapies._load.cache_clear()
    world = World(found.model, {"hash": found.model.fingerprint()})
    db: Database = open_database(str(tmp_path / "store.db"))
    report = store_records(db, "table", [events(found.series[0])])
    assert not report.failed
    with db.write() as session:
        course = session.get_one(Course, (found.series[0].patient, name))
        course.covariates = dict(found.series[0].facts)
        told = {"therapy": name, "covariates": course.covariates}
        append(session, local_account(), "covariates recorded", patient=course.patient, rows=[course], **told)
    save_regimen(db, found.series[0].patient, used.regimen())
    [made] = suggest_doses(db, [found.series[0].patient], world)
    assert not made.abstained and made.id is not None and len(made.options) == 3
    decided = [Decision(key=line.key, verdict="accept", value=line.proposed) for line in made.lines]
    meaning = "prescribe as proposed" if decided else "prescribe no change"
    review = sign_review(db, made.id, decided, DR_ADA, meaning)
    assert review.meaning == meaning and len(review.decisions) == len(made.lines)
    db.close()


def test_the_chooser_prefers_no_change_to_what_is_not_worth_it() -> None:
    found = learned("growth")
    plans = planned(found.model, found.series[0], found.people[0], found.module.LIMITS, how=CourseSearch(depth=1, worth=1e6))
    assert not bool(plans.changed[0]) and torch.equal(plans.actions[0, 0], plans.actions[0, 2])
