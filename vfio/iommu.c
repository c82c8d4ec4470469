/* SPDX-License-Identifier: BSD-3-Clause */
/* IOMMUs: what units say of themselves, and what the kernel does with them. */
#include <iolane/vfio.h>

#include "base/error.h"
#include "base/own.h"
#include "vfio/grow.h"
#include "vfio/host.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define IOMMUS "sys/class/iommu"

/* Intel VT-d, Capability Register. */
#define CAP_POSTED     (1ull << 59)
#define CAP_SLLPS_2M   (1ull << 34)
#define CAP_SLLPS_1G   (1ull << 35)
#define CAP_MGAW(cap)  ((unsigned int)((cap) >> 16 & 0x3f) + 1)
#define CAP_SAGAW(cap) ((unsigned int)((cap) >> 8 & 0x1f))
/* Intel VT-d, Extended Capability Register. */
#define ECAP_REMAPPING (1ull << 3)
/* AMD IOMMU, Extended Feature Register: guest virtual APIC, its modes, host address translation size. */
#define EFR_GA        (1ull << 7)
#define EFR_GAM_VAPIC (1ull << 21)
#define EFR_HATS(efr) ((unsigned int)((efr) >> 10 & 3))
/* AMD IOMMU, capability header: the Extended Feature Register is there. */
#define AMD_CAP_EFR (1ull << 27)

#define PAGE_4K (1ull << 12)
#define PAGE_2M (1ull << 21)
#define PAGE_1G (1ull << 30)
/* Any power of two from 4 KiB on, but 512 GiB. */
#define AMD_PAGES (~0xfffull & ~(1ull << 39))

/* A register as the kernel prints it: hexadecimal without 0x. Return: what follows it; NULL when it is none. */
static const char *read_hex(const char *text, uint64_t *value)
{
	size_t n = strspn(text, "0123456789abcdefABCDEF");

	return n && n <= 16 && sscanf(text, "%" SCNx64, value) == 1 ? text + n : NULL;
}

static bool read_register(const struct iol_host *host, const char *name, const char *file,
			  uint64_t *value)
{
	char text[64];
	const char *end;

	if (iol_host_read(host, text, sizeof(text), IOMMUS "/%s/%s", name, file) < 0)
		return false;
	end = read_hex(text, value);
	return end && !*end;
}

/* As far as both the width and the page tables' levels go (39 bits with three, nine more with each). */
static unsigned int intel_bits(uint64_t cap)
{
	unsigned int bits = CAP_MGAW(cap), sagaw = CAP_SAGAW(cap), level, most = 0;

	for (level = 0; level < 5; level++)
		if (sagaw & 1u << level)
			most = 30 + 9 * level;
	return most && most < bits ? most : bits;
}

static void read_intel(const struct iol_host *host, struct iol_iommu_info *info)
{
	if (read_register(host, info->name, "intel-iommu/cap", &info->cap)) {
		info->posted = info->cap & CAP_POSTED ? IOL_YES : IOL_NO;
		info->address_bits = intel_bits(info->cap);
		info->page_sizes = PAGE_4K | (info->cap & CAP_SLLPS_2M ? PAGE_2M : 0) |
				   (info->cap & CAP_SLLPS_1G ? PAGE_1G : 0);
	}
	if (read_register(host, info->name, "intel-iommu/ecap", &info->ecap))
		info->remapping = info->ecap & ECAP_REMAPPING ? IOL_YES : IOL_NO;
}

/*
 * "EFR", or two registers: some kernels print the second before the first and some after it. The first has fields up
 * to its highest bits and the second hardly any, so the larger one is the first.
 */
static bool read_efr(const struct iol_host *host, const char *name, uint64_t *efr)
{
	uint64_t a, b = 0;
	const char *end;
	char text[64];

	if (iol_host_read(host, text, sizeof(text), IOMMUS "/%s/amd-iommu/features", name) < 0)
		return false;
	end = read_hex(text, &a);
	if (end && *end == ':')
		end = read_hex(end + 1, &b);
	if (!end || *end)
		return false;
	*efr = a > b ? a : b;
	return true;
}

