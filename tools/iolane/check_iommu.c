/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of what stands between devices and memory, and between devices. */
#include "check.h"

#include "vfio/host.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Tables by which firmware tells of an IOMMU, the word that turns it on where it is not on by itself, or its driver. */
static const struct {
	const char *table, *what, *on, *driver;
} acpi[] = {
	{ "DMAR", "Intel VT-d", "intel_iommu=on", NULL },
	{ "IVRS", "AMD-Vi", "amd_iommu=force_enable", NULL },
	{ "IORT", "Arm SMMU", NULL, "CONFIG_ARM_SMMU_V3" },
	{ "VIOT", "virtio-iommu", NULL, "CONFIG_VIRTIO_IOMMU" },
};

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* Words that leave the IOMMU off. */
static const char *const off_words[] = { "intel_iommu=off", "amd_iommu=off", "iommu=off" };

/* Words that leave interrupts as they are. */
static const char *const noremap_words[] = { "intremap=off", "nointremap" };

static const char *first_option(const struct machine *m, const char *const *words, size_t num)
{
	size_t i;

	for (i = 0; i < num; i++) {
		if (machine_option(m, words[i]))
			return words[i];
	}
	return NULL;
}

static void iommu_is_absent(const struct machine *m, struct finding *f)
{
	finding(f, CHECK_BAD, "/sys/firmware/acpi/tables", "the firmware tells of none");
	if (m->is_guest)
		finding_mend(f, "this is a virtual machine: give it an IOMMU, for QEMU: -M "
				"q35,kernel-irqchip=split -device intel-iommu,intremap=on");
	else
		finding_mend(f, "turn on %s in the firmware's setup",
			     m->cpu == CPU_AMD     ? "AMD-Vi (\"IOMMU\", \"SVM\")"
			     : m->cpu == CPU_INTEL ? "VT-d (\"Intel VT for Directed I/O\")"
						   : "the IOMMU");
}

void check_iommu(const struct machine *m, struct finding *f)
{
	const char *off = first_option(m, off_words, ROWS(off_words));
	char names[200] = "";
	size_t i, len = 0;

	for (i = 0; i < m->num_iommus && len < sizeof(names); i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s (%s)",
					i ? ", " : "", m->iommus[i].name, m->iommus[i].kind);
	if (i) {
		finding(f, CHECK_GOOD, "/sys/class/iommu", "%zu in use: %s", m->num_iommus, names);
		return;
	}
	for (i = 0; i < ROWS(acpi); i++) {
		char where[64];

		if (!iol_host_exists(m->host, "sys/firmware/acpi/tables/%s", acpi[i].table))
			continue;
		snprintf(where, sizeof(where), "/sys/firmware/acpi/tables/%s", acpi[i].table);
		if (off) {
			finding(f, CHECK_BAD, "/proc/cmdline",
				"there is one (%s), but %s turned it off", acpi[i].what, off);
			finding_boot(f, m, off, true);
		} else {
			finding(f, CHECK_BAD, where,
				"there is one (%s), but the kernel does not use it", acpi[i].what);
			if (acpi[i].on)
				finding_boot(f, m, acpi[i].on, false);
			else
				finding_mend(f, "start a kernel that has %s", acpi[i].driver);
		}
		return;
	}
	iommu_is_absent(m, f);
}

/* How many groups there are. */
static unsigned int count_groups(const struct machine *m)
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(m->host, "sys/kernel/iommu_groups");
	unsigned int n = 0;

	while (dir && iol_host_next(dir))
		n++;
	return n;
}

void check_groups(const struct machine *m, struct finding *f)
{
	unsigned int n = count_groups(m), passable = 0, grouped = 0;
	size_t i;

	for (i = 0; i < m->devices.num; i++) {
		if (!device_is_passable(&m->devices.infos[i]))
			continue;
		passable++;
		grouped += m->devices.infos[i].iommu_group >= 0;
	}
	if (!n) {
		finding(f, CHECK_BAD, "/sys/kernel/iommu_groups",
			"there are none: no device can be taken");
		finding_mend(f, "they come with the IOMMU: mend that first");
	} else if (grouped < passable) {
		finding(f, CHECK_WARNING, "/sys/bus/pci/devices/*/iommu_group",
			"%u, but %u of %u devices have none: no IOMMU covers them, or it takes "
			"them in "
			"when a driver asks",
			n, passable - grouped, passable);
	} else {
		finding(f, CHECK_GOOD, "/sys/kernel/iommu_groups", "%u", n);
	}
}

