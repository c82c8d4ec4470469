/* SPDX-License-Identifier: BSD-3-Clause */
/* What functions are in use for, collected for all functions at once. */
#ifndef IOL_VFIO_USES_H
#define IOL_VFIO_USES_H

#include <iolane/vfio.h>

/** struct use_list - Uses of any functions; @no_memory: some could not be noted. */
struct use_list {
	struct iol_use *list;
	size_t count, room;
	bool no_memory;
};

/** iol_use_add() - Note one; text of files is freed of control characters. */
void iol_use_add(struct use_list *uses, const struct iol_pci_addr *addr, enum iol_use_kind kind,
		 bool harmful, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** iol_uses_net() - Routes, sessions, addresses, and interfaces beneath others or in namespaces of others. */
void iol_uses_net(const struct iol_host *host, const struct iol_pci_info *list, int count,
		  struct use_list *uses);

/**
 * iol_uses_disks() - Mounts, swap, and what is stacked on disks.
 * @claim: of this function's disks and its VFs' also try whether something else has them for itself; NULL for none.
 */
void iol_uses_disks(const struct iol_host *host, const struct iol_pci_addr *claim,
		    struct use_list *uses);

/**
 * iol_uses_processes() - Who has functions of @list open that a VFIO driver has.
 * @only: of this function and its VFs; it is also tried whether they are free. NULL: of all.
 */
void iol_uses_processes(const struct iol_host *host, const struct iol_pci_info *list, int count,
			const struct iol_pci_addr *only, struct use_list *uses);

/** iol_pci_uses_with_vfs() - iol_pci_uses() of a function and its VFs, all looked at in one go. */
int iol_pci_uses_with_vfs(const struct iol_host *host, const struct iol_pci_addr *addr,
			  struct iol_use **uses);

/**
 * iol_vfio_claim() - Open a function's group, which only one can have: nobody has the function, and nobody gets it
 * before the descriptor is closed.
 *
 * Return: the descriptor; -EBUSY: somebody has it; another negative errno: there is no such node. No sentence.
 */
int iol_vfio_claim(const struct iol_host *host, const struct iol_pci_info *pci);

#endif
