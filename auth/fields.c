#include "auth/fields.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum {
    DAY = 24 * 60 * 60,
    FIRST_YEAR = 1970,
    LAST_YEAR = 9999,
};

static bool refuse(struct rx_file_error *error, unsigned line, const char *what)
{
    *error = (struct rx_file_error){.line = line, .what = what};
    return false;
}

/* ---- lines ------------------------------------------------------------------------------ */

/* How many bytes the well-formed UTF-8 sequence at p has (Unicode, table 3-7); 0: it is not one. */
static size_t utf8_length(const char *p, size_t n)
{
    uint8_t first = (uint8_t)p[0];
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;

    size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (n < length)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if (((uint8_t)p[i] & 0xc0) != 0x80)
            return 0;
    }

    /* Overlong forms, surrogates, and what lies beyond U+10FFFF. */
    uint8_t second = (uint8_t)p[1];
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
        return 0;
    return length;
}

static bool utf8_valid(const char *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t length = utf8_length(p + at, n - at);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

/* What holds for every line, whether it counts or not. */
static bool check_text(const char *text, size_t n, struct rx_file_error *error)
{
    unsigned line = 1;
    size_t begin = 0; /* of the line */
    for (size_t at = 0; at < n;) {
        if (text[at] == '\n') {
            line++;
            begin = ++at;
            continue;
        }
        if (text[at] == '\0')
            return refuse(error, line, "a NUL byte: this is not a text file");
        if (text[at] == '\r')
            return refuse(error, line, "a CR byte: save the file with LF line ends");
        size_t length = utf8_length(text + at, n - at);
        if (length == 0)
            return refuse(error, line, "not UTF-8: save the file as UTF-8");
        at += length;
        if (at - begin > RX_LINE_MAX)
            return refuse(error, line, "the line is longer than 1024 bytes");
    }
    if (begin != n)
        return refuse(error, line, "the last line does not end: the file seems to be cut off");
    return true;
}

/* Takes the spaces off both ends. */
static void trim(const char **p, size_t *n)
{
    while (*n > 0 && (*p)[0] == ' ') {
        ++*p;
        --*n;
    }
    while (*n > 0 && (*p)[*n - 1] == ' ')
        --*n;
}

/* The next line that is neither empty nor a comment, trimmed. Each ends in LF: check_text saw it.
 */
static bool next_line(struct rx_fields *fields, const char **line, size_t *n)
{
    while (fields->at < fields->n) {
        size_t begin = fields->at;
        while (fields->text[fields->at] != '\n')
            fields->at++;
        *line = fields->text + begin;
        *n = fields->at - begin;
        fields->at++;
        fields->line++;
        trim(line, n);
        if (*n > 0 && (*line)[0] != '#')
            return true;
    }
    return false;
}

bool rx_fields_begin(struct rx_fields *fields, const char *text, size_t n, size_t max,
                     const char *kind, struct rx_file_error *error)
{
    *fields = (struct rx_fields){.text = text, .n = n};
    if (n > max)
        return refuse(error, 0, "the file is too long");
    if (!check_text(text, n, error))
        return false;

    const char *line;
    size_t length;
    if (!next_line(fields, &line, &length))
        return refuse(error, 0, "the file is empty");
    if (length != strlen(kind) || memcmp(line, kind, length) != 0) {
        return refuse(error, fields->line,
                      "not the file expected here: a key file begins with \"rexec-key 1\", "
                      "a grant file with \"rexec-grant 1\"");
    }
    return true;
}

int rx_fields_next(struct rx_fields *fields, struct rx_field *field, struct rx_file_error *error)
{
    const char *line;
    size_t n;
    if (!next_line(fields, &line, &n))
        return 0;

    const char *equals = memchr(line, '=', n);
    if (equals == NULL) {
        (void)refuse(error, fields->line, "not of the form \"name = value\"");
        return -1;
    }
    *field = (struct rx_field){
        .name = line,
        .name_len = (size_t)(equals - line),
        .value = equals + 1,
        .value_len = n - (size_t)(equals - line) - 1,
        .line = fields->line,
    };
    trim(&field->name, &field->name_len);
    trim(&field->value, &field->value_len);
    return 1;
}

bool rx_field_is(const struct rx_field *field, const char *name)
{
    return field->name_len == strlen(name) && memcmp(field->name, name, field->name_len) == 0;
}

/* ---- values ----------------------------------------------------------------------------- */

/* A hex digit's value; sets bits of *wrong if it is none. sodium_hex2bin branches on each digit. */
static unsigned hex_digit(char digit, unsigned *wrong)
{
    unsigned c = (uint8_t)digit;
    unsigned number = c ^ '0';               /* 0 to 9 for a number, up to 255 */
    unsigned letter = (c | 0x20) - 'a';      /* 0 to 5 for a letter; else it may wrap */
    unsigned is_number = (number - 10) >> 8; /* wraps for a number: its high bits are set */
    unsigned is_letter = (letter - 6) >> 8 & ~(letter >> 8);
    *wrong |= ~(is_number | is_letter) & 1;
    return (number & (0 - (is_number & 1))) | ((letter + 10) & (0 - (is_letter & 1)));
}

bool rx_field_hex(const struct rx_field *field, uint8_t *out, size_t n)
{
    if (field->value_len != 2 * n) {
        sodium_memzero(out, n);
        return false;
    }
    unsigned wrong = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned high = hex_digit(field->value[2 * i], &wrong);
        unsigned low = hex_digit(field->value[2 * i + 1], &wrong);
        out[i] = (uint8_t)(high << 4 | low);
    }
    for (size_t i = 0; i < n; i++)
        out[i] &= (uint8_t)(wrong - 1);
    return wrong == 0;
}