void check_translation(const struct machine *m, struct finding *f)
{
	unsigned int identity = 0, known = 0;
	char type[IOL_NAME_MAX], first[IOL_NAME_MAX] = "";
	size_t i;

	for (i = 0; i < m->devices.num; i++) {
		const struct iol_pci_info *info = &m->devices.infos[i];

		if (info->iommu_group < 0 || iol_group_type(m->host, info->iommu_group, type) < 0 ||
		    !type[0])
			continue;
		known++;
		if (!strcmp(type, "identity"))
			identity++;
		else if (!first[0])
			memcpy(first, type, sizeof(first));
	}
	if (!known)
		return;
	if (identity == known)
		finding(f, CHECK_GOOD, "/sys/kernel/iommu_groups/*/type",
			"the host's own DMA goes around the IOMMU (identity), devices that are "
			"passed through go through it");
	else if (identity)
		finding(f, CHECK_GOOD, "/sys/kernel/iommu_groups/*/type",
			"%u devices of the host are translated (%s), %u are not (identity)",
			known - identity, first, identity);
	else
		finding(f, CHECK_GOOD, "/sys/kernel/iommu_groups/*/type",
			"all DMA of the host is translated (%s); iommu=pt would make the host's "
			"own faster",
			first);
}

void check_remapping(const struct machine *m, struct finding *f)
{
	const char *where = NULL, *off = first_option(m, noremap_words, ROWS(noremap_words));
	enum iol_known remaps = iol_iommu_remaps(m->host, &where);
	char file[IOL_NAME_MAX];

	/* Behind the file stands what in it. */
	snprintf(file, sizeof(file), "%.*s", where ? (int)strcspn(where, " ") : 0,
		 where ? where : "");
	if (remaps == IOL_YES) {
		finding(f, CHECK_GOOD, file, "on");
	} else if (remaps == IOL_UNKNOWN && m->num_iommus) {
		finding(f, CHECK_WARNING, file, "nobody can say whether interrupts are remapped");
	} else {
		finding(f, CHECK_BAD, file,
			"off: a guest could forge interrupts of the host and of other guests");
		if (off)
			finding_boot(f, m, off, true);
		else if (!m->num_iommus)
			finding_mend(f, "it comes with the IOMMU: mend that first");
		else if (m->is_guest)
			finding_mend(f, "this is a virtual machine: for QEMU, -M "
					"q35,kernel-irqchip=split -device intel-iommu,intremap=on");
		else
			finding_mend(f, "turn on %s in the firmware's setup, or update it",
				     m->cpu == CPU_INTEL ? "VT-d with x2APIC" : "the IOMMU");
	}
}

/* How KVM is told to let interrupts pass to guests without it. */
struct posting {
	const char *module, *parameter;
};

static const struct posting intel_posting = { "kvm_intel", "enable_apicv" };
static const struct posting amd_posting = { "kvm_amd", "avic" };

void check_posted(const struct machine *m, struct finding *f)
{
	const struct posting *p = m->cpu == CPU_AMD ? &amd_posting : &intel_posting;
	enum iol_known on = machine_switch(m, p->module, p->parameter);
	bool can = false;
	char where[128];
	size_t i;

	/* Arm has its own way, which VFIO does not see. */
	if (!m->num_iommus || m->cpu == CPU_OTHER)
		return;
	for (i = 0; i < m->num_iommus; i++)
		can = can || m->iommus[i].posted == IOL_YES;
	snprintf(where, sizeof(where), "/sys/module/%s/parameters/%s", p->module, p->parameter);
	if (!can) {
		finding(f, CHECK_WARNING, "/sys/class/iommu",
			"the IOMMU has none: each interrupt of a guest's device costs an exit");
	} else if (on == IOL_YES) {
		finding(f, CHECK_GOOD, where, "the IOMMU has them, and KVM uses them");
	} else if (on == IOL_NO) {
		finding(f, CHECK_WARNING, where,
			"the IOMMU has them, but KVM is told not to use them");
		finding_mend(f,
			     "echo 'options %s %s=1' > /etc/modprobe.d/iolane-kvm.conf && "
			     "modprobe -r %s && modprobe %s",
			     p->module, p->parameter, p->module, p->module);
	} else {
		finding(f, CHECK_WARNING, where,
			"the IOMMU has them; whether KVM uses them is not known before its module "
			"is loaded");
		finding_mend(f, "modprobe %s", p->module);
	}
}

