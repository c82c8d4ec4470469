/* SPDX-License-Identifier: BSD-3-Clause */
/* What a ring does beside serving chains: starting, changes while it runs, the IOMMU, the dirty log. */
#include "ring_env.h"

#include <linux/virtio_ring.h>

#define SIZE 8

static void world(struct env *e, bool packed)
{
	struct env_conf conf = { .size = SIZE, .packed = packed, .indirect = true };

	env_init(e, &conf);
}

static void add_at(struct env *e, uint64_t addr, uint32_t len, uintptr_t cookie)
{
	struct iol_driver_seg seg = { .addr = addr, .len = len, .write = true };

	assert_int_equal(iol_driver_add(e->driver, &seg, 1, cookie), 0);
	iol_driver_publish(e->driver);
}

static void expect_used(struct env *e, uintptr_t cookie)
{
	uintptr_t got;
	uint32_t len;

	assert_int_equal(iol_driver_used(e->driver, &got, &len), 1);
	assert_int_equal(got, cookie);
}

static void pop_one(struct env *e, struct iol_chain *c)
{
	assert_int_equal(iol_ring_pop(e->ring, c, 1), 1);
}

static void push(struct env *e, const struct iol_chain *c)
{
	iol_ring_push(e->ring, c->id, c->ndesc, c->in_len);
}

/* A driver whose wish to be called came too late to be seen gets its call from a second look. */
static void recall(bool packed, bool event_idx)
{
	struct env_conf conf = { .size = SIZE, .packed = packed, .event_idx = event_idx };
	struct iol_chain c;
	struct env e;
	uintptr_t round;

	env_init(&e, &conf);
	assert_int_equal(iol_ring_start(e.ring, &e.spec), 0);
	for (round = 0; round < 3 * SIZE; round++) {
		iol_driver_disarm(e.driver);
		add_at(&e, ENV_GPA + e.data, 64, round);
		pop_one(&e, &c);
		push(&e, &c);
		/* The first is called for in any case. */
		assert_int_equal(iol_ring_publish(e.ring), !round);
		assert_false(iol_ring_recall(e.ring));
		assert_true(iol_driver_arm(e.driver));
		assert_int_equal(iol_ring_recall(e.ring), !!round);
		assert_false(iol_ring_recall(e.ring));
		expect_used(&e, round);
	}
	env_fini(&e);
}

static void recalls(void **state)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		recall(i & 1, i & 2);
}

static void start_checks(void **state)
{
	struct env e;
	struct iol_ring_spec bad;
	struct iol_chain c;
	unsigned int i;

	world(&e, false);
	for (i = 0; i < 9; i++) {
		bad = e.spec;
		switch (i) {
		case 0:
			bad.size = 0;
			break;
		case 1:
			bad.size = 6;
			break;
		case 2:
			bad.packed = true;
			bad.base = SIZE;
			break;
		case 3:
			bad.packed = true;
			bad.base = SIZE << 16;
			break;
		case 4:
			bad.access_platform = true;
			break;
		case 5:
			bad.desc += 8;
			break;
		case 6:
			bad.avail++;
			break;
		case 7:
			bad.used += 2;
			break;
		case 8:
			bad.size = 65535;
			break;
		}
		assert_int_equal(iol_ring_start(e.ring, &bad), -EINVAL);
	}
	for (i = 0; i < 3; i++) {
		bad = e.spec;
		*(i == 0 ? &bad.desc : i == 1 ? &bad.avail : &bad.used) = ENV_UADDR + e.len - 16;
		assert_int_equal(iol_ring_start(e.ring, &bad), -EFAULT);
	}
	/* Not started, it is safe. */
	assert_int_equal(iol_ring_pop(e.ring, &c, 1), -EPROTO);
	iol_ring_push(e.ring, 0, 1, 0);
	assert_false(iol_ring_publish(e.ring));
	assert_false(iol_ring_arm(e.ring));
	iol_ring_disarm(e.ring);
	iol_ring_unmap(e.ring);
	assert_int_equal(iol_ring_set_mem(e.ring, e.mem), 0);
	assert_int_equal(iol_ring_base(e.ring), 0);
	env_start(&e);
	assert_int_equal(iol_ring_size(e.ring), SIZE);
	assert_int_equal(iol_ring_pop(e.ring, &c, 1), 0);
	env_fini(&e);
}

