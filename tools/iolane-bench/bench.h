/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every verb of iolane-bench shares: a run's result, back ends that it starts itself,
 * rounds that interleave them, the machine's manifest and the report.
 */
#ifndef IOL_BENCH_H
#define IOL_BENCH_H

#include "base/hist.h"

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct json_object;

#define BENCH_ENTRANTS_MAX 8
#define BENCH_ROUNDS_MAX   999
#define BENCH_SOCKETS_MAX  2

/* Set by SIGINT and SIGTERM: end early, with the results so far. */
extern volatile int bench_interrupted;

/**
 * struct bench_result - What one run measured; a negative number means not measured.
 * @seconds: the time counted. @ops: requests (or packets) completed in it. @lat: in nanoseconds.
 * @sent, @received: packets in the whole run; 0 and 0 for requests, and where only one end is ours.
 * @ticks: of the time-stamp counter in the time counted, 0 where there is none.
 * @load_busy: the part of the time in which the load found something to do.
 * @backend_cpu: cores that the back end used (1 is a whole core).
 * @idle_cpu: the same while its device was started and idle.
 * @rss_kib: its resident memory besides shared memory, that is besides the guest's.
 * @start_ms: from exec to a socket that takes connections.
 */
struct bench_result {
	double seconds;
	uint64_t ops, bytes;
	uint64_t sent, received;
	uint64_t ticks;
	double backend_cpu, idle_cpu, rss_kib, start_ms, load_busy;
	struct iol_hist lat;
};

void bench_result_init(struct bench_result *r);
double bench_rate(const struct bench_result *r);
/** bench_cycles() - Ticks that the back end's CPU time was, for each request or packet; -1 when not known. */
double bench_cycles(const struct bench_result *r);
/** bench_loss() - The part of what was sent that did not arrive. A switch that floods may make more arrive. */
double bench_loss(const struct bench_result *r);

/* ---- cpus.c ---- */

/** bench_format_cpus() - The reverse of opt_cpus(), into @buf. */
const char *bench_format_cpus(const cpu_set_t *set, char *buf, size_t len);
/** bench_cpu_nth() - The @n-th CPU of a set, counted round and round. */
int bench_cpu_nth(const cpu_set_t *set, unsigned int n);
/** bench_default_cpus() - First allowed CPU for the back end, last one for the load. */
void bench_default_cpus(cpu_set_t *load, cpu_set_t *backend);

/* ---- proc.c ---- */

/** bench_proc_cpu_ns() - CPU time that all threads of @pid have used; -1 when it is gone. */
int64_t bench_proc_cpu_ns(pid_t pid);
/** bench_proc_rss_kib() - Resident anonymous and file memory of @pid, or -1. */
double bench_proc_rss_kib(pid_t pid);
/** bench_proc_peer() - The process at the other end of a Unix socket, or -1. */
pid_t bench_proc_peer(int fd);
/** bench_proc_threads() - How many @pid has, or -1. */
int bench_proc_threads(pid_t pid);

/** struct bench_usage - CPU time of a process at a time. */
struct bench_usage {
	int64_t cpu;
	uint64_t at;
};

void bench_usage_look(struct bench_usage *u, pid_t pid);
/** bench_usage_cores() - How many cores it used from @a to @b, or -1. */
double bench_usage_cores(const struct bench_usage *a, const struct bench_usage *b);

/* ---- spawn.c: programs that the bench starts ---- */

/**
 * struct bench_spawn - How a program starts; it is the first of a process group, and ends with the bench.
 * @cpus: NULL, or where it may run.
 * @in: its standard input, -1 for none. @out: its standard output and error.
 * @before: NULL, or called last before exec, where only async-signal-safe calls may be made; false ends it.
 */
struct bench_spawn {
	const cpu_set_t *cpus;
	int in, out;
	bool (*before)(void *ctx);
	void *ctx;
};

/**
 * bench_spawn() - Start @cmd, which is split as a shell does it.
 * A program that can't be run says so on its standard output, and ends.
 */
int bench_spawn(const char *cmd, const struct bench_spawn *how, pid_t *pid);
/** bench_last_line() - For a sentence: the last line of @n bytes that a program said. */
void bench_last_line(const char *text, size_t n, char *buf, size_t len);

/* ---- backend.c: a back end that the bench starts ---- */

/**
 * struct bench_backend - A back end that runs.
 * @fd: connected to the first of @n sockets; whoever takes it puts -1 here.
 */
struct bench_backend {
	pid_t pid;
	int fd;
	int log;
	double start_ms;
	char dir[64];
	unsigned int n;
	char socket[BENCH_SOCKETS_MAX][96];
};

/**
 * bench_backend_start() - Run @cmd and wait until it listens on all its sockets.
 * @sockets: their names, the last one NULL: {NAME} in @cmd is replaced by the path of each.
 * @cpus: NULL, or where it may run.
 * Return: 0, or a negative errno with the sentence set (it holds the last line the program said).
 */
