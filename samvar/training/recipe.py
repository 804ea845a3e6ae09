"""Training settings: a TOML file -> a frozen dataclass. Unknown keys are errors."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, TypeVar

from ..errors import RecipeError
from ..files import text_lines

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")
CONTEXTS = 80, 400, 2000, 10_000  # bases that a cnn sees, of one to four groups of units


def at_least(recipe: object, least: int, *names: str) -> None:
    """Raises RecipeError where one of these settings is less than `least`."""
    for name in names:
        if getattr(recipe, name) < least:
            raise RecipeError(f"{name} must be at least {least}")


def keep_lengths(recipe: object, *names: str) -> None:
    """Make tuples of these settings. Raises RecipeError where one is no list of lengths."""
    for name in names:
        lengths = tuple(getattr(recipe, name))
        object.__setattr__(recipe, name, lengths)
        if not lengths or not all(type(w) is int and w > 0 for w in lengths):
            raise RecipeError(f"{name} must be one or more lengths, in bases")


def keep_names(recipe: object, *names: str) -> None:
    """Make tuples of these settings. Raises RecipeError where one is no list of names."""
    for name in names:
        values = tuple(getattr(recipe, name))
        object.__setattr__(recipe, name, values)
        if not all(isinstance(value, str) for value in values):
            raise RecipeError(f"{name} must be a list of names")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings shared by every training command.

    Learning rate: linear warm-up over `warmup` steps, then a cosine down to `lr_end` at `steps`.
    `mean_from`: after this share of the steps weights are averaged; the run ends with their mean
    (SWA; Izmailov et al., UAI 2018), which wants a learning rate that stays up (`lr_end`). Until
    its end a run saves the weights of the last step.
    """

    steps: int
    seed: int = 1
    optimizer: str = "adamw"  # or "adam"
    lr: float = 1e-3
    lr_end: float = 0.0
    mean_from: float = 1.0  # of the steps; 1: the last step's weights
    weight_decay: float = 0.01
    warmup: int = 100
    clip: float = 1.0  # gradient norm; 0: no clipping
    precision: str = "fp32"  # or "bf16": autocast; or "tf32": on a GPU, products in TF32
    validate_every: int = 500  # steps
    validate_bases: int = (
        1_000_000  # validation genes are taken in a fixed random order until so many bases
    )
    checkpoint_every: int = 200  # steps

    def __post_init__(self):
        choices = dict(optimizer=("adamw", "adam"), precision=("fp32", "tf32", "bf16"))
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise RecipeError(
                    f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}"
                )
        at_least(self, 1, "steps", "validate_every", "checkpoint_every")
        at_least(self, 0, "seed", "lr", "lr_end", "weight_decay", "warmup", "clip")
        at_least(self, 0, "validate_bases")
        if not 0 <= self.mean_from <= 1:
            raise RecipeError("mean_from must lie between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class LssiRecipe(Recipe):
    """`samvar train lssi`: numbers of examples a step, each kind weighted by what it stands for."""

    channels: int = 100
    sites: int = 512  # true sites
    decoys: int = 3072  # GT or AG without a site
    others: int = 512  # any other base

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "channels", "sites", "decoys", "others")


