"""Makes release_0001.sql: a database as the release before courses and a covering audit trail left it (revision 0001).

Run by hand where that release is installed: `LOGNAME=clinic python tests/golden/make_release.py`. The demo's people, an import, a
suggestion that was signed, one that is a draft, and one of doses; as SQL text, since no database is kept in the repository.
"""

import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path as File

FILE = File(__file__).with_name("release_0001.sql")
FIRST = 3  # the suggestion that is signed: the demo's people have the first two
TABLE = """patient,time,glucose,basal,bolus,carbs,weight
ann,2024-03-01 08:00,140,0.8,,,70
ann,2024-03-01 08:05,152,0.8,4.5,45,70
ann,2024-03-01 08:10,61,0.8,,,70
ann,2024-03-01 08:15,150,0.8,,,70
"""


def main() -> None:
    from careplan.clinic.demo import run_demo
    from careplan.clinic.records import import_records, save_regimen
    from careplan.clinic.world import open_world
    from careplan.glucose import Regimen

    from careplan.clinic.reviews import save_draft, sign_review
    from careplan.clinic.suggestions import save_suggestion
    from careplan.clinic.views import Decision, Interval, Line, Moment, Option, Path, Suggestion, Why
    from careplan.store import open_database

    folder = File(tempfile.mkdtemp())
    (folder / "table.csv").write_text(TABLE)
    db = open_database(str(folder / "release.db"))
    run_demo(db, open_world(), people=2, days=1, seed=3, say=lambda text: None)
    import_records(db, "table", folder / "table.csv", zone="Europe/London", actor="clinic")
    regimen = Regimen(basal=(0.8, 1.0, 0.9, 0.7), carb_ratio=(10.0,) * 4, correction_factor=(50.0,) * 4)
    save_regimen(db, "ann", regimen, actor="clinic")
    moment = Moment(date="2024-03-01", minute=485, level=152.0, bolus=4.5, carbs=45.0, lowest=61.0, highest=152.0)
    why = Why(gain=1.0, runner_up=None, worth=0.2, parts=(), sure=None, low_risk=0.1, patterns=(), moments=(moment,))
    line = Line(
        **{"key": "basal@360", "setting": "basal", "start": 360, "end": 660, "unit": "U/h", "current": 1.0, "proposed": 0.9},
        **{"lowest": 0.8, "highest": 1.2, "absolute_low": 0.0, "absolute_high": 35.0, "days": 14, "why": "less insulin"},
    )
    path = Path(minutes=(0.0,), mid=(120.0,), low=(110.0,), high=(130.0,))
    option = Option(name="proposed", path=path, outcomes={"in_range": Interval(mid=71.0, low=65.0, high=77.0)})
    for kind, lines in (("regimen", (line,)), ("regimen", (line,)), ("doses", ())):
        suggestion = Suggestion(
            **{"id": None, "patient": "ann", "kind": kind, "created": datetime.now(UTC)},
            **{"at": datetime(2024, 3, 1, 9, tzinfo=UTC), "mandate": None},
            **{"abstained": False, "reasons": ("fewer lows",), "lines": lines, "options": (option,), "banners": ()},
            **{"limits_bound": ("basal@0: 3 days of evidence, 5 needed",), "provenance": {"seed": "7"}, "why": why},
        )
        number = save_suggestion(db, suggestion, actor="clinic").id
        accept = Decision(key=line.key, verdict="accept", value=line.proposed)
        if kind == "regimen" and number == FIRST:
            sign_review(db, number, [accept], "Dr Ada", "I have reviewed this and I prescribe it")
            line = Line(**{**vars(line), "current": 0.9, "proposed": 0.8})
        elif kind == "regimen":
            save_draft(db, number, [accept], "Dr Bea")
    db.close()
    with closing(sqlite3.connect(folder / "release.db")) as connection:
        FILE.write_text("\n".join(connection.iterdump()) + "\n")


if __name__ == "__main__":
    main()
