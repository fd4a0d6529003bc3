#!/usr/bin/env bash
# Models on a CUDA device against the CPU. Exit 0 passed, 77 no device here, else failed.
#
#     tests/gpu/run.sh [NAME...]
#     tests/gpu/run.sh --speed [NAME...]    only how fast Cosmos-Embed1 runs, in bfloat16 and float8
#
# compares the package build/models/efficientnet-lite0 ($MODEL for another) and, for each NAME, the
# full-size network with random weights (packages.py makes it, 5 GB each, under build/models-gpu).
# Needs a Python whose torch has CUDA ($PYTHON, default python3) and a C++20 compiler; nothing else
# of the build. The shim is compiled against that torch, which is another one than the CPU build that
# vidx is developed with.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."

skip() { echo "tests/gpu: skipped: $*"; exit 77; }

speed=
[ "${1:-}" != --speed ] || { speed=1; shift; }
PYTHON=${PYTHON:-python3}
MODEL=${MODEL:-build/models/efficientnet-lite0}
[ -n "$speed" ] || [ -e "$MODEL/video.pt" ] || { echo "tests/gpu: no $MODEL; run ./dev model $(basename "$MODEL")"; exit 1; }
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
# cuBLASLt comes with torch, its headers too in wheels.
find_beside() { find -L "$torch/lib" "$torch/../nvidia" "$cuda" -maxdepth 4 -name "$1" 2>/dev/null | head -n 1; }
cublas_h=$(find_beside cublasLt.h) cublas=$(find_beside 'libcublasLt.so*')
if [ -z "$cublas_h" ] || [ -z "$cublas" ]; then echo "tests/gpu: no cublasLt.h or libcublasLt.so beside $torch or $cuda"; exit 1; fi
compiling=()
for source in torch_shim operators operators_fp8 cuda_graphs; do
    g++ -std=c++20 "${warn[@]}" -DVX_TORCH_CUDA -DVX_CUDA_KERNELS -DVX_CUBLASLT -Wno-unused-parameter "${torch_include[@]}" \
        -isystem "$cuda/include" -idirafter "$(dirname "$cublas_h")" -c "src/torch/$source.cpp" -o "$out/$source.o" &
    compiling+=($!)
done
"$nvcc" -O3 -std=c++17 -arch=native -Isrc -c src/torch/kernels.cu -o "$out/kernels_cu.o" &
compiling+=($!)
for source in src/base/err.c src/base/mem.c src/base/clock.c tests/gpu/compare.c tests/gpu/speed.c; do
    gcc -std=gnu17 "${warn[@]}" -c "$source" -o "$out/$(basename "$source" .c).o"
done
for one in "${compiling[@]}"; do wait "$one"; done
cudart=$(find_beside 'libcudart.so.[0-9]*')
# libtorch_cuda registers itself when loaded; the libraries it needs lie beside it or are found by
# the run paths of the Python packages.
for program in compare speed; do
    g++ -o "$out/$program" "$out"/{torch_shim,operators,operators_fp8,kernels_cu,cuda_graphs,err,mem,clock}.o "$out/$program.o" \
        -L"$torch/lib" -Wl,-rpath,"$torch/lib" -Wl,--no-as-needed -ltorch -ltorch_cpu -ltorch_cuda -lc10_cuda -lc10 \
        "$cudart" -Wl,-rpath,"$(dirname "$cudart")" "$cublas" -Wl,-rpath,"$(dirname "$cublas")" \
        -Wl,--as-needed -Wl,--allow-shlib-undefined -lm
done
if [ -n "$speed" ]; then
    models=build/models-speed
    "$PYTHON" tests/gpu/packages.py --quick-fp8 $models "$@"
    "$PYTHON" tests/gpu/archives.py --speed "${@/#/$models/}" >"$out/list"
    program=speed
else
    "$PYTHON" tests/gpu/packages.py build/models-gpu "$@"
    "$PYTHON" tests/gpu/archives.py "$MODEL" "${@/#/build/models-gpu/}" >"$out/list"
    program=compare
fi
status=0
while read -r line; do
    echo "tests/gpu: $line"
    # shellcheck disable=SC2086 # the words of the line are the arguments
    "$out/$program" $line || status=1
done <"$out/list"
exit $status
