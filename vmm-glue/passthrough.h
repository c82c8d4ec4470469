/* SPDX-License-Identifier: BSD-3-Clause */
/* A function of the host's, as a guest sees it: what its parts share. */
#ifndef IOL_VMM_GLUE_PASSTHROUGH_H
#define IOL_VMM_GLUE_PASSTHROUGH_H

#include "vmm-glue/pci_function.h"

#define PASSTHROUGH_BARS 6u
#define PASSTHROUGH_MSI  32u

/* A part of a BAR that the guest reaches without us, and where it is. */
struct passthrough_map {
	uint64_t off, size;
	void *host; /* NULL: not mapped here as yet */
	bool there; /* the guest has it */
};

struct passthrough_bar {
	struct passthrough_map *maps;
	unsigned int num_maps;
	bool writable;
};

/*
 * @given: bits that come from fn.config; all others are the device's.
 * @pm, @pcie, @af, @msi, @msix: where the capabilities are; 0: there is none.
 */
struct passthrough {
	struct iol_pci_function fn;
	struct iol_vfio_device *dev;
	bool told;       /* the hypervisor, of the device */
	bool complained; /* of interrupts */

	uint8_t given[IOL_PCI_CONFIG];
	uint64_t config_size;
	unsigned int pm, pcie, af, msi, msix;
	bool can_flr, can_af, soft_reset;
	unsigned int power; /* the state that the device is in: D0 to D3 */

	struct passthrough_bar bars[PASSTHROUGH_BARS];
	uint8_t *rom; /* NULL: not read as yet */
	bool no_map;

	struct msix *msi_vectors;
	unsigned int msi_on; /* MSI's that the device has: 0: it is off */
	bool msix_on, intx_on;
	unsigned int pin; /* 0 to 3; 4: it has none */
	int intx_fd, resample_fd, error_fd, request_fd;
};

static inline struct passthrough *passthrough_of(struct iol_pci_function *fn)
{
	return (struct passthrough *)fn;
}

/* ---- passthrough_config.c ---- */

/** passthrough_config() - Read the device's space, and choose what of it the guest sees. -EINVAL: it is no endpoint. */
int passthrough_config(struct passthrough *p);

void passthrough_config_read(struct iol_pci_function *fn, unsigned int off, unsigned int len,
			     uint32_t *value);

/** passthrough_config_done() - All is given that will be: what is not, the guest writes as well. */
void passthrough_config_done(struct passthrough *p);

/** passthrough_forward() - What the guest wrote of the device's bits, to the device. */
void passthrough_forward(struct passthrough *p, unsigned int off, unsigned int len);

/** passthrough_command() - Give the device the guest's command register. */
void passthrough_command(struct passthrough *p);

/* ---- passthrough_caps.c ---- */

/** passthrough_caps(), passthrough_ext_caps() - Of the lists in fn.config leave what a guest may see. */
void passthrough_caps(struct passthrough *p);
void passthrough_ext_caps(struct passthrough *p);

/* ---- passthrough_bars.c ---- */

/** passthrough_bars() - Give the guest BARs like the device's. */
int passthrough_bars(struct passthrough *p, bool no_rom);
void passthrough_bars_free(struct passthrough *p);
void passthrough_bar_access(struct iol_pci_function *fn, unsigned int bar, uint64_t off, void *data,
			    unsigned int len, bool write);
void passthrough_bar_moved(struct iol_pci_function *fn, unsigned int bar, uint64_t gpa,
			   bool decodes);

/* ---- passthrough_irqs.c ---- */

/** passthrough_irqs() - Find out what interrupts there are, and listen to errors and requests. */
int passthrough_irqs(struct passthrough *p);

/** passthrough_irqs_update() - Have what the guest's configuration space asks for. */
void passthrough_irqs_update(struct passthrough *p);

/** passthrough_msi_pending() - Put MSI's pending bits into what the guest reads, if it reads them. */
void passthrough_msi_pending(struct passthrough *p, unsigned int off, unsigned int len,
			     uint32_t *value);

/** passthrough_irqs_off() - Of the device; nothing of it interrupts. */
void passthrough_irqs_off(struct passthrough *p);
void passthrough_irqs_free(struct passthrough *p);

extern const struct msix_ops passthrough_msix_ops;

#endif
