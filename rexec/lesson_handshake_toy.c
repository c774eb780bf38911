/*
 * Toy protocols of the lesson, broken on purpose. They live in this file only; nothing of rexec
 * uses them. Every message has a fixed size, and the attacker's code has only what went over its
 * own sockets, or past it on the wire.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "auth/hkdf.h"
#include "auth/secret.h"
#include "rexec/lesson_handshake.h"

enum {
    TOY_NAME = 8,
    TOY_PASSWORD = 16,
    TOY_LOGIN = TOY_NAME + TOY_PASSWORD,
    TOY_VERDICT = 4,
    TOY_COMMAND = 16,
    TOY_TRIES = 100000, /* for a challenge of one byte to come again: never needed */
};

static const char toy_yes[TOY_VERDICT + 1] = "yes ";
static const char toy_no[TOY_VERDICT + 1] = "no  ";

#define BOTH(en, zh) WORDS(stage->page, en, zh)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void toy_hmac(const uint8_t *key, const uint8_t *bytes, uint8_t out[static RX_HASH_SIZE])
{
    const struct rx_bytes piece = {bytes, RX_KEY_SIZE};
    if (rx_hmac(key, RX_KEY_SIZE, &piece, 1, out) != RX_OK)
        memset(out, 0, RX_HASH_SIZE);
}

/* The server says yes or no; whether it said yes, as the other side reads it. */
static bool toy_verdict(struct stage *stage, const struct net_pair *pair, bool yes)
{
    char verdict[TOY_VERDICT + 1] = "";
    return net_send(stage->net, pair->server, yes ? toy_yes : toy_no, TOY_VERDICT) &&
           net_receive(stage->net, pair->client, verdict, TOY_VERDICT) &&
           strcmp(verdict, toy_yes) == 0;
}

static void show_verdict(struct stage *stage, enum lane to, bool yes)
{
    page_send(stage->page, SERVER, to, yes ? "\"yes\"" : "\"no\"", NULL, 0);
}

/* An attack on a toy is over, that should succeed. */
static void toy_end(struct stage *stage, bool got_in, const char *text)
{
    stage_count(stage, got_in, true);
    page_outcome(stage->page, got_in ? OUTCOME_GOT_IN : OUTCOME_STOPPED, NULL,
                 got_in ? text : BOTH("This should have worked.", "这本应成功。"));
}

static void toy_lanes(struct stage *stage)
{
    page_lanes(stage->page, "alice", "mallory", BOTH("server", "服务器"));
}

/* ---- 1: a password ---------------------------------------------------------------------- */

static bool play_password(struct stage *stage, struct net_pair *pair, const char *login,
                          const char *password)
{
    char got[TOY_LOGIN];
    if (!net_connect(stage->net, pair) || !net_send(stage->net, pair->client, login, TOY_LOGIN) ||
        !net_receive(stage->net, pair->server, got, sizeof got))
        return false;
    return toy_verdict(stage, pair, memcmp(got + TOY_NAME, password, TOY_PASSWORD) == 0);
}

static void show_login(struct stage *stage, enum lane from, const char *login)
{
    const struct field fields[] = {
        {BOTH("name", "用户名"), login, TOY_NAME, NULL, true},
        {BOTH("password", "口令"), login + TOY_NAME, TOY_PASSWORD, NULL, true},
        {BOTH("on the wire", "线上的字节"), login, TOY_LOGIN,
         BOTH("all who carry it read it", "经手的人都能读到"), false},
    };
    page_send(stage->page, from, SERVER, BOTH("login, 24 bytes", "登录，24 字节"), fields,
              COUNT(fields));
}

