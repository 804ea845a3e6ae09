"""Training of SAM models, fixed motifs (fm) or adjusted (am): everything jointly, the core sites
where asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn as nn

from ..errors import DatasetError, RecipeError
from ..model.bottleneck import BRANCH_POINT_CORE, LSSI_FLOOR
from ..model.growth import READERS, forget_branch_points, grow, shared_motifs
from ..model.sam import (
    ACCEPTOR,
    BEYOND_THE_PAPER,
    LSSI,
    LSSI_SPAN,
    SAM,
    Candidates,
    Config,
    FixedMotifs,
    Norm,
    Sparse,
    crop,
    one_hot,
    warm_start_am,
)
from .ahead import Ahead
from .bound import BoundSampler, learnt_of_binding, missed_binding
from .branch_points import guess_branch_points
from .checkpoint import core_sites, load_start, save_run, sha256_of
from .dataset import IGNORE, TRAIN, VALIDATION, Dataset
from .distil import change_error, core_excess, divergence
from .evaluate import score
from .learnt import (
    LocalBranchPoints,
    LocalMotifs,
    give_branch_points,
    give_learnt_motifs,
    load_local_model,
)
from .loop import from_first_rank
from .recipe import SamRecipe, between
from .sampling import Augmentation, Mixture, WindowSampler
from .settle import settle
from .soft_labels import SoftLabelSampler

BOTTLENECK = (  # settings of `Config` that decide what stands in it
    "kind", "channels", "canonical", "branch_point", "candidates", "candidates_each", "least_share",
    "faint_candidates", "learnt_motifs", "learnt_channels",
)  # fmt: skip
NORMED = (  # settings of `Config` at whose change norms start anew
    "channels", "candidates_each", "cnn_channels", "learnt_motifs", "branch_point",
)  # fmt: skip
SEARCHED = 100_000  # bases in which a core that has branch points finds some
FOLLOWERS = (Sparse, Candidates, LSSI)  # what has thresholds that follow the batches
WARM_UP_PASSES = 60  # of a warm-started AM's norms, before the FM's scale is carried over


class Start(NamedTuple):
    """What a run starts from: a model, if any, and core sites, each with what `load_start` says of
    it (the core's only where a run of its own gives it)."""

    source: SAM | LSSI | None
    about: dict | None
    core: LSSI
    core_about: dict | None

    @classmethod
    def load(cls, start_from: str | None, lssi: str | None) -> Start:
        """From the folders or bundles that `SamTask` names. Raises RecipeError where there is
        nothing to take core sites from."""
        source, about = load_start(start_from) if start_from else (None, None)
        core_run, core_about = load_start(lssi, "lssi") if lssi else (None, None)
        if not (origin := core_run or source):
            raise RecipeError(
                "there are no core sites: give a finished run of them (--lssi), or --start-from"
            )
        return cls(source, about, core_sites(origin), core_about)


class SamTask:
    """`lssi` is the folder of a finished LSSI run, whose core sites are taken; `start_from` a run's
    folder, or a bundle, whose weights this one starts from, its core sites among them where no
    `lssi` is given, `soft_labels` folders of `samvar train teach`, `learnt_motifs` one of `samvar
    train motifs`, `branch_points` one of `samvar train branch-points`, `bound` a file of `samvar
    train bound`."""

    def __init__(
        self,
        kind: str,
        data: Dataset,
        recipe: SamRecipe,
        device: torch.device,
        lssi: str | None = None,
        start_from: str | None = None,
        rank: int = 0,
        fresh: bool = True,
        soft_labels: Sequence[str] = (),
        learnt_motifs: str | None = None,
        branch_points: str | None = None,
        bound: str | None = None,
    ):
        torch.manual_seed(recipe.seed)  # for the weights of every model made from here on
        _check(data, recipe, soft_labels)
        _check_bound(kind, recipe, bound)
        self.data, self.recipe, self.device, self.rank = data, recipe, device, rank
        if recipe.aggregator_alone and (not start_from or lssi or learnt_motifs or branch_points):
            raise RecipeError(
                "aggregator_alone needs --start-from, whose bottleneck it reads as it is: without "
                "--lssi, --learnt-motifs and --branch-points"
            )
        if recipe.keep_norms and not start_from:
            raise RecipeError("keep_norms needs --start-from, whose norms it keeps")
        start = Start.load(start_from, lssi)
        self.started_from = start.about
        config = _config(kind, recipe, start.core.channels)
        self.model: SAM = SAM(config, _fixed_motifs(data)).to(device)
        self._take_core(start.core, guess=fresh and not branch_points)
        self.soft = (
            SoftLabelSampler(
                soft_labels,
                recipe.soft_families,
                recipe.soft_windows,
                recipe.soft_width,
                recipe.seed,
                rank,
                config.reach,
            )
            if soft_labels
            else None
        )
        self._soft_batch = Ahead(self.soft.batch) if self.soft else None
        names = [str(n) for n in data.motifs["names"]]
        self.bound = bound and BoundSampler(bound, names, recipe.bound_pairs, recipe.seed, rank)
        if self.bound:
            _check_left_out(self.bound.about, data)
        self.sampler = WindowSampler(
            data,
            TRAIN,
            config.reach,
            Mixture(recipe.batch_bases, recipe.windows, recipe.site_share, recipe.decoy_share),
            recipe.seed,
            rank,
            self._strength,
            Augmentation(recipe.mutate, recipe.indels, recipe.moved),
        )
        self.density, self.target = recipe.density_start, recipe.target
        self.identity = dict(
            kind=kind,
            data=data.digest(),
            lssi=sha256_of(start.core_about),
            start_from=sha256_of(start.about),
            **({"soft_labels": self.soft.digest} if self.soft else {}),
            **({"bound": self.bound.about} if self.bound else {}),
        )
        if start.source and fresh:
            given = dict(learnt_motifs=learnt_motifs, branch_point=branch_points)
            self._start_from(start.source, {key for key, folder in given.items() if folder})
        if learnt_motifs:
            motifs, self.identity["learnt_motifs"] = load_local_model(learnt_motifs, LocalMotifs)
            beside = start.source.motifs.learnt if isinstance(start.source, SAM) else None
            give_learnt_motifs(self.model, motifs, beside)
        if branch_points:
            points, digest = load_local_model(branch_points, LocalBranchPoints)
            self.identity["branch_points"] = digest
            give_branch_points(self.model, points)
        for part in self.model.modules():
            if isinstance(part, FOLLOWERS):
                part.follow = recipe.follow
        if recipe.branch_points_alone:
            self._keep_all_but_branch_points()
        if recipe.aggregator_alone:
            self.model.requires_grad_(False).aggregator.requires_grad_(True)

    def _take_core(self, core: LSSI, guess: bool) -> None:
        """The core sites of another model. A core without branch points, or that finds none, gets
        a first guess of them, unless others follow."""
        own, recipe = self.model.lssi, self.recipe
        own.load_state_dict(core.state_dict(), strict=False)
        own.requires_grad_(recipe.train_core)
        if guess and recipe.branch_point and not self._finds_branch_points(core):
            own.branch_density = recipe.branch_density_start
            own.branch_point.requires_grad_(True)
            guess_branch_points(own, self.data, self.device, recipe.seed)
            own.branch_point.requires_grad_(recipe.train_core)

    @torch.no_grad()
    def _finds_branch_points(self, core: LSSI) -> bool:
        """Whether any of the first bases of the dataset has a branch-point score."""
        if core.branch_point is None:
            return False
        x = one_hot(torch.from_numpy(self.data.codes[None, :SEARCHED]))
        return bool((core.eval()(x)[0, 2] > LSSI_FLOOR).any())

    def _keep_all_but_branch_points(self) -> None:
        """Train the branch-point model and what reads its channel alone."""
        model, branch = self.model, self.model.core.index(BRANCH_POINT_CORE)
        model.requires_grad_(False)
        model.lssi.branch_point.requires_grad_(True)
        model.lssi.branch_norm.requires_grad_(True)
        for name, weight in model.named_parameters():
            if name in READERS:
                weight.requires_grad_(True)
                weight.register_hook(
                    lambda grad: torch.zeros_like(grad).index_copy(
                        1, torch.tensor([branch], device=grad.device), grad[:, branch, None]
                    )
                )

    @torch.no_grad()
    def _strength(self, kind: int, at: np.ndarray) -> np.ndarray:
        """Core score of acceptors or donors at these positions of `data.codes`."""
        left, right = LSSI_SPAN[kind]
        windows = self.data.codes.take(at[:, None] + np.arange(-left, right + 1), mode="clip")
        core = self.model.lssi.acceptor if kind == ACCEPTOR else self.model.lssi.donor
        return core(one_hot(torch.from_numpy(windows).to(self.device)))[:, 0].float().cpu().numpy()

    def _start_from(self, source: SAM | LSSI, given: set[str]) -> None:
        """Take motifs and aggregator of another run or bundle, the core sites staying as they are.
        `given`: settings whose parts another run gives."""
        config, name = self.model.config, self.started_from["name"]
        kinds = self.started_from["kind"], config.kind
        may_grow = ("channels", *BEYOND_THE_PAPER) if kinds != ("fm", "am") else ()
        free = ("kind", "lssi_channels", "temperature", *may_grow)
        if (
            not isinstance(source, SAM)
            or kinds not in (("fm", "fm"), ("am", "am"), ("fm", "am"))
            or replace(source.config, **{key: getattr(config, key) for key in free}) != config
            or source.config.effect_bumps not in (0, config.effect_bumps)
            or (kinds == ("fm", "am") and config.candidates_each)
        ):
            raise RecipeError(
                f"{name} ({kinds[0]}) is nothing that this {config.kind} can start from: an am "
                "starts from an am or fm, an fm from an fm, of the same shape (stack_widths, "
                "lstm_units, attention_dim; effect_bumps, where it has any; channels and "
                "inner_channels, from another kind); an am with candidates_each starts from no fm"
            )
        anew = self.recipe.aggregator_alone and not self.recipe.keep_norms
        of_units = "channels", "cnn_channels"
        same_units = all(getattr(source.config, k) == getattr(config, k) for k in of_units)
        if same_units and not anew and source.config.inner_channels != config.inner_channels:
            raise RecipeError(
                f"{name} has inner_channels = {source.config.inner_channels}, which the recipe "
                "needs, too; `samvar train narrow` makes them fewer"
            )
        ours, theirs = self.model.motifs.fixed, source.motifs.fixed
        names = [str(n) for n in self.data.motifs["names"]]
        shared = shared_motifs(ours, names, theirs, self.started_from["rbps"])
        if not shared or (kinds == ("fm", "am") and len(shared) < len(names)):
            raise RecipeError(
                f"{name} has other motifs than the dataset: prepare it with the same --motifs"
            )
        if self.recipe.aggregator_alone:
            self._check_bottleneck(source, len(shared) == len(names))
        other = [key for key in NORMED if getattr(source.config, key) != getattr(config, key)]
        new = [key for key in other if key not in given]
        if self.recipe.keep_norms and (kinds == ("fm", "am") or len(shared) < len(names)):
            raise RecipeError("keep_norms needs a start of the same kind with the same motifs")
        if self.recipe.keep_norms and new:
            raise RecipeError(
                f"keep_norms needs {', '.join(new)} as the start has it: what is new has no norms "
                "to keep"
            )
        if kinds == ("fm", "am"):
            self._warm_up()
            warm_start_am(self.model, source.to(self.device))
        else:
            as_before = source.config.candidates_each == config.candidates_each
            if self.recipe.branch_points_alone and not as_before:
                raise RecipeError("branch_points_alone keeps candidates_each as the start has it")
            reads_sites = not source.config.cnn_channels
            dead = source.config.branch_point and not self._finds_branch_points(source.lssi)
            if dead and reads_sites:
                forget_branch_points(source)
            grow(self.model, source, shared, aggregator=not anew)

    def _check_bottleneck(self, source: SAM, same_motifs: bool) -> None:
        """Raises RecipeError where the bottleneck would not be that of `source`."""
        ours, theirs = self.model.config, source.config
        other = [key for key in BOTTLENECK if getattr(ours, key) != getattr(theirs, key)]
        if other or not same_motifs:
            raise RecipeError(
                "aggregator_alone reads the bottleneck of its start as it is: "
                + (f"{', '.join(other)} must be as there" if other else "the motifs must be its")
            )

    @torch.no_grad()
    def _warm_up(self) -> None:
        self.start_step(0)
        self.model.motifs.train()
        nn.init.zeros_(self.model.motifs.adjust.leave.weight)
        self.model.motifs.adjust.leave.bias.zero_()
        for step in range(WARM_UP_PASSES):
            codes, _ = self.sampler.batch(step)
            self.model.motifs(one_hot(torch.from_numpy(codes).to(self.device)))

    def pace(self, name: str) -> float:
        return 1.0 if name.startswith("motifs.adjust.") else self.recipe.pace_of_rest

    def start_step(self, step: int) -> None:
        r = self.recipe
        done = min(step / max(r.density_until * r.steps, 1), 1.0)
        if r.density_schedule == "geometric":
            self.density = between(r.density_start, r.density_end, done)
        self.model.motifs.set_density(
            self.density, between(r.learnt_density_start, r.learnt_density_end, done)
        )
        self.model.lssi.branch_density = between(r.branch_density_start, r.branch_density_end, done)

    def loss(self, step: int) -> torch.Tensor:
        """In nats per 1,000 known bases: negative log-likelihood of the annotation's labels, and
        what is learnt from a teacher."""
        if self.recipe.branch_points_alone:  # norms and thresholds of all else stay, too
            self.model.eval().lssi.train()
        if self.recipe.aggregator_alone:
            self.model.eval().aggregator.train()
        if self.recipe.keep_norms:
            for part in self.model.modules():
                if isinstance(part, Norm):
                    part.eval()
        total = torch.zeros((), device=self.device)
        if self.recipe.label_weight:
            total = total + self.recipe.label_weight * self._label_loss(step)
        if self.soft:
            total = total + self._soft_loss(step)
        if self.bound:
            total = total + self.recipe.bound_weight * self._missed_binding(step)
        return total

    def _label_loss(self, step: int) -> torch.Tensor:
        codes, labels = self.sampler.batch(step)
        found = self.model.detect(one_hot(torch.from_numpy(codes).to(self.device)))
        log_p = self.model.aggregate(found._replace(motifs=self._silenced(found.motifs, step)))
        target = torch.from_numpy(labels).to(self.device).long()
        flat = log_p.float().transpose(1, 2).flatten(0, 1)
        nll = nn.functional.nll_loss(flat, target.flatten(), ignore_index=IGNORE, reduction="sum")
        return 1000 * nll / max(int((labels != IGNORE).sum()), 1)

    def _soft_loss(self, step: int) -> torch.Tensor:
        assert self._soft_batch
        batch, recipe = self._soft_batch(step), self.recipe
        x = one_hot(torch.from_numpy(batch.codes).to(self.device))
        scores = self.model.lssi.scores(x)
        found = self.model.detect(x, scores)
        log_p = self.model.aggregate(found._replace(motifs=self._silenced(found.motifs, step)))
        target = torch.from_numpy(batch.probabilities).to(self.device)
        known = crop(x, *self.model.config.reach).sum(1)
        loss = divergence(log_p.float(), target, known)
        loss = loss + recipe.change_weight * change_error(log_p.float(), batch.sites)
        if recipe.core_share:
            loss = loss + recipe.core_weight * core_excess(scores[:, :2], recipe.core_share)
        return loss

    def _missed_binding(self, step: int) -> torch.Tensor:
        batch = self.bound.batch(step)
        codes, motif = (torch.from_numpy(v).to(self.device) for v in batch)
        return missed_binding(self.model.motifs, one_hot(codes), motif)

    def _silenced(self, motifs: torch.Tensor, step: int) -> torch.Tensor:
        """Without the sites of a share of (window, RBP), the others stronger by as much; drawn by
        the step alone, so that a resumed run draws the same."""
        share = self.recipe.motif_dropout
        if share == 0:
            return motifs
        kept = (
            np.random.default_rng([self.recipe.seed, self.rank, step, 1]).random(
                (*motifs.shape[:2], 1)
            )
            >= share
        )
        return motifs * torch.from_numpy(kept / max(1 - share, 1e-6)).to(motifs)

    def validate(self, step: int) -> dict[str, float]:
        """Top-k and density on a fixed part of the validation genes; the accuracy schedule acts on
        it."""
        genes = validation_genes(self.data, self.recipe.validate_bases)
        if not len(genes):
            return {}
        scores = score([self.model], self.data, genes, self.device, precision=self.recipe.precision)
        found = scores.top_k(resamples=0)
        if self.recipe.density_schedule == "accuracy":
            accuracy = from_first_rank(found.mean, self.device)
            if accuracy >= self.target and self.density > self.recipe.density_end:
                self.density = max(self.density * self.recipe.reduction, self.recipe.density_end)
                self.target = max(self.target, accuracy)
            else:
                self.target -= self.recipe.target_step
        return dict(
            topk_acceptor=found.acceptor,
            topk_donor=found.donor,
            topk_mean=found.mean,
            validation_density=scores.density,
            core_acceptors=scores.core_share[0],
            core_donors=scores.core_share[1],
        )

    def status(self) -> dict[str, float]:
        return dict(density=self.density, threshold=float(self.model.motifs.main.threshold.mean()))

    def state(self) -> dict:
        return dict(density=self.density, target=self.target)

    def load_state(self, state: dict) -> None:
        self.density, self.target = state["density"], state["target"]

    def finish(self) -> None:
        part = self.model.aggregator if self.recipe.aggregator_alone else None
        if not (self.recipe.branch_points_alone or self.recipe.keep_norms):
            settle(self.model, self.data, self.recipe, self.device, self.rank, part)

    def save_weights(self, folder: str, step: int) -> None:
        save_run(
            folder,
            self.model,
            dict(
                self.identity,
                step=step,
                steps=self.recipe.steps,
                config=self.model.config.to_dict(),
                started_from=self.started_from,
                bound=learnt_of_binding(
                    self.bound.about if self.bound else None,
                    self.started_from.get("bound") if self.started_from else None,
                ),
                density=self.density,
                rbps=[str(n) for n in self.data.motifs["names"]],
            ),
        )


def _check(data: Dataset, recipe: SamRecipe, soft_labels: Sequence[str]) -> None:
    """Raises DatasetError or RecipeError where the dataset has not what the recipe needs."""
    if not data.motifs:
        raise DatasetError(
            "the dataset holds no motifs; make it with: samvar train prepare --motifs FOLDER"
        )
    if not (soft_labels or recipe.label_weight):
        raise RecipeError("label_weight = 0 leaves nothing to learn from without --soft-labels")
    if recipe.density_schedule == "accuracy" and not len(data.genes(VALIDATION)):
        raise RecipeError(
            "density_schedule = 'accuracy' needs validation genes, and the dataset has none: take "
            "'geometric', or prepare it with --validation"
        )


def _check_bound(kind: str, recipe: SamRecipe, bound: str | None) -> None:
    """Raises RecipeError where bins of binding are given to a run that does not learn from them, or
    are missing."""
    if bool(bound) != bool(recipe.bound_weight):
        raise RecipeError(
            "--bound and bound_weight go together: the recipe or the command lacks it"
        )
    if bound and kind != "am":
        raise RecipeError("--bound is of adjusted motifs: fixed ones learn nothing from it")


def _check_left_out(bound: dict, data: Dataset) -> None:
    """Raises RecipeError where bins are of genes that the dataset keeps for validation or test."""
    bare = lambda names: {str(name).removeprefix("chr") for name in names}  # noqa: E731
    kept = [*data.meta.get("validation", []), *data.meta.get("test", [])]
    if taken := sorted(bare(kept) - bare(bound["left_out"])):
        raise RecipeError(
            f"--bound holds genes of {', '.join(taken)}, which the dataset keeps for validation or "
            "test: make it with samvar train bound --leave-out"
        )


def _config(kind: str, recipe: SamRecipe, lssi_channels: int) -> Config:
    """The model's shape."""
    return Config(
        kind=kind,
        channels=recipe.channels,
        attention_dim=recipe.attention_dim,
        lstm_units=recipe.lstm_units,
        stack_widths=recipe.stack_widths,
        lssi_channels=lssi_channels,
        canonical=recipe.canonical,
        core_needed=recipe.core_needed,
        branch_point=recipe.branch_point,
        candidates=recipe.candidates,
        candidates_each=recipe.candidates_each,
        least_share=recipe.least_share,
        faint_candidates=recipe.faint_candidates,
        learnt_motifs=recipe.learnt_motifs,
        learnt_channels=recipe.learnt_channels,
        effect_bumps=recipe.effect_bumps,
        cnn_channels=recipe.cnn_channels,
        inner_channels=recipe.inner_channels,
    )


def _fixed_motifs(data: Dataset) -> FixedMotifs:
    psam, a0, rbp = (torch.from_numpy(data.motifs[k]) for k in ("psam", "a0", "rbp"))
    return FixedMotifs.from_psams(psam, a0, rbp)


def validation_genes(data: Dataset, bases: int) -> np.ndarray:
    """Validation genes in a fixed random order until `bases` are reached."""
    genes = data.genes(VALIDATION)
    genes = genes[np.random.default_rng(0).permutation(len(genes))]
    lengths = data.offsets[genes + 1] - data.offsets[genes]
    return np.sort(genes[: int(np.searchsorted(np.cumsum(lengths), bases)) + 1])
