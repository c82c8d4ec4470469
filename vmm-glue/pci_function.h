/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every PCI function that a guest sees has, whatever is behind it: a configuration space of which the guest may
 * write some bits, BARs that move, MSI-X. What is behind it fills struct pci_function_ops.
 *
 * It embeds struct iol_pci_function as its first member, so one is the other's address.
 */
#ifndef IOL_VMM_GLUE_PCI_FUNCTION_H
#define IOL_VMM_GLUE_PCI_FUNCTION_H

#include <iolane/vmm.h>

#define PCI_FUNCTION_BARS 7u /* 6 is the expansion ROM */

/**
 * struct pci_function_ops - What is behind a function. Any but @destroy may be NULL.
 * @destroy: give back all, and free @fn. BARs and interrupts are gone from the machine already; MSI-X is freed afterwards.
 * @config_read: the guest reads [@off, @off + @len), within a dword, of which @fn->config says *@value: change it if it is otherwise.
 * @config_written: the guest wrote; @fn->config holds what it may have written. BARs and MSI-X have been seen to.
 * @bar_access: the guest accesses memory (or ports) of BAR @bar, outside of MSI-X's table and pending bits. Reads fill @data.
 * @bar_moved: decoding of BAR @bar began at @gpa, or ended there.
 * @reset, @poll: as iol_pci_function_reset(), iol_pci_function_poll(). @fd of the function is what is behind's, or -1. At @reset
 *         the configuration space is as pci_function_clear() leaves it.
 */
struct pci_function_ops {
	void (*destroy)(struct iol_pci_function *fn);
	void (*config_read)(struct iol_pci_function *fn, unsigned int off, unsigned int len,
			    uint32_t *value);
	void (*config_written)(struct iol_pci_function *fn, unsigned int off, unsigned int len);
	void (*bar_access)(struct iol_pci_function *fn, unsigned int bar, uint64_t off, void *data,
			   unsigned int len, bool write);
	void (*bar_moved)(struct iol_pci_function *fn, unsigned int bar, uint64_t gpa,
			  bool decodes);
	int (*reset)(struct iol_pci_function *fn);
	int (*poll)(struct iol_pci_function *fn);
};

struct pci_function_bar {
	struct iol_pci_bar bar;
	bool decodes;
	uint64_t gpa; /* while it decodes */
};

struct msix;

struct iol_pci_function {
	const struct pci_function_ops *ops;
	const struct iol_vm_ops *vm_ops;
	void *vm;
	unsigned int slot;
	int fd;
	/* What the guest reads, and which bits of it the guest writes; those of @clear are cleared by writing 1. */
	uint8_t config[IOL_PCI_CONFIG], writable[IOL_PCI_CONFIG], clear[IOL_PCI_CONFIG];
	struct pci_function_bar bars[PCI_FUNCTION_BARS];
	bool asleep;
	struct msix *msix; /* NULL: it has none */
	unsigned int msix_cap;
	uint32_t msix_table, msix_pba;
	unsigned int cap_end,
		cap_link; /* where the next capability may go, and what points to it */
};

/** pci_function_init() - An empty function of type 0 (vendor and all else zero), which the guest may write as PCI 3.0, 6.2 says. */
void pci_function_init(struct iol_pci_function *fn, const struct pci_function_ops *ops,
		       const struct iol_vm_ops *vm_ops, void *vm, unsigned int slot);

/** pci_function_set_bar() - Give it a BAR; @size is a power of two. A 64-bit one takes @index + 1, too. -EINVAL */
int pci_function_set_bar(struct iol_pci_function *fn, unsigned int index,
			 const struct iol_pci_bar *bar);

/** pci_function_add_cap() - A capability of @len bytes, its header included. Return: its offset; -ENOSPC. */
int pci_function_add_cap(struct iol_pci_function *fn, uint8_t id, unsigned int len);

/**
 * pci_function_set_msix() - Give it MSI-X, which is the function's from now on, also on failure.
 * @cap: where its capability is; 0: it is added.
 * @table, @pba: as the capability has them: the offset in a BAR, whose number is in the lowest three bits.
 * Return: 0; -ENOSPC; -EINVAL: they lie not in its BARs.
 */
int pci_function_set_msix(struct iol_pci_function *fn, unsigned int cap, uint32_t table,
			  uint32_t pba, struct msix *msix);

/** pci_function_put(), pci_function_get() - Of @config: @len is 1, 2 or 4, little-endian. */
void pci_function_put(struct iol_pci_function *fn, unsigned int off, unsigned int len,
		      uint32_t value);
uint32_t pci_function_get(const struct iol_pci_function *fn, unsigned int off, unsigned int len);

/** pci_function_sleep() - Have no BAR decode, whatever the guest wrote (D1 to D3), or wake up again. */
void pci_function_sleep(struct iol_pci_function *fn, bool asleep);

/** pci_function_quiet() - Take all BARs and MSI-X's routes from the machine, before it is destroyed or reset. */
void pci_function_quiet(struct iol_pci_function *fn);

/** pci_function_clear() - Be quiet, put all that the guest may write to zero, and be awake. */
void pci_function_clear(struct iol_pci_function *fn);

#endif
