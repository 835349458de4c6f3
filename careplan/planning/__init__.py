"""Search through any model of a patient, under hard limits and risk budgets, and the guard of what it answers.

It knows no therapy. docs/explanation/search.md explains the search, docs/explanation/planner.md what is asked of it.
"""

from careplan.planning.choice import OPTIONS
from careplan.planning.course import CoursePlans, CourseSearch, plan_course
from careplan.planning.model import Expansion, PlanningModel, Problem
from careplan.planning.planner import DosePlans, DoseQuestion, DoseSearch, plan_doses
from careplan.planning.regimen import RegimenPlans, RegimenQuestion, RegimenSearch, plan_regimen
from careplan.planning.safety import DoseContext, Guarded, RegimenLine, guard_doses, guard_line

__all__ = [
    "OPTIONS",
    "CoursePlans",
    "CourseSearch",
    "DoseContext",
    "DosePlans",
    "DoseQuestion",
    "DoseSearch",
    "Expansion",
    "Guarded",
    "PlanningModel",
    "Problem",
    "RegimenLine",
    "RegimenPlans",
    "RegimenQuestion",
    "RegimenSearch",
    "guard_doses",
    "guard_line",
    "plan_course",
    "plan_doses",
    "plan_regimen",
]