/* A chain in flight keeps its memory, whatever the table says by then. */
static void memory_goes_while_in_flight(void **state)
{
	const uint64_t far = 0x100000000ull;
	struct iol_mem_desc more = { .gpa = far, .size = 4096, .uaddr = 0x1000 };
	struct iol_chain c[3];
	struct iol_mem *with;
	struct env e;
	int packed;

	for (packed = 0; packed < 2; packed++) {
		world(&e, packed);
		env_start(&e);
		assert_int_equal(iol_mem_add(e.mem, &more, e.fd, -1, &e.broken, &with), 0);
		assert_int_equal(iol_ring_set_mem(e.ring, with), 0);
		add_at(&e, far, 64, 1);
		add_at(&e, far + 64, 64, 2);
		pop_one(&e, &c[0]);
		pop_one(&e, &c[1]);
		assert_int_equal(iol_ring_set_mem(e.ring, e.mem), 0);
		iol_mem_unref(&with);
		add_at(&e, ENV_GPA + e.data, 64, 3);
		pop_one(&e, &c[2]);
		push(&e, &c[2]);
		push(&e, &c[0]);
		iol_ring_publish(e.ring);
		expect_used(&e, 3);
		expect_used(&e, 1);
		/* The sanitizer would see a mapping that is gone as a fault. */
		memset(c[1].iov[0].iov_base, 1, 1);
		memset(e.host, 0, 1);
		push(&e, &c[1]);
		iol_ring_publish(e.ring);
		expect_used(&e, 2);
		/* Gone from the table, it is outside memory for what comes. */
		add_at(&e, far, 64, 4);
		assert_int_equal(iol_ring_pop(e.ring, c, 1), -EPROTO);
		env_fini(&e);
	}
}

/* A table without the rings' own memory ends the ring, and nothing else. */
static void memory_of_the_ring_goes(void **state)
{
	struct iol_chain c, again;
	struct iol_mem *none;
	struct env e;

	world(&e, false);
	env_start(&e);
	add_at(&e, ENV_GPA + e.data, 64, 1);
	pop_one(&e, &c);
	assert_int_equal(iol_mem_new(NULL, NULL, 0, -1, &e.broken, &none), 0);
	assert_int_equal(iol_ring_set_mem(e.ring, none), -EFAULT);
	iol_mem_unref(&none);
	assert_int_equal(iol_ring_pop(e.ring, &again, 1), -EFAULT);
	push(&e, &c);
	assert_false(iol_ring_publish(e.ring));
	env_fini(&e);
}

/* Buffers that lie in pieces of other places of the table, more of them than the scratch first has. */
static void many_pieces(void **state)
{
	enum { PAGES = 500, FD_PAGES = 501 };
	struct iol_mem_desc *descs = calloc(PAGES + 1, sizeof(*descs));
	int *fds = calloc(PAGES + 1, sizeof(*fds)), i;
	struct iol_driver_seg segs[20];
	const uint64_t gpa = 0x200000000ull;
	struct iol_chain c[2];
	struct iol_mem *mem;
	uint64_t total = 0;
	struct env e;
	int packed;

	assert_non_null(descs);
	assert_non_null(fds);
	for (packed = 0; packed < 2; packed++) {
		struct env_conf conf = { .size = 32, .packed = packed };
		int fd = memfd_create("pages", MFD_CLOEXEC);

		env_init(&e, &conf);
		assert_int_equal(ftruncate(fd, FD_PAGES * 4096), 0);
		descs[PAGES] =
			(struct iol_mem_desc){ .gpa = ENV_GPA, .size = e.len, .uaddr = ENV_UADDR };
		fds[PAGES] = e.fd;
		/* Neighbours for the guest; each its own mapping here, none sure to be next. */
		for (i = 0; i < PAGES; i++) {
			descs[i] = (struct iol_mem_desc){ .gpa = gpa + i * 4096ull,
							  .size = 4096,
							  .uaddr = 0x1000 + i * 8192ull,
							  .offset = (PAGES - i) * 4096ull };
			fds[i] = fd;
		}
		assert_int_equal(iol_mem_new(descs, fds, PAGES + 1, -1, &e.broken, &mem), 0);
		e.spec.mem = mem;
		env_start(&e);
		for (i = 0; i < 20; i++)
			segs[i] = (struct iol_driver_seg){ .addr = gpa, .len = PAGES * 4096 };
		add_at(&e, ENV_GPA + e.data, 8, 1);
		assert_int_equal(iol_driver_add(e.driver, segs, 20, 2), 0);
		iol_driver_publish(e.driver);
		/* The first alone, if the two do not fit; then the long one, all of it. */
		assert_in_range(iol_ring_pop(e.ring, c, 2), 1, 2);
		if (iol_ring_inflight(e.ring) == 1)
			pop_one(&e, &c[1]);
		assert_int_equal(c[1].out_len, 20u * PAGES * 4096);
		for (i = 0, total = 0; i < c[1].nout; i++)
			total += c[1].iov[i].iov_len;
		assert_int_equal(total, c[1].out_len);
		env_fini(&e);
		iol_mem_unref(&mem);
		close(fd);
	}
	free(descs);
	free(fds);
}

