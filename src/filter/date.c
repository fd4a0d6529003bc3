/* date.c — RFC 3339 dates and times as spans of time.
 *
 * What the text leaves out is part of the span: a date is its whole day in UTC, a time without a
 * fraction its whole second. Why no library: strptime leaves fractions, offsets and ranges to its
 * caller, which is all of this. */
#include <ctype.h>
#include <string.h>

#include "filter_internal.h"

#define DAY_US (INT64_C(86400) * 1000000)

/* n digits at *p, from low to high; moves *p behind them. */
static bool read_number(const char **p, int n, int low, int high, int *ret_value) {
    int value = 0;
    for (int i = 0; i < n; i++, (*p)++) {
        if (!isdigit((unsigned char)**p))
            return false;
        value = 10 * value + (**p - '0');
    }
    *ret_value = value;
    return value >= low && value <= high;
}

static bool read_mark(const char **p, const char *marks) {
    return **p && strchr(marks, *(*p)++);
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar: years begin in March, so that the leap day
 * is a year's last. */
static int64_t days_of(int year, int month, int day) {
    int64_t y = month > 2 ? year : year - 1, m = (month + 9) % 12;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static bool read_day(const char **p, int64_t *ret_us) {
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day;
    if (!read_number(p, 4, 0, 9999, &year) || !read_mark(p, "-") ||
        !read_number(p, 2, 1, 12, &month) || !read_mark(p, "-") || !read_number(p, 2, 1, 31, &day))
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    *ret_us = days_of(year, month, day) * DAY_US;
    return day <= month_days[month - 1] + (leap && month == 2);
}

/* ".5": from half a second on, for a tenth. Digits below a µs do not count. */
static bool read_fraction(const char **p, int64_t *us, int64_t *span_us) {
    if (**p != '.')
        return true;
    if (!isdigit((unsigned char)*++*p))
        return false;
    for (; isdigit((unsigned char)**p); (*p)++)
        if (*span_us > 1) {
            *span_us /= 10;
            *us += *span_us * (**p - '0');
        }
    return true;
}

static bool read_offset(const char **p, int64_t *us) {
    int hour, minute, sign = **p == '-' ? -1 : 1;
    if (**p == 'Z' || **p == 'z')
        return (*p)++, true;
    if (!read_mark(p, "+-") || !read_number(p, 2, 0, 23, &hour) || !read_mark(p, ":") ||
        !read_number(p, 2, 0, 59, &minute))
        return false;
    *us -= sign * (hour * INT64_C(3600) + minute * 60) * 1000000;
    return true;
}

bool vx_filter_read_date(const char *text, int64_t *ret_first_us, int64_t *ret_last_us) {
    int64_t us, span_us = DAY_US;
    int hour, minute, second;
    const char *p = text;
    if (!read_day(&p, &us))
        return false;
    if (*p) {
        span_us = 1000000;
        if (!read_mark(&p, "Tt ") || !read_number(&p, 2, 0, 23, &hour) || !read_mark(&p, ":") ||
            !read_number(&p, 2, 0, 59, &minute) || !read_mark(&p, ":") ||
            !read_number(&p, 2, 0, 60, &second))
            return false;
        us += (hour * INT64_C(3600) + minute * 60 + second) * 1000000;
        if (!read_fraction(&p, &us, &span_us) || !read_offset(&p, &us) || *p)
            return false;
    }
    *ret_first_us = us;
    *ret_last_us = us + span_us - 1;
    return true;
}
