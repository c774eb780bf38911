/*
 * The lesson's second half: rexec's own handshake over the same sockets, attacked in the same ways.
 * Both ends are the code that rexec and rexecd run (rexec/connection.h, auth/handshake.h); only
 * because the server is in this process too can it be seen which check refused. A real rexecd
 * closes without a word.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "auth/hkdf.h"
#include "proto/bytes.h"
#include "rexec/lesson_handshake.h"
#include "rexec/lesson_handshake_ends.h"

#define BOTH(en, zh) WORDS(stage->page, en, zh)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- what is shown ---------------------------------------------------------------------- */

static void ours_lanes(struct stage *stage, bool attacked)
{
    page_lanes(stage->page, "alice", attacked ? "mallory" : "", "lab01");
}

static void show_m1(struct stage *stage, enum lane from, enum lane to, const uint8_t *m1)
{
    const struct field fields[] = {
        {"magic", m1, 4, "\"rexc\"", false},
        {"type", m1 + 4, 1, NULL, false},
        {"versions", m1 + 5, 2, BOTH("lowest, highest", "最低、最高"), false},
        {"suites", m1 + 7, 1, BOTH("ciphers offered", "可用的加密套件"), false},
        {"kid", m1 + 8, 16, BOTH("whose grant", "哪一份授权"), false},
        {"nonce_c", m1 + 24, 32, BOTH("random: the client's", "客户端的随机数"), false},
        {"E_c", m1 + 56, 32, BOTH("fresh X25519 key", "一次性 X25519 公钥"), false},
    };
    page_send(stage->page, from, to, BOTH("M1, 88 bytes", "M1，88 字节"), fields, COUNT(fields));
}

static void show_m2(struct stage *stage, enum lane from, enum lane to, const uint8_t *m2)
{
    const struct field fields[] = {
        {"magic", m2, 4, "\"rexc\"", false},
        {"type", m2 + 4, 1, NULL, false},
        {"version", m2 + 5, 1, BOTH("chosen", "选定的版本"), false},
        {"suite", m2 + 6, 1, BOTH("chosen", "选定的套件"), false},
        {"zero", m2 + 7, 1, NULL, false},
        {"challenge", m2 + 8, 32, BOTH("random: the server's", "服务器的随机数"), false},
        {"E_s", m2 + 40, 32, BOTH("fresh X25519 key", "一次性 X25519 公钥"), false},
        {"proof", m2 + 72, 32, "HMAC(K_s, nonce_c, H(M1, M2))", false},
    };
    page_send(stage->page, from, to, BOTH("M2, 104 bytes", "M2，104 字节"), fields, COUNT(fields));
}

static void show_m3(struct stage *stage, enum lane from, enum lane to, const uint8_t *m3)
{
    const struct field fields[] = {
        {"magic", m3, 4, "\"rexc\"", false},
        {"type", m3 + 4, 1, NULL, false},
        {"version", m3 + 5, 1, NULL, false},
        {"suite", m3 + 6, 1, NULL, false},
        {"zero", m3 + 7, 1, NULL, false},
        {"response", m3 + 8, 32, "HMAC(K_c, challenge, H(M1, M2, M3))", false},
    };
    page_send(stage->page, from, to, BOTH("M3, 40 bytes", "M3，40 字节"), fields, COUNT(fields));
}

static void show_record(struct stage *stage, enum lane from, enum lane to, const char *label,
                        const uint8_t *record, size_t n)
{
    const struct field fields[] = {
        {"length", record, 4, BOTH("of all that follows", "后面的字节数"), false},
        {"sealed", record + 4, n - 4 - 16, BOTH("ciphertext", "密文"), false},
        {"tag", record + n - 16, 16, BOTH("its authenticity", "认证标签"), false},
    };
    page_send(stage->page, from, to, label, fields, COUNT(fields));
}

/* Only the part of a message that matters here. */
static void show_part(struct stage *stage, enum lane from, enum lane to, const char *label,
                      const char *name, const uint8_t *bytes, size_t n, const char *remark)
{
    const struct field field = {name, bytes, n, remark, false};
    page_send(stage->page, from, to, label, &field, 1);
}

