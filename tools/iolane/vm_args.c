/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane vm args": what a VMM has to be told to give a guest its devices. */
#include "vm.h"

#include "base/error.h"
#include "base/units.h"
#include "capture.h"
#include "memlock.h"
#include "tools/common/prog.h"
#include "vfio/host.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MEMORY_MAX  (1ull << 46)
#define SCHEMA      "/usr/share/libvirt/schemas/domain.rng"
#define HUGE_USUAL  (2ull << 20)
#define CPUS_MAX    4096
#define PORTS_USUAL 2

enum { FOR = VM_DEVICE_OWN, MEMORY, CPUS, HUGEPAGES, IOMMU, PORTS, QEMU, NAME };

enum vmm { VMM_QEMU, VMM_LIBVIRT, VMM_CLOUD_HYPERVISOR };

static const struct vmm_row {
	const char *name;
	enum vmm vmm;
} vmms[] = {
	{ "qemu", VMM_QEMU },
	{ "libvirt", VMM_LIBVIRT },
	{ "cloud-hypervisor", VMM_CLOUD_HYPERVISOR },
};

#define VMMS (sizeof(vmms) / sizeof(vmms[0]))

static enum vmm vmm;
static const char *qemu_program = "qemu-system-x86_64";
static struct iol_vmm_guest guest = {
	.name = "guest",
	.memory = 1ull << 30,
	.cpus = 1,
	.ports = PORTS_USUAL,
};

static int set_vmm(const char *name)
{
	size_t i;

	for (i = 0; i < VMMS; i++) {
		if (!strcmp(vmms[i].name, name)) {
			vmm = vmms[i].vmm;
			return 0;
		}
	}
	return opt_unknown("VMM", "", name, vmms, VMMS, sizeof(vmms[0]));
}

static int set_memory(const char *text)
{
	int rc = iol_parse_size("--memory", text, &guest.memory);

	if (rc)
		return rc;
	if (!guest.memory || guest.memory % (1 << 20) || guest.memory > MEMORY_MAX)
		return iol_fail(EINVAL, "--memory must be whole MiB, such as 512M, not %s", text);
	return 0;
}

static int set_hugepage(const char *text)
{
	int rc = text ? iol_parse_size("--hugepages", text, &guest.hugepage) : 0;

	if (!text)
		guest.hugepage = HUGE_USUAL;
	if (!rc && guest.hugepage != HUGE_USUAL && guest.hugepage != 1ull << 30)
		return iol_fail(EINVAL, "--hugepages must be 2M or 1G, not %s", text);
	return rc;
}

static int set_name(const char *text)
{
	if (!*text || strpbrk(text, "<>&'\"/\n"))
		return iol_fail(EINVAL, "\"%s\" can't be the name of a guest", text);
	guest.name = text;
	return 0;
}

static int args_option(int id, const char *value)
{
	switch (id) {
	case FOR:
		return set_vmm(value);
	case MEMORY:
		return set_memory(value);
	case CPUS:
		return opt_uint("--cpus", value, 1, CPUS_MAX, &guest.cpus);
	case HUGEPAGES:
		return set_hugepage(value);
	case IOMMU:
		guest.iommu = true;
		return 0;
	case PORTS:
		return opt_uint("--ports", value, 0, VM_WISHES_MAX, &guest.ports);
	case QEMU:
		qemu_program = value;
		return 0;
	case NAME:
		return set_name(value);
	default:
		return vm_device_option(id, value);
	}
}

/* ---- what the host has to have for the guest's memory ---- */

static int check_hugepages(const struct iol_host *host)
{
	uint64_t kb = guest.hugepage >> 10, available;

	if (guest.memory % guest.hugepage)
		return iol_fail(EINVAL, "--memory is not whole pages of %" PRIu64 " MiB", kb >> 10);
	if (iol_host_read_u64(host, &available,
			      "sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/free_hugepages",
			      kb) < 0)
		return iol_fail(ENOTSUP, "this kernel has no pages of %" PRIu64 " MiB", kb >> 10);
	if (available < guest.memory / guest.hugepage)
		return iol_fail(ENOMEM,
				"%" PRIu64 " pages of %" PRIu64 " MiB are free and the guest needs "
				"%" PRIu64 ": echo N > /sys/kernel/mm/hugepages/hugepages-%" PRIu64
				"kB/nr_hugepages with N large enough",
				available, kb >> 10, guest.memory / guest.hugepage, kb);
	return 0;
}

/* All of it is locked while a function is the guest's; libvirt sees to that itself. */
static int check_lockable(const struct iol_host *host)
{
	struct memlock limit;
	char has[16];
	bool vf = false;
	unsigned int i;

	for (i = 0; i < guest.num_devices; i++)
		vf |= guest.devices[i].kind == IOL_VMM_VF;
	if (!vf || vmm == VMM_LIBVIRT || !memlock_of(host, "self", &limit) || limit.exempt ||
	    limit.bytes >= guest.memory)
		return 0;
	return iol_fail(ENOMEM,
			"you may lock %s, and a guest with a device has its memory locked: %s",
			iol_format_size(limit.bytes, has, sizeof(has)), MEMLOCK_MEND);
}

static int check_host(const struct iol_host *host, bool force)
{
	int (*const checks[])(const struct iol_host *) = { check_hugepages, check_lockable };
	int status = PROG_OK;
	size_t i;

	for (i = guest.hugepage ? 0 : 1; i < 2; i++) {
		if (checks[i](host) >= 0)
			continue;
		if (force)
			vm_note(NULL, iol_error());
		else
			status = prog_fail();
	}
	guest.kvm = host->live ? !faccessat(host->root_fd, "dev/kvm", R_OK | W_OK, AT_EACCESS)
			       : iol_host_exists(host, "dev/kvm");
	if (!guest.kvm)
		vm_note(NULL, "/dev/kvm is not there or not yours, so the guest's processors are "
			      "emulated");
	return status;
}

