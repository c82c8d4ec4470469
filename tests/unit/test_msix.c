/* SPDX-License-Identifier: BSD-3-Clause */
/* MSI-X as a guest programs it, on a machine that delivers when it is told to. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/machine.h"
#include "tests/unit/open_fds.h"
#include "vmm-glue/msix.h"

#define VECTORS 2048u

struct rig {
	struct machine machine;
	struct msix *msix;
	unsigned int used[VECTORS], unused[VECTORS];
	int use_fails;
	unsigned int fds;
};

static int use(void *ctx, unsigned int vector, int fd)
{
	struct rig *r = ctx;

	assert_int_equal(fd, msix_fd(r->msix, vector));
	if (r->use_fails)
		return r->use_fails;
	r->used[vector]++;
	return 0;
}

static void unuse(void *ctx, unsigned int vector)
{
	struct rig *r = ctx;

	r->unused[vector]++;
}

static const struct msix_ops ops = { use, unuse };

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->fds = open_fds();
	machine_begin(&r->machine);
	assert_int_equal(msix_new(VECTORS, &machine_ops, &r->machine, &ops, r, &r->msix), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	msix_destroy(&r->msix);
	machine_end(&r->machine);
	for (unsigned int i = 0; i < VECTORS; i++)
		assert_int_equal(r->used[i], r->unused[i]);
	assert_int_equal(open_fds(), r->fds);
	free(r);
	return 0;
}

static void write32(struct rig *r, unsigned int vector, unsigned int at, uint32_t value)
{
	msix_table(r->msix, vector * 16 + at, &value, sizeof(value), true);
}

static uint32_t read32(struct rig *r, unsigned int vector, unsigned int at)
{
	uint32_t value = 0x5a5a5a5a;

	msix_table(r->msix, vector * 16 + at, &value, sizeof(value), false);
	return value;
}

static uint64_t pending(struct rig *r, unsigned int first)
{
	uint64_t bits = 0x5a5a;

	msix_pba(r->msix, first / 8, &bits, sizeof(bits), false);
	return bits;
}

/* As Linux does: address and data while it is masked. */
static void program(struct rig *r, unsigned int vector, uint32_t addr, uint32_t data)
{
	write32(r, vector, 12, 1);
	write32(r, vector, 0, addr);
	write32(r, vector, 4, 0);
	write32(r, vector, 8, data);
	write32(r, vector, 12, 0);
}

static void test_registers(void **state)
{
	struct rig *r = *state;
	uint8_t buf[8];
	uint64_t qword = 0x1122334455667788;

	assert_int_equal(msix_vectors(r->msix), VECTORS);
	for (unsigned int i = 0; i < VECTORS; i += 511) {
		assert_int_equal(read32(r, i, 12), 1);
		assert_int_equal(read32(r, i, 0), 0);
	}
	/* Reserved bits are 0. */
	write32(r, 5, 0, 0xffffffff);
	write32(r, 5, 12, 0xfffffffe);
	assert_int_equal(read32(r, 5, 0), 0xfffffffc);
	assert_int_equal(read32(r, 5, 12), 0);
	msix_table(r->msix, 5 * 16, &qword, 8, true);
	assert_int_equal(read32(r, 5, 0), 0x55667788);
	assert_int_equal(read32(r, 5, 4), 0x11223344);
	msix_table(r->msix, 5 * 16 + 8, &qword, 8, false);
	assert_int_equal(qword, 0);
	/* What is not aligned, of other sizes, or beyond. */
	for (unsigned int i = 0; i < 16; i++)
		for (unsigned int len = 1; len <= 8; len *= 2) {
			bool fine = len >= 4 && i % len == 0;

			memset(buf, 0xee, sizeof(buf));
			msix_table(r->msix, VECTORS * 16 + i, buf, len, true);
			if (!fine)
				msix_table(r->msix, 5 * 16 + i, buf, len, true);
			msix_table(r->msix, (fine ? VECTORS : 5) * 16 + i, buf, len, false);
			for (unsigned int j = 0; j < len; j++)
				assert_int_equal(buf[j], 0);
			msix_pba(r->msix, VECTORS + i, buf, len, false);
		}
	msix_pba(r->msix, UINT64_MAX - 7, buf, 8, false);
	assert_int_equal(read32(r, 5, 0), 0x55667788);
	assert_int_equal(msix_fd(r->msix, VECTORS), -1);
	msix_signal(r->msix, VECTORS);
	/* Nothing of this needed an eventfd. */
	assert_int_equal(open_fds(), r->fds);
}

