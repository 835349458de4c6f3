"""One page of paper: how a patient has been, what is in force, and what is proposed of it or was decided and signed. A4, PDF.

Drawn on the server by ReportLab with fonts that are embedded; no browser takes part. Glucose comes in mg/dL. The page is in the
reader's language where a font for it is installed (`careplan[japanese]` brings one), else in English.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import reportlab
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.textsplit import wordSplit
from reportlab.lib.utils import simpleSplit
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from app.drawings import consensus, written
from app.palette import BANDS, COLORS, INK, LINE, MUTED, PROPOSED, share
from app.wording import Scale, change, group_name, line_name, percent, scale, setting_name, when
from careplan.clinic.views import Review, ReviewPage
from careplan.display import SEMICOLON, Unit, clock, listed, sentence
from careplan.language import ENGLISH, N_, _, current, retold, using
from careplan.minutes import DAY
from careplan.suggestion import Interval, Line, Suggestion
from careplan.targets import Targets
from careplan.therapies.glucose import words
from careplan.therapies.glucose.bands import LEVELS, MARKS
from careplan.therapies.glucose.words import because

MARGIN, SIZE, LEAD = 40.0, 8.5, 11.5
WIDTH = A4[0] - 2 * MARGIN
REGULAR, BOLD, JAPANESE = "Vera", "VeraBd", "IPAexGothic"
NOTICE = N_("Research use only - not a medical device")
PLAIN = {"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{RIGHTWARDS ARROW}": "to", "\N{MULTIPLICATION SIGN}": "x"}
BOTTOM, TOP = MARKS.bottom, MARKS.top
PAST = {"accept": N_("accepted"), "edit": N_("changed"), "reject": N_("rejected")}


def review_pdf(page: ReviewPage, unit: Unit, *, by: str, now: datetime | None = None) -> bytes:
    """The report of a review: of its newest suggestion as it was decided, or before it is decided."""
    with using(ENGLISH if japanese_font() is None else current()):
        return _drawn(page, unit, by, now or datetime.now(UTC))


def japanese_font() -> Path | None:
    """Where a font with Japanese letters lies: IPAex Gothic, of a package that is kept; None where that is not installed."""
    found = find_spec("matplotlib_fontja")
    places = () if found is None else found.submodule_search_locations or ()
    return next((path for place in places if (path := Path(place) / "fonts" / "ipaexg.ttf").exists()), None)


def _drawn(page: ReviewPage, unit: Unit, by: str, now: datetime) -> bytes:
    fonts = {name: Path(reportlab.__file__).parent / "fonts" / f"{name}.ttf" for name in (REGULAR, BOLD)}
    if current() != ENGLISH and (japanese := japanese_font()) is not None:
        fonts[JAPANESE] = japanese
    for name, file in fonts.items():
        pdfmetrics.registerFont(TTFont(name, str(file)))
    out = BytesIO()
    canvas = Canvas(out, pagesize=A4, invariant=1)
    suggestion = page.suggestion
    signed = next((review for review in page.history if suggestion and review.suggestion == suggestion.id), None)
    canvas.setTitle(_plain(_("Patient {patient}", patient=page.summary.patient)))
    canvas.setAuthor("careplan")
    pen = _Pen(canvas)
    _head(pen, page, signed, suggestion)
    _typical_day(pen, page, unit)
    _settings(pen, page, () if suggestion is None or signed is not None else suggestion.lines, unit)
    if suggestion is not None:
        _decided(pen, suggestion, signed, unit) if signed is not None else _proposed(pen, suggestion, unit)
    _foot(pen, suggestion, by, now)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


class _Pen:
    """Writes down the page, line after line."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas, self.y = canvas, A4[1] - MARGIN

    def line(self, text: str, *, size: float = SIZE, bold: bool = False, color: str = INK, x: float = MARGIN) -> None:
        """A text, wrapped; what does not fit above the foot is told at its end."""
        for part in _wrapped(_plain(text), _font(bold), size, WIDTH - (x - MARGIN)):
            if self.y < MARGIN + 3 * LEAD:
                return
            self.y -= size * 1.35
            self.text(x, self.y, part, size=size, bold=bold, color=color)

    def text(self, x: float, y: float, text: str, *, size: float = SIZE, bold: bool = False, color: str = INK) -> None:
        self.canvas.setFont(_font(bold), size)
        self.canvas.setFillColor(HexColor(color))
        self.canvas.drawString(x, y, _plain(text))

    def heading(self, text: str) -> None:
        self.y -= 6
        self.line(text, size=10.5, bold=True)
        self.y -= 2

    def rule(self) -> None:
        self.y -= 4
        self.canvas.setStrokeColor(HexColor(LINE))
        self.canvas.line(MARGIN, self.y, A4[0] - MARGIN, self.y)


