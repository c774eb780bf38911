/* The command line as programs call ssh: what they run, and every flag. */
#include "tests/unit/argv_rows.h"

/* ---- the programs ----------------------------------------------------------------------- */

static void test_callers(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* rsync */
        {"-l|bob|h|rsync|--server|-logDtpre.iLsfxCIvu|.|/tmp/d",
         "host:h user:bob run:rsync|--server|-logDtpre.iLsfxCIvu|.|/tmp/d"},
        {"-p|7512|h|rsync|--server|--sender|-vlogDtprze.iLsfxCIvu|.|src",
         "host:h port:7512 run:rsync|--server|--sender|-vlogDtprze.iLsfxCIvu|.|src"},
        /* git */
        {"-G|h", "host:h show:"},
        {"-G|-o|SendEnv=GIT_PROTOCOL|-4|-p|99|bob@h",
         "host:h user:bob port:99 send:GIT_PROTOCOL family:4 show:"},
        {"-o|SendEnv=GIT_PROTOCOL|-6|-p|99|bob@h|git-upload-pack 'a b.git'",
         "host:h user:bob port:99 send:GIT_PROTOCOL family:6 run:git-upload-pack 'a b.git'"},
        {"h|git-receive-pack '/srv/x'", "host:h run:git-receive-pack '/srv/x'"},
        /* scp */
        {"-x|-oPermitLocalCommand=no|-oClearAllForwardings=yes|-oRemoteCommand=none|"
         "-oRequestTTY=no|-oControlMaster=no|-oForwardAgent=no|-p|99|-l|bob|-s|--|h|sftp",
         "host:h user:bob port:99 remote:none tty:no session:subsystem run:sftp"},
        {"-x|-oPermitLocalCommand=no|-oClearAllForwardings=yes|-oRemoteCommand=none|"
         "-oRequestTTY=no|-oControlMaster=no|-oForwardAgent=no|-v|--|h|scp -v -t /tmp",
         "host:h remote:none tty:no verbose:1 run:scp -v -t /tmp"},
        /* sftp */
        {"-oForwardX11 no|-oPermitLocalCommand no|-oClearAllForwardings yes|-oControlMaster no|"
         "-oForwardAgent no|-oPort 99|-l|bob|-s|--|h|sftp",
         "host:h user:bob port:99 session:subsystem run:sftp"},
        {"-oForwardX11 no|-oForwardAgent no|-oPermitLocalCommand no|-oClearAllForwardings yes|"
         "-v|-v|-C|-i/k|-F/c|-oBatchMode=yes|-s|--|h|sftp",
         "host:h key:/k batch:yes config:/c session:subsystem verbose:2 run:sftp"},
        /* sshfs */
        {"-x|-a|-oClearAllForwardings=yes|-oServerAliveInterval=15|-2|bob@h|-s|sftp",
         "host:h user:bob alive:15 session:subsystem run:sftp"},
        /* GNU parallel */
        {"-p|99|-l|bob|h|--|exec|perl|-e|'print 1'",
         "host:h user:bob port:99 run:exec|perl|-e|'print 1'"},
        {"h|--|exec|true", "host:h run:exec|true"},
        /* pdsh */
        {"-oConnectTimeout=10|-2|-a|-x|-lbob|h|uptime|-s",
         "host:h user:bob timeout:10 run:uptime|-s"},
        {"-2|-a|-x|h|echo|a;|b", "host:h run:echo|a;|b"},
        /* pssh */
        {"-T|h|-o|NumberOfPasswordPrompts=1|-o|SendEnv=PSSH_NODENUM PSSH_NUMNODES PSSH_HOST|-l|"
         "bob|-p|99|date",
         "host:h user:bob port:99 send:PSSH_NODENUM PSSH_NUMNODES PSSH_HOST tty:no run:date"},
        {"h|-o|NumberOfPasswordPrompts=1|-o|SendEnv=PSSH_NODENUM|date -u",
         "host:h send:PSSH_NODENUM run:date -u"},
        /* clush */
        {"-oForwardAgent=no|-oForwardX11=no|-l|bob|-oConnectTimeout=15|-oBatchMode=yes|h|uname -r",
         "host:h user:bob timeout:15 batch:yes run:uname -r"},
        {"-a|-x|-oForwardAgent=no|-oForwardX11=no|-oConnectTimeout=15|-oBatchMode=yes|h|a; b",
         "host:h timeout:15 batch:yes run:a; b"},
        /* Open MPI */
        {"-x|h|echo $SHELL", "host:h run:echo $SHELL"},
        {"-x|h|PATH=/o/bin:$PATH;export PATH;/o/bin/prted|-mca|ess|\"env\"",
         "host:h run:PATH=/o/bin:$PATH;export PATH;/o/bin/prted|-mca|ess|\"env\""},
        /* docker */
        {"-l|bob|-p|99|-o ConnectTimeout=30|-T|--|h|docker system dial-stdio",
         "host:h user:bob port:99 timeout:30 tty:no run:docker system dial-stdio"},
        {"-o ConnectTimeout=30|-T|--|h|docker|system|dial-stdio",
         "host:h timeout:30 tty:no run:docker|system|dial-stdio"},
        /* ansible */
        {"-C|-o|ControlMaster=auto|-o|ControlPersist=60s|-o|StrictHostKeyChecking=no|-o|"
         "KbdInteractiveAuthentication=no|-o|PreferredAuthentications=publickey|-o|"
         "PasswordAuthentication=no|-o|User=\"bob\"|-o|ConnectTimeout=10|-o|"
         "ControlPath=\"/tmp/cp/%h\"|-tt|h|/bin/sh -c 'echo ~ && sleep 0'",
         "host:h user:bob timeout:10 tty:force run:/bin/sh -c 'echo ~ && sleep 0'"},
        {"-o|ControlPath=/x|-O|stop|h", "host:"},
        /* mosh, autossh, tramp, distcc, borg, sbatch scripts */
        {"-n|-tt|bob@h|--|mosh-server|new|-c|256",
         "host:h user:bob tty:force null: run:mosh-server|new|-c|256"},
        {"-S|none|-o|ProxyCommand=none|h|x", "host:h run:x"},
        {"-l|bob|-p|99|-o|ControlMaster=auto|-o|ControlPath=tramp.%C|-o|ControlPersist=no|-e|none|h",
         "host:h user:bob port:99 escape:none"},
        {"h|distccd --inetd --enable-tcp-insecure",
         "host:h run:distccd --inetd --enable-tcp-insecure"},
        {"-q|-oStrictHostKeyChecking=no|-oUserKnownHostsFile=/dev/null|-oLogLevel=ERROR|h|true",
         "host:h quiet: run:true"},
    };
    CHECK_ROWS(rows);
}

