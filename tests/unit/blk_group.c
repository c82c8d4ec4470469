/* SPDX-License-Identifier: BSD-3-Clause */
#include "blk_group.h"

#include "blk_faults.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct rig rig;
char *path;
uint64_t image_size;

int make_image(void **state)
{
	path = rig_image(program_invocation_short_name, image_size);
	return 0;
}

int drop_image(void **state)
{
	unlink(path);
	free(path);
	return 0;
}

int end(void **state)
{
	faults_release();
	rig_end(&rig);
	return 0;
}

void start_faulty(unsigned int threads, bool direct)
{
	struct rig_spec spec = {
		.file = path,
		.engine = &faults_engine,
		.threads = threads,
		.tracked = true,
		.disk = { .direct = direct, .stop_timeout_ms = 200, .lock_timeout_ms = 200 },
	};

	faults_set(NULL, 0);
	assert_int_equal(rig_start(&rig, &spec), 0);
	/* A file system in memory is never waited for, which is not what these tests are about. */
	rig.disk->image->resident = false;
	faults_image_of(rig.disk->image->ops);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
}

static void swap_ops(void *arg)
{
	rig.disk->image->ops = &faults_image;
}

void misbehave(void)
{
	iol_disk_queue_call(rig.disk, 0, swap_ops, NULL);
}

void send_write(unsigned int q, uint32_t slot, uint64_t sector, uint8_t byte, uint32_t len)
{
	struct rig_req req = { .type = VIRTIO_BLK_T_OUT,
			       .sector = sector,
			       .slot = slot,
			       .data = slot * 65536,
			       .len = len };

	memset(rig_data(&rig, q, req.data), byte, len);
	rig_send(&rig, q, &req);
}

void wait_held(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < 2000 && faults_held() != n; i++)
		usleep(1000);
	assert_int_equal(faults_held(), n);
}
