#include "rexec/probe_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rexec/buffer.h"
#include "rexec/escape.h"
#include "rexec/report.h"

static const char *const words[] = {
    [PROBE_PASSED] = "passed",
    [PROBE_FAILED] = "failed",
    [PROBE_SKIPPED] = "skipped",
    [PROBE_TOLD] = "told",
};

/* Writes, unless that has failed before. */
static void put(struct probe_run *run, const char *text)
{
    run->lost = run->lost || !print_all(text, strlen(text));
}

static void print(struct probe_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void print(struct probe_run *run, const char *format, ...)
{
    char text[2048], shown[2048];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    (void)rx_escape(text, strlen(text), shown, sizeof shown - 1);
    (void)strcat(shown, "\n"); // NOLINT: there is room for it
    put(run, shown);
}

static size_t count_of(const struct probe_run *run, enum probe_result result)
{
    size_t n = 0;
    for (size_t i = 0; i < run->done; i++)
        n += run->findings[i].result == result;
    return n;
}

bool probe_report_list(const struct probe_run *run)
{
    struct probe_run out = *run;
    for (size_t i = 0; i < run->count; i++) {
        const struct probe_check *c = run->checks[i];
        const char *needs = (c->needs & PROBE_NEEDS_KEY) != 0    ? " (key)"
                            : (c->needs & PROBE_NEEDS_TIME) != 0 ? " (--slow)"
                                                                 : "";
        print(&out, "%-22s %s%s", c->name, c->tries, needs);
    }
    return !out.lost;
}

void probe_report_begin(struct probe_run *run)
{
    if (run->tap) {
        print(run, "TAP version 13");
        print(run, "# probe of %s, seed %" PRIu64, run->target, run->seed);
        print(run, "1..%zu", run->count);
    } else if (!run->json && !run->junit) {
        print(run, "probe of %s, seed %" PRIu64, run->target, run->seed);
    }
}

static void one_tap(struct probe_run *run, const struct probe_check *c,
                    const struct probe_finding *f)
{
    const char *how = f->result == PROBE_FAILED ? "not ok" : "ok";
    if (f->result == PROBE_SKIPPED)
        print(run, "ok %zu - %s # SKIP %s", run->done, c->name, f->text);
    else
        print(run, "%s %zu - %s: %s", how, run->done, c->name, c->tries);
    if (f->result == PROBE_FAILED || f->result == PROBE_TOLD)
        print(run, "# %s", f->text);
}

void probe_report_one(struct probe_run *run)
{
    const struct probe_check *c = run->checks[run->done - 1];
    const struct probe_finding *f = &run->findings[run->done - 1];
    const char *word = f->result == PROBE_FAILED ? "FAILED" : words[f->result];
    if (run->tap)
        one_tap(run, c, f);
    else if (!run->json && !run->junit)
        print(run, "%-8s %-22s %s%s%s", word, c->name, c->tries, f->text[0] != '\0' ? ": " : "",
              f->text);
}

/* ---- at the end ------------------------------------------------------------------------- */

static void end_json(struct probe_run *run, const char *error)
{
    json_t *list = json_array();
    for (size_t i = 0; i < run->done; i++) {
        const struct probe_finding *f = &run->findings[i];
        json_t *one =
            json_pack("{s:s, s:s, s:s, s:f}", "name", run->checks[i]->name, "tries",
                      run->checks[i]->tries, "result", words[f->result], "seconds", f->seconds);
        if (f->text[0] != '\0')
            (void)json_object_set_new(one, "text", json_string(f->text));
        (void)json_array_append_new(list, one);
    }
    /* A seed may be more than JSON's readers take: a string. */
    char seed[24];
    (void)snprintf(seed, sizeof seed, "%" PRIu64, run->seed);
    json_t *all = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:s*, s:o}", "target", run->target, "seed", seed, "passed",
        (json_int_t)count_of(run, PROBE_PASSED), "failed", (json_int_t)count_of(run, PROBE_FAILED),
        "skipped", (json_int_t)count_of(run, PROBE_SKIPPED), "error", error, "checks", list);
    char *text = all != NULL ? json_dumps(all, JSON_COMPACT) : NULL;
    if (text == NULL) {
        report(NULL, "the results cannot be made JSON", "try --tap");
        run->lost = true;
    } else {
        put(run, text);
        put(run, "\n");
    }
    free(text);
    json_decref(all);
}

/* Text as XML has it. What is not ASCII or cannot be shown is replaced. */
static const char *xml(const char *text, char out[static 1024])
{
    size_t n = 0;
    for (; *text != '\0' && n < 1000; text++) {
        unsigned char c = (unsigned char)*text;
        const char *as = c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '"' ? "&quot;" : NULL;
        if (as != NULL) {
            memcpy(out + n, as, strlen(as));
            n += strlen(as);
        } else {
            out[n++] = (char)(c >= 0x20 && c < 0x7f ? c : '?');
        }
    }
    out[n] = '\0';
    return out;
}

static void print_raw(struct probe_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void print_raw(struct probe_run *run, const char *format, ...)
{
    char text[4096];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    put(run, text);
}

static void end_junit(struct probe_run *run, const char *error)
{
    char a[1024], b[1024];
    put(run, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    print_raw(run,
              "<testsuite name=\"rexec probe %s\" tests=\"%zu\" failures=\"%zu\" skipped=\"%zu\" "
              "errors=\"%d\">\n",
              xml(run->target, a), run->done + (error != NULL), count_of(run, PROBE_FAILED),
              count_of(run, PROBE_SKIPPED), error != NULL);
    print_raw(run, "  <properties><property name=\"seed\" value=\"%" PRIu64 "\"/></properties>\n",
              run->seed);
    for (size_t i = 0; i < run->done; i++) {
        const struct probe_finding *f = &run->findings[i];
        static const char *const element[] = {NULL, "failure", "skipped", NULL};
        print_raw(run, "  <testcase classname=\"probe\" name=\"%s\" time=\"%.3f\">",
                  xml(run->checks[i]->name, a), f->seconds);
        if (element[f->result] != NULL)
            print_raw(run, "<%s message=\"%s: %s\"/>", element[f->result],
                      xml(run->checks[i]->tries, a), xml(f->text, b));
        else if (f->text[0] != '\0')
            print_raw(run, "<system-out>%s</system-out>", xml(f->text, a));
        put(run, "</testcase>\n");
    }
    /* A case of its own: readers that count cases would take a suite without any for a good one. */
    if (error != NULL)
        print_raw(run,
                  "  <testcase classname=\"probe\" name=\"server\"><error message=\"%s\"/>"
                  "</testcase>\n",
                  xml(error, a));
    put(run, "</testsuite>\n");
}

void probe_report_end(struct probe_run *run)
{
    if (run->json)
        end_json(run, NULL);
    else if (run->junit)
        end_junit(run, NULL);
    else
        print(run, "%s%zu passed, %zu failed, %zu could not be tried", run->tap ? "# " : "",
              count_of(run, PROBE_PASSED), count_of(run, PROBE_FAILED),
              count_of(run, PROBE_SKIPPED));
}

void probe_report_abort(struct probe_run *run, const char *why)
{
    if (run->json)
        end_json(run, why);
    else if (run->junit)
        end_junit(run, why);
    else if (run->tap)
        print(run, "Bail out! %s", why);
}
