#!/bin/sh
# From a fresh clone to commands that ran through rexec: installs what is missing, builds, makes a key and a
# grant, starts rexecd on loopback as whoever runs this, runs commands, and says what to do next.
# Nothing stays behind but the build directory (and, as root, rexecd's /run/rexecd).
set -eu

top=$(cd "$(dirname "$0")" && pwd)
cd "$top"

tests/lib/deps.sh build

mkdir -p build
echo "== building in build/, which takes a minute the first time"
# A build directory that is there already stays as it is.
[ -e build/CMakeCache.txt ] || set -- -G Ninja -DREXEC_TESTS=OFF
if ! { cmake -S . -B build "$@" && cmake --build build --target rexec rexecd; } >build/quickstart.log 2>&1; then
    cat build/quickstart.log >&2
    echo "quickstart: the build failed; what it said is above" >&2
    exit 1
fi
PATH=$top/build/bin:$PATH

lab=$(mktemp -d)
server=
clean_up()
{
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || :
        wait "$server" 2>/dev/null || :
    fi
    rm -rf "$lab"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A home of its own, so that no configuration of the user's has a say.
cd "$lab"
HOME=$lab
export HOME PATH
me=$(id -un)
umask 077

echo "== a key for the client, a grant of it for the server, and rexecd on loopback"
echo
echo "\$ rexec keygen key"
rexec keygen key 2>&1
mkdir grants
echo "\$ rexec grant --user $me key localhost > grants/$me"
rexec grant --user "$me" key localhost >"grants/$me"
echo "\$ rexecd --name localhost --grants grants --listen 127.0.0.1:0 &"
rexecd --name localhost --grants grants --listen 127.0.0.1:0 2>log &
server=$!
port=
tries=0
while [ -z "$port" ]; do
    port=$(sed -n 's/^rexecd: listening on .*:\([0-9][0-9]*\)$/\1/p' log)
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
        cat log >&2
        echo "quickstart: rexecd did not start; what it said is above" >&2
        exit 1
    fi
    [ -n "$port" ] || sleep 0.1
done
cat log

echo
echo "== commands through it"

# Shows a command, what it wrote to each stream, and how it ended. Stdin is passed on.
show()
{
    printf "\n\$ %srexec -i key -p %s localhost '%s'\n" "$1" "$port" "$2"
    status=0
    rexec -i key -p "$port" localhost "$2" >out 2>err || status=$?
    sed 's/^/  stdout: /' out
    sed 's/^/  stderr: /' err
    echo "  status: $status$3"
}

show '' 'uname -sr; whoami' '' </dev/null
show '' 'echo one; echo two >&2; exit 3' '' </dev/null
show '' 'cat /no/such/file' '' </dev/null
# The $ is for the other side.
# shellcheck disable=SC2016
show '' 'kill -9 $$' ' (128 + 9: signal 9 killed it)' </dev/null
printf 'one\ntwo\n' | show "printf 'one\\ntwo\\n' | " 'sort -r' ''
printf '\n$ rexec ping -i key -p %s localhost\n' "$port"
rexec ping -i key -p "$port" localhost | sed 's/^/  /'

cat <<NEXT

== that was rexec, end to end

For a second machine, say lab01, on which rexec is built too:

  here$  PATH=$top/build/bin:\$PATH
  here$  rexec keygen
  here$  (umask 077; rexec grant --user $me ~/.config/rexec/key lab01 > lab01.grant)
         take lab01.grant there in a way that nobody else can read, scp for example
  lab01# install -D -m 600 lab01.grant /etc/rexec/grants/$me
  lab01# build/bin/rexecd --name lab01
  here$  rexec lab01 'uname -a'

Without root on lab01 the grant goes into ~/.config/rexec/grants there, and rexecd runs
commands as whoever starts it. README.md says more.
NEXT
