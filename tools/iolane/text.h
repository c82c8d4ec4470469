/* SPDX-License-Identifier: BSD-3-Clause */
/* Text for people: as wide as their terminal, in colour where that is wanted. */
#ifndef TOOLS_IOLANE_TEXT_H
#define TOOLS_IOLANE_TEXT_H

#include <stddef.h>

/** text_named() - "0000:01:00.0 (eth3)", or without a @name only what it is. Return: @buf. */
const char *text_named(const char *what, const char *name, char *buf, size_t len);

/** text_columns() - How wide the terminal at stdout is; 0 when there is none. */
size_t text_columns(void);

enum text_colour { TEXT_PLAIN, TEXT_BOLD, TEXT_GREEN, TEXT_YELLOW, TEXT_RED };

/** text_paint() - Print a word in colour where stdout is a terminal and NO_COLOR is not set. */
void text_paint(enum text_colour colour, const char *word);

/**
 * text_print() - Print a paragraph that ends its line, broken at blanks where a terminal is too narrow.
 * @used: columns that its first line has used already.
 * @indent: blanks before its other lines.
 */
void text_print(size_t used, size_t indent, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** text_label() - "  label     text": a paragraph with its label before it. */
void text_label(const char *label, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
