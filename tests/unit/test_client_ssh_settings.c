/* The command line as programs call ssh: where to, -o, and what follows from both. */
#include "tests/unit/argv_rows.h"

#include <stdlib.h>
#include <unistd.h>

#include "rexec/resolve.h"

/* ---- where to --------------------------------------------------------------------------- */

static void test_destinations(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"h", "host:h"},
        {"bob@h", "host:h user:bob"},
        {"b@c@h", "host:h user:b@c"},
        {"192.0.2.1", "host:192.0.2.1"},
        {"2001:db8::1", "host:2001:db8::1"},
        {"bob@2001:db8::1", "host:2001:db8::1 user:bob"},
        {"[2001:db8::1]", "host:2001:db8::1"},
        {"bob@[2001:db8::1]", "host:2001:db8::1 user:bob"},
        {"fe80::1%eth0", "host:fe80::1%eth0"},
        {"unix:/run/a@b", "host:unix:/run/a@b"},
        {"bob@unix:/run/a b", "host:unix:/run/a b user:bob"},
        {"ssh://h", "host:h"},
        {"ssh://h/", "host:h"},
        {"ssh://bob@h", "host:h user:bob"},
        {"ssh://h:99", "host:h port:99"},
        {"ssh://bob@h:99/|ls", "host:h user:bob port:99 run:ls"},
        {"rexec://bob@h:99|ls|-l", "host:h user:bob port:99 run:ls|-l"},
        {"ssh://[2001:db8::1]", "host:2001:db8::1"},
        {"ssh://bob@[2001:db8::1]:99", "host:2001:db8::1 user:bob port:99"},
        {"ssh://b%40c@h", "host:h user:b@c"},
        {"ssh://bob;fingerprint=x@h:5", "host:h user:bob port:5"},
        {"SSH://h", "host:SSH://h"},
        {"-l|a|b@h", "host:h user:a"},
        {"b@h|-l|a", "host:h user:b"},
        {"-l|a|-l|b|h", "host:h user:a"},
        {"-la|-oUser=b|h", "host:h user:a"},
        {"-oUser=b|-la|h", "host:h user:b"},
        {"-oUser=b|c@h", "host:h user:b"},
        {"-la|ssh://b@h", "host:h user:a"},
        {"-p1|-p2|h", "host:h port:1"},
        {"-p1|-oPort=2|h", "host:h port:1"},
        {"-oPort=2|-p1|h", "host:h port:2"},
        {"-p1|ssh://h:2", "host:h port:1"},
        {"ssh://h:2|-p1", "host:h port:2"},
        {"-p|ssh|h", "host:h port:ssh"},
        {"ssh://h/x", "!no host"},
        {"ssh://", "!no host"},
        {"ssh:///", "!no host"},
        {"ssh://@h", "!no host"},
        {"ssh://;x@h", "!no host"},
        {"ssh://h:", "!a port is"},
        {"ssh://h:0", "!a port is"},
        {"ssh://h:65536", "!a port is"},
        {"ssh://h:1x", "!a port is"},
        {"ssh://a%zz@h", "!no host"},
        {"ssh://a%2@h", "!no host"},
        {"ssh://a%00@h", "!no host"},
        {"ssh://[::1", "!no host"},
        {"ssh://[::1]x", "!no host"},
        {"ssh://[::1]x:7", "!no host"},
        {"ssh://-x", "!no host"},
        {"", "!no host"},
        {"bob@", "!no host"},
        {"bob@-x", "!no host"},
        {"[]", "!no host"},
        {"[-x]", "!no host"},
        {"@h", "!a user's name"},
        {"a b", "!no host"},
        {"a\nb", "!no host"},
        {"a\033[b", "!no host"},
        {"a\177", "!no host"},
        {"-n", "!no host"},
        {"--", "!no host"},
        {"-l|bob", "!no host"},
    };
    CHECK_ROWS(rows);
}

/* ---- -o --------------------------------------------------------------------------------- */

