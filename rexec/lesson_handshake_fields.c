/*
 * The lesson's end: a pretended server, records that are changed, and each field of the handshake
 * altered on its way, with what refused it in this run.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "rexec/lesson_handshake.h"
#include "rexec/lesson_handshake_ends.h"

#define BOTH(en, zh) WORDS(stage->page, en, zh)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void all_lanes(struct stage *stage)
{
    page_lanes(stage->page, "alice", "mallory", "lab01");
}

static void end(struct stage *stage, enum rx_error error, enum rx_error expected, const char *text)
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

/* ---- 11: a pretended server ------------------------------------------------------------- */

void ours_pretender(struct stage *stage)
{
    struct cast cast;
    struct talk talk;
    page_scene(stage->page, BOTH("11. A server that is none", "十一、假服务器"));
    page_say(stage->page,
             BOTH("Mallory answers in lab01's place, with a challenge and a key of her own. She "
                  "has no K_s, so the proof is a guess.",
                  "mallory 冒充 lab01，挑战和公钥都是她自己的。她没有 K_s，证明只能乱猜。"));
    if (!cast_make(&cast, stage->net) || !talk_begin(&talk, &cast, &cast.lab01))
        return;
    uint8_t m2[RX_M2_SIZE];
    bool done = talk_m1(&talk, talk.alice.m1) && talk_see_m2(&talk);
    memcpy(m2, talk.m2, sizeof m2);
    randombytes_buf(m2 + 8, sizeof m2 - 8);
    done = done && !talk_m2(&talk, m2);
    all_lanes(stage);
    const struct field fields[] = {
        {"challenge", m2 + 8, 32, NULL, false},
        {"E_s", m2 + 40, 32, NULL, false},
        {"proof", m2 + 72, 32, BOTH("a guess", "猜的"), false},
    };
    page_send(stage->page, MALLORY, CLIENT, "M2", fields, COUNT(fields));
    stage->surprise = stage->surprise || !done || talk.alice.m3 != NULL;
    end(stage, talk.alice.error, RX_E_PROOF_WRONG,
        BOTH("Alice closes. She has sent neither a response nor a command, so Mallory has nothing "
             "to take elsewhere.",
             "alice 关闭连接。她既没有发送应答也没有发送命令，mallory 什么也带不走。"));
    talk_end(&talk);
    cast_wipe(&cast);
}

/* ---- 12: changed on the way ------------------------------------------------------------- */

/* Ways to treat two records on the way. */
enum change { CHANGE_BIT, CHANGE_TWICE, CHANGE_DROP, CHANGE_SWAP };

static enum rx_error play_change(struct stage *stage, struct cast *cast, enum change change)
{
    struct talk talk;
    size_t n = 0;
    if (!talk_begin(&talk, cast, &cast->lab01))
        return RX_OK;
    enum rx_error error = RX_OK;
    const struct alice *a = &talk.alice;
    if (talk_m1(&talk, a->m1) && talk_see_m2(&talk) && talk_m2(&talk, talk.m2) &&
        talk_m3(&talk, a->m3)) {
        uint8_t opened[GUARD_MESSAGE], changed[GUARD_MESSAGE];
        memcpy(changed, a->record[0], a->record_len[0]);
        size_t body = a->record_len[0] - RX_RECORD_LENGTH;
        if (change == CHANGE_BIT)
            changed[RX_RECORD_LENGTH + randombytes_uniform((uint32_t)body)] ^= 0x40;
        if (change == CHANGE_TWICE)
            error = talk_record(&talk, changed, a->record_len[0], opened, &n);
        if (error != RX_OK) {
            stage->surprise = true;
        } else if (change == CHANGE_BIT || change == CHANGE_TWICE) {
            error = talk_record(&talk, changed, a->record_len[0], opened, &n);
        } else {
            error = talk_record(&talk, a->record[1], a->record_len[1], opened, &n);
        }
        if (change == CHANGE_SWAP && error == RX_OK)
            error = talk_record(&talk, a->record[0], a->record_len[0], opened, &n);
    } else {
        stage->surprise = true;
    }
    talk_end(&talk);
    return error;
}

