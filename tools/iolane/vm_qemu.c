/* SPDX-License-Identifier: BSD-3-Clause */
/* What the QEMU that is installed knows: its own help tells of each device and object. */
#include "vm.h"

#include "base/error.h"
#include "capture.h"
#include "tools/common/prog.h"

#include <stdio.h>
#include <string.h>

#define ANSWERS_MAX 16

struct answer {
	char what[64]; /* "device vfio-pci" */
	char *text;    /* "" where it is not known */
};

struct installed {
	const char *program;
	struct answer answers[ANSWERS_MAX];
	unsigned int num;
};

static const char *ask(struct installed *q, const char *option, const char *type)
{
	char what[64], flag[16], help[64];
	const char *argv[] = { q->program, flag, help, NULL };
	struct answer *a;
	unsigned int i;

	snprintf(what, sizeof(what), "%s %s", option, type);
	for (i = 0; i < q->num; i++) {
		if (!strcmp(q->answers[i].what, what))
			return q->answers[i].text;
	}
	if (q->num == ANSWERS_MAX)
		return "";
	a = &q->answers[q->num];
	snprintf(flag, sizeof(flag), "-%s", option);
	snprintf(help, sizeof(help), "%s,help", type);
	memcpy(a->what, what, sizeof(what));
	if (capture(argv, NULL, &a->text) != 0) {
		free(a->text);
		a->text = strdup("");
	}
	q->num += a->text != NULL;
	return a->text ? a->text : "";
}

/* A line of its help is "  NAME=<type> ...". */
static bool knows(void *ctx, const char *option, const char *type, const char *property)
{
	const char *text = ask(ctx, option, type), *s = text;
	size_t len = property ? strlen(property) : 0;

	if (!property || !*text)
		return *text != '\0';
	while ((s = strstr(s, property))) {
		const char *before = s;

		while (before > text && before[-1] == ' ')
			before--;
		if (s[len] == '=' && before > text && before[-1] == '\n')
			return true;
		s += len;
	}
	return false;
}

int vm_qemu_open(const char *program, struct iol_qemu *qemu)
{
	const char *argv[] = { program, "--version", NULL }, *version;
	_cleanup_free_ char *text = NULL;
	unsigned int major, minor;
	struct installed *q;
	int rc = capture(argv, NULL, &text);

	if (rc < 0) {
		iol_fail(-rc,
			 "%s; what is printed is checked against the QEMU that runs it: install "
			 "qemu-system-x86, or name one with --qemu",
			 iol_error());
		return prog_fail();
	}
	version = strstr(text, " version ");
	if (rc || !version || sscanf(version, " version %4u.%2u", &major, &minor) != 2) {
		iol_fail(EPROTO, "%s does not say its version as QEMU does", program);
		return prog_fail();
	}
	q = calloc(1, sizeof(*q));
	if (!q) {
		iol_fail(ENOMEM, "no memory for what QEMU knows");
		return prog_fail();
	}
	q->program = program;
	*qemu = (struct iol_qemu){ 100 * major + minor, knows, vm_note, q };
	return PROG_OK;
}

void vm_qemu_close(struct iol_qemu *qemu)
{
	struct installed *q = qemu->ctx;

	while (q && q->num)
		free(q->answers[--q->num].text);
	free(q);
	qemu->ctx = NULL;
}
