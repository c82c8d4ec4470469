/* SPDX-License-Identifier: BSD-3-Clause */
/* The blk verb: its options, a connected disk, and one run of load on it. */
#ifndef IOL_BENCH_BLK_H
#define IOL_BENCH_BLK_H

#include "bench.h"
#include "blk_load.h"

#define BLK_COMPARE_MAX 6
#define BLK_SOCKETS_MAX 16
#define BLK_QUEUES_MAX  64
#define BLK_DEPTH_MAX   4096

enum blk_rw {
	BLK_RANDREAD,
	BLK_RANDWRITE,
	BLK_RANDRW,
	BLK_READ,
	BLK_WRITE,
};

/** struct blk_options - The command line, checked. Strings point into argv. */
struct blk_options {
	const char *sockets[BLK_SOCKETS_MAX];
	unsigned int n_sockets;
	const char *compare[BLK_COMPARE_MAX];
	unsigned int n_compare;
	const char *against, *file;
	enum blk_rw rw;
	unsigned int read_percent;
	uint64_t bs, size;
	unsigned int depth, queues, threads, rounds;
	double runtime, ramp, idle;
	bool packed, no_event_idx, no_indirect, calls;
	bool verify, json, histogram, raw, direct, help;
	pid_t backend_pid;
	bool have_cpus, have_backend_cpus;
	cpu_set_t cpus, backend_cpus;
};

/**
 * blk_options_parse() - Read and check a command line; argv[0] is the verb.
 * Return: 0, or -EINVAL or -ERANGE with the sentence set.
 */
int blk_options_parse(int argc, char **argv, struct blk_options *o);
bool blk_writes(const struct blk_options *o);
bool blk_reads(const struct blk_options *o);
/** blk_rw_name() - The mode's name, as --rw takes it. */
const char *blk_rw_name(enum blk_rw rw);
/** blk_options_json() - Every setting of the load, for the manifest. */
struct json_object *blk_options_json(const struct blk_options *o);

/* ---- blk_disk.c ---- */

struct blk_disk;

/**
 * blk_disk_open() - Connect, negotiate, share memory and start the queues.
 * @fd: a connected socket, taken over; -1 to connect to @path.
 */
int blk_disk_open(const struct blk_options *o, const char *path, int fd, struct blk_disk **disk);
void blk_disk_close(struct blk_disk **disk);
pid_t blk_disk_peer(const struct blk_disk *disk);

/** blk_disk_idle() - Leave it alone for @seconds and see what the back end @pid uses meanwhile. */
int blk_disk_idle(struct blk_disk *disk, double seconds, pid_t pid, struct bench_result *r);

/** blk_disk_load() - Run the load, with verification around it when asked for. */
int blk_disk_load(struct blk_disk *disk, pid_t pid, struct bench_result *r);

/* ---- blk_raw.c ---- */

/** blk_raw_run() - The same load on the file itself, through io_uring in this process. */
int blk_raw_run(const struct blk_options *o, struct bench_result *r);

/* ---- blk_warm.c ---- */

/** blk_warm_up() - Read the image into the page cache. Return: what the manifest says of it. */
const char *blk_warm_up(const struct blk_options *o);

/* ---- blk_against.c ---- */

/**
 * blk_against() - Make the two entrants of --against: ours, and the other with its best AIO mode,
 * which is found by short runs through @run.
 * @probes: what was tried, for the manifest; NULL when there was nothing to choose.
 */
int blk_against(const struct blk_options *o, struct bench_comparison *c,
		int (*run)(void *ctx, struct bench_backend *backend, struct bench_result *r),
		struct json_object **probes);

#endif
