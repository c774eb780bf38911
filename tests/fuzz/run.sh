#!/usr/bin/env bash
# Builds the fuzz targets with clang and runs them, two at a time.
#
#   tests/fuzz/run.sh SECONDS [TARGET...]     each target for so many seconds
#   tests/fuzz/run.sh --runs N [TARGET...]    each target N times
#
# A target is fuzz_NAME, from tests/fuzz/fuzz_NAME.c; all of them if none is named.
# tests/fuzz/seeds/TARGET/ holds inputs to begin with, tests/fuzz/rexec.dict words to use.
# What a run finds goes to build-fuzz/corpus/TARGET/, what breaks a target to
# build-fuzz/artifacts/TARGET/, and what it says to build-fuzz/logs/TARGET.log.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
jobs=${REXEC_JOBS:-$(nproc)}
build="build-fuzz"
parallel=2

usage()
{
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
}

number()
{
    if ! [[ ${1:-} =~ ^[1-9][0-9]*$ ]]; then
        usage >&2
        exit 2
    fi
}

case ${1:-} in
-h | --help)
    usage
    exit 0
    ;;
--runs)
    number "${2:-}"
    limit=-runs=$2
    shift 2
    ;;
*)
    number "${1:-}"
    limit=-max_total_time=$1
    shift
    ;;
esac

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for file in tests/fuzz/fuzz_*.c; do
        [ ! -f "$file" ] || targets+=("$(basename "$file" .c)")
    done
fi
if [ ${#targets[@]} -eq 0 ]; then
    echo "fuzz: no tests/fuzz/fuzz_*.c" >&2
    exit 1
fi
for target in "${targets[@]}"; do
    if [ ! -f "tests/fuzz/$target.c" ]; then
        echo "fuzz: no such target: $target" >&2
        exit 2
    fi
done

cmake -S . -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Release \
    -DREXEC_FUZZ=ON -DREXEC_TESTS=OFF -DREXEC_BENCH=OFF
cmake --build "$build" -j "$jobs"

export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1

options=("$limit" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1)
if [ -f tests/fuzz/rexec.dict ]; then
    options+=(-dict=tests/fuzz/rexec.dict)
fi

# Runs one target and prints its line.
run()
{
    local target=$1 status=0 crashes result=ok log=$build/logs/$1.log
    local dirs=("$build/corpus/$target")
    mkdir -p "$build/corpus/$target" "$build/artifacts/$target" "$build/logs"
    if [ -d "tests/fuzz/seeds/$target" ]; then
        dirs+=("tests/fuzz/seeds/$target")
    fi
    : >"$build/logs/$target.begin"
    "$build/tests/fuzz/$target" "${options[@]}" -artifact_prefix="$build/artifacts/$target/" \
        "${dirs[@]}" >"$log" 2>&1 || status=$?
    # The same input as last time is written again under the same name.
    crashes=$(find "$build/artifacts/$target" -type f -newer "$build/logs/$target.begin" | wc -l)
    if [ "$status" -ne 0 ] || [ "$crashes" -ne 0 ]; then
        result="FAILED (exit $status)"
    fi
    printf '%-28s %10s runs %8s exec/s %6s new units %3d crashes  %s\n' "$target" \
        "$(stat "$log" number_of_executed_units)" "$(stat "$log" average_exec_per_sec)" \
        "$(stat "$log" new_units_added)" "$crashes" "$result"
    [ "$result" = ok ]
}

stat()
{
    local value
    value=$(sed -n "s/^stat::$2: *//p" "$1")
    echo "${value:--}"
}

failed=0
running=0
for target in "${targets[@]}"; do
    if [ $running -eq $parallel ]; then
        wait -n || failed=$((failed + 1))
        running=$((running - 1))
    fi
    run "$target" &
    running=$((running + 1))
done
while [ $running -gt 0 ]; do
    wait -n || failed=$((failed + 1))
    running=$((running - 1))
done

if [ $failed -ne 0 ]; then
    for target in "${targets[@]}"; do
        if ! grep -q '^Done [0-9]* runs' "$build/logs/$target.log"; then
            printf -- '-- end of %s\n' "$build/logs/$target.log"
            tail -n 60 "$build/logs/$target.log"
        fi
    done
    echo "fuzz: FAILED: $failed of ${#targets[@]} targets; inputs in $build/artifacts/" >&2
    exit 1
fi
echo "fuzz: ok (${#targets[@]} targets)"
