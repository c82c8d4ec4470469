/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/error.h"
#include "vhost-user/memory.h"

#include <iolane/vhost_user.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096ull

static bool broken;

static int file_of(size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static struct iol_mem *table(const struct iol_mem_desc *desc, const int *fds, unsigned int n)
{
	struct iol_mem *mem = NULL;

	assert_int_equal(iol_mem_new(desc, fds, n, -1, &broken, &mem), 0);
	return mem;
}

/* Adjacent guest regions from one file, in reverse order, so that here they are no neighbours. */
static void straddling_ranges(void **state)
{
	const struct iol_mem_desc desc[] = {
		{ 0x10000, 4 * PAGE, 0x7f0000010000, 0 },
		{ 0x10000 + 4 * PAGE, 2 * PAGE, 0x7f0000000000, 8 * PAGE },
		{ 0x100000, PAGE, 0x7f0000100000, 5 * PAGE },
	};
	int fd = file_of(10 * PAGE), fds[] = { fd, fd, fd };
	struct iol_mem *mem = table(desc, fds, 3);
	struct iovec iov[4];

	assert_int_equal(pwrite(fd, "A", 1, 4 * PAGE - 1), 1);
	assert_int_equal(pwrite(fd, "B", 1, 8 * PAGE), 1);
	assert_int_equal(iol_mem_iov(mem, 0x10000, 6 * PAGE, iov, 4), 2);
	assert_int_equal(iov[0].iov_len, 4 * PAGE);
	assert_int_equal(iov[1].iov_len, 2 * PAGE);
	assert_int_equal(((char *)iov[0].iov_base)[4 * PAGE - 1], 'A');
	assert_int_equal(((char *)iov[1].iov_base)[0], 'B');
	assert_int_equal(iol_mem_iov(mem, 0x10000 + 4 * PAGE - 1, 2, iov, 4), 2);
	assert_int_equal(iol_mem_iov(mem, 0x10000 + 4 * PAGE - 1, 2, iov, 1), -E2BIG);
	assert_int_equal(iol_mem_iov(mem, 0x10000 + 4 * PAGE - 1, 1, iov, 1), 1);
	assert_int_equal(iol_mem_iov(mem, 0x10000, 6 * PAGE + 1, iov, 4), -EFAULT);
	assert_int_equal(iol_mem_iov(mem, 0xffff, 2, iov, 4), -EFAULT);
	assert_int_equal(iol_mem_iov(mem, 0x10000 + 6 * PAGE, 1, iov, 4), -EFAULT);
	assert_int_equal(iol_mem_iov(mem, 0x101000, 1, iov, 4), -EFAULT);
	assert_int_equal(iol_mem_iov(mem, UINT64_MAX, 1, iov, 4), -EFAULT);
	assert_int_equal(iol_mem_iov(mem, 0x100fff, UINT64_MAX, iov, 4), -EFAULT);
	assert_int_equal(iol_mem_iov(mem, 0x100000, 0, iov, 4), 0);
	assert_int_equal(iol_mem_iov_uaddr(mem, 0x7f0000010000 + 8, 16, iov, 4), 1);
	assert_ptr_equal(iov[0].iov_base, mem->region[0]->host + 8);
	assert_int_equal(iol_mem_iov_uaddr(mem, 0x7f0000000000 + 2 * PAGE - 1, 2, iov, 4), -EFAULT);
	assert_int_equal(iol_mem_iov_uaddr(mem, UINT64_MAX, 2, iov, 4), -EFAULT);
	iol_mem_unref(&mem);
	assert_null(mem);
	close(fd);
}

static void lookups_at_the_edges(void **state)
{
	const struct iol_mem_desc desc[] = {
		{ 0x4000, PAGE, 0x1000, 0 },
		{ 0x0, PAGE, 0x9000, PAGE },
		{ 0x2000, PAGE, 0x5000, 2 * PAGE },
	};
	int fd = file_of(3 * PAGE), fds[] = { fd, fd, fd };
	struct iol_mem *mem = table(desc, fds, 3);
	unsigned int i;

	for (i = 0; i < 3; i++) {
		const struct iol_mem_desc *d = &desc[i];
		const struct iol_region *reg = iol_mem_find_gpa(mem, d->gpa);

		assert_non_null(reg);
		assert_int_equal(reg->uaddr, d->uaddr);
		assert_ptr_equal(iol_mem_find_gpa(mem, d->gpa + PAGE - 1), reg);
		assert_null(iol_mem_find_gpa(mem, d->gpa + PAGE));
		assert_null(iol_mem_find_gpa(mem, d->gpa - 1));
		assert_ptr_equal(iol_mem_find_uaddr(mem, d->uaddr), reg);
		assert_ptr_equal(iol_mem_find_uaddr(mem, d->uaddr + PAGE - 1), reg);
		assert_null(iol_mem_find_uaddr(mem, d->uaddr + PAGE));
		assert_null(iol_mem_find_uaddr(mem, d->uaddr - 1));
		assert_ptr_equal(iol_mem_find_host(mem, reg->host), reg);
		assert_ptr_equal(iol_mem_find_host(mem, reg->host + PAGE - 1), reg);
	}
	assert_null(iol_mem_find_host(mem, &fd));
	iol_mem_unref(&mem);
	mem = table(NULL, NULL, 0);
	assert_null(iol_mem_find_gpa(mem, 0));
	assert_null(iol_mem_find_uaddr(mem, 0));
	assert_null(iol_mem_find_host(mem, &fd));
	iol_mem_unref(&mem);
	close(fd);
}

/* The same memory at two guest addresses, as aliases in a front end make it. */
static void user_addresses_may_nest(void **state)
{
	const struct iol_mem_desc desc[] = {
		{ 0, 4 * PAGE, 0x10000, 0 },
		{ 0x100000, PAGE, 0x11000, PAGE },
	};
	int fd = file_of(4 * PAGE), fds[] = { fd, fd };
	struct iol_mem *mem = table(desc, fds, 2);
	struct iovec iov[4];

	assert_int_equal(iol_mem_find_uaddr(mem, 0x13000)->gpa, 0);
	assert_int_equal(iol_mem_find_uaddr(mem, 0x10000)->gpa, 0);
	assert_non_null(iol_mem_find_uaddr(mem, 0x11000));
	assert_in_range(iol_mem_iov_uaddr(mem, 0x10000, 4 * PAGE, iov, 4), 1, 3);
	iol_mem_unref(&mem);
	close(fd);
}

static void offsets_within_a_page(void **state)
{
	const struct iol_mem_desc desc = { 0x1000, 1000, 0x2000, PAGE + 100 };
	int fd = file_of(2 * PAGE);
	struct iol_mem *mem;
	struct iovec iov;

	assert_int_equal(pwrite(fd, "x", 1, PAGE + 100 + 999), 1);
	mem = table(&desc, &fd, 1);
	assert_int_equal(iol_mem_iov(mem, 0x1000 + 999, 1, &iov, 1), 1);
	assert_int_equal(*(char *)iov.iov_base, 'x');
	iol_mem_unref(&mem);
	close(fd);
}

static void refuses_what_makes_no_sense(void **state)
{
	static const struct {
		struct iol_mem_desc desc[2];
		unsigned int n;
	} cases[] = {
		{ { { 0, 0, 0, 0 } }, 1 },
		{ { { 0, 4 * PAGE + 1, 0, 0 } }, 1 },
		{ { { 0, PAGE, 0, 4 * PAGE } }, 1 },
		{ { { 0, 1, 0, 4 * PAGE } }, 1 },
		{ { { UINT64_MAX - 10, PAGE, 0, 0 } }, 1 },
		{ { { 0, PAGE, UINT64_MAX - 10, 0 } }, 1 },
		{ { { 0, PAGE, 0, UINT64_MAX - 10 } }, 1 },
		{ { { 0, PAGE, 0, INT64_MAX - 10 } }, 1 },
		{ { { 0, UINT64_MAX, 0, 0 } }, 1 },
		{ { { 0, 2 * PAGE, 0, 0 }, { PAGE, PAGE, 0x9000, 0 } }, 2 },
		{ { { PAGE, PAGE, 0, 0 }, { PAGE, PAGE, 0x9000, 0 } }, 2 },
		{ { { 0, PAGE, 0, 0 }, { PAGE, 0, 0x9000, 0 } }, 2 },
	};
	int fd = file_of(4 * PAGE), fds[] = { fd, fd };
	struct iol_mem *mem = NULL;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(iol_mem_new(cases[i].desc, fds, cases[i].n, -1, &broken, &mem),
				 -EINVAL);
		assert_null(mem);
	}
	assert_int_equal(iol_mem_new(cases[0].desc, fds, IOL_MEM_SLOTS + 1, -1, &broken, &mem),
			 -ENOSPC);
	close(fd);
}

