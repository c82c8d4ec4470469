/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's half of the disk tests: writes stamped data to a disk and proves what a later read
 * must find.
 *
 * Every unit (a logical block) carries its own number, a seed and a generation, and is filled from
 * them, so a unit that was lost, torn, mixed up or written twice out of order cannot look right.
 *
 *   fill    writes every unit once with one generation, in random order, then flushes
 *   verify  reads every unit and demands that generation
 *   zero    makes a range zero (--discard: discards it; --punch: lets the device unmap it)
 *   blank   demands that a range reads as zeroes
 *   stress  writes, reads, zeroes and flushes at random until SIGTERM, keeping a journal in memory:
 *           after a write has completed no read may find an older generation. It then reads
 *           everything back.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAMP_MAGIC 0x656e616c6f69ULL /* "iolane" */
#define MAX_THREADS 64
#define MAX_REQUEST (256U << 10)
/* Room for a buffer that starts off its page: guests send such segments, hosts must take them. */
#define BUFFER_ROOM  (MAX_REQUEST + 4096U)
#define OWNED_BYTES  (128U << 10) /* stress: runs of this size belong to one thread */
#define STATUS_BYTES 256

struct stamp {
	uint64_t magic;
	uint64_t seed;
	uint64_t unit;
	uint64_t generation;
};

struct disk {
	const char *path;
	int fd;
	uint64_t offset; /* bytes: where the range under test starts */
	uint64_t units;
	uint32_t unit_size;
	uint32_t request; /* bytes a fill or verify request has */
	uint32_t threads;
	uint64_t seed;
	uint64_t generation;
	bool buffered;
	bool zeroes; /* stress may write zeroes */
	const char *status;
	/*
	 * stress: what was started and what has completed on each unit. One thread owns a unit, so
	 * one operation at most is between the two. Even generations are data, odd ones zeroes.
	 */
	_Atomic uint32_t *started;
	_Atomic uint32_t *completed;
};

struct worker {
	struct disk *disk;
	pthread_t thread;
	uint32_t index;
	uint64_t random;
	uint8_t *memory;
	_Atomic uint64_t writes;
	_Atomic uint64_t reads;
	_Atomic uint64_t others;
};

static atomic_bool stopping;
static atomic_bool failed;
static char failure[STATUS_BYTES];
static pthread_mutex_t failure_lock = PTHREAD_MUTEX_INITIALIZER;

/* Keeps the first failure's sentence and makes every thread stop. */
__attribute__((format(printf, 1, 2))) static void keep_failure(const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&failure_lock);
	if (!atomic_load(&failed)) {
		va_start(args, format);
		vsnprintf(failure, sizeof(failure), format, args);
		va_end(args);
		atomic_store(&failed, true);
	}
	pthread_mutex_unlock(&failure_lock);
	atomic_store(&stopping, true);
}

/* A macro, so that compilers and analysers see the result. */
#define fail(...) (keep_failure(__VA_ARGS__), -1)

/* splitmix64: passes every 64-bit value once, so different states never make the same stamp. */
static uint64_t mix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static void make_unit(const struct disk *d, uint64_t unit, uint64_t generation, uint8_t *to)
{
	struct stamp stamp = { STAMP_MAGIC, d->seed, unit, generation };
	uint64_t state = d->seed ^ (unit << 24) ^ generation;
	uint64_t word;
	uint32_t at;

	memcpy(to, &stamp, sizeof(stamp));
	for (at = sizeof(stamp); at < d->unit_size; at += sizeof(word)) {
		word = mix(&state);
		memcpy(to + at, &word, sizeof(word));
	}
}

static bool is_blank(const uint8_t *data, size_t len)
{
	return data[0] == 0 && memcmp(data, data + 1, len - 1) == 0;
}

/* The generation the unit holds, 0 when it is all zeroes, -1 when it is no whole stamped unit. */
static int64_t unit_generation(const struct disk *d, uint64_t unit, const uint8_t *data)
{
	uint8_t expected[4096];
	struct stamp stamp;

	if (is_blank(data, d->unit_size))
		return 0;
	memcpy(&stamp, data, sizeof(stamp));
	if (stamp.magic != STAMP_MAGIC || stamp.seed != d->seed || stamp.unit != unit)
		return -1;
	make_unit(d, unit, stamp.generation, expected);
	return memcmp(data, expected, d->unit_size) == 0 ? (int64_t)stamp.generation : -1;
}

