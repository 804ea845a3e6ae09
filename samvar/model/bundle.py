"""Weight bundles: a folder with config.json, tensors, CARD.md and a manifest of checksums."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from .. import files
from ..errors import BundleError
from .bottleneck import Layout
from .evidence import Evidence, evidence_of
from .in_vivo import Bound, InVivo, in_vivo_of
from .sam import SAM, Config, FixedMotifs

FOLDER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "weights")
MANIFEST = "manifest.json"
BINDING = "binding"  # the folder among the bundles that holds a model of binding
FORMAT = 1
MOTIF_SITES = "motif sites"  # in metrics.json: per kind, the bases counted and the densities
LEARNT_MOTIFS = "learnt motifs"  # in metrics.json: per kind, what they look like
NEARLY_SILENT = 0.00005  # sites per base of genes


@dataclass(frozen=True)
class Background:
    """`n` alleles in genes, and of each RBP and core site the strongest effects among them,
    descending; under the model of one bundle alone. Counted are effects of at least `least_effect`
    on deltas of at least `least_delta`."""

    n: int
    effects: dict[str, list[float]]
    least_effect: float
    least_delta: float

    def percentile(self, name: str, effect: float, delta: float) -> float | None:
        """Percent of the alleles in which this RBP's strongest effect is smaller than its effect on
        a delta; None where such effects are not counted."""
        if abs(effect) < self.least_effect or delta < self.least_delta:
            return None
        kept = self.effects.get(name, [])
        return 100 * (1 - sum(e >= abs(effect) for e in kept) / self.n)


@dataclass(frozen=True)
class LearntMotif:
    """What a motif without a protein of its own looks like: the `consensus` of its sites (IUPAC, 5'
    to 3'), and the proteins whose affinities tell these sites from any sequence best, with the area
    under the ROC curve, the best first. `bound`: the proteins that bind its sites in cells."""

    consensus: str
    nearest: tuple[tuple[str, float], ...]
    bound: tuple[Bound, ...] = ()

    @property
    def text(self) -> str:
        """In words."""
        proteins = ", ".join(f"{name} ({area:.2f})" for name, area in self.nearest)
        told = f"learnt, no known protein; sites {self.consensus or 'N'}; most like {proteins}"
        in_cells = ", ".join(b.text for b in self.bound)
        return f"{told}; bound in cells by {in_cells}" if self.bound else told


@dataclass(frozen=True)
class Bundle:
    """Trained models of one kind (am or fm), one per seed, in evaluation mode.

    `flank` is F, the bases on either side of the compared positions that the LSTM sees. `sha256` is
    of all that the scores depend on (`identity`). `background`: effects of random variants (`samvar
    train background`), `evidence`: how sure a score is, `calibration`: the temperature, relative to
    the models' own, at which site probabilities are shares of true sites among validation genes;
    None where the bundle has none for these models. `learnt`: what the motifs without a protein
    look like, by name; of those with hardly any sites nothing is known. `in_vivo`: what binds the
    sites of each motif in cells, {} where that was not measured.
    """

    name: str
    kind: str
    models: list[SAM]
    seeds: list[int]
    rbps: list[str]
    flank: int
    sha256: str
    folder: str
    background: Background | None = None
    families: dict[str, str] = field(default_factory=dict)  # RBP -> the proteins it stands for
    silent: frozenset[str] = frozenset()  # motifs with hardly any sites in genes
    evidence: Evidence | None = None
    calibration: float | None = None
    learnt: dict[str, LearntMotif] = field(default_factory=dict)
    in_vivo: dict[str, InVivo] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        """What the channels of the models' bottleneck are."""
        model = self.models[0]
        return Layout.of(model.core, self.rbps, model.motifs.channels)


def sha256_file(path: str) -> str:
    """Hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def build(config: dict, state: dict[str, torch.Tensor]) -> SAM:
    """A SAM of shape `config` with the tensors of `state` (any float precision), in evaluation
    mode, fp32."""
    fixed = FixedMotifs(state["motifs.fixed.log_psam"].float(), state["motifs.fixed.mix"].float())
    model = SAM(Config(**config), fixed)
    model.load_state_dict(state)
    return model.eval()


def bundled() -> list[str]:
    """Names of the bundles that come with samvar."""
    if not os.path.isdir(FOLDER):
        return []
    return sorted(e.name for e in os.scandir(FOLDER) if e.is_dir() and e.name != BINDING)


def load_bundle(name: str) -> Bundle:
    """`name`: a bundled name or a folder, with :fm or :am appended for one kind (else am where
    there is one).

    Raises BundleError when the bundle is not there, incomplete, or differs from its manifest.
    """
    place, _, kind = name.partition(":") if name.endswith((":am", ":fm")) else (name, "", "")
    folder = os.path.join(FOLDER, place) if place in bundled() else place
    if not os.path.isfile(os.path.join(folder, MANIFEST)):
        raise BundleError(
            f"no weight bundle {place!r}; bundled: {', '.join(bundled()) or 'none'} (:am or :fm "
            "behind the name for one of its kinds); or give a folder"
        )
    verify(folder)
    try:
        with open(os.path.join(folder, "config.json")) as handle:
            config = json.load(handle)
        if config["format"] != FORMAT:
            raise BundleError(
                f"bundle {folder} has format {config['format']}, this samvar reads {FORMAT}"
            )
        kind = kind or ("am" if "am" in config["kinds"] else "fm")
        if kind not in config["kinds"]:
            raise BundleError(
                f"bundle {place} has no {kind} model, only {', '.join(config['kinds'])}: `paper` "
                "has fm and am (--model paper)"
            )
        members, metrics = config["kinds"][kind], metrics_of(folder)
        models = [build(m["config"], load_file(os.path.join(folder, m["file"]))) for m in members]
        sha256 = identity(config, kind)
        in_vivo = in_vivo_of(folder, kind, sha256)
        return Bundle(
            config["name"],
            kind,
            models,
            [m["seed"] for m in members],
            config["rbps"],
            config["flank"],
            sha256,
            folder,
            background_of(folder, kind, sha256),
            {motif["name"]: motif["family"] for motif in config.get("data", {}).get("motifs", [])},
            frozenset(nearly_silent(metrics, kind)),
            evidence_of(folder, kind, sha256),
            calibration_of(metrics, kind, sha256),
            learnt_of(metrics, kind, in_vivo),
            in_vivo,
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as e:
        raise BundleError(f"cannot load bundle {folder}: {e}") from e


def metrics_of(folder: str) -> dict:
    """What metrics.json of a bundle's folder says; nothing where there is none."""
    return files.read_json(os.path.join(folder, "metrics.json"))


def nearly_silent(metrics: dict, kind: str) -> list[str]:
    """Motifs of the models of a kind with sites at fewer than NEARLY_SILENT of the bases, by
    metrics.json; none where it does not say."""
    density = metrics.get(MOTIF_SITES, {}).get(kind, {}).get("density", {})
    return [name for name, share in density.items() if share < NEARLY_SILENT]


def learnt_of(metrics: dict, kind: str, in_vivo: dict[str, InVivo]) -> dict[str, LearntMotif]:
    """What the learnt motifs of a kind look like, by metrics.json."""
    found = metrics.get(LEARNT_MOTIFS, {}).get(kind, {})
    return {
        name: LearntMotif(
            m["consensus"],
            tuple((protein, area) for protein, area in m["nearest"]),
            in_vivo[name].bound if name in in_vivo else (),
        )
        for name, m in found.items()
    }


def calibration_of(metrics: dict, kind: str, sha256: str) -> float | None:
    """The temperature of calibrated probabilities by metrics.json; None where it has none of the
    models with this `identity`."""
    found = metrics.get(f"calibration, {kind}", {})
    return float(found["temperature"]) if found.get("sha256") == sha256 else None


def identity(config: dict, kind: str) -> str:
    """sha256 of what the scores of one kind depend on, by config.json: checksums of the tensors,
    shapes, names of the RBPs, and flank."""
    models = [(m["sha256"], m["config"]) for m in config["kinds"][kind]]
    content = json.dumps(
        dict(flank=config["flank"], rbps=config["rbps"], models=models), sort_keys=True
    )
    return hashlib.sha256(content.encode()).hexdigest()


def background_file(folder: str, kind: str) -> str:
    return os.path.join(folder, f"background.{kind}.json")


def background_of(folder: str, kind: str, sha256: str) -> Background | None:
    """The background of the models with this `identity`, None where the folder has none of them."""
    content = files.read_json(background_file(folder, kind))
    if content.get("sha256") != sha256:
        return None
    return Background(*(content[k] for k in ("n", "effects", "least_effect", "least_delta")))


def write_manifest(folder: str) -> None:
    """Checksums of every other file of the bundle."""
    names = sorted(n for n in os.listdir(folder) if n != MANIFEST)
    content = {n: sha256_file(os.path.join(folder, n)) for n in names}
    files.write(os.path.join(folder, MANIFEST), json.dumps(content, indent=1) + "\n")


def verify(folder: str) -> None:
    """Raises BundleError when a file of the manifest is missing or differs."""
    try:
        with open(os.path.join(folder, MANIFEST)) as handle:
            manifest = json.load(handle)
        for name, expected in manifest.items():
            if sha256_file(os.path.join(folder, name)) != expected:
                raise BundleError(
                    f"{os.path.join(folder, name)} is not the file its manifest names (sha256 "
                    "differs): "
                    f"damaged or edited; reinstall samvar, or make the bundle again"
                )
    except (OSError, ValueError, AttributeError) as e:
        raise BundleError(f"cannot verify bundle {folder}: {e}") from e