static void says_how_to_share_memory(void **state)
{
	const struct iol_mem_desc desc = { 0, PAGE, 0, 0 };
	struct iol_mem *mem = NULL;
	int fd = eventfd(0, EFD_CLOEXEC);

	assert_int_equal(iol_mem_new(&desc, &fd, 1, -1, &broken, &mem), -ENODEV);
	assert_non_null(strstr(iol_error(), "memory-backend-memfd,share=on"));
	close(fd);
}

static void adds_and_removes(void **state)
{
	struct iol_mem_desc desc = { 0, PAGE, 0x10000000, 0 };
	struct iol_mem *mem = table(NULL, NULL, 0), *next = NULL, *held;
	int fd = file_of(PAGE);
	unsigned int i;

	for (i = 0; i < IOL_MEM_SLOTS; i++) {
		/* From the top down, so that each goes to the front. */
		desc.gpa = (IOL_MEM_SLOTS - i) * 2 * PAGE;
		desc.uaddr = 0x10000000 + i * 3 * PAGE;
		assert_int_equal(iol_mem_add(mem, &desc, fd, -1, &broken, &next), 0);
		iol_mem_unref(&mem);
		mem = next;
	}
	assert_int_equal(mem->n, IOL_MEM_SLOTS);
	assert_int_equal(mem->region[0]->gpa, desc.gpa);
	desc.gpa = 0;
	assert_int_equal(iol_mem_add(mem, &desc, fd, -1, &broken, &next), -ENOSPC);
	held = iol_mem_ref(mem);

	desc.gpa = 2 * PAGE;
	desc.uaddr++;
	assert_int_equal(iol_mem_remove(mem, &desc, &next), -ENOENT);
	desc.uaddr = mem->region[0]->uaddr;
	desc.size--;
	assert_int_equal(iol_mem_remove(mem, &desc, &next), -ENOENT);
	desc.size++;
	desc.offset = 12345; /* ignored */
	assert_int_equal(iol_mem_remove(mem, &desc, &next), 0);
	assert_null(iol_mem_find_gpa(next, desc.gpa));
	assert_null(iol_mem_find_uaddr(next, desc.uaddr));
	assert_int_equal(next->n, IOL_MEM_SLOTS - 1);
	iol_mem_unref(&mem);
	/* Who holds the old table still reaches the region. */
	held->region[0]->host[0] = 1;
	assert_ptr_equal(held->region[1], next->region[0]);
	iol_mem_unref(&held);
	next->region[0]->host[0] = 2;

	desc.gpa = next->region[3]->gpa;
	desc.offset = 0;
	assert_int_equal(iol_mem_add(next, &desc, fd, -1, &broken, &mem), -EINVAL);
	iol_mem_unref(&next);
	mem = table(NULL, NULL, 0);
	assert_int_equal(iol_mem_remove(mem, &desc, &next), -ENOENT);
	iol_mem_unref(&mem);
	close(fd);
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	if (!iol_sigbus_handle(info->si_addr))
		abort();
}

