#!/usr/bin/env bash
# All that is said of a bundle's accuracy, as one JSON for its card:
#     bash train/evaluate/suite.sh DATA DATASET BUNDLE FOLDER
# DATA holds genome/, annotation/, variants/ and exons/; DATASET is the packed dataset that the bundle was trained on.
# FOLDER receives topk.json, variants.json, reconstruct.json and, of all three, suite.json, for
#     samvar train bundle ... --evaluation FOLDER/suite.json
set -euo pipefail
data=$1 dataset=$2 bundle=$3 out=$4
here=$(dirname "$0")
mkdir -p "$out"
python "$here/topk.py" "$data" --model "$bundle" --json "$out/topk.json"
python "$here/variants.py" "$data" --model "$bundle" --json "$out/variants.json" --table "$out/variants.tsv.gz"
python "$here/reconstruct.py" "$dataset" --model "$bundle" --json "$out/reconstruct.json"
python - "$out" <<'PY'
import json, os, sys
parts = [json.load(open(os.path.join(sys.argv[1], f"{name}.json"))) for name in ("topk", "variants", "reconstruct")]
with open(os.path.join(sys.argv[1], "suite.json"), "w") as f:
    json.dump({title: numbers for part in parts for title, numbers in part.items()}, f, indent=1)
    f.write("\n")
PY
