/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane vm attach": a device for a QEMU that runs. */
#include "vm.h"

#include "base/error.h"
#include "base/units.h"
#include "memlock.h"
#include "tools/common/prog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { QMP = VM_DEVICE_OWN, BUS };

static const char *qmp_path, *bus;

static int attach_option(int id, const char *value)
{
	switch (id) {
	case QMP:
		qmp_path = value;
		return 0;
	case BUS:
		bus = value;
		return 0;
	default:
		return vm_device_option(id, value);
	}
}

/* While a function is the guest's, QEMU has all of the guest's memory locked. */
static int check_lockable(const struct iol_host *host, struct iol_qmp *qmp)
{
	struct json_object *size = NULL;
	struct memlock limit;
	char process[16], has[16];
	uint64_t memory;
	int rc, pid = iol_qmp_pid(qmp);

	snprintf(process, sizeof(process), "%d", pid);
	if (pid <= 0 || !memlock_of(host, process, &limit) || limit.exempt)
		return 0;
	rc = iol_qmp_call(qmp, "query-memory-size-summary", NULL, &size);
	if (rc)
		return rc;
	memory = field_count(size, "base-memory") + field_count(size, "plugged-memory");
	json_object_put(size);
	if (limit.bytes >= memory)
		return 0;
	return iol_fail(ENOMEM,
			"QEMU (pid %d) may lock %s, and with a device all of the guest's memory is "
			"locked: prlimit --pid=%d --memlock=unlimited, as root",
			pid, iol_format_size(limit.bytes, has, sizeof(has)), pid);
}

static int check(const struct verb_args *a, const struct iol_host *host, struct iol_qmp *qmp)
{
	struct json_object *cpus = NULL;
	const struct vm_wish *w = &vm_wishes()->wish[0];
	int rc, status;

	if (iol_qmp_call(qmp, "query-cpus-fast", NULL, &cpus) < 0)
		return prog_fail();
	status = vm_devices_check(host, (unsigned int)array_length(cpus), a->force);
	json_object_put(cpus);
	rc = w->device.kind == IOL_VMM_VF ? check_lockable(host, qmp) : 0;
	if (rc < 0 && a->force && rc == -ENOMEM)
		vm_note(NULL, iol_error());
	else if (rc < 0)
		status = prog_fail();
	return status;
}

/* An id that nobody asked for is the first that is free. */
static int attach(struct iol_qmp *qmp, struct vm_wish *w, char port[64])
{
	size_t len = strcspn(w->id, "0123456789");
	unsigned int number = 0;
	int rc;

	w->device.bus = bus;
	do {
		if (!w->id_said)
			snprintf(w->id + len, sizeof(w->id) - len, "%u", number++);
		rc = iol_vm_attach(qmp, &w->device, vm_note, NULL, port);
	} while (rc == -EEXIST && !w->id_said && number < 100);
	return rc;
}

static int report(const struct verb_args *a, struct iol_qmp *qmp, const struct vm_wish *w,
		  const char *port)
{
	struct json_object *status = NULL, *o;
	bool running;

	/* It is plugged in, whatever comes of this. */
	running = iol_qmp_call(qmp, "query-status", NULL, &status) < 0 ||
		  field_bool(status, "running");
	json_object_put(status);
	if (a->json) {
		o = json_object_new_object();
		add_text(o, "id", w->id);
		add_text(o, "bus", port);
		add_bool(o, "running", running);
		return verb_print_json(o);
	}
	printf("%s: %s is plugged into %s%s\n", w->id, w->where, port,
	       running ? "" : "; the guest does not run, and sees it when it does");
	return prog_flush();
}

static int run_attach(const struct verb_args *a)
{
	_cleanup_(iol_qmp_close) struct iol_qmp *qmp = NULL;
	_cleanup_host_ struct iol_host *host = NULL;
	struct vm_wishes *wishes = vm_wishes();
	char port[64];
	int status;

	if (!qmp_path || wishes->num != 1) {
		iol_fail(EINVAL, !qmp_path ? "say which QEMU: --qmp=SOCKET, as of its option -qmp"
					   : "say one device: --vf, --blk or --net");
		return prog_usage();
	}
	status = host_open(a, &host);
	if (status)
		return status;
	if (iol_qmp_open(qmp_path, a->timeout_ms, &qmp) < 0)
		return prog_fail();
	status = check(a, host, qmp);
	if (status)
		return status;
	if (attach(qmp, &wishes->wish[0], port) < 0)
		return prog_fail();
	return report(a, qmp, &wishes->wish[0], port);
}

static const struct opt opts[] = {
	VM_QMP_OPTS(QMP), { "bus", "PORT", BUS }, VM_DEVICE_OPTS(false), VM_OPTS, { 0 },
};

const struct verb vm_attach = {
	.name = "attach",
	.line = "plug a device into a QEMU that runs",
	.help = "Usage: iolane vm attach --qmp=SOCKET (--vf=DEV|--blk=SOCKET|--net=SOCKET) "
		"[OPTION]...\n"
		"Plug a device into a running guest: into a free PCIe port, with what it takes\n"
		"(chardev, netdev, iommufd). On failure nothing of it is left.\n"
		"\n" VM_QMP_HELP
		"  --bus=PORT      into this port, and not the first that is free\n" VM_DEVICE_HELP
			VM_OPTS_HELP,
	.opts = opts,
	.option = attach_option,
	.run = run_attach,
};