@dataclass(frozen=True, kw_only=True)
class CnnRecipe(Recipe):
    """`samvar train cnn`: the dilated residual network of SpliceAI and OpenSpliceAI."""

    context: int = 400  # bases, both sides together, that a probability depends on
    channels: int = 32
    batch_bases: int = 18_000  # scored bases a step (and rank)
    windows: tuple[int, ...] = (1125, 2250)  # scored lengths, one drawn a step
    site_share: float = 0.8  # windows drawn around a site, the rest anywhere

    def __post_init__(self):
        super().__post_init__()
        keep_lengths(self, "windows")
        at_least(self, 1, "channels", "batch_bases")
        if self.context not in CONTEXTS:
            raise RecipeError(f"context must be one of {', '.join(map(str, CONTEXTS))}")
        if not 0 <= self.site_share <= 1:
            raise RecipeError("site_share must lie between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class BindingRecipe(Recipe):
    """`samvar train binding`: a network of in-vivo binding, learnt from peaks of CLIP.

    Lengths are bases. `extend5`: peaks are longer by so much at their 5' end, where the crosslink
    is. A bin is bound where peaks hold half of it or more. `controls`: for each bound bin and
    protein. `region_channels` 0: no region types; `residual`: with the block of ResidualBind;
    `proteins`: these alone, none: all with `least` bound bins in train genes.
    """

    validation: tuple[str, ...] = ("chr1", "chr3")  # contigs
    held_out: tuple[str, ...] = ("chr5", "chr7", "chr9")  # contigs that are not read
    held_out_genes: tuple[str, ...] = ()  # nor is any gene that lies over one of them
    window: int = 150
    bin: int = 50
    extend5: int = 50
    controls: int = 2
    least: int = 100
    proteins: tuple[str, ...] = ()
    batch: int = 256  # examples a step, half of them bound by some protein
    channels: int = 64
    region_channels: int = 16
    hidden: int = 128
    residual: bool = False
    dropout: float = 0.3

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "bin", "controls", "least", "channels", "hidden")
        at_least(self, 2, "batch")
        at_least(self, 0, "extend5", "region_channels")
        if self.window < self.bin or (self.window - self.bin) % 2:
            raise RecipeError("window must be bin and an even number of bases more")
        if not 0 <= self.dropout < 1:
            raise RecipeError("dropout must lie between 0 and 1")
        keep_names(self, "validation", "held_out", "held_out_genes", "proteins")
        if both := sorted(set(self.validation) & set(self.held_out)):
            raise RecipeError(f"{', '.join(both)}: both validation and held_out")


@dataclass(frozen=True, kw_only=True)
class ProbesRecipe(Recipe):
    """`samvar train probes`: intensities of RNA probes, by the network of ResidualBind.

    `normalise`: clip (at the 99.9th percentile) or log (of what lies above the smallest); then
    each experiment's mean becomes 0, its standard deviation 1. `experiments`: these alone, none:
    all with `least` intensities in either set of probes. `kmer`: length of the patterns whose
    global importance is told, over `backgrounds` probes.
    """

    experiments: tuple[str, ...] = ()
    normalise: str = "clip"  # or "log"
    held_out: float = 0.1  # share of the probes of set A that are validated on
    least: int = 1000
    batch: int = 256  # probes a step
    channels: int = 96
    width: int = 11  # bases that a filter of the first layer sees
    pool: int = 10
    hidden: int = 256
    dropout: float = 0.3
    kmer: int = 7
    backgrounds: int = 20

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "channels", "width", "pool", "hidden", "kmer")
        at_least(self, 2, "least", "batch", "backgrounds")
        if self.normalise not in ("clip", "log"):
            raise RecipeError(f"normalise must be clip or log, not {self.normalise!r}")
        if not (0 < self.held_out < 1 and 0 <= self.dropout < 1):
            raise RecipeError("held_out must lie strictly between 0 and 1, dropout may be 0")
        keep_names(self, "experiments")


@dataclass(frozen=True, kw_only=True)
class NfmRecipe(Recipe):
    """`samvar train nfm`: a neural motif of one protein, learnt from its reads.

    `most`: so many reads of each file, from its start. `held_out`: share of the reads that are
    validated on, and of those that are tested. `kmer`: length of the patterns whose global
    importance is told, over `backgrounds` reads.
    """

    most: int = 1_000_000
    held_out: float = 0.1
    batch: int = 512  # reads a step, half of them bound
    channels: int = 32
    kmer: int = 6
    backgrounds: int = 20

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "most", "channels", "kmer")
        at_least(self, 2, "batch", "backgrounds")
        if not 0 < self.held_out < 0.5:
            raise RecipeError("held_out must lie strictly between 0 and 0.5")