void toy_password(struct stage *stage)
{
    char login[TOY_LOGIN + 1];
    struct net_pair pair;
    (void)snprintf(login, sizeof login, "%-8s%08x%08x", "alice", randombytes_random(),
                   randombytes_random());
    page_scene(stage->page, BOTH("1. A password in the clear", "一、明文口令"));
    page_say(stage->page, BOTH("The oldest way: say the secret. The server compares it with the "
                               "one it has.",
                               "最古老的办法：把秘密说出来，服务器与自己保存的比较。"));
    toy_lanes(stage);
    bool yes = play_password(stage, &pair, login, login + TOY_NAME);
    net_disconnect(&pair);
    show_login(stage, CLIENT, login);
    show_verdict(stage, CLIENT, yes);
    page_outcome(stage->page, OUTCOME_FINE, NULL,
                 BOTH("Alice is in. Mallory sat on the wire and wrote it down.",
                      "alice 登录成功。mallory 在线路上把它抄了下来。"));
    char recorded[TOY_LOGIN + 1];
    memcpy(recorded, login, sizeof recorded);
    page_say(stage->page, BOTH("Replay: Mallory connects herself and sends the same bytes.",
                               "重放：mallory 自己连接，发送同样的字节。"));
    toy_lanes(stage);
    yes = play_password(stage, &pair, recorded, login + TOY_NAME);
    net_disconnect(&pair);
    show_login(stage, MALLORY, recorded);
    show_verdict(stage, MALLORY, yes);
    toy_end(stage, yes,
            BOTH("What is sent is the secret itself, and it is the same each time. Hashing it "
                 "first would not help: then the hash is what is sent again.",
                 "发送的就是秘密本身，而且每次都一样。先算哈希也没有用：照样可以重发那个哈希值。"));
}

/* ---- 2: challenge and response ---------------------------------------------------------- */

/* The server sends a challenge of its own. */
static bool toy_ask(struct stage *stage, const struct net_pair *pair, uint8_t *challenge,
                    uint8_t *seen)
{
    randombytes_buf(challenge, RX_KEY_SIZE);
    return net_send(stage->net, pair->server, challenge, RX_KEY_SIZE) &&
           net_receive(stage->net, pair->client, seen, RX_KEY_SIZE);
}

/* The response goes to the server, which compares it with the right one. */
static bool toy_judge(struct stage *stage, const struct net_pair *pair, const uint8_t *key,
                      const uint8_t *challenge, const uint8_t *response)
{
    uint8_t right[RX_HASH_SIZE], got[RX_HASH_SIZE];
    if (!net_send(stage->net, pair->client, response, RX_HASH_SIZE) ||
        !net_receive(stage->net, pair->server, got, sizeof got))
        return false;
    toy_hmac(key, challenge, right);
    return toy_verdict(stage, pair, sodium_memcmp(got, right, sizeof got) == 0);
}

static void show_bytes(struct stage *stage, enum lane from, enum lane to, const char *label,
                       const char *name, const uint8_t *bytes, const char *remark)
{
    const struct field field = {name, bytes, RX_KEY_SIZE, remark, false};
    page_send(stage->page, from, to, label, &field, 1);
}

static void show_challenge(struct stage *stage, enum lane from, enum lane to, const uint8_t *bytes,
                           const char *remark)
{
    show_bytes(stage, from, to, BOTH("challenge", "挑战"), BOTH("challenge", "挑战"), bytes,
               remark);
}

static void show_response(struct stage *stage, enum lane from, enum lane to, const uint8_t *bytes,
                          const char *remark)
{
    show_bytes(stage, from, to, BOTH("response", "应答"), BOTH("response", "应答"), bytes, remark);
}

void toy_challenge(struct stage *stage)
{
    uint8_t key[RX_KEY_SIZE], challenge[RX_KEY_SIZE], seen[RX_KEY_SIZE] = {0},
                                                      response[RX_HASH_SIZE];
    struct net_pair pair;
    randombytes_buf(key, sizeof key);
    page_scene(stage->page, BOTH("2. A bare challenge and its response", "二、单纯的挑战应答"));
    page_say(stage->page,
             BOTH("Better: the server sends random bytes, and the client returns their HMAC under "
                  "a key that both have. The key is never sent.",
                  "好一些：服务器发送随机字节，客户端用双方共有的密钥算出它的 HMAC "
                  "并送回。密钥本身从不发送。"));
    toy_lanes(stage);
    const struct field value = {BOTH("key", "密钥"), key, sizeof key,
                                BOTH("of this run, then forgotten", "仅本次运行，用后即弃"), false};
    page_values(stage->page, CLIENT, BOTH("and the server share:", "与服务器共有："), &value, 1);
    bool yes = net_connect(stage->net, &pair) && toy_ask(stage, &pair, challenge, seen);
    toy_hmac(key, seen, response);
    yes = yes && toy_judge(stage, &pair, key, challenge, response);
    net_disconnect(&pair);
    show_challenge(stage, SERVER, CLIENT, seen, BOTH("random", "随机"));
    show_response(stage, CLIENT, SERVER, response, "HMAC(key, challenge)");
    show_verdict(stage, CLIENT, yes);
    stage->surprise = stage->surprise || !yes;
    page_outcome(stage->page, OUTCOME_FINE, NULL,
                 BOTH("Alice is in, and Mallory did not see the key.",
                      "alice 登录成功，mallory 没有看到密钥。"));
    page_say(stage->page, BOTH("The same replay as before: Mallory sends the recorded response.",
                               "同样的重放：mallory 发送抄下来的应答。"));
    toy_lanes(stage);
    yes = net_connect(stage->net, &pair) && toy_ask(stage, &pair, challenge, seen) &&
          toy_judge(stage, &pair, key, challenge, response);
    net_disconnect(&pair);
    show_challenge(stage, SERVER, MALLORY, seen, BOTH("a new one", "新的挑战"));
    show_response(stage, MALLORY, SERVER, response, BOTH("the recorded one", "抄下来的应答"));
    show_verdict(stage, MALLORY, yes);
    stage->surprise = stage->surprise || yes;
    page_outcome(stage->page, yes ? OUTCOME_GOT_IN : OUTCOME_STOPPED, NULL,
                 BOTH("The challenge is another one now. So far, so good. But four ways lead "
                      "around it.",
                      "挑战换了，旧应答无效。到此为止还不错，但有四条路可以绕过它。"));
}