/* Behind an IOMMU: areas and buffers are found when their entries come, and nothing is lost till then. */
static void iommu(bool packed)
{
	const uint64_t iova = 0x10000000ull;
	struct iol_iotlb_miss miss;
	struct iol_iotlb *tlb;
	struct iol_chain c[2];
	size_t rings;
	struct env e;

	world(&e, packed);
	assert_int_equal(iol_iotlb_new(-1, &tlb), 0);
	rings = e.tables;
	e.spec.access_platform = true;
	e.spec.iotlb = tlb;
	e.spec.desc = iova + e.desc;
	e.spec.avail = iova + e.avail;
	e.spec.used = iova + e.used;
	env_start(&e);
	add_at(&e, 0x5000, 64, 1);
	add_at(&e, 0x5040, 64, 2);
	assert_int_equal(iol_ring_pop(e.ring, c, 2), -EAGAIN);
	assert_int_equal(iol_iotlb_take_miss(tlb, &miss), 1);
	assert_int_equal(miss.iova, iova + e.desc);
	/* Nothing to stay awake for; the answer wakes the queue. */
	assert_false(iol_ring_arm(e.ring));
	iol_ring_disarm(e.ring);
	assert_int_equal(iol_iotlb_update(tlb, iova, rings, ENV_UADDR, IOL_ACCESS_RW), 0);
	assert_int_equal(iol_ring_pop(e.ring, c, 2), -EAGAIN);
	assert_int_equal(iol_iotlb_take_miss(tlb, &miss), 1);
	assert_int_equal(miss.iova, 0x5000);
	assert_int_equal(miss.perm, IOL_ACCESS_WO);
	assert_false(iol_ring_arm(e.ring));
	/* Readable only is not enough to write to. */
	assert_int_equal(iol_iotlb_update(tlb, 0x5000, 64, ENV_UADDR + e.data, IOL_ACCESS_RO), 0);
	assert_int_equal(iol_ring_pop(e.ring, c, 2), -EAGAIN);
	assert_int_equal(iol_iotlb_update(tlb, 0x5000, 64, ENV_UADDR + e.data, IOL_ACCESS_WO), 0);
	/* The first is there, the second not yet: it is popped by itself. */
	assert_int_equal(iol_ring_pop(e.ring, c, 2), 1);
	assert_int_equal(c[0].in_len, 64);
	memset(c[0].iov[0].iov_base, 7, 64);
	assert_int_equal(e.host[e.data + 63], 7);
	assert_int_equal(iol_ring_pop(e.ring, c + 1, 1), -EAGAIN);
	/* The rings' entries go; what is pushed meanwhile is kept. */
	iol_iotlb_invalidate(tlb, iova, rings);
	iol_ring_unmap(e.ring);
	push(&e, &c[0]);
	assert_false(iol_ring_publish(e.ring));
	assert_int_equal(iol_ring_pop(e.ring, c + 1, 1), -EAGAIN);
	assert_int_equal(iol_iotlb_update(tlb, 0x5000, 128, ENV_UADDR + e.data, IOL_ACCESS_RW), 0);
	assert_int_equal(iol_iotlb_update(tlb, iova, rings, ENV_UADDR, IOL_ACCESS_RW), 0);
	assert_int_equal(iol_ring_pop(e.ring, c + 1, 1), 1);
	assert_true(iol_ring_publish(e.ring));
	expect_used(&e, 1);
	push(&e, &c[1]);
	iol_ring_publish(e.ring);
	expect_used(&e, 2);
	env_fini(&e);
	iol_iotlb_destroy(&tlb);
}

