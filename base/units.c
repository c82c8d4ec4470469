/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/units.h"

#include "base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* strtoull() takes a sign and leading blanks, which no size has. */
static int parse_digits(const char *what, const char *text, char **end, uint64_t *out)
{
	if (*text < '0' || *text > '9')
		return iol_fail(EINVAL, "%s must be a whole number, not \"%s\"", what, text);
	errno = 0;
	*out = strtoull(text, end, 10);
	if (errno == ERANGE)
		return iol_fail(ERANGE, "%s is too large: \"%s\"", what, text);
	return 0;
}

int iol_parse_size(const char *what, const char *text, uint64_t *out)
{
	static const char suffixes[] = "kmgtpe";
	unsigned int shift = 0;
	const char *s;
	uint64_t n;
	char *end;
	int rc;

	rc = parse_digits(what, text, &end, &n);
	if (rc < 0)
		return rc;
	if (*end) {
		char lower = (char)(*end | 0x20);

		s = strchr(suffixes, lower);
		if (s)
			shift = 10 * (unsigned int)(s - suffixes + 1);
		if (s)
			end++;
		if (s && (!strcmp(end, "iB") || !strcmp(end, "B")))
			end += strlen(end);
		if (!s || *end)
			return iol_fail(EINVAL,
					"%s must be a size such as 4096, 4k or 10G, not \"%s\"",
					what, text);
	}
	if (shift && n > UINT64_MAX >> shift)
		return iol_fail(ERANGE, "%s is too large: \"%s\"", what, text);
	*out = n << shift;
	return 0;
}

int iol_parse_uint(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t n;
	char *end;
	int rc;

	rc = parse_digits(what, text, &end, &n);
	if (rc < 0)
		return rc;
	if (*end)
		return iol_fail(EINVAL, "%s must be a whole number, not \"%s\"", what, text);
	if (n < min || n > max)
		return iol_fail(ERANGE, "%s must be from %" PRIu64 " to %" PRIu64 ", not %s", what,
				min, max, text);
	*out = n;
	return 0;
}

const char *iol_format_size(uint64_t bytes, char *buf, size_t len)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	unsigned int unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	if (value == (double)(uint64_t)value)
		snprintf(buf, len, "%" PRIu64 " %s", (uint64_t)value, units[unit]);
	else
		snprintf(buf, len, "%.1f %s", value, units[unit]);
	return buf;
}
