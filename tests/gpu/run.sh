#!/usr/bin/env bash
# Models on a CUDA device against the CPU. Exit 0 passed, 77 no device here, else failed.
#
#     tests/gpu/run.sh [NAME...]
#
# compares the package build/models/efficientnet-lite0 ($MODEL for another) and, for each NAME, the
# full-size network with random weights (packages.py makes it, 5 GB each, under build/models-gpu).
# Needs a Python whose torch has CUDA ($PYTHON, default python3) and a C++20 compiler; nothing else
# of the build. The shim is compiled against that torch, which is another one than the CPU build that
# vidx is developed with.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."

skip() { echo "tests/gpu: skipped: $*"; exit 77; }

PYTHON=${PYTHON:-python3}
MODEL=${MODEL:-build/models/efficientnet-lite0}
[ -e "$MODEL/video.pt" ] || { echo "tests/gpu: no $MODEL; run ./dev model $(basename "$MODEL")"; exit 1; }
torch=$("$PYTHON" - <<'PY' 2>/dev/null
import torch
if torch.cuda.is_available():
    print(torch.__path__[0])
PY
) || skip "$PYTHON has no torch (set PYTHON)"
[ -n "$torch" ] || skip "no CUDA device that $PYTHON's torch can use"

out=build/test-gpu
mkdir -p "$out"
torch_include=(-isystem "$torch/include" -isystem "$torch/include/torch/csrc/api/include")
warn=(-Wall -Wextra -Werror -O2 -g -D_GNU_SOURCE -Isrc)
# CUDA's headers: beside its compiler.
nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
cuda=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
compiling=()
for source in torch_shim operators cuda_graphs; do
    g++ -std=c++20 "${warn[@]}" -DVX_TORCH_CUDA -DVX_CUDA_KERNELS -Wno-unused-parameter "${torch_include[@]}" \
        -isystem "$cuda/include" -c "src/torch/$source.cpp" -o "$out/$source.o" &
    compiling+=($!)
done
"$nvcc" -O3 -std=c++17 -arch=native -Isrc -c src/torch/operators.cu -o "$out/operators_cu.o" &
compiling+=($!)
for source in src/base/err.c src/base/mem.c src/base/clock.c tests/gpu/compare.c; do
    gcc -std=gnu17 "${warn[@]}" -c "$source" -o "$out/$(basename "$source" .c).o"
done
for one in "${compiling[@]}"; do wait "$one"; done
cudart=$(find "$torch/../nvidia" "$cuda" -name 'libcudart.so.[0-9]*' 2>/dev/null | head -n 1)
# libtorch_cuda registers itself when loaded; the libraries it needs lie beside it or are found by
# the run paths of the Python packages.
g++ -o "$out/compare" "$out"/{torch_shim,operators,operators_cu,cuda_graphs,err,mem,clock,compare}.o -L"$torch/lib" \
    -Wl,-rpath,"$torch/lib" -Wl,--no-as-needed -ltorch -ltorch_cpu -ltorch_cuda -lc10_cuda -lc10 \
    "$cudart" -Wl,-rpath,"$(dirname "$cudart")" \
    -Wl,--as-needed -Wl,--allow-shlib-undefined -lm
"$PYTHON" tests/gpu/packages.py build/models-gpu "$@"
"$PYTHON" tests/gpu/archives.py "$MODEL" "${@/#/build/models-gpu/}" >"$out/list"
status=0
while read -r line; do
    echo "tests/gpu: $line"
    # shellcheck disable=SC2086 # the words of the line are the arguments
    "$out/compare" $line || status=1
done <"$out/list"
exit $status