/* ---- flags ------------------------------------------------------------------------------ */

static void test_order(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"-xaT|h|c", "host:h tty:no run:c"},
        {"-x|-a|-T|h|c", "host:h tty:no run:c"},
        {"-xaTlbob|h|c", "host:h user:bob tty:no run:c"},
        {"-xaTl|bob|h|c", "host:h user:bob tty:no run:c"},
        {"-xaTlbobT|h|c", "host:h user:bobT tty:no run:c"},
        {"-xaToPort=7|h|c", "host:h port:7 tty:no run:c"},
        {"-xaTo|Port=7|h|c", "host:h port:7 tty:no run:c"},
        {"-4p99|h", "host:h port:99 family:4"},
        {"-l-x|h", "host:h user:-x"},
        {"-l|-x|h", "host:h user:-x"},
        {"-l|--|h|c", "host:h user:-- run:c"},
        {"h|-n|c", "host:h null: run:c"},
        {"h|-nT|-l|bob|-p7|c|-n", "host:h user:bob port:7 tty:no null: run:c|-n"},
        {"-p7|h|-l|bob|c", "host:h user:bob port:7 run:c"},
        {"h|c|-n|-p7", "host:h run:c|-n|-p7"},
        /* One empty word is none; two are a line with a space in it. */
        {"h|", "host:h"},
        {"-l|bob|h|-n|", "host:h user:bob null:"},
        {"h||", "host:h run:|"},
        {"h| ", "host:h run: "},
        {"h|c|--|-n", "host:h run:c|--|-n"},
        {"h|--|-n", "host:h run:-n"},
        {"h|--|--|-n", "host:h run:--|-n"},
        {"h|-n|--|-p7", "host:h null: run:-p7"},
        {"--|h|c", "host:h run:c"},
        {"--|h|-n", "host:h run:-n"},
        {"--|h|--|c", "host:h run:--|c"},
        {"-n|--|h|-n|c", "host:h null: run:-n|c"},
        {"h|-|c", "host:h run:-|c"},
        {"h||c", "host:h run:|c"},
        {"h|h|h", "host:h run:h|h"},
        {"h|bob@i", "host:h run:bob@i"},
        {"h|ssh://i", "host:h run:ssh://i"},
    };
    CHECK_ROWS(rows);
}

