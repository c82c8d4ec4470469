/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of every type, on every engine and kind of ring, well and badly made. */
#include "blk_rig.h"

#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1u << 20)

static void fill(uint8_t *p, uint32_t len, uint32_t seed)
{
	uint32_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345;
		p[i] = (uint8_t)(seed >> 16);
	}
}

static bool all_are(const uint8_t *p, uint32_t len, uint8_t value)
{
	return p[0] == value && !memcmp(p, p + 1, len - 1);
}

static void setup(struct rig *rig, const struct rig_spec *spec)
{
	assert_int_equal(rig_start(rig, spec), 0);
	assert_int_equal(rig_queue_start(rig, 0), 0);
}

/* Write, flush, read back, at several sizes. */
static void round_trip(const struct rig_spec *spec)
{
	static const uint32_t sizes[] = { 512, 4096, 65536, MIB };
	struct rig rig;
	size_t i;

	setup(&rig, spec);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint8_t *out = rig_data(&rig, 0, 0), *in = rig_data(&rig, 0, 2 * MIB);

		fill(out, sizes[i], (uint32_t)i);
		assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_OUT, 8 + i * 4096, 0, sizes[i]), 0);
		assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
		assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 8 + i * 4096, 2 * MIB, sizes[i]),
				 0);
		assert_memory_equal(in, out, sizes[i]);
	}
	rig_end(&rig);
}

static void every_way_to_storage(void **state)
{
	char *path = rig_image("blk_request", 16 * MIB);
	unsigned int way;

	for (way = 0; way < 16; way++) {
		struct rig_spec spec = {
			.file = path,
			.engine = way & 1 ? &iol_engine_pool : &iol_engine_uring,
			.packed = way & 2,
			.event_idx = way & 8,
			.indirect = way & 4,
			.disk = { .direct = way & 4, .writethrough = way & 8 },
		};

		round_trip(&spec);
	}
	unlink(path);
	free(path);
}

/* Many at once, with as many pieces as there are; all land where they should. */
static void deep(void **state)
{
	char *path = rig_image("blk_deep", 16 * MIB);
	unsigned int way, i, n = 32;

	for (way = 0; way < 4; way++) {
		struct rig_spec spec = {
			.file = path,
			.engine = way & 1 ? &iol_engine_pool : &iol_engine_uring,
			.disk = { .direct = way & 2 },
		};
		struct rig rig;

		setup(&rig, &spec);
		for (i = 0; i < n; i++) {
			struct rig_req req = { .type = VIRTIO_BLK_T_OUT,
					       .sector = i * 8,
					       .data = i * 4096,
					       .len = 4096,
					       .slot = i };

			fill(rig_data(&rig, 0, i * 4096), 4096, way * n + i);
			rig_send(&rig, 0, &req);
		}
		for (i = 0; i < n; i++)
			assert_true(rig_wait(&rig, 0, NULL) >= 0);
		for (i = 0; i < n; i++) {
			struct rig_req req = { .type = VIRTIO_BLK_T_IN,
					       .sector = i * 8,
					       .data = MIB + i * 4096,
					       .len = 4096,
					       .slot = i };

			assert_int_equal(rig_status(&rig, 0, i), 0);
			rig_send(&rig, 0, &req);
		}
		for (i = 0; i < n; i++)
			assert_true(rig_wait(&rig, 0, NULL) >= 0);
		assert_memory_equal(rig_data(&rig, 0, 0), rig_data(&rig, 0, MIB), n * 4096);
		rig_end(&rig);
	}
	unlink(path);
	free(path);
}

