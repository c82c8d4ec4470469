/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's machine. The main thread makes it and then handles its events; a thread a processor runs the guest.
 *
 * Locks: the one of the machine is held around PCI functions, which any processor and the main thread call; the serial port has its
 * own. Processors stand still (machine_pause()) while the machine is reset.
 */
#ifndef IOLANE_VMM_MACHINE_H
#define IOLANE_VMM_MACHINE_H

#include "boot.h"
#include "cpu.h"
#include "options.h"
#include "pci_host.h"
#include "sandbox.h"
#include "serial.h"

#include <iolane/vmm.h>

/** enum machine_want - What becomes of the machine next; what comes first is done first. */
enum machine_want { MACHINE_RUN, MACHINE_RESET, MACHINE_OFF, MACHINE_FAIL };

struct machine {
	const struct options *opts;
	int kvm, vm;
	bool deadline;
	unsigned int address_bits;
	struct boot boot;
	struct iol_kvm *glue;
	struct iol_guest_memory *memory;
	struct iol_host *host;
	struct iol_context *ctx;
	struct cpu *cpus;
	struct serial serial;
	struct pci_host pci;
	struct sandbox cpu_sandbox, main_sandbox;
	pthread_mutex_t lock;

	/* Processors' threads: told by @changed. Of those, @still stand still. */
	pthread_mutex_t run_lock;
	pthread_cond_t changed;
	bool pause, quit;
	unsigned int still;

	/* Who wants something of the main thread signals @wake; @want and @why are under @run_lock. */
	int wake;
	enum machine_want want;
	char why[512];
};

/** machine_open() - Make it, all its devices included, with the kernel in its memory and no thread running. */
int machine_open(struct machine *m, const struct options *opts);
void machine_close(struct machine *m);

/** machine_start() - Start the processors' threads. */
int machine_start(struct machine *m);

/** machine_reset() - As at the start: power-on state everywhere, the kernel loaded again. */
int machine_reset(struct machine *m);

/** machine_want() - Have the main thread see to it. @why: the sentence of MACHINE_FAIL. Any thread. */
void machine_want(struct machine *m, enum machine_want want, const char *why);

/** machine_wake() - Only have the main thread look. */
void machine_wake(struct machine *m);

/** machine_pause() - Have all processors stand still, outside of the guest, and wait for that. */
void machine_pause(struct machine *m);
void machine_resume(struct machine *m);

/** machine_stop() - End the processors' threads. */
void machine_stop(struct machine *m);

/** machine_pausing() - Whether processors shall stand still. */
static inline bool machine_pausing(const struct machine *m)
{
	return __atomic_load_n(&m->pause, __ATOMIC_SEQ_CST);
}

/** machine_hold() - A processor's thread stands still for as long as it shall. Return: whether to go on. */
bool machine_hold(struct machine *m);

/* Accesses that nothing in the kernel answers; reads of what is not there give ones. */
void machine_ports(struct machine *m, uint16_t port, uint8_t *data, unsigned int len, bool write);
void machine_memory(struct machine *m, uint64_t gpa, uint8_t *data, unsigned int len, bool write);

#endif
