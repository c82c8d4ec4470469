/* SPDX-License-Identifier: BSD-3-Clause */
/* The image's lock: among ourselves, with QEMU's tools, and after a kill in the middle of I/O. */
#include "base/clock.h"
#include "base/error.h"
#include "blk_group.h"
#include "vhost-user/blk/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int open_image(bool write)
{
	int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void writers_and_readers(void **state)
{
	/* What the first has, what the second wants, whether it may. */
	static const struct {
		bool first, second, both;
	} cases[] = {
		{ true, true, false },
		{ true, false, false },
		{ false, true, false },
		{ false, false, true },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int one = open_image(cases[i].first), two = open_image(cases[i].second);

		assert_int_equal(iol_lock_image(one, path, cases[i].first, 0, NULL), 0);
		assert_int_equal(iol_lock_image(two, path, cases[i].second, 0, NULL),
				 cases[i].both ? 0 : -EBUSY);
		if (!cases[i].both)
			assert_non_null(strstr(iol_error(), "is locked"));
		/* The one that failed has left nothing behind, and the first still has it. */
		assert_int_equal(iol_lock_image(one, path, cases[i].first, 0, NULL), 0);
		iol_unlock_image(one);
		assert_int_equal(iol_lock_image(two, path, cases[i].second, 0, NULL), 0);
		close(two);
		close(one);
	}
}

static void disks(void **state)
{
	struct rig_spec spec = { .file = path, .disk = { .lock_timeout_ms = 100 } };
	struct rig one, two;

	assert_int_equal(rig_start(&one, &spec), 0);
	assert_int_equal(rig_start(&two, &spec), 0);
	assert_int_equal(rig_queue_start(&one, 0), 0);
	assert_int_equal(rig_queue_start(&two, 0), -EBUSY);
	assert_non_null(strstr(rig_log(), "waiting up to 100 ms for the lock of image"));
	assert_non_null(strstr(iol_error(), "this one"));
	assert_int_equal(rig_queue_start(&one, 1), 0);
	rig_queue_stop(&one, 0);
	assert_int_equal(rig_queue_start(&two, 0), -EBUSY);
	/* Let go with the last ring. */
	rig_queue_stop(&one, 1);
	assert_int_equal(rig_queue_start(&two, 0), 0);
	rig_end(&two);
	rig_end(&one);
}

__attribute__((format(printf, 1, 2))) static int run(const char *format, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	return system(command);
}

static void qemu_img(void **state)
{
	struct rig_spec spec = { .file = path, .disk = { .lock_timeout_ms = 50 } };

	if (run("qemu-img --version >/dev/null 2>&1"))
		skip();
	assert_int_equal(run("qemu-img info %s >/dev/null", path), 0);
	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	assert_int_equal(run("qemu-img info -U %s >/dev/null", path), 0);
	assert_int_not_equal(run("qemu-img resize -f raw %s +1M >/dev/null 2>&1", path), 0);
	assert_int_not_equal(run("qemu-io -f raw -c 'write 0 512' %s >/dev/null 2>&1", path), 0);
	rig_queue_stop(&rig, 0);
	assert_int_equal(run("qemu-io -f raw -c 'write 0 512' %s >/dev/null", path), 0);
	rig_end(&rig);

	spec.disk.read_only = true;
	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	assert_int_equal(run("qemu-img info %s >/dev/null", path), 0);
	assert_int_not_equal(run("qemu-io -f raw -c 'write 0 512' %s >/dev/null 2>&1", path), 0);
	rig_end(&rig);
}

/* QEMU has the image open for writing: we wait, then give up; when it has gone we get it. */
static void qemu_has_it(void **state)
{
	struct rig_spec spec = { .file = path, .disk = { .lock_timeout_ms = 50 } };
	int go[2], ready[2];
	int status;
	pid_t pid;
	char byte;

	if (run("qemu-io --version >/dev/null 2>&1"))
		skip();
	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		/* It reads commands from our pipe, and answers once it has the image open. */
		dup2(go[0], 0);
		dup2(ready[1], 1);
		close(go[1]);
		execlp("qemu-io", "qemu-io", "-f", "raw", path, NULL);
		_exit(127);
	}
	assert_int_equal(write(go[1], "write 0 512\n", 12), 12);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_int_equal(rig_queue_start(&rig, 0), -EBUSY);
	assert_non_null(strstr(iol_error(), "qemu-io"));
	assert_int_equal(write(go[1], "quit\n", 5), 5);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	rig_end(&rig);
	close(go[0]);
	close(go[1]);
	close(ready[0]);
	close(ready[1]);
}

/* A child that writes as fast as it can, until it is killed. */
static void write_for_ever(int ready, bool direct)
{
	struct rig_spec spec = { .file = path, .disk = { .direct = direct } };
	uint32_t i, slot, depth = 32;

	if (rig_start(&rig, &spec) || rig_queue_start(&rig, 0))
		_exit(2);
	memset(rig_data(&rig, 0, 0), 0x11, 4 * MIB);
	for (i = 0; i < depth; i++) {
		struct rig_req req = {
			.type = VIRTIO_BLK_T_OUT, .sector = i * 256, .len = 131072, .slot = i
		};

		rig_send(&rig, 0, &req);
	}
	for (i = 0;; i++) {
		struct rig_req req = { .type = VIRTIO_BLK_T_OUT, .len = 131072 };
		long got = rig_wait(&rig, 0, NULL);

		if (got < 0)
			_exit(3);
		slot = (uint32_t)got;
		req.slot = slot;
		req.sector = slot * 256 + (i & 1) * 8192;
		rig_send(&rig, 0, &req);
		if (i == 50 && write(ready, "x", 1) != 1)
			_exit(4);
	}
}

/*
 * Killed in the middle: whoever gets the lock afterwards must not see the image change under it, as
 * the dead process's last writes have ended.
 */
static void killed(void **state)
{
	struct rig_spec spec = { .file = path };
	unsigned int direct;

	for (direct = 0; direct < 2; direct++) {
		int ready[2], status, i;
		char byte;
		pid_t pid;

		assert_int_equal(pipe(ready), 0);
		pid = fork();
		if (!pid)
			write_for_ever(ready[1], direct);
		/* So that a child that dies is seen. */
		close(ready[1]);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		kill(pid, SIGKILL);
		/* Not waited for: the kernel may still be at its I/O. */
		assert_int_equal(rig_start(&rig, &spec), 0);
		assert_int_equal(rig_queue_start(&rig, 0), 0);
		memset(rig_data(&rig, 0, 0), 0x22, 4 * MIB);
		for (i = 0; i < 16; i++)
			assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_OUT, (uint64_t)i * 8192, 0,
						4 * MIB),
					 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		for (i = 0; i < 16; i++) {
			uint8_t *in = rig_data(&rig, 0, 4 * MIB);

			assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, (uint64_t)i * 8192,
						4 * MIB, 4 * MIB),
					 0);
			assert_true(in[0] == 0x22 && !memcmp(in, in + 1, 4 * MIB - 1));
		}
		rig_end(&rig);
		close(ready[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed),      cmocka_unit_test(writers_and_readers),
		cmocka_unit_test(disks),       cmocka_unit_test(qemu_img),
		cmocka_unit_test(qemu_has_it),
	};

	image_size = 64 * MIB;
	return cmocka_run_group_tests(tests, make_image, drop_image);
}
