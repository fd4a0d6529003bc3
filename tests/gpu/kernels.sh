#!/usr/bin/env bash
# The kernels against their CPU twins, to the bit, and how fast they are. Exit 0 passed, 77 no device or
# no nvcc here, else failed.
#
#     tests/gpu/kernels.sh
#
# Needs nvcc, gcc and a CUDA device; nothing else of the build.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."

skip() { echo "tests/gpu/kernels: skipped: $*"; exit 77; }

nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null) || skip "no nvcc"
nvidia-smi -L >/dev/null 2>&1 || skip "no CUDA device"

out=build/test-gpu
mkdir -p "$out"
"$nvcc" -std=c++17 -O3 -arch=native -Isrc -c src/preprocess/prepare.cu -o "$out/prepare_cu.o" &
compiling=$!
objects=("$out/prepare_cu.o")
for source in tests/gpu/kernels_c.c src/base/{err,mem}.c src/frame/frame.c src/preprocess/{axis,prepare,preprocess,resample}.c; do
    gcc -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-missing-field-initializers -O2 -g -fopenmp-simd \
        -Isrc -c "$source" -o "$out/$(basename "$source" .c).o"
    objects+=("$out/$(basename "$source" .c).o")
done
wait $compiling
# -x cu: the test calls the runtime, but has no kernels of its own.
"$nvcc" -std=c++17 -O2 -arch=native -Isrc -Itests/gpu -x cu -c tests/gpu/kernels.cpp -o "$out/kernels.o"
"$nvcc" -arch=native -o "$out/kernels" "$out/kernels.o" "${objects[@]}"
"$out/kernels"
