#!/usr/bin/env bash
# Builds what is measured, measures rexec beside its peers on this machine, prints a table and writes
# JSON and a plot. docs/PERFORMANCE.md says what is measured and how.
#
#   tests/bench/run.sh [--only SECTION]... [--quick] [--write-docs] [--from FILE] [--list] [--help]
#
# Peers are installed if they can be; one that is missing is said to be, and the rest is measured.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"

measure=yes build=yes
for argument in "$@"; do
    case $argument in
    --list | --help | -h | --from | --from=*) measure= ;;
    --build | --build=*) build= ;;
    esac
done

if [ -n "$measure" ] && [ -n "$build" ]; then
    tests/lib/deps.sh build test
    tests/lib/deps.sh bench || echo "run.sh: some peers are missing: they are left out" >&2
    mkdir -p build-bench
    cmake -S . -B build-bench -G Ninja -DCMAKE_BUILD_TYPE=Release -DREXEC_BENCH=ON \
        >build-bench/configure.log 2>&1 || { cat build-bench/configure.log >&2; exit 1; }
    cmake --build build-bench >build-bench/build.log || { cat build-bench/build.log >&2; exit 1; }
fi

# The system's interpreter before any other of the same name.
PATH=/usr/bin:$PATH exec python3 -B tests/bench/bench.py "$@"
