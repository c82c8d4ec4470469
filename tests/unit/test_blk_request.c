/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of every type, on every engine and kind of ring. */
#include "blk_rig.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
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

/* Write, flush, read back, at several sizes. */
static void round_trip(const struct rig_spec *spec)
{
	static const uint32_t sizes[] = { 512, 4096, 65536, MIB };
	struct rig rig;
	size_t i;

	assert_int_equal(rig_start(&rig, spec), 0);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
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
			.disk = { .direct = way & 4, .writethrough = way & 8 },
		};

		round_trip(&spec);
	}
	unlink(path);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_to_storage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
