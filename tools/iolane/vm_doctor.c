/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane vm doctor": what a running guest's devices could do better. */
#include "vm_doctor.h"

#include "base/error.h"
#include "base/units.h"
#include "memlock.h"
#include "text.h"
#include "tools/common/prog.h"
#include "vfio/host.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { QMP = VERB_OWN };

static const char *qmp_path;

static int doctor_option(int id, const char *value)
{
	qmp_path = value;
	return 0;
}

struct json_object *patient_ask(struct patient *p, const char *command, struct json_object *args)
{
	struct json_object *result = NULL;
	int rc = iol_qmp_call(p->qmp, command, args, &result);

	if (rc && rc != -EREMOTEIO)
		p->rc = rc;
	return result;
}

struct json_object *patient_get(struct patient *p, const char *path, const char *property)
{
	struct json_object *args = json_object_new_object();

	add_text(args, "path", path);
	add_text(args, "property", property);
	return patient_ask(p, "qom-get", args);
}

void patient_each(struct patient *p, void (*look)(struct patient *p, const char *path,
						  const char *id, const char *type))
{
	static const char *const places[] = { "/machine/peripheral", "/machine/peripheral-anon" };
	char path[192], type[64];
	size_t i, j;

	for (i = 0; i < 2 && !p->rc; i++) {
		struct json_object *args = json_object_new_object(), *list;

		add_text(args, "path", places[i]);
		list = patient_ask(p, "qom-list", args);
		for (j = 0; j < array_length(list) && !p->rc; j++) {
			struct json_object *o = json_object_array_get_idx(list, j);
			const char *name = field_string(o, "name");

			/* child<TYPE> */
			if (sscanf(field_string(o, "type"), "child<%63[^>]", type) != 1)
				continue;
			snprintf(path, sizeof(path), "%s/%s", places[i], name);
			look(p, path, name, type);
		}
		json_object_put(list);
	}
}

/* ---- the guest as a whole ---- */

static void check_status(struct patient *p, struct finding *f)
{
	unsigned int version = iol_qmp_version(p->qmp);
	const char *word = field_string(p->status, "status");

	finding(f, field_bool(p->status, "running") ? CHECK_GOOD : CHECK_WARNING, "query-status",
		"QEMU %u.%u, the guest is \"%s\"", version / 100, version % 100, word);
}

static void check_kvm(struct patient *p, struct finding *f)
{
	finding(f, p->kvm ? CHECK_GOOD : CHECK_WARNING, "query-kvm",
		p->kvm ? "the processors are the host's" : "the processors are emulated");
	if (!p->kvm)
		finding_mend(f, "-accel kvm -cpu host");
}

static void check_shared(struct patient *p, struct finding *f)
{
	size_t i;

	if (!p->backends)
		return;
	finding(f, CHECK_GOOD, "query-memdev", "back ends share the guest's memory");
	for (i = 0; i < array_length(p->memdevs); i++) {
		struct json_object *o = json_object_array_get_idx(p->memdevs, i);

		if (field_bool(o, "share"))
			continue;
		finding(f, CHECK_BAD, "query-memdev",
			"the guest's memory (%s) is not shared, so no back end can reach it",
			field_string(o, "id"));
		finding_mend(f,
			     "-object memory-backend-memfd,id=mem,size=%" PRIu64
			     "M,share=on -machine memory-backend=mem",
			     p->memory >> 20);
	}
}

/* The sum of what a file of "NAME: N kB" lines says of some names. */
static uint64_t sum_of(const char *text, const char *const *names)
{
	uint64_t sum = 0, kb;
	const char *s;

	for (; *names; names++) {
		s = strstr(text, *names);
		if (s && sscanf(s + strlen(*names), ": %" SCNu64, &kb) == 1)
			sum += kb << 10;
	}
	return sum;
}

static void check_pages(struct patient *p, struct finding *f)
{
	static const char *const huge[] = { "AnonHugePages",  "ShmemPmdMapped",  "FilePmdMapped",
					    "Shared_Hugetlb", "Private_Hugetlb", NULL };
	static const char *const all[] = { "Rss", "Shared_Hugetlb", "Private_Hugetlb", NULL };
	_cleanup_free_ char *text = iol_host_text(p->host, "proc/%d/smaps_rollup", p->pid);
	uint64_t in_huge, resident;
	char where[64], a[16], b[16];

	if (!p->pid || !text)
		return;
	in_huge = sum_of(text, huge);
	resident = sum_of(text, all);
	snprintf(where, sizeof(where), "/proc/%d/smaps_rollup", p->pid);
	finding(f, in_huge >= resident / 2 ? CHECK_GOOD : CHECK_WARNING, where,
		"%s of %s are in huge pages", iol_format_size(in_huge, a, sizeof(a)),
		iol_format_size(resident, b, sizeof(b)));
	if (f->state == CHECK_WARNING)
		finding_mend(f,
			     "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled, "
			     "or hugetlb=on,hugetlbsize=2M at the -object of the guest's memory");
}

