#!/usr/bin/env bash
# Sample sets of one model: draw.sh MODEL DATASET QUESTIONS N, as in `draw.sh qwen15b gsm8k:train 1500 16`.
# A store that can be gone on with, and the whole sets as one file, in WORK/draws. DRAW_SECONDS ends it early;
# SHUFFLE is the seed of the questions' order, by default that of the dataset. ENGINE=openvino draws faster on a CPU
# than transformers does.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
model=$1 dataset=$2 questions=$3 n=$4
name=${dataset/:/_}_$model
timeout "${DRAW_SECONDS:-0}" $SAMPLESET sample "$dataset" ${DATA:+--data-dir "$DATA"} --limit "$questions" \
  ${SHUFFLE:+--shuffle "$SHUFFLE"} -n "$n" --temperature 0.8 --max-tokens "${MAX_TOKENS:-400}" \
  --model "${ENGINE:-transformers}:${!model}" --max-concurrency "${CONCURRENCY:-2048}" --timeout 3600 --output-dir "$WORK/draws/$name" || [ $? = 124 ]
$PYTHON "$ROOT/runs/export_draws.py" "$WORK/draws/$name" "$WORK/draws/${name}_$n.jsonl.gz" "$n"
