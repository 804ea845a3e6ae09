"""The mean of several runs' weights as one model: a "soup" (Wortsman et al., ICML 2022), as fast as
each of them."""

from __future__ import annotations

import json
import os

import torch

from ..errors import RecipeError
from ..files import write
from ..model.bundle import sha256_file
from .bound import learnt_of_binding
from .checkpoint import Checkpoint, load_run, refuse_finished, save_run, settings_of
from .dataset import Dataset
from .recipe import SamRecipe, recipe_from
from .settle import settle

LEARNT_FROM = "started_from", "narrowed", "soft_labels", "bound"  # what a card tells of each run


@torch.no_grad()
def average(
    runs: list[str], data: Dataset, folder: str, device: torch.device, density: float | None = None
) -> None:
    """Write the mean of `runs`, as a finished run of the first one's recipe, to `folder`.

    The runs must share kind, shape, dataset and, unless they were trained along, core sites, and
    should come from one starting point: weights of unrelated runs have no useful mean. Statistics
    of the norms and the thresholds of the sparse layers are those of the mean model on training
    windows, at `density` (that at the first run's end); where all runs kept the norms of their
    start, they are the mean of theirs. Raises RecipeError where the runs do not fit together.
    """
    if len(set(runs)) < len(runs):
        raise RecipeError("a run is given twice")
    kind = load_run(runs[0])[1]["kind"]
    if kind == "lssi":
        raise RecipeError(f"{runs[0]} is a run of core sites; only fm and am runs can be averaged")
    refuse_finished(folder)
    if Checkpoint.exists(folder):
        raise RecipeError(f"{folder} holds a run: choose another folder")
    models, descriptions = zip(*(load_run(r, kind) for r in runs))
    recipes = []
    for run, model, description in zip(runs, models, descriptions):
        recipes.append(settings_of(run))
        same = [description[k] == descriptions[0][k] for k in ("rbps", "data")] + [
            model.config == models[0].config
        ]
        core = zip(model.lssi.parameters(), models[0].lssi.parameters())
        same.append(
            any(r.get("train_core") for r in recipes) or all(torch.equal(a, b) for a, b in core)
        )
        if not all(same) or description["data"] != data.digest():
            raise RecipeError(
                f"{run} and {runs[0]} cannot be averaged: they must share shape, core sites and "
                "the "
                "dataset given with -d"
            )
    states = [m.state_dict() for m in models]
    mean = {
        k: torch.stack([s[k].double() for s in states]).mean(0).to(v.dtype)
        if v.is_floating_point()
        else v
        for k, v in states[0].items()
    }
    model = models[0].to(device)
    model.load_state_dict(mean)
    recipe = recipe_from(recipes[0], SamRecipe)
    density = density or descriptions[0].get("density", recipe.density_end)
    model.motifs.set_density(density, recipe.learnt_density_end)
    model.lssi.branch_density = recipe.branch_density_end
    if not all(r.get("keep_norms") for r in recipes):
        settle(model, data, recipe, device)
    averaged = [
        dict(recipe=recipe, sha256=sha256_file(os.path.join(run, "model.safetensors")))
        | {k: description[k] for k in LEARNT_FROM if description.get(k)}
        for recipe, run, description in zip(recipes, runs, descriptions)
    ]
    learnt = dict(bound=learnt_of_binding(*(d.get("bound") for d in descriptions)))
    os.makedirs(folder, exist_ok=True)
    write(os.path.join(folder, "recipe.json"), json.dumps(recipes[0], indent=1))
    save_run(folder, model, descriptions[0] | learnt | dict(averaged=averaged, density=density))
