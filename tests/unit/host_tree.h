/* SPDX-License-Identifier: BSD-3-Clause */
/* A machine's sys and proc in a temporary folder, made of lines of text. */
#ifndef IOL_TESTS_HOST_TREE_H
#define IOL_TESTS_HOST_TREE_H

#include <iolane/vfio.h>

struct host_tree {
	char path[64];
	struct iol_host *host;
};

/** tree_make() - An empty machine; tree_remove() takes it away. */
void tree_make(struct host_tree *tree);
void tree_remove(struct host_tree *tree);

/** tree_setup(), tree_teardown() - The same around a test, whose state is the machine. */
int tree_setup(void **state);
int tree_teardown(void **state);

/**
 * tree_add() - Files of it, a line each; folders on their way come by themselves:
 *   "path = text", "path -> target of a link", "path : bytes in hexadecimal", "path/" (a folder).
 */
void tree_add(struct host_tree *tree, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** tree_bytes() - A binary file. */
void tree_bytes(struct host_tree *tree, const char *path, const void *bytes, size_t len);

/**
 * tree_function() - A PCI function as the kernel shows one, beneath bus 0000:00.
 * @where: the functions on the way and itself: "0000:00:1c.0/0000:01:00.0".
 * @id: "8086:10C9". @class: "20000".
 * @driver: NULL for none. @group: its IOMMU group; -1 for none.
 */
void tree_function(struct host_tree *tree, const char *where, const char *id, const char *class,
		   const char *driver, int group);

/** tree_addr() - An address that is known to be one. */
struct iol_pci_addr tree_addr(const char *text);

#endif
