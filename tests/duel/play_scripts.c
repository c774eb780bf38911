/* The scripts of tests/duel/play.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/duel/play.h"

#define ID(n) "\"id\":\"000000000000000000000000000000" n "\""

static void must(enum rx_error error, const char *what)
{
    if (error != RX_OK) {
        (void)fprintf(stderr, "play: %s: %s\n", what, rx_error_name(error));
        abort();
    }
}

/* ---- what the client says --------------------------------------------------------------- */

static void ask(struct player *p, enum rx_type type, const char *header, const void *body,
                size_t body_len, unsigned stream)
{
    struct rx_channel **channel = &p->channels[stream];
    must(rx_engine_request(p->end.engine, type, header, strlen(header), body, body_len, channel),
         header);
    if (rx_channel_stream(*channel) != stream)
        abort();
}

static void ask_exec(struct player *p, const char *header, unsigned stream)
{
    static const uint8_t words[] = {1, 0, 0, 0,   6, 's', 'o', 'r', 't', ' ', 'x', 3,  0,
                                    0, 0, 1, '/', 2, 0,   0,   0,   3,   'A', '=', 'b'};
    ask(p, RX_EXEC, header, words, sizeof words, stream);
}

static void say(struct player *p, unsigned stream, enum rx_which which, const char *text)
{
    size_t n = strlen(text);
    if (rx_engine_write(p->end.engine, p->channels[stream], which, text, n) != n)
        abort();
}

static void finish(struct player *p, unsigned stream, enum rx_which which)
{
    rx_engine_finish(p->end.engine, p->channels[stream], which);
}

static void exit_ack(struct player *p, unsigned stream)
{
    must(rx_engine_exit_ack(p->end.engine, p->channels[stream]), "EXIT_ACK");
    p->channels[stream] = NULL;
}

static void close_session(struct player *p)
{
    must(rx_engine_close(p->end.engine, "{\"reason\":\"enough\"}", 19), "CLOSE");
}

/* The command of the connection before goes on: RESUME. */
static void ask_resume(struct player *p, unsigned stream)
{
    p->channels[stream] = p->before[0];
    p->before[0] = NULL;
    ask(p, RX_RESUME, "{" ID("65") "}", NULL, 0, stream);
}

/* ---- what the server says --------------------------------------------------------------- */

static void start(struct player *p, unsigned stream, enum rx_type answer, size_t before,
                  const char *header)
{
    struct rx_channel **old = before < PLAY_BEFORE ? &p->before[before] : NULL;
    must(rx_engine_start(p->end.engine, answer, &p->channels[stream], old != NULL ? *old : NULL,
                         header, strlen(header)),
         header);
    if (old != NULL)
        *old = NULL;
}

enum { ANEW = PLAY_BEFORE };

static void answer(struct player *p, enum rx_type type, unsigned stream, bool last,
                   const char *header)
{
    must(rx_engine_answer(p->end.engine, type, p->channels[stream], last, header, strlen(header),
                          NULL, 0),
         header);
    if (last)
        p->channels[stream] = NULL;
}

static void refuse(struct player *p, unsigned stream, bool last)
{
    answer(p, RX_REFUSED, stream, last,
           "{\"code\":66,\"name\":\"not_permitted\",\"text\":\"the grant does not permit this\"}");
}

static void goaway(struct player *p)
{
    static const char header[] = "{\"code\":65,\"name\":\"shutting_down\",\"grace_ms\":5000}";
    must(rx_engine_goaway(p->end.engine, header, sizeof header - 1), "GOAWAY");
}

static void welcome(struct player *p)
{
    must(end_welcome(&p->end), "WELCOME");
}

/* ---- what both say ---------------------------------------------------------------------- */

static void ping(struct player *p, const char *token)
{
    must(rx_engine_ping(p->end.engine, (const uint8_t *)token), "PING");
}

