#!/usr/bin/env bash
# One training run: train.sh NAME METHOD MODEL ROWS [--set KEY=VALUE ...]. Checkpoint in WORK/train/NAME.
# What is common to all runs stands in recipe.yaml. Held-back rows are kept for the calibration: measuring on them
# while training would take longer than training.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
name=$1 method=$2 model=$3 rows=$4
shift 4
$SAMPLESET train "$method" "$HERE/recipe.yaml" --set model="${!model:-$model}" --set rows="$WORK/rows/$rows.jsonl" \
  --set output_dir="$WORK/train/$name" --set device="$DEVICE" "$@"
