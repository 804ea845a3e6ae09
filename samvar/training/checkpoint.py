"""A run on disk: checkpoint.pt, with all that it needs to go on, and its weights, model.safetensors
and model.json, rewritten with every checkpoint."""

from __future__ import annotations

import json
import os
import pickle
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields

import torch
import torch.nn as nn
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import BundleError, RecipeError
from ..files import complete_file, read_json, write
from ..model.bundle import MANIFEST, build, load_bundle, sha256_file
from ..model.sam import LSSI, SAM
from .recipe import Recipe

UNREADABLE = (OSError, RuntimeError, ValueError, LookupError, EOFError, TypeError)


@dataclass(frozen=True)
class Checkpoint:
    """Everything that an interrupted run needs to go on as if it had not been interrupted.

    step      steps done, of `recipe`
    seconds   time that they took
    total, count  sum of the losses since the last validation, and their number
    recipe    its settings, as JSON gives them back (`plain`)
    identity  what it was trained on and started from: kind, checksums, number of ranks
    model, optimizer, task  their states
    mean      state of the mean of the weights, where the recipe asks for one
    """

    step: int
    seconds: float
    total: float
    count: int
    recipe: dict
    identity: dict
    model: dict
    optimizer: dict
    task: dict
    mean: dict = field(default_factory=dict)

    @staticmethod
    def path(folder: str) -> str:
        return os.path.join(folder, "checkpoint.pt")

    @classmethod
    def exists(cls, folder: str) -> bool:
        return os.path.exists(cls.path(folder))

    @classmethod
    def load(cls, folder: str) -> Checkpoint:
        """Raises RecipeError when it cannot be read."""
        path = cls.path(folder)
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            return cls(**{f.name: saved[f.name] for f in fields(cls) if f.name in saved})
        except (*UNREADABLE, pickle.UnpicklingError) as e:
            raise RecipeError(
                f"{path} is no readable checkpoint ({e}): remove it, or choose another folder"
            ) from e

    def save(self, folder: str) -> None:
        with complete_file(self.path(folder)) as part:
            torch.save({f.name: getattr(self, f.name) for f in fields(self)}, part)

    def check(self, folder: str, recipe: Recipe, identity: dict) -> None:
        """Raises RecipeError unless it is of a run of this recipe and identity. Settings that it
        does not know are as by default; of an identity, as they are now."""
        path = self.path(folder)
        if plain(type(recipe)(steps=1)) | self.recipe != plain(recipe):
            raise RecipeError(f"{path} was made with another recipe: {self.recipe}")
        others = [key for key, v in identity.items() if self.identity.get(key, v) != v]
        if others:
            raise RecipeError(
                f"{path} differs in its {', '.join(others)}: go on with the same, or choose "
                "another folder"
            )


def plain(recipe: Recipe) -> dict:
    """Its settings, as JSON gives them back."""
    return json.loads(json.dumps(asdict(recipe)))


