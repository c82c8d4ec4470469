/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane lease" and "iolane release": what starts and ends a guest calls. */
#include "base/error.h"
#include "device.h"
#include "tools/common/prog.h"

#include <iolane/sriov.h>

#include <errno.h>
#include <string.h>

enum { FOR = VERB_OWN };

static const char *holder;

static int lease_option(int id, const char *value)
{
	/* The only one. */
	holder = value;
	return 0;
}

/* Who asked, where nobody is named: whoever started us. */
static const char *who(char buf[32])
{
	snprintf(buf, 32, "process %d", getppid());
	return holder ? holder : buf;
}

static int run_lease(const struct verb_args *a)
{
	_cleanup_host_ struct iol_host *host = NULL;
	struct json_object *o;
	struct iol_lease lease;
	char buf[32], addr[IOL_PCI_ADDR_MAX];
	int status = host_open(a, &host);

	if (status)
		return status;
	if (iol_vf_lease(host, a->words[0], who(buf), NULL, &lease) < 0)
		return prog_fail();
	if (!a->json) {
		/* Two words that a script can use as they are. */
		printf("%s %s\n", lease.vf,
		       lease.is_pci ? iol_pci_addr_format(&lease.addr, addr) : "-");
		return prog_flush();
	}
	o = json_object_new_object();
	add_text(o, "vf", lease.vf);
	if (lease.is_pci)
		add_addr(o, "address", &lease.addr);
	add_number(o, "iommu_group", lease.iommu_group);
	add_text(o, "for", who(buf));
	return verb_print_json(o);
}

static int run_release(const struct verb_args *a)
{
	_cleanup_host_ struct iol_host *host = NULL;
	int status = host_open(a, &host);

	if (status)
		return status;
	if (iol_vf_release(host, a->words[0], NULL) < 0)
		return prog_fail();
	if (a->json)
		return verb_print_json(json_object_new_object());
	printf("%s is free again\n", a->words[0]);
	return prog_flush();
}

static const struct opt lease_opts[] = { { "for", "NAME", FOR }, HOST_OPTS, { 0 } };
static const struct opt release_opts[] = { HOST_OPTS, { 0 } };

const struct verb host_lease = {
	.name = "lease",
	.help = "Usage: iolane lease PF|LABEL|PF/vfN [OPTION]...\n"
		"Hand out a VF that nobody has: of a PF, with a label, or this one. It is reset,\n"
		"and its name and address are printed. Callers at the same time never get the\n"
		"same. Its settings are noted, and put back by iolane release.\n"
		"\n"
		"  --for=NAME      who gets it (default: the process that asks)\n" HOST_OPTS_HELP,
	.opts = lease_opts,
	.words = { "a PF or a label" },
	.min_words = 1,
	.option = lease_option,
	.run = run_lease,
};

const struct verb host_release = {
	.name = "release",
	.help = "Usage: iolane release PF/vfN [OPTION]...\n"
		"Take a VF back that iolane lease handed out: it is reset, and set as it was. It\n"
		"is refused while a process has it open.\n"
		"\n" HOST_OPTS_HELP,
	.opts = release_opts,
	.words = { "a VF" },
	.min_words = 1,
	.run = run_release,
};