@dataclass(frozen=True, kw_only=True)
class EffectsRecipe(Recipe):
    """What is learnt from a teacher's effects: sites, and what each does by its distance."""

    density_end: float  # share of bases with a site
    density_start: float = 0.2
    density_until: float = 0.5  # share of the steps after which density_end is reached
    channels: int = 64  # width of the network that finds sites
    bumps: int = 12  # of the RNA maps, as `effect_bumps` of the model that takes the sites
    places: int = 700  # substituted bases a step, each read with one splice site
    held_out: float = 0.05  # share of the windows that are validated on

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "channels", "places")
        at_least(self, 2, "bumps")
        if not 0 < self.density_end <= self.density_start <= 1:
            raise RecipeError("0 < density_end <= density_start <= 1 must hold")
        if not (0 <= self.density_until <= 1 and 0 < self.held_out < 1):
            raise RecipeError("density_until and held_out must lie between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class MotifRecipe(EffectsRecipe):
    """`samvar train motifs`: motifs without a protein. Densities are each motif's."""

    density_end: float = 0.02
    motifs: int = 12
    near: int = 60  # bases from the site within which they are drawn most often
    exonic: bool = False  # from effects on the exon's side of a site alone

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "motifs", "near")


@dataclass(frozen=True, kw_only=True)
class BranchPointRecipe(EffectsRecipe):
    """`samvar train branch-points`. `channels`: of its core sites, as in the model that takes
    them."""

    density_end: float = 0.012
    channels: int = 100
    places: int = 256
    windows: int = 12  # a step, in which sites are counted

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "windows")


