#!/usr/bin/env bash
# Trained and untrained aggregators on the same sets: evaluate.sh NAME FILE K [METHOD...]. Report in WORK/reports/NAME.
# A METHOD is a run of WORK/train, or an aggregator as `sampleset evaluate` takes it (with a colon).
# LIMIT is how many questions; SUBSETS and PERMUTATIONS are options of `sampleset evaluate`.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
name=$1 file=$2 ks=$3
shift 3
methods=(--aggregator first_sample --aggregator majority_vote --aggregator weighted_vote --aggregator best_of_n)
for one in "$@"; do
  case $one in
    *:*) methods+=(--aggregator "$one") ;;
    *) methods+=(--aggregator "ssa:model=$WORK/train/$one/checkpoint") ;;
  esac
done
$SAMPLESET evaluate "$file" -k "$ks" ${LIMIT:+--limit "$LIMIT"} --subsets "${SUBSETS:-1}" \
  --permutations "${PERMUTATIONS:-1}" "${methods[@]}" --max-concurrency "${CONCURRENCY:-256}" --timeout 3600 \
  ${WORKERS:+--workers "$WORKERS"} --output-dir "$WORK/reports/$name"
