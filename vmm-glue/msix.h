/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MSI-X as the guest sees it (PCI 3.0, 6.8.2): a table of messages, each maskable, and a bit for each that is pending. Behind
 * each vector is an eventfd: who signals it interrupts the guest, by the kernel alone while the vector is not masked.
 * MSI is a table of few, which its owner fills in.
 */
#ifndef IOL_VMM_GLUE_MSIX_H
#define IOL_VMM_GLUE_MSIX_H

#include <iolane/vmm.h>

#define MSIX_VECTORS_MAX 2048u
#define MSIX_ENTRY_SIZE  16u

/**
 * struct msix_ops - Told when the guest first unmasks a vector, and when it may not interrupt any more for good (MSI-X off, reset);
 * so what is behind can make what it needs for a vector when the guest does. Either may be NULL.
 * @use: return 0 or an error, and then the vector stays silent until the guest unmasks it once more.
 */
struct msix_ops {
	int (*use)(void *ctx, unsigned int vector, int fd);
	void (*unuse)(void *ctx, unsigned int vector);
};

struct msix;

/** msix_new() - A table of @vectors (1 to 2048), all masked, MSI-X off. Eventfds are made as vectors come into use. */
int msix_new(unsigned int vectors, const struct iol_vm_ops *vm_ops, void *vm,
	     const struct msix_ops *ops, void *ctx, struct msix **msix);
void msix_destroy(struct msix **msix);

/** msix_vectors() - As it was made. */
unsigned int msix_vectors(const struct msix *msix);

/** msix_control() - The guest wrote its capability's message control: @enable, and @mask for all. */
void msix_control(struct msix *msix, bool enable, bool mask);

/** msix_reset() - As after power-on: what was pending is forgotten. */
void msix_reset(struct msix *msix);

/** msix_table(), msix_pba() - The guest accesses them: naturally aligned dwords and qwords; what else comes reads as 0 and is not written. */
void msix_table(struct msix *msix, uint64_t off, void *data, unsigned int len, bool write);
void msix_pba(struct msix *msix, uint64_t off, void *data, unsigned int len, bool write);

/** msix_program() - What a write to the table does, all at once; for MSI. Out of range is nothing. */
void msix_program(struct msix *msix, unsigned int vector, const struct iol_msi_message *msg,
		  bool masked);

/** msix_enabled() - Whether interrupts go by MSI-X. */
bool msix_enabled(const struct msix *msix);

/** msix_fd() - The eventfd that interrupts by @vector; -1: out of range, or none could be made. It stays the table's, for all its life. */
int msix_fd(struct msix *msix, unsigned int vector);

/** msix_signal() - Interrupt by @vector; out of range is nothing. */
void msix_signal(struct msix *msix, unsigned int vector);

#endif
