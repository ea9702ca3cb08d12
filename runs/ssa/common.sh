# Where things lie. Sourced by the other scripts of this folder.
#   MODELS  folder with smollm2-135m-instruct.gguf, qwen2.5-coder-0.5b-instruct.gguf, qwen2.5-coder-1.5b-instruct.gguf
#   DATA    local copies of the datasets (docs/datasets.md); empty: the Hub
#   WORK    where stores, rows, runs and reports go
#   DEVICE  cpu or cuda
set -euo pipefail
export LC_ALL=C  # files are read in the same order everywhere
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
MODELS=${MODELS:?folder with the GGUF files}
WORK=${WORK:-$HERE/out}
DEVICE=${DEVICE:-cuda}
PYTHON=${PYTHON:-python}
SAMPLESET="$PYTHON -m sampleset"
mkdir -p "$WORK"
smol=$MODELS/smollm2-135m-instruct.gguf
qwen05b=$MODELS/qwen2.5-coder-0.5b-instruct.gguf
qwen15b=$MODELS/qwen2.5-coder-1.5b-instruct.gguf