/* ---- 3: relay --------------------------------------------------------------------------- */

void toy_relay(struct stage *stage)
{
    uint8_t key[RX_KEY_SIZE], challenge[RX_KEY_SIZE], seen[RX_KEY_SIZE] = {0}, asked[RX_KEY_SIZE];
    uint8_t response[RX_HASH_SIZE], relayed[RX_HASH_SIZE];
    struct net_pair bank, game;
    randombytes_buf(key, sizeof key);
    page_scene(stage->page, BOTH("3. Relay: the response is good for any server",
                                 "三、转发：应答对任何服务器都有效"));
    page_say(stage->page,
             BOTH("Alice uses one key for two servers. Mallory runs the other one, a harmless one. "
                  "Alice logs in there; Mallory lets the first server choose the challenge.",
                  "alice 对两台服务器用同一个密钥，其中一台无害的由 mallory 运营。alice "
                  "登录那一台时，mallory 让另一台服务器来出挑战。"));
    toy_lanes(stage);
    bool yes = net_connect(stage->net, &bank);
    game = (struct net_pair){-1, -1};
    yes = yes && net_connect(stage->net, &game) && toy_ask(stage, &bank, challenge, seen) &&
          net_send(stage->net, game.server, seen, sizeof seen) &&
          net_receive(stage->net, game.client, asked, sizeof asked);
    if (yes)
        toy_hmac(key, asked, response); /* alice */
    yes = yes && net_send(stage->net, game.client, response, sizeof response) &&
          net_receive(stage->net, game.server, relayed, sizeof relayed) &&
          toy_judge(stage, &bank, key, challenge, relayed);
    net_disconnect(&bank);
    net_disconnect(&game);
    if (stage->net->error != 0)
        return;
    show_challenge(stage, SERVER, MALLORY, seen, NULL);
    show_challenge(stage, MALLORY, CLIENT, asked, BOTH("the same, as her own", "原样当作自己的"));
    show_response(stage, CLIENT, MALLORY, response, BOTH("for Mallory's server", "给 mallory 的"));
    show_response(stage, MALLORY, SERVER, relayed, BOTH("the same", "原样转发"));
    show_verdict(stage, MALLORY, yes);
    toy_end(stage, yes,
            BOTH("Mallory is in as Alice. Nothing in the response says which server it is for.",
                 "mallory 以 alice 的身份登录。应答里没有任何东西说明它是给哪台服务器的。"));
}

/* ---- 4: replay -------------------------------------------------------------------------- */

/* A challenge of one random byte: as good as a clock, a counter that restarts, or rand(). */
static bool toy_ask_weakly(struct stage *stage, const struct net_pair *pair, uint8_t *challenge,
                           uint8_t *seen)
{
    memset(challenge, 0, RX_KEY_SIZE);
    randombytes_buf(challenge + RX_KEY_SIZE - 1, 1);
    return net_send(stage->net, pair->server, challenge, RX_KEY_SIZE) &&
           net_receive(stage->net, pair->client, seen, RX_KEY_SIZE);
}

