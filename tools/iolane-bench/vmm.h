/* SPDX-License-Identifier: BSD-3-Clause */
/* iolane-bench vmm: how VMMs start, what they take besides the guest's memory, and how often guests exit. */
#ifndef IOL_BENCH_VMM_H
#define IOL_BENCH_VMM_H

#include "bench.h"

#define VMM_DEVICES_MAX 8

/* ---- vmm_options.c ---- */

/** enum vmm_kind - VMMs whose command lines are known. */
enum vmm_kind {
	VMM_IOLANE,
	VMM_QEMU,
	VMM_MICROVM,
	VMM_KINDS,
};

/** struct vmm_devices - The values of an option that may be given several times. */
struct vmm_devices {
	const char *name[VMM_DEVICES_MAX];
	unsigned int n;
};

/**
 * struct vmm_options - The command line.
 * @against: which kinds take part beside ours. @memory: MiB.
 * @until: the guest's word that it is up, NULL for none. @exits: seconds after it, 0 for none.
 * @timeout: seconds that may pass before a guest runs, and before it says that it is up.
 */
struct vmm_options {
	const char *compare[BENCH_ENTRANTS_MAX];
	unsigned int n_compare;
	bool against[VMM_KINDS];
	const char *kernel, *initrd, *cmdline;
	uint64_t memory;
	unsigned int cpus;
	struct vmm_devices vfio, blk, net;
	const char *until;
	double exits, timeout;
	unsigned int rounds;
	bool show_commands, json, help;
};

/** vmm_options_parse() - 0, or a negative errno with the sentence set. The text stays @argv's. */
int vmm_options_parse(int argc, char **argv, struct vmm_options *o);
struct json_object *vmm_options_json(const struct vmm_options *o);

/* ---- vmm_commands.c ---- */

/** vmm_entrants() - Names and command lines of all that take part. 0 or a negative errno, sentence set. */
int vmm_entrants(const struct vmm_options *o, struct bench_comparison *c);

/* ---- vmm_kvm.c: what KVM counts ---- */

/** enum vmm_stat - Exits by their causes, as KVM names them: all, then those for which a VMM may have to act. */
enum vmm_stat {
	VMM_STAT_EXITS,
	VMM_STAT_IO,
	VMM_STAT_MMIO,
	VMM_STAT_SIGNAL,
	VMM_STAT_WINDOW,
	VMM_STAT_HALT,
	VMM_STAT_IRQ,
	VMM_STATS,
};

extern const char *const vmm_stat_names[VMM_STATS];

/** struct vmm_counts - Of all VMs of a process, since they are there. */
struct vmm_counts {
	uint64_t of[VMM_STATS];
	uint64_t at; /* when they were read */
};

/**
 * vmm_counts_read() - Ask KVM, which tells in debugfs.
 * @root: of debugfs, normally VMM_DEBUGFS.
 * Return: 0, or a negative errno with the sentence set.
 */
int vmm_counts_read(const char *root, pid_t pid, struct vmm_counts *counts);

#define VMM_DEBUGFS "/sys/kernel/debug"

/* ---- vmm_run.c ---- */

/**
 * struct vmm_figures - Of one run; a negative number means not measured.
 * @first_ms: from exec to the first KVM_RUN. @up_ms: from exec to the guest's word.
 * @rss_kib: resident memory besides shared memory, then. @threads: then, too.
 * @exits: a second. @to_user: those that may have gone to the VMM.
 */
struct vmm_figures {
	double first_ms, up_ms, rss_kib, threads;
	double exits[VMM_STATS], to_user;
};

/** struct vmm_runs - An entrant, and what its runs gave: @figures of @n rounds. */
struct vmm_runs {
	const struct vmm_options *options;
	const char *cmd;
	struct vmm_figures *figures;
	unsigned int n;
};

/** vmm_measure() - Start @cmd once for each kind of figure. 0 or a negative errno, sentence set. */
int vmm_measure(const struct vmm_options *o, const char *cmd, struct vmm_figures *f);
/** vmm_run() - A round of an entrant, whose context is its struct vmm_runs. */
int vmm_run(void *ctx, struct bench_backend *backend, struct bench_result *result);

/* ---- vmm_report.c ---- */

void vmm_print(const struct vmm_options *o, const struct bench_comparison *c);
/** vmm_json() - Takes over @manifest. */
struct json_object *vmm_json(const struct bench_comparison *c, struct json_object *manifest);

#endif
