#!/usr/bin/env bash
# SSA-135M-calculator trained further on chain sums that a calculator has mended, 45 minutes of one core that multiplies
# in bfloat16. It learns from half of the questions of one recorded file and, not to forget them, from rows of GSM8K; the
# other half measures it. Goes on where it stopped. Results: docs/results/ablations.md
#   SETS   folder with rg_chainsum_olmo16 (docs/results/recorded-sets.md)
#   START  folder of the export of SSA-135M-calculator, its base beside it
#   MENDED the rows that it has learned from, WORK/rows/mended.jsonl of mended.sh
DEVICE=cpu
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
SETS=${SETS:?folder with the recorded sets} START=${START:?folder of an aggregator} MENDED=${MENDED:?its rows}
sums=$SETS/rg_chainsum_olmo16.jsonl.gz rows=$WORK/rows
mkdir -p "$rows" "$WORK/train"
$PYTHON "$HERE/held_back.py" "$sums" 0.5 "$WORK/held.jsonl.gz"
$PYTHON "$HERE/unseen.py" "$sums" "$WORK/learned.jsonl.gz" "$WORK/held.jsonl.gz"

some() { # NUMBER SEED FILE: so many of its lines, in an order drawn by the seed
  shuf -n "$1" --random-source=<(yes "$2") "$3"
}

[ -s "$rows/sums.jsonl" ] || $SAMPLESET train-data "$WORK/learned.jsonl.gz" --mode select -k 5 --subsets 2 --easy 1 --unanimous 0 \
  --all-wrong 0 --calculator --keep-end-tokens 90 --aggregator-model "openvino:$START" --output "$rows/sums.jsonl"
{ some 1000 2 "$rows/sums.jsonl"; some 120 0 "$MENDED"; } > "$rows/mix.jsonl"
[ -d "$WORK/start" ] || $SAMPLESET export "$START" --format peft --output "$WORK/start"
$SAMPLESET train select "$HERE/recipe.yaml" --set model="$WORK/start" --set rows="$rows/mix.jsonl" \
  --set output_dir="$WORK/train/sums" --set steps=120 --set rows_per_step=4 --set rows_per_pass=1 --set learning_rate=4.0e-4 \
  --set vote_prior=1.0 --set confidence_prior=4.0 --set save_every=10 --set dtype="$DTYPE" --set threads=1 --set device=cpu
[ -d "$WORK/export/sums" ] || $SAMPLESET export "$WORK/train/sums/checkpoint" --output "$WORK/export/sums"
