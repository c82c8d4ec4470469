/* SPDX-License-Identifier: BSD-3-Clause */
/* What block devices are in use for: themselves, their partitions, and whatever is stacked on these. */
#include "vfio/uses.h"

#include "base/own.h"
#include "vfio/grow.h"
#include "vfio/host.h"
#include "vfio/pci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* How many devices may stand on one; more than that tells nothing new. */
#define ABOVE_MAX 64

/* A disk or a partition of a function's. */
struct block {
	char name[IOL_NAME_MAX];
	struct iol_pci_addr addr;
};

struct mount {
	unsigned int major, minor;
	char point[128], source[128];
};

struct swap {
	char path[128];
};

struct disks {
	const struct iol_host *host;
	struct block *blocks;
	struct mount *mounts;
	struct swap *swaps;
	size_t block_count, mount_count, swap_count;
	size_t block_room, mount_room, swap_room;
	bool no_memory;
};

static bool add_block(struct disks *disks, const char *name, const struct iol_pci_addr *addr)
{
	struct block *block = iol_add(disks, block);

	if (!block)
		return false;
	snprintf(block->name, sizeof(block->name), "%s", name);
	block->addr = *addr;
	return true;
}

/* A namespace that several controllers may lead to belongs to each of them. */
static bool add_shared(struct disks *disks, const char *name, const char *subsystem)
{
	_cleanup_dir_ DIR *dir = NULL;
	char target[HOST_PATH_MAX];
	struct iol_pci_addr addr;
	const char *entry;

	dir = iol_host_opendir(disks->host, "sys/class/nvme-subsystem/%.*s",
			       (int)strcspn(subsystem, "/"), subsystem);
	while (dir && (entry = iol_host_next(dir)))
		if (iol_host_target(disks->host, target, sizeof(target), "sys/class/nvme/%s",
				    entry) > 0 &&
		    iol_pci_of_path(target, &addr, NULL) && !add_block(disks, name, &addr))
			return false;
	return true;
}

static void load_blocks(struct disks *disks)
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(disks->host, "sys/class/block");
	static const char shared[] = "/nvme-subsystem/";
	char target[HOST_PATH_MAX], *at;
	struct iol_pci_addr addr;
	const char *name;

	while (dir && (name = iol_host_next(dir))) {
		if (strlen(name) >= IOL_NAME_MAX ||
		    iol_host_target(disks->host, target, sizeof(target), "sys/class/block/%s",
				    name) < 0)
			continue;
		at = strstr(target, shared);
		if (at ? !add_shared(disks, name, at + strlen(shared))
		       : iol_pci_of_path(target, &addr, NULL) && !add_block(disks, name, &addr))
			return;
	}
}

/* The kernel writes spaces and the like as \040. */
static void unescape(char *text)
{
	char *to = text;
	unsigned int value;

	for (; *text; to++) {
		if (*text == '\\' && strspn(text + 1, "01234567") >= 3 &&
		    sscanf(text + 1, "%3o", &value) == 1) {
			*to = (char)value;
			text += 4;
		} else {
			*to = *text++;
		}
	}
	*to = '\0';
}

static void load_mounts(struct disks *disks)
{
	_cleanup_free_ char *text = iol_host_text(disks->host, "proc/self/mountinfo");
	char *rest = text, *line, *more;
	struct mount mount, *new;

	while (rest && (line = strsep(&rest, "\n"))) {
		more = strstr(line, " - ");
		if (!more ||
		    sscanf(line, "%*s %*s %u:%u %*s %127s", &mount.major, &mount.minor,
			   mount.point) != 3 ||
		    sscanf(more, " - %*s %127s", mount.source) != 1)
			continue;
		new = iol_add(disks, mount);
		if (!new)
			return;
		*new = mount;
		unescape(new->point);
		unescape(new->source);
	}
}

static void load_swaps(struct disks *disks)
{
	_cleanup_free_ char *text = iol_host_text(disks->host, "proc/swaps");
	char *rest = text, *line;
	struct swap swap, *new;

	while (rest && (line = strsep(&rest, "\n"))) {
		if (line[0] != '/' || sscanf(line, "%127s", swap.path) != 1)
			continue;
		new = iol_add(disks, swap);
		if (!new)
			return;
		*new = swap;
		unescape(new->path);
	}
}

/* A block device, what holds it, what holds that … Return: how many names in @above. */
static size_t find_above(const struct disks *disks, const char *name,
			 char above[ABOVE_MAX][IOL_NAME_MAX])
{
	size_t count = 1, at, k;
	const char *holder;

	strcpy(above[0], name);
	for (at = 0; at < count; at++) {
		_cleanup_dir_ DIR *dir =
			iol_host_opendir(disks->host, "sys/class/block/%s/holders", above[at]);

		while (dir && count < ABOVE_MAX && (holder = iol_host_next(dir))) {
			if (strlen(holder) >= IOL_NAME_MAX)
				continue;
			for (k = 0; k < count; k++)
				if (!strcmp(above[k], holder))
					break;
			if (k == count)
				strcpy(above[count++], holder);
		}
	}
	return count;
}

/* A block device as its user names it. */
struct label {
	const char *name;
	char mapper[128];                  /* device mapper's name, or empty */
	char text[2 * IOL_NAME_MAX + 160]; /* with what it stands on */
};

static void make_label(const struct disks *disks, const char *name, const char *beneath,
		       struct label *label)
{
	bool upper = strcmp(name, beneath) != 0;

	label->name = name;
	if (iol_host_read(disks->host, label->mapper, sizeof(label->mapper),
			  "sys/class/block/%s/dm/name", name) < 0)
		label->mapper[0] = '\0';
	snprintf(label->text, sizeof(label->text), "%s%s%s%s%s%s%s", name,
		 label->mapper[0] ? " (" : "", label->mapper, label->mapper[0] ? ")" : "",
		 upper ? ", which stands on " : "", upper ? beneath : "", upper ? "," : "");
}

