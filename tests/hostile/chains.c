/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a hostile or broken driver may put into a ring, and what must become of it: the ring ends with
 * -EPROTO and a sentence, or the chain is passed on, or nothing is seen. Never more than that.
 */
#include "base/error.h"
#include "vhost-user/ring.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * Guest memory: two neighbours in the guest that are not neighbours here, and a third far away.
 * The rings lie at the start of the first.
 */
#define A_GPA    0x100000ull
#define B_GPA    (A_GPA + PART)
#define C_GPA    0x800000000ull
#define PART     0x10000ull
#define A_UADDR  0x7f0000000000ull
#define SIZE     8
#define DESC     0x0
#define AVAIL    0x100
#define USED     0x200
#define TABLE    0x1000
#define BUF      (A_GPA + 0x4000)
#define STRADDLE (B_GPA - 8)
#define OUTSIDE  0x50000000ull

#define NEXT VRING_DESC_F_NEXT
#define WR   VRING_DESC_F_WRITE
#define IND  VRING_DESC_F_INDIRECT
/* Packed: available, and used, on the first lap. */
#define AV (1u << VRING_PACKED_DESC_F_AVAIL)
#define US (1u << VRING_PACKED_DESC_F_USED)

struct d {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* buffer ID in a packed ring */
};

struct row {
	const char *name;
	struct d ring[SIZE];
	struct d table[SIZE + 1];
	uint16_t avail[SIZE];
	uint16_t idx;        /* split: the available index */
	bool no_indirect;    /* INDIRECT_DESC was not negotiated */
	uint64_t table_addr; /* where the table is, if not at TABLE */
	int rc;
	/* What is popped first, when rc is above 0. */
	uint16_t nout, nin;
	uint32_t out_len, in_len;
	int then; /* what the second pop returns */
};

#define T (A_GPA + TABLE)