@dataclass(frozen=True, kw_only=True)
class SamRecipe(Recipe):
    """`samvar train fm` and `samvar train am`."""

    channels: int = 64
    attention_dim: int = 32
    lstm_units: int = 40
    stack_widths: tuple[int, ...] = (7, 7, 7, 7)  # of the aggregator's residual units
    batch_bases: int = 18_000  # scored bases a step (and rank)
    windows: tuple[int, ...] = (1125, 2250)  # scored lengths, one drawn a step
    site_share: float = 0.8  # windows drawn around a site; 0: plain tiles as in the paper
    decoy_share: float = 0.0  # windows drawn around strong decoys of the core sites
    mutate: float = 0.0  # share of bases replaced at random, away from sites
    indels: float = (
        0.0  # probability that a window loses, and that it receives, a stretch away from sites
    )
    moved: float = 0.0  # probability that a stretch away from sites stands elsewhere in its window
    train_core: bool = False  # the core splice-site models, too, which else stay as they are
    # Learning rate of core sites, learnt motifs and aggregator over lr, that of the adjustment
    pace_of_rest: float = 1.0
    # The branch-point model and what reads its channel, and nothing else; needs train_core
    branch_points_alone: bool = False
    # Norms keep the statistics of the start: a batch of a few windows says too little of them
    keep_norms: bool = False
    follow: float = 0.1  # of the way that a threshold moves to a batch's quantile
    # The aggregator alone, the bottleneck staying that of the start; from random weights, or with
    # keep_norms from the start's own
    aggregator_alone: bool = False
    motif_dropout: float = 0.0  # share of (window, RBP) whose sites are silenced
    density_schedule: str = "geometric"  # or "accuracy"
    density_start: float = 0.05
    density_end: float = 0.0017
    density_until: float = 0.4  # geometric: share of the steps after which density_end is reached
    target: float = 85.0  # accuracy: validation top-k that allows the next reduction ...
    target_step: float = 1.0  # ... which falls by this much at every validation without one
    reduction: float = 0.75  # accuracy: factor of each reduction
    # What the paper's model does not have: see `model.sam.Config`
    canonical: bool = False
    core_needed: bool = False
    branch_point: bool = False
    candidates: float = 2.0
    candidates_each: bool = False
    least_share: float = 0.0
    faint_candidates: float = 0.0
    learnt_motifs: int = 0
    learnt_channels: int = 64
    effect_bumps: int = 0
    cnn_channels: int = 0
    inner_channels: int = 0
    learnt_density_start: float = 0.01  # of the learnt motifs, in step with the others' density
    learnt_density_end: float = 0.0011
    branch_density_start: float = 0.05  # share of bases with a branch-point score, likewise
    branch_density_end: float = 0.012
    # Learning from a teacher (--soft-labels)
    label_weight: float = 1.0  # of the annotation's labels; 0: learn from the teacher alone
    soft_families: int = 4  # families a step, with all their versions
    soft_windows: int = 4  # windows without edited versions a step
    soft_width: int = 440  # scored bases in the middle of each
    change_weight: float = 2.0  # of the changes of log-odds, against the divergence
    core_share: float = 0.0  # share of bases above which core scores cost; 0: they never do
    core_weight: float = 1.0
    # Learning from binding in cells (--bound)
    bound_weight: float = 0.0  # of what motifs miss of it
    bound_pairs: int = 48  # bound bins of each motif a step, each with a control

    def __post_init__(self):
        super().__post_init__()
        keep_lengths(self, "windows", "stack_widths")
        at_least(self, 1, "channels", "attention_dim", "lstm_units", "batch_bases")
        shares = ("site_share", "decoy_share", "mutate", "indels", "moved", "motif_dropout")
        if (
            not all(0 <= getattr(self, name) <= 1 for name in shares)
            or self.site_share + self.decoy_share > 1
        ):
            raise RecipeError(
                f"{', '.join(shares)} must lie between 0 and 1, site_share + decoy_share too"
            )
        if self.inner_channels and (self.cnn_channels or self.inner_channels >= self.channels):
            raise RecipeError("inner_channels must be less than channels, and 0 with cnn_channels")
        if self.density_schedule not in ("geometric", "accuracy"):
            raise RecipeError("density_schedule must be geometric or accuracy")
        if not 0 < self.density_end <= self.density_start <= 1:
            raise RecipeError("0 < density_end <= density_start <= 1 must hold")
        if not (0 <= self.density_until <= 1 and 0 < self.reduction < 1):
            raise RecipeError("density_until must lie between 0 and 1, reduction strictly between")
        at_least(self, 0, "faint_candidates", "learnt_motifs", "effect_bumps", "soft_families")
        at_least(self, 0, "cnn_channels", "inner_channels")
        at_least(self, 0, "soft_windows", "label_weight", "change_weight", "core_weight")
        at_least(self, 0, "bound_weight", "pace_of_rest")
        at_least(self, 1, "candidates", "soft_width", "bound_pairs", "learnt_channels")
        if not 0 < self.follow <= 1:
            raise RecipeError("follow must lie between 0 and 1")
        if not 0 <= self.least_share < 1:
            raise RecipeError("least_share must be 0 or between 0 and 1")
        for kind in ("learnt", "branch"):
            start, end = (getattr(self, f"{kind}_density_{when}") for when in ("start", "end"))
            if not 0 < end <= start <= 1:
                raise RecipeError(f"0 < {kind}_density_end <= {kind}_density_start <= 1 must hold")
        if self.branch_points_alone and not (self.branch_point and self.train_core):
            raise RecipeError("branch_points_alone needs branch_point and train_core")
        if self.branch_points_alone and self.bound_weight:
            raise RecipeError("branch_points_alone trains no motifs: without bound_weight")
        if self.branch_points_alone and self.weight_decay:
            raise RecipeError("branch_points_alone needs weight_decay = 0: it would move the rest")
        if self.aggregator_alone and (self.train_core or self.bound_weight):
            raise RecipeError(
                "aggregator_alone trains no core sites and no motifs: without "
                "train_core and bound_weight"
            )
        if not 0 <= self.core_share < 1:
            raise RecipeError("core_share must lie between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class TeachRecipe:
    """`samvar train teach`: which windows the teacher labels, and how they are edited. Shares of
    edited versions are relative to each other; `anywhere` and `antisense` are shares of all
    families."""

    families: int
    seed: int = 1
    split: str = "train"
    width: int = 600  # scored bases of a window
    jitter: int = 60  # of the exon's middle about the window's
    versions: int = 5  # edited versions of a family
    single: bool = False  # single substitutions spread over the regions, as the yardstick has them
    effects: bool = False  # of all substitutions at once, by the teacher's gradient: no edits
    anywhere: float = 0.2  # families anywhere in the genes, unedited
    antisense: float = 0.05  # the same, read from the other strand
    substitutions: float = 0.6
    most_substitutions: int = 8
    stretches: float = 0.15  # four to ten neighbouring bases replaced at random
    planted: float = 0.1  # a motif's best sequence
    indels: float = 0.1
    recombined: float = 0.05  # a piece of another exon
    exchanged: float = 0.0  # a piece beside a site, of exon or intron, by that of another site
    knocked: float = 0.0  # the sites of one RBP, by its matrix, with other bases
    shard: int = 64  # families of a file

    def __post_init__(self):
        at_least(self, 1, "families", "width", "most_substitutions", "shard")
        at_least(self, 0, "seed", "jitter", "versions", "substitutions", "stretches", "planted")
        at_least(self, 0, "indels", "recombined", "exchanged", "knocked", "anywhere", "antisense")
        if self.anywhere + self.antisense > 1:
            raise RecipeError("anywhere + antisense must not be more than 1")
        if self.effects and (self.single or self.versions):
            raise RecipeError("effects are of unedited windows: versions must be 0, single false")
        edits = (
            "substitutions",
            "stretches",
            "planted",
            "indels",
            "recombined",
            "exchanged",
            "knocked",
        )
        if self.versions and not self.single and not any(getattr(self, name) for name in edits):
            raise RecipeError(f"of {', '.join(edits)} at least one must be above 0")
        if self.split not in ("train", "validation"):
            raise RecipeError(f"split must be train or validation, not {self.split!r}")


def between(start: float, end: float, done: float) -> float:
    """From `start` to `end` on a geometric scale; `done` from 0 to 1."""
    return start * (end / start) ** done


def load_recipe(path: str, kind: type[R]) -> R:
    """Read a recipe file. Raises RecipeError on unreadable TOML, unknown keys and wrong types."""
    try:
        values = tomllib.loads("\n".join(text_lines(path)))
    except OSError as e:
        raise RecipeError(f"cannot read recipe {path}: {e.strerror or e}") from e
    except tomllib.TOMLDecodeError as e:
        raise RecipeError(f"recipe {path} is not TOML: {e}") from e
    return recipe_from(values, kind, path)


def load_json_recipe(path: str, kind: type[R]) -> R:
    """The recipe that a run's model.json holds. Raises RecipeError where it holds none."""
    try:
        with open(path) as handle:
            values = json.load(handle)["recipe"]
    except (OSError, ValueError, KeyError) as e:
        raise RecipeError(f"{path} holds no recipe: {e!r}") from e
    return recipe_from(values, kind, path)


def recipe_from(values: dict, kind: type[R], path: str = "recipe") -> R:
    """Settings -> recipe; see `load_recipe`."""
    types = {f.name: str(f.type) for f in fields(kind)}
    if unknown := sorted(set(values) - set(types)):
        raise RecipeError(
            f"{path}: unknown key {', '.join(unknown)}; known: {', '.join(sorted(types))}"
        )
    allowed: dict[str, tuple[type, ...]] = dict(
        int=(int,), float=(int, float), str=(str,), bool=(bool,)
    )
    for key, value in values.items():
        expected = allowed.get(types[key], (list, tuple))
        if not isinstance(value, expected) or isinstance(value, bool) != (expected == (bool,)):
            raise RecipeError(f"{path}: {key} must be of type {types[key]}, not {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise RecipeError(f"{path}: {key} must be a finite number, not {value!r}")
    needed = [f.name for f in fields(kind) if f.default is MISSING]
    if missing := [name for name in needed if name not in values]:
        raise RecipeError(f"{path}: {', '.join(missing)} is missing")
    return kind(**values)
