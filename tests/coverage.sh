#!/usr/bin/env bash
# Line and branch coverage of proto/ and auth/ by the tests; fails below the limit.
#
#   tests/coverage.sh
#
# REXEC_COVERAGE_MIN   least percentage of lines (95)
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
jobs=${REXEC_JOBS:-$(nproc)}
build="build-cov"
data=$build/coverage.json

case ${1:-} in
-h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac

cmake -S . -B "$build" -G Ninja -DCMAKE_C_COMPILER=gcc -DREXEC_COVERAGE=ON
cmake --build "$build" -j "$jobs"
# Counts of an earlier run, and of objects that no longer exist, do not count.
find "$build" -name '*.gcda' -delete
ninja -C "$build" -t cleandead >/dev/null

status=0
ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$jobs" -LE '^(ct|e2e)$' || status=1

gcovr --root . --filter 'proto/' --filter 'auth/' --exclude-unreachable-branches \
    -j "$jobs" --json "$data" "$build"
gcovr --root . --add-tracefile "$data" --txt --branches
gcovr --root . --add-tracefile "$data" --txt
# To a file: gcovr tries its output by writing and removing it, /dev/null as well where root lets it.
gcovr --root . --add-tracefile "$data" --print-summary --output "$build/coverage.txt" \
    --fail-under-line "${REXEC_COVERAGE_MIN:-95}" || status=1
exit $status
