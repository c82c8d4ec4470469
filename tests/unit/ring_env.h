/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver and a device side of one ring, in memory shared as a front end would share it. What the
 * driver sees (host) and what the ring sees (its own mapping) are different addresses.
 */
#ifndef IOL_TESTS_RING_ENV_H
#define IOL_TESTS_RING_ENV_H

#include "vhost-user/driver.h"
#include "vhost-user/ring.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define ENV_GPA   0x40000000ull
#define ENV_UADDR 0x7f0000000000ull
#define ENV_DATA  4096 /* bytes of buffer a slot */

struct env_conf {
	uint16_t size;
	bool packed, event_idx, indirect, in_order;
	uint32_t base;
	unsigned int indirect_max;
};

struct env {
	struct env_conf conf;
	int fd;
	uint8_t *host;
	size_t len;
	size_t desc, avail, used, tables, data; /* offsets */
	struct iol_mem *mem;
	struct iol_driver_ring *driver;
	struct iol_ring *ring;
	struct iol_ring_spec spec;
	bool broken;
};

static inline size_t env_align(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static inline uint32_t env_ring_base(const struct env *e)
{
	return e->conf.packed && !e->conf.base ? 0x80008000u : e->conf.base;
}

static inline void env_init(struct env *e, const struct env_conf *conf)
{
	struct iol_driver_spec ds = { 0 };
	struct iol_mem_desc desc;
	size_t bytes[3], align[3];

	memset(e, 0, sizeof(*e));
	e->conf = *conf;
	if (!e->conf.indirect_max)
		e->conf.indirect_max = conf->size < 8 ? conf->size : 8;
	iol_driver_areas(conf->size, conf->packed, bytes, align);
	e->desc = 4096;
	e->avail = env_align(e->desc + bytes[0], align[1]);
	e->used = env_align(e->avail + bytes[1], align[2]);
	e->tables = env_align(e->used + bytes[2], 4096);
	e->data = env_align(e->tables + 16ull * conf->size * e->conf.indirect_max, 4096);
	e->len = e->data + (size_t)ENV_DATA * conf->size;
	e->fd = memfd_create("ring-test", MFD_CLOEXEC);
	assert_true(e->fd >= 0);
	assert_int_equal(ftruncate(e->fd, (off_t)e->len), 0);
	e->host = mmap(NULL, e->len, PROT_READ | PROT_WRITE, MAP_SHARED, e->fd, 0);
	assert_ptr_not_equal(e->host, MAP_FAILED);

	desc = (struct iol_mem_desc){ .gpa = ENV_GPA, .size = e->len, .uaddr = ENV_UADDR };
	assert_int_equal(iol_mem_new(&desc, &e->fd, 1, -1, &e->broken, &e->mem), 0);

	ds.size = conf->size;
	ds.packed = conf->packed;
	ds.event_idx = conf->event_idx;
	ds.indirect = conf->indirect;
	ds.in_order = conf->in_order;
	ds.base = conf->base;
	ds.desc = e->host + e->desc;
	ds.avail = e->host + e->avail;
	ds.used = e->host + e->used;
	ds.tables = e->host + e->tables;
	ds.tables_addr = ENV_GPA + e->tables;
	ds.indirect_max = e->conf.indirect_max;
	assert_int_equal(iol_driver_new(&ds, &e->driver), 0);

	e->spec.size = conf->size;
	e->spec.packed = conf->packed;
	e->spec.event_idx = conf->event_idx;
	e->spec.indirect = conf->indirect;
	e->spec.in_order = conf->in_order;
	e->spec.desc = ENV_UADDR + e->desc;
	e->spec.avail = ENV_UADDR + e->avail;
	e->spec.used = ENV_UADDR + e->used;
	e->spec.base = env_ring_base(e);
	e->spec.mem = e->mem;
	assert_int_equal(iol_ring_new(&e->ring), 0);
}

static inline void env_start(struct env *e)
{
	assert_int_equal(iol_ring_start(e->ring, &e->spec), 0);
}

static inline void env_fini(struct env *e)
{
	iol_ring_destroy(&e->ring);
	iol_driver_destroy(&e->driver);
	iol_mem_unref(&e->mem);
	munmap(e->host, e->len);
	close(e->fd);
}

/* A deterministic source of numbers (xorshift). */
static inline uint32_t env_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 32);
}

#endif
