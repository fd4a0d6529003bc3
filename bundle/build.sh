#!/usr/bin/env bash
# Builds the libraries of this bundle, then vidx, without a network. README.md beside this file says more.
set -euo pipefail
BUNDLE=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

usage() {
    cat <<'TEXT'
usage: build.sh [option...]
  --python PYTHON  a Python whose torch vidx is built with (default: python3)
  --torch FOLDER   or the folder of torch itself, with include/ and lib/: libtorch, or a wheel's torch/
  --prefix FOLDER  where everything is installed (default: prefix beside this file)
  --jobs N         compile N files at once (default: the number of processors)
  --tests          build the tests as well (needs --python)
  --libs           build the libraries only
The result is PREFIX/bin/vidx. A second run continues where the first ended.
TEXT
}

say() { printf '\033[1m%s\033[0m\n' "build.sh: $*" >&2; }
die() { say "$*"; exit 1; }

python=
torch=
prefix=$BUNDLE/prefix
jobs=$(nproc)
tests=false
libs_only=false
while [ $# -gt 0 ]; do
    case $1 in
    --python) python=${2:?a program}; shift ;;
    --torch) torch=$(readlink -m "${2:?a folder}"); shift ;;
    --prefix) prefix=$(readlink -m "${2:?a folder}"); shift ;;
    --jobs) jobs=${2:?a number}; shift ;;
    --tests) tests=true ;;
    --libs) libs_only=true ;;
    -h | --help) usage; exit ;;
    *) usage >&2; die "unknown option $1" ;;
    esac
    shift
done
mkdir -p "$prefix"/{lib/pkgconfig,include,bin,.built}
work=$prefix/.work
mkdir -p "$work/log"

# ---- what must be there -------------------------------------------------------------------------

