/* SPDX-License-Identifier: BSD-3-Clause */
/* Ways to storage that not every machine has, and what is done without them. */
#include "base/error.h"
#include "blk_faults.h"
#include "blk_group.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void round_trip(uint32_t len, uint8_t seed)
{
	uint8_t *out = rig_data(&rig, 0, 0), *in = rig_data(&rig, 0, 2 * MIB);
	uint32_t i;

	for (i = 0; i < len; i++)
		out[i] = (uint8_t)(i / 4096 * 31 + i + seed);
	memset(in, 0, len);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_OUT, 16, 0, len), 0);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 16, 2 * MIB, len), 0);
	assert_memory_equal(in, out, len);
}

static void sqpoll(void **state)
{
	struct rig_spec spec = { .file = path, .sqpoll = true, .disk = { .direct = true } };

	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	round_trip(MIB, 1);
	round_trip(4096, 2);
}

/* Where the device has no queues for it, it is said once, and done without. */
static void iopoll(void **state)
{
	struct rig_spec spec = { .file = path, .disk = { .direct = true, .iopoll = true } };

	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	round_trip(MIB, 3);
	round_trip(4096, 4);
	assert_true(IOL_STAT_GET(rig.disk->image->iopoll) ||
		    strstr(rig_log(), "is not polled for completions"));
}

static void take_mem(void *arg)
{
	assert_int_equal(iol_ring_set_mem(rig.q[0].ring, arg), 0);
}

static void fixed_buffers(void **state)
{
	struct rig_spec spec = { .file = path, .disk = { .direct = true, .fixed_buffers = true } };
	struct iol_mem_desc more = { .gpa = 2ull << 32, .uaddr = 1ull << 40, .size = MIB };
	struct iol_mem *mem;
	int rc;

	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_non_null(strstr(rig_log(), "fixed buffers pin all of guest memory"));
	rc = rig_queue_start(&rig, 0);
	if (rc == -ENOMEM)
		skip();
	assert_int_equal(rc, 0);
	round_trip(MIB, 5);
	/* Another table: its memory is registered in place of the old. */
	assert_int_equal(iol_mem_add(rig.mem, &more, rig.memfd, rig.wake_fd, &rig.broken, &mem), 0);
	iol_disk_queue_call(rig.disk, 0, take_mem, mem);
	assert_ptr_equal(iol_fixed_mem(rig.disk->queue[0]->fixed), mem);
	round_trip(MIB, 6);
	iol_mem_unref(&mem);
}