static void test_settings(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"-oPort=7|h", "host:h port:7"},
        {"-o|Port=7|h", "host:h port:7"},
        {"-o|Port 7|h", "host:h port:7"},
        {"-o|Port\t7|h", "host:h port:7"},
        {"-o|port=7|h", "host:h port:7"},
        {"-o|PORT=7|h", "host:h port:7"},
        {"-o| Port=7|h", "host:h port:7"},
        {"-o|Port =7|h", "host:h port:7"},
        {"-o|Port= 7|h", "host:h port:7"},
        {"-o|Port = 7|h", "host:h port:7"},
        {"-o|  pOrT \t=\t 7  |h", "host:h port:7"},
        {"-o|Port=7\n|h", "host:h port:7"},
        {"-o|Port=\"7\"|h", "host:h port:7"},
        {"-o|Port \"7\"|h", "host:h port:7"},
        {"-o|Port='7'|h", "host:h port:7"},
        {"h|-oPort=7|c", "host:h port:7 run:c"},
        {"h|-o|Port 7|c", "host:h port:7 run:c"},
        {"-oPort=7|-oPort=8|h", "host:h port:7"},
        {"-oUser=\"a b\"|h", "host:h user:a b"},
        {"-oUser=a b|h", "host:h user:a b"},
        {"-oUser==a|h", "host:h user:=a"},
        {"-oUser=a=b|h", "host:h user:a=b"},
        {"-oIdentityFile=~/k|h", "host:h key:~/k"},
        {"-oIdentityFile=\"/a b\"|h", "host:h key:/a b"},
        {"-oHostName=192.0.2.1|h", "host:h name:192.0.2.1"},
        {"-oHostKeyAlias=lab|h", "host:h alias:lab"},
        {"-oConnectTimeout=30|h", "host:h timeout:30"},
        {"-oConnectTimeout=1m30|h", "host:h timeout:1m30"},
        {"-oConnectTimeout=0|h", "host:h timeout:0"},
        {"-oConnectTimeout=none|h", "host:h timeout:none"},
        {"-oBatchMode=yes|h", "host:h batch:yes"},
        {"-oServerAliveInterval=5|h", "host:h alive:5"},
        {"-oServerAliveInterval=0|h", "host:h alive:0"},
        {"-oSendEnv=A|h", "host:h send:A"},
        {"-oSendEnv=A|-oSendEnv=B C|h", "host:h send:A B C"},
        {"-oSendEnv A B* -C|h", "host:h send:A B* -C"},
        {"-oSetEnv=A=1|h", "host:h set:A=1"},
        {"-oSetEnv A=1 B=\"x y\"|h", "host:h set:A=1 B=\"x y\""},
        {"-oSetEnv=\"A=x y\"|h", "host:h set:\"A=x y\""},
        {"-oRemoteCommand=none|h", "host:h remote:none"},
        {"-oRemoteCommand=echo \"a\"|h", "host:h remote:echo \"a\""},
        {"-oRemoteCommand=\"a\"|h", "host:h remote:\"a\""},
        {"-oEscapeChar=none|h", "host:h escape:none"},
        {"-oForwardX11=no|h", "host:h"},
        {"-oForwardX11 no|h", "host:h"},
        {"-oStrictHostKeyChecking=accept-new|-oUserKnownHostsFile=/dev/null|h", "host:h"},
        {"-oControlPath=~/.ssh/%C|-oControlMaster=auto|-oControlPersist=600|h", "host:h"},
        {"-oNoSuchSetting=1|h", "host:h"},
        {"-oNoSuchSetting 1 2 3|h", "host:h"},
        {"-oCompression=yes|-oCiphers=aes128-ctr|-oMACs=x|h", "host:h"},
        {"-o||h", "host:h"},
        {"-o|  |h", "host:h"},
        {"-o|# Port=7|h", "host:h"},
        {"-oPort|h", "!-o wants"},
        {"-oPort=|h", "!-o wants"},
        {"-oPort = |h", "!-o wants"},
        {"-o=7|h", "!-o wants"},
        {"-oNoSuchSetting|h", "!-o wants"},
        {"-oPort=x7|h", "host:h port:x7"},
        {"-oPort=7x|h", "!port: 7x"},
        {"-oPort=0|h", "!port: 0"},
        {"-oPort=\"\"|h", "!port"},
        {"-oBatchMode=maybe|h", "!batchmode: maybe: it is yes or no"},
        {"-oStdinNull=1|h", "!stdinnull"},
        {"-oForkAfterAuthentication=x|h", "!forkafterauthentication"},
        {"-oRequestTTY=maybe|h", "!requesttty"},
        {"-oSessionType=sftp|h", "!sessiontype"},
        {"-oAddressFamily=inet4|h", "!addressfamily"},
        {"-oLogLevel=LOUD|h", "!loglevel"},
        {"-oEscapeChar=ab|h", "!escapechar"},
        {"-oConnectTimeout=-1|h", "!timeout"},
        {"-oConnectTimeout=soon|h", "!timeout"},
        {"-oServerAliveInterval=x|h", "!serveraliveinterval"},
        {"-oServerAliveCountMax=x|h", "!serveralivecountmax"},
        {"-oServerAliveCountMax=-1|h", "!serveralivecountmax"},
        {"-oSetEnv=A|h", "!setenv"},
        {"-oSetEnv==1|h", "!setenv"},
        {"-oSetEnv=A=\"1|h", "!a quote is not closed"},
        {"-oSendEnv=A=1|h", "!sendenv"},
        {"-oClearAllForwardings=maybe|h", "!clearallforwardings"},
    };
    CHECK_ROWS(rows);
}

