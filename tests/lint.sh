#!/usr/bin/env bash
# Checks the text of the project: names at the top, format, static analysis, scripts.
#
#   tests/lint.sh [FILE.c...]    the named files only for clang-tidy, its slowest part
#
# All checks run; any finding fails.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$top"
jobs=${REXEC_JOBS:-$(nproc)}
build="build-lint"

case ${1:-} in
-h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac

for tool in git cmake ninja clang clang-format clang-tidy cppcheck shellcheck python3; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "lint: $tool not found: run tests/lib/deps.sh" >&2
        exit 1
    fi
done

temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

# Files of the project, committed or about to be. The work tree may belong to another user.
files=()
git -c safe.directory="$top" ls-files -co --exclude-standard -z >"$temporary/files"
while IFS= read -r -d '' file; do
    [ ! -f "$file" ] || files+=("$file")
done <"$temporary/files"

c_files=() sources=() sh_files=() bash_files=() python_files=()
for file in "${files[@]}"; do
    case $file in
    *.c) c_files+=("$file") sources+=("$file") ;;
    *.h) c_files+=("$file") ;;
    *.py) python_files+=("$file") ;;
    *)
        first=
        IFS= read -r first <"$file" 2>/dev/null || true
        case $first in
        '#!'*bash*) bash_files+=("$file") ;;
        '#!'*sh | '#!'*'sh '*) sh_files+=("$file") ;;
        esac
        ;;
    esac
done

failed=()

# check NAME COMMAND...: runs one check and remembers its failure.
check()
{
    local name=$1 begin=$SECONDS
    shift
    printf -- '-- %s\n' "$name"
    if "$@"; then
        printf -- '-- %s: ok (%d s)\n' "$name" $((SECONDS - begin))
    else
        printf -- '-- %s: FAILED (%d s)\n' "$name" $((SECONDS - begin))
        failed+=("$name")
    fi
}

check_top_level()
{
    local name status=0
    while IFS= read -r name; do
        case $name in
        .* | rexecd | rexec | proto | auth | tests | docs | CMakeLists.txt | README.md | LICENSE | \
            quickstart.sh | packaging) ;;
        *)
            echo "$name: not a name for the top of the project" >&2
            status=1
            ;;
        esac
    done < <(printf '%s\n' "${files[@]%%/*}" | sort -u)
    return $status
}

check_format()
{
    [ ${#c_files[@]} -eq 0 ] && return 0
    printf '%s\0' "${c_files[@]}" | xargs -0 -n 32 -P "$jobs" clang-format --dry-run -Werror
}

configure()
{
    # Every kind of test at once: nothing is built here, only compile_commands.json is wanted.
    cmake -S . -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang \
        -DREXEC_TESTS=ON -DREXEC_FUZZ=ON -DREXEC_BENCH=ON >"$temporary/cmake" 2>&1 && return 0
    cat "$temporary/cmake" >&2
    return 1
}

# The compiler never sees a file that no target names.
check_listed()
{
    local file status=0
    for file in "${sources[@]}"; do
        if ! grep -qF "\"file\": \"$top/$file\"" "$build/compile_commands.json"; then
            echo "$file: in no target of the CMakeLists.txt files" >&2
            status=1
        fi
    done
    return $status
}

tidy_one()
{
    local output status=0
    output=$(clang-tidy -p "$build" --quiet "$1" 2>&1) || status=1
    output=$(grep -vE '^[0-9]+ warnings?( and [0-9]+ errors?)? (generated|treated as error)' \
        <<<"$output" || true)
    [ -z "$output" ] || printf '%s\n' "$output"
    return $status
}

check_tidy()
{
    export -f tidy_one
    export build
    [ $# -eq 0 ] && return 0
    # shellcheck disable=SC2016 # the inner shell expands it
    printf '%s\0' "$@" | xargs -0 -n 1 -P "$jobs" bash -c 'tidy_one "$1"' tidy
}

check_cppcheck()
{
    [ ${#sources[@]} -eq 0 ] && return 0
    mkdir -p "$build/cppcheck"
    # It reads no system headers; without this one it takes the list macros for syntax errors.
    local queue
    queue=$(printf '#include <sys/queue.h>\n' | cc -M -x c - | tr ' ' '\n' | grep '/queue\.h$')
    cppcheck --quiet -j "$jobs" --project="$build/compile_commands.json" \
        --cppcheck-build-dir="$build/cppcheck" \
        --enable=warning,style,performance,portability --error-exitcode=1 \
        --inline-suppr --suppressions-list=.cppcheck-suppressions --template=gcc --include="$queue"
}

check_shell()
{
    local file status=0
    for file in "${sh_files[@]}"; do
        sh -n "$file" || status=1
    done
    for file in "${bash_files[@]}"; do
        bash -n "$file" || status=1
    done
    for file in "${sh_files[@]}" "${bash_files[@]}"; do
        if [ ! -x "$file" ]; then
            echo "$file: has a #! line and may not be executed" >&2
            status=1
        fi
        shellcheck -x -P SCRIPTDIR -f gcc "$file" || status=1
    done
    return $status
}

check_python()
{
    [ ${#python_files[@]} -eq 0 ] && return 0
    PYTHONPYCACHEPREFIX=$temporary python3 -W error -m py_compile "${python_files[@]}"
}

check "top-level names" check_top_level
check "clang-format" check_format
check "configure" configure
if [ -f "$build/compile_commands.json" ]; then
    check "every source in a target" check_listed
    if [ $# -gt 0 ]; then
        check "clang-tidy" check_tidy "$@"
    else
        check "clang-tidy" check_tidy "${sources[@]}"
    fi
    check "cppcheck" check_cppcheck
fi
check "shell" check_shell
check "python" check_python

if [ ${#failed[@]} -gt 0 ]; then
    printf -v names '%s, ' "${failed[@]}"
    echo "lint: FAILED: ${names%, }"
    exit 1
fi
echo "lint: ok (${#files[@]} files)"
