/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_IOLANE_SHOW_H
#define TOOLS_IOLANE_SHOW_H

#include "verb.h"

/** show_text() - What "iolane show --json" prints, for people. */
void show_text(struct json_object *o);

#endif