static void pong(struct player *p)
{
    for (size_t i = 0; i < p->token_count; i++)
        must(rx_engine_pong(p->end.engine, p->tokens[i], 1000 + i), "PONG");
    p->token_count = 0;
}

static void ack_all(struct player *p)
{
    player_drain(p);
    for (size_t i = 0; i < PLAY_STREAMS; i++) {
        for (enum rx_which w = 0; w < RX_WHICH_COUNT && p->channels[i] != NULL; w++)
            rx_engine_ack(p->end.engine, p->channels[i], w);
    }
}

static void fail_session(struct player *p)
{
    static const char header[] = "{\"code\":15,\"name\":\"internal\",\"text\":\"out of luck\"}";
    rx_engine_fail(p->end.engine, RX_E_INTERNAL, header, sizeof header - 1);
}

/* ---- one command ------------------------------------------------------------------------ */

static void command_ask(struct player *p)
{
    ask_exec(p, "{" ID("01") "}", 1);
    say(p, 1, RX_WHICH_STDIN, "b\na\n");
}

static void command_start(struct player *p)
{
    start(p, 1, RX_STARTED, ANEW, "{\"pid\":77}");
    say(p, 1, RX_WHICH_STDERR, "careful");
}

static void command_finish(struct player *p)
{
    ack_all(p);
    say(p, 1, RX_WHICH_STDIN, "c\n");
    finish(p, 1, RX_WHICH_STDIN);
    ask(p, RX_SIGNAL, "{\"signal\":\"USR1\",\"n\":1}", NULL, 0, 1);
}

static void command_exit(struct player *p)
{
    ack_all(p);
    answer(p, RX_DONE, 1, false, "{\"n\":1}");
    say(p, 1, RX_WHICH_STDOUT, "a\nb\nc\n");
    must(end_exit(&p->end, p->channels[1], 3), "EXIT");
}

static void command_over(struct player *p)
{
    exit_ack(p, 1);
    close_session(p);
}

static const struct play_step command_steps[] = {
    {RX_SERVER, welcome, false},      {RX_CLIENT, command_ask, true},
    {RX_SERVER, command_start, true}, {RX_CLIENT, command_finish, true},
    {RX_SERVER, command_exit, true},  {RX_CLIENT, command_over, true},
    {RX_CLIENT, NULL, false},
};
const struct play play_command = {"command", command_steps, false};

/* ---- questions only --------------------------------------------------------------------- */

static void questions_ask(struct player *p)
{
    ask(p, RX_LIST, "{}", NULL, 0, 1);
    ask(p, RX_FORGET, "{" ID("07") "}", NULL, 0, 2);
    ask(p, RX_SIGNAL, "{" ID("08") ",\"signal\":\"HUP\"}", NULL, 0, 3);
}

static void questions_answer(struct player *p)
{
    answer(p, RX_LISTED, 1, false, "{" ID("07") ",\"state\":\"exited\"}");
    answer(p, RX_LISTED, 1, true, "{" ID("08") ",\"state\":\"running\"}");
    answer(p, RX_DONE, 2, true, "");
    refuse(p, 3, true);
    ping(p, "are you?");
    goaway(p);
}

static void questions_end(struct player *p)
{
    pong(p);
    ping(p, "yes you?");
}

static const struct play_step questions_steps[] = {
    {RX_SERVER, welcome, false},
    {RX_CLIENT, questions_ask, true},
    {RX_SERVER, questions_answer, true},
    {RX_CLIENT, questions_end, true},
    {RX_SERVER, pong, true},
    {RX_CLIENT, fail_session, true},
    {RX_SERVER, NULL, false},
};
const struct play play_questions = {"questions", questions_steps, false};

/* ---- after a lost connection ------------------------------------------------------------ */

static void return_ask(struct player *p)
{
    ask_resume(p, 1);
    ask(p, RX_ATTACH, "{" ID("66") ",\"steal\":true}", NULL, 0, 2);
}

