# ./dev bundle: packs vidx and the sources of its libraries for a machine without package registries.
# Sourced by ./dev, whose functions it uses. README.md beside this file says what a bundle is.
# shellcheck shell=bash

# Fetches a Debian source package and unpacks it, with Debian's patches, to DIR/PACKAGE/PACKAGE-VERSION.
# A mirror may lack the newest version; then the one before is taken.
bundle_fetch() {
    local dir=$1 package=$2 version
    for version in '' $(apt_source "$dir" cache showsrc "$package" | sed -n 's/^Version: /=/p' | sort -Vr); do
        rm -rf "${dir:?}/$package"
        mkdir "$dir/$package"
        (cd "$dir/$package" && apt_source "$dir" get source "$package$version") && return
    done
    echo "no version of the source package $package can be fetched"
    return 1
}

# SQLite's amalgamation, one C file, takes Tcl to make. The target then needs none.
bundle_sqlite() {
    local source=$1 made
    (cd "$source" && ./configure --disable-tcl && make sqlite3.c)
    made=$(mktemp -d)
    mv "$source"/{sqlite3.c,sqlite3.h,debian} "$made"
    find "$source" -mindepth 1 -delete
    mv "$made"/* "$source"
    rmdir "$made"
}

# bundle_pack DIR OUT PACKAGE LICENCE [PATTERN...]: packs what bundle_fetch has unpacked, without the paths
# that match the patterns.
bundle_pack() {
    local dir=$1 out=$2 package=$3 licence=$4 source version path
    source=$(echo "$dir/$package"/*/)
    version=$(dpkg-parsechangelog -l "$source/debian/changelog" -S Version)
    cp "$source/debian/copyright" "$out/licences/$package"
    echo "| $package | $version | $licence | Debian's source package |" >>"$out/SOURCES.md"
    [ "$package" != sqlite3 ] || bundle_sqlite "$source"
    # shellcheck disable=SC2086 # a pattern
    (cd "$source" && rm -rf debian .pc && for path in "${@:5}"; do rm -rf -- $path; done)
    if [ "$package" = openssl ]; then # its Configure reads one file in each folder
        for path in test doc fuzz; do : >"$source/$path/build.info"; done
    fi
    bundle_tar "$out/sources/$package.tar.xz" -C "$dir/$package" "$(basename "$source")"
}

bundle_tar() {
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - "${@:2}" | xz -9 >"$1"
}

# NVIDIA's headers for FFmpeg and NVDEC, and PyYAML, which the build uses: both are files to copy.
bundle_headers() {
    local dir=$1 out=$2 yaml version
    mkdir -p "$dir/nv/root"
    (cd "$dir/nv" && apt-get -q download libffmpeg-nvenc-dev && dpkg -x ./*.deb root)
    version=$(echo "$dir"/nv/*.deb | cut -d_ -f2)
    cp "$dir/nv/root/usr/share/doc/libffmpeg-nvenc-dev/copyright" "$out/licences/nv-codec-headers"
    mkdir "$dir/nv/nv-codec-headers"
    cp -R "$dir"/nv/root/usr/{include,share/pkgconfig} "$dir/nv/nv-codec-headers/"
    bundle_tar "$out/sources/nv-codec-headers.tar.xz" -C "$dir/nv" nv-codec-headers
    echo "| nv-codec-headers | $version | MIT | Debian's package libffmpeg-nvenc-dev |" >>"$out/SOURCES.md"
    yaml=$(echo "$VENV"/lib/python3*/site-packages)
    cp "$(find "$yaml"/pyyaml-*.dist-info -name LICENSE)" "$out/licences/pyyaml"
    mkdir -p "$dir/pyyaml/yaml"
    cp "$yaml"/yaml/*.py "$dir/pyyaml/yaml/"
    bundle_tar "$out/sources/pyyaml.tar.xz" -C "$dir" pyyaml
    version=$(sed -n 's/^pyyaml==//p' models/requirements.txt)
    echo "| pyyaml | $version | MIT | PyPI, the files in Python |" >>"$out/SOURCES.md"
}

# bundle OUT PART...
bundle() {
    local out=$1 dir=$PWD/build/bundle-work row
    shift
    rm -rf "$out" "$dir"
    mkdir -p "$out"/{sources,licences}
    apt_source_lists "$dir"
    cp bundle/{build.sh,faiss.sh,README.md} LICENSE "$out/"
    printf '%s\n' '| source | version | licence | from |' '|---|---|---|---|' >"$out/SOURCES.md"
    while read -ra row; do
        [[ " $* " == *" ${row[1]} "* ]] || continue
        bundle_fetch "$dir" "${row[0]}"
        bundle_pack "$dir" "$out" "${row[0]}" "${row[@]:2}"
    done < <(grep -v '^#' bundle/sources.txt)
    bundle_headers "$dir" "$out"
    git ls-files -z | bundle_tar "$out/vidx.tar.xz" --null -T - --transform 's,^,vidx/,'
    rm -rf "$dir"
}
