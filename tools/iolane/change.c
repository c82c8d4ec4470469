/* SPDX-License-Identifier: BSD-3-Clause */
#include "change.h"

#include "base/error.h"
#include "table.h"
#include "tools/common/prog.h"

#include <errno.h>
#include <string.h>

/* What the command line says, before there is a change. */
static struct {
	bool dry_run, verbose;
	const char **names;
	unsigned int count;
} asked;

int change_option(int id, const char *value)
{
	const char **names;

	switch (id) {
	case CHANGE_DRY_RUN:
		asked.dry_run = true;
		return 0;
	case CHANGE_VERBOSE:
		asked.verbose = true;
		return 0;
	default: /* OPT_WORD */
		names = reallocarray(asked.names, asked.count + 1, sizeof(*names));
		if (!names)
			return iol_fail(ENOMEM, "no memory for the names of devices");
		asked.names = names;
		asked.names[asked.count++] = value;
		return 0;
	}
}

static void print_step(enum iol_step_event event, const struct iol_step *s)
{
	bool back = event == IOL_STEP_UNDONE || event == IOL_STEP_LEFT;
	const char *from = back ? s->value : s->was, *to = back ? s->was : s->value;

	if (event == IOL_STEP_LEFT)
		printf("%s: %s left as it is\n", s->what, s->kind);
	else if (!strcmp(s->kind, "module"))
		printf("%s: load the module\n", s->what);
	else if (!*from && strstr(s->kind, "node"))
		printf("%s: %s for %s\n", s->what, s->kind, to);
	else
		printf("%s: %s %s -> %s\n", s->what, s->kind, *from ? from : "none",
		       *to ? to : "none");
	fflush(stdout);
}

static void note_step(struct change *c, enum iol_step_event event, const struct iol_step *s)
{
	static const char *const words[] = {
		[IOL_STEP_PLANNED] = "planned",
		[IOL_STEP_DONE] = "done",
		[IOL_STEP_UNDONE] = "undone",
		[IOL_STEP_LEFT] = "left",
	};
	struct json_object *o = json_object_new_object();

	add_text(o, "kind", s->kind);
	add_text(o, "what", s->what);
	add_text(o, "was", s->was);
	add_text(o, "value", s->value);
	add_text(o, "state", words[event]);
	json_object_array_add(c->steps, o);
}

static int told(void *opaque, enum iol_step_event event, const struct iol_step *s)
{
	struct change *c = opaque;

	if (event != IOL_STEP_PLANNED && event != IOL_STEP_DONE && event != IOL_STEP_UNDONE &&
	    event != IOL_STEP_LEFT)
		return 0;
	note_step(c, event, s);
	if (!c->json && (c->verbose || event == IOL_STEP_PLANNED))
		print_step(event, s);
	return 0;
}

int change_open(const struct verb_args *a, struct change *c)
{
	c->json = a->json;
	c->verbose = asked.verbose || isatty(STDOUT_FILENO);
	c->opts = (struct iol_change_opts){
		.dry_run = asked.dry_run,
		.step = told,
		.opaque = c,
	};
	c->steps = json_object_new_array();
	return host_open(a, &c->host);
}

const char *const *change_words(unsigned int *count)
{
	*count = asked.count;
	return asked.names;
}

int change_begin(const struct verb_args *a, bool needs_names, struct change *c)
{
	unsigned int i;
	int status;

	if (needs_names && !asked.count) {
		iol_fail(EINVAL, "say which device: an address, a network interface, an NVMe "
				 "device or PF/vf0 (iolane list shows them)");
		return prog_usage();
	}
	if (!needs_names && asked.count) {
		iol_fail(EINVAL, "unexpected argument \"%s\": leave it out", asked.names[0]);
		return prog_usage();
	}
	c->addrs = calloc(asked.count + 1, sizeof(*c->addrs));
	if (!c->addrs) {
		iol_fail(ENOMEM, "no memory for the devices");
		return prog_fail();
	}
	status = change_open(a, c);
	for (i = 0; !status && i < asked.count; i++) {
		if (iol_pci_find_late(c->host, asked.names[i], &c->addrs[i]) < 0)
			status = prog_fail();
	}
	c->count = asked.count;
	return status;
}