/* clang-format off */
static const struct row split_rows[] = {
	{ "nothing", .rc = 0 },
	{ "one readable", { { BUF, 16 } }, .idx = 1, .rc = 1, .nout = 1, .out_len = 16 },
	{ "one writable", { { BUF, 16, WR } }, .idx = 1, .rc = 1, .nin = 1, .in_len = 16 },
	{ "readable, then writable", { { BUF, 16, NEXT, 1 }, { BUF, 8, WR } }, .idx = 1,
	  .rc = 1, .nout = 1, .nin = 1, .out_len = 16, .in_len = 8 },
	{ "empty buffers are passed over",
	  { { OUTSIDE, 0, NEXT, 1 }, { BUF, 4, NEXT, 2 }, { 0, 0, WR } }, .idx = 1,
	  .rc = 1, .nout = 1, .out_len = 4 },
	{ "nothing but an empty buffer", { { 0, 0, 0 } }, .idx = 1, .rc = 1 },
	{ "writable, then readable", { { BUF, 16, NEXT | WR, 1 }, { BUF, 8 } }, .idx = 1,
	  .rc = -EPROTO },
	{ "index jumps by more than the queue", { { BUF, 16 } }, .idx = SIZE + 1, .rc = -EPROTO },
	{ "index goes back", { { BUF, 16 } }, .idx = 65535, .rc = -EPROTO },
	{ "index jumps by the whole queue, heads all the same", { { BUF, 16 } }, .idx = SIZE,
	  .rc = 1, .nout = 1, .out_len = 16, .then = -EPROTO },
	{ "head past the table", { { BUF, 16 } }, .avail = { SIZE }, .idx = 1, .rc = -EPROTO },
	{ "head far past the table", { { BUF, 16 } }, .avail = { 65535 }, .idx = 1, .rc = -EPROTO },
	{ "second head past the table", { { BUF, 16 } }, .avail = { 0, SIZE }, .idx = 2,
	  .rc = 1, .nout = 1, .out_len = 16, .then = -EPROTO },
	{ "head twice", { { BUF, 16 } }, .avail = { 0, 0 }, .idx = 2,
	  .rc = 1, .nout = 1, .out_len = 16, .then = -EPROTO },
	{ "next past the table", { { BUF, 16, NEXT, SIZE } }, .idx = 1, .rc = -EPROTO },
	{ "circle of one", { { BUF, 16, NEXT, 0 } }, .idx = 1, .rc = -EPROTO },
	{ "circle of two", { { BUF, 16, NEXT, 1 }, { BUF, 16, NEXT, 0 } }, .idx = 1,
	  .rc = -EPROTO },
	{ "circle of empty buffers", { { 0, 0, NEXT, 0 } }, .idx = 1, .rc = -EPROTO },
	{ "outside memory", { { OUTSIDE, 16 } }, .idx = 1, .rc = -EPROTO },
	{ "at address zero", { { 0, 16 } }, .idx = 1, .rc = -EPROTO },
	{ "past the end of memory", { { C_GPA + PART - 8, 16 } }, .idx = 1, .rc = -EPROTO },
	{ "to the end of memory", { { C_GPA + PART - 16, 16 } }, .idx = 1,
	  .rc = 1, .nout = 1, .out_len = 16 },
	{ "address wraps", { { UINT64_MAX - 7, 16 } }, .idx = 1, .rc = -EPROTO },
	{ "address and length wrap", { { A_GPA, UINT32_MAX } }, .idx = 1, .rc = -EPROTO },
	{ "two regions in one buffer", { { STRADDLE, 16, WR } }, .idx = 1,
	  .rc = 1, .nin = 2, .in_len = 16 },
	{ "4 GiB in all", { { BUF, 0x10000, NEXT, 1 }, { BUF, 0xffff0000 } }, .idx = 1,
	  .rc = -EPROTO },
	{ "flags nobody knows", { { BUF, 16, 0xfff8 } }, .idx = 1, .rc = 1, .nout = 1, .out_len = 16 },

	{ "table", { { T, 32, IND } }, { { BUF, 16, NEXT, 1 }, { BUF, 8, WR } }, .idx = 1,
	  .rc = 1, .nout = 1, .nin = 1, .out_len = 16, .in_len = 8 },
	{ "table marked writable", { { T, 16, IND | WR } }, { { BUF, 16 } }, .idx = 1,
	  .rc = 1, .nout = 1, .out_len = 16 },
	{ "table after a direct buffer", { { BUF, 4, NEXT, 1 }, { T, 16, IND } },
	  { { BUF, 16, WR } }, .idx = 1, .rc = 1, .nout = 1, .nin = 1, .out_len = 4, .in_len = 16 },
	{ "table without the feature", { { T, 16, IND } }, { { BUF, 16 } }, .idx = 1,
	  .no_indirect = true, .rc = -EPROTO },
	{ "table that goes on", { { T, 16, IND | NEXT, 1 }, { BUF, 4 } }, { { BUF, 16 } }, .idx = 1,
	  .rc = -EPROTO },
	{ "table in a table", { { T, 16, IND } }, { { T, 16, IND } }, .idx = 1, .rc = -EPROTO },
	{ "table of no bytes", { { T, 0, IND } }, .idx = 1, .rc = -EPROTO },
	{ "table of 15 bytes", { { T, 15, IND } }, .idx = 1, .rc = -EPROTO },
	{ "table of 24 bytes", { { T, 24, IND } }, .idx = 1, .rc = -EPROTO },
	{ "table of 4 GiB", { { T, 0xfffffff0, IND } }, .idx = 1, .rc = -EPROTO },
	{ "table outside memory", { { OUTSIDE, 16, IND } }, .idx = 1, .rc = -EPROTO },
	{ "table partly outside memory", { { C_GPA + PART - 16, 32, IND } }, .idx = 1,
	  .rc = -EPROTO },
	{ "table's next past its end", { { T, 32, IND } }, { { BUF, 16, NEXT, 2 } }, .idx = 1,
	  .rc = -EPROTO },
	{ "table in a circle", { { T, 32, IND } },
	  { { BUF, 16, NEXT, 1 }, { BUF, 16, NEXT, 0 } }, .idx = 1, .rc = -EPROTO },
	{ "table longer than the queue, as Linux makes them", { { T, 9 * 16, IND } },
	  { { BUF, 1, NEXT, 1 }, { BUF, 1, NEXT, 2 }, { BUF, 1, NEXT, 3 }, { BUF, 1, NEXT, 4 },
	    { BUF, 1, NEXT, 5 }, { BUF, 1, NEXT, 6 }, { BUF, 1, NEXT, 7 }, { BUF, 1, NEXT, 8 },
	    { BUF, 1 } }, .idx = 1, .rc = 1, .nout = 9, .out_len = 9 },
	{ "table of 1025", { { T, 1025 * 16, IND } }, { { BUF, 1 } }, .idx = 1, .rc = -EPROTO },
	{ "table in two regions", { { STRADDLE, 32, IND } },
	  { { BUF, 16, NEXT, 1 }, { BUF, 8, WR } }, .idx = 1, .table_addr = STRADDLE,
	  .rc = 1, .nout = 1, .nin = 1, .out_len = 16, .in_len = 8 },
	{ "table at an odd address", { { T + 3, 16, IND } }, { { BUF, 16 } }, .idx = 1,
	  .table_addr = T + 3, .rc = 1, .nout = 1, .out_len = 16 },
	{ "table with readable after writable", { { T, 32, IND } },
	  { { BUF, 16, NEXT | WR, 1 }, { BUF, 8 } }, .idx = 1, .rc = -EPROTO },
	{ "table's buffer outside memory", { { T, 16, IND } }, { { OUTSIDE, 16 } }, .idx = 1,
	  .rc = -EPROTO },
};