static void split_iommu(void **state)
{
	iommu(false);
}

static void packed_iommu(void **state)
{
	iommu(true);
}

/* Behind an IOMMU too, with an inflight log: what is left is found when the ring is. */
static void iommu_replay(void **state)
{
	struct iol_inflight *log;
	struct iol_iotlb *tlb;
	struct iol_chain c;
	struct env e;
	int packed;

	for (packed = 0; packed < 2; packed++) {
		world(&e, packed);
		assert_int_equal(iol_iotlb_new(-1, &tlb), 0);
		assert_int_equal(iol_inflight_new(1, SIZE, packed, &log), 0);
		e.spec.inflight = log;
		env_start(&e);
		add_at(&e, ENV_GPA + e.data, 64, 1);
		pop_one(&e, &c);
		e.spec.access_platform = true;
		e.spec.iotlb = tlb;
		env_start(&e);
		assert_int_equal(iol_ring_replaying(e.ring), 0);
		assert_int_equal(iol_ring_pop(e.ring, &c, 1), -EAGAIN);
		assert_int_equal(iol_iotlb_update(tlb, ENV_UADDR, e.len, ENV_UADDR, IOL_ACCESS_RW),
				 0);
		assert_int_equal(iol_iotlb_update(tlb, ENV_GPA, e.len, ENV_UADDR, IOL_ACCESS_RW),
				 0);
		pop_one(&e, &c);
		push(&e, &c);
		iol_ring_publish(e.ring);
		expect_used(&e, 1);
		env_fini(&e);
		iol_inflight_destroy(&log);
		iol_iotlb_destroy(&tlb);
	}
}

static bool marked(const uint8_t *bits, uint64_t gpa)
{
	uint64_t page = gpa >> IOL_DIRTY_PAGE_BITS;

	return bits[page / 8] >> page % 8 & 1;
}