static void test_delivery(void **state)
{
	struct rig *r = *state;

	program(r, 3, 0xfee00000, 0x41);
	msix_signal(r->msix, 3);
	assert_int_equal(machine_run(&r->machine), 0);
	assert_int_equal(pending(r, 0), 1 << 3);
	/* Function mask: as if each were masked. */
	msix_control(r->msix, true, true);
	assert_true(msix_enabled(r->msix));
	assert_int_equal(machine_run(&r->machine), 0);
	assert_int_equal(r->used[3], 0);
	msix_control(r->msix, true, false);
	assert_int_equal(machine_run(&r->machine), 1);
	assert_int_equal(r->machine.last.addr, 0xfee00000);
	assert_int_equal(r->machine.last.data, 0x41);
	assert_int_equal(pending(r, 0), 0);
	assert_int_equal(r->used[3], 1);
	/* Others stay as they were: no eventfd, no route. */
	assert_int_equal(r->machine.num_routes, 1);
	assert_int_equal(open_fds(), r->fds + 1);

	/* Masked: kept, shown, one delivered however many came. */
	write32(r, 3, 12, 1);
	for (int i = 0; i < 5; i++)
		msix_signal(r->msix, 3);
	assert_int_equal(machine_run(&r->machine), 0);
	assert_int_equal(pending(r, 0), 1 << 3);
	write32(r, 3, 8, 0x42);
	write32(r, 3, 12, 0);
	assert_int_equal(machine_run(&r->machine), 1);
	assert_int_equal(r->machine.last.data, 0x42);
	assert_int_equal(machine_run(&r->machine), 0);
	/* Masking again does not unuse: what is behind stays set up. */
	assert_int_equal(r->used[3], 1);
	assert_int_equal(r->unused[3], 0);

	/* In place, without masking. */
	msix_signal(r->msix, 3);
	write32(r, 3, 8, 0x43);
	assert_int_equal(machine_run(&r->machine), 1);
	assert_int_equal(r->machine.last.data, 0x43);

	/* Off, and all is given back; a reset forgets what waits. */
	msix_control(r->msix, false, false);
	assert_int_equal(r->unused[3], 1);
	assert_int_equal(r->machine.num_routes, 0);
	msix_signal(r->msix, 3);
	msix_reset(r->msix);
	assert_int_equal(pending(r, 0), 0);
	assert_int_equal(read32(r, 3, 0), 0);
	assert_int_equal(read32(r, 3, 12), 1);
}

static void test_failures(void **state)
{
	struct rig *r = *state;

	msix_control(r->msix, true, false);
	r->machine.no_routes = true;
	program(r, 1, 0xfee00000, 1);
	msix_signal(r->msix, 1);
	assert_int_equal(r->used[1], 0);
	assert_int_equal(pending(r, 0), 2);
	/* What is behind has none: no route is left. */
	r->machine.no_routes = false;
	r->use_fails = -12;
	program(r, 1, 0xfee00000, 1);
	assert_int_equal(r->machine.num_routes, 0);
	assert_int_equal(pending(r, 0), 2);
	r->use_fails = 0;
	program(r, 1, 0xfee00000, 1);
	assert_int_equal(machine_run(&r->machine), 1);
	/* Another message that can't be: silent, and pending, until it is unmasked anew. */
	r->machine.no_routes = true;
	write32(r, 1, 8, 2);
	msix_signal(r->msix, 1);
	assert_int_equal(r->machine.num_routes, 0);
	r->machine.no_routes = false;
	program(r, 1, 0xfee00000, 3);
	assert_int_equal(machine_run(&r->machine), 1);
	assert_int_equal(r->machine.last.data, 3);
}

static void test_many(void **state)
{
	struct rig *r = *state;
	struct rlimit files;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	msix_control(r->msix, true, true);
	for (unsigned int i = 0; i < VECTORS; i += 2)
		program(r, i, 0xfee00000, i);
	msix_control(r->msix, true, false);
	assert_int_equal(r->machine.num_routes, VECTORS / 2);
	for (unsigned int i = 0; i < VECTORS; i++)
		msix_signal(r->msix, i);
	assert_int_equal(machine_run(&r->machine), VECTORS / 2);
	for (unsigned int i = 0; i < VECTORS; i += 64)
		assert_true(pending(r, i) == 0xaaaaaaaaaaaaaaaa);
}

