/* SPDX-License-Identifier: BSD-3-Clause */
/* Configuration spaces of real devices, and of emulated ones, as VFIO shows them: what lspci -xxxx prints, without lines of zeroes. */
#ifndef IOL_TESTS_PCI_SAMPLES_H
#define IOL_TESTS_PCI_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCI_SAMPLES 11

/**
 * struct pci_sample - A device.
 * @source: where its bytes are from.
 * @size: bytes of its configuration space.
 * @sizes: of its BARs and ROM, ports if in @ports. @irqs: INTx, MSI and MSI-X that there are.
 * @caps, @ext_caps: what a guest sees, as "ID@OFFSET".
 * @mapped: bytes that it reaches without exits.
 */
struct pci_sample {
	const char *name, *source, *dump;
	size_t size;
	uint64_t sizes[7];
	unsigned int ports, irqs[3];
	const char *caps, *ext_caps;
	uint64_t mapped;
};

extern const struct pci_sample pci_samples[PCI_SAMPLES];

/** pci_sample() - One by its name. */
const struct pci_sample *pci_sample(const char *name);

/** pci_sample_plug() - Have the kernel of the tests show it. @config: gets its bytes, and stays the device's; those that the dump lacks are 0. */
void pci_sample_plug(const struct pci_sample *sample, uint8_t config[4096]);

#endif