/* Header cut in three, data begun in its last piece; data and status together, or all in bits. */
static void any_framing(void **state)
{
	char *path = rig_image("blk_framing", MIB);
	struct rig_spec spec = { .file = path, .indirect = true, .disk = { .direct = true } };
	struct iol_driver_seg segs[64];
	struct virtio_blk_outhdr *hdr;
	unsigned int pass, i, n;
	struct rig rig;
	uint8_t *base;
	uint32_t len;

	for (pass = 0; pass < 2; pass++) {
		spec.disk.direct = pass;
		setup(&rig, &spec);
		base = rig_data(&rig, 0, 3); /* and nothing is aligned */
		hdr = (void *)rig_data(&rig, 0, 64 * 1024);
		*hdr = (struct virtio_blk_outhdr){ .type = VIRTIO_BLK_T_OUT, .sector = 5 };
		memcpy(base, hdr, sizeof(*hdr));
		fill(base + 16, 1024, 77 + pass);
		segs[0] = (struct iol_driver_seg){ rig_gpa(&rig, base), 5, false };
		segs[1] = (struct iol_driver_seg){ rig_gpa(&rig, base + 5), 3, false };
		segs[2] = (struct iol_driver_seg){ rig_gpa(&rig, base + 8), 8 + 1000, false };
		segs[3] = (struct iol_driver_seg){ rig_gpa(&rig, base + 1016), 24, false };
		segs[4] = (struct iol_driver_seg){ rig_gpa(&rig, base + 2000), 1, true };
		base[2000] = 0xee;
		rig_send_raw(&rig, 0, segs, 5, 1);
		assert_int_equal(rig_wait(&rig, 0, &len), 1);
		assert_int_equal(base[2000], VIRTIO_BLK_S_OK);
		assert_int_equal(len, 1);

		/* Read back into 50 pieces, the status in the last byte of the last. */
		hdr->type = VIRTIO_BLK_T_IN;
		segs[0] = (struct iol_driver_seg){ rig_gpa(&rig, hdr), 16, false };
		for (i = 0, n = 0; n < 1025; i++) {
			uint32_t piece = 1025 - n < 21 ? 1025 - n : 21;

			/* cppcheck-suppress arrayIndexOutOfBounds ; 1025 bytes are 49 pieces */
			segs[1 + i] = (struct iol_driver_seg){ rig_gpa(&rig, base + 3000 + n),
							       piece, true };
			n += piece;
		}
		base[3000 + 1024] = 0xee;
		rig_send_raw(&rig, 0, segs, 1 + i, 2);
		assert_int_equal(rig_wait(&rig, 0, &len), 2);
		assert_int_equal(len, 1025);
		assert_int_equal(base[3000 + 1024], VIRTIO_BLK_S_OK);
		assert_memory_equal(base + 3000, base + 16, 1024);
		rig_end(&rig);
	}
	unlink(path);
	free(path);
}

static void get_id(void **state)
{
	char *path = rig_image("blk_id", MIB);
	struct rig_spec spec = { .file = path, .disk = { .serial = "12345678901234567890" } };
	struct rig rig;

	setup(&rig, &spec);
	memset(rig_data(&rig, 0, 0), 'x', 64);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_GET_ID, 0, 0, 20), 0);
	assert_memory_equal(rig_data(&rig, 0, 0), "12345678901234567890x", 21);
	/* No more room than there is. */
	memset(rig_data(&rig, 0, 0), 'x', 64);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_GET_ID, 0, 0, 4), 0);
	assert_memory_equal(rig_data(&rig, 0, 0), "1234xx", 6);
	rig_end(&rig);
	spec.disk.serial = NULL;
	setup(&rig, &spec);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_GET_ID, 0, 0, 20), 0);
	assert_memory_equal(rig_data(&rig, 0, 0), "blk_id.", 7);
	rig_end(&rig);
	unlink(path);
	free(path);
}