/* What the device writes is in the log: buffers, used entries, and its wishes for kicks. */
static void dirty_log(bool packed)
{
	/* Rings of several pages, so that the places tell; used past its neighbours' pages. */
	struct env_conf conf = { .size = 2048, .packed = packed };
	size_t bytes = (ENV_GPA >> IOL_DIRTY_PAGE_BITS) / 8 + 4096;
	uint64_t log_addr, used_gpa;
	bool broken = false;
	struct iol_dirty *dirty;
	struct iol_chain c;
	uint8_t *bits;
	struct env e;
	int fd;

	env_init(&e, &conf);
	fd = memfd_create("dirty", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	bits = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(bits, MAP_FAILED);
	assert_int_equal(iol_dirty_new(fd, bytes, 0, -1, &broken, &dirty), 0);
	env_start(&e);
	iol_ring_set_dirty(e.ring, dirty);
	add_at(&e, ENV_GPA + e.data, 64, 1);
	pop_one(&e, &c);
	push(&e, &c);
	iol_ring_publish(e.ring);
	/* Not asked for by the front end's address flags yet. */
	assert_false(marked(bits, ENV_GPA + e.used) || marked(bits, ENV_GPA + e.desc));

	/* Anywhere, to see that it counts where the front end says (split). */
	log_addr = 0x100000 + e.used % 4096;
	e.spec.log_used = true;
	e.spec.log_addr = log_addr;
	assert_int_equal(iol_ring_set_addr(e.ring, &e.spec), 0);
	add_at(&e, ENV_GPA + e.data + 4096, 64, 2);
	pop_one(&e, &c);
	assert_false(marked(bits, ENV_GPA + e.data + 4096));
	iol_ring_dirty(e.ring, c.iov[0].iov_base, 64);
	assert_true(marked(bits, ENV_GPA + e.data + 4096));
	assert_false(marked(bits, ENV_GPA + e.data));
	push(&e, &c);
	iol_ring_publish(e.ring);
	used_gpa = packed ? ENV_GPA + e.desc : log_addr;
	assert_true(marked(bits, used_gpa));
	assert_false(marked(bits, used_gpa + 8192));
	/* Over the end of a page: both. Outside guest memory: nothing, and no harm. */
	iol_ring_dirty(e.ring, (uint8_t *)c.iov[0].iov_base + 4095 + 4096, 2);
	assert_true(marked(bits, ENV_GPA + e.data + 8192));
	assert_true(marked(bits, ENV_GPA + e.data + 12288));
	iol_ring_dirty(e.ring, &e, 2);
	memset(bits, 0, bytes);
	iol_ring_disarm(e.ring);
	assert_true(marked(bits, packed ? ENV_GPA + e.used : log_addr));
	/* Over: no marks more. */
	iol_ring_set_dirty(e.ring, NULL);
	memset(bits, 0, bytes);
	iol_ring_arm(e.ring);
	iol_ring_dirty(e.ring, c.iov[0].iov_base, 64);
	assert_false(marked(bits, packed ? ENV_GPA + e.used : log_addr));
	assert_false(marked(bits, ENV_GPA + e.data + 4096));
	iol_dirty_destroy(&dirty);
	munmap(bits, bytes);
	close(fd);
	env_fini(&e);
}

static void split_dirty_log(void **state)
{
	dirty_log(false);
}

static void packed_dirty_log(void **state)
{
	dirty_log(true);
}

/* In order, a batch into which nothing was written takes one used entry; others one each. */
static void in_order_batches(void **state)
{
	struct iol_driver_seg seg = { .addr = ENV_GPA, .len = 16 };
	struct iol_chain c[4];
	struct env e;
	int packed, i;

	for (packed = 0; packed < 2; packed++) {
		struct env_conf conf = { .size = SIZE, .packed = packed, .in_order = true };

		env_init(&e, &conf);
		env_start(&e);
		for (i = 0; i < 4; i++) {
			seg.write = i == 3;
			assert_int_equal(iol_driver_add(e.driver, &seg, 1, 10 + i), 0);
		}
		iol_driver_publish(e.driver);
		assert_int_equal(iol_ring_pop(e.ring, c, 4), 4);
		for (i = 0; i < 4; i++)
			push(&e, &c[i]);
		iol_ring_publish(e.ring);
		if (packed) {
			struct vring_packed_desc *d = (void *)(e.host + e.desc);

			assert_int_equal(d[0].id, c[2].id);
			assert_int_equal(d[3].id, c[3].id);
			/* Skipped ones stay as the driver wrote them. */
			assert_false(d[1].flags >> VRING_PACKED_DESC_F_USED);
			assert_false(d[2].flags >> VRING_PACKED_DESC_F_USED);
		} else {
			struct vring_used *u = (void *)(e.host + e.used);

			assert_int_equal(u->idx, 4);
			assert_int_equal(u->ring[0].id, c[2].id);
			assert_int_equal(u->ring[1].id, 0);
			assert_int_equal(u->ring[3].id, c[3].id);
		}
		for (i = 0; i < 4; i++)
			expect_used(&e, 10 + (uintptr_t)i);
		env_fini(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_checks),
		cmocka_unit_test(recalls),
		cmocka_unit_test(memory_goes_while_in_flight),
		cmocka_unit_test(memory_of_the_ring_goes),
		cmocka_unit_test(many_pieces),
		cmocka_unit_test(split_iommu),
		cmocka_unit_test(packed_iommu),
		cmocka_unit_test(iommu_replay),
		cmocka_unit_test(split_dirty_log),
		cmocka_unit_test(packed_dirty_log),
		cmocka_unit_test(in_order_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