/* An attack on ours is over: it must have been stopped, and by this check. */
static void ours_end(struct stage *stage, enum rx_error error, enum rx_error expected,
                     const char *text)
{
    if (stage->net->error != 0)
        return;
    stage_count(stage, error == RX_OK, false);
    stage->surprise = stage->surprise || error != expected;
    if (error == RX_OK) {
        page_outcome(stage->page, OUTCOME_GOT_IN, NULL, BOTH("This must not be.", "这不应发生！"));
    } else {
        page_outcome(stage->page, OUTCOME_STOPPED, rx_error_name(error), text);
    }
}

/* ---- 7: as it is meant ------------------------------------------------------------------ */

static void show_keys(struct stage *stage, const struct cast *cast)
{
    const struct field keys[] = {
        {"psk", cast->psk, sizeof cast->psk, BOTH("of this run", "仅本次运行"), false},
        {"kid", cast->lab01.kid, sizeof cast->lab01.kid, "HMAC(psk, \"rexec/1 kid\" \"lab01\")",
         false},
        {"K_c", cast->lab01.client_auth, RX_KEY_SIZE, BOTH("proves the client", "证明客户端"),
         false},
        {"K_s", cast->lab01.server_auth, RX_KEY_SIZE, BOTH("proves the server", "证明服务器"),
         false},
        {"K_m", cast->lab01.mix, RX_KEY_SIZE, BOTH("enters the session's keys", "参与会话密钥"),
         false},
    };
    page_values(stage->page, CLIENT,
                BOTH("has psk, and derives for the name lab01 (lab01 stores all but psk):",
                     "持有 psk，按名字 lab01 派生（lab01 只保存后四个）："),
                keys, COUNT(keys));
}

static void show_session(struct stage *stage, const struct guard *lab01)
{
    const struct field keys[] = {
        {"c2s", lab01->keys.c2s, RX_KEY_SIZE, BOTH("client to server", "客户端到服务器"), false},
        {"s2c", lab01->keys.s2c, RX_KEY_SIZE, BOTH("server to client", "服务器到客户端"), false},
        {"request", lab01->keys.request, RX_KEY_SIZE, BOTH("proves commands", "证明命令"), false},
    };
    page_values(stage->page, SERVER,
                BOTH("derives from K_m, X25519(E_c, E_s) and H(M1, M2, M3):",
                     "由 K_m、X25519(E_c, E_s) 和 H(M1, M2, M3) 派生："),
                keys, COUNT(keys));
}