static bool is_path_of(const char *path, const struct label *label)
{
	if (!strncmp(path, "/dev/mapper/", 12))
		return label->mapper[0] && !strcmp(path + 12, label->mapper);
	return !strncmp(path, "/dev/", 5) && !strcmp(path + 5, label->name);
}

static void tell_mounts(const struct disks *disks, const struct block *block,
			const struct label *label, struct use_list *uses)
{
	unsigned int major = 0, minor = 0;
	const char *first = NULL;
	size_t i, count = 0;
	char text[32];

	if (iol_host_read(disks->host, text, sizeof(text), "sys/class/block/%s/dev", label->name) <
		    0 ||
	    sscanf(text, "%u:%u", &major, &minor) != 2)
		major = 0;
	for (i = 0; i < disks->mount_count; i++) {
		const struct mount *mount = &disks->mounts[i];

		/* Some file systems (btrfs) have a device number of their own, but name their source. */
		if (!(major && mount->major == major && mount->minor == minor) &&
		    !is_path_of(mount->source, label))
			continue;
		if (!count++)
			first = mount->point;
	}
	if (count == 1)
		iol_use_add(uses, &block->addr, IOL_USE_MOUNT, true, "%s is mounted on %s",
			    label->text, first);
	else if (count)
		iol_use_add(uses, &block->addr, IOL_USE_MOUNT, true,
			    "%s is mounted on %s and %zu more", label->text, first, count - 1);
}

/* Of several devices of a btrfs only one is named as the source. */
static void tell_btrfs(const struct disks *disks, const struct block *block,
		       const struct label *label, struct use_list *uses)
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(disks->host, "sys/fs/btrfs");
	const char *uuid;

	while (dir && (uuid = iol_host_next(dir)))
		if (iol_host_exists(disks->host, "sys/fs/btrfs/%s/devices/%s", uuid, label->name))
			iol_use_add(uses, &block->addr, IOL_USE_MOUNT, true,
				    "%s is part of a mounted btrfs (%s)", label->text, uuid);
}

static void tell(const struct disks *disks, const struct block *block, struct use_list *uses)
{
	char above[ABOVE_MAX][IOL_NAME_MAX];
	size_t count = find_above(disks, block->name, above), i, k;
	struct label label;

	for (i = 0; i < count; i++) {
		make_label(disks, above[i], block->name, &label);
		tell_mounts(disks, block, &label, uses);
		tell_btrfs(disks, block, &label, uses);
		for (k = 0; k < disks->swap_count; k++)
			if (is_path_of(disks->swaps[k].path, &label))
				iol_use_add(uses, &block->addr, IOL_USE_SWAP, true,
					    "%s is swapped to", label.text);
		if (!i)
			continue;
		iol_use_add(uses, &block->addr, IOL_USE_STACK, true, "%s%s%s%s stands on %s",
			    above[i], label.mapper[0] ? " (" : "", label.mapper,
			    label.mapper[0] ? ")" : "", block->name);
	}
}

static bool is_claimed(const struct use_list *uses, const struct iol_pci_addr *addr)
{
	size_t i;

	for (i = 0; i < uses->count; i++)
		if (iol_pci_addr_equal(&uses->list[i].addr, addr) &&
		    uses->list[i].kind >= IOL_USE_MOUNT)
			return true;
	return false;
}

static bool is_or_of(const struct disks *disks, const struct block *block,
		     const struct iol_pci_addr *addr)
{
	char name[IOL_PCI_ADDR_MAX], pf[IOL_PCI_ADDR_MAX], wanted[IOL_PCI_ADDR_MAX];

	return iol_pci_addr_equal(&block->addr, addr) ||
	       (iol_host_link(disks->host, pf, sizeof(pf), "sys/bus/pci/devices/%s/physfn",
			      iol_pci_addr_format(&block->addr, name)) > 0 &&
		!strcmp(pf, iol_pci_addr_format(addr, wanted)));
}

/*
 * Whoever has a block device for itself (a mount in another namespace, ZFS, a program) shows nowhere in sysfs, but
 * the kernel does not let us have it as well.
 */
static void try_claim(const struct disks *disks, const struct iol_pci_addr *addr,
		      struct use_list *uses)
{
	char path[IOL_NAME_MAX + 8];
	size_t i;

	for (i = 0; i < disks->block_count; i++) {
		const struct block *block = &disks->blocks[i];
		_cleanup_close_ int fd = -1;

		if (!is_or_of(disks, block, addr) || is_claimed(uses, &block->addr))
			continue;
		snprintf(path, sizeof(path), "dev/%s", block->name);
		fd = openat(disks->host->root_fd, path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0 || errno != EBUSY)
			continue;
		iol_use_add(uses, &block->addr, IOL_USE_STACK, true,
			    "%s belongs to somebody: the kernel has it busy (another mount "
			    "namespace, ZFS, a program)",
			    block->name);
	}
}

void iol_uses_disks(const struct iol_host *host, const struct iol_pci_addr *claim,
		    struct use_list *uses)
{
	struct disks disks = { .host = host };
	size_t i;

	load_blocks(&disks);
	if (disks.block_count) {
		load_mounts(&disks);
		load_swaps(&disks);
	}
	for (i = 0; i < disks.block_count; i++)
		tell(&disks, &disks.blocks[i], uses);
	/* The nodes of a copy would be devices of this machine. */
	if (claim && host->live)
		try_claim(&disks, claim, uses);
	uses->no_memory |= disks.no_memory;
	free(disks.blocks);
	free(disks.mounts);
	free(disks.swaps);
}
