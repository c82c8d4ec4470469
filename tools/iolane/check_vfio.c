/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of what the kernel offers to take devices with, and to run guests with. */
#include "check.h"

#include "vfio/host.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *const vfio_modules[] = { "vfio", "vfio_pci", "vfio_iommu_type1" };

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

void check_vfio(const struct machine *m, struct finding *f)
{
	enum machine_module worst = MODULE_LOADED;
	const char *module = NULL;
	char list[IOL_NAME_MAX + 32];
	size_t i;

	for (i = 0; i < ROWS(vfio_modules); i++) {
		enum machine_module state = machine_module(m, vfio_modules[i]);

		/* Built in, and without parameters that would show it, it still has its driver. */
		if (!strcmp(vfio_modules[i], "vfio_pci") &&
		    iol_host_exists(m->host, "sys/bus/pci/drivers/vfio-pci"))
			state = MODULE_LOADED;
		if (!strcmp(vfio_modules[i], "vfio") &&
		    iol_host_exists(m->host, "sys/class/misc/vfio"))
			state = MODULE_LOADED;
		if (state < worst) {
			worst = state;
			module = vfio_modules[i];
		}
	}
	/* A kernel with iommufd may come without the container. */
	if (module && !strcmp(module, "vfio_iommu_type1") && worst != MODULE_THERE &&
	    iol_host_exists(m->host, "sys/class/misc/iommu"))
		worst = MODULE_LOADED;
	switch (worst) {
	case MODULE_LOADED:
		finding(f, CHECK_GOOD, "/sys/bus/pci/drivers/vfio-pci", "vfio-pci is loaded");
		break;
	case MODULE_THERE:
		finding(f, CHECK_WARNING, "/sys/module", "%s is there, but not loaded", module);
		/* It brings the others along. */
		if (strcmp(module, "vfio_iommu_type1") != 0)
			module = "vfio-pci";
		finding_mend(f, "modprobe %s && echo %s > /etc/modules-load.d/iolane-vfio.conf",
			     module, module);
		break;
	case MODULE_LACKS:
		snprintf(list, sizeof(list), "/lib/modules/%s/modules.dep", m->release);
		finding(f, CHECK_BAD, list, "kernel %s has no %s", m->release, module);
		finding_mend(f, "install a kernel with CONFIG_VFIO_PCI; Debian's linux-image-amd64 "
				"has it");
		break;
	default:
		finding(f, CHECK_BAD, "/sys/module",
			"%s is not loaded, and no list of modules "
			"says that it could be",
			module);
		finding_mend(f, "modprobe vfio-pci");
	}
}

/* The kernel registers "vfio-dev" among character devices if it gives each VFIO device a node of its own. */
static bool has_cdev(const struct machine *m)
{
	_cleanup_free_ char *text = iol_host_text(m->host, "proc/devices");

	return text && strstr(text, " vfio-dev\n");
}

void check_iommufd(const struct machine *m, struct finding *f)
{
	bool iommufd = iol_host_exists(m->host, "sys/class/misc/iommu");

	if (iommufd && has_cdev(m)) {
		finding(f, CHECK_GOOD, "/sys/class/misc/iommu",
			"both: devices are taken by their own nodes");
	} else if (iommufd) {
		finding(f, CHECK_GOOD, "/proc/devices",
			"iommufd, but no device nodes: devices are taken by their groups");
	} else if (machine_module(m, "iommufd") == MODULE_THERE) {
		finding(f, CHECK_WARNING, "/sys/class/misc/iommu",
			"iommufd is there, but not loaded");
		finding_mend(f, "modprobe iommufd");
	} else {
		finding(f, CHECK_GOOD, "/sys/class/misc/iommu",
			"this kernel has neither: devices are taken by their groups");
	}
}

