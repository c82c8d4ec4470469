/* SPDX-License-Identifier: BSD-3-Clause */
#include "table.h"

#include "base/text.h"
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct table {
	char **cells;
	size_t num_cells, num_columns;
};

static void add_cell(struct table *t, char *text)
{
	char **cells = reallocarray(t->cells, t->num_cells + 1, sizeof(*cells));

	if (!cells || !text) {
		free(text);
		t->cells = cells ? cells : t->cells;
		return;
	}
	/* Names and paths may hold what a terminal would obey. */
	t->cells = cells;
	t->cells[t->num_cells++] = iol_printable(text);
}

struct table *table_new(const char *columns)
{
	struct table *t = calloc(1, sizeof(*t));
	const char *s = columns;

	while (t && *s) {
		size_t len = strcspn(s, ",");

		add_cell(t, strndup(s, len));
		t->num_columns++;
		s += len + (s[len] == ',');
	}
	return t;
}

void table_add(struct table *t, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	if (!t)
		return;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	add_cell(t, n < 0 ? NULL : text);
}

static const char *cell(const struct table *t, size_t row, size_t column)
{
	const char *text = t->cells[row * t->num_columns + column];

	return !row && (*text == '>' || *text == '~') ? text + 1 : text;
}

/* A last column that is narrower says nothing. */
#define LAST_MIN 6

/* How many bytes of the last cell fit beside the others into @left columns; never a part of a character. */
static int room(const struct table *t, const char *text, const int *widths, size_t left)
{
	size_t column;
	int len = (int)strlen(text);

	if (t->cells[t->num_columns - 1][0] != '~' || !left)
		return len;
	for (column = 0; column + 1 < t->num_columns; column++) {
		size_t width = (size_t)widths[column] + 2;

		left = left > width ? left - width : 0;
	}
	if (left < LAST_MIN)
		left = LAST_MIN;
	if ((size_t)len > left) {
		len = (int)left;
		while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	return len;
}

static void print_row(const struct table *t, size_t row, const int *widths, size_t columns)
{
	size_t column;

	for (column = 0; column < t->num_columns; column++) {
		const char *gap = column ? "  " : "", *text = cell(t, row, column);

		if (t->cells[column][0] == '>')
			printf("%s%*s", gap, widths[column], text);
		else if (column + 1 == t->num_columns)
			printf("%s%.*s", gap, room(t, text, widths, columns), text);
		else
			printf("%s%-*s", gap, widths[column], text);
	}
	putchar('\n');
}

void table_print(const struct table *t)
{
	size_t rows, row, column, columns = text_columns();
	int *widths;

	if (!t || t->num_cells <= t->num_columns)
		return;
	widths = calloc(t->num_columns, sizeof(*widths));
	if (!widths)
		return;
	rows = t->num_cells / t->num_columns;
	for (row = 0; row < rows; row++) {
		for (column = 0; column < t->num_columns; column++) {
			int len = (int)strlen(cell(t, row, column));

			if (len > widths[column])
				widths[column] = len;
		}
	}
	for (row = 0; row < rows; row++)
		print_row(t, row, widths, columns);
	free(widths);
}

void table_free(struct table *t)
{
	size_t i;

	if (!t)
		return;
	for (i = 0; i < t->num_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
}