static int transfer(const struct disk *d, bool out, uint8_t *data, uint64_t unit, uint32_t len)
{
	off_t at = (off_t)(d->offset + unit * d->unit_size);
	uint32_t done = 0;
	ssize_t n;

	while (done < len) {
		n = out ? pwrite(d->fd, data + done, len - done, at + done)
			: pread(d->fd, data + done, len - done, at + done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail("%s %" PRIu32 " bytes at %lld of %s: %s",
				    out ? "writing" : "reading", len - done, (long long)at + done,
				    d->path, n < 0 ? strerror(errno) : "end of the disk");
		done += (uint32_t)n;
	}
	return 0;
}

static int flush(const struct disk *d)
{
	if (fdatasync(d->fd) < 0)
		return fail("flushing %s: %s", d->path, strerror(errno));
	return 0;
}

static int zero_range(const struct disk *d, uint64_t offset, uint64_t len, bool punch)
{
	uint64_t range[2] = { offset, len };
	int rc;

	if (punch)
		rc = fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			       (off_t)len);
	else
		rc = ioctl(d->fd, BLKZEROOUT, range);
	if (rc < 0)
		return fail("%s %" PRIu64 " bytes at %" PRIu64 " of %s: %s",
			    punch ? "punching" : "zeroing", len, offset, d->path, strerror(errno));
	return 0;
}

static int discard_range(const struct disk *d, uint64_t offset, uint64_t len)
{
	uint64_t range[2] = { offset, len };

	if (ioctl(d->fd, BLKDISCARD, range) < 0)
		return fail("discarding %" PRIu64 " bytes at %" PRIu64 " of %s: %s", len, offset,
			    d->path, strerror(errno));
	return 0;
}

/* The next request of a pass over the whole range in random order: each comes up exactly once. */
static uint64_t nth_request(uint64_t n, uint64_t count)
{
	/* A prime above any count this program meets shares no factor with it. */
	return (uint64_t)(((unsigned __int128)n * 2305843009213693951ULL + 7) % count);
}

static int check_request(const struct disk *d, uint64_t first, uint32_t units, const uint8_t *data)
{
	int64_t found;
	uint32_t i;

	for (i = 0; i < units; i++) {
		found = unit_generation(d, first + i, data + (size_t)i * d->unit_size);
		if (found != (int64_t)d->generation)
			return fail("unit %" PRIu64 " of %s holds generation %" PRId64
				    " instead of %" PRIu64 " (0: blank, -1: damaged)",
				    first + i, d->path, found, d->generation);
	}
	return 0;
}

/* fill and verify share a pass: worker i takes every threads-th request of the random order. */
static int pass(struct worker *w, bool out)
{
	struct disk *d = w->disk;
	uint32_t per = d->request / d->unit_size;
	uint64_t count = (d->units + per - 1) / per;
	uint64_t n, first;
	uint32_t units, i;

	for (n = w->index; n < count && !atomic_load(&stopping); n += d->threads) {
		first = nth_request(n, count) * per;
		units = d->units - first < per ? (uint32_t)(d->units - first) : per;
		for (i = 0; out && i < units; i++)
			make_unit(d, first + i, d->generation,
				  w->memory + (size_t)i * d->unit_size);
		if (transfer(d, out, w->memory, first, units * d->unit_size) < 0)
			return -1;
		if (!out && check_request(d, first, units, w->memory) < 0)
			return -1;
	}
	return out ? flush(d) : 0;
}

static void *fill_worker(void *arg)
{
	pass(arg, true);
	return NULL;
}

static void *verify_worker(void *arg)
{
	pass(arg, false);
	return NULL;
}

/* Mostly short requests, now and then one as long as a thread's own run allows. */
static uint32_t random_units(struct worker *w, uint32_t most)
{
	uint64_t r = mix(&w->random);
	uint32_t limit = (r & 7) == 0 ? most : most < 16 ? most : 16;

	return 1 + (uint32_t)((r >> 8) % limit);
}

