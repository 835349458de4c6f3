"""Training: batches of recorded windows and of branched futures, the loss, and a Lightning loop around them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from careplan.series import Window, split
from careplan.therapy import Therapy
from careplan.world import losses
from careplan.world.corpus import Branches, Corpus
from careplan.world.dynamics import State
from careplan.world.filter import filter_recording
from careplan.world.futures import Futures, abduct
from careplan.world.model import Shape, WorldModel
from careplan.world.question import Given, Question, Rollout


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that shapes a run. Weights of the loss terms; 0 switches a term off (the ablation).

    The weights are such that no term's gradient at the encoder outgrows that of the level: SIGReg is a sum over the batch.
    """

    steps: int = 1500
    batch: int = 256  # windows of recordings a step
    branches: int = 256  # branched futures a step
    plans: int = 0  # windows of virtual patients a step that ask what the recorded plan does, as far ahead as branched futures
    horizon: int = 0  # rows predicted from recordings; as the clock says where 0
    virtual: float = 0.25  # share of windows from virtual patients
    asked: tuple[float, float] = (0.55, 0.3)  # shares of people's windows of which nothing is given, a record; else a plan
    asked_virtual: tuple[float, float] = (0.2, 0.2)  # the same of virtual patients' windows
    anonymous: float = 0.5  # share of windows whose patient is not told: they train the typical patient, code 0
    unlogged: float = 0.2  # share of people's windows from which each channel but the level is hidden at even odds
    untracked: float = 0.5  # share of virtual windows from which disturbances without a direction are hidden
    rate: float = 3e-3
    own: float = 5.0  # times that rate, of people's codes
    encoder: bool = True  # whether encodings are learned; else they are taken as they are
    latent: float = 0.1
    anticollapse: float = 3e-4
    vicreg: bool = False
    effects: float = 4.0
    prior: float = 2e-3
    readings: float = 0.3  # where readings carry a noise: of how surprising each is given those before it
    seed: int = 7


class Windows(IterableDataset[int]):
    """Step numbers: each step's batch depends on the seed and the step alone, so a resumed run sees what it would have seen."""

    def __init__(self, steps: int, start: int = 0) -> None:
        self.steps, self.start = steps, start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.steps))


@dataclass(frozen=True, eq=False)
class Drawn:
    """The windows of one step: whole and what follows now, the encodings `[B, N, L]`, how far each code is from what is usual
    `[B, K]`, the state now, and what is asked of it."""

    whole: Window
    future: Window
    encoded: Tensor
    deviation: Tensor
    state: State
    question: Question