static const struct row packed_rows[] = {
	{ "nothing", .rc = 0 },
	{ "used before it was available", { { BUF, 16, AV | US } }, .rc = 0 },
	{ "of the lap before", { { BUF, 16, US } }, .rc = 0 },
	{ "one readable", { { BUF, 16, AV } }, .rc = 1, .nout = 1, .out_len = 16 },
	{ "any buffer ID", { { BUF, 16, AV, 65535 } }, .rc = 1, .nout = 1, .out_len = 16 },
	{ "readable, then writable", { { BUF, 16, AV | NEXT }, { BUF, 8, AV | WR } },
	  .rc = 1, .nout = 1, .nin = 1, .out_len = 16, .in_len = 8 },
	{ "empty buffers are passed over", { { OUTSIDE, 0, AV | NEXT }, { BUF, 4, AV } },
	  .rc = 1, .nout = 1, .out_len = 4 },
	{ "writable, then readable", { { BUF, 16, AV | NEXT | WR }, { BUF, 8, AV } },
	  .rc = -EPROTO },
	{ "the same buffer ID twice", { { BUF, 16, AV, 3 }, { BUF, 16, AV, 3 } },
	  .rc = 1, .nout = 1, .out_len = 16, .then = -EPROTO },
	{ "chain without an end",
	  { { BUF, 1, AV | NEXT }, { BUF, 1, AV | NEXT }, { BUF, 1, AV | NEXT },
	    { BUF, 1, AV | NEXT }, { BUF, 1, AV | NEXT }, { BUF, 1, AV | NEXT },
	    { BUF, 1, AV | NEXT }, { BUF, 1, AV | NEXT } }, .rc = -EPROTO },
	{ "chain into slots that are in flight",
	  { { BUF, 1, AV, 0 }, { BUF, 1, AV, 1 }, { BUF, 1, AV, 2 }, { BUF, 1, AV, 3 },
	    { BUF, 1, AV, 4 }, { BUF, 1, AV, 5 }, { BUF, 1, AV, 6 }, { BUF, 1, AV | NEXT, 7 } },
	  .rc = 1, .nout = 1, .out_len = 1, .then = -EPROTO },
	{ "outside memory", { { OUTSIDE, 16, AV } }, .rc = -EPROTO },
	{ "two regions in one buffer", { { STRADDLE, 16, AV | WR } },
	  .rc = 1, .nin = 2, .in_len = 16 },
	{ "4 GiB in all", { { BUF, 0x10000, AV | NEXT }, { BUF, 0xffff0000, AV } },
	  .rc = -EPROTO },

	{ "table", { { T, 32, AV | IND } }, { { BUF, 16 }, { BUF, 8, WR } },
	  .rc = 1, .nout = 1, .nin = 1, .out_len = 16, .in_len = 8 },
	{ "table's other flags are ignored", { { T, 32, AV | IND } },
	  { { BUF, 16, NEXT | IND | US, 7 }, { BUF, 8, WR | NEXT | AV, 9 } },
	  .rc = 1, .nout = 1, .nin = 1, .out_len = 16, .in_len = 8 },
	{ "table without the feature", { { T, 16, AV | IND } }, { { BUF, 16 } },
	  .no_indirect = true, .rc = -EPROTO },
	{ "table that goes on", { { T, 16, AV | IND | NEXT }, { BUF, 4, AV } }, { { BUF, 16 } },
	  .rc = -EPROTO },
	{ "table within a chain", { { BUF, 4, AV | NEXT }, { T, 16, AV | IND } }, { { BUF, 16 } },
	  .rc = -EPROTO },
	{ "table of no bytes", { { T, 0, AV | IND } }, .rc = -EPROTO },
	{ "table of 17 bytes", { { T, 17, AV | IND } }, .rc = -EPROTO },
	{ "table of 1025", { { T, 1025 * 16, AV | IND } }, .rc = -EPROTO },
	{ "table outside memory", { { OUTSIDE, 16, AV | IND } }, .rc = -EPROTO },
	{ "table in two regions", { { STRADDLE, 32, AV | IND } }, { { BUF, 16 }, { BUF, 8, WR } },
	  .table_addr = STRADDLE, .rc = 1, .nout = 1, .nin = 1, .out_len = 16, .in_len = 8 },
	{ "table with readable after writable", { { T, 32, AV | IND } },
	  { { BUF, 16, WR }, { BUF, 8 } }, .rc = -EPROTO },
};
/* clang-format on */