void ours_change(struct stage *stage)
{
    const struct {
        enum change change;
        const char *name, *text;
    } changes[] = {
        {CHANGE_BIT, BOTH("one bit changed", "改动一个比特"),
         BOTH("The tag covers every bit of the record, its length too.",
              "认证标签覆盖记录的每一个比特，包括长度。")},
        {CHANGE_TWICE, BOTH("the command sent twice", "命令发两遍"),
         BOTH("Each record is sealed under its own number. The second time, lab01 expects the "
              "next one: a command runs once.",
              "每条记录都用自己的序号封装。第二遍时 lab01 等的是下一号：命令只执行一次。")},
        {CHANGE_DROP, BOTH("the command dropped", "丢掉命令"),
         BOTH("The record behind it has another number than the one expected.",
              "后面的记录与期待的序号不符。")},
        {CHANGE_SWAP, BOTH("the two records swapped", "两条记录对调"),
         BOTH("The same: order is part of what is sealed.", "同上：次序也是封装的一部分。")},
    };
    page_scene(stage->page,
               BOTH("12. In the middle, behind the handshake", "十二、握手之后的中间人"));
    page_say(stage->page,
             BOTH("Alice runs a command with an end of input behind it, two records. Mallory lets "
                  "the handshake through and does to the records what worked in scene 6.",
                  "alice 发出一条命令和它的输入结束，共两条记录。mallory "
                  "放行握手，然后像第六节那样对记录下手。"));
    struct cast cast;
    if (!cast_make(&cast, stage->net))
        return;
    all_lanes(stage);
    for (size_t i = 0; i < COUNT(changes) && stage->net->error == 0; i++) {
        enum rx_error error = play_change(stage, &cast, changes[i].change);
        page_send(stage->page, MALLORY, SERVER, changes[i].name, NULL, 0);
        end(stage, error, RX_E_BAD_SEAL, changes[i].text);
    }
    cast_wipe(&cast);
}

/* ---- 13: every field -------------------------------------------------------------------- */

struct place {
    int message;
    const char *name;
    size_t at, n;
    const char *why_en, *why_zh;
};

static const struct place places[] = {
    {1, "magic", 0, 4, "tells a stranger at once", "一眼认出不说这个协议的"},
    {1, "type", 4, 1, "M1 can never pass for M2 or M3", "M1 不能冒充 M2、M3"},
    {1, "version min", 5, 1, "the range is proven: no downgrade", "版本范围在证明之内，无法降级"},
    {1, "version max", 6, 1, "as the lowest", "同最低版本"},
    {1, "suites", 7, 1, "the offer is proven: Mallory cannot take the good ciphers out of it",
     "套件列表在证明之内，不能删去强的"},
    {1, "kid", 8, 16, "names the grant and so the keys; unknown ones get decoys, and look alike",
     "指明授权和密钥；未知的用诱饵，看不出差别"},
    {1, "nonce_c", 24, 32, "makes the server's proof new: no replayed server",
     "使服务器的证明总是新的，不能重放服务器"},
    {1, "E_c", 56, 32, "recorded sessions stay closed when the key is stolen later",
     "以后密钥被盗，抄下的会话也解不开"},
    {2, "magic", 0, 4, "as M1 magic", "同 M1 magic"},
    {2, "type", 4, 1, "what the client sent cannot be reflected to it", "客户端的消息不能反射回来"},
    {2, "version", 5, 1, "the choice is proven, too", "选择同样在证明之内"},
    {2, "suite", 6, 1, "as the version", "同 version"},
    {2, "zero", 7, 1, "room for a later version, and nothing can hide in it",
     "留给以后的版本，不能夹带"},
    {2, "challenge", 8, 32, "makes the response new: no replayed client",
     "使应答总是新的，不能重放客户端"},
    {2, "E_s", 40, 32, "as E_c; under the proof, so nobody sits between the two",
     "同 E_c；在证明之内，所以没有中间人"},
    {2, "proof", 72, 32, "only who holds K_s for this name can make it; the client speaks after it",
     "只有持有该名字 K_s 的才算得出；客户端先看它再说话"},
    {3, "magic", 0, 4, "as M1 magic", "同 M1 magic"},
    {3, "type", 4, 1, "M2's proof is no response", "M2 的证明不能当应答"},
    {3, "version", 5, 1, "both mean the same version", "双方认定同一版本"},
    {3, "suite", 6, 1, "both mean the same cipher", "双方认定同一套件"},
    {3, "zero", 7, 1, "as M2 zero", "同 M2 zero"},
    {3, "response", 8, 32, "only who holds the key can make it, for this server and these bytes",
     "只有持有密钥的才算得出，且只对这台服务器、这些字节有效"},
};

