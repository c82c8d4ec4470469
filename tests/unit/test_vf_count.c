/* SPDX-License-Identifier: BSD-3-Clause */
/* The number of VFs, on a machine of files whose VFs come late, not at all, or are in use. */
#include "base/own.h"
#include "sriov/count.h"
#include "tests/unit/host_tree.h"
#include "vfio/host.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>

#define DEVICES "sys/bus/pci/devices/"
#define PF      DEVICES "0000:01:00.0"

/* Of a bound that is to be reached, and of one that is not. */
#define SOON_MS 60
#define LATE_MS 60000

/* VF @index is there; @class: what its registers from 8 on read as. */
static void add_vf(struct host_tree *tree, unsigned int index, const char *class)
{
	char name[32], where[64];

	snprintf(name, sizeof(name), "0000:01:10.%u", 2 * index);
	snprintf(where, sizeof(where), "0000:00:04.0/%s", name);
	tree_function(tree, where, "8086:10CA", "20000", NULL, 3);
	tree_add(tree,
		 DEVICES "%s/config : ff ff ff ff 00 00 10 00 %s\n" DEVICES
			 "%s/physfn -> ../0000:01:00.0\n" PF "/virtfn%u -> ../%s",
		 name, class, name, index, name);
}

static struct iol_pf add_pf(struct host_tree *tree, unsigned int vfs)
{
	struct iol_pf pf;

	tree_function(tree, "0000:00:04.0/0000:01:00.0", "8086:10C9", "20000", "igb", 2);
	tree_add(tree,
		 PF "/sriov_totalvfs = 7\n" PF "/sriov_numvfs = %u\n" PF "/sriov_offset = 128\n" PF
		    "/sriov_stride = 2\n" PF "/sriov_drivers_autoprobe = 1",
		 vfs);
	/* Plain files take what is written to them. */
	tree->host->live = true;
	assert_int_equal(iol_pf_find(tree->host, "01:00.0", &pf), 0);
	return pf;
}

static void expect_count(const struct host_tree *tree, const struct iol_pf *pf, unsigned int count)
{
	unsigned int now;

	assert_int_equal(iol_vf_count_get(tree->host, pf, &now), 0);
	assert_int_equal(now, count);
}

static void expect_said(const char *sentence)
{
	if (!strstr(iol_error(), sentence))
		fail_msg("said: %s", iol_error());
}

static void test_set(void **state)
{
	struct host_tree *tree = *state;
	struct iol_pf pf = add_pf(tree, 0);

	add_vf(tree, 0, "03 00 00 02");
	add_vf(tree, 1, "03 00 00 02");
	assert_int_equal(iol_vf_count_set(tree->host, &pf, 2, SOON_MS), 0);
	expect_count(tree, &pf, 2);
	assert_int_equal(iol_vf_count_set(tree->host, &pf, 1, SOON_MS), 0);
	assert_int_equal(iol_vf_count_set(tree->host, &pf, 0, SOON_MS), 0);
	expect_count(tree, &pf, 0);
	assert_int_equal(iol_vf_count_set(tree->host, &pf, 8, SOON_MS), -ERANGE);
	expect_said("can have 7 VFs at most");
	tree->host->live = false;
	assert_int_equal(iol_vf_count_set(tree->host, &pf, 1, SOON_MS), -EROFS);
	assert_int_equal(iol_vf_autoprobe_set(tree->host, &pf, false), -EROFS);
	expect_count(tree, &pf, 0);
}

static void test_never(void **state)
{
	struct host_tree *tree = *state;
	struct iol_pf pf = add_pf(tree, 0);

	add_vf(tree, 0, "03 00 00 02");
	add_vf(tree, 2, "03 00 00 02");
	assert_int_equal(iol_vf_count_set(tree->host, &pf, 3, SOON_MS), -ETIMEDOUT);
	expect_said("VF 1 of the 3 of 0000:01:00.0 did not come within 60 ms, in two tries");
	/* Not as if nothing had been done. */
	expect_count(tree, &pf, 3);
	add_vf(tree, 1, "ff ff ff ff");
	tree_add(tree, PF "/sriov_numvfs = 0");
	assert_int_equal(iol_vf_count_set(tree->host, &pf, 3, SOON_MS), -ETIMEDOUT);
	expect_said("0000:01:10.2 does not answer");
	add_vf(tree, 1, "");
	tree_add(tree, PF "/sriov_numvfs = 0");
	assert_int_equal(iol_vf_count_set(tree->host, &pf, 3, SOON_MS), -ETIMEDOUT);
	expect_said("can't be read");
	/* Where another should be. */
	tree_add(tree, PF "/sriov_numvfs = 0\n" PF "/virtfn1 -> ../0000:01:10.4");
	assert_int_equal(iol_vf_count_set(tree->host, &pf, 3, SOON_MS), -ETIMEDOUT);
	expect_said("0000:01:10.4 for the kernel, but 0000:01:10.2");
}

