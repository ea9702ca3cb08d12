#!/usr/bin/env bash
# Training rows of sets, in WORK/rows: rows.sh NAME MODEL "FILES" [options of train-data].
# Each file is cut in SHARDS parts that are worked on side by side. Rows are drawn by the name of their part, so another
# number of parts gives other rows of the same questions.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
name=$1 model=$2 files=$3
shift 3
mkdir -p "$WORK/rows"
cd "$WORK/rows"
rm -f "$name".*.sets.jsonl.gz "$name".*.rows*.jsonl
$PYTHON "$HERE/shards.py" "${SHARDS:-3}" "$name" $files
for part in "$name".*.sets.jsonl.gz; do
  $SAMPLESET train-data "$part" --mode select -k 4-16 --subsets 2 --held-back 0.1 --exclude gsm8k:test \
    ${DATA:+--data-dir "$DATA"} --aggregator-model "transformers:${!model}" --output "${part%.sets.jsonl.gz}.rows.jsonl" "$@" &
done
wait
for part in "$name".*.rows.jsonl; do [ -s "$part" ] || { echo "$part is missing" >&2; exit 1; }; done
cat "$name".*.rows.jsonl > "$name.jsonl"
cat "$name".*.rows.held_back.jsonl > "$name.held_back.jsonl"
wc -l "$name.jsonl" "$name.held_back.jsonl"
