/* SPDX-License-Identifier: BSD-3-Clause */
#include "blk.h"

#include "base/clock.h"
#include "base/error.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define SECTOR_SHIFT 9
#define LINE         64
#define PAGE         4096
#define TRIES        64
#define WAKE_MS      100

/* The first cache line of a request in guest memory: header and status together. */
struct wire {
	struct virtio_blk_outhdr header;
	uint8_t status;
	uint8_t pad[LINE - sizeof(struct virtio_blk_outhdr) - 1];
};

struct blk_request {
	struct iol_driver_seg segs[3];
	struct wire *wire;
	uint8_t *data;
	uint64_t since, block;
	bool write;
} __attribute__((aligned(LINE)));

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

uint64_t blk_stream_bytes(unsigned int depth, uint32_t bs)
{
	return depth * ((uint64_t)bs + PAGE + LINE) + 2 * PAGE;
}

int blk_stream_init(struct blk_stream *s, struct iol_guest_memory *mem, struct iol_guest_queue *gq,
		    unsigned int depth, uint32_t bs, uint64_t iova_offset)
{
	uint64_t wires, data;
	unsigned int i;
	int rc;

	*s = (struct blk_stream){ .gq = gq };
	s->requests = aligned_alloc(LINE, depth * sizeof(*s->requests));
	if (!s->requests)
		return iol_fail(ENOMEM, "out of memory for requests");
	memset(s->requests, 0, depth * sizeof(*s->requests));
	rc = iol_guest_memory_alloc(mem, depth * sizeof(struct wire), LINE, &wires);
	for (i = 0; !rc && i < depth; i++) {
		struct blk_request *r = &s->requests[i];
		uint64_t wire = wires + i * sizeof(struct wire);

		rc = iol_guest_memory_alloc(mem, bs, PAGE, &data);
		if (rc < 0)
			break;
		r->wire = iol_guest_memory_host(mem, wire, sizeof(*r->wire));
		r->data = iol_guest_memory_host(mem, data, bs);
		/* Unwritten pages would all be the one zero page when the device writes them out. */
		memset(r->data, 0x5a, bs);
		r->segs[0] = (struct iol_driver_seg){ .addr = wire + iova_offset,
						      .len = sizeof(r->wire->header) };
		r->segs[1] = (struct iol_driver_seg){ .addr = data + iova_offset, .len = bs };
		r->segs[2] = (struct iol_driver_seg){ .addr = wire + iova_offset +
							      offsetof(struct wire, status),
						      .len = 1,
						      .write = true };
	}
	if (rc < 0)
		blk_stream_free(s);
	return rc;
}

void blk_stream_free(struct blk_stream *s)
{
	free(s->requests);
	s->requests = NULL;
}

void blk_workers_split(struct blk_worker *workers, unsigned int n, const struct blk_load_spec *spec)
{
	unsigned int i, j, streams = 0, at = 0;

	for (i = 0; i < n; i++)
		streams += workers[i].n;
	for (i = 0; i < n; i++) {
		struct blk_worker *w = &workers[i];
		uint64_t first = spec->blocks * at / streams;
		uint64_t end = spec->blocks * (at + w->n) / streams;

		/* Without verification all may touch everything, as the programs in a guest may. */
		w->first = spec->verify ? first : 0;
		w->blocks = spec->verify ? end - first : spec->blocks;
		w->rng = (spec->seed + i + 1) * 0x9e3779b97f4a7c15ull;
		for (j = 0; j < w->n; j++, at++) {
			w->streams[j].first = w->streams[j].next = spec->blocks * at / streams;
			w->streams[j].end = spec->blocks * (at + 1) / streams;
		}
	}
}

/* xorshift64*, Vigna 2014: three shifts and a multiplication. */
static inline uint64_t random64(struct blk_worker *w)
{
	w->rng ^= w->rng >> 12;
	w->rng ^= w->rng << 25;
	w->rng ^= w->rng >> 27;
	return w->rng * 0x2545f4914f6cdd1dull;
}

