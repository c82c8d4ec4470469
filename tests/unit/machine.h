/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine for PCI functions that has no processor: it keeps what functions ask of it, and aborts when that breaks
 * what every machine relies on. Of the fuzzer, too, so without cmocka.
 */
#ifndef IOL_TESTS_MACHINE_H
#define IOL_TESTS_MACHINE_H

#include <iolane/vmm.h>

#define MACHINE_MAPS   64
#define MACHINE_BELLS  64
#define MACHINE_ROUTES 4096
#define MACHINE_TOLD   8
#define MACHINE_PAGE   4096u

struct machine_route {
	int fd; /* -1: free */
	struct iol_msi_message msg;
	unsigned int came; /* interrupts delivered with it */
};

struct machine_map {
	uint64_t gpa, size; /* 0: free */
	void *host;
	bool readonly;
};

struct machine {
	/* How it behaves: so many calls work, then those of a kind fail. */
	bool no_routes, no_maps, no_bells;
	/* What it has. */
	struct machine_route routes[MACHINE_ROUTES];
	unsigned int num_routes;
	struct machine_map maps[MACHINE_MAPS];
	unsigned int num_maps;
	struct iol_doorbell bells[MACHINE_BELLS];
	unsigned int num_bells;
	/* INTx of the one function that has it. */
	int intx_fd, resample; /* -1: nobody */
	unsigned int pin;
	bool line;
	unsigned int raised;    /* how often it went up */
	int told[MACHINE_TOLD]; /* descriptors for the hypervisor */
	unsigned int num_told;
	/* The last message delivered, and how many there were. */
	struct iol_msi_message last;
	unsigned int came;
};

extern const struct iol_vm_ops machine_ops;

void machine_begin(struct machine *m);

/** machine_run() - Deliver what waits in eventfds. Return: how many interrupts that were. */
unsigned int machine_run(struct machine *m);

/** machine_end_of_interrupt() - The guest's, of INTx. */
void machine_end_of_interrupt(struct machine *m);

/** machine_at() - What the guest's access to @gpa goes to without an exit; NULL for an exit. */
void *machine_at(struct machine *m, uint64_t gpa);

/** machine_end() - See that nobody left anything. */
void machine_end(struct machine *m);

#endif
