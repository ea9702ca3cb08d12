#!/usr/bin/env bash
# An aggregator trained further on samples of both answer models that a calculator has mended, about an hour of
# one core. It learns from the first 400 questions of the 0.5B's draws and from those of the 1.5B; the other questions of the
# 0.5B that neither training has seen calibrate it. Goes on where it stopped. Results: docs/results/ablations.md
#   START folder of the export of the aggregator that is trained further, its base beside it; or embedded-ssa
#   STEPS of four rows each, at learning rate RATE
DEVICE=cpu
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
START=${START:?folder of an aggregator}
draws=$ROOT/data/draws sets=$WORK/sets rows=$WORK/rows
mkdir -p "$sets" "$rows"

own=$draws/gsm8k_train_qwen05b_reseeded.jsonl.gz older=("$draws"/gsm8k_train_qwen{05b_12,15b_12,15b}.jsonl.gz)
gzip -dc "$own" | sed -n 1,400p | gzip > "$sets/qwen05b.jsonl.gz"
cp "${older[1]}" "$sets/qwen15b_12.jsonl.gz" # rows are drawn by the names of the files
cp "${older[2]}" "$sets/qwen15b.jsonl.gz"
gzip -dc "$own" | sed -n 401,800p | gzip > "$WORK/last.jsonl.gz"
$PYTHON "$HERE/unseen.py" "$WORK/last.jsonl.gz" "$sets/next.jsonl.gz" "${older[@]}"

[ -s "$rows/mended.jsonl" ] || $SAMPLESET train-data "$sets"/qwen*.jsonl.gz --mode select -k 5 --subsets 2 --easy 0.5 --unanimous 0 \
  --all-wrong 0 --calculator --keep-end-tokens 90 --exclude gsm8k:test ${DATA:+--data-dir "$DATA"} --aggregator-model "openvino:$START" \
  --output "$rows/mended.jsonl"
[ -d "$WORK/start" ] || $SAMPLESET export "$START" --format peft --output "$WORK/start"
$SAMPLESET train select "$HERE/recipe.yaml" --set model="$WORK/start" --set rows="$rows/mended.jsonl" \
  --set output_dir="$WORK/train/mended" --set steps="${STEPS:-90}" --set rows_per_step=4 --set rows_per_pass=1 --set learning_rate="${RATE:-2.0e-4}" \
  --set vote_prior=1.0 --set confidence_prior=4.0 --set save_every=10 --set dtype="$DTYPE" --set threads=1 --set device=cpu
[ -d "$WORK/export/mended" ] || $SAMPLESET export "$WORK/train/mended/checkpoint" --output "$WORK/export/mended"
$SAMPLESET calibrate "$WORK/export/mended" "$sets/next.jsonl.gz" -k 5