def _head(pen: _Pen, page: ReviewPage, signed: Review | None, suggestion: Suggestion | None) -> None:
    summary = page.summary
    pen.line(_("Patient {patient}", patient=summary.patient), size=15, bold=True)
    who = listed([group_name(summary.group), "" if summary.weight is None else f"{summary.weight:g} kg"])
    recorded = _(
        "{days:.0f} days recorded, {first} to {last} ({zone})",
        days=summary.days,
        first=when(summary.first, summary.zone),
        last=when(summary.last, summary.zone),
        zone=summary.zone,
    )
    pen.line(listed([who, recorded], SEMICOLON), color=MUTED)
    state = ""
    if signed is not None:
        state = _("This page: signed")
    elif suggestion is not None and suggestion.lines:
        state = _("This page: proposal, not decided")
    pen.line(" ".join(sentence(each) for each in (_(NOTICE), state) if each), bold=True)
    pen.rule()


def _typical_day(pen: _Pen, page: ReviewPage, unit: Unit) -> None:
    """The percentiles by time of day on the left, the metrics with their targets on the right."""
    pen.heading(_("The last {days} days, AGP-style", days=len(page.days)))
    top, height, width = pen.y, 150.0, 290.0
    _profile(pen, page.profile, unit, page.targets, (MARGIN + 28, top - height, width - 28, height - 8))
    _bands(pen, page.recent, MARGIN + width + 14, top - height, height - 8)
    x, y = MARGIN + width + 42, top - 8
    for each in consensus(page.recent, unit, page.targets):
        y -= LEAD
        pen.text(x, y, each.name, color=INK)
        pen.text(x + 98, y, each.value, bold=True)
        target = _("{target}, off", target=each.target) if each.missed else each.target
        pen.text(x + 134, y, target, color=COLORS["low"] if each.missed else MUTED)
    metrics = page.recent
    y -= LEAD
    gmi = "-" if metrics.gmi is None else f"{metrics.gmi:.1f} %"
    said = _(
        "Mean {mean} {unit}, GMI {gmi}, readings {share}",
        mean=unit.text(metrics.mean),
        unit=unit.name,
        gmi=gmi,
        share=percent(metrics.active),
    )
    pen.text(x, y, said, size=7.5)
    pen.y = top - height - 14