struct guest {
	uint8_t *part[3];
	struct iol_mem *mem;
	struct iol_ring *ring;
	bool broken;
};

static void guest_init(struct guest *g)
{
	static const struct iol_mem_desc descs[3] = {
		{ .gpa = A_GPA, .size = PART, .uaddr = A_UADDR, .offset = 2 * PART },
		{ .gpa = B_GPA, .size = PART, .uaddr = A_UADDR + 8 * PART, .offset = 0 },
		{ .gpa = C_GPA, .size = PART, .uaddr = A_UADDR + 4 * PART, .offset = 4 * PART },
	};
	int fd = memfd_create("hostile-chains", MFD_CLOEXEC), fds[3] = { fd, fd, fd };
	unsigned int i;

	memset(g, 0, sizeof(*g));
	assert_int_equal(ftruncate(fd, 5 * PART), 0);
	for (i = 0; i < 3; i++) {
		g->part[i] = mmap(NULL, PART, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				  (off_t)descs[i].offset);
		assert_ptr_not_equal(g->part[i], MAP_FAILED);
	}
	assert_int_equal(iol_mem_new(descs, fds, 3, -1, &g->broken, &g->mem), 0);
	close(fd);
	assert_int_equal(iol_ring_new(&g->ring), 0);
}

static void guest_fini(struct guest *g)
{
	unsigned int i;

	iol_ring_destroy(&g->ring);
	iol_mem_unref(&g->mem);
	for (i = 0; i < 3; i++)
		munmap(g->part[i], PART);
}