/* C0, DEL, and C1: some terminals act on those too. */
static bool has_control(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)p[i];
        if (c < 0x20 || c == 0x7f)
            return true;
        if (c == 0xc2 && i + 1 < n && (uint8_t)p[i + 1] < 0xa0)
            return true;
    }
    return false;
}

bool rx_field_text(const struct rx_field *field, char *out, size_t max)
{
    if (field->value_len == 0 || field->value_len > max ||
        has_control(field->value, field->value_len))
        return false;
    memcpy(out, field->value, field->value_len);
    out[field->value_len] = '\0';
    return true;
}

static bool value_is(const struct rx_field *field, const char *value)
{
    return field->value_len == strlen(value) && memcmp(field->value, value, field->value_len) == 0;
}

bool rx_field_yes_no(const struct rx_field *field, bool *out)
{
    *out = value_is(field, "yes");
    return *out || value_is(field, "no");
}

bool rx_field_number(const struct rx_field *field, uint64_t min, uint64_t max, uint64_t *out)
{
    const char *digits = field->value;
    size_t n = field->value_len;
    if (n == 0 || (n > 1 && digits[0] == '0'))
        return false;

    uint64_t number = 0;
    for (size_t i = 0; i < n; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        unsigned digit = (unsigned)(digits[i] - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *out = number;
    return number >= min && number <= max;
}

static bool leap_year(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned days_of_month(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && leap_year(year) ? 1u : 0u);
}

/* From 1970-01-01 to the first day of the year. */
static unsigned days_before_year(unsigned year)
{
    unsigned last = year - 1;
    unsigned leap_days = last / 4 - last / 100 + last / 400;
    enum { LEAP_DAYS_BEFORE_1970 = 1969 / 4 - 1969 / 100 + 1969 / 400 };
    return (year - FIRST_YEAR) * 365 + leap_days - LEAP_DAYS_BEFORE_1970;
}

static unsigned digits_at(const char *p, size_t n)
{
    unsigned number = 0;
    for (size_t i = 0; i < n; i++)
        number = number * 10 + (unsigned)(p[i] - '0');
    return number;
}

bool rx_field_time(const struct rx_field *field, int64_t *out)
{
    static const char form[] = "0000-00-00T00:00:00Z"; /* a 0 is any digit */
    const char *text = field->value;
    if (field->value_len != sizeof form - 1)
        return false;
    for (size_t i = 0; i < sizeof form - 1; i++) {
        if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
            return false;
    }

    unsigned year = digits_at(text, 4);
    unsigned month = digits_at(text + 5, 2);
    unsigned day = digits_at(text + 8, 2);
    unsigned hour = digits_at(text + 11, 2);
    unsigned minute = digits_at(text + 14, 2);
    unsigned second = digits_at(text + 17, 2);
    if (year < FIRST_YEAR || month < 1 || month > 12 || day < 1 ||
        day > days_of_month(year, month) || hour > 23 || minute > 59 || second > 59)
        return false;

    unsigned days = days_before_year(year) + day - 1;
    for (unsigned m = 1; m < month; m++)
        days += days_of_month(year, m);
    *out = (int64_t)days * DAY + hour * 3600 + minute * 60 + second;
    return true;
}

/* ---- printing --------------------------------------------------------------------------- */

void rx_text_bytes(struct rx_text *text, const char *bytes, size_t n)
{
    if (text->failed != RX_OK)
        return;
    if (n >= text->cap - text->n) {
        text->failed = RX_E_NO_SPACE;
        return;
    }
    memcpy(text->out + text->n, bytes, n);
    text->n += n;
}

void rx_text_string(struct rx_text *text, const char *string)
{
    rx_text_bytes(text, string, strlen(string));
}

void rx_text_hex(struct rx_text *text, const uint8_t *bytes, size_t n)
{
    char digits[3];
    for (size_t i = 0; i < n; i++) {
        (void)sodium_bin2hex(digits, sizeof digits, bytes + i, 1);
        rx_text_bytes(text, digits, 2);
    }
    sodium_memzero(digits, sizeof digits);
}

void rx_text_number(struct rx_text *text, uint64_t number)
{
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    rx_text_string(text, digits);
}

void rx_text_time(struct rx_text *text, int64_t time)
{
    if (time < 0 || time >= (int64_t)days_before_year(LAST_YEAR + 1) * DAY) {
        rx_text_refuse(text);
        return;
    }
    unsigned days = (unsigned)(time / DAY);
    unsigned seconds = (unsigned)(time % DAY);
    unsigned year = FIRST_YEAR + days / 366; /* this year, or one a little before it */
    while (days >= days_before_year(year + 1))
        year++;
    days -= days_before_year(year);
    unsigned month = 1;
    for (; days >= days_of_month(year, month); month++)
        days -= days_of_month(year, month);

    char digits[80];
    (void)snprintf(digits, sizeof digits, "%04u-%02u-%02uT%02u:%02u:%02uZ", year, month, days + 1,
                   seconds / 3600, seconds / 60 % 60, seconds % 60);
    rx_text_string(text, digits);
}

void rx_text_refuse(struct rx_text *text)
{
    if (text->failed == RX_OK)
        text->failed = RX_E_BAD_FILE;
}

/* ---- whole files ------------------------------------------------------------------------ */

static bool read_field(const struct rx_file_kind *kind, const struct rx_field *field, void *file,
                       uint32_t *seen, struct rx_file_error *error)
{
    size_t i = 0;
    while (i < kind->rule_count && !rx_field_is(field, kind->rules[i].name))
        i++;
    if (i == kind->rule_count)
        return refuse(error, field->line, "unknown name");
    if (*seen >> i & 1)
        return refuse(error, field->line, "this name stands in a line above already: keep one");
    *seen |= UINT32_C(1) << i;

    const char *why = kind->rules[i].read(field, file);
    return why == NULL || refuse(error, field->line, why);
}

bool rx_file_read(const struct rx_file_kind *kind, const char *text, size_t n, void *file,
                  struct rx_file_error *error)
{
    struct rx_fields fields;
    if (!rx_fields_begin(&fields, text, n, kind->max, kind->first_line, error))
        return false;

    uint32_t seen = 0;
    struct rx_field field;
    int got;
    while ((got = rx_fields_next(&fields, &field, error)) > 0) {
        if (!read_field(kind, &field, file, &seen, error))
            return false;
    }
    if (got < 0)
        return false;

    for (size_t i = 0; i < kind->rule_count; i++) {
        if (kind->rules[i].missing != NULL && !(seen >> i & 1))
            return refuse(error, 0, kind->rules[i].missing);
    }
    return true;
}

/* Whether the line that was printed for this value would be read as just this value. */
static bool reads_back(const struct rx_field_rule *rule, const struct rx_field *field,
                       size_t line_len, void *scratch)
{
    const char *value = field->value;
    size_t n = field->value_len;
    return line_len <= RX_LINE_MAX && value[0] != ' ' && value[n - 1] != ' ' &&
           utf8_valid(value, n) && rule->read(field, scratch) == NULL;
}

static void print_field(const struct rx_field_rule *rule, const void *file, void *scratch,
                        struct rx_text *text)
{
    size_t line = text->n;
    rx_text_string(text, rule->name);
    rx_text_string(text, " = ");
    size_t value = text->n;
    rule->print(file, text);
    if (text->failed != RX_OK)
        return;
    if (text->n == value) { /* not set: no line */
        text->n = line;
        if (rule->missing != NULL)
            rx_text_refuse(text);
        return;
    }
    struct rx_field field = {
        .name = rule->name,
        .name_len = strlen(rule->name),
        .value = text->out + value,
        .value_len = text->n - value,
    };
    if (!reads_back(rule, &field, text->n - line, scratch))
        rx_text_refuse(text);
    rx_text_string(text, "\n");
}

enum rx_error rx_file_print(const struct rx_file_kind *kind, const void *file, void *scratch,
                            char *out, size_t cap, size_t *n)
{
    struct rx_text text = {.out = out, .cap = cap};
    rx_text_string(&text, kind->first_line);
    rx_text_string(&text, "\n");
    for (size_t i = 0; i < kind->rule_count && text.failed == RX_OK; i++)
        print_field(&kind->rules[i], file, scratch, &text);

    if (text.failed != RX_OK) {
        if (cap > 0)
            sodium_memzero(out, cap);
        *n = 0;
        return text.failed;
    }
    out[text.n] = '\0';
    *n = text.n;
    return RX_OK;
}
