#!/usr/bin/env bash
# All that is said of a bundle's accuracy, as one JSON for its card:
#     bash train/evaluate/suite.sh DATA DATASET BUNDLE FOLDER [PAIRS]
# DATA holds genome/, annotation/, variants/, exons/, eclip/ and tables/; DATASET is the packed dataset that the bundle was
# trained on; PAIRS are soft labels of single edits (train/teach/yardstick.toml).
# FOLDER receives topk.json, variants.json, exons.json, reconstruct.json, with PAIRS yardstick.json, and suite.json, which
# holds them all, for
#     samvar train bundle ... --evaluation FOLDER/suite.json
# and, not for the card, what the motifs of its AM know: hexamers.json, eclip.json and rna_maps.json.
# A bundle is refused (exit 1) where the core scores of one of its models stand at more than 2 % of the bases: core_share.py,
# after top-k. ANY_CORE=1 lets it pass.
set -euo pipefail
data=$1 dataset=$2 bundle=$3 out=$4 pairs=${5:-}
here=$(dirname "$0")
mkdir -p "$out"
python "$here/topk.py" "$data" --model "$bundle" --json "$out/topk.json"
if [ "${ANY_CORE:-}" != 1 ]; then python "$here/core_share.py" "$out/topk.json"; fi
python "$here/variants.py" "$data" --model "$bundle" --json "$out/variants.json" --table "$out/variants.tsv.gz"
python "$here/exons.py" "$data" "$bundle" --json "$out/exons.json"
python "$here/reconstruct.py" "$dataset" --model "$bundle" --json "$out/reconstruct.json"
if [ -n "$pairs" ]; then python "$here/yardstick.py" "$pairs" "$bundle" --families 60 --json "$out/yardstick.json"; fi
python "$here/hexamers.py" "$data" "$bundle" --json "$out/hexamers.json"
python "$here/eclip.py" "$data" --model "$bundle" --chroms chr1,chr3 --no-all --extend5 50 --json "$out/eclip.json"
python "$here/rna_maps.py" "$data" --model "$bundle" --exons 1000 --json "$out/rna_maps.json"
python - "$out" <<'PY'
import json, os, sys
folder = sys.argv[1]
parts = []
for name in ("topk", "variants", "exons", "reconstruct", "yardstick"):
    path = os.path.join(folder, f"{name}.json")
    if os.path.exists(path):
        with open(path) as handle:
            parts.append(json.load(handle))
suite = {title: numbers for part in parts for title, numbers in part.items()}
with open(os.path.join(folder, "suite.json"), "w") as handle:
    json.dump(suite, handle, indent=1)
    handle.write("\n")
PY
