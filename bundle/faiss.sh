# faiss_build SOURCE PREFIX [CMAKE_OPTION...]: builds FAISS and its C API. Sourced by ./dev and by build.sh.
#
# FAISS 1.7.3's CMake does not install libfaiss_c, and libfaiss_c cannot choose the AVX2 build. The dynamic
# loader can: on a processor with AVX2 it looks into glibc-hwcaps/x86-64-v3 first, so the AVX2 build goes
# there, under the name that libfaiss_c loads.
# shellcheck shell=bash
faiss_build() {
    local src=$1 prefix=$2 opt=generic targets=(faiss_c)
    shift 2
    if [ "$(uname -m)" = x86_64 ]; then
        opt=avx2
        targets+=(faiss_avx2)
    fi
    cmake -G Ninja -S "$src" -B "$src/out" -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
        -DFAISS_ENABLE_C_API=ON -DFAISS_ENABLE_GPU=OFF -DFAISS_ENABLE_PYTHON=OFF \
        -DBUILD_SHARED_LIBS=ON -DFAISS_OPT_LEVEL=$opt "-DCMAKE_INSTALL_PREFIX=$prefix" \
        -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON "-DCMAKE_INSTALL_RPATH=\$ORIGIN" \
        -DCMAKE_CXX_FLAGS="-include cstdint" "$@" # which gcc 13's headers no longer bring in by chance
    cmake --build "$src/out" --target "${targets[@]}"
    cmake --install "$src/out"
    cp "$src/out/c_api/libfaiss_c.so" "$prefix/lib/"
    if [ $opt = avx2 ]; then
        mkdir -p "$prefix/lib/glibc-hwcaps/x86-64-v3"
        mv "$prefix/lib/libfaiss_avx2.so" "$prefix/lib/glibc-hwcaps/x86-64-v3/libfaiss.so"
    fi
}