static inline uint64_t random_below(struct blk_worker *w, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)random64(w) * n) >> 64);
}

static bool next_in_turn(const struct blk_load_spec *spec, struct blk_stream *s, uint64_t *block)
{
	while (spec->once && spec->written_only && s->next < s->end &&
	       !spec->verify->generation[s->next])
		s->next++;
	if (s->next >= s->end) {
		if (spec->once)
			return false;
		s->next = s->first;
	}
	*block = s->next++;
	return true;
}

/* Return: false when there is nothing (more) to do for this request now. */
static inline bool choose(struct blk_worker *w, struct blk_stream *s, struct blk_request *r)
{
	const struct blk_load_spec *spec = w->spec;
	unsigned int tries;

	if (spec->read_percent == 0 || spec->read_percent == 100)
		r->write = !spec->read_percent;
	else
		r->write = random_below(w, 100) >= spec->read_percent;
	for (tries = 0; tries < TRIES; tries++) {
		if (spec->random)
			r->block = w->first + random_below(w, w->blocks);
		else if (!next_in_turn(spec, s, &r->block))
			return false;
		if (!spec->verify || blk_verify_begin(spec->verify, r->block, r->write))
			return true;
	}
	return false;
}

static inline bool submit(struct blk_worker *w, struct blk_stream *s, struct blk_request *r,
			  uint64_t now)
{
	const struct blk_load_spec *spec = w->spec;

	if (!choose(w, s, r))
		return false;
	if (r->write && spec->verify)
		blk_verify_stamp(spec->verify, r->block, r->data);
	r->wire->header.type = htole32(r->write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN);
	r->wire->header.sector = htole64(r->block * (spec->bs >> SECTOR_SHIFT));
	r->wire->status = 0xff;
	r->segs[1].len = spec->bs;
	r->segs[1].write = !r->write;
	r->since = now;
	/* A queue has room for all its requests, so this cannot fail. */
	return iol_driver_add(s->gq->driver, r->segs, 3, (uintptr_t)r) == 0;
}

static int bad_status(struct blk_worker *w, const struct blk_request *r)
{
	static const char *const names[] = { "OK", "IOERR", "UNSUPP" };
	uint8_t status = r->wire->status;

	return iol_fail(EIO,
			"the device answered a %s of %u bytes at byte %" PRIu64 " with %s (%u)",
			r->write ? "write" : "read", w->spec->bs, r->block * w->spec->bs,
			status < 3 ? names[status] : "no status", status);
}

static inline int finish(struct blk_worker *w, struct blk_request *r, uint64_t now)
{
	struct blk_verify *v = w->spec->verify;

	if (r->wire->status != VIRTIO_BLK_S_OK)
		return bad_status(w, r);
	if (v) {
		blk_verify_end(v, r->block, r->write);
		if (!r->write && !blk_verify_check(v, r->block, r->data))
			return -EIO;
	}
	iol_hist_add(&w->lat, now - r->since);
	IOL_STAT_ADD(w->done, 1);
	return 0;
}

/*
 * Take what came back on one queue and send each request out again at once: the descriptors that it
 * frees are the next it takes, so they stay as they are.
 */
static inline int turn(struct blk_worker *w, struct blk_stream *s, bool again, uint64_t *now)
{
	unsigned int n = 0;
	uintptr_t cookie;
	uint32_t len;
	int rc;

	while (n < w->spec->depth) {
		rc = iol_driver_used(s->gq->driver, &cookie, &len);
		if (rc <= 0) {
			if (rc < 0)
				return rc;
			break;
		}
		if (!n)
			*now = iol_now();
		n++;
		rc = finish(w, (struct blk_request *)cookie, *now);
		if (rc < 0)
			return rc;
		if (again)
			submit(w, s, (struct blk_request *)cookie, *now);
	}
	if (n && again && iol_driver_publish(s->gq->driver))
		iol_guest_queue_kick(s->gq);
	return (int)n;
}