/* ---- what follows ----------------------------------------------------------------------- */

/* A row that goes on to what counts: the last words of `expected` are of the key, the host name and
 * what is sent. */
static void resolve_row(const struct row *row)
{
    char copy[TEXT_MAX];
    char *argv[WORDS_MAX];
    struct options o;
    char error[OPTIONS_ERROR_MAX];
    struct rx_failure failure = {0};
    int argc = split(copy, row->line, "rexec", argv);
    if (!options_parse(&o, argc, argv, error))
        fail_msg("%s: %s", row->line, error);
    bool good = options_resolve(&o, &failure);
    if (good && row->expected[0] == '!')
        fail_msg("%s: taken", row->line);
    if (!good && (row->expected[0] != '!' || strstr(failure.what, row->expected + 1) == NULL))
        fail_msg("%s: %s", row->line, failure.what);
    if (good) {
        used = 0;
        say("name", o.hostname);
        say("key", o.key_path);
        say_words("run", (const char *const *)o.words, o.word_count);
        say_words("env", (const char *const *)o.wanted.list, o.wanted.count);
        if (strcmp(text, row->expected) != 0)
            fail_msg("%s:\n  %s, not\n  %s", row->line, text, row->expected);
        assert_true(options_resolve(&o, &failure));
    } else {
        assert_true(failure.todo[0] != '\0');
        assert_false(options_resolve(&o, &failure));
    }
    options_clear(&o);
}

static void test_resolved(void **state)
{
    (void)state;
    static char lang[] = "LANG=de_DE", all[] = "LC_ALL=C", time[] = "LC_TIME=x", a[] = "A=1",
                ab[] = "AB=2", git[] = "GIT_PROTOCOL=version=2",
                empty[] = "E=", home[] = "HOME=/home/me";
    static char *variables[] = {lang, all, time, a, ab, git, empty, home, NULL};
#define K "key:/home/me/.config/rexec/key"
#define L "env:LANG=de_DE|LC_ALL=C|LC_TIME=x"
    static const struct row rows[] = {
        {"-Fnone|h|c", "name:h " K " run:c " L},
        {"-F/dev/null|h|c", "name:h " K " run:c " L},
        {"-F/no/such/file|h|c", "!/no/such/file"},
        {"-F/|h|c", "!/: "},
        {"-Fnone|-oHostName=%h.lab|h", "name:h.lab " K " " L},
        {"-Fnone|-oHostName=a%%b|h", "name:a%b " K " " L},
        {"-Fnone|-oHostName=%p|h", "!%p means nothing"},
        {"-Fnone|-oHostName=a%|h", "!means nothing"},
        {"-Fnone|-i|~/k|h", "name:h key:/home/me/k " L},
        {"-Fnone|-i|%d/k|h", "name:h key:/home/me/k " L},
        {"-Fnone|-oHostName=i|-i|/%n/%h/%%|h", "name:i key:/h/i/% " L},
        {"-Fnone|-p9|-lbob|-i|/%p/%r/%k|h", "name:h key:/9/bob/h " L},
        {"-Fnone|-i|/%p|h", "name:h key:/7512 " L},
        {"-Fnone|-oHostKeyAlias=q|-i|/%k|h", "name:h key:/q " L},
        {"-Fnone|-i|${HOME}/x${A}|h", "name:h key:/home/me/x1 " L},
        {"-Fnone|-i|${NOPE}/x|h", "!NOPE is not set"},
        {"-Fnone|-i|${A/x|h", "!${ without }"},
        {"-Fnone|-i|/%z|h", "!%z means nothing"},
        {"-Fnone|-oRemoteCommand=echo a  b|h", "name:h " K " run:echo a  b " L},
        {"-Fnone|-oRemoteCommand=echo %h %n|-oHostName=i|h", "name:i " K " run:echo i h " L},
        {"-Fnone|-oRemoteCommand=none|h|c", "name:h " K " run:c " L},
        {"-Fnone|-oRemoteCommand=NONE|h", "name:h " K " " L},
        {"-Fnone|-oRemoteCommand=x|h|c", "!RemoteCommand as well"},
        {"-Fnone|-oRemoteCommand=%z|h", "!%z means nothing"},
        {"-Fnone|-oRemoteCommand=${A}|h", "name:h " K " run:${A} " L},
        {"-Fnone|-oRemoteCommand=x|-N|h", "name:h " K " " L},
        {"-Fnone|-f|h", "!cannot run in the background"},
        {"-Fnone|-f|-oRemoteCommand=x|h", "name:h " K " run:x " L},
        {"-Fnone|-oSendEnv=GIT_PROTOCOL|h", "name:h " K " " L "|GIT_PROTOCOL=version=2"},
        {"-Fnone|-oSendEnv=-*|h", "name:h " K},
        {"-Fnone|-oSendEnv=-LC_*|h", "name:h " K " env:LANG=de_DE"},
        {"-Fnone|-oSendEnv=-LANG|h", "name:h " K " env:LC_ALL=C|LC_TIME=x"},
        {"-Fnone|-oSendEnv=-* A|h", "name:h " K " env:A=1"},
        {"-Fnone|-oSendEnv=-* A*|h", "name:h " K " env:A=1|AB=2"},
        {"-Fnone|-oSendEnv=-* A?|h", "name:h " K " env:AB=2"},
        {"-Fnone|-oSendEnv=-* ?|h", "name:h " K " env:A=1|E="},
        {"-Fnone|-oSendEnv=-* *B|h", "name:h " K " env:AB=2"},
        {"-Fnone|-oSendEnv=-* A E -A|h", "name:h " K " env:E="},
        {"-Fnone|-oSendEnv=-*|-oSendEnv=A|h", "name:h " K " env:A=1"},
        {"-Fnone|-oSendEnv=-* \"A\" 'E'|h", "name:h " K " env:A=1|E="},
        {"-Fnone|-oSendEnv=-* a|h", "name:h " K},
        {"-Fnone|-oSendEnv=-*|-oSetEnv=X=1 Y=\"2 3\"|h", "name:h " K " env:X=1|Y=2 3"},
        {"-Fnone|-oSendEnv=-*|-oSetEnv=X=1|-oSetEnv=X=2 Z=|h", "name:h " K " env:X=1|Z="},
        {"-Fnone|-oSendEnv=-*|-oSetEnv=\"X=a \\\" b\"|h", "name:h " K " env:X=a \" b"},
        {"-Fnone|-oSendEnv=-* A|-oSetEnv=A=9|h", "name:h " K " env:A=1|A=9"},
    };
    char **before = environ;
    environ = variables;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        resolve_row(&rows[i]);
    environ = before;
}