def _profile(pen: _Pen, profile: Any, unit: Unit, targets: Targets, box: tuple[float, float, float, float]) -> None:
    """The percentiles within a box: its left and lower end, its width and height."""
    canvas, (x, y, width, height) = pen.canvas, box
    edges = _very_low, bottom, top, _very_high = [targets.levels[name] for name in LEVELS]

    def at(minute: float, level: float) -> tuple[float, float]:
        return x + width * minute / DAY, y + height * (min(max(level, BOTTOM), TOP) - BOTTOM) / (TOP - BOTTOM)

    canvas.setFillColor(HexColor(COLORS["in_range"]), alpha=0.16)
    canvas.rect(x, at(0, bottom)[1], width, at(0, top)[1] - at(0, bottom)[1], stroke=0, fill=1)
    for low, high, alpha in (("p5", "p95", 0.18), ("p25", "p75", 0.34)):
        canvas.setFillColor(HexColor(PROPOSED), alpha=alpha)
        for run in _runs(profile.minute, getattr(profile, low), getattr(profile, high)):
            path = canvas.beginPath()
            edge = [at(minute, lower) for minute, lower, _ in run] + [at(minute, upper) for minute, _, upper in reversed(run)]
            path.moveTo(*edge[0])
            for point in edge[1:]:
                path.lineTo(*point)
            path.close()
            canvas.drawPath(path, stroke=0, fill=1)
    canvas.setFillAlpha(1.0)
    canvas.setStrokeColor(HexColor(PROPOSED))
    canvas.setLineWidth(1.6)
    for run in _runs(profile.minute, profile.p50, profile.p50):
        points = [at(minute, middle) for minute, middle, _ in run]
        for one, other in pairwise(points):
            canvas.line(*one, *other)
    canvas.setLineWidth(0.5)
    for mark in edges:
        canvas.setStrokeColor(HexColor(COLORS["in_range"] if mark in (bottom, top) else LINE))
        canvas.line(x, at(0, mark)[1], x + width, at(0, mark)[1])
        if mark in written(targets):
            pen.text(x - 24, at(0, mark)[1] - 3, unit.text(mark), size=7, color=MUTED)
    for minute in range(0, DAY + 1, 360):
        pen.text(at(minute, BOTTOM)[0] - 10, y - 10, clock(minute), size=7, color=MUTED)
    pen.text(x - 26, y + height + 3, unit.name, size=7, color=MUTED)


def _runs(*columns: Sequence[Any]) -> Iterator[list[tuple[Any, ...]]]:
    """The stretches without a missing value."""
    run: list[tuple[Any, ...]] = []
    for row in [*zip(*columns, strict=True), (None,)]:
        if None not in row:
            run.append(row)
        elif run:
            yield run
            run = []


def _bands(pen: _Pen, metrics: Any, x: float, y: float, height: float) -> None:
    """The stacked bar, very high on top."""
    for band in reversed(BANDS):
        part = height * (share(metrics, band.field) or 0.0) / 100.0
        pen.canvas.setFillColor(HexColor(band.color))
        pen.canvas.rect(x, y, 16, part, stroke=0, fill=1)
        y += part


def _settings(pen: _Pen, page: ReviewPage, lines: Sequence[Line], unit: Unit) -> None:
    pen.heading(_("Settings in force") if not lines else _("Settings, now and proposed"))
    if not page.regimen:
        pen.line(_("No regimen is stored."))
        return
    starts = sorted({start for setting, slots in page.regimen.items() for start, _ in slots if setting != "long_acting"} or {0})
    first, step = MARGIN + 130, (WIDTH - 130) / len(starts)
    pen.y -= LEAD
    for place, (start, end) in enumerate(zip(starts, [*starts[1:], DAY], strict=True)):
        pen.text(first + place * step, pen.y, f"{clock(start)}-{clock(end)}", size=7.5, color=MUTED)
    for setting, slots in page.regimen.items():
        shown, changed = scale(setting, unit), {line.start: line for line in lines if line.setting == setting}
        pen.y -= LEAD
        pen.text(MARGIN, pen.y, _("{setting}, {where}", setting=setting_name(setting), where=shown.unit))
        values, value = dict(slots), slots[0][1]
        for place, start in enumerate(starts if setting != "long_acting" else starts[:1]):
            value, line = values.get(start, value), changed.get(start)
            said = shown.text(value) if line is None else _moved(line, shown)
            pen.text(first + place * step, pen.y, said, bold=line is not None)