static void return_answer(struct player *p)
{
    start(p, 1, RX_RESUMED, 0, "{\"pid\":5,\"n\":2}");
    start(p, 2, RX_RESUMED, 1, "{}");
    say(p, 2, RX_WHICH_STDERR, "moved");
}

static void return_talk(struct player *p)
{
    ack_all(p);
    ask(p, RX_RESIZE, "{\"rows\":24,\"cols\":80,\"width\":0,\"height\":0}", NULL, 0, 2);
    ask(p, RX_DETACH, "", NULL, 0, 2);
}

static void return_exit(struct player *p)
{
    finish(p, 1, RX_WHICH_STDOUT);
    refuse(p, 2, false);
    answer(p, RX_DONE, 2, false, "{}");
}

static const struct play_step return_steps[] = {
    {RX_SERVER, welcome, true},       {RX_CLIENT, return_ask, true},
    {RX_SERVER, return_answer, true}, {RX_CLIENT, return_talk, true},
    {RX_SERVER, return_exit, true},   {RX_CLIENT, NULL, false},
};
const struct play play_return = {"return", return_steps, true};

/* ---- everything ------------------------------------------------------------------------- */

/* Streams: 1 a command with all that can be; 2 resumed; 3 attached; 4 LIST; 5 FORGET; 6 SIGNAL; 7
 * refused; 8 taken over while the client talks to it; 9 still running at the end. */

static void rich_ask(struct player *p)
{
    ask_exec(p, "{" ID("01") ",\"label\":\"first\"}", 1);
    say(p, 1, RX_WHICH_STDIN, "two lines\nof input\n");
    ask_resume(p, 2);
    ask(p, RX_ATTACH, "{" ID("66") "}", NULL, 0, 3);
    ask(p, RX_LIST, "", NULL, 0, 4);
    ask(p, RX_FORGET, "{" ID("05") "}", NULL, 0, 5);
    ask(p, RX_SIGNAL, "{" ID("06") ",\"signal\":\"TERM\"}", NULL, 0, 6);
    ask_exec(p, "{" ID("07") ",\"user\":\"root\"}", 7);
    ask_exec(p, "{" ID("08") "}", 8);
    ask_exec(p, "{" ID("09") "}", 9);
    finish(p, 9, RX_WHICH_STDIN);
}

static void rich_answer(struct player *p)
{
    static const uint8_t words[] = {1, 0, 0, 0, 1, 'x'};
    start(p, 1, RX_STARTED, ANEW, "{\"pid\":4711,\"start_us\":1}");
    start(p, 2, RX_RESUMED, 0, "{\"n\":0}");
    start(p, 3, RX_RESUMED, 1, "");
    must(rx_engine_answer(p->end.engine, RX_LISTED, p->channels[4], false, "{}", 2, words,
                          sizeof words),
         "LISTED");
    answer(p, RX_LISTED, 4, true, "{}");
    answer(p, RX_DONE, 5, true, "{}");
    refuse(p, 6, true);
    refuse(p, 7, true);
    start(p, 8, RX_STARTED, ANEW, "");
    start(p, 9, RX_STARTED, ANEW, "{\"already\":false}");
    say(p, 1, RX_WHICH_STDOUT, "some output, and more of it");
    say(p, 1, RX_WHICH_STDERR, "and a warning");
    say(p, 3, RX_WHICH_STDOUT, "to the new owner");
    ping(p, "12345678");
    ping(p, "abcdefgh");
}

static void rich_talk(struct player *p)
{
    pong(p);
    ping(p, "........");
    ask(p, RX_RESIZE, "{\"rows\":1,\"cols\":2,\"width\":3,\"height\":4}", NULL, 0, 1);
    ask(p, RX_SIGNAL, "{\"signal\":\"INT\",\"n\":1}", NULL, 0, 1);
    ask(p, RX_DETACH, "", NULL, 0, 1);
    say(p, 1, RX_WHICH_STDIN, "the last line\n");
    finish(p, 1, RX_WHICH_STDIN);
    say(p, 3, RX_WHICH_STDIN, "?");
    ack_all(p);
}

