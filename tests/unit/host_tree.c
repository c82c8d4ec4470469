/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/host_tree.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A rig that can't be built proves nothing. */
static void demand(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "cannot build the test's machine: %s: %s\n", what, strerror(errno));
	abort();
}

void tree_make(struct host_tree *tree)
{
	strcpy(tree->path, "/tmp/iolane-host-XXXXXX");
	demand(mkdtemp(tree->path), tree->path);
	demand(!iol_host_new(tree->path, &tree->host), tree->path);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void tree_remove(struct host_tree *tree)
{
	iol_host_destroy(&tree->host);
	nftw(tree->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* The folders that a path needs; those of links are followed. */
static void make_folders(char *path)
{
	char *slash;

	for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		demand(!mkdir(path, 0755) || errno == EEXIST, path);
		*slash = '/';
	}
}

static void write_file(const struct host_tree *tree, const char *path, const void *bytes,
		       size_t len)
{
	_cleanup_close_ int fd = -1;
	char full[1024];

	snprintf(full, sizeof(full), "%s/%s", tree->path, path);
	make_folders(full);
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	demand(fd >= 0 && write(fd, bytes, len) == (ssize_t)len, full);
}

void tree_bytes(struct host_tree *tree, const char *path, const void *bytes, size_t len)
{
	write_file(tree, path, bytes, len);
}

static void write_hex(struct host_tree *tree, const char *path, const char *text)
{
	unsigned char bytes[4096];
	unsigned int value;
	size_t len = 0;
	int n;

	for (; len < sizeof(bytes) && sscanf(text, " %2x%n", &value, &n) == 1; text += n)
		bytes[len++] = (unsigned char)value;
	write_file(tree, path, bytes, len);
}

static void add_line(struct host_tree *tree, char *line)
{
	size_t n = strcspn(line, " ");
	char *sign = line + n + (line[n] == ' '), full[1024];

	line[n] = '\0';
	if (!strncmp(sign, "->", 2)) {
		snprintf(full, sizeof(full), "%s/%s", tree->path, line);
		make_folders(full);
		unlink(full);
		demand(!symlink(sign + 3, full), full);
	} else if (*sign == ':') {
		write_hex(tree, line, sign + 1);
	} else if (*sign == '=') {
		char *text = sign + 1 + (sign[1] == ' ');
		size_t len = strlen(text);

		/* As sysfs ends its files; what is empty stays so. */
		text[len] = '\n';
		write_file(tree, line, text, len ? len + 1 : 0);
		text[len] = '\0';
	} else {
		snprintf(full, sizeof(full), "%s/%s", tree->path, line);
		demand(n && line[n - 1] == '/', line);
		make_folders(full);
	}
}

void tree_add(struct host_tree *tree, const char *fmt, ...)
{
	char text[16384], *line, *next;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text) - 1, fmt, args);
	va_end(args);
	demand(n >= 0 && n < (int)sizeof(text) - 1, "too much text");
	for (line = text; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (*line)
			add_line(tree, line);
	}
}

void tree_function(struct host_tree *tree, const char *where, const char *id, const char *class,
		   const char *driver, int group)
{
	const char *name = strrchr(where, '/');
	char uevent[256], path[256];
	int n;

	name = name ? name + 1 : where;
	n = snprintf(uevent, sizeof(uevent),
		     "%s%s%sPCI_CLASS=%s\nPCI_ID=%s\nPCI_SUBSYS_ID=1AF4:1100\n"
		     "PCI_SLOT_NAME=%s\n",
		     driver ? "DRIVER=" : "", driver ? driver : "", driver ? "\n" : "", class, id,
		     name);
	tree_add(tree,
		 "sys/devices/pci0000:00/%s/revision = 0x03\n"
		 "sys/devices/pci0000:00/%s/numa_node = -1\n"
		 "sys/devices/pci0000:00/%s/driver_override = (null)\n"
		 "sys/bus/pci/devices/%s -> ../../../devices/pci0000:00/%s\n",
		 where, where, where, name, where);
	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/uevent", name);
	write_file(tree, path, uevent, (size_t)n);
	if (driver)
		tree_add(tree, "sys/bus/pci/devices/%s/driver -> ../../../../bus/pci/drivers/%s",
			 name, driver);
	if (group >= 0)
		tree_add(tree,
			 "sys/bus/pci/devices/%s/iommu_group -> ../../../kernel/iommu_groups/%d\n"
			 "sys/kernel/iommu_groups/%d/devices/%s -> "
			 "../../../../devices/pci0000:00/%s",
			 name, group, group, name, where);
}

struct iol_pci_addr tree_addr(const char *text)
{
	struct iol_pci_addr addr;

	demand(!iol_pci_addr_parse(text, &addr), text);
	return addr;
}

int tree_setup(void **state)
{
	static struct host_tree tree;

	tree_make(&tree);
	*state = &tree;
	return 0;
}

int tree_teardown(void **state)
{
	tree_remove(*state);
	return 0;
}
