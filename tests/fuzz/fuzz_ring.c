/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring in memory that a hostile guest writes at will, with an inflight log that a hostile front end
 * writes, too. The input's first bytes say which kind of ring; then comes what the ring's areas hold, unless it
 * begins full; the rest are steps of either side. Whatever happens, chains lie inside guest memory and stay within
 * their bounds.
 */
#include "vhost-user/ring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_ring.h>

/* Low addresses, so that few bytes make a good one; two parts that are no neighbours here. */
#define PART  8192
#define UADDR 0x10000
#define DESC  0
#define AVAIL 512
#define USED  1024
#define TAKEN 64

struct input {
	const uint8_t *at;
	size_t left;
};

static struct iol_mem *mem;
static uint8_t *part[2];
static struct iol_inflight *logs[2];

static uint8_t next(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

static void once(void)
{
	static const struct iol_mem_desc descs[2] = {
		{ .gpa = 0, .size = PART, .uaddr = UADDR, .offset = 2 * PART },
		{ .gpa = PART, .size = PART, .uaddr = UADDR + PART, .offset = 0 },
	};
	int fd = memfd_create("fuzz-ring", MFD_CLOEXEC), fds[2] = { fd, fd };
	static bool broken;

	if (fd < 0 || ftruncate(fd, 3 * PART) || iol_mem_new(descs, fds, 2, -1, &broken, &mem) ||
	    iol_inflight_new(1, 16, false, &logs[0]) || iol_inflight_new(1, 16, true, &logs[1]))
		abort();
	part[0] = mmap(NULL, PART, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 2 * PART);
	part[1] = mmap(NULL, PART, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (part[0] == MAP_FAILED || part[1] == MAP_FAILED)
		abort();
}

static bool inside(const void *base, size_t len)
{
	const struct iol_region *region = iol_mem_find_host(mem, base);

	return region && len <= region->size - (size_t)((const uint8_t *)base - region->host);
}

static void check(const struct iol_chain *c)
{
	uint64_t sum[2] = { 0 };
	unsigned int i;

	for (i = 0; i < (unsigned int)c->nout + c->nin; i++) {
		if (!inside(c->iov[i].iov_base, c->iov[i].iov_len))
			abort();
		sum[i >= c->nout] += c->iov[i].iov_len;
	}
	if (sum[0] != c->out_len || sum[1] != c->in_len || !c->ndesc)
		abort();
}

/* Some bytes to anywhere: rings and tables, and past guest memory the log. */
static void scribble(struct input *in, struct iol_inflight *log)
{
	unsigned int at = next(in) | next(in) << 8, n = 1 + next(in) % 16;

	for (; n; n--, at++) {
		if (at >= 2 * PART)
			log->queues[at % log->stride] = next(in);
		else
			part[at / PART][at % PART] = next(in);
	}
}

/* Some chains the quick way, of which the guest may make others meanwhile. */
static void consume(struct input *in, struct iol_ring *r, struct iol_inflight *log)
{
	unsigned int how = next(in), max = 1 + how / 2 % 20, n, i;
	uint32_t len[20], base = iol_ring_base(r);
	bool idle = !iol_ring_inflight(r);
	struct iol_buf bufs[20];

	n = iol_ring_peek(r, bufs, max, how & 1);
	if (n > max || n > iol_ring_size(r) || (n && !idle))
		abort();
	if (how & 0x80)
		scribble(in, log);
	if (how & 0x40)
		n /= 2;
	for (i = 0; i < n; i++) {
		if (!bufs[i].len || !inside(bufs[i].base, bufs[i].len))
			abort();
		len[i] = next(in);
	}
	iol_ring_consume(r, bufs, how & 1 ? len : NULL, n);
	if (n ? iol_ring_base(r) == base && n < iol_ring_size(r) : iol_ring_base(r) != base)
		abort();
}

/* A ring full of good buffers to begin with, in either part. */
static void fill(const struct iol_ring_spec *spec, bool writable)
{
	struct vring_packed_desc *packed = (void *)(part[0] + DESC);
	uint16_t flags = writable ? VRING_DESC_F_WRITE : 0, i;
	struct vring_desc *desc = (void *)(part[0] + DESC);
	struct vring_avail *avail = (void *)(part[0] + AVAIL);

	for (i = 0; i < spec->size; i++) {
		uint64_t addr = i % 2 * PART + PART / 2 + i * 64u;

		if (spec->packed) {
			packed[i] = (struct vring_packed_desc){
				.addr = addr,
				.len = 64,
				.id = i,
				.flags = flags | 1 << VRING_PACKED_DESC_F_AVAIL,
			};
		} else {
			desc[i] = (struct vring_desc){ .addr = addr, .len = 64, .flags = flags };
			avail->ring[i] = i;
			avail->idx = i + 1;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct iol_chain chains[8], taken[TAKEN];
	struct iol_ring_spec spec = { 0 };
	unsigned int kind = next(&in), ntaken = 0, tail = 0, i, k;
	struct iol_inflight *log;
	struct iol_ring *r;
	uint8_t how;
	int n;

	if (!mem)
		once();
	spec.packed = kind & 1;
	spec.event_idx = kind & 2;
	spec.indirect = kind & 4;
	spec.in_order = kind & 8;
	spec.size = spec.packed ? 1 + (kind >> 4) : 1u << (kind >> 4) % 5;
	spec.desc = UADDR + DESC;
	spec.avail = UADDR + AVAIL;
	spec.used = UADDR + USED;
	spec.base = spec.packed ? 0x80008000 : 0;
	spec.mem = mem;
	log = logs[spec.packed];
	how = next(&in);
	if (how & 1)
		spec.inflight = log;
	spec.resume_at_used = how & 2;
	memset(part[0], 0, PART);
	memset(part[1], 0, PART);
	memset(log->queues, 0, log->stride);
	if (how & 4)
		fill(&spec, how & 8);
	for (i = 0; !(how & 4) && i < spec.size * 16u && in.left; i++)
		part[0][DESC + i] = next(&in);
	for (i = 0; !(how & 4) && i < 6 + 2u * spec.size && in.left; i++)
		part[0][AVAIL + i] = next(&in);

	/* As if a process had been killed that had all that in order. */
	if (how & 32)
		memset(part[0] + USED, 0xff, 2);

	if (iol_ring_new(&r))
		return 0;
	n = iol_ring_start(r, &spec);
	while (in.left) {
		switch (next(&in) % 8) {
		case 0:
		case 1:
			n = iol_ring_pop(r, chains, 1 + next(&in) % 8);
			for (k = 0; n > 0 && k < (unsigned int)n; k++) {
				check(&chains[k]);
				/* What is not remembered stays, and so does what came before. */
				tail = ntaken < TAKEN ? tail + 1 : 0;
				if (ntaken < TAKEN)
					taken[ntaken++] = chains[k];
			}
			break;
		case 2:
			if (ntaken) {
				k = spec.resume_at_used ? 0 : next(&in) % ntaken;
				(how & 16 && next(&in) % 2 ? iol_ring_push_more : iol_ring_push)(
					r, taken[k].id, taken[k].ndesc, next(&in));
				ntaken--;
				memmove(taken + k, taken + k + 1, (ntaken - k) * sizeof(*taken));
				tail = tail < ntaken - k ? tail : ntaken - k;
			}
			break;
		case 3:
			iol_ring_publish(r);
			break;
		case 4:
			k = tail ? next(&in) % (tail + 1) : 0;
			if (iol_ring_unpop(r, taken + ntaken - k, k))
				abort();
			ntaken -= k;
			tail -= k;
			iol_ring_arm(r);
			iol_ring_disarm(r);
			break;
		case 5:
			iol_ring_set_mem(r, mem);
			break;
		case 6:
			if (next(&in) % 4) {
				consume(&in, r, log);
				break;
			}
			/* As after a crash: what was taken is known from the log alone. */
			spec.base = iol_ring_base(r);
			iol_ring_start(r, &spec);
			ntaken = tail = 0;
			break;
		default:
			scribble(&in, log);
			break;
		}
	}
	iol_ring_destroy(&r);
	return 0;
}