static void out_of_range(void **state)
{
	char *path = rig_image("blk_range", MIB);
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t len;
		int status;
	} cases[] = {
		{ VIRTIO_BLK_T_IN, 2047, 512, VIRTIO_BLK_S_OK },
		{ VIRTIO_BLK_T_IN, 2047, 1024, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 2047, 1024, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 2048, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 2048, 0, VIRTIO_BLK_S_OK },
		{ VIRTIO_BLK_T_IN, 2049, 0, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, UINT64_MAX, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, UINT64_MAX, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 1ull << 55, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, 511, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 0, 513, VIRTIO_BLK_S_IOERR },
		{ 99, 0, 0, VIRTIO_BLK_S_UNSUPP },
		{ VIRTIO_BLK_T_SCSI_CMD, 0, 512, VIRTIO_BLK_S_UNSUPP },
		{ VIRTIO_BLK_T_SECURE_ERASE, 0, 16, VIRTIO_BLK_S_UNSUPP },
	};
	struct rig_spec spec = { .file = path };
	struct rig rig;
	size_t i;

	setup(&rig, &spec);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(rig_do(&rig, 0, cases[i].type, cases[i].sector, 0, cases[i].len),
				 cases[i].status);
	rig_end(&rig);
	unlink(path);
	free(path);
}

static void read_only(void **state)
{
	char *path = rig_image("blk_ro", MIB);
	struct rig_spec spec = { .file = path, .disk = { .read_only = true } };
	struct rig rig;

	setup(&rig, &spec);
	assert_true(iol_disk_features(rig.disk) & 1ull << VIRTIO_BLK_F_RO);
	assert_false(iol_disk_features(rig.disk) & 1ull << VIRTIO_BLK_F_DISCARD);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 0, 0, 512), 0);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_OUT, 0, 0, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_DISCARD, 0, 0, 16), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, 0, 16), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
	rig_end(&rig);
	unlink(path);
	free(path);
}

/* Chains that are no requests end the queue, and only it; and what came before is answered. */
static void no_request(void **state)
{
	static const struct {
		uint32_t out, in;
	} cases[] = { { 15, 1 }, { 0, 1 }, { 16, 0 }, { 8, 512 } };
	struct rig_spec spec = { .file = "null:1M" };
	struct rig rig;
	size_t i;

	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_int_equal(rig_queue_start(&rig, 1), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct iol_driver_seg segs[2];
		unsigned int n = 0, wait;

		assert_int_equal(rig_queue_start(&rig, 0), 0);
		assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 0, 0, 512), 0);
		memset(rig_data(&rig, 0, 0), 0, 1024);
		if (cases[i].out)
			segs[n++] = (struct iol_driver_seg){ rig_gpa(&rig, rig_data(&rig, 0, 0)),
							     cases[i].out, false };
		if (cases[i].in)
			segs[n++] = (struct iol_driver_seg){ rig_gpa(&rig, rig_data(&rig, 0, 512)),
							     cases[i].in, true };
		rig_send_raw(&rig, 0, segs, n, 9);
		for (wait = 0; wait < 2000; wait++) {
			if (__atomic_load_n(&rig.q[0].failed, __ATOMIC_SEQ_CST))
				break;
			usleep(10000);
		}
		assert_true(rig.q[0].failed);
		assert_non_null(strstr(rig_log(), "queue failed: a request"));
		rig_log_clear();
		rig_queue_stop(&rig, 0);
		iol_driver_destroy(&rig.q[0].driver);
		assert_int_equal(rig_do(&rig, 1, VIRTIO_BLK_T_IN, 0, 0, 512), 0);
	}
	rig_end(&rig);
}

struct range {
	uint64_t sector;
	uint32_t sectors, flags;
};

static int do_ranges(struct rig *rig, uint32_t type, const struct range *r, uint32_t n)
{
	memcpy(rig_data(rig, 0, 8 * MIB), r, n * sizeof(*r));
	return rig_do(rig, 0, type, 0, 8 * MIB, n * 16);
}

