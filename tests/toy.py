"""Small models, genomes and files whose answers can be worked out by hand."""

import json
import os

import numpy as np
import torch
from safetensors.torch import save_file

from samvar.model.bundle import sha256_file, write_manifest
from samvar.model.sam import SAM, Config, FixedMotifs, one_hot

RBPS = ["AAA1", "BBB2", "CCC3"]


def fixed_motifs(seed=0):
    """Three RBPs with two, one and one PSAM, random affinities."""
    rng = np.random.default_rng(seed)
    psam = rng.uniform(0.01, 1, (4, 11, 4)) ** 2
    psam /= psam.max(2, keepdims=True)
    return FixedMotifs.from_psams(
        torch.tensor(psam), torch.tensor([1.0, 0.5, 2.0, 3.0]), torch.tensor([0, 0, 1, 2])
    )


def model(kind="am", seed=0, cls=SAM, **config):
    """A tiny SAM with random weights, norms that have seen data, and a threshold that leaves about
    5 % of values."""
    torch.manual_seed(seed)
    shape = (
        dict(
            channels=8,
            lssi_channels=8,
            attention_reach=12,
            attention_dim=4,
            lstm_units=4,
            stack_widths=(3, 3),
            adjust_widths=(3, 3, 1),
        )
        | config
    )
    m = cls(Config(kind=kind, **shape), fixed_motifs())
    for p in m.lssi.parameters():
        p.data.mul_(3)
    m.motifs.set_density(0.05, learnt=0.2)
    m.lssi.branch_density = 0.2
    with torch.no_grad():
        for _ in range(60):
            m(sequence(4, 200))
    return m.eval()


def sequence(n, length, seed=None):
    """Random one-hot (n, 4, length)."""
    g = torch.Generator().manual_seed(seed) if seed is not None else None
    return (
        torch.nn.functional.one_hot(torch.randint(0, 4, (n, length), generator=g), 4)
        .transpose(1, 2)
        .float()
    )


def bundle(folder, kind="am", seeds=(0,), flank=30, **config):
    """A bundle of tiny models on disk."""
    members = []
    for seed in seeds:
        m = model(kind, seed, **config)
        file = f"{kind}.{seed}.safetensors"
        save_file({k: v.contiguous() for k, v in m.state_dict().items()}, f"{folder}/{file}")
        members.append(
            dict(
                seed=seed,
                file=file,
                sha256=sha256_file(f"{folder}/{file}"),
                config=m.config.to_dict(),
            )
        )
    with open(f"{folder}/config.json", "w") as f:
        json.dump(dict(format=1, name="toy", flank=flank, rbps=RBPS, kinds={kind: members}), f)
    write_manifest(str(folder))
    return str(folder)


def random_bases(n, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), n))


def fasta(path, **contigs):
    with open(path, "w") as f:
        for name, bases in contigs.items():
            f.write(
                f">{name}\n" + "".join(bases[i : i + 60] + "\n" for i in range(0, len(bases), 60))
            )
    if os.path.exists(f"{path}.fai"):
        os.unlink(f"{path}.fai")
    return str(path)


def gtf(path, *genes):
    """Genes as (id, contig, strand, [(start, end), ...]) with 1-based inclusive exons."""
    with open(path, "w") as f:
        for name, contig, strand, exons in genes:
            for start, end in exons:
                ids = f'gene_id "{name}"; transcript_id "{name}.1";'
                f.write(f"{contig}\ttoy\texon\t{start}\t{end}\t.\t{strand}\t.\t{ids}\n")
    return str(path)


def vcf(path, *records, header=("##fileformat=VCFv4.2",), columns=""):
    """Records as (contig, pos, ref, alt) or whole lines."""
    lines = [*header, "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO" + columns]
    lines += [
        r if isinstance(r, str) else f"{r[0]}\t{r[1]}\t.\t{r[2]}\t{r[3]}\t.\t.\t." for r in records
    ]
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")
    return str(path)


REVERSE = str.maketrans("ACGTN", "TGCAN")


def revcomp(bases):
    return bases.translate(REVERSE)[::-1]


def plain_scores(models, window):
    """What `Predictor.score` returns, by running the whole model on each allele's whole window."""
    out = []
    for haplotype in (window.ref, window.alt):
        x = one_hot(torch.from_numpy(haplotype[None].copy()))
        with torch.no_grad():
            p = torch.cat([m(x)[:, 1:].exp() for m in models]).numpy()
        out.append(window.to_genome(p[..., window.flank : p.shape[-1] - window.flank]))
    return tuple(out)