void change_end(struct change *c)
{
	iol_host_destroy(&c->host);
	json_object_put(c->steps);
	free(c->addrs);
	free(asked.names);
	asked.names = NULL;
}

static bool is_listed(const struct change *c, unsigned int count, const struct iol_pci_addr *addr)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (iol_pci_addr_equal(&c->addrs[i], addr))
			return true;
	}
	return false;
}

/* What came along (of a group, of an earlier change) is told of, too. */
static int add_others(struct change *c)
{
	size_t n = json_object_array_length(c->steps), i;
	struct iol_pci_addr *more, addr;

	more = reallocarray(c->addrs, c->count + n + 1, sizeof(*more));
	if (!more)
		return iol_fail(ENOMEM, "no memory for the devices");
	c->addrs = more;
	for (i = 0; i < n; i++) {
		struct json_object *step = json_object_array_get_idx(c->steps, i);

		if (!strcmp(field_string(step, "kind"), "driver") &&
		    !iol_pci_addr_parse(field_string(step, "what"), &addr) &&
		    !is_listed(c, c->count, &addr))
			c->addrs[c->count++] = addr;
	}
	return 0;
}

static void report_device(const struct change *c, const struct iol_pci_info *info, bool changed,
			  struct json_object *list)
{
	struct json_object *o = json_object_new_object();
	char text[IOL_PCI_ADDR_MAX];

	add_addr(o, "address", &info->addr);
	add_text(o, "driver", info->driver);
	add_number(o, "iommu_group", info->iommu_group);
	json_object_array_add(list, o);
	if (c->json || c->opts.dry_run)
		return;
	printf("%s ", iol_pci_addr_format(&info->addr, text));
	if (info->driver[0])
		printf("is bound to %s", info->driver);
	else
		printf("has no driver");
	printf("%s\n", changed ? "" : ", as before");
}

int change_report_steps(struct change *c, int changed)
{
	struct json_object *result;

	if (changed < 0)
		return prog_fail();
	if (c->json) {
		result = json_object_new_object();
		json_object_object_add(result, "steps", json_object_get(c->steps));
		add_bool(result, "dry_run", c->opts.dry_run);
		return verb_print_json(result);
	}
	if (!changed)
		printf("nothing to do: all is so already\n");
	else if (!c->opts.dry_run)
		printf("done in %d step%s; iolane undo takes it back\n", changed,
		       changed == 1 ? "" : "s");
	return prog_flush();
}

int change_report(struct change *c, int changed)
{
	struct json_object *result, *list;
	struct iol_pci_info info;
	unsigned int i, j;

	if (changed < 0 || add_others(c) < 0)
		return prog_fail();
	result = json_object_new_object();
	list = json_object_new_array();
	json_object_object_add(result, "devices", list);
	for (i = 0; i < c->count; i++) {
		for (j = 0; j < i && !iol_pci_addr_equal(&c->addrs[i], &c->addrs[j]);)
			j++;
		/* Named twice, or gone by now. */
		if (j == i && !iol_pci_info(c->host, &c->addrs[i], &info))
			report_device(c, &info, changed > 0, list);
	}
	json_object_object_add(result, "steps", json_object_get(c->steps));
	add_bool(result, "dry_run", c->opts.dry_run);
	if (c->json)
		return verb_print_json(result);
	json_object_put(result);
	if (!changed && (c->opts.dry_run || !c->count))
		printf("nothing to do\n");
	else if (!c->count && !c->opts.dry_run)
		printf("done in %d step%s\n", changed, changed == 1 ? "" : "s");
	return prog_flush();
}
