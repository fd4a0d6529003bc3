#!/usr/bin/env bash
# The kernels against their CPU twins, to the bit, and how fast they are; then real clips. Exit 0 passed, 77
# no card here, else failed.
#
#     tests/gpu/kernels.sh [FILE...]    of build/release ($VIDX_BUILD for another)
#
# With compute-sanitizer in the PATH the kernels run under it as well.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."

folder=${VIDX_BUILD:-build/release}/tests/gpu
[ -x "$folder/kernels_check" ] || { echo "tests/gpu/kernels: no $folder/kernels_check: it is built where the nv-codec headers are"; exit 1; }
status=0
"$folder/kernels_check" || status=$?
[ $status = 0 ] || exit $status
[ $# = 0 ] || "$folder/card_check" compare "$@"
if command -v compute-sanitizer >/dev/null; then
    compute-sanitizer --error-exitcode 1 --print-limit 5 "$folder/kernels_check"
fi
