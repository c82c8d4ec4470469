/* SPDX-License-Identifier: BSD-3-Clause */
/* Text of files, peers and processes, which may hold any bytes. */
#ifndef IOL_BASE_TEXT_H
#define IOL_BASE_TEXT_H

#include <stddef.h>

/** iol_utf8_length() - Bytes of the UTF-8 character at @s, or 0 when it is none. @s ends with a 0. */
size_t iol_utf8_length(const char *s);

/** iol_printable() - Put a question mark for each byte that is no UTF-8, or that a terminal would obey. Return: @text. */
char *iol_printable(char *text);

#endif