void ours_handshake(struct stage *stage)
{
    struct cast cast;
    struct talk talk;
    page_scene(stage->page, BOTH("7. As it is meant", "七、本来的样子"));
    page_say(stage->page,
             BOTH("Three messages of fixed size. The challenge and the response are still there; "
                  "what is new is what they are bound to.",
                  "三条固定长度的消息。挑战和应答仍在其中，新的是它们所绑定的东西。"));
    ours_lanes(stage, false);
    bool begun = cast_make(&cast, stage->net);
    if (begun)
        show_keys(stage, &cast);
    uint8_t opened[GUARD_MESSAGE];
    size_t n = 0;
    begun = begun && talk_begin(&talk, &cast, &cast.lab01);
    if (!begun)
        return;
    bool done =
        talk_m1(&talk, talk.alice.m1) && talk_see_m2(&talk) && talk_m2(&talk, talk.m2) &&
        talk_m3(&talk, talk.alice.m3) &&
        talk_record(&talk, talk.alice.record[0], talk.alice.record_len[0], opened, &n) == RX_OK &&
        talk_welcome(&talk);
    if (done) {
        show_m1(stage, CLIENT, SERVER, talk.alice.m1);
        show_m2(stage, SERVER, CLIENT, talk.m2);
        show_m3(stage, CLIENT, SERVER, talk.alice.m3);
        show_session(stage, &talk.guard);
        show_record(stage, CLIENT, SERVER, BOTH("record: a command", "记录：一条命令"),
                    talk.alice.record[0], talk.alice.record_len[0]);
        size_t header = rx_get16(opened + 2), tail = n - RX_REQUEST_TRAILER;
        const struct field message[] = {
            {BOTH("head", "消息头"), opened, RX_MESSAGE_HEAD, "EXEC", false},
            {BOTH("header", "JSON 头"), opened + RX_MESSAGE_HEAD, header, NULL, true},
            {BOTH("words", "命令行"), opened + RX_MESSAGE_HEAD + header,
             tail - RX_MESSAGE_HEAD - header, BOTH("\"date\", with kind and length", "date"),
             false},
            {BOTH("sequence", "序号"), opened + tail, 8, NULL, false},
            {BOTH("mac", "命令的证明"), opened + tail + 8, 32,
             BOTH("under the request key", "用 request 密钥"), false},
        };
        page_values(stage->page, SERVER, BOTH("opens it:", "解开它："), message, COUNT(message));
        show_record(stage, SERVER, CLIENT, "WELCOME", talk.welcome, talk.welcome_len);
        page_outcome(stage->page, OUTCOME_FINE, NULL,
                     BOTH("Both are proven. The client says nothing before it has seen the "
                          "server's proof; Mallory reads which grant it is, and random bytes.",
                          "双方都得到了证明。客户端在看到服务器的证明之前什么也不说；mallory "
                          "能读到的只有授权编号和随机字节。"));
    }
    stage->surprise = stage->surprise || !done;
    talk_end(&talk);
    cast_wipe(&cast);
}

/* ---- 8: replay -------------------------------------------------------------------------- */

void ours_replay(struct stage *stage)
{
    struct cast cast;
    struct talk talk, again;
    page_scene(stage->page, BOTH("8. Replay", "八、重放"));
    page_say(stage->page, BOTH("Mallory recorded a whole session of Alice's, and sends its bytes "
                               "once more.",
                               "mallory 抄下了 alice 的整个会话，原样再发一遍。"));
    if (!cast_make(&cast, stage->net) || !talk_begin(&talk, &cast, &cast.lab01))
        return;
    bool done = talk_m1(&talk, talk.alice.m1) && talk_see_m2(&talk) && talk_m2(&talk, talk.m2) &&
                talk_m3(&talk, talk.alice.m3);
    stage->surprise = stage->surprise || !done || talk.guard.error != RX_OK;
    ours_lanes(stage, true);
    if (done && talk_begin(&again, &cast, NULL)) {
        bool closed = talk_m1(&again, talk.alice.m1) && talk_see_m2(&again) &&
                      !talk_m3(&again, talk.alice.m3) && talk_closed(&again);
        show_part(stage, MALLORY, SERVER, BOTH("M1, recorded", "M1（抄下的）"), "nonce_c",
                  talk.alice.m1 + 24, 32, BOTH("Alice's, of then", "alice 当时的"));
        show_part(stage, SERVER, MALLORY, "M2", "challenge", again.m2 + 8, 32,
                  BOTH("a new one", "新的挑战"));
        show_part(stage, MALLORY, SERVER, BOTH("M3, recorded", "M3（抄下的）"), "response",
                  talk.alice.m3 + 8, 32, BOTH("to the challenge of then", "针对当时的挑战"));
        stage->surprise = stage->surprise || !closed;
        ours_end(
            stage, again.guard.error, RX_E_RESPONSE_WRONG,
            BOTH(
                "lab01 compares the response with the one to its new challenge, in a time "
                "that is always the same, and closes without a word. No command behind it would be "
                "looked at.",
                "lab01 用恒定时间比较新挑战的应答，不符，不作任何回答就关闭连接。"
                "后面的命令看都不会看。"));
        talk_end(&again);
    }
    talk_end(&talk);
    cast_wipe(&cast);
}

/* ---- 9: reflection ---------------------------------------------------------------------- */

