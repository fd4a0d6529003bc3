#!/usr/bin/env bash
# The index with its codes on a CUDA device: against brute force, then its speed beside the processors' where
# ROWS and DIM are given. Exit 0 passed, 77 no device or no nvcc here, else failed.
#
#     tests/gpu/index.sh [ROWS DIM]
#
# Needs nvcc, gcc, cmocka and a CUDA device; nothing else of the build. COMPILE_ONLY=1 ends before anything
# runs; $CUDA_ARCH (sm_90) is then for which device.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."

skip() { echo "tests/gpu/index: skipped: $*"; exit 77; }

nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null) || skip "no nvcc"
[ -n "${COMPILE_ONLY:-}" ] || nvidia-smi -L >/dev/null 2>&1 || skip "no CUDA device"

out=build/test-gpu
mkdir -p "$out"
arch=${CUDA_ARCH:-native}
compiling=()
for source in src/torch/code_scan.cu tests/gpu/device_memory.cu; do
    "$nvcc" -std=c++17 -O3 -arch="$arch" -Isrc -c "$source" -o "$out/$(basename "$source" .cu).o" &
    compiling+=($!)
done
objects=()
for source in src/base/{clock,err,idset,log,mem,thread}.c src/index/*.c tests/gpu/{faiss_none,index}.c tests/bench/bench_scale.c; do
    [ "$source" != src/index/faiss_flat.c ] || continue
    object=$out/$(basename "$source" .c).idx.o
    gcc -std=gnu17 -D_GNU_SOURCE -O3 -g -Wall -Wno-missing-field-initializers -fno-math-errno -fno-trapping-math \
        -fopenmp-simd -Isrc -c "$source" -o "$object" &
    compiling+=($!)
    case $source in */gpu/index.c | */bench_scale.c) ;; *) objects+=("$object") ;; esac
done
for one in "${compiling[@]}"; do wait "$one"; done
for program in index bench_scale; do
    "$nvcc" -arch="$arch" -o "$out/$program" "$out/$program.idx.o" "${objects[@]}" "$out"/{code_scan,device_memory}.o -lcmocka -lm
done
[ -z "${COMPILE_ONLY:-}" ] || exit 0
"$out/index"
[ $# = 0 ] || "$out/bench_scale" "$1" "$2" cuda:0
