#!/usr/bin/env bash
# Models of in-vivo binding: bash train/binding/commands.sh DATA FOLDER
# DATA holds genome/hg38.fa.gz, annotation/refseq.hg38.bed12+gene.gz and eclip/hg38/. FOLDER receives the runs. A stopped
# run goes on when the script is started again; one that is done is not touched.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$1 out=$2
mkdir -p "$out"

run() {  # NAME RECIPE
    local last; last=$(tail -qn 1 "$out/$1/metrics.tsv" 2> /dev/null | cut -f 1) || last=
    [ "$last" = "$(sed -n 's/^steps = //p' "$2")" ] && return
    samvar train binding "$2" -f "$data/genome/hg38.fa.gz" -a "$data/annotation/refseq.hg38.bed12+gene.gz" \
        --peaks "$data/eclip/hg38" -o "$out/$1" --resume --threads 1 2>> "$out/$1.log"
}

run multitask train/binding/multitask.toml
run noregion train/binding/noregion.toml
for protein in QKI RBFOX2 PTBP1 TARDBP; do
    { cat train/binding/single.toml; echo "proteins = [\"$protein\"]"; } > "$out/$protein.toml"
    run "$protein" "$out/$protein.toml"
done
run residual train/binding/residual.toml

# What the choices were made by: the validation chromosomes. The test chromosomes are for the end
runs=(--run "multitask=$out/multitask" --run "noregion=$out/noregion" --run "residual=$out/residual")
for protein in QKI RBFOX2 PTBP1 TARDBP; do runs+=(--run "single_$protein=$out/$protein"); done
python train/evaluate/binding.py "$data" "${runs[@]}" --contigs chr1,chr3 --json "$out/validation.json" \
    --motifs "$out/motifs.png"
python train/evaluate/binding.py "$data" "${runs[@]}" --contigs chr5,chr7 --json "$out/test.json"
