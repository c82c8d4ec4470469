/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tables that tell the guest's kernel what machine this is (ACPI 6.5). It is one of reduced hardware (4.1): no
 * PM timer, PIT, RTC or PIC, which would be there only to be initialised; time comes by KVM's clock.
 */
#ifndef IOLANE_VMM_ACPI_H
#define IOLANE_VMM_ACPI_H

#include <stddef.h>
#include <stdint.h>

/**
 * struct acpi_spec - What differs from one machine to another.
 * @slots: of the PCI bus that may have a function, from 0 on.
 * @window, @window_size: for BARs above 4 GiB; size 0: none.
 * @pin: the GSI of a slot's INTA# to INTD#.
 */
struct acpi_spec {
	unsigned int cpus, slots;
	uint64_t window, window_size;
	uint32_t (*pin)(unsigned int slot, unsigned int pin);
};

/**
 * acpi_write() - Write them.
 * @buf: @room bytes, which the guest sees at @addr.
 * Return: 0 and *@rsdp, the guest's address to begin at; -ENOSPC.
 */
int acpi_write(const struct acpi_spec *spec, uint8_t *buf, size_t room, uint64_t addr,
	       uint64_t *rsdp);

#endif
