#!/usr/bin/env bash
# The made-up table of the page: bash train/probes/commands.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$1
mkdir -p "$out"
python train/probes/made_up.py "$out/made_up.txt.gz"
samvar train probes train/probes/made_up.toml --table "$out/made_up.txt.gz" -o "$out/made_up" --threads 1 --resume \
    --motifs "$out/motifs.png"