static uint64_t allocated(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void ranges(void **state)
{
	char *path = rig_image("blk_ranges", 4 * MIB);
	unsigned int way;

	for (way = 0; way < 4; way++) {
		struct rig_spec spec = {
			.file = path,
			.engine = way & 1 ? &iol_engine_pool : &iol_engine_uring,
			.disk = { .direct = way & 2, .writethrough = way & 1 },
		};
		const struct range two[] = { { 0, 128, 0 }, { 1024, 128, 0 } };
		const struct range unmap = { 2048, 2048, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP };
		const struct range none[] = { { 0, 0, 0 }, { 8192, 0, 0 } };
		struct rig rig;
		uint64_t before;
		uint8_t *in;

		setup(&rig, &spec);
		in = rig_data(&rig, 0, 4 * MIB);
		memset(rig_data(&rig, 0, 0), 0xaa, 2 * MIB);
		assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_OUT, 0, 0, 2 * MIB), 0);
		assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);

		assert_int_equal(do_ranges(&rig, VIRTIO_BLK_T_WRITE_ZEROES, two, 2), 0);
		assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 0, 4 * MIB, 2 * MIB), 0);
		assert_true(all_are(in, 65536, 0));
		assert_true(all_are(in + 65536, 512 * 1024 - 65536, 0xaa));
		assert_true(all_are(in + 512 * 1024, 65536, 0));
		assert_true(all_are(in + 576 * 1024, 448 * 1024, 0xaa));
		assert_int_equal(do_ranges(&rig, VIRTIO_BLK_T_WRITE_ZEROES, none, 2), 0);

		before = allocated(path);
		assert_int_equal(do_ranges(&rig, VIRTIO_BLK_T_WRITE_ZEROES, &unmap, 1), 0);
		assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 2048, 4 * MIB, MIB), 0);
		assert_true(all_are(in, MIB, 0));
		if (rig.disk->image->unmap)
			assert_true(allocated(path) < before);
		if (rig.disk->discard) {
			before = allocated(path);
			assert_int_equal(do_ranges(&rig, VIRTIO_BLK_T_DISCARD, two, 2), 0);
			assert_true(allocated(path) < before);
		}
		rig_end(&rig);
	}
	unlink(path);
	free(path);
}

static void bad_ranges(void **state)
{
	char *path = rig_image("blk_bad_ranges", 4 * MIB);
	struct rig_spec spec = { .file = path };
	static const struct {
		uint32_t type;
		struct range r;
		int status;
	} cases[] = {
		{ VIRTIO_BLK_T_WRITE_ZEROES, { 0, 8, 2 }, VIRTIO_BLK_S_UNSUPP },
		{ VIRTIO_BLK_T_WRITE_ZEROES, { 0, 8, 1u << 31 }, VIRTIO_BLK_S_UNSUPP },
		{ VIRTIO_BLK_T_DISCARD, { 0, 8, 1 }, VIRTIO_BLK_S_UNSUPP },
		{ VIRTIO_BLK_T_DISCARD, { 8192, 1, 0 }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_DISCARD, { 8191, 2, 0 }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_DISCARD, { UINT64_MAX, 1, 0 }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_WRITE_ZEROES, { 8000, UINT32_MAX, 0 }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_WRITE_ZEROES, { 1ull << 55, 8, 0 }, VIRTIO_BLK_S_IOERR },
	};
	struct range many[IOL_BLK_SEGS_MAX + 1];
	struct rig rig;
	size_t i;

	setup(&rig, &spec);
	assert_true(rig.disk->discard);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(do_ranges(&rig, cases[i].type, &cases[i].r, 1), cases[i].status);
	for (i = 0; i <= IOL_BLK_SEGS_MAX; i++)
		many[i] = (struct range){ i, 1, 0 };
	assert_int_equal(do_ranges(&rig, VIRTIO_BLK_T_WRITE_ZEROES, many, IOL_BLK_SEGS_MAX), 0);
	assert_int_equal(do_ranges(&rig, VIRTIO_BLK_T_WRITE_ZEROES, many, IOL_BLK_SEGS_MAX + 1),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, 0, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, 0, 15), VIRTIO_BLK_S_IOERR);
	rig_end(&rig);
	unlink(path);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_to_storage), cmocka_unit_test(deep),
		cmocka_unit_test(any_framing),          cmocka_unit_test(get_id),
		cmocka_unit_test(out_of_range),         cmocka_unit_test(read_only),
		cmocka_unit_test(no_request),           cmocka_unit_test(ranges),
		cmocka_unit_test(bad_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