static void test_flags(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"-4|h", "host:h family:4"},
        {"-6|h", "host:h family:6"},
        {"-4|-6|h", "host:h family:6"},
        {"-64|h", "host:h family:4"},
        {"-oAddressFamily=inet6|-4|h", "host:h family:4"},
        {"-4|-oAddressFamily=inet6|h", "host:h family:4"},
        {"-oAddressFamily=inet|h", "host:h family:4"},
        {"-oAddressFamily=any|h", "host:h"},
        {"-n|h", "host:h null:"},
        {"-oStdinNull=yes|h", "host:h null:"},
        {"-oStdinNull=no|h", "host:h"},
        {"-oStdinNull=no|-n|h", "host:h null:"},
        {"-n|-oStdinNull=no|h", "host:h null:"},
        {"-T|h", "host:h tty:no"},
        {"-t|h", "host:h tty:yes"},
        {"-tt|h", "host:h tty:force"},
        {"-ttt|h", "host:h tty:force"},
        {"-t|-t|h", "host:h tty:force"},
        {"-t|h|-t|c", "host:h tty:force run:c"},
        {"-T|-t|h", "host:h tty:yes"},
        {"-t|-T|h", "host:h tty:no"},
        {"-Ttt|h", "host:h tty:force"},
        {"-ttT|h", "host:h tty:no"},
        {"-oRequestTTY=yes|-t|h", "host:h tty:force"},
        {"-oRequestTTY=auto|-t|h", "host:h tty:yes"},
        {"-oRequestTTY=no|-t|h", "host:h tty:yes"},
        {"-oRequestTTY=force|-T|h", "host:h tty:no"},
        {"-t|-oRequestTTY=no|h", "host:h tty:yes"},
        {"-T|-oRequestTTY=force|h", "host:h tty:no"},
        {"-oRequestTTY=force|h", "host:h tty:force"},
        {"-oRequestTTY=true|h", "host:h tty:yes"},
        {"-oRequestTTY=false|h", "host:h tty:no"},
        {"-N|h", "host:h tty:no session:none"},
        {"-t|-N|h", "host:h tty:no session:none"},
        {"-N|-t|h", "host:h tty:yes session:none"},
        {"-N|-N|h", "host:h tty:no session:none"},
        {"-oSessionType=none|h", "host:h session:none"},
        {"-oSessionType=none|-N|h", "host:h tty:no session:none"},
        {"-oSessionType=default|h|c", "host:h run:c"},
        {"-s|h|sftp", "host:h session:subsystem run:sftp"},
        {"h|-s|sftp", "host:h session:subsystem run:sftp"},
        {"-oSessionType=subsystem|h|sftp", "host:h session:subsystem run:sftp"},
        {"-s|-oSessionType=none|h|sftp", "host:h session:subsystem run:sftp"},
        {"-s|h", "!-s wants"},
        {"-s|-N|h|c", "!exclude"},
        {"-N|-s|h|c", "!exclude"},
        {"-oSessionType=none|-s|h|c", "!exclude"},
        {"-oSessionType=default|-s|h|c", "!exclude"},
        {"-s|--exec|h|c", "!exclude"},
        {"-f|h|c", "host:h null: background: run:c"},
        {"-fN|h", "host:h tty:no session:none null: background:"},
        {"-oForkAfterAuthentication=yes|h|c", "host:h null: background: run:c"},
        {"-oForkAfterAuthentication=no|h|c", "host:h run:c"},
        {"-v|h", "host:h verbose:1"},
        {"-vv|h", "host:h verbose:2"},
        {"-v|-v|-v|h", "host:h verbose:3"},
        {"-vvvvv|h", "host:h verbose:3"},
        {"-q|h", "host:h quiet:"},
        {"-qq|h", "host:h quiet:"},
        {"-q|-v|h", "host:h verbose:1"},
        {"-q|-vv|h", "host:h verbose:2"},
        {"-v|-q|h", "host:h quiet:"},
        {"-oLogLevel=QUIET|h", "host:h quiet:"},
        {"-oLogLevel=FATAL|h", "host:h quiet:"},
        {"-oLogLevel=error|h", "host:h quiet:"},
        {"-oLogLevel=INFO|h", "host:h"},
        {"-oLogLevel=VERBOSE|h", "host:h verbose:1"},
        {"-oLogLevel=DEBUG|h", "host:h verbose:1"},
        {"-oLogLevel=DEBUG2|h", "host:h verbose:2"},
        {"-oLogLevel=DEBUG3|h", "host:h verbose:3"},
        {"-oLogLevel=ERROR|-v|h", "host:h verbose:1"},
        {"-v|-oLogLevel=quiet|h", "host:h verbose:1"},
        {"-oLogLevel=DEBUG3|-q|h", "host:h quiet:"},
        {"-i|/k|h", "host:h key:/k"},
        {"-i/k|-i/l|h", "host:h key:/k"},
        {"-i/k|-oIdentityFile=/l|h", "host:h key:/k"},
        {"-F|/c|h", "host:h config:/c"},
        {"-Fnone|h", "host:h config:none"},
        {"-F/dev/null|h", "host:h config:/dev/null"},
        {"-E|/log|h", "host:h log:/log"},
        {"-E/log|h", "host:h log:/log"},
        {"-b|192.0.2.9|h", "host:h bind:192.0.2.9"},
        {"-b1.1.1.1|-b2.2.2.2|h", "host:h bind:2.2.2.2"},
        {"-oBindAddress=1.1.1.1|h", "host:h bind:1.1.1.1"},
        {"-e|none|h", "host:h escape:none"},
        {"-e~|h", "host:h escape:~"},
        {"-e|^]|h", "host:h escape:^]"},
        {"-e|xx|h", "!escapechar"},
        {"-G|h|c", "host:h show: run:c"},
        {"h|-G", "host:h show:"},
        {"-V", "host:"},
        {"-V|-nonsense", "host:"},
        {"-Q|cipher", "host:"},
        {"-Qcipher|h", "host:"},
        {"-O|check|h", "host:"},
        {"-Oexit|h", "host:"},
        {"-u|h", "!there is no option -u"},
        {"-xu|h", "!there is no option -u"},
        {"-H|h", "!there is no option -H"},
        {"h|-z|c", "!there is no option -z"},
        {"-p", "!wants an argument: -p"},
        {"-xp", "!wants an argument: -p"},
        {"h|-l", "!wants an argument: -l"},
        {"-p|0|h", "!a port is"},
        {"-p|65536|h", "!a port is"},
        {"-p|7x|h", "!a port is"},
        {"-p|-7|h", "!a port is"},
        {"-p||h", "!a port is"},
        {"-l||h", "!a user's name"},
        {"-i||h", "!empty"},
    };
    CHECK_ROWS(rows);
}