/* Write where the guest would, across the two parts. */
static void guest_write(struct guest *g, uint64_t gpa, const void *data, size_t len)
{
	const uint8_t *from = data;

	for (; len; len--, gpa++)
		g->part[gpa >= B_GPA][(gpa - A_GPA) % PART] = *from++;
}

/* A descriptor's last four bytes are flags and next, or buffer ID and flags. */
static void put(struct guest *g, uint64_t gpa, const struct d *d, bool packed)
{
	struct vring_desc v = { .addr = d->addr, .len = d->len };

	v.flags = packed ? d->next : d->flags;
	v.next = packed ? d->flags : d->next;
	guest_write(g, gpa, &v, sizeof(v));
}

static void run(const struct row *row, bool packed)
{
	struct iol_ring_spec spec = {
		.size = SIZE,
		.packed = packed,
		.indirect = !row->no_indirect,
		.desc = A_UADDR + DESC,
		.avail = A_UADDR + AVAIL,
		.used = A_UADDR + USED,
		.base = packed ? 0x80008000 : 0,
	};
	uint64_t table = row->table_addr ? row->table_addr : T;
	struct iol_chain chains[SIZE];
	struct guest g;
	unsigned int i;
	int rc;

	guest_init(&g);
	spec.mem = g.mem;
	for (i = 0; i < SIZE; i++)
		put(&g, A_GPA + DESC + i * 16ull, &row->ring[i], packed);
	for (i = 0; i < SIZE + 1; i++)
		put(&g, table + i * 16ull, &row->table[i], packed);
	if (!packed) {
		guest_write(&g, A_GPA + AVAIL + 2, &row->idx, 2);
		guest_write(&g, A_GPA + AVAIL + 4, row->avail, sizeof(row->avail));
	}
	assert_int_equal(iol_ring_start(g.ring, &spec), 0);

	iol_set_error(EIO, "none");
	rc = iol_ring_pop(g.ring, chains, 1);
	if (rc != row->rc)
		fail_msg("%s: pop returned %d in place of %d (%s)", row->name, rc, row->rc,
			 iol_error());
	if (rc > 0) {
		assert_int_equal(chains[0].nout, row->nout);
		assert_int_equal(chains[0].nin, row->nin);
		assert_int_equal(chains[0].out_len, row->out_len);
		assert_int_equal(chains[0].in_len, row->in_len);
		/* Whatever can be read may be touched. */
		for (i = 0; i < chains[0].nout; i++)
			__atomic_load_n((uint8_t *)chains[0].iov[i].iov_base, __ATOMIC_SEQ_CST);
		do {
			rc = iol_ring_pop(g.ring, chains + 1, 1);
		} while (rc > 0);
		if (rc != row->then)
			fail_msg("%s: the last pop returned %d in place of %d (%s)", row->name, rc,
				 row->then, iol_error());
	}
	if (rc < 0) {
		char sentence[IOL_ERROR_MAX];

		/* Broken for good, for the same reason; and safe to go on with. */
		snprintf(sentence, sizeof(sentence), "%s", iol_error());
		assert_string_not_equal(sentence, "none");
		iol_set_error(EIO, "none");
		assert_int_equal(iol_ring_pop(g.ring, chains, SIZE), rc);
		assert_string_equal(iol_error(), sentence);
		iol_ring_push(g.ring, 7, 1, 1);
		iol_ring_publish(g.ring);
		assert_false(iol_ring_arm(g.ring));
		iol_ring_disarm(g.ring);
	}
	guest_fini(&g);
}

static void split(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(split_rows) / sizeof(split_rows[0]); i++)
		run(&split_rows[i], false);
}

static void packed(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(packed_rows) / sizeof(packed_rows[0]); i++)
		run(&packed_rows[i], true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split),
		cmocka_unit_test(packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
