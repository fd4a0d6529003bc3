#!/usr/bin/env bash
# All pairs of many vectors on a CUDA device: against the processors, then its speed where ROWS and DIM are given.
# Exit 0 passed, 77 no device or no nvcc here, else failed.
#
#     tests/gpu/pairs.sh [ROWS DIM]
#
# Needs nvcc, gcc, cmocka, pkg-config and a CUDA device; nothing else of the build. COMPILE_ONLY=1 ends before anything
# runs; $CUDA_ARCH (sm_90) is then for which device.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."

skip() { echo "tests/gpu/pairs: skipped: $*"; exit 77; }

nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null) || skip "no nvcc"
[ -n "${COMPILE_ONLY:-}" ] || nvidia-smi -L >/dev/null 2>&1 || skip "no CUDA device"

out=build/test-gpu/pairs-objects
mkdir -p "$out"
arch=${CUDA_ARCH:-native}
compiling=()
for source in src/torch/{code_scan,pair_scan}.cu tests/gpu/device_memory.cu; do
    "$nvcc" -std=c++17 -O3 -arch="$arch" -Isrc -c "$source" -o "$out/$(basename "$source" .cu).cu.o" &
    compiling+=($!)
done
objects=()
for source in src/base/{clock,err,idset,log,mem,thread}.c src/index/*.c src/dedup/{gpu,keep,pairs,products}.c \
    tests/gpu/{blas_none,faiss_none,pairs}.c tests/bench/bench_duplicates.c; do
    [ "$source" != src/index/faiss_flat.c ] || continue
    object=$out/$(echo "$source" | tr / _).o
    gcc -std=gnu17 -D_GNU_SOURCE -O3 -march=native -g -Wall -Wno-missing-field-initializers -fno-math-errno \
        -fno-trapping-math -fopenmp-simd -Isrc -c "$source" -o "$object" &
    compiling+=($!)
    case $source in tests/gpu/pairs.c | tests/bench/*) ;; *) objects+=("$object") ;; esac
done
for one in "${compiling[@]}"; do wait "$one"; done
cmocka=() place=$(pkg-config --variable=libdir cmocka)
[ -z "$place" ] || cmocka=(-L"$place" -Xlinker "-rpath=$place")
for program in tests_gpu_pairs tests_bench_bench_duplicates; do
    "$nvcc" -arch="$arch" -o "$out/$program" "$out/$program.c.o" "${objects[@]}" "$out"/{code_scan,pair_scan,device_memory}.cu.o \
        "${cmocka[@]}" -lcmocka -lm
done
[ -z "${COMPILE_ONLY:-}" ] || exit 0
"$out/tests_gpu_pairs"
[ $# = 0 ] || "$out/tests_bench_bench_duplicates" "$1" "$2" cuda:0