static unsigned int in_flight(const struct blk_worker *w)
{
	unsigned int i, sum = 0;

	for (i = 0; i < w->n; i++)
		sum += iol_driver_inflight(w->streams[i].gq->driver);
	return sum;
}

static int drain(struct blk_worker *w)
{
	uint64_t now;
	unsigned int i;
	int rc;

	while (in_flight(w)) {
		if (__atomic_load_n(&w->give_up, __ATOMIC_RELAXED))
			return iol_fail(ETIMEDOUT, "the device kept %u requests to itself",
					in_flight(w));
		for (i = 0; i < w->n; i++) {
			rc = turn(w, &w->streams[i], false, &now);
			if (rc < 0)
				return rc;
		}
		cpu_relax();
	}
	return 0;
}

static void start(struct blk_worker *w, uint64_t now)
{
	unsigned int i, j;

	for (i = 0; i < w->n; i++) {
		struct blk_stream *s = &w->streams[i];

		iol_driver_disarm(s->gq->driver);
		for (j = 0; j < w->spec->depth; j++)
			submit(w, s, &s->requests[j], now);
		if (iol_driver_publish(s->gq->driver))
			iol_guest_queue_kick(s->gq);
	}
}

/* Sleep till a device calls. Woken now and then, to see that the load is to stop. */
static void wait_for_calls(struct blk_worker *w)
{
	struct pollfd fds[BLK_QUEUES_MAX];
	bool waits = false;
	unsigned int i;
	eventfd_t n;

	for (i = 0; i < w->n; i++) {
		fds[i].fd = w->streams[i].gq->setup.call;
		fds[i].events = POLLIN;
		waits |= iol_driver_arm(w->streams[i].gq->driver);
	}
	if (!waits && poll(fds, w->n, WAKE_MS) > 0)
		for (i = 0; i < w->n; i++)
			if (fds[i].revents)
				eventfd_read(fds[i].fd, &n);
	for (i = 0; i < w->n; i++)
		iol_driver_disarm(w->streams[i].gq->driver);
}

static int load(struct blk_worker *w)
{
	const struct blk_load_spec *spec = w->spec;
	uint64_t now = iol_now(), from = now + spec->ramp_ns, until = from + spec->run_ns;
	bool counting = !spec->ramp_ns;
	unsigned int i;
	int n, rc;

	start(w, now);
	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		n = 0;
		for (i = 0; i < w->n; i++) {
			rc = turn(w, &w->streams[i], true, &now);
			if (rc < 0)
				return rc;
			n += rc;
		}
		if (!n) {
			if (spec->once && !in_flight(w))
				break;
			if (spec->calls)
				wait_for_calls(w);
			else
				cpu_relax();
			continue;
		}
		if (!counting && now >= from) {
			counting = true;
			from = now;
			until = now + spec->run_ns;
			memset(&w->lat, 0, sizeof(w->lat));
		}
		if (!spec->once && now >= until)
			break;
	}
	/* Stopped from outside: the time without any answer counts as well. */
	if (__atomic_load_n(&w->stop, __ATOMIC_RELAXED))
		now = iol_now();
	if (counting && now > from) {
		w->ops = w->lat.count;
		w->bytes = w->ops * spec->bs;
		w->elapsed_ns = now - from;
	} else {
		memset(&w->lat, 0, sizeof(w->lat));
	}
	return 0;
}

void *blk_worker_run(void *arg)
{
	struct blk_worker *w = arg;
	struct iol_hist counted;
	cpu_set_t set;

	if (w->cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET(w->cpu, &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
	memset(&w->lat, 0, sizeof(w->lat));
	w->ops = w->bytes = w->elapsed_ns = 0;
	w->rc = load(w);
	if (!w->rc) {
		counted = w->lat;
		w->rc = drain(w);
		w->lat = counted;
	}
	if (w->rc < 0)
		snprintf(w->error, sizeof(w->error), "%s", iol_error());
	__atomic_store_n(&w->finished, 1, __ATOMIC_RELEASE);
	return NULL;
}
