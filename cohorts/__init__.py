"""Virtual people: bodies, populations, lives, sensors, policies, and their replay with the truth kept.

Research use: for training and judging software, no evidence about patients. docs/explanation/cohorts.md explains them.
"""

from cohorts.bodies import Body
from cohorts.catalogue import POLICIES, named
from cohorts.policies import BasalBolus, Behaviour, Doses, Policy, Seen
from cohorts.population import COHORTS, Population, join, sample_population
from cohorts.replay import Change, Replay, branch, replay
from cohorts.scenarios import Life, Scenario
from cohorts.sensors import Sensor

__all__ = [
    "COHORTS",
    "POLICIES",
    "BasalBolus",
    "Behaviour",
    "Body",
    "Change",
    "Doses",
    "Life",
    "Policy",
    "Population",
    "Replay",
    "Scenario",
    "Seen",
    "Sensor",
    "branch",
    "join",
    "named",
    "replay",
    "sample_population",
]
