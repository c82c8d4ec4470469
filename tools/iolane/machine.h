/* SPDX-License-Identifier: BSD-3-Clause */
/* Facts about a host that only "iolane check" needs: processor, kernel, modules, boot loader. */
#ifndef TOOLS_IOLANE_MACHINE_H
#define TOOLS_IOLANE_MACHINE_H

#include "device.h"

enum machine_cpu { CPU_OTHER, CPU_INTEL, CPU_AMD };

enum machine_module {
	MODULE_UNKNOWN, /* nobody can say */
	MODULE_LACKS,   /* this kernel has none */
	MODULE_THERE,   /* could be loaded */
	MODULE_LOADED,  /* or built in */
};

/**
 * struct machine - A host, looked at once for all checks.
 * @cmdline: of the kernel. @cpuinfo: of all processors. @release: the kernel's.
 * @devices, @iommus: what the library says.
 * @is_guest: it is a virtual machine itself.
 */
struct machine {
	struct iol_host *host;
	struct devices devices;
	struct iol_iommu_info *iommus;
	size_t num_iommus;
	char *cmdline, *cpuinfo;
	char release[IOL_NAME_MAX];
	enum machine_cpu cpu;
	bool is_guest;
};

/** machine_read() - Look at a host, which belongs to @m from now on. 0, or a negative errno with the sentence set. */
int machine_read(struct machine *m, struct iol_host **host);
void machine_free(struct machine *m);

/** machine_option() - Whether a word ("iommu=pt") is on the kernel's command line. */
bool machine_option(const struct machine *m, const char *word);

/** machine_flag() - Whether the processor has a flag ("vmx"). */
bool machine_flag(const struct machine *m, const char *flag);

/** machine_module() - How it stands about a module; @name with underscores. */
enum machine_module machine_module(const struct machine *m, const char *name);

/** machine_switch() - A module's parameter that is Y or 1, or N or 0. */
enum iol_known machine_switch(const struct machine *m, const char *module, const char *parameter);

/**
 * machine_boot_line() - The line that puts a word on the kernel's command line, or with @remove takes it off, with
 * the boot loader that this host has.
 * Return: @buf.
 */
const char *machine_boot_line(const struct machine *m, const char *word, bool remove, char *buf,
			      size_t len);

#endif
