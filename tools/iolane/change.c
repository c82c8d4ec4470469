/* SPDX-License-Identifier: BSD-3-Clause */
#include "change.h"

#include "base/error.h"
#include "interruption.h"
#include "table.h"
#include "text.h"
#include "tools/common/prog.h"

#include <iolane/sriov.h>

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

/* That it is a VF's is said by the name. */
static const char *kind_word(const struct iol_step *s)
{
	return strncmp(s->kind, "vf ", 3) != 0 ? s->kind : s->kind + 3;
}

/* @name: what people call the thing, or nothing. */
static void print_step(enum iol_step_event event, const struct iol_step *s, const char *name)
{
	bool back = event == IOL_STEP_UNDONE || event == IOL_STEP_LEFT;
	const char *from = back ? s->value : s->was, *to = back ? s->was : s->value;
	const char *kind = kind_word(s);
	char named[IOL_NAME_MAX + DEVICE_NAME_MAX + 4];

	printf("%s: ", text_named(s->what, name, named, sizeof(named)));
	if (event == IOL_STEP_LEFT)
		printf("%s left as it is\n", kind);
	else if (!strcmp(s->kind, "module"))
		printf("load the module\n");
	else if (!*from && strstr(kind, "node"))
		printf("%s for %s\n", kind, to);
	else
		printf("%s %s -> %s\n", kind, *from ? from : "none", *to ? to : "none");
	fflush(stdout);
}

/* @interrupts: NULL where that is not looked at. */
static void note_step(struct change *c, enum iol_step_event event, const struct iol_step *s,
		      const char *interrupts)
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
	if (interrupts)
		add_text(o, "interrupts", interrupts);
	json_object_array_add(c->steps, o);
}

/* What a VF was set to is in the journal, to bring it back with the VF; nothing is done about it. */
static bool only_notes(const struct iol_step *s)
{
	return kind_word(s) != s->kind && !*s->value && strncmp(kind_word(s), "driver", 6) != 0;
}

static void tell_planned(struct change *c, const struct iol_step *s)
{
	static const char label[] = "    interrupts: ";
	struct interruption i = { 0 };

	if (c->looks)
		interruption_of(c->host, &c->devices, s, &i);
	c->interrupting += *i.text != '\0';
	c->noting += only_notes(s);
	note_step(c, IOL_STEP_PLANNED, s, c->looks ? i.text : NULL);
	if (c->json || only_notes(s))
		return;
	print_step(IOL_STEP_PLANNED, s, i.name);
	if (*i.text) {
		text_paint(TEXT_YELLOW, label);
		text_print(strlen(label), strlen(label), "%s", i.text);
	}
}

/* Also of those that put back what was made, when a step fails. */
static void ahead(void *opaque, unsigned int count)
{
	struct change *c = opaque;

	c->planned = count;
	c->begun = 0;
}

static void show_progress(struct change *c, enum iol_step_event event, const struct iol_step *s)
{
	bool back = event == IOL_STEP_UNDOING || event == IOL_STEP_LEFT;

	if (event == IOL_STEP_BEGUN || back)
		prog_progress("step %u of %u: %s%s %s", ++c->begun, c->planned,
			      back ? "back: " : "", s->what, kind_word(s));
}

static int told(void *opaque, enum iol_step_event event, const struct iol_step *s)
{
	struct change *c = opaque;

	if (c->opts.dry_run) {
		tell_planned(c, s);
		return 0;
	}
	if (!c->json && !c->verbose)
		show_progress(c, event, s);
	if (event != IOL_STEP_DONE && event != IOL_STEP_UNDONE && event != IOL_STEP_LEFT)
		return 0;
	note_step(c, event, s, NULL);
	if (!c->json && c->verbose)
		print_step(event, s, "");
	return 0;
}

/* Somebody's guest has it, though no process may have it open at this moment. */
static int may_take(void *opaque, const struct iol_pci_addr *addr)
{
	const struct change *c = opaque;

	return iol_vf_refuse_leased(c->host, addr, NULL);
}

int change_open(const struct verb_args *a, struct change *c)
{
	c->json = a->json;
	c->verbose = asked.verbose;
	c->opts = (struct iol_change_opts){
		.dry_run = asked.dry_run,
		.step = told,
		.ahead = ahead,
		.may_take = may_take,
		.opaque = c,
	};
	c->steps = json_object_new_array();
	return host_open(a, &c->host);
}

int change_look(struct change *c)
{
	if (!c->opts.dry_run)
		return PROG_OK;
	c->looks = true;
	return devices_read(c->host, &c->devices) < 0 || devices_read_uses(c->host, &c->devices) < 0
		       ? prog_fail()
		       : PROG_OK;
}

bool change_is_dry(void)
{
	return asked.dry_run;
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
	devices_free(&c->devices);
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

	prog_progress(NULL);
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
	else if (c->looks)
		printf("%d step%s, %u of which interrupt%s something%s\n", changed,
		       changed == 1 ? "" : "s", c->interrupting, c->interrupting == 1 ? "s" : "",
		       c->noting ? "; those that note what goes with a VF are not shown" : "");
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

	prog_progress(NULL);
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