/* Gives a VF to who waits for it: the last of two, when it was asked for. */
static void *come_late(void *arg)
{
	struct host_tree *tree = arg;
	uint64_t count = 0;

	while (count != 2) {
		usleep(1000);
		if (iol_host_read_u64(tree->host, &count, PF "/sriov_numvfs"))
			count = 0;
	}
	usleep(SOON_MS * 1000);
	add_vf(tree, 1, "03 00 00 02");
	return NULL;
}

static void test_late(void **state)
{
	struct host_tree *tree = *state;
	struct iol_pf pf = add_pf(tree, 0);
	pthread_t thread;

	add_vf(tree, 0, "03 00 00 02");
	assert_int_equal(pthread_create(&thread, NULL, come_late, tree), 0);
	assert_int_equal(iol_vf_count_set(tree->host, &pf, 2, LATE_MS), 0);
	pthread_join(thread, NULL);
}

static void busy(const struct host_tree *tree, const struct iol_pf *pf, const char *sentence)
{
	assert_int_equal(iol_vf_refuse_busy(tree->host, pf), -EBUSY);
	expect_said(sentence);
	assert_int_equal(iol_vf_count_set(tree->host, pf, 0, SOON_MS), -EBUSY);
	assert_int_equal(iol_vf_count_set(tree->host, pf, 3, SOON_MS), -EBUSY);
	/* That there are so many already is no change. */
	assert_int_equal(iol_vf_count_set(tree->host, pf, 2, SOON_MS), 0);
	expect_count(tree, pf, 2);
}

static void test_busy(void **state)
{
	struct host_tree *tree = *state;
	struct iol_pf pf = add_pf(tree, 2);

	add_vf(tree, 0, "03 00 00 02");
	add_vf(tree, 1, "03 00 00 02");
	assert_int_equal(iol_vf_refuse_busy(tree->host, &pf), 0);
	/* Its interface is somewhere; while none shows and none is elsewhere, there is none. */
	tree_add(tree, DEVICES "0000:01:10.2/driver -> ../../../../bus/pci/drivers/igbvf");
	assert_int_equal(iol_vf_refuse_busy(tree->host, &pf), 0);
	tree_add(tree, DEVICES "0000:01:10.2/net/");
	busy(tree, &pf,
	     "0000:01:00.0 keeps its VFs, as its VF 1 (0000:01:10.2) is in use: an interface of it "
	     "is "
	     "in another network namespace");
	tree_add(tree, DEVICES "0000:01:10.0/driver -> ../../../../bus/pci/drivers/vfio-pci\n"
			       "proc/100/comm = vmm\nproc/100/fd/4 -> /dev/vfio/3\n");
	busy(tree, &pf, "(and 1 more)");
	tree_add(tree, DEVICES "0000:01:10.2/driver -> ../../../../bus/pci/drivers/vfio-pci\n"
			       "proc/100/fd/4 -> /dev/null");
	assert_int_equal(iol_vf_refuse_busy(tree->host, &pf), 0);
	assert_int_equal(iol_vf_count_set(tree->host, &pf, 0, SOON_MS), 0);
}

/* A VF in use keeps its driver; that another is in use is nothing to it. */
static void test_driver(void **state)
{
	struct host_tree *tree = *state;
	struct iol_pf pf = add_pf(tree, 2);
	struct iol_want_vf vf = { .driver = "vfio-pci", .queues = -1, .interrupts = -1 };
	struct iol_want_pf want = { .pf = pf, .vfs = -1, .vf = &vf, .num_vf = 1 };
	const struct iol_change_opts opts = { .dry_run = true, .state_dir = tree->path };
	const struct iol_state wanted = { &want, 1 };

	add_vf(tree, 0, "03 00 00 02");
	add_vf(tree, 1, "03 00 00 02");
	tree_add(tree, DEVICES "0000:01:10.0/driver -> ../../../../bus/pci/drivers/igbvf\n" DEVICES
			       "0000:01:10.2/driver -> ../../../../bus/pci/drivers/igbvf\n" DEVICES
			       "0000:01:10.2/net/");
	assert_true(iol_apply(tree->host, &wanted, &opts) > 0);
	vf.last = 1;
	assert_int_equal(iol_apply(tree->host, &wanted, &opts), -EBUSY);
	expect_said("0000:01:10.2 keeps its driver, as an interface of it is in another network");
}

static void test_autoprobe(void **state)
{
	struct host_tree *tree = *state;
	struct iol_pf pf = add_pf(tree, 0);
	bool on = false;

	assert_int_equal(iol_vf_autoprobe_get(tree->host, &pf, &on), 0);
	assert_true(on);
	assert_int_equal(iol_vf_autoprobe_set(tree->host, &pf, false), 0);
	assert_int_equal(iol_vf_autoprobe_get(tree->host, &pf, &on), 0);
	assert_false(on);
	tree_add(tree, PF "/sriov_drivers_autoprobe = maybe");
	assert_int_equal(iol_vf_autoprobe_get(tree->host, &pf, &on), -EINVAL);
	strcpy(pf.name, "0000:01:00.1");
	assert_int_equal(iol_vf_autoprobe_set(tree->host, &pf, true), -ENODEV);
	expect_said("0000:01:00.1 has gone");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_set, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_never, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_late, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_busy, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_driver, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_autoprobe, tree_setup, tree_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