void toy_repeated_challenge(struct stage *stage)
{
    uint8_t key[RX_KEY_SIZE], challenge[RX_KEY_SIZE], seen[RX_KEY_SIZE] = {0};
    uint8_t recorded[RX_KEY_SIZE], response[RX_HASH_SIZE];
    struct net_pair pair;
    randombytes_buf(key, sizeof key);
    page_scene(stage->page, BOTH("4. Replay: the challenge comes again", "四、重放：挑战重复出现"));
    page_say(stage->page,
             BOTH("This server's challenge has 32 bytes, but only one of them is random, as with a "
                  "bad source of randomness. Mallory recorded one login, and connects until the "
                  "same challenge comes.",
                  "这台服务器的挑战有 32 "
                  "字节，但只有一个字节是随机的，就像随机源坏了一样。mallory "
                  "抄下了一次登录，然后反复连接，直到同一个挑战再次出现。"));
    toy_lanes(stage);
    bool yes = net_connect(stage->net, &pair) && toy_ask_weakly(stage, &pair, challenge, recorded);
    if (yes)
        toy_hmac(key, recorded, response);
    yes = yes && toy_judge(stage, &pair, key, challenge, response);
    net_disconnect(&pair);
    if (!yes) {
        stage->surprise = true;
        return;
    }
    show_challenge(stage, SERVER, CLIENT, recorded, NULL);
    show_response(stage, CLIENT, SERVER, response, BOTH("Mallory records both", "都被抄下"));
    unsigned tries = 0;
    bool again = false;
    while (!again && tries < TOY_TRIES && net_connect(stage->net, &pair)) {
        tries++;
        again = toy_ask_weakly(stage, &pair, challenge, seen) &&
                memcmp(seen, recorded, sizeof seen) == 0;
        if (!again)
            net_disconnect(&pair);
    }
    yes = again && toy_judge(stage, &pair, key, challenge, response);
    net_disconnect(&pair);
    if (!again) {
        stage->surprise = true;
        return;
    }
    char count[128];
    if (stage->page->chinese) {
        (void)snprintf(count, sizeof count, "第 %u 次连接", tries);
    } else {
        (void)snprintf(count, sizeof count, "connection number %u", tries);
    }
    show_challenge(stage, SERVER, MALLORY, seen, count);
    show_response(stage, MALLORY, SERVER, response, BOTH("the recorded one", "抄下来的应答"));
    show_verdict(stage, MALLORY, yes);
    toy_end(stage, yes,
            BOTH("A challenge must never come twice, and nobody else has a say in it: 32 random "
                 "bytes, from both sides.",
                 "挑战决不能重复：双方都要用 32 个随机字节。"));
}

/* ---- 5: reflection ---------------------------------------------------------------------- */

/* This server proves itself first, with the same key in the same way: client's challenge in, its
 * own challenge and the response out. */
static bool toy_mutual(struct stage *stage, const struct net_pair *pair, const uint8_t *key,
                       const uint8_t *question, uint8_t *seen, uint8_t *proof)
{
    uint8_t got[RX_KEY_SIZE], own[RX_HASH_SIZE];
    if (!net_send(stage->net, pair->client, question, RX_KEY_SIZE) ||
        !net_receive(stage->net, pair->server, got, sizeof got))
        return false;
    toy_hmac(key, got, own);
    uint8_t asked[RX_KEY_SIZE];
    return net_send(stage->net, pair->server, own, sizeof own) &&
           net_receive(stage->net, pair->client, proof, RX_HASH_SIZE) &&
           toy_ask(stage, pair, asked, seen);
}

