/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane vm detach": a device taken out of a QEMU that runs. */
#include "vm.h"

#include "base/clock.h"
#include "base/error.h"
#include "tools/common/prog.h"

#include <iolane/sriov.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

/* QEMU closes a device a moment after it has told that it is gone. */
#define CLOSE_MS 10000
#define PAUSE_MS 100

enum { QMP = VERB_OWN, GIVE_BACK };

static const char *qmp_path;
static bool give_back;

static int detach_option(int id, const char *value)
{
	if (id == QMP)
		qmp_path = value;
	else
		give_back = true;
	return 0;
}

static void waiting(void *ctx, unsigned int ms)
{
	prog_progress("waiting for the guest to let %s go: %u s", (const char *)ctx, ms / 1000);
}

static int unbind(const char *address, char driver[IOL_NAME_MAX])
{
	const struct timespec pause = { 0, PAUSE_MS * (long)IOL_NS_PER_MS };
	struct iol_change_opts change = { 0 };
	_cleanup_host_ struct iol_host *host = NULL;
	struct iol_pci_addr addr;
	struct iol_pci_info info;
	unsigned int ms;
	int rc = iol_host_new(NULL, &host);

	if (!rc)
		rc = iol_pci_addr_parse(address, &addr);
	/* That does not end by waiting. */
	if (!rc)
		rc = iol_vf_refuse_leased(host, &addr, NULL);
	if (rc)
		return rc;
	for (ms = 0; ms < CLOSE_MS; ms += PAUSE_MS) {
		rc = iol_unbind(host, &addr, 1, &change);
		if (rc != -EBUSY)
			break;
		nanosleep(&pause, NULL);
	}
	if (rc >= 0)
		rc = iol_pci_info(host, &addr, &info);
	if (!rc)
		snprintf(driver, IOL_NAME_MAX, "%s", info.driver);
	return rc;
}

static int report(const struct verb_args *a, const struct iol_vm_detached *d, const char *driver)
{
	const char *id = a->words[0];
	struct json_object *o;

	if (a->json) {
		o = json_object_new_object();
		add_text(o, "id", id);
		add_text(o, "device", d->driver);
		add_text(o, "host", d->host);
		add_text(o, "driver", driver);
		return verb_print_json(o);
	}
	printf("%s is gone from the guest", id);
	if (*driver)
		printf("; %s is bound to %s", d->host, driver);
	putchar('\n');
	return prog_flush();
}

static int run_detach(const struct verb_args *a)
{
	_cleanup_(iol_qmp_close) struct iol_qmp *qmp = NULL;
	struct iol_vm_detach_opts opts = { .timeout_ms = a->timeout_ms, .waiting = waiting };
	char driver[IOL_NAME_MAX] = "", id[64];
	struct iol_vm_detached detached = { 0 };
	int rc;

	if (!qmp_path) {
		iol_fail(EINVAL, "say which QEMU: --qmp=SOCKET, as of its option -qmp");
		return prog_usage();
	}
	snprintf(id, sizeof(id), "%s", a->words[0]);
	opts.ctx = id;
	rc = iol_qmp_open(qmp_path, VM_QMP_MS, &qmp);
	if (!rc)
		rc = iol_vm_detach(qmp, a->words[0], &opts, &detached);
	prog_progress(NULL);
	if (rc < 0)
		return prog_fail();
	if (give_back && !*detached.host)
		vm_note(NULL, "there is no function to give back: it was a back end's device");
	else if (give_back && unbind(detached.host, driver) < 0)
		return prog_fail();
	return report(a, &detached, driver);
}

static const struct opt opts[] = {
	VM_QMP_OPTS(QMP),
	{ "give-back", NULL, GIVE_BACK },
	VM_OPTS,
	{ 0 },
};

const struct verb vm_detach = {
	.name = "detach",
	.line = "take a device out again",
	.help = "Usage: iolane vm detach --qmp=SOCKET ID [OPTION]...\n"
		"Ask the guest to let a device go, wait for that, and take away what came with\n"
		"it. A guest that does not let go in time keeps the device.\n"
		"\n" VM_QMP_HELP "  --give-back     a function goes back to its driver, as by "
		"iolane unbind\n" VM_OPTS_HELP,
	.opts = opts,
	.words = { "the id of a device" },
	.min_words = 1,
	.option = detach_option,
	.run = run_detach,
};
