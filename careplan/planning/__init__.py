"""Search through any model of a patient, under hard limits and risk budgets, and the guard of what it answers.

It knows no therapy. docs/explanation/search.md explains the search, docs/explanation/planner.md what is asked of it.
"""

from careplan.planning.choice import OPTIONS
from careplan.planning.model import Expansion, PlanningModel, Problem
from careplan.planning.planner import DosePlans, plan_doses
from careplan.planning.regimen import RegimenPlans, plan_regimen
from careplan.planning.safety import DoseContext, Guarded, RegimenLine, guard_doses, guard_line

__all__ = [
    "OPTIONS",
    "DoseContext",
    "DosePlans",
    "Expansion",
    "Guarded",
    "PlanningModel",
    "Problem",
    "RegimenLine",
    "RegimenPlans",
    "guard_doses",
    "guard_line",
    "plan_doses",
    "plan_regimen",
]