int bench_backend_start(const char *cmd, const char *const *sockets, const cpu_set_t *cpus,
			struct bench_backend *b);
/** bench_backend_stop() - SIGTERM, SIGKILL if that does not do, and tidy up. */
void bench_backend_stop(struct bench_backend *b);
/**
 * bench_find_ours() - Where @program of ours is: beside this one where they are installed, in a folder
 * beside this one's in a build tree. Else its name, to be found as any program is.
 */
void bench_find_ours(const char *program, char *buf, size_t len);
/** bench_quote() - @text as one word of a command line; @what it is, for the sentence. */
int bench_quote(const char *what, const char *text, char *buf, size_t len);
/** bench_backend_name() - The program's name in @cmd, without its folder. */
void bench_backend_name(const char *cmd, char *buf, size_t len);

/* ---- stats.c ---- */

/** bench_median() - Sorts @v. 0 when @n is 0. */
double bench_median(double *v, unsigned int n);

struct bench_ratio {
	unsigned int a, b; /* entrants */
	unsigned int n;
	double *rounds;
	double median, min, max;
};

/* ---- compare.c ---- */

/**
 * struct bench_entrant - One that takes part in a comparison.
 * @cmd: its command line with {NAME} for each socket; NULL for one that runs inside the bench.
 * @run: one run. @backend is NULL for one without a command, or where run() starts it.
 */
struct bench_entrant {
	char name[64];
	char *cmd;
	int (*run)(void *ctx, struct bench_backend *backend, struct bench_result *result);
	void *ctx;
};

struct bench_comparison {
	struct bench_entrant entrant[BENCH_ENTRANTS_MAX];
	unsigned int n;
	unsigned int rounds; /* wanted; those that were completed after bench_compare() */
	bool by_time;        /* ratios are of the time that one takes, in place of rates */
	const cpu_set_t *backend_cpus;
	const char *const *sockets; /* as for bench_backend_start(); NULL: run() starts commands */
	struct bench_result *results;                 /* [round * n + entrant] */
	struct bench_ratio ratio[BENCH_ENTRANTS_MAX]; /* entrant 0 to each other one */
	/* Told after each run, and may be NULL. */
	void (*done)(const struct bench_comparison *c, unsigned int round, unsigned int entrant);
};

/** bench_name_entrants() - Make an entrant of each command, named by its program. Return: 0 or -ENOMEM. */
int bench_name_entrants(const char *const *cmds, unsigned int n, struct bench_comparison *c);

/**
 * bench_compare() - Run rounds, each entrant once a round, one at a time, and work out the ratios.
 * Return: 0, also when interrupted after one whole round at least; a negative errno with the
 * sentence set.
 */
int bench_compare(struct bench_comparison *c);
void bench_comparison_free(struct bench_comparison *c);

/* ---- manifest.c ---- */

/** bench_manifest() - The machine, the date and our version; @argv as the program got it. */
struct json_object *bench_manifest(char *const *argv);
/** bench_manifest_image() - A file or block device, its file system and size; NULL when gone. */
struct json_object *bench_manifest_image(const char *path);

/* ---- report.c ---- */

/**
 * struct bench_words - How a verb calls its rate: "iops" (JSON) and "IOPS" (people).
 * @packets: bandwidth is in bits, and packets may be lost.
 */
struct bench_words {
	const char *rate_key, *rate_name;
	bool packets;
};

/** bench_number_json() - Digits enough to work with and few enough to read: json-c would print 17. */
struct json_object *bench_number_json(double v);
/** bench_latency_json() - Quantiles in microseconds. */
struct json_object *bench_latency_json(const struct iol_hist *h);
struct json_object *bench_ratio_json(const struct bench_comparison *c,
				     const struct bench_ratio *ratio);
/** bench_add_ratios() - "ratio" and "ratios", where there are any. */
void bench_add_ratios(struct json_object *o, const struct bench_comparison *c);

/** bench_single_json() - The report of a run without rounds; takes over @manifest, as the next does. */
struct json_object *bench_single_json(const struct bench_words *w, const char *name,
				      const struct bench_result *r, struct json_object *manifest);
struct json_object *bench_comparison_json(const struct bench_words *w,
					  const struct bench_comparison *c,
					  struct json_object *manifest);
void bench_print_run(const struct bench_words *w, const struct bench_result *r);
void bench_print_histogram(const struct iol_hist *lat);
void bench_print_comparison(const struct bench_words *w, const struct bench_comparison *c);
/** bench_print_entrants() - A line for each: letter, name, command. */
void bench_print_entrants(const struct bench_comparison *c);
/** bench_print_ratios() - The median and spread of each. */
void bench_print_ratios(const struct bench_comparison *c);
/** bench_print_json() - Print and drop. */
void bench_print_json(struct json_object *o);

/* ---- the verbs ---- */

int bench_blk(int argc, char **argv);
int bench_net(int argc, char **argv);
int bench_vfio(int argc, char **argv);
int bench_vmm(int argc, char **argv);

#endif
