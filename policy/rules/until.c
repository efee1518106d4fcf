#include "policy/rules/until.h"

enum { DATE_LENGTH = 10, MOMENT_LENGTH = 17 };

static bool
is_leap(uint64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static uint64_t
days_of_month(uint64_t year, uint64_t month)
{
	static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year) ? 1u : 0u);
}

/* Days from 1970-01-01. */
static int64_t
days_since_epoch(uint64_t year, uint64_t month, uint64_t day)
{
	uint64_t before = year - 1, days = before * 365 + before / 4 - before / 100 + before / 400;

	for (uint64_t m = 1; m < month; m++)
		days += days_of_month(year, m);
	return (int64_t)(days + day - 1) - 719162; /* of 0001-01-01 to 1970-01-01 */
}

static bool
digits(struct span s, size_t at, size_t n, uint64_t *out)
{
	return span_to_u64(span_take(span_skip(s, at), n), out);
}

static bool
parse(struct span s, int64_t *expires_ms)
{
	uint64_t year, month, day, hour = 24, minute = 0;

	if ((s.n != DATE_LENGTH && s.n != MOMENT_LENGTH) || s.p[4] != '-' || s.p[7] != '-')
		return false;
	if (!digits(s, 0, 4, &year) || !digits(s, 5, 2, &month) || !digits(s, 8, 2, &day))
		return false;
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month))
		return false;
	if (s.n == MOMENT_LENGTH) {
		if (s.p[10] != 'T' || s.p[13] != ':' || s.p[16] != 'Z')
			return false;
		if (!digits(s, 11, 2, &hour) || !digits(s, 14, 2, &minute) || hour > 23 ||
		    minute > 59)
			return false;
	}
	*expires_ms =
	    (days_since_epoch(year, month, day) * 1440 + (int64_t)(hour * 60 + minute)) * 60000;
	return true;
}

int
until_parse(struct span text, int64_t *expires_ms, struct err *err)
{
	if (parse(text, expires_ms))
		return 0;
	return err_set(err, E_SYNTAX,
	    "`%.*s` is no date; write YYYY-MM-DD (to that day's end) or YYYY-MM-DDTHH:MMZ, in UTC",
	    SPAN_ARG(span_take(text, 80)));
}
