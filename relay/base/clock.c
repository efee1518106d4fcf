#include "relay/base/clock.h"

#include <time.h>

static int64_t fake_mono_ms, fake_wall_ms = -1;

static int64_t
now_ms(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts); /* cannot fail for these two clocks */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
clock_mono_ms(void)
{
	return fake_wall_ms >= 0 ? fake_mono_ms : now_ms(CLOCK_MONOTONIC);
}

int64_t
clock_wall_ms(void)
{
	return fake_wall_ms >= 0 ? fake_wall_ms : now_ms(CLOCK_REALTIME);
}

void
clock_fake(int64_t mono_ms, int64_t wall_ms)
{
	fake_mono_ms = mono_ms;
	fake_wall_ms = wall_ms;
}

int
clock_add_rfc3339(struct buf *to, int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	return buf_addf(to, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
	    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(wall_ms % 1000));
}

int
clock_add_rfc5322(struct buf *to, int64_t wall_ms)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {
	    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	return buf_addf(to, "%s, %d %s %04d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday,
	    months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}
