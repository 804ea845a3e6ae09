"""A first guess of the branch-point model: what looks like one, where branch points lie."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from ..model.sam import ACCEPTOR, BRANCH_POINT, LSSI, LSSI_SPAN, A, one_hot
from .dataset import TRAIN, Dataset

# Shares of A, C, G, T at -3 .. +1 of the branch A: the human consensus yUnAy, in round numbers
# (Mercer et al., Genome Research 2015; Taggart et al., Genome Research 2017)
CONSENSUS = np.array(
    [
        [0.15, 0.40, 0.10, 0.35],
        [0.05, 0.10, 0.05, 0.80],
        [0.30, 0.20, 0.25, 0.25],
        [0.94, 0.02, 0.02, 0.02],
        [0.10, 0.45, 0.10, 0.35],
    ]
)
WHERE = np.arange(-44, -17)  # bases before the acceptor's first exonic base
LEAST = 2.5  # nats of log-odds of a match that counts
STEPS, MATCHES, OTHERS = 600, 256, 2048


def guess_branch_points(core: LSSI, data: Dataset, device: torch.device, seed: int = 0) -> None:
    """Train the branch-point model of `core` to tell the best match of CONSENSUS before each
    acceptor of the train genes from other bases, half of them A. Training goes on from there."""
    model = core.branch_point
    if model is None:
        raise ValueError("the core has no branch-point model")
    rng = np.random.default_rng(seed)
    matches = best_matches(data)
    anywhere = np.flatnonzero(np.repeat(data.splits == TRAIN, np.diff(data.offsets)))
    with_a = anywhere[data.codes[anywhere] == A]
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    before, after = LSSI_SPAN[BRANCH_POINT]
    for _ in range(STEPS):
        drawn = [(matches, MATCHES), (anywhere, OTHERS // 2), (with_a, OTHERS // 2)]
        at = np.concatenate([rng.choice(some, n) for some, n in drawn])
        windows = data.codes.take(at[:, None] + np.arange(-before, after + 1), mode="clip")
        found = model(one_hot(torch.from_numpy(windows).to(device)))[:, 0]
        target = (torch.arange(len(at), device=device) < MATCHES).float()
        loss = F.binary_cross_entropy_with_logits(
            found, target, pos_weight=torch.tensor(4.0, device=device)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        of_a = found[MATCHES + OTHERS // 2 :]
        core.branch_norm.running_mean.copy_(of_a.mean())
        core.branch_norm.running_var.copy_(of_a.var())
        above = core.branch_density / float((data.codes == A).mean())
        normal = core.branch_norm.eval()(of_a[None, None, None])
        core.branch_floor.copy_(normal.quantile(max(1 - above, 0)))
    model.zero_grad()


def best_matches(data: Dataset) -> np.ndarray:
    """Positions in `data.codes` of the base A of the best match before each acceptor of the train
    genes, where it reaches LEAST."""
    gene = np.repeat(np.arange(len(data)), np.diff(data.offsets))
    sites = np.flatnonzero(data.labels == ACCEPTOR)
    sites = sites[(data.splits[gene[sites]] == TRAIN)]
    sites = sites[sites - data.offsets[gene[sites]] > 100]
    log_odds = np.log(np.vstack((CONSENSUS.T, np.full(5, 0.25))) / 0.25)  # (5 codes, 5 places)
    branch = sites[:, None] + WHERE
    codes = data.codes[branch[..., None] + np.arange(-3, 2)]
    score = log_odds[codes, np.arange(5)].sum(2)
    best = score.argmax(1)
    return branch[np.arange(len(sites)), best][score.max(1) >= LEAST]
