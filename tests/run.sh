#!/usr/bin/env bash
# Checks the whole project.
#
#   tests/run.sh [--only STAGE]... [--list] [--help]
#
# Stages run in the order of --list; --only may be given more than once. A stage that fails lets
# the next ones go on and fails the run. The last line says PASS or FAIL.
#
# REXEC_FUZZ_SECONDS   seconds for each fuzz target (10)
# REXEC_JOBS           processes at a time (as many as there are processors)
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
jobs=${REXEC_JOBS:-$(nproc)}

stages=(deps lint gcc asan fuzz coverage)

describe()
{
    case $1 in
    deps) echo "install what is missing with apt-get; /dev/null must be a device" ;;
    lint) echo "format, static analysis, scripts" ;;
    gcc) echo "gcc release build in build/, all tests" ;;
    asan) echo "clang build with ASan and UBSan in build-asan/, all tests" ;;
    fuzz) echo "each fuzz target for a short time" ;;
    coverage) echo "line coverage of proto/ and auth/" ;;
    esac
}

# Configures afresh (a build directory may come from other options or another compiler), keeps
# the objects, builds and runs the tests.
build_and_test()
{
    local dir=$1
    shift
    rm -rf "$dir/CMakeCache.txt" "$dir"/CMakeFiles/[0-9]*
    cmake -S . -B "$dir" -G Ninja "$@"
    cmake --build "$dir" -j "$jobs"
    ctest --test-dir "$dir" --output-on-failure --no-tests=error -j "$jobs" || return 1
    echo "-- what the duel and its kin counted"
    grep -hE '^[a-z][a-z ]*: [0-9]' "$dir/Testing/Temporary/LastTest.log" || :
}

# Redirections by root into a missing /dev/null make a file of it, which then gives back to one
# test what another has thrown away.
check_null()
{
    [ ! -c /dev/null ] || return 0
    echo "run.sh: /dev/null is not a device: making it one" >&2
    if ! { rm -f /dev/null && mknod -m 666 /dev/null c 1 3; }; then
        echo "run.sh: as root: rm -f /dev/null; mknod -m 666 /dev/null c 1 3" >&2
        return 1
    fi
}

stage_deps()
{
    check_null && tests/lib/deps.sh build test
}

stage_lint()
{
    tests/lint.sh
}

stage_gcc()
{
    build_and_test build -DCMAKE_C_COMPILER=gcc
}

stage_asan()
{
    build_and_test build-asan -DCMAKE_C_COMPILER=clang -DREXEC_SANITIZE=ON
}

stage_fuzz()
{
    tests/fuzz/run.sh "${REXEC_FUZZ_SECONDS:-10}"
}

stage_coverage()
{
    tests/coverage.sh
}

selected=()
while [ $# -gt 0 ]; do
    case $1 in
    --only)
        if [ $# -lt 2 ] || ! [[ " ${stages[*]} " == *" $2 "* ]]; then
            echo "run.sh: --only needs one of: ${stages[*]}" >&2
            exit 2
        fi
        selected+=("$2")
        shift
        ;;
    --list)
        for stage in "${stages[@]}"; do
            printf '%-10s %s\n' "$stage" "$(describe "$stage")"
        done
        exit 0
        ;;
    -h | --help)
        sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *)
        echo "run.sh: unknown argument: $1 (try --help)" >&2
        exit 2
        ;;
    esac
    shift
done
[ ${#selected[@]} -gt 0 ] || selected=("${stages[@]}")

failed=()
summary=
begin_all=$SECONDS
for stage in "${selected[@]}"; do
    printf '\n==== %s: %s\n' "$stage" "$(describe "$stage")"
    begin=$SECONDS
    # In a subshell of its own, not in a condition: there set -e would not hold.
    set +e
    (
        set -e
        "stage_$stage"
    ) 2>&1
    status=$?
    set -e
    result=ok
    if [ $status -ne 0 ]; then
        result=FAILED
        failed+=("$stage")
    fi
    took=$((SECONDS - begin))
    printf '==== %s: %s in %d s\n' "$stage" "$result" "$took"
    summary+=$(printf '%-10s %-8s %5d s' "$stage" "$result" "$took")$'\n'
done

printf '\n%s%-19s %5d s\n' "$summary" total $((SECONDS - begin_all))
if [ ${#failed[@]} -gt 0 ]; then
    echo "FAIL: ${failed[*]}"
    exit 1
fi
echo "PASS"