def _proposed(pen: _Pen, suggestion: Suggestion, unit: Unit) -> None:
    """The proposal before it is decided: every line with its reason, and what is predicted of it."""
    pen.heading(_("Proposal {suggestion}, not decided", suggestion=suggestion.id))
    if suggestion.abstained:
        for reason in suggestion.reasons:
            pen.line(sentence(_("careplan abstains: {why}", why=retold(reason))))
        return
    pen.line(sentence(words.headline(suggestion, unit)) or _("No change is proposed."))
    for line in suggestion.lines:
        shown = scale(line.setting, unit)
        moved = listed([f"{_moved(line, shown)} {shown.unit}", change(line.setting, line.current, line.proposed, unit)])
        pen.line(_("{name}: {said}", name=line_name(line), said=moved), bold=True)
        pen.line(sentence(because(line, suggestion, unit)), x=MARGIN + 10, color=MUTED)
    for option in suggestion.options:
        if option.name in ("proposed", "no change"):
            names = {key: words.outcome(key, unit, words.aim(suggestion)).lower() for key in ("in_range", "below_70")}
            told = [f"{name} {_interval(option.outcomes[key])}" for key, name in names.items()]
            pen.line(_("Predicted, {option}: {outcomes}", option=_(option.name), outcomes=listed(told, SEMICOLON)))


def _decided(pen: _Pen, suggestion: Suggestion, signed: Review, unit: Unit) -> None:
    """What was decided, with reasons, and the signature."""
    pen.heading(_("Decided of proposal {suggestion}", suggestion=suggestion.id))
    by_key = {decision.key: decision for decision in signed.decisions}
    for line in suggestion.lines:
        decision, shown = by_key[line.key], scale(line.setting, unit)
        said = _(
            "{line}: {verdict}, prescribed {value} {unit} (was {current}, proposed {proposed})",
            line=line_name(line),
            verdict=_(PAST[decision.verdict]),
            value=shown.text(decision.value),
            unit=shown.unit,
            current=shown.text(line.current),
            proposed=shown.text(line.proposed),
        )
        pen.line(said, bold=True)
        pen.line(decision.reason or sentence(because(line, suggestion, unit)), x=MARGIN + 10, color=MUTED)
    told = N_('Signed: {reviewer}, {time} UTC: "{meaning}"')
    pen.line(_(told, reviewer=signed.reviewer, time=when(signed.signed, "UTC"), meaning=_(signed.meaning)), bold=True)


def _moved(line: Line, shown: Scale) -> str:
    return _("{before} to {after}", before=shown.text(line.current), after=shown.text(line.proposed))


def _interval(value: Interval) -> str:
    return _("{mid:.1f} % (90 %: {low:.1f} to {high:.1f})", mid=value.mid, low=value.low, high=value.high)


def _foot(pen: _Pen, suggestion: Suggestion | None, by: str, now: datetime) -> None:
    made = f"careplan {careplan_version()}"
    if suggestion is not None:
        model = suggestion.provenance.get("model", "-")[:16]
        made = listed([made, _("model {model}", model=model), _("suggestion {suggestion}", suggestion=suggestion.id)])
    printed = _("printed {time} UTC by {by}", time=when(now, "UTC"), by=by)
    pen.canvas.setStrokeColor(HexColor(LINE))
    pen.canvas.line(MARGIN, MARGIN + 14, A4[0] - MARGIN, MARGIN + 14)
    pen.text(MARGIN, MARGIN + 4, listed([made, printed], SEMICOLON), size=7, color=MUTED)
    pen.text(MARGIN, MARGIN - 6, _(NOTICE), size=7, color=MUTED)


def careplan_version() -> str:
    try:
        return version("careplan")
    except PackageNotFoundError:
        return _("from a checkout")


def _font(bold: bool) -> str:
    return (BOLD if bold else REGULAR) if current() == ENGLISH else JAPANESE


def _wrapped(text: str, font: str, size: float, width: float) -> list[str]:
    """A text in lines: between words, or in Japanese, which has no spaces, where its rules allow it."""
    if font == JAPANESE:
        return [line for _left, line in wordSplit(text, width, font, size)]
    return list(simpleSplit(text, font, size, width))


def _plain(text: str) -> str:
    """Without the signs that the fonts lack."""
    if current() != ENGLISH:
        return text
    for sign, other in PLAIN.items():
        text = text.replace(sign, other)
    return text
