"""Ten stories of a clinic's day in a real browser. `python -m tests.app.stories --out DIR` leaves a picture of every step.

A story is a plain function of a `Stage`; each goes on where the one before it left off. The first eight are one person's on
their own machine, from an empty database on, followed by a look at every other page; the last two are a clinic's, with a sign-in.
`tests/app/test_stories.py` plays them all.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile

import pytest
from PIL import Image
from pypdf import PdfReader
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from careplan.clinic import Database, import_records, open_database, plan_regimens
from careplan.clinic.roles import assign
from careplan.clinic.worker import world_of
from careplan.studies.demo import demo_records
from careplan.studies.replays import arguments_of, run_replay

from .build import clinic, lived_change
from .driven import chromium, click, free_port, page_text, serving, text, title, visible, wait
from .exported import export
from .provider import come_in, go_out, providing
from .stage import Stage, axe

SEED, DAYS = 5, 16  # of a virtual adult whose settings are off, with lows
PATIENT = "Anna"
PEOPLE = {
    "ada": {"name": "Dr Ada", "roles": ["clinician"], "clinics": ["north"]},
    "eve": {"name": "Dr Eve", "roles": "clinician administrator", "clinics": "south"},
}
FRAME, FOR_EACH = (840, 540), 1800  # pixels of the picture that moves, and milliseconds of each that it shows
IDLE = "0.75"  # minutes
INRS = "patient,date,INR,weekly dose,age,weight\n" + "".join(
    f"vera,2026-03-{day:02},{inr},{dose},71,80\n" for day, inr, dose in ((1, 1.0, 35), (9, 2.1, ""), (20, 3.0, ""), (31, 5.2, ""))
)
Story = Callable[[Stage], None]


def first_start(stage: Stage) -> None:
    """Nobody is here yet, and the page says what to do."""
    stage.browser.get(stage.address)
    wait(stage.browser, lambda: title(stage.browser) == "Worklist")
    wait(stage.browser, lambda: "There are no patients yet" in text(stage.browser))
    assert "Local mode" in page_text(stage.browser)
    stage.show("first-start")


def refused(stage: Stage) -> None:
    """A file that is far too large and a letter by the name of a table are told of, and nothing of them is kept."""
    (stage.folder / "letter.csv").write_bytes(b"%PDF-1.7\n1 0 obj")
    with (stage.folder / "large.csv").open("wb") as file:
        file.truncate(300 * 2**20)
    stage.browser.get(f"{stage.address}/patients")
    box = wait(stage.browser, lambda: stage.browser.find_element(By.CSS_SELECTOR, "input[type=file]"))
    box.send_keys("\n".join(str(stage.folder / name) for name in ("letter.csv", "large.csv")))
    wait(stage.browser, lambda: "File must be 200.0MB or smaller" in text(stage.browser))
    wait(stage.browser, lambda: "letter.csv cannot be read" in text(stage.browser))
    stage.show("refused")
    stage.browser.get(stage.address)
    wait(stage.browser, lambda: "There are no patients yet" in text(stage.browser))


def brought_in(stage: Stage) -> None:
    """A phone's export is dropped on the page, looked at, named and kept."""
    [record] = demo_records(1, DAYS, SEED)
    click(stage.browser, "Patients")
    wait(stage.browser, lambda: title(stage.browser) == "Patients")
    box = wait(stage.browser, lambda: stage.browser.find_element(By.CSS_SELECTOR, "input[type=file]"))
    box.send_keys(str(export(record, stage.folder / "anna.zip")))
    wait(stage.browser, lambda: "Comes in:" in text(stage.browser))
    name = stage.field("Name of the new patient")
    name.send_keys(Keys.CONTROL, "a")
    name.send_keys(PATIENT, Keys.ENTER)
    stage.show("import")
    click(stage.browser, "Keep")
    wait(stage.browser, lambda: "entries kept" in text(stage.browser))
    stage.show("imported")