static void read_amd(const struct iol_host *host, struct iol_iommu_info *info)
{
	static const unsigned int levels[4] = { 48, 57, 64, 0 };

	if (!read_register(host, info->name, "amd-iommu/cap", &info->cap))
		return;
	/* Each unit has interrupt remapping tables; only posting is a feature. */
	info->remapping = IOL_YES;
	info->page_sizes = AMD_PAGES;
	if (!(info->cap & AMD_CAP_EFR) || !read_efr(host, info->name, &info->ecap))
		return;
	info->posted = info->ecap & EFR_GA && info->ecap & EFR_GAM_VAPIC ? IOL_YES : IOL_NO;
	info->address_bits = levels[EFR_HATS(info->ecap)];
}

static void read_iommu(const struct iol_host *host, const char *name, struct iol_iommu_info *info)
{
	*info = (struct iol_iommu_info){ .remapping = IOL_UNKNOWN, .posted = IOL_UNKNOWN };
	strcpy(info->name, name);
	if (!strncmp(name, "dmar", 4)) {
		strcpy(info->kind, "intel");
		read_intel(host, info);
	} else if (!strncmp(name, "ivhd", 4)) {
		strcpy(info->kind, "amd");
		read_amd(host, info);
	} else if (!strncmp(name, "virtio", 6)) {
		/* It translates addresses, and has nothing for interrupts. */
		strcpy(info->kind, "virtio");
		info->remapping = IOL_NO;
		info->posted = IOL_NO;
	} else if (!strncmp(name, "smmu3", 5)) {
		/* Interrupts are the ITS's to keep apart. */
		strcpy(info->kind, "arm-smmu-v3");
	} else {
		strcpy(info->kind, "other");
	}
}

static int info_order(const void *a, const void *b)
{
	return strverscmp(((const struct iol_iommu_info *)a)->name,
			  ((const struct iol_iommu_info *)b)->name);
}

int iol_iommu_list(const struct iol_host *host, struct iol_iommu_info **list)
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(host, IOMMUS);
	_cleanup_free_ struct iol_iommu_info *all = NULL;
	size_t count = 0, room = 0;
	const char *name;

	*list = NULL;
	if (!dir && errno != ENOENT)
		return iol_fail(errno, "cannot look into /" IOMMUS ": %s", strerror(errno));
	while (dir && (name = iol_host_next(dir))) {
		if (strlen(name) >= IOL_NAME_MAX)
			continue;
		if (!iol_grow(&all, count, &room, sizeof(*all)))
			return iol_fail(ENOMEM, "no memory for %zu IOMMUs", count);
		read_iommu(host, name, &all[count++]);
	}
	if (count) {
		qsort(all, count, sizeof(*all), info_order);
		*list = iol_take_ptr(all);
	}
	return (int)count;
}

/* A line's interrupt controller: what comes after the number and the counts. */
static void chip_of(char *line, char chip[32])
{
	char *word;

	chip[0] = '\0';
	strsep(&line, ":");
	while (line && (word = strsep(&line, " ")))
		if (*word && word[strspn(word, "0123456789")]) {
			snprintf(chip, 32, "%s", word);
			return;
		}
}

enum iol_known iol_iommu_remaps(const struct iol_host *host, const char **where)
{
	_cleanup_free_ char *text = iol_host_text(host, "proc/interrupts");
	enum iol_known known = IOL_UNKNOWN;
	char *rest = text, *line, chip[32];

	if (where)
		*where = text ? "/proc/interrupts" : "/proc/interrupts, which cannot be read";
	while (rest && (line = strsep(&rest, "\n"))) {
		chip_of(line, chip);
		if (!strncmp(chip, "IR-", 3)) {
			if (where)
				*where = "/proc/interrupts (IR-…)";
			return IOL_YES;
		}
		/* ARM's Interrupt Translation Service takes a message for the device that sent it. */
		if (!strncmp(chip, "ITS-", 4)) {
			if (where)
				*where = "/proc/interrupts (ITS-…)";
			return IOL_YES;
		}
		if (!strncmp(chip, "PCI-MSI", 7) || !strncmp(chip, "IO-APIC", 7))
			known = IOL_NO;
	}
	return known;
}