/* A range inside one run; of the worker's own runs when it means to write. */
static void random_range(struct worker *w, bool own, uint64_t *first, uint32_t *units)
{
	struct disk *d = w->disk;
	uint32_t run_units = OWNED_BYTES / d->unit_size;
	uint64_t runs = d->units / run_units;
	uint64_t run = mix(&w->random) % runs;
	uint32_t start = (uint32_t)(mix(&w->random) % run_units);

	if (own) {
		run = run - run % d->threads + w->index;
		if (run >= runs)
			run = w->index;
	}
	*first = run * run_units + start;
	*units = random_units(w, run_units - start);
}

static int stress_write(struct worker *w, bool zero)
{
	struct disk *d = w->disk;
	uint64_t random = mix(&w->random);
	uint8_t *data = w->memory + (random & 1) * 512;
	uint32_t units, i, generation;
	uint64_t first;
	int rc;

	random_range(w, true, &first, &units);
	for (i = 0; i < units; i++) {
		generation = atomic_load(&d->completed[first + i]);
		generation = zero ? (generation + 1) | 1 : (generation | 1) + 1;
		if (!zero)
			make_unit(d, first + i, generation, data + (size_t)i * d->unit_size);
		atomic_store(&d->started[first + i], generation);
	}
	if (zero)
		rc = zero_range(d, d->offset + first * d->unit_size, (uint64_t)units * d->unit_size,
				(random & 2) != 0);
	else
		rc = transfer(d, true, data, first, units * d->unit_size);
	if (rc < 0)
		return rc;
	for (i = 0; i < units; i++)
		atomic_store(&d->completed[first + i], atomic_load(&d->started[first + i]));
	return 0;
}

/*
 * Judges one unit by the journal: "before" had completed when the read was sent, "after" had been
 * started when it came back. Equal, nobody wrote meanwhile and only that generation will do.
 * Otherwise the read raced with a write, and what it may not show is anything older or newer.
 */
static int judge(const struct disk *d, uint64_t unit, const uint8_t *data, uint32_t before,
		 uint32_t after)
{
	int64_t found = unit_generation(d, unit, data);
	bool quiet = before == after;
	bool right;

	if (found == 0)
		right = !quiet || before == 0 || (before & 1);
	else if (found < 0)
		right = !quiet;
	else
		right = found >= before && found <= after;
	if (right)
		return 0;
	return fail("unit %" PRIu64 " of %s holds generation %" PRId64 ", but %" PRIu32
		    " had completed and %" PRIu32 " was started (0: blank, -1: damaged)",
		    unit, d->path, found, before, after);
}

static int stress_read(struct worker *w, uint64_t first, uint32_t units, uint32_t *before)
{
	struct disk *d = w->disk;
	uint8_t *data = w->memory + (mix(&w->random) & 1) * 512;
	uint32_t i;

	for (i = 0; i < units; i++)
		before[i] = atomic_load(&d->completed[first + i]);
	if (transfer(d, false, data, first, units * d->unit_size) < 0)
		return -1;
	for (i = 0; i < units; i++)
		if (judge(d, first + i, data + (size_t)i * d->unit_size, before[i],
			  atomic_load(&d->started[first + i])) < 0)
			return -1;
	return 0;
}

static void *stress_worker(void *arg)
{
	struct worker *w = arg;
	uint32_t *before = calloc(OWNED_BYTES / w->disk->unit_size, sizeof(*before));
	uint64_t first;
	uint32_t units, choice;
	int rc = 0;

	if (!before)
		keep_failure("no memory for a worker");
	while (rc == 0 && !atomic_load(&stopping)) {
		choice = (uint32_t)(mix(&w->random) % 100);
		if (choice < 55) {
			rc = stress_write(w, false);
			atomic_fetch_add(&w->writes, 1);
		} else if (choice < 93) {
			random_range(w, choice < 65, &first, &units);
			rc = stress_read(w, first, units, before);
			atomic_fetch_add(&w->reads, 1);
		} else {
			rc = choice < 97 && w->disk->zeroes ? stress_write(w, true)
							    : flush(w->disk);
			atomic_fetch_add(&w->others, 1);
		}
	}
	free(before);
	return NULL;
}

/* Everything that was ever written must be there; a buffered run first empties the page cache. */
static int stress_end(struct worker *w)
{
	struct disk *d = w->disk;
	uint32_t per = OWNED_BYTES / d->unit_size;
	uint32_t *before = calloc(per, sizeof(*before));
	uint64_t first;
	int rc = flush(d);

	if (!before)
		rc = fail("no memory for the last pass");
	if (rc == 0 && d->buffered && ioctl(d->fd, BLKFLSBUF, 0) < 0)
		rc = fail("emptying the page cache of %s: %s", d->path, strerror(errno));
	for (first = 0; rc == 0 && first + per <= d->units; first += per)
		rc = stress_read(w, first, per, before);
	free(before);
	return rc;
}