check_tools() {
    local tool missing=()
    for tool in gcc g++ make perl cmake ninja python3 tar xz nm; do
        command -v $tool >/dev/null || missing+=("$tool")
    done
    [ ${#missing[@]} = 0 ] ||
        die "missing: ${missing[*]}. Debian and Ubuntu have them in build-essential, cmake, ninja-build, python3 and xz-utils."
    [ -n "$python" ] || python=python3
    python=$(command -v "$python") || die "there is no program $python"
    python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") # a link stays one: it says which environment
    if command -v meson >/dev/null; then
        meson=(meson)
    elif "$python" -c 'import mesonbuild' 2>/dev/null; then
        meson=("$python" -m mesonbuild.mesonmain)
    else
        die "missing: meson (1.0 or later), as a program or as a module of $python"
    fi
}

check_torch() {
    if [ -z "$torch" ]; then
        torch=$("$python" -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])' 2>/dev/null) ||
            die "$python has no torch; name another with --python, or torch's folder with --torch"
    fi
    [ -e "$torch/include/torch/script.h" ] || die "$torch has no include/torch/script.h: it is no folder of torch"
    # FAISS needs a BLAS. PyTorch's wheels for x86-64 contain MKL and export its functions.
    blas=$torch/lib/libtorch_cpu.so
    if [ "$(nm -D "$blas" | grep -c ' T sgemm_$')" = 0 ]; then
        blas=$(find "$torch/lib/" -name 'libopenblas*.so*' -print -quit)
        [ -n "$blas" ] || die "no BLAS: $torch/lib/libtorch_cpu.so does not export sgemm_, and no libopenblas is beside it"
    fi
}

# ---- the libraries: a function each, run in its unpacked sources ---------------------------------

build_zlib() { ./configure --prefix="$prefix" && make -j"$jobs" libz.so.1.2.13 && make install; }
build_pkgconf() {
    ./configure --prefix="$prefix" --disable-shared --with-pkg-config-dir="$prefix/lib/pkgconfig:$prefix/share/pkgconfig"
    make -j"$jobs" && make install && ln -sf pkgconf "$prefix/bin/pkg-config"
}
build_nasm() { ./configure --prefix="$prefix" && make -j"$jobs" nasm && install nasm "$prefix/bin/"; }
build_nv_codec_headers() {
    cp -R include "$prefix/"
    sed "s,^prefix=.*,prefix=$prefix," pkgconfig/ffnvcodec.pc >"$prefix/lib/pkgconfig/ffnvcodec.pc"
}
build_pyyaml() { mkdir -p "$prefix/python" && cp -R yaml "$prefix/python/"; }
build_openssl() {
    ./config --prefix="$prefix" --libdir=lib --openssldir=/etc/ssl shared no-tests no-legacy no-engine
    make -j"$jobs" build_libs && make install_dev
}
with_cmake() {
    cmake -G Ninja -S "${source:-.}" -B out -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$prefix" \
        -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_INSTALL_RPATH="${run_path//:/;}" \
        -DCMAKE_POLICY_VERSION_MINIMUM=3.5 "$@"
    cmake --build out -j "$jobs" && cmake --install out
}
# The program curl too: it is how README.md talks to a server. Certificates are the machine's.
build_curl() {
    with_cmake -DHTTP_ONLY=ON -DCURL_USE_OPENSSL=ON -DOPENSSL_ROOT_DIR="$prefix" -DCURL_USE_LIBSSH2=OFF -DUSE_LIBIDN2=OFF \
        -DCURL_ZLIB=OFF -DCURL_BROTLI=OFF -DCURL_ZSTD=OFF -DUSE_NGHTTP2=OFF -DCURL_USE_LIBPSL=OFF -DBUILD_TESTING=OFF \
        -DENABLE_MANUAL=OFF -DCURL_CA_PATH=/etc/ssl/certs -DCURL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
}
build_libmicrohttpd() {
    ./configure --prefix="$prefix" --disable-static --disable-doc --disable-examples --disable-curl --disable-https
    make -j"$jobs" -C src/include && make -j"$jobs" -C src/microhttpd libmicrohttpd.la
    make -C src/microhttpd install-libLTLIBRARIES && make -C src/include install
    make install-pkgconfigDATA
}
build_jansson() {
    with_cmake -DJANSSON_BUILD_DOCS=OFF -DJANSSON_BUILD_SHARED_LIBS=ON -DJANSSON_WITHOUT_TESTS=ON -DJANSSON_EXAMPLES=OFF
}
build_cmocka() { with_cmake -DWITH_EXAMPLES=OFF; }
build_libzstd() { make -j"$jobs" -C lib PREFIX="$prefix" install; }
build_snappy() { with_cmake -DBUILD_SHARED_LIBS=ON -DSNAPPY_BUILD_TESTS=OFF -DSNAPPY_BUILD_BENCHMARKS=OFF; }
build_utf8proc() { make -j"$jobs" && make prefix="$prefix" install; }
build_sqlite3() {
    gcc -O2 -fPIC -shared -Wl,-soname,libsqlite3.so.0 -DSQLITE_THREADSAFE=1 -DSQLITE_ENABLE_COLUMN_METADATA \
        -DSQLITE_ENABLE_DBSTAT_VTAB -DSQLITE_ENABLE_UNLOCK_NOTIFY -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_MATH_FUNCTIONS \
        -DSQLITE_SECURE_DELETE -DSQLITE_USE_URI sqlite3.c -o "$prefix/lib/libsqlite3.so.0" -lpthread -ldl -lm
    ln -sf libsqlite3.so.0 "$prefix/lib/libsqlite3.so"
    cp sqlite3.h "$prefix/include/"
    printf '%s\n' "Name: SQLite" "Description: database" "Version: $(sed -n 's/#define SQLITE_VERSION  *"\(.*\)"/\1/p' sqlite3.h)" \
        "Libs: -L$prefix/lib -lsqlite3" "Cflags: -I$prefix/include" >"$prefix/lib/pkgconfig/sqlite3.pc"
}
build_faiss() { # which asks for MKL first
    mkdir -p cmake
    echo 'set(MKL_FOUND TRUE)' >cmake/FindMKL.cmake
    faiss_build "$PWD" "$prefix" "-DMKL_LIBRARIES=$blas"
}
build_dav1d() {
    "${meson[@]}" setup out --prefix="$prefix" --libdir=lib --buildtype=release -Denable_tools=false -Denable_tests=false
    ninja -C out -j "$jobs" install
}
build_x264() { ./configure --prefix="$prefix" --enable-shared --disable-cli && make -j"$jobs" && make install; }
build_x265() {
    sed -i '/cmake_policy(SET CMP.* OLD)/d' source/CMakeLists.txt # CMake 4 refuses these
    source=source with_cmake -DENABLE_CLI=OFF -DENABLE_SHARED=ON -DENABLE_LIBNUMA=OFF
}

# What vidx accepts (src/media/demux.c), and the sound and headers around it. With the encoders, also what it
# takes to make test clips with the program ffmpeg.
# shellcheck disable=SC2054 # the commas are FFmpeg's
build_ffmpeg() {
    local options=(--prefix="$prefix" --enable-shared --disable-static --disable-doc --disable-debug --disable-everything
        --disable-autodetect --enable-zlib --enable-libdav1d --enable-ffnvcodec --enable-nvenc --enable-pthreads
        --disable-network --disable-avdevice --disable-programs --disable-avfilter --disable-swresample --disable-postproc
        --enable-parsers --enable-bsfs --enable-protocol=file,pipe
        --enable-demuxer=aac,aiff,amr,asf,avi,caf,dv,flac,flv,gif,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp3,mpegps,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,w64,wav,yuv4mpegpipe
        --enable-decoder=av1,cinepak,dnxhd,dvvideo,ffv1,ffvhuff,flv,gif,h261,h263,h263i,h263p,h264,hevc,huffyuv,libdav1d,mjpeg,mpeg1video,mpeg2video,mpeg4,mpegvideo,msmpeg4v1,msmpeg4v2,msmpeg4v3,png,prores,qtrle,rawvideo,rv10,rv20,rv30,rv40,svq1,svq3,theora,utvideo,vc1,vp6,vp6a,vp6f,vp8,vp9,wmv1,wmv2,wmv3
        --enable-decoder=aac,aac_latm,ac3,alac,amrnb,amrwb,eac3,flac,mp1,mp2,mp3,opus,vorbis,wmav1,wmav2,wmapro,pcm_alaw,pcm_mulaw,pcm_s16be,pcm_s16le,pcm_s24le,pcm_u8
        --enable-encoder=mjpeg,mpeg4,h264_nvenc --enable-muxer=mp4,mov,matroska)
    if [ -e "$BUNDLE/sources/x264.tar.xz" ]; then
        options+=(--enable-gpl --enable-libx264 --enable-libx265 --enable-ffmpeg --enable-ffprobe --enable-avfilter
            --enable-swresample --enable-encoder=libx264,libx265,mpeg2video,rawvideo,wrapped_avframe,ffv1
            --enable-muxer=null,rawvideo,h264,hevc,mpegts,avi,segment --enable-demuxer=concat,rawvideo
            --enable-indev=lavfi --enable-avdevice
            --enable-filter=scale,format,noise,crop,hflip,vflip,transpose,fps,trim,setpts,settb,setsar,loop,hue,blend,overlay,null,copy,testsrc2,color,gradients,life,mandelbrot,split,concat,interlace,tinterlace,eq,pad)
    fi
    ./configure "${options[@]}"
    make -j"$jobs" && make install
}

# ---- running them -------------------------------------------------------------------------------

# Builds these one after the other, each unless it was built before. Its output goes to a file.
build_each() {
    local name package dir log status
    for name in "$@"; do
        package=${name//_/-}
        dir=$work/$package
        log=$work/log/$package
        if [ -e "$prefix/.built/$package" ] || [ ! -e "sources/$package.tar.xz" ]; then continue; fi
        rm -rf "$dir"
        mkdir "$dir"
        tar -C "$dir" --strip-components=1 -xf "sources/$package.tar.xz"
        set +e # bash does not stop at a failing line inside of a condition
        (set -e; cd "$dir"; "build_$name") >"$log" 2>&1 </dev/null
        status=$?
        set -e
        if [ $status != 0 ]; then
            tail -n 30 "$log" >&2
            die "$package failed (the whole output is in $log)"
        fi
        touch "$prefix/.built/$package"
        rm -rf "$dir"
        say "built $package ($SECONDS s)"
    done
}

# Four lanes beside each other: configuring uses one processor, compiling all.
build_libraries() {
    local lane lanes=() failed=0
    build_each zlib pkgconf nv_codec_headers pyyaml
    build_each openssl curl & lanes+=($!)
    build_each nasm dav1d x264 x265 ffmpeg & lanes+=($!)
    build_each faiss & lanes+=($!)
    build_each sqlite3 jansson utf8proc libzstd snappy cmocka libmicrohttpd & lanes+=($!)
    for lane in "${lanes[@]}"; do wait "$lane" || failed=1; done
    return $failed
}

# torch's MKL is no full LAPACK. FAISS trains some indexes with what is missing; vidx has none of these indexes.
# The functions must exist for the linker; one that is called says so and ends the program.
build_absent_lapack() {
    local wanted='s/.* \([sd][a-z0-9]*_\)$/\1/p' name
    {
        echo '#include <stdio.h>'
        echo '#include <stdlib.h>'
        for name in $(comm -23 <(nm -D --undefined-only "$prefix/lib/libfaiss.so" | sed -n "$wanted" | sort -u) \
            <(nm -D --defined-only "$blas" | sed -n "$wanted" | sort -u)); do
            printf 'void %s(void); void %s(void) { fputs("this FAISS has no %s\\n", stderr); abort(); }\n' "$name" "$name" "$name"
        done
    } >"$work/absent_lapack.c"
    gcc -O2 -fPIC -shared "$work/absent_lapack.c" -o "$prefix/lib/libabsent_lapack.so"
}

build_vidx() {
    local dir=$work/vidx options
    mkdir -p "$dir"
    tar -C "$dir" --strip-components=1 -xf vidx.tar.xz
    mkdir -p "$dir"/build/{deps,venv/bin}
    ln -sfn "$prefix" "$dir/build/deps/faiss"
    write_program "$dir/build/venv/bin/python" "$python"
    write_program "$dir/build/venv/bin/meson" "${meson[@]}"
    options=("-Dtorch_prefix=$torch" "-Dtests=$tests" "--prefix=$prefix")
    cat >"$dir/build/bundle.env" <<TEXT
# Written by the bundle's build.sh, read by ./dev: this machine's libraries.
export PATH=$(printf %q "$prefix/bin"):\$PATH
export PKG_CONFIG_PATH=$(printf %q "$prefix/lib/pkgconfig:$prefix/share/pkgconfig")
export LDFLAGS=$(printf %q "-L$prefix/lib -Wl,--no-as-needed -labsent_lapack -Wl,--as-needed -Wl,-rpath,$prefix/lib -Wl,--disable-new-dtags")
export CPATH=$(printf %q "$prefix/include")
$("$python" -c 'import yaml' 2>/dev/null || printf 'export PYTHONPATH=%q' "$prefix/python")
MESON_OPTIONS=($(printf '%q ' "${options[@]}"))
TEXT
    if ! "$dir/dev" build; then die "vidx failed"; fi
    if [ $tests = true ] && ! ninja --quiet -C "$dir/build/release"; then die "the tests failed to build"; fi
    cp "$dir/build/release/vidx" "$prefix/bin/vidx"
    say "built $prefix/bin/vidx ($SECONDS s); ./dev works in $dir"
}

write_program() {
    local file=$1
    shift
    printf '#!/bin/sh\nexec%s "$@"\n' "$(printf ' %q' "$@")" >"$file"
    chmod +x "$file"
}

check_tools
check_torch
cd "$BUNDLE"
export PATH=$prefix/bin:$PATH PKG_CONFIG_PATH=$prefix/lib/pkgconfig:$prefix/share/pkgconfig
# The linker itself reads LD_RUN_PATH, so that no make or shell stumbles over the dollar. (LD_LIBRARY_PATH would
# also give our libraries to the machine's own programs; ld itself uses jansson.)
run_path="\$ORIGIN:\$ORIGIN/../lib:$prefix/lib"
export CPATH=$prefix/include LIBRARY_PATH=$prefix/lib LD_RUN_PATH=$run_path
# shellcheck source=/dev/null
source ./faiss.sh
build_libraries || die "a library failed, see above"
build_absent_lapack
[ $libs_only = true ] || build_vidx