void ours_reflection(struct stage *stage)
{
    struct cast cast;
    struct talk first, second;
    page_scene(stage->page, BOTH("9. Reflection", "九、反射"));
    page_say(
        stage->page,
        BOTH("Two connections again. Mallory knows Alice's kid from the wire, and lets lab01 "
             "answer its own challenge, as nonce_c of the second one.",
             "还是两条连接。mallory 从线路上知道 alice 的 kid，把 lab01 的挑战当作第二条连接的 "
             "nonce_c，让它自己回答。"));
    if (!cast_make(&cast, stage->net) || !talk_begin(&first, &cast, &cast.lab01))
        return;
    ours_lanes(stage, true);
    bool done = talk_m1(&first, first.alice.m1) && talk_see_m2(&first);
    if (done && talk_begin(&second, &cast, NULL)) {
        uint8_t m1[RX_M1_SIZE], m3[RX_M3_SIZE] = {'r', 'e', 'x', 'c', 3, 1};
        memcpy(m1, first.alice.m1, sizeof m1);
        memcpy(m1 + 24, first.m2 + 8, RX_KEY_SIZE);
        done = talk_m1(&second, m1) && talk_see_m2(&second);
        m3[6] = first.m2[6];
        memcpy(m3 + 8, second.m2 + 72, RX_HASH_SIZE);
        done = done && !talk_m3(&first, m3) && talk_closed(&first);
        talk_end(&second);
        show_part(stage, SERVER, MALLORY, BOTH("1: M2", "连接 1：M2"), "challenge", first.m2 + 8,
                  32, BOTH("what she cannot answer", "她答不出的题"));
        show_part(stage, MALLORY, SERVER, BOTH("2: M1", "连接 2：M1"), "nonce_c", m1 + 24, 32,
                  BOTH("the same", "原样反问"));
        show_part(stage, SERVER, MALLORY, BOTH("2: M2", "连接 2：M2"), "proof", m3 + 8, 32,
                  BOTH("HMAC under K_s", "用 K_s 算的 HMAC"));
        show_part(stage, MALLORY, SERVER, BOTH("1: M3", "连接 1：M3"), "response", m3 + 8, 32,
                  BOTH("wanted: HMAC under K_c", "需要的是 K_c 的 HMAC"));
        stage->surprise = stage->surprise || !done;
        ours_end(
            stage, first.guard.error, RX_E_RESPONSE_WRONG,
            BOTH(
                "Server and client prove themselves with different keys, K_s and K_c, over "
                "different bytes. What one says is never what the other must say.",
                "服务器用 K_s，客户端用 K_c，绑定的字节也不同：一方说的话永远不是另一方该说的话。"));
    }
    talk_end(&first);
    cast_wipe(&cast);
}

/* ---- 10: relay -------------------------------------------------------------------------- */

/* Mallory's own M2: lab01's, under the proof that her own grant can make. */
static bool prove_as_lab02(const struct cast *cast, const uint8_t *m1, uint8_t *m2)
{
    uint8_t transcript[RX_HASH_SIZE];
    const struct rx_bytes seen[] = {{m1, RX_M1_SIZE}, {m2, 72}};
    const struct rx_bytes proven[] = {{m1 + 24, RX_KEY_SIZE}, {transcript, sizeof transcript}};
    return rx_hash(seen, 2, transcript) == RX_OK &&
           rx_hmac(cast->lab02.server_auth, RX_KEY_SIZE, proven, 2, m2 + 72) == RX_OK;
}