/* ---- what is printed ---- */

/* A word for a shell. */
static void print_quoted(const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-_=,.:/+@%";
	const char *s;

	if (*text && !text[strspn(text, plain)]) {
		printf("%s", text);
		return;
	}
	putchar('\'');
	for (s = text; *s; s++) {
		if (*s == '\'')
			printf("'\\''");
		else
			putchar(*s);
	}
	putchar('\'');
}

/* An option with its values a line, to be copied whole. */
static int print_args(const struct verb_args *a, struct json_object *args)
{
	size_t i, n = json_object_array_length(args);

	if (a->json)
		return verb_print_json(args);
	for (i = 0; i < n; i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(args, i));

		if (i)
			printf(*text == '-' ? " \\\n" : " ");
		print_quoted(text);
	}
	putchar('\n');
	json_object_put(args);
	return prog_flush();
}

static int print_qemu(const struct verb_args *a)
{
	struct iol_qemu qemu;
	struct json_object *args;
	int rc, status = vm_qemu_open(qemu_program, &qemu);

	if (status)
		return status;
	rc = iol_vmm_qemu_args(&guest, &qemu, &args);
	vm_qemu_close(&qemu);
	return rc < 0 ? prog_fail() : print_args(a, args);
}

/* By libvirt's own schema, where it is installed with something that reads it. */
static int validate(const char *xml)
{
	static const char *const argv[] = { "xmllint", "--noout", "--relaxng", SCHEMA, "-", NULL };
	_cleanup_free_ char *text = NULL;
	int rc;

	if (access(SCHEMA, R_OK)) {
		vm_note(NULL, "libvirt's schema is not installed here (libvirt-common), so this is "
			      "not checked against it");
		return 0;
	}
	rc = capture(argv, xml, &text);
	if (rc == -ENOENT) {
		vm_note(NULL, "xmllint is not installed (libxml2-utils), so this is not checked "
			      "against libvirt's schema");
		return 0;
	}
	if (rc > 0) {
		text[strcspn(text, "\n")] = '\0';
		return iol_fail(ENOTSUP, "the libvirt that is installed takes no such domain: %s",
				text);
	}
	return rc;
}

static int print_libvirt(void)
{
	_cleanup_free_ char *xml = NULL;

	if (iol_vmm_libvirt_xml(&guest, &xml) < 0 || validate(xml) < 0)
		return prog_fail();
	return prog_print(xml);
}

static int print_guest(const struct verb_args *a)
{
	struct json_object *args;

	if (vmm == VMM_QEMU)
		return print_qemu(a);
	if (vmm == VMM_LIBVIRT)
		return print_libvirt();
	return iol_vmm_cloud_hypervisor_args(&guest, &args) < 0 ? prog_fail() : print_args(a, args);
}

static int run_args(const struct verb_args *a)
{
	static struct iol_vmm_device devices[VM_WISHES_MAX];
	_cleanup_host_ struct iol_host *host = NULL;
	struct vm_wishes *wishes = vm_wishes();
	unsigned int i;
	int status;

	if (a->json && vmm == VMM_LIBVIRT) {
		iol_fail(EINVAL, "--json is for arguments, and libvirt takes XML: leave it out");
		return prog_usage();
	}
	status = host_open(a, &host);
	if (status)
		return status;
	status = vm_devices_check(host, guest.cpus, a->force);
	for (i = 0; i < wishes->num; i++)
		devices[i] = wishes->wish[i].device;
	guest.devices = devices;
	guest.num_devices = wishes->num;
	status |= check_host(host, a->force);
	return status ? status : print_guest(a);
}

static const struct opt opts[] = {
	{ "for", "VMM", FOR },
	{ "memory", "SIZE", MEMORY },
	{ "cpus", "N", CPUS },
	{ "hugepages", "SIZE", HUGEPAGES, .optional = true },
	{ "iommu", NULL, IOMMU },
	{ "ports", "N", PORTS },
	{ "qemu", "PROGRAM", QEMU },
	{ "name", "NAME", NAME },
	VM_DEVICE_OPTS(true),
	{ "root", "DIR", VERB_ROOT },
	VM_OPTS,
	{ 0 },
};

const struct verb vm_args = {
	.name = "args",
	.line = "print what a VMM has to be told to give a guest its devices",
	.help = "Usage: iolane vm args [OPTION]...\n"
		"Print the arguments of QEMU or Cloud Hypervisor, or libvirt's XML, for a guest\n"
		"with these devices: memory that back ends share, ports, queues, iommufd. Each is\n"
		"checked against what is installed, and each device for what stands in the way.\n"
		"What the guest boots from is yours to add.\n"
		"\n"
		"  --for=VMM       qemu (the default), libvirt or cloud-hypervisor\n"
		"  --memory=SIZE   of the guest (default 1G)\n"
		"  --cpus=N        its processors (default 1); disks and NICs get as many queues\n"
		"  --hugepages[=SIZE]   its memory in huge pages of 2M (the default) or 1G\n"
		"  --iommu         it has an IOMMU of its own\n"
		"  --ports=N       free ports for iolane vm attach (default 2)\n" VM_DEVICE_HELP
		"  --qemu=PROGRAM  the QEMU to check against (default qemu-system-x86_64)\n"
		"  --name=NAME     of libvirt's domain (default guest)\n"
		"  --root=DIR      look at a copy of a machine's files: DIR/sys, DIR/proc, "
		"...\n" VM_OPTS_HELP,
	.opts = opts,
	.option = args_option,
	.run = run_args,
};
