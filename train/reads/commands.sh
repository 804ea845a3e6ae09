#!/usr/bin/env bash
# The made-up reads of the page: bash train/reads/commands.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$1
mkdir -p "$out/runs"
python train/reads/made_up.py "$out"
for name in FOX NONE; do
    samvar train nfm train/reads/made_up.toml --bound "$out/${name,,}.fastq.gz" --input "$out/input.fastq.gz" --name $name \
        -o "$out/runs/$name" --threads 1 --resume
done