/* The sentence says how much must be lockable. */
static void no_memlock(void **state)
{
	struct rig_spec spec = { .file = path, .disk = { .direct = true, .fixed_buffers = true } };
	int status;
	pid_t pid;

	assert_int_equal(chmod(path, 0666), 0);
	pid = fork();
	if (!pid) {
		struct rlimit none = { MIB, MIB };

		/* Whoever may lock as much as he likes is told no limit. */
		if (setrlimit(RLIMIT_MEMLOCK, &none) || setgid(65534) || setuid(65534))
			_exit(77);
		if (access(path, R_OK | W_OK) || rig_start(&rig, &spec))
			_exit(77);
		if (rig_queue_start(&rig, 0) != -ENOMEM)
			_exit(1);
		_exit(strstr(iol_error(), "64 MiB a data thread, and the limit on locked memory is "
					  "1 MiB")
			      ? 0
			      : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static bool forbid_io_uring(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = 4, .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

/* 0, or the number of the step that went wrong. */
static int without_io_uring(void)
{
	struct iol_blk_threads_spec spec = { .num = 1, .engine = IOL_BLK_ENGINE_URING };
	struct iol_blk_threads *threads = NULL;
	struct rig_spec r = { .file = "null:1M" };

	if (!forbid_io_uring())
		return 77;
	if (rig_start(&rig, &r) != -EPERM)
		return 1;
	rig_end(&rig);
	if (iol_blk_threads_new(&spec, &threads) != -EPERM ||
	    !strstr(iol_error(), "io_uring is forbidden here"))
		return 2;
	spec.engine = IOL_BLK_ENGINE_AUTO;
	if (iol_blk_threads_new(&spec, &threads) ||
	    strcmp(iol_blk_threads_engine(threads), "pool") != 0)
		return 3;
	if (!strstr(rig_log(), "io_uring is forbidden here") ||
	    !strstr(rig_log(), "at a fraction of the speed"))
		return 4;
	iol_blk_threads_destroy(&threads);
	return 0;
}

static void forbidden(void **state)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(without_io_uring());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void look_at_stall(void *arg)
{
	*(uint64_t *)arg = rig.disk->queue[0]->paths.write_stall;
}

/* A write that blocks its thread sends the next ones to the pool. */
static void stall(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	struct rig_req req = { .type = VIRTIO_BLK_T_OUT, .len = 4096 };
	struct rig_spec spec = { .file = path };
	uint64_t stalled;

	assert_int_equal(rig_start(&rig, &spec), 0);
	rig.disk->image->resident = false;
	faults_image_of(rig.disk->image->ops);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	misbehave();
	iol_disk_queue_call(rig.disk, 0, look_at_stall, &stalled);
	assert_int_equal(stalled, 0);
	faults_set(&hold, 1);
	rig_send(&rig, 0, &req);
	while (!faults_held())
		usleep(100);
	usleep(10000);
	faults_release();
	assert_int_equal(rig_wait(&rig, 0, NULL), 0);
	iol_disk_queue_call(rig.disk, 0, look_at_stall, &stalled);
	assert_true(stalled > 0);
	round_trip(65536, 7);
}

/* A disk on a loop device that goes when nobody has it open any more; skips where there is none. */
static void start_on_loop(void)
{
	struct rig_spec spec = { .disk = { .direct = true } };
	char command[256], dev[64] = "";
	FILE *f;

	snprintf(command, sizeof(command), "losetup -f --show %s 2>/dev/null", path);
	f = popen(command, "r");
	assert_non_null(f);
	if (!fgets(dev, sizeof(dev), f))
		dev[0] = '\0';
	pclose(f);
	dev[strcspn(dev, "\n")] = '\0';
	if (!dev[0])
		skip();
	spec.file = dev;
	snprintf(command, sizeof(command), "losetup -d %s", dev);
	if (rig_start(&rig, &spec)) {
		system(command);
		fail_msg("%s", iol_error());
	}
	if (system(command))
		print_message("can't detach %s\n", dev);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	assert_true(rig.disk->image->device);
}

struct range {
	uint64_t sector;
	uint32_t sectors, flags;
};

/* What only block devices have. */
static void block_device(void **state)
{
	struct range range = { 16, 2048, 0 };
	uint32_t i, len = MIB;

	start_on_loop();
	assert_int_equal(iol_disk_capacity(rig.disk), 16 * MIB);
	assert_int_equal(iol_disk_resize(rig.disk, &(uint64_t){ 32 * MIB }), -EINVAL);
	round_trip(len, 8);
	memcpy(rig_data(&rig, 0, 4 * MIB), &range, sizeof(range));
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, 4 * MIB, sizeof(range)), 0);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 16, 2 * MIB, len), 0);
	for (i = 0; i < len && !rig_data(&rig, 0, 2 * MIB)[i]; i++)
		;
	assert_int_equal(i, len);
	if (rig.disk->discard)
		assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_DISCARD, 0, 4 * MIB, sizeof(range)),
				 0);
	assert_false(rig.disk->secure_erase);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_SECURE_ERASE, 0, 4 * MIB, sizeof(range)),
			 VIRTIO_BLK_S_UNSUPP);
	round_trip(len, 9);
}

/* A loop device has no secure erase; with this it has, as the kernel's ioctl is (block/ioctl.c). */
static bool lend_secure_erase;
static uint64_t erased[2];

int ioctl(int fd, unsigned long command, ...)
{
	uint64_t *range;
	va_list args;

	va_start(args, command);
	range = va_arg(args, void *);
	va_end(args);
	if (!lend_secure_erase || command != BLKSECDISCARD)
		return (int)syscall(SYS_ioctl, fd, command, range);
	if ((range[0] | range[1]) % 512 || range[0] + range[1] > 16 * MIB) {
		errno = EINVAL;
		return -1;
	}
	memcpy(erased, range, sizeof(erased));
	return 0;
}

static int take_secure_erase(void **state)
{
	lend_secure_erase = false;
	return end(state);
}

static void secure_erase(void **state)
{
	struct range range = { 16, 2048, 0 };

	lend_secure_erase = true;
	start_on_loop();
	assert_true(rig.disk->secure_erase);
	assert_true(iol_disk_features(rig.disk) & (1ull << VIRTIO_BLK_F_SECURE_ERASE));
	memcpy(rig_data(&rig, 0, 4 * MIB), &range, sizeof(range));
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_SECURE_ERASE, 0, 4 * MIB, sizeof(range)), 0);
	assert_int_equal(erased[0], range.sector * 512);
	assert_int_equal(erased[1], range.sectors * 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(sqpoll, end),
		cmocka_unit_test_teardown(iopoll, end),
		cmocka_unit_test_teardown(fixed_buffers, end),
		cmocka_unit_test(no_memlock),
		cmocka_unit_test(forbidden),
		cmocka_unit_test_teardown(stall, end),
		cmocka_unit_test_teardown(block_device, end),
		cmocka_unit_test_teardown(secure_erase, take_secure_erase),
	};

	image_size = 16 * MIB;
	return cmocka_run_group_tests(tests, make_image, drop_image);
}