void toy_reflection(struct stage *stage)
{
    uint8_t key[RX_KEY_SIZE], any[RX_KEY_SIZE], challenge[RX_KEY_SIZE], other[RX_KEY_SIZE];
    uint8_t unused[RX_HASH_SIZE], proof[RX_HASH_SIZE];
    struct net_pair first, second;
    randombytes_buf(key, sizeof key);
    randombytes_buf(any, sizeof any);
    page_scene(stage->page, BOTH("5. Reflection: the server answers its own question",
                                 "五、反射：让服务器回答自己的问题"));
    page_say(stage->page,
             BOTH("Alice wants to know that the server is the right one, so both sides challenge "
                  "each other, with one key and one formula. Mallory has no key at all; she opens "
                  "two connections.",
                  "alice "
                  "也想确认服务器的身份，于是双方互相出题，用同一个密钥和同一个公式。mallory "
                  "没有密钥，但她同时开两条连接。"));
    toy_lanes(stage);
    second = (struct net_pair){-1, -1};
    bool yes = net_connect(stage->net, &first) &&
               toy_mutual(stage, &first, key, any, challenge, unused) &&
               net_connect(stage->net, &second) &&
               toy_mutual(stage, &second, key, challenge, other, proof) &&
               toy_judge(stage, &first, key, challenge, proof);
    net_disconnect(&first);
    net_disconnect(&second);
    if (stage->net->error != 0)
        return;
    show_challenge(stage, MALLORY, SERVER, any, BOTH("connection 1: anything", "连接 1：随便什么"));
    show_response(stage, SERVER, MALLORY, unused,
                  BOTH("connection 1: not needed", "连接 1：用不着"));
    show_challenge(stage, SERVER, MALLORY, challenge,
                   BOTH("connection 1: what she cannot answer", "连接 1：她答不出的题"));
    show_challenge(stage, MALLORY, SERVER, challenge,
                   BOTH("connection 2: the same, as hers", "连接 2：原样反问"));
    show_response(stage, SERVER, MALLORY, proof,
                  BOTH("connection 2: the server knows", "连接 2：服务器自己答了"));
    show_response(stage, MALLORY, SERVER, proof, BOTH("connection 1: thank you", "连接 1：照抄"));
    show_verdict(stage, MALLORY, yes);
    toy_end(stage, yes,
            BOTH("Both roles say the same thing with the same key, so one can speak for the "
                 "other.",
                 "两个角色用同一个密钥说同样的话，于是一个可以替另一个回答。"));
}

/* ---- 6: what comes after ---------------------------------------------------------------- */

void toy_change(struct stage *stage)
{
    uint8_t key[RX_KEY_SIZE], challenge[RX_KEY_SIZE], seen[RX_KEY_SIZE] = {0},
                                                      response[RX_HASH_SIZE];
    char command[TOY_COMMAND + 1] = "date            ", got[TOY_COMMAND + 1] = "";
    struct net_pair up, down;
    randombytes_buf(key, sizeof key);
    page_scene(stage->page, BOTH("6. In the middle: the proof says nothing of what follows",
                                 "六、中间人：证明管不了后面的内容"));
    page_say(stage->page,
             BOTH("All of Alice's bytes pass Mallory, who lets the login through untouched and "
                  "changes the command behind it. (The server here only reads it.)",
                  "alice 的字节都经过 mallory。登录她原样放行，只改后面的命令。"
                  "（这里的服务器只读不执行。）"));
    toy_lanes(stage);
    down = (struct net_pair){-1, -1};
    /* alice -- up -- mallory -- down -- server */
    bool yes = net_connect(stage->net, &up) && net_connect(stage->net, &down) &&
               toy_ask(stage, &down, challenge, seen) &&
               net_send(stage->net, up.server, seen, sizeof seen) &&
               net_receive(stage->net, up.client, seen, sizeof seen);
    toy_hmac(key, seen, response);
    yes = yes && net_send(stage->net, up.client, response, sizeof response) &&
          net_receive(stage->net, up.server, response, sizeof response) &&
          toy_judge(stage, &down, key, challenge, response) &&
          net_send(stage->net, up.client, command, TOY_COMMAND) &&
          net_receive(stage->net, up.server, got, TOY_COMMAND);
    memcpy(got, "rm -rf /home    ", TOY_COMMAND);
    yes = yes && net_send(stage->net, down.client, got, TOY_COMMAND);
    memset(got, 0, sizeof got);
    yes = yes && net_receive(stage->net, down.server, got, TOY_COMMAND);
    net_disconnect(&up);
    net_disconnect(&down);
    if (stage->net->error != 0)
        return;
    show_challenge(stage, SERVER, CLIENT, seen, NULL);
    show_response(stage, CLIENT, SERVER, response, NULL);
    const struct field sent = {BOTH("command", "命令"), command, TOY_COMMAND, NULL, true};
    const struct field taken = {BOTH("command", "命令"), got, TOY_COMMAND, NULL, true};
    page_send(stage->page, CLIENT, MALLORY, BOTH("command", "命令"), &sent, 1);
    page_send(stage->page, MALLORY, SERVER, BOTH("command", "命令"), &taken, 1);
    toy_end(stage, yes && memcmp(got, command, TOY_COMMAND) != 0,
            BOTH("A handshake that leaves no keys behind proves who was there at its end, and "
                 "nothing about the next byte.",
                 "握手若不留下密钥，就只能证明那一刻是谁，对下一个字节什么也证明不了。"));
}