/* Everything is passed on as it is. */
static void relay_plainly(struct stage *stage, struct cast *cast)
{
    struct talk talk;
    if (!talk_begin(&talk, cast, &cast->lab02))
        return;
    (void)(talk_m1(&talk, talk.alice.m1) && talk_see_m2(&talk) && talk_m2(&talk, talk.m2));
    show_part(stage, CLIENT, MALLORY, "M1", "kid", talk.alice.m1 + 8, 16,
              BOTH("of the grant for lab02", "lab02 的授权"));
    show_part(stage, MALLORY, SERVER, "M1", "kid", talk.alice.m1 + 8, 16,
              BOTH("lab01 has none such", "lab01 没有这份授权"));
    show_part(stage, SERVER, CLIENT, "M2", "proof", talk.m2 + 72, 32,
              BOTH("made with decoy keys", "用诱饵密钥算出"));
    ours_end(stage, talk.alice.error, RX_E_PROOF_WRONG,
             BOTH("The psk is never used itself: each server name has keys of its own. lab01 "
                  "answers strangers as it answers anybody, and Alice sees that this is not "
                  "lab02.",
                  "psk 从不直接使用，每个服务器名都有自己的密钥。lab01 "
                  "对陌生人和熟人的回答看起来一样，而 alice 看得出这不是 lab02。"));
    talk_end(&talk);
}

/* With all that Mallory has: lab02's own grant, and Alice's kid for lab01 from the wire. */
static void relay_cleverly(struct stage *stage, struct cast *cast)
{
    struct talk talk;
    uint8_t m1[RX_M1_SIZE], m2[RX_M2_SIZE];
    if (!talk_begin(&talk, cast, &cast->lab02))
        return;
    memcpy(m1, talk.alice.m1, sizeof m1);
    memcpy(m1 + 8, cast->lab01.kid, RX_KID_SIZE);
    bool done = talk_m1(&talk, m1) && talk_see_m2(&talk);
    memcpy(m2, talk.m2, sizeof m2);
    done = done && prove_as_lab02(cast, talk.alice.m1, m2) && talk_m2(&talk, m2);
    done = done && !talk_m3(&talk, talk.alice.m3) && talk_closed(&talk);
    stage->surprise = stage->surprise || !done;
    show_part(stage, MALLORY, SERVER, "M1", "kid", m1 + 8, 16,
              BOTH("changed to lab01's", "换成 lab01 的"));
    show_part(stage, SERVER, MALLORY, "M2", "challenge", talk.m2 + 8, 32, NULL);
    show_part(stage, MALLORY, CLIENT, "M2", "proof", m2 + 72, 32,
              BOTH("anew, with lab02's K_s", "用 lab02 的 K_s 重算"));
    if (done) {
        show_part(stage, CLIENT, SERVER, "M3", "response", talk.alice.m3 + 8, 32,
                  BOTH("under K_c of lab02", "用 lab02 的 K_c 算出"));
    }
    ours_end(stage, talk.guard.error, RX_E_RESPONSE_WRONG,
             BOTH("Alice does talk to lab02 this time, so she responds: with the key for lab02, "
                  "over the M1 that she sent. lab01 expects another key and another M1. The "
                  "stolen file of one server opens no other.",
                  "这一次 alice 确实在和 lab02 说话，于是作了应答：用 lab02 的密钥，绑定她发出的 "
                  "M1。lab01 期待的是另一个密钥和另一个 M1。偷到一台服务器的文件，打不开另一台。"));
    talk_end(&talk);
}

void ours_relay(struct stage *stage)
{
    struct cast cast;
    page_scene(stage->page, BOTH("10. Relay", "十、转发"));
    page_say(stage->page,
             BOTH("Alice wants lab02, which is Mallory's, with a grant of Alice's own "
                  "giving. Mallory wants to be Alice at lab01.",
                  "alice 要登录的 lab02 是 mallory 的，授权也是 alice 给的。mallory 想在 "
                  "lab01 冒充 alice。"));
    if (!cast_make(&cast, stage->net))
        return;
    page_say(stage->page, BOTH("First, passing everything on:", "先原样转发："));
    page_lanes(stage->page, "alice", BOTH("lab02 (mallory)", "lab02（mallory）"), "lab01");
    relay_plainly(stage, &cast);
    page_say(stage->page, BOTH("Then with all that a server of Alice's has:",
                               "再用上 alice 的服务器所拥有的一切："));
    page_lanes(stage->page, "alice", BOTH("lab02 (mallory)", "lab02（mallory）"), "lab01");
    relay_cleverly(stage, &cast);
    cast_wipe(&cast);
}
