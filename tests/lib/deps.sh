#!/bin/sh
# The Debian and Ubuntu packages that rexec needs.
#
#   tests/lib/deps.sh [--check] [build] [test] [bench]    build and test if none is named
#
# Installs those that are missing with apt-get, as root or through sudo; --check (or
# REXEC_DEPS_CHECK=1) only says which they are. Exits 0 when nothing is missing at the end.
# A script may also source this file and call rexec_deps with the same words.

# Lists of packages are words in one variable, split where they are used.
# shellcheck disable=SC2086

# In both lists a|b stands for any one of them, the first being the one to install.
rexec_deps_build='
    cmake ninja-build gcc libc6-dev pkg-config|pkgconf
    libevent-dev libjansson-dev libsodium-dev libssl-dev libinih-dev libseccomp-dev'
rexec_deps_test='
    clang clang-format clang-tidy llvm cppcheck shellcheck libcmocka-dev valgrind gcovr
    python3 python3-cryptography mandoc git tshark
    rsync openssh-client openssh-sftp-server sshfs parallel pdsh pssh clustershell
    ansible-core|ansible rdiff-backup borgbackup unison tmux vim less procps'
# A library that is made for these processors alone.
if [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ]; then
    rexec_deps_build="$rexec_deps_build libipsec-mb-dev"
fi
# What tests/bench compares rexec with, and what it counts with.
rexec_deps_bench='
    python3 openssh-client openssh-server dropbear-bin tinysshd ucspi-tcp ncat strace'

rexec_deps_installed()
{
    dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

rexec_deps_known()
{
    apt-cache show "$1" >/dev/null 2>&1
}

# The package with the sanitizer and fuzzer libraries of the default clang has had three names.
# Prints the one to install, or nothing.
rexec_deps_clang_rt()
{
    rexec_deps_installed libclang-rt-dev && return 0
    rt_major=$(dpkg-query -W -f '${Version}' clang 2>/dev/null | sed 's/^[0-9]*://; s/[^0-9].*//')
    if [ -n "$rt_major" ]; then
        rexec_deps_installed "libclang-rt-$rt_major-dev" && return 0
        dpkg-query -L "libclang-common-$rt_major-dev" 2>/dev/null |
            grep -q 'libclang_rt\.fuzzer-' && return 0
    fi
    for rt_name in libclang-rt-dev ${rt_major:+"libclang-rt-$rt_major-dev"} \
        ${rt_major:+"libclang-common-$rt_major-dev"}; do
        if rexec_deps_known "$rt_name"; then
            echo "$rt_name"
            return 0
        fi
    done
    # Without clang its version is not known yet: the next round asks again.
    [ -z "$rt_major" ] || echo "libclang-rt-$rt_major-dev"
}

# Prints the missing packages of the sets named, on one line.
rexec_deps_missing()
{
    miss_list=
    for miss_set in "$@"; do
        case $miss_set in
        build) miss_words=$rexec_deps_build ;;
        test) miss_words="$rexec_deps_test $(rexec_deps_clang_rt)" ;;
        bench) miss_words=$rexec_deps_bench ;;
        *)
            echo "deps: no such set: $miss_set (there are build, test and bench)" >&2
            return 2
            ;;
        esac
        for miss_word in $miss_words; do
            miss_found=
            for miss_name in $(echo "$miss_word" | tr '|' ' '); do
                if rexec_deps_installed "$miss_name"; then
                    miss_found=yes
                fi
            done
            [ -n "$miss_found" ] || miss_list="$miss_list ${miss_word%%|*}"
        done
    done
    echo "${miss_list# }"
}

rexec_deps_tell()
{
    echo "deps: missing packages: $*" >&2
    echo "deps: install them with: apt-get install $*" >&2
}

rexec_deps()
{
    deps_check=${REXEC_DEPS_CHECK:-}
    if [ "${1:-}" = --check ]; then
        deps_check=1
        shift
    fi
    [ $# -gt 0 ] || set -- build test

    if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
        echo "deps: no apt-get here; rexec is built on Debian and Ubuntu with these packages:" >&2
        echo "deps:" $rexec_deps_build >&2
        echo "deps:" $rexec_deps_test libclang-rt-dev >&2
        echo "deps: and its benchmarks with" $rexec_deps_bench >&2
        return 1
    fi

    deps_list=$(rexec_deps_missing "$@") || return
    [ -n "$deps_list" ] || return 0

    deps_sudo=
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null 2>&1; then
            deps_sudo=sudo
            # Nobody is there to type a password.
            [ -t 0 ] || deps_sudo='sudo -n'
        else
            [ -n "$deps_check" ] || echo "deps: neither root nor sudo: cannot install" >&2
            deps_check=1
        fi
    fi
    if [ -n "$deps_check" ]; then
        rexec_deps_tell $deps_list
        return 1
    fi

    echo "deps: missing: $deps_list"
    echo "deps: installing with ${deps_sudo:+$deps_sudo }apt-get"
    $deps_sudo apt-get update -q || echo "deps: apt-get update failed, trying without" >&2
    for deps_round in 1 2; do
        deps_list=$(rexec_deps_missing "$@")
        [ -n "$deps_list" ] || break
        $deps_sudo env DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends $deps_list || break
    done
    deps_list=$(rexec_deps_missing "$@")
    if [ -n "$deps_list" ]; then
        echo "deps: installation failed (round $deps_round)" >&2
        rexec_deps_tell $deps_list
        return 1
    fi
}

case ${0##*/} in
deps.sh)
    set -eu
    case ${1:-} in
    -h | --help)
        sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    esac
    rexec_deps "$@"
    ;;
esac