static void check_memlock(struct patient *p, struct finding *f)
{
	struct memlock limit;
	char process[16], where[64], a[16];

	snprintf(process, sizeof(process), "%d", p->pid);
	snprintf(where, sizeof(where), "/proc/%d/limits", p->pid);
	if (!p->pid || !memlock_of(p->host, process, &limit))
		return;
	if (limit.exempt || limit.bytes >= p->memory) {
		if (p->functions)
			finding(f, CHECK_GOOD, where,
				"QEMU may lock all of the guest's memory, as functions need it");
		return;
	}
	finding(f, p->functions ? CHECK_BAD : CHECK_WARNING, where,
		"QEMU may lock %s, and with a function all of the guest's memory is locked",
		iol_format_size(limit.bytes, a, sizeof(a)));
	finding_mend(f, "prlimit --pid=%d --memlock=unlimited", p->pid);
}

static void check_remapping(struct patient *p, struct finding *f)
{
	const char *where = "/proc/interrupts";
	enum iol_known remaps = iol_iommu_remaps(p->host, &where);

	if (!p->functions || remaps == IOL_UNKNOWN)
		return;
	finding(f, remaps == IOL_YES ? CHECK_GOOD : CHECK_BAD, where,
		remaps == IOL_YES ? "the host remaps interrupts"
				  : "the host does not remap interrupts: a guest with a function "
				    "could forge any");
	if (remaps == IOL_NO)
		finding_mend(f, "iolane check says how");
}

static void check_balloon(struct patient *p, struct finding *f)
{
	if (!p->balloon)
		return;
	if (p->functions) {
		finding(f, CHECK_WARNING, "x-query-virtio",
			"the balloon gives nothing back while the guest has a function: its "
			"memory is locked");
		finding_mend(f, "leave -device virtio-balloon-pci out, or take the functions out "
				"before the balloon is filled");
	} else {
		finding(f, CHECK_GOOD, "x-query-virtio", "the balloon works");
	}
}

/* Ports that are free, counted by patient_each(). */
static unsigned int free_ports;

static void count_port(struct patient *p, const char *path, const char *id, const char *type)
{
	struct json_object *args, *list, *bus;
	char at[256];
	size_t i;
	bool free_port = true;

	if (strcmp(type, "pcie-root-port") != 0)
		return;
	args = json_object_new_object();
	add_text(args, "path", path);
	list = patient_ask(p, "qom-list", args);
	bus = array_find(list, "type", "child<PCIE>");
	snprintf(at, sizeof(at), "%s/%s", path, field_string(bus, "name"));
	json_object_put(list);
	args = json_object_new_object();
	add_text(args, "path", at);
	list = patient_ask(p, "qom-list", args);
	for (i = 0; i < array_length(list); i++) {
		const char *name = field_string(json_object_array_get_idx(list, i), "name");

		free_port &= strncmp(name, "child[", 6) != 0;
	}
	free_ports += list && free_port;
	json_object_put(list);
}

static void check_ports(struct patient *p, struct finding *f)
{
	free_ports = 0;
	patient_each(p, count_port);
	finding(f, free_ports ? CHECK_GOOD : CHECK_WARNING, "qom-list",
		free_ports ? "%u are free" : "none is free, so nothing can be plugged in",
		free_ports);
	if (!free_ports)
		finding_mend(f, "-device pcie-root-port,id=spare0,chassis=50");
}

static const struct {
	const char *key, *name;
	void (*run)(struct patient *p, struct finding *f);
} checks[] = {
	{ "status", "QEMU", check_status },
	{ "kvm", "KVM", check_kvm },
	{ "shared", "shared memory", check_shared },
	{ "pages", "pages", check_pages },
	{ "memlock", "locked memory", check_memlock },
	{ "remapping", "interrupt remapping", check_remapping },
	{ "balloon", "balloon", check_balloon },
	{ "ports", "PCIe ports", check_ports },
};

/* ---- asking ---- */

