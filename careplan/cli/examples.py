"""An example of every command, shown at the end of its `--help`."""

from collections.abc import Iterator

import typer
from typer.models import CommandInfo

EXAMPLES = {
    "app": "careplan app --port 8600",
    "assign": 'careplan assign north azt1d-1 --reason "moved house"',
    "ask": 'careplan ask "What if azt1d-1 had taken two units less at lunch yesterday?"',
    "audit accept": 'careplan audit accept --reason "restored from the backup of 3 May"',
    "audit new-key": "careplan audit new-key",
    "audit verify": "careplan audit verify --since-last",
    "calibrate": "careplan calibrate my-weights --data azt1d:AZT1D",
    "db backup": "careplan db backup clinic-2026-05-03.bak",
    "db grant": "careplan db grant careplan_app",
    "db restore": "careplan --db restored.db db restore clinic-2026-05-03.bak",
    "db upgrade": "careplan db upgrade",
    "demo": "careplan demo --people 6 --days 21",
    "evaluate ablation": "careplan evaluate ablation azt1d:AZT1D",
    "evaluate cohort": "careplan evaluate cohort exports/ --out report",
    "evaluate drift": "careplan evaluate drift azt1d:AZT1D",
    "evaluate effects": "careplan evaluate effects --people 8",
    "evaluate fingersticks": "careplan evaluate fingersticks azt1d:AZT1D",
    "evaluate forecasts": "careplan evaluate forecasts azt1d:AZT1D t1d-uom:UoM",
    "evaluate iwpc": "careplan evaluate iwpc iwpc.csv",
    "evaluate labels": "careplan evaluate labels azt1d:AZT1D --out labels",
    "evaluate natural": "careplan evaluate natural azt1d:AZT1D",
    "evaluate personalisation": "careplan evaluate personalisation azt1d:AZT1D",
    "evaluate uncertainty": "careplan evaluate uncertainty azt1d:AZT1D",
    "evaluate visits": "careplan evaluate visits --people 20",
    "export fhir": "careplan export fhir azt1d-1 --out azt1d-1.json",
    "export table": "careplan export table azt1d-1 azt1d-1.csv",
    "forecast": 'careplan forecast azt1d-1 --what-if "bolus 4 at 12:30"',
    "compare": "careplan compare azt1d-1",
    "history": "careplan history azt1d-1",
    "import": "careplan import export.zip --zone Europe/Berlin",
    "imports": "careplan imports --patient azt1d-1",
    "look": "careplan look export.zip",
    "mcp": "careplan mcp --http --port 8765",
    "patients": "careplan patients",
    "personalise": "careplan personalise azt1d-1",
    "plan": "careplan plan azt1d-1 --regimen",
    "replay": "careplan replay --population adult:100 --policy basal-bolus --policy oref --out cohort",
    "show": "careplan show azt1d-1",
    "therapies": "careplan therapies",
    "train": "careplan train my-weights --data azt1d:AZT1D --steps 1500",
    "targets": 'careplan targets azt1d-1 --preset older --reason "falls at night"',
    "unimport": 'careplan unimport 1f0c2a9b --reason "the wrong person"',
}


def add_examples(app: typer.Typer) -> None:
    """Puts each command's example at the end of its help."""
    for path, command in _commands(app, ""):
        if path in EXAMPLES:
            command.epilog = f"Example: {EXAMPLES[path]}"


def _commands(app: typer.Typer, before: str) -> Iterator[tuple[str, CommandInfo]]:
    for command in app.registered_commands:
        name = command.name or (command.callback.__name__.replace("_", "-") if command.callback else "")
        yield f"{before}{name}", command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from _commands(group.typer_instance, f"{before}{group.name} " if isinstance(group.name, str) else before)