/* Switches that give isolation away. */
static const struct {
	const char *module, *parameter, *what;
} unsafe[] = {
	{ "vfio_iommu_type1", "allow_unsafe_interrupts",
	  "devices are taken although guests could forge interrupts" },
	{ "iommufd", "allow_unsafe_interrupts",
	  "devices are taken although guests could forge interrupts" },
	{ "vfio", "enable_unsafe_noiommu_mode", "devices can be taken without an IOMMU" },
};

void check_unsafe(const struct machine *m, struct finding *f)
{
	char where[128];
	size_t i;

	finding(f, CHECK_GOOD, "/sys/module/*/parameters", "all off");
	for (i = 0; i < ROWS(unsafe); i++) {
		if (machine_switch(m, unsafe[i].module, unsafe[i].parameter) != IOL_YES)
			continue;
		snprintf(where, sizeof(where), "/sys/module/%s/parameters/%s", unsafe[i].module,
			 unsafe[i].parameter);
		finding(f, CHECK_WARNING, where, "%s", unsafe[i].what);
		finding_mend(f,
			     "echo N > %s; grep -rl %s /etc/modprobe.d, and take it out "
			     "there",
			     where, unsafe[i].parameter);
		return;
	}
}

/* Whether the firmware starts only what is signed: the variable's value comes behind four bytes of attributes. */
static bool secure_boot(const struct machine *m)
{
	unsigned char value[5];

	return iol_host_read_bytes(m->host, value, sizeof(value), 0,
				   "sys/firmware/efi/efivars/"
				   "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c") == 5 &&
	       value[4] == 1;
}

void check_lockdown(const struct machine *m, struct finding *f)
{
	char text[64];
	const char *boot = secure_boot(m) ? "with" : "without";

	/* The file is "[none] integrity confidentiality", what holds in brackets. A kernel that can't lock has none. */
	if (iol_host_read(m->host, text, sizeof(text), "sys/kernel/security/lockdown") < 0 ||
	    strstr(text, "[none]"))
		finding(f, CHECK_GOOD, "/sys/kernel/security/lockdown",
			"nothing is locked down, started %s secure boot", boot);
	else
		finding(f, CHECK_WARNING, "/sys/kernel/security/lockdown",
			"the kernel is locked down, started %s secure boot: VFIO works, but not "
			"unsigned modules, UIO drivers, or writing to configuration space by hand",
			boot);
}

/* Whether we may use /dev/kvm; of a copy its owner and mode say nothing of us. */
static bool kvm_is_ours(const struct machine *m)
{
	return !m->host->live || !faccessat(m->host->root_fd, "dev/kvm", R_OK | W_OK, AT_EACCESS);
}

void check_kvm(const struct machine *m, struct finding *f)
{
	const char *module = m->cpu == CPU_AMD ? "kvm_amd" : "kvm_intel";
	bool can = machine_flag(m, "vmx") || machine_flag(m, "svm");

	if (iol_host_exists(m->host, "dev/kvm")) {
		if (kvm_is_ours(m)) {
			finding(f, CHECK_GOOD, "/dev/kvm", "it can be used");
			return;
		}
		finding(f, CHECK_WARNING, "/dev/kvm", "you may not use it");
		finding_mend(f, "adduser $USER kvm, and log in again");
	} else if (m->cpu == CPU_OTHER || can) {
		finding(f, CHECK_WARNING, "/dev/kvm",
			"it is not there: guests would have to be emulated");
		finding_mend(f, "modprobe %s", m->cpu == CPU_OTHER ? "kvm" : module);
	} else {
		finding(f, CHECK_WARNING, "/proc/cpuinfo",
			"the processor shows no virtualization: guests would have to be emulated");
		if (m->is_guest)
			finding_mend(f, "this is a virtual machine: give it nested virtualization, "
					"for QEMU: -cpu host");
		else
			finding_mend(f, "turn on %s in the firmware's setup",
				     m->cpu == CPU_AMD ? "SVM" : "VT-x");
	}
}