def planned(stage: Stage) -> None:
    """A plan is asked for, goes on through a reload, and comes to a proposal."""
    click(stage.browser, "Review")
    wait(stage.browser, lambda: title(stage.browser) == f"Patient {PATIENT}")
    wait(stage.browser, lambda: "No suggestion yet" in text(stage.browser))
    click(stage.browser, "Plan a regimen")
    wait(stage.browser, lambda: "Planning a regimen" in page_text(stage.browser))
    stage.browser.refresh()
    wait(stage.browser, lambda: visible(stage.browser, ".cp-point"))
    wait(stage.browser, lambda: len(stage.browser.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg")) >= 4)
    stage.show("proposal")


def what_if(stage: Stage) -> None:
    """Another value is tried on her own days; nothing of it is kept."""
    toggle = "Try other settings on this patient's own days"
    label = wait(stage.browser, lambda: stage.browser.find_element(By.XPATH, f'//label[.//p[contains(., "{toggle}")]]'))
    stage.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", label)
    label.click()
    wait(stage.browser, lambda: "Carb ratio" in text(stage.browser) and "As proposed" in text(stage.browser))
    box = stage.field("Basal rate")
    before = box.get_attribute("value")
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys("0.9", Keys.ENTER)
    wait(stage.browser, lambda: "As tried" in text(stage.browser))
    assert before != stage.field("Basal rate").get_attribute("value")
    stage.show("what-if", about="What if")


def edited(stage: Stage) -> None:
    """By keyboard alone: the first line is edited with a reason, the others are accepted."""
    stage.rest()
    lines = decisions(stage)
    stage.browser.execute_script("document.activeElement.blur()")
    stage.tab_to("Accept")
    stage.press(Keys.ARROW_RIGHT, Keys.SPACE)
    stage.field("Reason")
    stage.tab_to("Value, U/h")
    stage.press(Keys.ARROW_UP)
    stage.tab_to("Reason")
    stage.press("she carries snacks at work", Keys.ENTER)
    wait(stage.browser, lambda: f"1 of {lines} lines decided" in text(stage.browser))
    for done in range(2, lines + 1):
        stage.rest()
        stage.tab_to("Accept")
        stage.press(Keys.SPACE)
        wait(stage.browser, lambda done=done: f"{done} of {lines} lines decided" in text(stage.browser))
    stage.show("edit", about="Your decision")


def signed(stage: Stage) -> None:
    """By keyboard alone: a name is typed, and it is signed."""
    account = stage.field("Type your name to sign").get_attribute("placeholder")
    stage.tab_to("Type your name to sign")
    stage.press(str(account))
    stage.tab_to("Sign")
    stage.press(Keys.ENTER)
    wait(stage.browser, lambda: f"{account}, " in text(stage.browser) and "prescribe with changes" in text(stage.browser))
    stage.show("signed", about="Signed")


def printed(stage: Stage) -> None:
    """One page of paper, with the decision and its signature."""
    click(stage.browser, "One page (PDF)")
    paper = stage.folder / f"{PATIENT}.pdf"
    wait(stage.browser, lambda: paper.exists() and paper.stat().st_size > 0)
    pages = PdfReader(paper).pages
    assert len(pages) == 1 and "she carries snacks at work" in " ".join(pages[0].extract_text().split())
    if stage.out is not None:
        copyfile(paper, stage.out / paper.name)


def after_a_change(stage: Stage) -> None:
    """Of somebody whose settings were changed a fortnight ago: what was to come of it, and what did."""
    with opened() as db:
        clinic(db)
        lived_change(db, "eli")
    stage.browser.get(f"{stage.address}/review?patient=eli")
    wait(stage.browser, lambda: title(stage.browser) == "Patient eli")
    wait(stage.browser, lambda: "What earlier changes did" in text(stage.browser))
    stage.show("after-a-change", about="What earlier changes did")


def every_page(stage: Stage) -> None:
    """Those pages that no story comes by, of somebody of whom there is something to show."""
    with opened() as db:
        (stage.folder / "inr.csv").write_text(INRS)
        import_records(db, stage.folder / "inr.csv")
        plan_regimens(db, ["vera"], world_of("warfarin"))
    for path, heading, said in (
        ("", "Worklist", "waiting for a decision"),
        ("review?patient=bea", "Patient bea", "abstains"),
        ("review?patient=dan", "Patient dan", "Too little data"),
        ("review?patient=vera", "Patient vera", "INR"),
        ("doses?patient=ann", "Next hours of patient ann", "as prescribed"),
        ("targets?patient=ann", "Targets", ""),
        ("history?patient=ann", "History", ""),
        ("record?patient=ann", "Record of patient ann", "What is recorded"),
        ("cohorts", "Cohorts", "Time in ranges"),
        ("ask", "Ask", "Such as"),
        ("audit", "Audit trail", "the trail is whole"),
    ):
        stage.browser.get(f"{stage.address}/{path}")
        wait(stage.browser, lambda heading=heading: title(stage.browser).startswith(heading))
        wait(stage.browser, lambda said=said: said in text(stage.browser))
        stage.show(heading.lower().replace(" ", "-"))


def other_clinic(stage: Stage) -> None:
    """Somebody of another clinic finds nobody, whatever address they try."""
    stage.browser.get(stage.address)
    wait(stage.browser, lambda: "Sign in" in page_text(stage.browser))
    stage.show("sign-in")
    come_in(stage.browser, "eve")
    wait(stage.browser, lambda: "2 patients" in text(stage.browser))
    stage.browser.get(f"{stage.address}/review?patient=ann")
    wait(stage.browser, lambda: "Patient ann is not in the store" in text(stage.browser))
    stage.show("other-clinic")
    go_out(stage.browser)


def idle(stage: Stage) -> None:
    """Whoever leaves the screen is signed off, and the back button shows nobody."""
    come_in(stage.browser, "ada")
    click(stage.browser, "Review")
    wait(stage.browser, lambda: title(stage.browser) == "Patient ann")
    wait(stage.browser, lambda: f"Signed off after {IDLE} minutes without activity" in page_text(stage.browser))
    stage.browser.back()
    wait(stage.browser, lambda: "Sign in" in page_text(stage.browser))
    assert "Patient ann" not in page_text(stage.browser) and "bea" not in page_text(stage.browser).split()
    stage.show("idle")


STORIES: tuple[Story, ...] = (
    *(first_start, refused, brought_in, planned, what_if, edited, signed, printed),
    *(after_a_change, every_page),
)
IN_A_CLINIC: tuple[Story, ...] = (other_clinic, idle)
AFTER: dict[Story, Story] = {  # the story that leaves behind what another begins with
    **{brought_in: first_start, planned: brought_in},
    **{what_if: planned, edited: planned, signed: edited, printed: signed},
    every_page: after_a_change,
    idle: other_clinic,
}


def decisions(stage: Stage) -> int:
    """How many lines there are to decide."""
    return len([each for each in stage.browser.find_elements(By.CSS_SELECTOR, "button") if each.text.strip() == "Reject"])


@contextmanager
def opened() -> Iterator[Database]:
    """The app's own database, for what happens beside it."""
    db = open_database(os.environ["CAREPLAN_DATABASE"])
    try:
        yield db
    finally:
        db.close()


@contextmanager
def settled_in(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """The environment of an app of its own in a folder."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CAREPLAN_DATABASE", str(folder / "store.db"))
        patched.setenv("CAREPLAN_AUDIT", str(folder / "audit"))
        yield patched


@contextmanager
def alone(browser: webdriver.Chrome, folder: Path, out: Path | None = None) -> Iterator[Stage]:
    """One person on their own machine, where nothing is yet but the replay of a cohort."""
    folder.mkdir()
    asked = arguments_of(["adult:2", "child:2"], ["basal-bolus", "behaviour"], days=1, seed=7, mis_set=0.3, pens=0.5)
    run_replay(folder / "replays" / "first", asked)
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    with settled_in(folder), serving(folder, free_port()) as address:
        yield Stage(browser, address, folder, out, axe())


@contextmanager
def in_a_clinic(browser: webdriver.Chrome, folder: Path, out: Path | None = None) -> Iterator[Stage]:
    """Two clinics behind a sign-in, who are signed off soon."""
    folder.mkdir()
    with settled_in(folder) as patched:
        patched.setenv("CAREPLAN_IDLE_MINUTES", IDLE)
        with opened() as db:
            clinic(db)
            assign(db, ["ann", "bea"], "north", reason="where they live")
            assign(db, ["cyd", "dan"], "south", reason="where they live")
        port = free_port()
        with providing(folder, PEOPLE, f"http://localhost:{port}") as provider:
            (folder / "sign_in.toml").write_text(provider.settings)
            with serving(folder, port, sign_in=folder / "sign_in.toml") as address:
                yield Stage(browser, address, folder, out, axe())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder for the pictures")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    shots = 0
    with tempfile.TemporaryDirectory() as scratch, chromium(Path(scratch)) as browser:
        for place, stories in ((alone, STORIES), (in_a_clinic, IN_A_CLINIC)):
            with place(browser, Path(scratch) / place.__name__, out) as stage:
                stage.shots = shots
                for story in stories:
                    print(story.__name__, flush=True)
                    story(stage)
                shots = stage.shots
                print(*stage.wrong, sep="\n")
    film([*sorted(out.glob("*-view.png"))], out / "stories.webp")


def film(pictures: Sequence[Path], to: Path) -> None:
    """Joins pictures of one size to one that moves."""
    frames = [Image.open(picture).convert("RGB").resize(FRAME, Image.Resampling.LANCZOS) for picture in pictures]
    frames[0].save(to, save_all=True, append_images=frames[1:], duration=FOR_EACH, loop=0, quality=70, method=6)


if __name__ == "__main__":
    main()
