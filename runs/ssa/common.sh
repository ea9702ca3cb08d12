# Where things lie. Sourced by the other scripts of this folder.
#   MODELS  folder with smollm2-135m-instruct.gguf, qwen2.5-coder-0.5b-instruct.gguf, qwen2.5-coder-1.5b-instruct.gguf
#   DATA    local copies of the datasets (docs/reference/datasets.md); empty: the Hub
#   WORK    where stores, rows, runs and reports go
#   DEVICE  cpu or cuda
#   DTYPE   of weights on a CPU: float32 where it does not multiply in bfloat16
set -euo pipefail
export LC_ALL=C  # files are read in the same order everywhere
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
MODELS=${MODELS:?folder with the GGUF files}
WORK=${WORK:-$HERE/out}
DEVICE=${DEVICE:-cuda}
DTYPE=${DTYPE:-bfloat16}
PYTHON=${PYTHON:-python}
SAMPLESET="$PYTHON -m sampleset"
mkdir -p "$WORK"
smol=$MODELS/smollm2-135m-instruct.gguf
qwen05b=$MODELS/qwen2.5-coder-0.5b-instruct.gguf
qwen15b=$MODELS/qwen2.5-coder-1.5b-instruct.gguf

# The sets that aggregators are trained on, those drawn by transformers in folder $1; and what `train-data` keeps of them.
train_sets() {
  echo "$1/gsm8k_train_qwen15b_12.jsonl.gz $1/gsm8k_train_qwen05b_12.jsonl.gz $ROOT/data/draws/gsm8k_train_qwen15b.jsonl.gz"
}
BALANCE=(--easy 1.0 --held-back 0.1)