/* Every flag of ssh's, alone, in a group, behind the host, and behind the command, where it is
 * none. */
static void test_every_flag(void **state)
{
    (void)state;
    for (const char *p = "12ACKMXYZagkxy"; *p != '\0'; p++) {
        char line[64], expected[64];
        (void)snprintf(line, sizeof line, "-%c|h|c", *p);
        check_as("rexec", line, "host:h run:c");
        check_as("ssh", line, "host:h run:c");
        (void)snprintf(line, sizeof line, "h|-%c|c", *p);
        check_as("ssh", line, "host:h run:c");
        (void)snprintf(line, sizeof line, "-%c%c|h|c", *p, *p);
        check_as("ssh", line, "host:h run:c");
        (void)snprintf(line, sizeof line, "-T%cn|h|c|-%c", *p, *p);
        (void)snprintf(expected, sizeof expected, "host:h tty:no null: run:c|-%c", *p);
        check_as("ssh", line, expected);
        (void)snprintf(line, sizeof line, "-n%cp7|h|--|-%c", *p, *p);
        (void)snprintf(expected, sizeof expected, "host:h port:7 null: run:-%c", *p);
        check_as("ssh", line, expected);
    }
    for (const char *p = "IPScm"; *p != '\0'; p++) {
        static const char *const lines[] = {"-%c|x|h|c", "-%cx|h|c",  "-a%cx|h|c",  "-a%c|x|h|c",
                                            "h|-%cx|c",  "h|-%c|x|c", "-%c|-n|h|c", "-%c-n|h|c"};
        for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
            char line[64];
            const char *letter = strchr(lines[i], '%');
            (void)snprintf(line, sizeof line, "%.*s%c%s", (int)(letter - lines[i]), lines[i], *p,
                           letter + 2);
            check_as("rexec", line, "host:h run:c");
            check_as("ssh", line, "host:h run:c");
        }
        char line[64];
        (void)snprintf(line, sizeof line, "h|-%c", *p);
        check_as("ssh", line, "!wants an argument");
    }
}

