"""What a SAM learns from soft labels: the teacher's probabilities, and how they change from one
version of a sequence to the next."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..model.bottleneck import LSSI_FLOOR
from .soft_labels import FollowedSites

MOST_LOG_ODDS = 7.0  # changes beyond a probability of 0.001, or 0.999, count no more
SOFTNESS = 0.5  # nats over which a base at the floor of the core models counts as half above it


def divergence(log_p: torch.Tensor, target: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of the model from the teacher, in nats per 1,000 known bases.

    log_p, target  (N, 3, W): log-probabilities of the model, probabilities of the teacher
    known          (N, W): 1 where the base is known, else 0
    """
    nats = (target * (target.clamp(min=1e-9).log() - log_p)).sum(1)
    return 1000 * (nats * known).sum() / known.sum().clamp(min=1)


def log_odds(log_p: torch.Tensor, sites: FollowedSites) -> torch.Tensor:
    """(S,) log-odds of the sites' own kinds, given log-probabilities (N, 3, W)."""
    row, kind, at = (torch.from_numpy(v).to(log_p.device) for v in sites[:3])
    here = log_p[row, kind, at].float()
    return here - torch.log1p(-here.exp().clamp(max=1 - 1e-6))


def change_error(log_p: torch.Tensor, sites: FollowedSites) -> torch.Tensor:
    """Huber loss of the change of each site's log-odds between the versions of its family.

    Changes are taken from the family's mean, so that every version counts alike, and an offset
    that all versions share costs nothing.
    """
    device = log_p.device
    ours = log_odds(log_p, sites).clamp(-MOST_LOG_ODDS, MOST_LOG_ODDS)
    theirs = torch.from_numpy(sites.log_odds).to(device).float()
    theirs = theirs.clamp(-MOST_LOG_ODDS, MOST_LOG_ODDS)
    _, group = torch.unique(torch.from_numpy(sites.name).to(device), return_inverse=True)
    n = int(group.max()) + 1 if len(group) else 0
    members = torch.zeros(n, device=device).index_add(0, group, torch.ones_like(ours))
    error = ours - theirs
    mean = torch.zeros(n, device=device).index_add(0, group, error) / members
    error = (error - mean[group])[members[group] > 1]
    return F.huber_loss(error, torch.zeros_like(error)) if len(error) else ours.sum() * 0


def core_excess(scores: torch.Tensor, target: float) -> torch.Tensor:
    """By how much the share of bases above the floor exceeds `target`, relative to it, summed over
    the core models; 0 where none does.

    scores  (N, core models, L): log-probabilities before they are floored
    """
    share = torch.sigmoid((scores - LSSI_FLOOR) / SOFTNESS).mean((0, 2))
    return F.relu(share / target - 1).sum()
