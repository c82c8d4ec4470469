/* SPDX-License-Identifier: BSD-3-Clause */
#include "text.h"

#include "base/own.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* Narrower ones are not written for. */
#define COLUMNS_MIN 40

#define LABEL_WIDTH 12

size_t text_columns(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return 80;
	return size.ws_col < COLUMNS_MIN ? COLUMNS_MIN : size.ws_col;
}

/* As https://no-color.org has it. */
static bool colours(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

const char *text_named(const char *what, const char *name, char *buf, size_t len)
{
	snprintf(buf, len, "%s%s%s%s", what, *name ? " (" : "", name, *name ? ")" : "");
	return buf;
}

void text_paint(enum text_colour colour, const char *word)
{
	static const char *const codes[] = {
		[TEXT_BOLD] = "1",
		[TEXT_GREEN] = "32",
		[TEXT_YELLOW] = "33",
		[TEXT_RED] = "1;31",
	};

	if (colour == TEXT_PLAIN || !colours())
		printf("%s", word);
	else
		printf("\033[%sm%s\033[0m", codes[colour], word);
}

/* Columns, not bytes: of UTF-8, continuation bytes take none. */
static size_t columns_of(const char *text, size_t len)
{
	size_t n = 0, i;

	for (i = 0; i < len; i++)
		n += ((unsigned char)text[i] & 0xc0) != 0x80;
	return n;
}

static void print_words(size_t used, size_t indent, char *text)
{
	size_t width = text_columns(), column = used;
	bool first = true;
	const char *s;

	/* Names and paths may hold what a terminal would obey. */
	for (s = iol_printable(text); *s; first = false) {
		size_t len = strcspn(s, " "), word = columns_of(s, len);

		if (!first && width && column + 1 + word > width) {
			printf("\n%*s", (int)indent, "");
			column = indent;
		} else if (!first) {
			putchar(' ');
			column++;
		}
		printf("%.*s", (int)len, s);
		column += word;
		s += len;
		s += *s == ' ';
	}
	putchar('\n');
}

static void print_args(size_t used, size_t indent, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

static void print_args(size_t used, size_t indent, const char *fmt, va_list ap)
{
	_cleanup_free_ char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0) {
		text = NULL;
		return;
	}
	print_words(used, indent, text);
}

void text_print(size_t used, size_t indent, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_args(used, indent, fmt, ap);
	va_end(ap);
}

void text_label(const char *label, const char *fmt, ...)
{
	char harmless[64];
	va_list ap;

	snprintf(harmless, sizeof(harmless), "%s", label);
	printf("  %-*s", LABEL_WIDTH, iol_printable(harmless));
	va_start(ap, fmt);
	print_args(LABEL_WIDTH + 2, LABEL_WIDTH + 2, fmt, ap);
	va_end(ap);
}