def save_run(folder: str, model: nn.Module, description: dict) -> None:
    """`description` says the kind (lssi, motifs, cnn, probes, nfm, fm, am), the shape and, for SAM
    models, the names of the RBPs."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    with complete_file(os.path.join(folder, "model.safetensors")) as part:
        save_file(tensors, part)
    write(os.path.join(folder, "model.json"), json.dumps(description, indent=1))


def refuse_finished(folder: str) -> None:
    """Raises RecipeError where a bundle, a finished or an averaged run lies in `folder`: none is
    written over."""
    finished = os.path.exists(os.path.join(folder, MANIFEST))
    with suppress(FileNotFoundError), open(os.path.join(folder, "model.json")) as handle:
        description = json.load(handle)
        finished = "averaged" in description or description["step"] == description["steps"]
    if finished:
        raise RecipeError(f"{folder} holds finished weights: choose another folder")


def settings_of(folder: str) -> dict:
    """What recipe.json of a run holds. Raises RecipeError where it does not."""
    path = os.path.join(folder, "recipe.json")
    try:
        with open(path) as handle:
            settings: dict = json.load(handle)
    except (OSError, ValueError) as e:
        raise RecipeError(f"{path}, which belongs to the run, cannot be read: {e}") from e
    return settings


def read_run(
    folder: str, kind: str | None = None, unfinished: bool = False
) -> tuple[dict, dict[str, torch.Tensor]]:
    """(description, tensors) of a finished run of this kind, or of any; `unfinished`: or of one
    that is not.

    Raises RecipeError when the folder holds no weights, or not those of such a run.
    """
    try:
        with open(os.path.join(folder, "model.json")) as handle:
            description = json.load(handle)
        state = load_file(os.path.join(folder, "model.safetensors"))
    except (OSError, ValueError, SafetensorError) as e:
        raise RecipeError(
            f"{folder} holds no trained weights ({e}); is it the folder of a samvar train run?"
        ) from e
    if kind and description["kind"] != kind:
        raise RecipeError(f"{folder} is a run of kind {description['kind']}, not {kind}")
    if not unfinished and description["step"] < description["steps"]:
        raise RecipeError(
            f"{folder} is at step {description['step']} of {description['steps']}: go on with "
            "--resume"
        )
    return description, state


def load_run(
    folder: str, kind: str | None = None, unfinished: bool = False
) -> tuple[SAM | LSSI, dict]:
    """(model in evaluation mode, its description) of a run as `read_run` has it. Raises
    RecipeError, too, where it is one of learnt motifs or branch points alone, or of a cnn."""
    description, state = read_run(folder, kind, unfinished)
    if description["kind"] == "branch_points":
        raise RecipeError(
            f"{folder} is a run of branch points alone: `train am --branch-points` takes it"
        )
    if description["kind"] == "motifs":
        raise RecipeError(f"{folder} is a run of motifs alone: `train am --learnt-motifs` takes it")
    if description["kind"] == "cnn":
        raise RecipeError(f"{folder} is a run of a cnn: `train teach --teacher` takes it")
    if description["kind"] == "binding":
        raise RecipeError(f"{folder} is a run of a model of binding: annotate --binding takes it")
    if description["kind"] == "probes":
        raise RecipeError(f"{folder} is a run of a model of probes: only train probes takes it")
    if description["kind"] == "nfm":
        raise RecipeError(f"{folder} is a run of a neural motif: `prepare --motifs` takes its PSAM")
    if description["kind"] == "lssi":
        model = LSSI(description["channels"])
        model.load_state_dict(state)
        return model.eval(), description
    return build(description["config"], state), description


def core_sites(model: SAM | LSSI) -> LSSI:
    """Those of any run's model."""
    return model if isinstance(model, LSSI) else model.lssi


def sha256_of(about: dict | None) -> str | None:
    """The checksum in what `load_start` says; None of None."""
    return about["sha256"] if about else None


def load_start(place: str, kind: str | None = None) -> tuple[SAM | LSSI, dict]:
    """A finished run's folder, or a bundle of one seed (:fm or :am appended chooses the kind) ->
    (model, what it is: name, kind, sha256 of the tensors or of the bundle, names of its RBPs, and,
    where it has learnt of binding in cells, what of, and what it was narrowed from). With `kind`
    only a run of that kind will do. Raises RecipeError where it is none of these."""
    if kind or os.path.exists(os.path.join(place, "model.json")):
        model, description = load_run(place, kind)
        sha256 = sha256_file(os.path.join(place, "model.safetensors"))
        return model, dict(
            name=os.path.basename(os.path.abspath(place)),
            kind=description["kind"],
            sha256=sha256,
            rbps=description.get("rbps", []),
            **_besides(description),
        )
    try:
        bundle = load_bundle(place)
    except BundleError as e:
        raise RecipeError(
            f"{place} is neither the folder of a samvar train run nor a bundle ({e})"
        ) from e
    if len(bundle.models) > 1:
        raise RecipeError(f"bundle {place} has {len(bundle.models)} models; a run starts from one")
    return bundle.models[0], dict(
        name=f"{bundle.name}:{bundle.kind}",
        kind=bundle.kind,
        sha256=bundle.sha256,
        rbps=bundle.rbps,
        **_besides(read_json(os.path.join(bundle.folder, "config.json"))["kinds"][bundle.kind][0]),
    )


def _besides(description: dict) -> dict:
    return {key: description[key] for key in ("bound", "narrowed") if description.get(key)}
