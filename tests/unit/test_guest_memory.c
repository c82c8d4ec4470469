/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory and those who reach it: users that keep a model of what they reach, and that can be made to fail; and a back end. */
#include "echo.h"
#include "vhost-user/wire.h"

#include <iolane/vmm_frontend.h>

#include <errno.h>
#include <linux/mempolicy.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB     (1ull << 20)
#define PAGE    4096u
#define GRANULE (16ull * PAGE)
#define PLUG    (16 * MIB)
/* All that the tests use lies below. */
#define PAGES 8192u

/* Which call to a user fails, from 1 on; 0: none. */
static unsigned int fail_at, calls;

/* @reaches, @written: a byte a page. */
struct user {
	bool pins, tracks;
	uint8_t reaches[PAGES], written[PAGES];
};

static int called(void)
{
	return ++calls == fail_at ? -EDOM : 0;
}

static void reach(struct user *u, uint64_t gpa, uint64_t size, bool there)
{
	for (uint64_t page = gpa / PAGE; page < (gpa + size) / PAGE; page++) {
		assert_int_equal(u->reaches[page], !there);
		u->reaches[page] = there;
	}
}

static int add(void *ctx, const struct iol_guest_memory *mem, const struct iol_guest_region *r)
{
	struct user *u = ctx;
	int rc = called();

	if (!rc && !(u->pins && r->granule))
		reach(u, r->gpa, r->size, true);
	return rc;
}

static void remove_region(void *ctx, const struct iol_guest_region *r)
{
	struct user *u = ctx;

	/* What has no granules is reached as a whole. */
	if (!r->granule || !u->pins)
		reach(u, r->gpa, r->size, false);
	memset(&u->reaches[r->gpa / PAGE], 0, r->size / PAGE);
}

static int discard(void *ctx, const struct iol_guest_region *r, uint64_t gpa, uint64_t size,
		   bool there)
{
	struct user *u = ctx;
	int rc = called();

	assert_true(u->pins && r->granule && !((gpa | size) % r->granule));
	if (!rc)
		reach(u, gpa, size, there);
	return rc;
}

static int dirty_start(void *ctx)
{
	struct user *u = ctx;
	int rc = called();

	assert_false(u->tracks);
	u->tracks = !rc;
	memset(u->written, 0, sizeof(u->written));
	return rc;
}

static void dirty_stop(void *ctx)
{
	struct user *u = ctx;

	assert_true(u->tracks);
	u->tracks = false;
}

static int dirty_read(void *ctx, const struct iol_guest_region *r, uint64_t gpa, uint64_t size,
		      uint64_t *bitmap)
{
	struct user *u = ctx;
	int rc = called();

	assert_true(u->tracks && gpa >= r->gpa && gpa + size <= r->gpa + r->size);
	for (uint64_t i = 0; i < size / PAGE && !rc; i++) {
		if (u->written[gpa / PAGE + i])
			bitmap[i / 64] |= 1ull << i % 64;
		u->written[gpa / PAGE + i] = 0;
	}
	return rc;
}

#define USER(its_name, its_pins)                                                                   \
	{                                                                                          \
		.name = its_name, .pins = its_pins, .add = add, .remove = remove_region,           \
		.discard = discard, .dirty_start = dirty_start, .dirty_stop = dirty_stop,          \
		.dirty_read = dirty_read                                                           \
	}

static const struct iol_memory_user_ops plain = USER("the plain one", false);
static const struct iol_memory_user_ops pinning = USER("the pinning one", true);

/* Memory from 0 to 1 MiB, and two users who pin and one who does not. */
struct rig {
	struct iol_guest_memory *mem;
	struct user a, b, c;
};