static void survives_truncation(void **state)
{
	const struct iol_mem_desc desc = { 0, 4 * PAGE, 0, 0 };
	int fd = file_of(4 * PAGE), wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct iol_mem *mem = NULL;
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO }, old;
	uint64_t n;

	broken = false;
	assert_int_equal(sigaction(SIGBUS, &sa, &old), 0);
	assert_int_equal(iol_mem_new(&desc, &fd, 1, wake, &broken, &mem), 0);
	mem->region[0]->host[0] = 7;
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(*(volatile uint8_t *)&mem->region[0]->host[2 * PAGE], 0);
	assert_true(broken);
	assert_int_equal(read(wake, &n, sizeof(n)), sizeof(n));
	assert_int_equal(mem->region[0]->host[0], 7);
	iol_mem_unref(&mem);
	assert_int_equal(sigaction(SIGBUS, &old, NULL), 0);
	close(fd);
	close(wake);
}

/* Huge pages can run out whatever the seals say. */
static void sealed_memory_is_watched(void **state)
{
	const struct iol_mem_desc desc = { 0, PAGE, 0, 0 };
	int fd = file_of(PAGE);
	struct iol_mem *mem;

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	mem = table(&desc, &fd, 1);
	assert_true(iol_sigbus_handle(mem->region[0]->host));
	assert_true(broken);
	broken = false;
	iol_mem_unref(&mem);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(straddling_ranges),
		cmocka_unit_test(lookups_at_the_edges),
		cmocka_unit_test(user_addresses_may_nest),
		cmocka_unit_test(offsets_within_a_page),
		cmocka_unit_test(refuses_what_makes_no_sense),
		cmocka_unit_test(says_how_to_share_memory),
		cmocka_unit_test(adds_and_removes),
		cmocka_unit_test(survives_truncation),
		cmocka_unit_test(sealed_memory_is_watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