static void ask_all(struct patient *p)
{
	struct json_object *o;
	size_t i;

	p->status = patient_ask(p, "query-status", NULL);
	p->memdevs = patient_ask(p, "query-memdev", NULL);
	p->chardevs = patient_ask(p, "query-chardev", NULL);
	/* Not stable, but there since 7.2, and nothing else tells of features. */
	p->virtio = patient_ask(p, "x-query-virtio", NULL);
	o = patient_ask(p, "query-memory-size-summary", NULL);
	p->memory = field_count(o, "base-memory") + field_count(o, "plugged-memory");
	json_object_put(o);
	o = patient_ask(p, "query-cpus-fast", NULL);
	p->cpus = (unsigned int)array_length(o);
	json_object_put(o);
	o = patient_ask(p, "query-kvm", NULL);
	p->kvm = field_bool(o, "enabled");
	json_object_put(o);
	o = json_object_new_object();
	add_text(o, "command-line", "info network");
	o = patient_ask(p, "human-monitor-command", o);
	p->network = strdup(o ? json_object_get_string(o) : "");
	json_object_put(o);
	for (i = 0; i < array_length(p->virtio); i++) {
		const char *name = field_string(json_object_array_get_idx(p->virtio, i), "name");

		p->balloon |= !strcmp(name, "virtio-balloon");
	}
	patient_each(p, doctor_count);
}

/* Whether its process is one that we can look at, and QEMU: somebody else may have made the socket. */
static void find_process(struct patient *p)
{
	char comm[64];

	p->pid = iol_qmp_pid(p->qmp);
	if (p->pid <= 0 || iol_host_read(p->host, comm, sizeof(comm), "proc/%d/comm", p->pid) < 0 ||
	    !strstr(comm, "qemu"))
		p->pid = 0;
	if (!p->pid)
		return;
	p->cmdline = calloc(1, 65536);
	if (p->cmdline) {
		ssize_t n = iol_host_read_bytes(p->host, p->cmdline, 65535, 0, "proc/%d/cmdline",
						p->pid);

		p->cmdline_len = n > 0 ? (size_t)n : 0;
	}
}

static void patient_free(struct patient *p)
{
	json_object_put(p->status);
	json_object_put(p->memdevs);
	json_object_put(p->chardevs);
	json_object_put(p->virtio);
	free(p->network);
	free(p->cmdline);
	iol_qmp_close(&p->qmp);
	iol_host_destroy(&p->host);
}

static int report(struct patient *p)
{
	unsigned int bad = p->findings.counts[CHECK_BAD];
	unsigned int warnings = p->findings.counts[CHECK_WARNING];
	struct json_object *o;
	int status;

	if (p->findings.json) {
		o = json_object_new_object();
		add_bool(o, "good", !bad);
		json_object_object_add(o, "checks", p->findings.list);
		status = verb_print_json(o);
	} else {
		json_object_put(p->findings.list);
		printf("\n%u thing%s to mend, %u warning%s.\n", bad, findings_plural(bad), warnings,
		       findings_plural(warnings));
		status = prog_flush();
	}
	return status ? status : bad ? PROG_FAILED : PROG_OK;
}

static int run_doctor(const struct verb_args *a)
{
	_cleanup_(patient_free) struct patient p = { .findings.json = a->json };
	size_t i;

	if (!qmp_path) {
		iol_fail(EINVAL, "say which QEMU: --qmp=SOCKET, as of its option -qmp");
		return prog_usage();
	}
	if (iol_host_new(NULL, &p.host) < 0 || iol_qmp_open(qmp_path, a->timeout_ms, &p.qmp) < 0)
		return prog_fail();
	find_process(&p);
	ask_all(&p);
	p.findings.list = json_object_new_array();
	for (i = 0; !p.rc && i < sizeof(checks) / sizeof(checks[0]); i++) {
		struct finding f = { .state = CHECK_SILENT };

		checks[i].run(&p, &f);
		findings_add(&p.findings, checks[i].key, checks[i].name, &f);
	}
	patient_each(&p, doctor_device);
	if (p.rc) {
		json_object_put(p.findings.list);
		return prog_fail();
	}
	return report(&p);
}

static const struct opt opts[] = { VM_QMP_OPTS(QMP), VM_OPTS, { 0 } };

const struct verb vm_doctor = {
	.name = "doctor",
	.line = "tell what devices of a QEMU that runs have lost, and how to mend it",
	.help = "Usage: iolane vm doctor --qmp=SOCKET [OPTION]...\n"
		"Look at a running QEMU: whether its devices have all that they could have, with\n"
		"a line for each thing, good, warning or bad, what was found and who said so, and\n"
		"below it what mends it, mostly at QEMU's next start.\n"
		"\n" VM_QMP_HELP VM_OPTS_HELP "\n"
		"Exit status: 0 all works, 1 something does not, 2 wrong command line.\n",
	.opts = opts,
	.option = doctor_option,
	.run = run_doctor,
};