static void rich_reply(struct player *p)
{
    pong(p);
    answer(p, RX_DONE, 1, false, "{\"n\":1}");
    answer(p, RX_DONE, 1, false, "");
    refuse(p, 1, false);
    ack_all(p);
    say(p, 1, RX_WHICH_STDOUT, "the end");
    finish(p, 1, RX_WHICH_STDOUT);
}

static void rich_exit(struct player *p)
{
    say(p, 1, RX_WHICH_STDERR, "of it all");
    must(end_exit(&p->end, p->channels[1], 0), "EXIT");
    must(end_exit(&p->end, p->channels[2], 255), "EXIT");
}

/* Crosses rich_take on its way. */
static void rich_cross(struct player *p)
{
    say(p, 8, RX_WHICH_STDIN, "into the void");
    ask(p, RX_SIGNAL, "{\"signal\":\"KILL\",\"n\":1}", NULL, 0, 8);
    rx_engine_ack(p->end.engine, p->channels[8], RX_WHICH_STDERR);
    say(p, 1, RX_WHICH_STDIN, "");
}

static void rich_take(struct player *p)
{
    static const char header[] = "{\"code\":76,\"name\":\"taken_over\"}";
    struct rx_channel *taken = p->channels[8];
    must(rx_engine_release(p->end.engine, taken, header, sizeof header - 1), "release");
    p->channels[8] = NULL;
    rx_channel_free(taken);
    goaway(p);
    goaway(p);
}

static void rich_over(struct player *p)
{
    player_drain(p);
    exit_ack(p, 1);
    exit_ack(p, 2);
    ask(p, RX_LIST, "{}", NULL, 0, 10);
    close_session(p);
}

static const struct play_step rich_steps[] = {
    {RX_SERVER, welcome, false},     {RX_CLIENT, rich_ask, true},   {RX_SERVER, rich_answer, true},
    {RX_CLIENT, rich_talk, true},    {RX_SERVER, rich_reply, true}, {RX_SERVER, rich_exit, false},
    {RX_CLIENT, rich_cross, false},  {RX_SERVER, rich_take, true},  {RX_CLIENT, rich_over, true},
    {RX_SERVER, fail_session, true}, {RX_SERVER, NULL, false},
};
const struct play play_rich = {"rich", rich_steps, true};

/* ---- large ------------------------------------------------------------------------------ */

enum { LARGE = 200 * 1024 };

static const uint8_t *large_bytes(void)
{
    static uint8_t bytes[LARGE];
    struct dice d = {1};
    dice_fill(&d, bytes, sizeof bytes);
    return bytes;
}

static void bulk_ask(struct player *p)
{
    static uint8_t words[RX_WORDS_MAX];
    memcpy(words, large_bytes(), sizeof words);
    ask(p, RX_EXEC, "{" ID("01") "}", words, sizeof words, 1);
    (void)rx_engine_write(p->end.engine, p->channels[1], RX_WHICH_STDIN, large_bytes(), LARGE);
    ask(p, RX_EXEC, "{" ID("02") "}", words, 9, 2);
}

static void bulk_answer(struct player *p)
{
    for (unsigned i = 1; i <= 2; i++) {
        start(p, i, RX_STARTED, ANEW, "{}");
        for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR; w++) {
            (void)rx_engine_write(p->end.engine, p->channels[i], w, large_bytes() + i * w,
                                  (size_t)LARGE / (i + w));
        }
    }
    ack_all(p);
}

static const struct play_step bulk_steps[] = {
    {RX_SERVER, welcome, false}, {RX_CLIENT, bulk_ask, true}, {RX_SERVER, bulk_answer, true},
    {RX_CLIENT, ack_all, true},  {RX_SERVER, ack_all, true},  {RX_CLIENT, ack_all, true},
    {RX_SERVER, NULL, false},
};
const struct play play_bulk = {"bulk", bulk_steps, false};
