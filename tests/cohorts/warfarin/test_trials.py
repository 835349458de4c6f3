"""Lives, trials and what treats people in them."""

import pytest
import torch

from cohorts.warfarin.bayes import VISITS, Bayes
from cohorts.warfarin.hamberg import Hamberg
from cohorts.warfarin.life import Life, live
from cohorts.warfarin.people import People, draw
from cohorts.warfarin.policies import PROTOCOLS, Fixed
from cohorts.warfarin.trial import MOST, Clinic, Order, run


def test_a_life_without_life_is_still() -> None:
    lived = live(20, 90, 1, Life.none())
    assert lived.taken.all() and lived.reported.all() and (lived.clears == 1).all() and (lived.supply == 1).all()
    assert not lived.late.any() and not lived.inhibitor.any()


def test_life_is_as_it_says_and_the_same_under_a_seed() -> None:
    lived, again = live(2000, 90, 3), live(2000, 90, 3)
    assert all(torch.equal(getattr(lived, name), getattr(again, name)) for name in vars(lived))
    assert float((1 - lived.taken).mean()) == pytest.approx(0.06, abs=0.01)
    assert ((lived.reported == 0) <= (lived.taken == 0)).all()  # nobody tells of a tablet that was taken
    assert float(lived.supply.log().std()) == pytest.approx(0.25, abs=0.02)
    drugged = (lived.inhibitor + lived.inducer).any(1)
    assert float(drugged.float().mean()) == pytest.approx(0.25, abs=0.04)
    assert (lived.clears[lived.inhibitor > 0] < 1).all() and (lived.clears[lived.inducer > 0] > 1).all()


def test_a_trial_gives_what_was_ordered_and_looks_when_it_was_asked_to() -> None:
    people = draw(3, 1)

    def policy(day: int, rows: list[int], clinic: Clinic) -> list[Order]:
        return [Order((0.0, 99.0), (1.0, 2.0), 5) for _ in rows]

    trial = run(people, Hamberg.draw(people, 1), live(3, 20, 1, Life.none()), policy, days=20)  # type: ignore[arg-type]
    assert trial.given[0, :7].tolist() == [0.0, MOST, 1.0, 2.0, 1.0, 0.0, MOST]
    assert [day for day, _ in trial.clinic.seen[0]] == [0, 5, 10, 15]
    assert trial.tests.tolist() == [4, 4, 4]


def test_what_is_not_taken_is_not_known_unless_it_is_told() -> None:
    people = draw(40, 1)
    trial = run(people, Hamberg.draw(people, 1), live(40, 90, 1, Life(missed=0.3)), Fixed())
    assert (trial.taken <= trial.given).all()
    assert float((trial.given == 0).float().mean()) < float((trial.taken == 0).float().mean())


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_treats_everybody(name: str) -> None:
    people = draw(60, 2)
    trial = run(people, Hamberg.draw(people, 2, spread="quartiles"), live(60, 90, 2), PROTOCOLS[name])
    assert trial.inr.isfinite().all() and (trial.given <= MOST).all()
    assert 5 <= float(trial.tests.float().mean()) <= 20


def test_protocols_are_in_the_order_that_their_authors_found() -> None:
    """Ravvaz 2017: genotype before clinical before none, on Hamberg's people."""
    people = draw(150, 8)
    body, lived = Hamberg.draw(people, 8, spread="quartiles"), live(150, 90, 8, Life.none())
    names = ("fixed", "aurora", "iwpc_clinical_aurora", "iwpc_pharmacogenetic_aurora")
    shares = [float(run(people, body, lived, PROTOCOLS[name]).share().mean()) for name in names]
    assert shares == sorted(shares)


def test_the_right_equations_do_better_than_a_protocol() -> None:
    people = draw(12, 8)
    body, lived = Hamberg.draw(people, 8, spread="quartiles"), live(12, 90, 8, Life.none())

    def drawn(who: People, seed: int) -> Hamberg:
        return Hamberg.draw(who, seed, spread="quartiles", hours=6.0)

    trial = run(people, body, lived, Bayes(drawn, particles=60, planned=20))
    protocol = run(people, body, lived, PROTOCOLS["iwpc_pharmacogenetic_aurora"])
    assert float(trial.share(first=15).mean()) > float(protocol.share(first=15).mean()) + 5
    assert trial.tests.tolist() == [len(VISITS)] * 12