/* Flips one random bit of the field on its way. *who: the side that refused. */
static enum rx_error play_place(struct cast *cast, const struct place *place, enum lane *who)
{
    struct talk talk;
    uint8_t m[3][RX_M2_SIZE] = {{0}};
    if (!talk_begin(&talk, cast, &cast->lab01))
        return RX_OK;
    size_t at = place->at + randombytes_uniform((uint32_t)place->n);
    uint8_t bit = (uint8_t)(1U << randombytes_uniform(8));
    memcpy(m[0], talk.alice.m1, RX_M1_SIZE);
    m[0][at] ^= place->message == 1 ? bit : 0;
    bool on = talk_m1(&talk, m[0]) && talk_see_m2(&talk);
    memcpy(m[1], talk.m2, RX_M2_SIZE);
    m[1][at] ^= place->message == 2 ? bit : 0;
    on = on && talk_m2(&talk, m[1]);
    if (on) {
        memcpy(m[2], talk.alice.m3, RX_M3_SIZE);
        m[2][at] ^= place->message == 3 ? bit : 0;
        (void)talk_m3(&talk, m[2]);
    }
    enum rx_error error = talk.alice.error != RX_OK ? talk.alice.error : talk.guard.error;
    *who = talk.alice.error != RX_OK ? CLIENT : SERVER;
    talk_end(&talk);
    return error;
}

void ours_fields(struct stage *stage)
{
    struct cast cast;
    unsigned refused = 0;
    page_scene(stage->page, BOTH("13. Why each field is there", "十三、每个字段为什么在那里"));
    page_say(stage->page, BOTH("Twenty-two handshakes, in each of which Mallory flipped one random "
                               "bit of one field on its way. Who refused, and by which check, is "
                               "what happened in this run.",
                               "二十二次握手，每次 mallory "
                               "在途中翻转一个字段里随机的一个比特。谁拒绝、被哪项检查拒绝，都是"
                               "本次运行的真实结果。"));
    if (!cast_make(&cast, stage->net))
        return;
    const char *const head[4] = {BOTH("field", "字段"), BOTH("refused", "谁拒绝"),
                                 BOTH("check", "检查"), BOTH("why it is there", "为什么需要")};
    page_table(stage->page, head);
    for (size_t i = 0; i < COUNT(places) && stage->net->error == 0; i++) {
        enum lane who = SERVER;
        enum rx_error error = play_place(&cast, &places[i], &who);
        char name[32];
        (void)snprintf(name, sizeof name, "M%d %s", places[i].message, places[i].name);
        const char *const cells[4] = {name, who == CLIENT ? "alice" : "lab01",
                                      error != RX_OK ? rx_error_name(error)
                                                     : BOTH("NOBODY", "没有人"),
                                      BOTH(places[i].why_en, places[i].why_zh)};
        page_row(stage->page, cells);
        refused += error != RX_OK;
    }
    page_table_end(stage->page);
    stage->stopped += refused;
    stage->surprise = stage->surprise || refused != COUNT(places);
    cast_wipe(&cast);
}