class Training(L.LightningModule):
    """The model, one code a training patient, and the loss. `real`: the first `real` patients of the corpus are people."""

    def __init__(
        self,
        therapy: Therapy,
        recipe: Recipe,
        corpus: Corpus,
        branches: Branches,
        *,
        real: int,
        shape: Shape | None = None,
        begin: WorldModel | None = None,
    ) -> None:
        """begin: the weights to start from, instead of random ones of a shape; its gradients are switched by the recipe."""
        super().__init__()
        torch.manual_seed(recipe.seed)
        self.model = begin.train() if begin is not None else WorldModel(therapy, shape)
        self.model.encoder.requires_grad_(recipe.encoder)
        self.recipe, self.corpus, self.branches, self.real = recipe, corpus, branches, real
        self.codes = nn.Embedding(len(corpus), self.model.shape.code)
        nn.init.zeros_(self.codes.weight)
        self.named = self.model.named
        # What sets virtual patients apart, in those numbers of the code that are free: gains and time constants are learned from
        # them for everyone.
        self.virtual = nn.Parameter(torch.zeros(self.model.shape.code - self.named))
        self.column = therapy.index(therapy.regulated)
        self.horizon = recipe.horizon or therapy.clock.rows(therapy.clock.horizon)
        self.now = self.model.shape.memory // self.model.shape.patch - 1  # the encoding of the present
        self.kept = [*therapy.observed, *range(len(therapy.channels), corpus.usual.shape[1])]  # never hidden
        self.tracked = [therapy.index(channel.name) for channel in therapy.of("disturbance") if not channel.direction]
        measured = torch.tensor([float(part[:, self.column].sum()) for part in corpus.mask.split(corpus.length.tolist())])
        self.register_buffer("weights", measured.sqrt(), persistent=False)  # between as many windows a person and a reading

    weights: Tensor

    def _draw(self, step: int) -> tuple[Tensor, Tensor, Tensor, torch.Generator]:
        """Patients and rows of the recorded windows, and which branches, of one step."""
        recipe, generator = self.recipe, torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + step)
        virtual = round(recipe.batch * (recipe.virtual if self.real else 1.0)) if len(self.corpus) > self.real else 0
        weights = self.weights.cpu()
        parts = []
        if recipe.batch > virtual:
            parts.append(torch.multinomial(weights[: self.real], recipe.batch - virtual, replacement=True, generator=generator))
        if virtual:
            parts.append(torch.randint(self.real, len(self.corpus), (virtual,), generator=generator))
        patients = torch.cat(parts)
        rows = self.corpus.draw(
            patients, 4, column=self.column, context=self.model.shape.context, horizon=self.horizon, generator=generator
        )
        count = min(recipe.branches, len(self.branches))
        chosen = torch.randint(max(len(self.branches), 1), (count,), generator=generator)
        return patients, rows, chosen, generator

    def deviation(self, patients: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The deviation of patients' `[B]` codes from those that their usual amounts predict; with a generator, as if the share
        that stays anonymous were not, `[B, K]`.
        """
        own = self.codes(patients)
        if generator is not None:
            own = own * (torch.rand(len(patients), 1, generator=generator).to(own) >= self.recipe.anonymous)
        apart = F.pad(self.virtual, (own.shape[1] - len(self.virtual), 0))
        return own + (patients >= self.real).unsqueeze(1) * apart

    def _unlogged(self, whole: Window, usual: Tensor, real: Tensor, generator: torch.Generator) -> tuple[Window, Tensor]:
        """Hides channels of doses or disturbances in some windows of people, as if they had never been logged, since many people
        do not log everything; and in some windows of virtual patients the channels without a direction (activity).
        """
        careless = torch.rand(len(usual), 1, generator=generator).to(self.device) < self.recipe.unlogged * real.unsqueeze(1)
        hide = careless & (torch.rand(usual.shape, generator=generator).to(self.device) < 0.5)
        untracked = (torch.rand(len(usual), generator=generator).to(self.device) < self.recipe.untracked) & ~real
        hide[:, self.tracked] |= untracked.unsqueeze(1)
        hide[:, self.kept] = False
        mask = whole.mask & ~hide[:, None, : whole.mask.shape[-1]]
        return Window(torch.where(mask, whole.values, 0.0), mask, whole.minute), torch.where(hide, 0.0, usual)

    def training_step(self, step: Tensor, _: int) -> Tensor:
        patients, rows, chosen, generator = self._draw(int(step))
        drawn, terms = self._drawn(patients, rows, generator)
        rollout = self.model.rollout(drawn.state, drawn.question)
        parts = self._levels(rollout, drawn.future)
        parts |= self._representation(rollout, drawn.encoded, generator)
        parts["prior"] = self.recipe.prior * drawn.deviation.pow(2).sum(-1).mean()
        if len(chosen) and self.recipe.effects:
            parts["effects"] = self.recipe.effects * self._effects(chosen, generator)
        if self.recipe.plans and len(chosen):
            parts["plans"] = self._plans(generator)
        if self.model.filter is not None:
            parts["readings"] = self.recipe.readings * self._readings(drawn)
        parts |= terms
        loss = torch.stack(list(parts.values())).sum()
        self.log_dict({name: value.detach() for name, value in parts.items()}, prog_bar=False, batch_size=self.recipe.batch)
        return loss

    # The stages of a step.

    def _drawn(self, patients: Tensor, rows: Tensor, generator: torch.Generator) -> tuple["Drawn", dict[str, Tensor]]:
        """The windows of a step with the question that is asked of each, and loss terms of their own.

        Three questions: what will happen as usual, what this plan would do, and what will happen given that this was recorded.
        Virtual patients mostly teach what plans do, recordings of people what is to be foreseen.
        """
        recipe, model, context = self.recipe, self.model, self.model.shape.context
        whole = self.corpus.windows(patients, rows - context, context + self.horizon).to(self.device)
        patients = patients.to(self.device)
        usual, deviation = self.corpus.usual.to(self.device)[patients], self.deviation(patients, generator)
        whole, usual = self._unlogged(whole, usual, patients < self.real, generator)
        code = model.typical(usual) + deviation
        encoded = model.encode(whole, usual)
        whole, completed = self.completed(encoded, whole, usual, generator)
        past, future = split(whole, context)
        real, draw = patients < self.real, torch.rand(len(patients), generator=generator).to(self.device)
        virtual = recipe.asked_virtual
        nothing, record = (torch.where(real, own, other) for own, other in zip(recipe.asked, virtual, strict=True))
        foreseen = torch.where(draw < nothing, Given.NOTHING.code, Given.RECORD.code)
        given = torch.where(draw < nothing + record, foreseen, Given.PLAN.code)
        mask = future.mask & (given != Given.NOTHING.code)[:, None, None]
        # Nobody randomised what was done, so where branched futures teach the effects of doses, recordings do not.
        taught = bool(recipe.effects and len(self.branches))
        if taught:
            code = torch.cat([code[:, : self.named].detach(), code[:, self.named :]], dim=1)
        state = model.state(encoded[:, self.now], past, usual, code)
        evidence, terms = self.evidence(encoded, state, whole, mask, usual, given, generator)
        question = Question(future.values, mask, given, usual, code, evidence, torch.full_like(real, taught))
        return Drawn(whole, future, encoded, deviation, state, question), completed | terms

    def _levels(self, rollout: Rollout, future: Window) -> dict[str, Tensor]:
        """How far predicted levels are from those measured, and their spreads. The level at each integration step is what was
        measured in the row that ends there."""
        truth, measured = self._ends(future)
        levels = rollout.levels[:, 1:]
        weight = 1.0 / (0.1 + rollout.minutes[1:] / self.model.therapy.clock.pace)
        missed = F.smooth_l1_loss(levels, truth, reduction="none", beta=2.0)
        parts = {"level": losses.masked_mean(weight.unsqueeze(-1) * missed, measured)}
        parts["spread"] = losses.pinball(rollout.spreads[:, 1:], (truth - levels).detach(), measured)
        return parts

    def _ends(self, future: Window) -> tuple[Tensor, Tensor]:
        """Scaled levels of a future at the end of each integration step, `[B, H, Q]`, and which were measured."""
        model, group = self.model, self.model.group
        last = slice(group - 1, None, group)
        return model.standard(future.values[:, last]), future.mask[:, last][..., model.therapy.observed]

    def _representation(self, rollout: Rollout, encoded: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The encoding of the future against the one predicted, and what keeps encodings from collapsing."""
        recipe, model = self.recipe, self.model
        every = round(model.shape.patch * model.therapy.step / model.shape.interval)
        imagined = model.imagined(rollout)[:, every::every]
        parts = {"latent": recipe.latent * losses.latent_prediction(imagined, encoded[:, self.now + 1 :].detach())}
        sample = encoded[:, self.now :: 4].flatten(0, 1)
        if recipe.vicreg:
            collapse = losses.vicreg(sample)
        else:
            collapse = losses.sigreg(sample, generator) if recipe.anticollapse else sample.sum() * 0
        return parts | {"anticollapse": recipe.anticollapse * collapse}

    def _readings(self, drawn: "Drawn") -> Tensor:
        """How surprising each reading of the windows is, given all before it. Teaches drift, process noise, codes, and where no
        branched futures do, effects."""
        question = drawn.question
        return filter_recording(self.model, drawn.whole, question.usual, question.code).surprise()

    def completed(
        self, encoded: Tensor, whole: Window, usual: Tensor, generator: torch.Generator
    ) -> tuple[Window, dict[str, Tensor]]:
        """A window with the doses that nobody logged, as far as they can be inferred, and loss terms of its own (neither here);
        encoded `[B, patches, L]` of its memory and what follows."""
        return whole, {}

    def evidence(
        self,
        encoded: Tensor,
        state: State,
        whole: Window,
        mask: Tensor,
        usual: Tensor,
        given: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What the future of a window, as far as it is given, shows of what was not recorded, `[B, H, evidence]`, and loss terms
        of its own (none here)."""
        return self.model.recorded_evidence(state, split(whole, self.model.shape.context)[1].values, mask, usual), {}

    def _effects(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """The difference between two futures that differ in treatment alone, along the one that happened: what forces the model
        through it forces the other too. The context, of which effects are free, is left out."""
        branches, model, context = self.branches, self.model, self.model.shape.context
        rows, dynamics = branches.values.shape[1], model.dynamics
        patients = branches.patient[chosen]
        whole = self.corpus.windows(patients, branches.row[chosen] - context, context + rows).to(self.device)
        usual, deviation = self.corpus.usual[patients].to(self.device), self.deviation(patients.to(self.device), generator)
        whole, usual = self._unlogged(whole, usual, torch.zeros_like(patients, dtype=torch.bool, device=self.device), generator)
        past, future = split(whole, context)
        code = model.typical(usual) + deviation
        before = future.values if branches.before is None else branches.before[chosen].to(self.device)
        recorded, values = model.plan(before, future.mask, usual)
        altered, _ = model.plan(branches.values[chosen].to(self.device), future.mask, usual)
        steps, interval = recorded.shape[1], model.shape.interval
        halves = torch.arange(2 * steps, device=self.device)
        given = Given.PLAN.codes(len(chosen), self.device)
        course = dynamics.planned.course(future.minute[:, :1] + 0.5 * interval * halves, code, values[:, halves // 2], given)
        features = dynamics.planned.features(code.new_zeros(1, 1, model.shape.latent), course.situation)
        one = code.new_ones(len(chosen), 1)
        pools = dynamics.absorption.fill(
            model.amounts(past.values, past.mask, usual), dynamics.absorption.time_constants(code), model.therapy.step
        ).unsqueeze(1)
        last = slice(model.group - 1, None, model.group)
        before, after = (self._truths(part[chosen].to(self.device)) for part in (branches.recorded, branches.altered))
        truth, level, true = before[:, last], before[:, :1], (after - before)[:, last]
        futures = Futures(
            model=model,
            features=features.unflatten(1, (steps, 2)).unsqueeze(1),
            spread=features[:, :0],
            code=code.unsqueeze(1),
            rates=dynamics.absorption.rates(code).unsqueeze(1),
            start=level,
            score=one[0],
            interval_factor=one[:, 0],
        )
        futures = abduct(futures, level, pools, recorded, truth, torch.ones_like(truth, dtype=torch.bool))
        loss = []
        for step in range(steps):
            level, pools = futures.advance(level, pools, altered[:, step], step)
            loss.append(F.smooth_l1_loss(level[:, 0] - truth[:, step], true[:, step]))
        return torch.stack(loss).mean()

    def _truths(self, levels: Tensor) -> Tensor:
        """Levels of branched futures `[E, T]` (`[E, T, Q]` where there are several outputs), in their units -> scaled."""
        levels = levels if levels.ndim == 3 else levels.unsqueeze(-1)
        columns, channels = self.model.therapy.observed, self.model.therapy.channels
        scaled = [
            (channels[column].linked(levels[..., place]) - self.model.center[column]) / self.model.scale[column]
            for place, column in enumerate(columns)
        ]
        return torch.stack(scaled, -1)

    def _plans(self, generator: torch.Generator) -> Tensor:
        """What the recorded plans of virtual patients lead to over the hours that branched futures last, which personalisation
        may ask of long windows. Encodings and the effects of doses are taken as they are."""
        model, context, ahead = self.model, self.model.shape.context, self.branches.values.shape[1]
        patients = torch.randint(self.real, len(self.corpus), (self.recipe.plans,), generator=generator)
        rows = self.corpus.draw(patients, 4, column=self.column, context=context, horizon=ahead, generator=generator)
        past, future = split(self.corpus.windows(patients, rows - context, context + ahead).to(self.device), context)
        usual, deviation = self.corpus.usual[patients].to(self.device), self.deviation(patients.to(self.device), generator)
        code = model.typical(usual) + deviation
        code = torch.cat([code[:, : self.named].detach(), code[:, self.named :]], dim=1)
        with torch.no_grad():
            z = model.encode(past, usual)[:, -1]
        frozen = torch.ones(len(patients), dtype=torch.bool, device=self.device)
        question = replace(Question.plan(future.values, future.mask, usual, code), frozen=frozen)
        return self._levels(model.rollout(model.state(z, past, usual, code), question), future)["level"]

    def configure_optimizers(self) -> Any:
        individual = [*self.codes.parameters(), self.virtual]
        apart = ("codes.weight", "virtual")
        others = [each for name, each in self.named_parameters() if name not in apart and each.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": others, "weight_decay": 1e-3, "lr": self.recipe.rate},
            {"params": individual, "weight_decay": 0.0, "lr": self.recipe.own * self.recipe.rate},
        ]
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, [group["lr"] for group in groups], total_steps=self.recipe.steps, pct_start=0.1
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Report(L.Callback):
    """A line of losses every hundred steps."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say, self.sums, self.count = say, {}, 0  # type: ignore[var-annotated]

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        for name, value in trainer.callback_metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
        self.count += 1
        if trainer.global_step % 100 == 0:
            parts = "  ".join(f"{name} {total / self.count:.4f}" for name, total in self.sums.items())
            self.say(f"step {trainer.global_step} of {trainer.max_steps}  {parts}")
            self.sums, self.count = {}, 0


def train(training: Training, folder: Path, *, resume: bool = False, say: Callable[[str], None] = print) -> WorldModel:
    """Run to the end of the recipe; checkpoints in `folder`, from which `resume` goes on. Ctrl-C keeps the last checkpoint.
    Raises `KeyboardInterrupt` once the checkpoint is written where a person stopped it.
    """
    L.seed_everything(training.recipe.seed, verbose=False)
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / "last.ckpt"
    start = 0
    if resume and last.exists():
        start = int(torch.load(last, weights_only=True, map_location="cpu")["global_step"])
    checkpoint = ModelCheckpoint(folder, save_last=True, every_n_train_steps=200, save_top_k=0)
    trainer = L.Trainer(
        max_steps=training.recipe.steps,
        accelerator="auto",
        devices=1,
        callbacks=[checkpoint, Report(say)],
        logger=False,
        gradient_clip_val=1.0,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    loader = DataLoader(Windows(training.recipe.steps, start), batch_size=None)
    trainer.fit(training, loader, ckpt_path=str(last) if start else None)
    if trainer.interrupted:
        raise KeyboardInterrupt
    return training.model.eval()