/* What the file says counts less, and is as able to take names out of the lists of weaker sections.
 */
static void test_resolved_file(void **state)
{
    (void)state;
    static char lang[] = "LANG=l", a[] = "A=1", b[] = "B=2", home[] = "HOME=/h";
    static char *variables[] = {lang, a, b, home, NULL};
    char path[] = "/tmp/rexec-argv-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char file[] = "[*]\nSendEnv = A B\nRequestTTY = force\nSetEnv = X=1 Y=1\n"
                               "[lab]\nSendEnv = -A\nSetEnv = X=2\nSessionType = subsystem\n"
                               "RemoteCommand = sftp\n[bg]\nForkAfterAuthentication = yes\n"
                               "[jump]\nProxyJump = x\n[clear]\nLocalForward = 1 h:2\n"
                               "ClearAllForwardings = yes\n";
    assert_int_equal(write(fd, file, sizeof file - 1), sizeof file - 1);
    assert_int_equal(close(fd), 0);
#define F "-F/tmp/rexec-argv-XXXXXX|"
    struct row rows[] = {
        {F "-i/k|lab", "name:lab key:/k run:sftp env:LANG=l|B=2|X=2|Y=1"},
        {F "-i/k|h|c", "name:h key:/k run:c env:LANG=l|A=1|B=2|X=1|Y=1"},
        {F "-i/k|-oSendEnv=-*|-oSetEnv=Y=0|h|c", "name:h key:/k run:c env:Y=0|X=1"},
        {F "-i/k|lab|c", "!RemoteCommand as well"},
        {F "-i/k|-oRemoteCommand=none|lab|c", "name:lab key:/k run:c env:LANG=l|B=2|X=2|Y=1"},
        {F "-i/k|-oRemoteCommand=none|lab", "!no subsystem's name"},
        {F "-i/k|bg", "!in the background"},
        {F "-i/k|jump|c", "!proxyjump"},
        {F "-i/k|-Jnone|jump|c", "name:jump key:/k run:c env:LANG=l|A=1|B=2|X=1|Y=1"},
        {F "-i/k|clear|c", "name:clear key:/k run:c env:LANG=l|A=1|B=2|X=1|Y=1"},
    };
    char **before = environ;
    environ = variables;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char line[256];
        (void)snprintf(line, sizeof line, "-F%s|%s", path, rows[i].line + sizeof F - 1);
        rows[i].line = line;
        resolve_row(&rows[i]);
    }
    environ = before;
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_destinations),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_resolved),
        cmocka_unit_test(test_resolved_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
