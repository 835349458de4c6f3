"""`careplan therapies`: which therapies are installed, and with what weights."""

import typer

from careplan.cli.shell import Json, print_json, stdout

app = typer.Typer()


@app.command("therapies")
def list_therapies(as_json: Json = False) -> None:
    """The therapies that are installed: what each observes and does, its weights and their card; and those that are broken."""
    from rich.markup import escape

    from careplan.therapies import described

    found = described()
    if as_json:
        print_json(found)
        return
    console = stdout()
    for each in found:
        console.print(f"[bold]{escape(each.name)}[/] {escape(each.version)}, from {escape(each.package)}", highlight=False)
        if each.problem:
            console.print(f"  [red]broken and left out:[/] {escape(each.problem)}", highlight=False)
            continue
        lines = (("observes", each.observes), ("does", each.does), ("told of", each.reported), ("groups", each.groups))
        for name, listed in lines:
            console.print(f"  {name}: {escape(', '.join(listed)) or 'nothing'}", highlight=False)
        console.print(f"  weights: {escape(each.weights or 'none shipped')}", highlight=False)
        for name, text in each.card.items():
            console.print(f"    {escape(name)}: {escape(text)}", highlight=False)