static int setup(void **state)
{
	const struct iol_guest_memory_spec spec = { .size = MIB };
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	fail_at = 0;
	assert_int_equal(iol_guest_memory_new(&spec, &r->mem), 0);
	r->a.pins = r->c.pins = true;
	assert_int_equal(iol_guest_memory_attach(r->mem, &pinning, &r->a), 0);
	assert_int_equal(iol_guest_memory_attach(r->mem, &plain, &r->b), 0);
	assert_int_equal(iol_guest_memory_attach(r->mem, &pinning, &r->c), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	static const uint8_t none[PAGES];

	fail_at = 0;
	iol_guest_memory_detach(r->mem, &r->a);
	iol_guest_memory_detach(r->mem, &r->b);
	iol_guest_memory_detach(r->mem, &r->c);
	iol_guest_memory_detach(r->mem, &r->c);
	assert_memory_equal(r->a.reaches, none, PAGES);
	assert_memory_equal(r->b.reaches, none, PAGES);
	assert_memory_equal(r->c.reaches, none, PAGES);
	assert_false(r->a.tracks || r->b.tracks || r->c.tracks);
	iol_guest_memory_destroy(&r->mem);
	free(r);
	return 0;
}

/* Have each call to a user fail, one after the other, until none is left to fail; after each all is as before. */
static void each_fails(struct rig *r, int (*step)(struct rig *r))
{
	struct user *now[3] = { &r->a, &r->b, &r->c };
	struct user *before = calloc(3, sizeof(*before));
	unsigned int regions = iol_guest_memory_regions(r->mem), n = 1;
	int rc;

	for (int i = 0; i < 3; i++)
		before[i] = *now[i];
	for (;; n++) {
		fail_at = n;
		calls = 0;
		rc = step(r);
		fail_at = 0;
		if (!rc)
			break;
		assert_int_equal(rc, -EDOM);
		assert_int_equal(iol_guest_memory_regions(r->mem), regions);
		for (int i = 0; i < 3; i++)
			assert_memory_equal(before[i].reaches, now[i]->reaches, PAGES);
	}
	assert_true(n > 1);
	free(before);
}

static bool reached(const struct user *u, uint64_t gpa, uint64_t size)
{
	unsigned int n = 0;

	for (uint64_t page = gpa / PAGE; page < (gpa + size) / PAGE; page++)
		n += u->reaches[page];
	assert_true(!n || n == size / PAGE);
	return n;
}

static int plug(struct rig *r)
{
	return iol_guest_memory_add(r->mem, PLUG, MIB, -1, 0);
}

static int plug_granules(struct rig *r)
{
	return iol_guest_memory_add_discardable(r->mem, PLUG, MIB, -1, 0, GRANULE);
}

static int attach_c(struct rig *r)
{
	return iol_guest_memory_attach(r->mem, &pinning, &r->c);
}

static void regions_come_and_go(void **state)
{
	struct rig *r = *state;

	assert_true(reached(&r->a, 0, MIB) && reached(&r->b, 0, MIB) && reached(&r->c, 0, MIB));
	assert_int_equal(attach_c(r), -EEXIST);
	each_fails(r, plug);
	assert_true(reached(&r->a, PLUG, MIB) && reached(&r->b, PLUG, MIB));
	iol_guest_memory_detach(r->mem, &r->c);
	assert_false(reached(&r->c, 0, MIB) || reached(&r->c, PLUG, MIB));
	each_fails(r, attach_c);
	assert_true(reached(&r->c, 0, MIB) && reached(&r->c, PLUG, MIB));
	assert_int_equal(iol_guest_memory_remove(r->mem, PLUG), 0);
	assert_false(reached(&r->a, PLUG, MIB) || reached(&r->b, PLUG, MIB));
}

static uint64_t held(const struct rig *r, unsigned int index)
{
	struct stat st;

	assert_int_equal(fstat(iol_guest_memory_region(r->mem, index)->fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static int populate(struct rig *r)
{
	return iol_guest_memory_populate(r->mem, PLUG, 5 * GRANULE);
}

/* The third granule is not in use, so there are two pieces to tell of. */
static int discard_some(struct rig *r)
{
	return iol_guest_memory_discard(r->mem, PLUG + GRANULE, 4 * GRANULE);
}

static void parts_come_and_go(void **state)
{
	struct rig *r = *state;
	uint8_t *host;

	each_fails(r, plug_granules);
	host = iol_guest_memory_host(r->mem, PLUG, MIB);
	assert_true(reached(&r->b, PLUG, MIB));
	assert_false(reached(&r->a, PLUG, MIB));
	each_fails(r, populate);
	assert_int_equal(populate(r), 0);
	assert_true(reached(&r->a, PLUG, 5 * GRANULE) && reached(&r->c, PLUG, 5 * GRANULE));
	assert_false(reached(&r->a, PLUG + 5 * GRANULE, GRANULE));
	memset(host, 7, MIB);
	assert_int_equal(held(r, 1), MIB);
	assert_int_equal(iol_guest_memory_discard(r->mem, PLUG + 2 * GRANULE, GRANULE), 0);
	assert_int_equal(held(r, 1), MIB - GRANULE);
	assert_true(host[2 * GRANULE] == 0 && host[3 * GRANULE] == 7 && host[2 * GRANULE - 1] == 7);
	assert_false(reached(&r->a, PLUG + 2 * GRANULE, GRANULE));

	each_fails(r, discard_some);
	assert_int_equal(held(r, 1), MIB - 4 * GRANULE);
	assert_true(reached(&r->a, PLUG, GRANULE));
	assert_false(reached(&r->a, PLUG + GRANULE, 4 * GRANULE) ||
		     reached(&r->c, PLUG + GRANULE, 4 * GRANULE));
	/* Who comes later reaches what is in use. */
	iol_guest_memory_detach(r->mem, &r->c);
	each_fails(r, attach_c);
	assert_true(reached(&r->c, PLUG, GRANULE));
	assert_false(reached(&r->c, PLUG + GRANULE, GRANULE));

	assert_int_equal(iol_guest_memory_discard(r->mem, PLUG + PAGE, GRANULE), -EINVAL);
	assert_int_equal(iol_guest_memory_discard(r->mem, PLUG, GRANULE + PAGE), -EINVAL);
	assert_int_equal(iol_guest_memory_discard(r->mem, PLUG, 2 * MIB), -ENOENT);
	assert_int_equal(iol_guest_memory_discard(r->mem, PLUG, 0), -ENOENT);
	assert_int_equal(iol_guest_memory_populate(r->mem, 2 * PLUG, GRANULE), -ENOENT);
	assert_int_equal(iol_guest_memory_add_discardable(r->mem, 2 * PLUG - PAGE, MIB, -1, 0,
							  GRANULE),
			 -EINVAL);
	assert_int_equal(iol_guest_memory_add_discardable(r->mem, 4 * PLUG, MIB, -1, 0, 3 * PAGE),
			 -EINVAL);
	assert_int_equal(iol_guest_memory_add_discardable(r->mem, 4 * PLUG, MIB, -1, 0, 0),
			 -EINVAL);
}

static void pinned_memory_stays(void **state)
{
	struct rig *r = *state;
	uint8_t *host = iol_guest_memory_host(r->mem, 0, MIB);

	memset(host, 7, MIB);
	assert_int_equal(iol_guest_memory_discard(r->mem, 0, PAGE), -EBUSY);
	assert_int_equal(host[0], 7);
	iol_guest_memory_detach(r->mem, &r->a);
	assert_int_equal(iol_guest_memory_discard(r->mem, 0, PAGE), -EBUSY);
	iol_guest_memory_detach(r->mem, &r->c);
	assert_int_equal(iol_guest_memory_discard(r->mem, 0, PAGE), 0);
	assert_int_equal(iol_guest_memory_discard(r->mem, 1, PAGE), -EINVAL);
	assert_int_equal(held(r, 0), MIB - PAGE);
	assert_true(host[0] == 0 && host[PAGE] == 7);
	assert_int_equal(iol_guest_memory_populate(r->mem, 0, PAGE), 0);
	assert_int_equal(attach_c(r), 0);
}

static int start(struct rig *r)
{
	return iol_guest_memory_dirty_start(r->mem);
}

/* How many pages are told in a range; and @page among them, if it is in it. */
static unsigned int told(struct rig *r, uint64_t gpa, uint64_t size, uint64_t page)
{
	uint64_t bits[PAGES / 64] = { 0 };
	unsigned int n = 0;

	assert_int_equal(iol_guest_memory_dirty_read(r->mem, gpa, size, bits), 0);
	for (unsigned int i = 0; i < PAGES / 64; i++)
		n += (unsigned int)__builtin_popcountll(bits[i]);
	page -= gpa;
	if (n && page < size)
		assert_true(bits[page / PAGE / 64] >> page / PAGE % 64 & 1);
	return n;
}

#define ALL 0, 2 * PLUG

static void what_is_written_is_joined(void **state)
{
	struct rig *r = *state;
	uint64_t bits[PAGES / 64] = { 0 };

	assert_int_equal(iol_guest_memory_dirty_read(r->mem, 0, PAGE, bits), -EINVAL);
	assert_int_equal(iol_guest_memory_dirty_stop(r->mem), -EINVAL);
	assert_int_equal(plug_granules(r), 0);
	each_fails(r, start);
	assert_true(r->a.tracks && r->b.tracks && r->c.tracks);
	assert_int_equal(start(r), -EBUSY);
	assert_int_equal(told(r, ALL, 0), 0);
	r->a.written[3] = r->b.written[3] = r->b.written[PLUG / PAGE + 70] = r->c.written[70] = 1;
	assert_int_equal(told(r, PAGE, 3 * PAGE, 3 * PAGE), 1);
	assert_int_equal(told(r, 0, MIB, 70 * PAGE), 1);
	/* The first of a range is bit 0, wherever it lies; holes are never written. */
	r->a.written[MIB / PAGE] = 1;
	assert_int_equal(told(r, MIB, 2 * PLUG - MIB, PLUG + 70 * PAGE), 1);
	assert_int_equal(told(r, ALL, 0), 0);
	/* What the VMM wrote itself, as far as there is memory. */
	iol_guest_memory_wrote(r->mem, 2 * PAGE - 1, 2);
	assert_int_equal(told(r, ALL, PAGE), 2);
	iol_guest_memory_wrote(r->mem, MIB - 1, PLUG);
	assert_int_equal(told(r, ALL, MIB - PAGE), 1 + MIB / PAGE);
	iol_guest_memory_wrote(r->mem, PLUG + MIB - 1, UINT64_MAX);
	iol_guest_memory_wrote(r->mem, 0, 0);
	assert_int_equal(told(r, ALL, PLUG + MIB - PAGE), 1);
	assert_int_equal(iol_guest_memory_dirty_read(r->mem, 1, PAGE, bits), -EINVAL);
	assert_int_equal(iol_guest_memory_dirty_read(r->mem, 0, 0, bits), -EINVAL);
	assert_int_equal(iol_guest_memory_dirty_read(r->mem, 0ull - PAGE, 2 * PAGE, bits), -EINVAL);
	assert_int_equal(iol_guest_memory_dirty_stop(r->mem), 0);
}

/* One who fails costs nothing of what the others told. */
static void a_failed_read_loses_nothing(void **state)
{
	struct rig *r = *state;
	uint64_t bits[PAGES / 64] = { 0 };
	unsigned int n = 0;

	assert_int_equal(plug(r), 0);
	assert_int_equal(start(r), 0);
	do {
		r->a.written[1] = r->b.written[2] = r->c.written[3] = 1;
		r->a.written[PLUG / PAGE] = r->c.written[PLUG / PAGE + 1] = 1;
		fail_at = ++n;
		calls = 0;
	} while (iol_guest_memory_dirty_read(r->mem, ALL, bits) == -EDOM &&
		 told(r, ALL, 3 * PAGE) == 5);
	fail_at = 0;
	assert_int_equal(n, 7);
	assert_int_equal(told(r, ALL, 0), 0);
	assert_int_equal(iol_guest_memory_dirty_stop(r->mem), 0);
}

/* What nobody can tell of counts as written, once. */
static void what_is_not_known_is_told(void **state)
{
	struct rig *r = *state;

	assert_int_equal(start(r), 0);
	each_fails(r, plug);
	assert_int_equal(told(r, ALL, PLUG), MIB / PAGE);
	assert_int_equal(told(r, ALL, 0), 0);
	iol_guest_memory_detach(r->mem, &r->c);
	assert_int_equal(told(r, ALL, PLUG), 2 * MIB / PAGE);
	each_fails(r, attach_c);
	assert_int_equal(told(r, ALL, PLUG), 2 * MIB / PAGE);
	assert_int_equal(told(r, ALL, 0), 0);
	/* Memory that goes takes with it what was written. */
	assert_int_equal(iol_guest_memory_remove(r->mem, PLUG), 0);
	assert_int_equal(plug_granules(r), 0);
	assert_int_equal(told(r, ALL, PLUG), MIB / PAGE);
	assert_int_equal(populate(r), 0);
	assert_int_equal(told(r, ALL, 0), 0);
	assert_int_equal(iol_guest_memory_discard(r->mem, PLUG, GRANULE), 0);
	assert_int_equal(told(r, ALL, PLUG), GRANULE / PAGE);
	assert_int_equal(iol_guest_memory_discard(r->mem, PLUG + GRANULE, GRANULE), 0);
	r->a.written[PLUG / PAGE] = 1;
	assert_int_equal(iol_guest_memory_remove(r->mem, PLUG), 0);
	assert_int_equal(told(r, ALL, 0), 0);
	assert_int_equal(iol_guest_memory_dirty_stop(r->mem), 0);
}

static struct iol_guest_memory *two_regions(void)
{
	struct iol_guest_memory_spec spec = { .size = 4 * MIB, .below_4g = MIB };
	struct iol_guest_memory *mem = NULL;

	assert_int_equal(iol_guest_memory_new(&spec, &mem), 0);
	return mem;
}

static void memory_has_a_hole(void **state)
{
	struct iol_guest_memory *mem = two_regions();
	uint64_t gpa, gpa2;

	assert_int_equal(iol_guest_memory_regions(mem), 2);
	assert_int_equal(iol_guest_memory_region(mem, 1)->gpa, 1ull << 32);
	assert_int_equal(iol_guest_memory_region(mem, 1)->offset, MIB);
	assert_non_null(iol_guest_memory_host(mem, MIB - 1, 1));
	assert_null(iol_guest_memory_host(mem, MIB - 1, 2));
	assert_null(iol_guest_memory_host(mem, MIB, 1));
	assert_null(iol_guest_memory_host(mem, 0, UINT64_MAX));
	/* Sealed: nobody can pull it from under us. */
	assert_int_equal(ftruncate(iol_guest_memory_region(mem, 0)->fd, 0), -1);
	assert_int_equal(iol_guest_memory_alloc(mem, 100, 64, &gpa), 0);
	assert_int_equal(iol_guest_memory_alloc(mem, MIB, 4096, &gpa2), 0);
	assert_int_equal(gpa2, 1ull << 32);
	assert_int_equal(iol_guest_memory_alloc(mem, 100, 64, &gpa2), 0);
	assert_int_equal(gpa2, gpa + 128);
	assert_int_equal(iol_guest_memory_alloc(mem, 3 * MIB, 1, &gpa), -ENOSPC);
	iol_guest_memory_destroy(&mem);
	assert_null(mem);
}

static void memory_is_plugged_and_unplugged(void **state)
{
	struct iol_guest_memory *mem = two_regions();

	assert_int_equal(iol_guest_memory_add(mem, MIB, MIB, -1, 0), 0);
	assert_int_equal(iol_guest_memory_regions(mem), 3);
	assert_int_equal(iol_guest_memory_region(mem, 1)->gpa, MIB);
	assert_int_equal(iol_guest_memory_add(mem, 2 * MIB - 4096, 8192, -1, 0), -EEXIST);
	assert_int_equal(iol_guest_memory_add(mem, 2 * MIB + 1, 4096, -1, 0), -EINVAL);
	assert_int_equal(iol_guest_memory_add(mem, 2 * MIB, 0, -1, 0), -EINVAL);
	assert_int_equal(iol_guest_memory_add(mem, 0ull - 4096, 8192, -1, 0), -EINVAL);
	assert_int_equal(iol_guest_memory_remove(mem, MIB + 4096), -ENOENT);
	assert_int_equal(iol_guest_memory_remove(mem, MIB), 0);
	assert_null(iol_guest_memory_host(mem, MIB, 1));
	iol_guest_memory_destroy(&mem);
}

static void pages_come_from_their_nodes(void **state)
{
	struct iol_guest_memory_spec spec = { .size = MIB, .nodes = 1 };
	struct iol_guest_memory *mem;
	unsigned long nodes = 0;
	int policy = -1;

	if (syscall(SYS_get_mempolicy, &policy, NULL, 0ul, NULL, 0ul) < 0 && errno == ENOSYS)
		return; /* a kernel without NUMA */
	assert_int_equal(iol_guest_memory_new(&spec, &mem), 0);
	assert_int_equal(iol_guest_memory_add(mem, PLUG, MIB, -1, 0), 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(syscall(SYS_get_mempolicy, &policy, &nodes, 8 * sizeof(nodes),
					 iol_guest_memory_region(mem, i)->host,
					 (unsigned long)MPOL_F_ADDR),
				 0);
		assert_int_equal(policy, MPOL_BIND);
		assert_int_equal(nodes, 1);
	}
	iol_guest_memory_destroy(&mem);
	spec.nodes = 1ull << 63;
	assert_int_equal(iol_guest_memory_new(&spec, &mem), -EINVAL);
}

/* A real back end, with slots and without: told as regions come and go, and after it was away. */
static void a_back_end_follows(uint64_t off)
{
	const struct iol_guest_memory_spec spec = { .size = MIB };
	char path[] = "/tmp/iolane-memory-XXXXXX";
	struct iol_server_spec server = { .path = path, .fd = -1 };
	struct iol_frontend_spec front = { .path = path, .fd = -1, .protocol_features_off = off };
	const uint64_t want = 1ull << VIRTIO_F_VERSION_1 | 1ull << VHOST_F_LOG_ALL;
	struct iol_guest_memory *mem;
	struct iol_server *s;
	struct iol_frontend *fe;
	struct echo *echo = echo_new(1);
	uint64_t bits[PAGES / 64] = { 0 };

	assert_true(mkstemp(path) >= 0 && !unlink(path));
	assert_int_equal(iol_guest_memory_new(&spec, &mem), 0);
	assert_int_equal(iol_server_new(echo_device(echo), &server, &s), 0);
	assert_int_equal(iol_frontend_new(&front, &fe), 0);
	assert_int_equal(iol_frontend_negotiate(fe, want, 0), 0);
	assert_int_equal(iol_guest_memory_add(mem, PLUG, MIB, -1, 0), 0);
	assert_int_equal(iol_guest_memory_attach(mem, &iol_frontend_memory, fe), 0);
	assert_int_equal(iol_guest_memory_remove(mem, PLUG), 0);
	assert_int_equal(iol_guest_memory_add(mem, PLUG, MIB, -1, 0), 0);
	assert_int_equal(iol_guest_memory_dirty_start(mem), 0);

	/* It dies; memory changes meanwhile, also where its log does not reach. */
	iol_server_destroy(&s);
	assert_int_equal(iol_guest_memory_add(mem, PLUG - MIB, MIB, -1, 0), 0);
	assert_int_equal(iol_guest_memory_remove(mem, PLUG), 0);
	assert_int_equal(iol_guest_memory_add(mem, 2 * PLUG - MIB, MIB, -1, 0), 0);
	assert_false(iol_frontend_connected(fe));
	assert_int_equal(iol_guest_memory_dirty_read(mem, 0, 2 * PLUG, bits), 0);
	assert_int_equal(iol_server_new(echo_device(echo), &server, &s), 0);
	assert_int_equal(iol_frontend_reconnect(fe), 0);
	assert_int_equal(iol_guest_memory_add(mem, PLUG, MIB, -1, 0), 0);
	assert_int_equal(iol_guest_memory_dirty_stop(mem), 0);
	assert_true(iol_frontend_connected(fe));
	/* It is not there to hear that it need not log any more. */
	assert_int_equal(iol_guest_memory_dirty_start(mem), 0);
	assert_true(iol_frontend_features(fe) >> VHOST_F_LOG_ALL & 1);
	iol_server_destroy(&s);
	assert_int_equal(iol_guest_memory_dirty_stop(mem), 0);
	assert_false(iol_frontend_connected(fe));
	assert_int_equal(iol_server_new(echo_device(echo), &server, &s), 0);
	assert_int_equal(iol_frontend_reconnect(fe), 0);
	assert_false(iol_frontend_features(fe) >> VHOST_F_LOG_ALL & 1);
	iol_guest_memory_detach(mem, fe);
	/* All was let go of, so none is there already. */
	assert_true(iol_frontend_connected(fe));
	assert_int_equal(iol_guest_memory_attach(mem, &iol_frontend_memory, fe), 0);
	iol_guest_memory_detach(mem, fe);
	iol_frontend_destroy(&fe);
	iol_server_destroy(&s);
	echo_destroy(echo);
	iol_guest_memory_destroy(&mem);
}

static void a_back_end_follows_by_slots(void **state)
{
	a_back_end_follows(0);
}

static void a_back_end_follows_by_tables(void **state)
{
	a_back_end_follows(1ull << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(regions_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(parts_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(pinned_memory_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_written_is_joined, setup, teardown),
		cmocka_unit_test_setup_teardown(a_failed_read_loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_known_is_told, setup, teardown),
		cmocka_unit_test(memory_has_a_hole),
		cmocka_unit_test(memory_is_plugged_and_unplugged),
		cmocka_unit_test(pages_come_from_their_nodes),
		cmocka_unit_test(a_back_end_follows_by_slots),
		cmocka_unit_test(a_back_end_follows_by_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
