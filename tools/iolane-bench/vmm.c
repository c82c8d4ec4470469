/* SPDX-License-Identifier: BSD-3-Clause */
/* iolane-bench vmm: start VMMs in turns, and see how long they take and what they need. */
#include "vmm.h"

#include "base/error.h"
#include "base/own.h"
#include "tools/common/prog.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
	"Usage: iolane-bench vmm --against=LIST --kernel=FILE [OPTION]...\n"
	"       iolane-bench vmm --compare='CMD A' [--compare='CMD B']... [OPTION]...\n"
	"\n"
	"Measures VMMs on KVM: from exec to the guest's first instruction, and on request to a\n"
	"word of the guest's, then memory besides the guest's, threads, and exits of the guest.\n"
	"\n"
	"  --against=LIST       iolane-vmm beside qemu (q35), microvm, or qemu,microvm\n"
	"  --kernel=FILE --initrd=FILE --cmdline=TEXT  what the guest boots (console=ttyS0)\n"
	"  --memory=SIZE        the guest's (512M)\n"
	"  --cpus=N             the guest's (1)\n"
	"  --vfio=ADDRESS --blk=SOCKET --net=SOCKET    its devices; each may be repeated\n"
	"  --compare=CMD        start CMD: any VMM, no shell between, its guest's memory shared\n"
	"                       (memfd), or that counts as the VMM's\n"
	"  --until=TEXT         start it again, and wait for TEXT on its standard output\n"
	"  --exits=S            then count the guest's exits for S seconds (root, debugfs)\n"
	"  --timeout=S          wait so long for the first instruction, and for TEXT (60)\n"
	"  --rounds=N           rounds (9), after one that does not count\n"
	"  --show-commands      only print the command lines\n"
	"  --json               print one JSON object instead\n"
	"\n"
	"A VMM that is started is killed when it was measured. Exits are KVM's statistics; what\n"
	"may have gone to the VMM are io_exits (of which KVM handles some itself), mmio_exits,\n"
	"signal_exits and request_irq_exits.\n"
	"\n"
	"Exit status: 0 measured, 1 failed, 2 wrong usage.\n";

static void show_run(const struct bench_comparison *c, unsigned int round, unsigned int entrant)
{
	prog_progress("round %u of %u: %s %.1f ms", round + 1, c->rounds, c->entrant[entrant].name,
		      c->results[round * c->n + entrant].seconds * 1e3);
}

static struct json_object *commands(const struct bench_comparison *c)
{
	struct json_object *all = json_object_new_object();

	for (unsigned int i = 0; i < c->n; i++)
		json_object_object_add(all, c->entrant[i].name,
				       json_object_new_string(c->entrant[i].cmd));
	return all;
}

static void show_commands(const struct vmm_options *o, const struct bench_comparison *c)
{
	if (o->json)
		bench_print_json(commands(c));
	else
		bench_print_entrants(c);
}

/* Programs and images come into the page cache, and what does not work is told at once. */
static int warm_up(const struct vmm_options *o, const struct bench_comparison *c)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < c->n; i++) {
		struct vmm_figures f;

		prog_progress("first %s, not counted", c->entrant[i].name);
		rc = vmm_measure(o, c->entrant[i].cmd, &f);
		if (rc)
			rc = iol_fail_more(rc, "%s", c->entrant[i].name);
	}
	return rc;
}

static int measure(const struct vmm_options *o, struct bench_comparison *c, char **argv)
{
	struct vmm_runs runs[BENCH_ENTRANTS_MAX];
	_cleanup_free_ struct vmm_figures *figures =
		calloc((size_t)c->n * c->rounds, sizeof(*figures));
	struct json_object *manifest;
	int rc;

	if (!figures)
		return iol_fail(ENOMEM, "out of memory for the results");
	for (unsigned int i = 0; i < c->n; i++) {
		runs[i] = (struct vmm_runs){
			.options = o,
			.cmd = c->entrant[i].cmd,
			.figures = figures + (size_t)i * c->rounds,
		};
		c->entrant[i].run = vmm_run;
		c->entrant[i].ctx = &runs[i];
	}
	rc = warm_up(o, c);
	if (!rc)
		rc = bench_compare(c);
	prog_progress(NULL);
	if (!rc && o->json) {
		manifest = bench_manifest(argv);
		json_object_object_add(manifest, "settings", vmm_options_json(o));
		json_object_object_add(manifest, "commands", commands(c));
		bench_print_json(vmm_json(c, manifest));
	} else if (!rc) {
		vmm_print(o, c);
	}
	for (unsigned int i = 0; i < c->n; i++)
		c->entrant[i].ctx = NULL;
	return rc;
}

int bench_vmm(int argc, char **argv)
{
	struct vmm_options o;
	struct bench_comparison c = { .by_time = true, .done = show_run };
	int rc;

	if (vmm_options_parse(argc, argv, &o) < 0)
		return prog_usage();
	if (o.help)
		return prog_print(help);
	c.rounds = o.rounds;
	rc = vmm_entrants(&o, &c);
	if (!rc && o.show_commands)
		show_commands(&o, &c);
	else if (!rc)
		rc = measure(&o, &c, argv);
	bench_comparison_free(&c);
	return rc ? prog_fail() : prog_flush();
}