static void test_tunnels(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"-L|1:h:2|h", "!localforward"},
        {"-L1:h:2|h|c", "!localforward"},
        {"h|-L1:h:2|c", "!localforward"},
        {"-NL1:h:2|h", "!localforward"},
        {"-R|1:h:2|h", "!remoteforward"},
        {"-D|1080|h", "!dynamicforward"},
        {"-fND1080|h", "!dynamicforward"},
        {"-W|i:22|h", "!tunnels"},
        {"-Wi:22|h", "!tunnels"},
        {"-w|0:0|h", "!tunnels"},
        {"-wany|h", "!tunnels"},
        {"-oClearAllForwardings=yes|-W|i:22|h", "!tunnels"},
        {"-J|i|h", "!proxyjump"},
        {"-Ji|h|c", "!proxyjump"},
        {"-J|none|h", "host:h"},
        {"-J|none|-J|i|h", "host:h"},
        {"-oProxyJump=i|h", "!proxyjump"},
        {"-oProxyJump=none|h", "host:h"},
        {"-oProxyCommand=nc %h %p|h", "!proxycommand"},
        {"-oProxyCommand=none|h", "host:h"},
        {"-oProxyCommand NONE|h", "host:h"},
        {"-oLocalForward=1 h:2|h", "!localforward"},
        {"-oRemoteForward=1 h:2|h", "!remoteforward"},
        {"-oDynamicForward=1|h", "!dynamicforward"},
        {"-oRemoteForward=none|h", "host:h"},
        {"-oTunnel=yes|h", "!tunnel"},
        {"-oTunnel=ethernet|h", "!tunnel"},
        {"-oTunnel=no|h", "host:h"},
        {"-oTunnel=false|h", "host:h"},
        {"-oClearAllForwardings=yes|-L1:h:2|-R1:h:2|-D1|h|c", "host:h run:c"},
        {"-L1:h:2|-oClearAllForwardings=yes|h|c", "host:h run:c"},
        {"-oClearAllForwardings=no|-L1:h:2|h|c", "!localforward"},
        {"-oClearAllForwardings=no|h|c", "host:h run:c"},
        {"-oClearAllForwardings=yes|-oTunnel=yes|h|c", "!tunnel"},
        {"-L", "!wants an argument"},
    };
    CHECK_ROWS(rows);
}

/* ---- the program's name ----------------------------------------------------------------- */

static void test_names(void **state)
{
    (void)state;
    static const char *const verbs[] = {"run", "ping", "batch", "keygen", "grant", "help"};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        char line[64], expected[64];
        (void)snprintf(line, sizeof line, "%s|x", verbs[i]);
        (void)snprintf(expected, sizeof expected, "host:%s run:x", verbs[i]);
        check_as("ssh", line, expected);
        check_as("./ssh", line, expected);
        check_as("/usr/libexec/rexec/ssh", line, expected);
    }
    check_as("rexec", "run|x", "host:x");
    check_as("/opt/ssh/rexec", "run|x", "host:x");
    check_as("sshx", "run|x", "host:x");
    check_as("rexec", "run|run|x", "host:run run:x");
    check_as("rexec", "-n|run|x", "host:run null: run:x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_callers), cmocka_unit_test(test_order),
        cmocka_unit_test(test_flags),   cmocka_unit_test(test_every_flag),
        cmocka_unit_test(test_tunnels), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