/* What lets devices of a shared group reach each other: the first hop that lacks something. */
static int find_hole(const struct machine *m, const struct iol_pci_info *info, char *hole,
		     size_t len)
{
	_cleanup_free_ struct iol_acs_hop *hops = NULL;
	char addr[IOL_PCI_ADDR_MAX];
	int i, n = iol_acs_path(m->host, &info->addr, &hops);
	bool readable = true;

	for (i = 0; i < n; i++) {
		readable = readable && hops[i].readable;
		if (!hops[i].missing)
			continue;
		snprintf(hole, len, "%s lacks what keeps them apart",
			 iol_pci_addr_format(&hops[i].addr, addr));
		return 0;
	}
	snprintf(hole, len, "%s",
		 readable ? "the kernel has its reasons" : "why, only root can read");
	return n < 0 ? n : 0;
}

void check_acs(const struct machine *m, struct finding *f)
{
	const struct iol_pci_info *first = NULL;
	unsigned int shared = 0;
	char addr[IOL_PCI_ADDR_MAX], hole[128];
	size_t i, j;

	if (!m->num_iommus)
		return;
	for (i = 0; i < m->devices.num; i++) {
		const struct iol_pci_info *a = &m->devices.infos[i];
		bool alone = a->iommu_group < 0 || !device_is_passable(a);

		for (j = 0; !alone && j < m->devices.num; j++) {
			const struct iol_pci_info *b = &m->devices.infos[j];

			if (i == j || b->is_bridge || b->iommu_group != a->iommu_group)
				continue;
			shared++;
			first = first ? first : a;
			break;
		}
	}
	if (!first) {
		finding(f, CHECK_GOOD, "/sys/kernel/iommu_groups",
			"every device can be taken by itself");
		return;
	}
	if (find_hole(m, first, hole, sizeof(hole)) < 0)
		snprintf(hole, sizeof(hole), "the way to the root complex can't be read");
	finding(f, CHECK_WARNING, "/sys/bus/pci/devices/*/config",
		"%u devices share groups with others and go only together: %s for one (%s)", shared,
		iol_pci_addr_format(&first->addr, addr), hole);
	finding_mend(f,
		     "iolane show %s says which bits; another slot or newer firmware may have them",
		     addr);
}

void check_reserved(const struct machine *m, struct finding *f)
{
	char list[300] = "";
	size_t i, len = 0;
	unsigned int found = 0;

	if (!m->num_iommus)
		return;
	for (i = 0; i < m->devices.num; i++) {
		const struct iol_pci_info *info = &m->devices.infos[i];
		_cleanup_free_ struct iol_resv_region *regions = NULL;
		char addr[IOL_PCI_ADDR_MAX];
		int j, n;

		if (info->iommu_group < 0 || !device_is_passable(info))
			continue;
		n = iol_group_reserved(m->host, info->iommu_group, &regions);
		for (j = 0; j < n && regions[j].kind != IOL_RESV_DIRECT; j++)
			;
		if (j >= n)
			continue;
		found++;
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						len ? ", " : "",
						iol_pci_addr_format(&info->addr, addr));
	}
	if (!found) {
		finding(f, CHECK_GOOD, "/sys/kernel/iommu_groups/*/reserved_regions",
			"the firmware holds on to no device");
		return;
	}
	finding(f, CHECK_WARNING, "/sys/kernel/iommu_groups/*/reserved_regions",
		"the firmware holds on to %u device%s (RMRR), which can't be taken: %s", found,
		found == 1 ? "" : "s", list);
	finding_mend(f, "look for \"RMRR\" or \"shared memory\" of that slot in the firmware's "
			"setup, or use another device");
}
