/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/sigbus.h"

#include <iolane/vhost_user.h>

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u

static int file_of(size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static uint8_t *map(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static sigjmp_buf jump;

static void earlier_handler(int sig)
{
	siglongjmp(jump, 1);
}

static void knows_its_ranges(void **state)
{
	int fd = file_of(4 * PAGE);
	uint8_t *p = map(fd, 4 * PAGE);
	struct iol_sigbus_range *a, *b;
	bool broken_a = false, broken_b = false;

	a = iol_sigbus_add(p, PAGE, -1, &broken_a);
	b = iol_sigbus_add(p + 2 * PAGE, PAGE, -1, &broken_b);
	assert_false(iol_sigbus_handle(p + PAGE));
	assert_false(iol_sigbus_handle(p + 3 * PAGE));
	assert_false(iol_sigbus_handle(NULL));
	assert_true(iol_sigbus_handle(p + 3 * PAGE - 1));
	assert_false(broken_a);
	assert_true(broken_b);
	iol_sigbus_remove(&a);
	assert_false(iol_sigbus_handle(p));
	/* The entry that is free is used again, for another range. */
	a = iol_sigbus_add(p + 3 * PAGE, PAGE, -1, &broken_a);
	assert_false(iol_sigbus_handle(p));
	assert_true(iol_sigbus_handle(p + 3 * PAGE));
	assert_true(broken_a);
	iol_sigbus_remove(&a);
	iol_sigbus_remove(&b);
	munmap(p, 4 * PAGE);
	close(fd);
}

/* Memory that outlives the device that it was shared with. */
static void tells_nobody_who_has_gone(void **state)
{
	int fd = file_of(2 * PAGE), wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	uint8_t *p = map(fd, 2 * PAGE);
	bool gone = false, other = false;
	struct iol_sigbus_range *a = iol_sigbus_add(p, PAGE, wake, &gone);
	struct iol_sigbus_range *b = iol_sigbus_add(p + PAGE, PAGE, wake, &other);
	uint64_t n;

	iol_sigbus_disown(&gone);
	assert_true(iol_sigbus_handle(p));
	assert_false(gone);
	assert_int_equal(read(wake, &n, sizeof(n)), -1);
	assert_true(iol_sigbus_handle(p + PAGE));
	assert_true(other);
	assert_int_equal(read(wake, &n, sizeof(n)), sizeof(n));
	iol_sigbus_remove(&a);
	iol_sigbus_remove(&b);
	munmap(p, 2 * PAGE);
	close(fd);
	close(wake);
}

/* cmocka has handlers of its own during a test, so that ours is installed inside one. */
static void survives_truncation(void)
{
	int fd = file_of(8 * PAGE), wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	volatile uint8_t *p = map(fd, 8 * PAGE);
	struct iol_sigbus_range *range;
	bool broken = false;
	uint64_t n;

	range = iol_sigbus_add((void *)(uintptr_t)p, 8 * PAGE, wake, &broken);
	assert_non_null(range);
	memset((void *)(uintptr_t)p, 0x5a, 8 * PAGE);
	assert_int_equal(ftruncate(fd, 3 * PAGE), 0);
	assert_int_equal(p[2 * PAGE], 0x5a);
	assert_false(broken);
	/* The first page past the end, then one that the first fault covered already. */
	assert_int_equal(p[3 * PAGE + 7], 0);
	assert_true(broken);
	assert_int_equal(read(wake, &n, sizeof(n)), sizeof(n));
	p[7 * PAGE] = 1;
	assert_int_equal(p[7 * PAGE], 1);
	assert_int_equal(read(wake, &n, sizeof(n)), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(p[2 * PAGE + 1], 0x5a);
	iol_sigbus_remove(&range);
	assert_null(range);
	iol_sigbus_remove(&range);
	munmap((void *)(uintptr_t)p, 8 * PAGE);
	close(fd);
	close(wake);
}

static void other_faults_go_to_the_earlier_handler(void)
{
	int fd = file_of(PAGE);
	volatile uint8_t *p = map(fd, PAGE);

	assert_int_equal(ftruncate(fd, 0), 0);
	if (!sigsetjmp(jump, 1)) {
		p[0] = 1;
		fail();
	}
	if (!sigsetjmp(jump, 1)) {
		raise(SIGBUS);
		fail();
	}
	munmap((void *)(uintptr_t)p, PAGE);
	close(fd);
}

static void with_an_earlier_handler(void **state)
{
	signal(SIGBUS, earlier_handler);
	assert_int_equal(iol_sigbus_install(), 0);
	assert_int_equal(iol_sigbus_install(), 0);
	survives_truncation();
	other_faults_go_to_the_earlier_handler();
}

/* In a child, as such a fault ends it. */
static int status_of(void (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		if (!iol_sigbus_install())
			fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void fault(void)
{
	volatile uint8_t *p = map(file_of(0), PAGE);

	p[0] = 1;
}

static void sent(void)
{
	raise(SIGBUS);
}

static void without_an_earlier_handler_the_process_ends(void **state)
{
	int status = status_of(fault);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	status = status_of(sent);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_its_ranges),
		cmocka_unit_test(tells_nobody_who_has_gone),
		cmocka_unit_test(without_an_earlier_handler_the_process_ends),
		cmocka_unit_test(with_an_earlier_handler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
