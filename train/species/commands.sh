#!/usr/bin/env bash
# samvar for another species, here Arabidopsis thaliana: bash train/species/commands.sh DATA FOLDER [BUNDLE]
# DATA holds species/a_thaliana_1pct/ (1pct.fa.gz, 1pct.gff3.gz), species/eie/eie.at.txt.gz and motifs/rbns/. FOLDER
# receives the dataset, the runs, the evaluations and the bundle. BUNDLE is the human bundle to start from. A stopped
# run goes on when the script is started again.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$1 out=$2 human=${3:-weights/paper}
genes=$data/species/a_thaliana_1pct/1pct.gff3.gz
one="--threads 1"  # another number gives other last digits
mkdir -p "$out"

# The FASTA comes gzipped, which has no index: plain, or bgzipped
[ -e "$out/genome.fa" ] || { gzip -dc "$data/species/a_thaliana_1pct/1pct.fa.gz" > "$out/part.fa"
                             mv "$out/part.fa" "$out/genome.fa"; }

# Chr1, 3 and 5 to train on, Chr2 to choose by, Chr4 to test on; no organelle
split="--validation Chr2 --test Chr4 --leave-out ChrC,ChrM"
[ -e "$out/data.npz" ] || samvar train prepare -f "$out/genome.fa" -a "$genes" --motifs "$data/motifs/rbns" $split \
    -o "$out/data.npz"

# 1. With genome and annotation alone
run() {  # KIND NAME DATASET [OPTION ...]
    samvar train "$1" "train/species/$2.toml" -d "$out/$3.npz" -o "$out/$2" --resume $one "${@:4}"
}
run lssi lssi-plain data
run fm fm-plain data --lssi "$out/lssi-plain"

# 2. Core sites that have seen more introns of the same species, but for those of Chr2 and Chr4
[ -e "$out/introns.npz" ] || {
    gzip -dc "$data/species/eie/eie.at.txt.gz" |
        awk -v fasta="$out/introns.fa" -v genes='^AT[135]G' -f train/species/introns.awk > "$out/introns.tsv"
    rm -f "$out/introns.fa.fai"
    samvar train prepare -f "$out/genome.fa" -a "$genes" -f "$out/introns.fa" -a "$out/introns.tsv" $split \
        -o "$out/introns.npz"
}
run lssi lssi introns

# 3. Motifs and aggregator that start from the human fixed motifs
run fm fm data --lssi "$out/lssi" --start-from "$human:fm"
run am am data --lssi "$out/lssi" --start-from "$out/fm"

# 4. A teacher of one's own, its soft labels, and an AM that learns from these, too
run cnn cnn introns
samvar train teach train/species/windows.toml -d "$out/data.npz" --teacher "$out/cnn" -o "$out/soft" --resume $one
run am am-taught data --lssi "$out/lssi" --start-from "$out/fm" --soft-labels "$out/soft"

# (train/species/results/: validation.NAME.json of fm, am, am-taught and cnn of that last round are taught.NAME.json)
# The human bundle as it is, and the models; no --no-paralogs, as the GFF3 does not tell of paralogs
score() {  # SET CHROMOSOME TITLE OPTION ...
    local json=$out/$1.$3.json
    [ -e "$json" ] || samvar train evaluate -f "$out/genome.fa" -a "$genes" --chroms "$2" "${@:4}" --no-entropy $one \
        --json "$json"
}
evaluate() { score validation Chr2 "$@"; score test Chr4 "$@"; }  # TITLE OPTION ...
evaluate human-fm --model "$human:fm"
evaluate human-am --model "$human"
for name in fm-plain fm am am-taught; do evaluate "$name" --run "$out/$name"; done
score validation Chr2 cnn --run "$out/cnn"

# A bundle for `samvar annotate --model FOLDER/a_thaliana`
samvar train bundle $one --name a_thaliana --temperature 2.5 --am "$out/am" --fm "$out/fm" -d "$out/data.npz" \
    --evaluation validation="$out/validation.am.json" --evaluation "validation, fm=$out/validation.fm.json" \
    --evaluation test="$out/test.am.json" --evaluation "test, fm=$out/test.fm.json" -o "$out/a_thaliana"