static void on_term(int signal)
{
	(void)signal;
	atomic_store(&stopping, true);
}

/* One line of fixed length at the file's start, so that a reader never sees half of two. */
__attribute__((format(printf, 2, 3))) static void tell(const struct disk *d, const char *format,
						       ...)
{
	char line[STATUS_BYTES];
	va_list args;
	int fd, n;

	memset(line, ' ', sizeof(line));
	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (n > 0 && n < (int)sizeof(line))
		line[n] = ' ';
	line[sizeof(line) - 1] = '\n';
	fd = d->status ? open(d->status, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : dup(STDOUT_FILENO);
	if (fd < 0 || write(fd, line, sizeof(line)) < 0)
		keep_failure("writing the status to %s: %s",
			     d->status ? d->status : "standard output", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int run_workers(struct disk *d, struct worker *workers, void *(*run)(void *), bool progress)
{
	struct timespec tick = { .tv_nsec = 200000000 };
	uint64_t operations;
	uint32_t i;

	for (i = 0; i < d->threads; i++) {
		workers[i].disk = d;
		workers[i].index = i;
		workers[i].random = d->seed * MAX_THREADS + i;
		workers[i].memory = aligned_alloc(4096, BUFFER_ROOM);
		if (!workers[i].memory ||
		    pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0) {
			fprintf(stderr, "guestio: no memory for %" PRIu32 " threads\n", d->threads);
			exit(1);
		}
	}
	while (progress && !atomic_load(&stopping)) {
		operations = 0;
		for (i = 0; i < d->threads; i++)
			operations += atomic_load(&workers[i].writes) +
				      atomic_load(&workers[i].reads) +
				      atomic_load(&workers[i].others);
		tell(d, "running operations=%" PRIu64, operations);
		nanosleep(&tick, NULL);
	}
	for (i = 0; i < d->threads; i++)
		pthread_join(workers[i].thread, NULL);
	return atomic_load(&failed) ? -1 : 0;
}

static int stress_passes(struct disk *d, struct worker *workers)
{
	uint64_t writes = 0, reads = 0, others = 0;
	uint32_t i;

	if (run_workers(d, workers, stress_worker, true) < 0 || stress_end(&workers[0]) < 0) {
		tell(d, "failed %s", failure);
		return -1;
	}
	for (i = 0; i < d->threads; i++) {
		writes += workers[i].writes;
		reads += workers[i].reads;
		others += workers[i].others;
	}
	tell(d, "passed writes=%" PRIu64 " reads=%" PRIu64 " others=%" PRIu64, writes, reads,
	     others);
	return 0;
}

static int stress(struct disk *d, struct worker *workers)
{
	int rc;

	if (d->units / (OWNED_BYTES / d->unit_size) < d->threads)
		return fail("%s is too small for %" PRIu32 " threads", d->path, d->threads);
	signal(SIGTERM, on_term);
	d->started = calloc(d->units, sizeof(*d->started));
	d->completed = calloc(d->units, sizeof(*d->completed));
	if (d->started && d->completed)
		rc = stress_passes(d, workers);
	else
		rc = fail("no memory for a journal of %" PRIu64 " units", d->units);
	free(d->started);
	free(d->completed);
	return rc;
}

static int check_blank(struct disk *d)
{
	uint8_t *data = aligned_alloc(4096, MAX_REQUEST);
	uint32_t units = MAX_REQUEST / d->unit_size, i;
	uint64_t first;
	int rc = 0;

	if (!data)
		return fail("no memory");
	for (first = 0; rc == 0 && first < d->units; first += units) {
		if (d->units - first < units)
			units = (uint32_t)(d->units - first);
		rc = transfer(d, false, data, first, units * d->unit_size);
		for (i = 0; rc == 0 && i < units; i++)
			if (!is_blank(data + (size_t)i * d->unit_size, d->unit_size))
				rc = fail("unit %" PRIu64 " from %" PRIu64 " of %s is not blank",
					  first + i, d->offset, d->path);
	}
	free(data);
	return rc;
}

static int open_disk(struct disk *d, uint64_t size, bool writes)
{
	uint64_t whole;
	struct stat st;
	int unit;

	d->fd = open(d->path,
		     (writes ? O_RDWR | (size ? O_CREAT : 0) : O_RDONLY) | O_CLOEXEC |
			     (d->buffered ? 0 : O_DIRECT),
		     0644);
	if (d->fd < 0 || fstat(d->fd, &st) < 0)
		return fail("opening %s: %s", d->path, strerror(errno));
	d->unit_size = 512;
	whole = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(d->fd, BLKSSZGET, &unit) < 0 || ioctl(d->fd, BLKGETSIZE64, &whole) < 0)
			return fail("asking %s for its size: %s", d->path, strerror(errno));
		d->unit_size = (uint32_t)unit;
	}
	if (d->unit_size < 512 || d->unit_size > 4096)
		return fail("%s has blocks of %" PRIu32 " bytes", d->path, d->unit_size);
	if (!size)
		size = whole > d->offset ? whole - d->offset : 0;
	d->units = size / d->unit_size;
	if (!d->units || d->offset % d->unit_size)
		return fail("%s has no whole block in that range", d->path);
	return 0;
}

static const char usage[] =
	"usage: guestio fill|verify|zero|blank|stress DEVICE [--offset=BYTES] [--size=BYTES]\n"
	"       [--request=BYTES] [--threads=N] [--seed=N] [--generation=N] [--buffered]\n"
	"       [--discard] [--punch] [--no-zeroes] [--status=FILE]\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "offset", required_argument, NULL, 'o' },
		{ "size", required_argument, NULL, 's' },
		{ "request", required_argument, NULL, 'r' },
		{ "threads", required_argument, NULL, 't' },
		{ "seed", required_argument, NULL, 'e' },
		{ "generation", required_argument, NULL, 'g' },
		{ "status", required_argument, NULL, 'f' },
		{ "buffered", no_argument, NULL, 'b' },
		{ "discard", no_argument, NULL, 'd' },
		{ "punch", no_argument, NULL, 'p' },
		{ "no-zeroes", no_argument, NULL, 'z' },
		{ NULL, 0, NULL, 0 },
	};
	static struct worker workers[MAX_THREADS];
	struct disk d = { .threads = 4, .request = 64U << 10, .generation = 2, .zeroes = true };
	bool discard = false, punch = false;
	uint64_t size = 0;
	const char *verb;
	int c, rc;

	d.seed = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'o':
			d.offset = strtoull(optarg, NULL, 0);
			break;
		case 's':
			size = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			d.request = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 't':
			d.threads = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'e':
			d.seed = strtoull(optarg, NULL, 0);
			break;
		case 'g':
			d.generation = strtoull(optarg, NULL, 0);
			break;
		case 'f':
			d.status = optarg;
			break;
		case 'b':
			d.buffered = true;
			break;
		case 'd':
			discard = true;
			break;
		case 'p':
			punch = true;
			break;
		case 'z':
			d.zeroes = false;
			break;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (argc - optind != 2 || !d.threads || d.threads > MAX_THREADS || d.request < 4096 ||
	    d.request > MAX_REQUEST || d.request % 4096) {
		fputs(usage, stderr);
		return 2;
	}
	verb = argv[optind];
	d.path = argv[optind + 1];
	rc = open_disk(&d, size, strcmp(verb, "verify") != 0 && strcmp(verb, "blank") != 0);
	if (rc < 0)
		goto out;
	if (strcmp(verb, "fill") == 0) {
		rc = run_workers(&d, workers, fill_worker, false);
	} else if (strcmp(verb, "verify") == 0) {
		rc = run_workers(&d, workers, verify_worker, false);
	} else if (strcmp(verb, "stress") == 0) {
		rc = stress(&d, workers);
	} else if (strcmp(verb, "blank") == 0) {
		rc = check_blank(&d);
	} else if (strcmp(verb, "zero") == 0) {
		rc = discard ? discard_range(&d, d.offset, d.units * d.unit_size)
			     : zero_range(&d, d.offset, d.units * d.unit_size, punch);
	} else {
		fputs(usage, stderr);
		return 2;
	}
out:
	if (rc < 0)
		fprintf(stderr, "guestio: %s\n", failure);
	return rc < 0 ? 1 : 0;
}