/* A device that signals once what it signalled before was handled: a signal that is lost is its last. */
struct load {
	int fd;
	unsigned int sent, seen;
	bool stop;
};

static void *signal_forever(void *arg)
{
	struct load *l = arg;

	while (!__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE)) {
		if (__atomic_load_n(&l->seen, __ATOMIC_ACQUIRE) != l->sent) {
			sched_yield();
			continue;
		}
		__atomic_add_fetch(&l->sent, 1, __ATOMIC_RELEASE);
		eventfd_write(l->fd, 1);
	}
	return NULL;
}

static void test_load(void **state)
{
	struct rig *r = *state;
	struct load l = { .fd = msix_fd(r->msix, 7) };
	uint64_t until = iol_now() + 60 * IOL_NS_PER_S;
	unsigned int addr = 0;
	pthread_t thread;

	msix_control(r->msix, true, false);
	program(r, 7, 0xfee00000, 0);
	assert_int_equal(pthread_create(&thread, NULL, signal_forever, &l), 0);
	srandom(20261128);
	/* When one is lost, none follows. */
	for (unsigned int i = 0; l.seen < 2000 && (i % 64 || iol_now() < until); i++) {
		switch (random() % 6) {
		case 0:
			program(r, 7, 0xfee00000 + (++addr % 8 << 12), i);
			break;
		case 1:
			write32(r, 7, 8, i);
			break;
		case 2:
			write32(r, 7, 12, random() % 2);
			break;
		case 3:
			msix_control(r->msix, true, random() % 2);
			break;
		case 4:
			msix_control(r->msix, random() % 8, false);
			break;
		default:
			if (machine_run(&r->machine))
				__atomic_store_n(&l.seen,
						 __atomic_load_n(&l.sent, __ATOMIC_ACQUIRE),
						 __ATOMIC_RELEASE);
			sched_yield();
		}
	}
	__atomic_store_n(&l.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	assert_int_equal(l.seen, 2000);
	program(r, 7, 0xfee00000, 1);
	msix_control(r->msix, true, false);
	if (l.seen != l.sent)
		assert_int_equal(machine_run(&r->machine), 1);
}

/* The same, step by step: between any two accesses of the guest a signal is kept or delivered. */
static void test_steps(void **state)
{
	struct rig *r = *state;

	msix_control(r->msix, true, false);
	program(r, 0, 0xfee00000, 0);
	for (unsigned int at = 0; at < 12; at++) {
		unsigned int step = 0, came = 0;

		msix_control(r->msix, true, false);
#define STEP(access)                                                                               \
	do {                                                                                       \
		if (step++ == at)                                                                  \
			msix_signal(r->msix, 0);                                                   \
		access;                                                                            \
	} while (0)
		STEP(write32(r, 0, 12, 1));
		STEP(write32(r, 0, 0, 0xfee01000 + at));
		STEP(write32(r, 0, 4, at));
		STEP(write32(r, 0, 8, at));
		STEP(write32(r, 0, 12, 0));
		STEP(write32(r, 0, 8, 100 + at));
		STEP(msix_control(r->msix, true, true));
		STEP(msix_control(r->msix, true, false));
		STEP(msix_control(r->msix, false, false));
		STEP(msix_control(r->msix, true, true));
		STEP(msix_control(r->msix, true, false));
		STEP(came = machine_run(&r->machine));
		assert_int_equal(step, 12);
#undef STEP
		assert_int_equal(came, 1);
		assert_int_equal(r->machine.last.data, 100 + at);
	}
}

static void test_sizes(void **state)
{
	struct msix *msix = NULL;

	assert_int_equal(msix_new(0, &machine_ops, NULL, NULL, NULL, &msix), -22);
	assert_int_equal(msix_new(2049, &machine_ops, NULL, NULL, NULL, &msix), -22);
	assert_null(msix);
	msix_destroy(&msix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_delivery, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_load, setup, teardown),
		cmocka_unit_test_setup_teardown(test_steps, setup, teardown),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
