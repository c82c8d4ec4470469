/* SPDX-License-Identifier: BSD-3-Clause */
/* What would be done to take functions, and when it is refused, in machines of a few files. Real ones are the lab's. */
#include "base/error.h"
#include "base/own.h"
#include "tests/unit/host_tree.h"
#include "vfio/bind.h"
#include "vfio/host.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>

#define NIC   "0000:01:00.0"
#define VF0   "0000:01:10.0"
#define VF1   "0000:01:10.2"
#define FIRST "0000:04:01.0" /* the two of a group */
#define OTHER "0000:04:02.0"
#define NVME  "0000:02:00.0"

struct env {
	struct host_tree tree;
	char steps[2048]; /* "kind what was>value", a line each */
	struct iol_bind_opts opts;
};

static int told(void *opaque, enum iol_step_event event, const struct iol_step *s)
{
	struct env *e = opaque;
	size_t n = strlen(e->steps);

	assert_int_equal(event, IOL_STEP_PLANNED);
	snprintf(e->steps + n, sizeof(e->steps) - n, "%s %s %s>%s\n", s->kind, s->what, s->was,
		 s->value);
	return 0;
}

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	struct host_tree *t = &e->tree;

	assert_non_null(e);
	tree_make(t);
	tree_function(t, "0000:00:01.0", "8086:1901", "60400", "pcieport", 1);
	tree_function(t, "0000:00:01.0/" NIC, "8086:10C9", "20000", "igb", 2);
	tree_function(t, "0000:00:01.0/" VF0, "8086:10CA", "20000", "igbvf", 3);
	tree_function(t, "0000:00:01.0/" VF1, "8086:10CA", "20000", NULL, 4);
	tree_function(t, "0000:00:02.0/" NVME, "1B36:0010", "10802", "nvme", 6);
	tree_function(t, "0000:00:03.0", "1B36:000E", "60400", NULL, 7);
	tree_function(t, "0000:00:03.0/" FIRST, "1234:11E8", "FF0000", "edu", 7);
	tree_function(t, "0000:00:03.0/" OTHER, "1234:11E8", "FF0000", "e1000", 7);
	tree_function(t, "0000:00:09.0", "1234:11E8", "FF0000", NULL, -1);
	tree_add(t, "sys/bus/pci/drivers/vfio-pci/\n"
		    "sys/bus/pci/devices/" VF1 "/driver_override = pci-stub\n"
		    "sys/class/nvme/nvme0 -> "
		    "../../devices/pci0000:00/0000:00:02.0/" NVME "/nvme/nvme0\n");
	e->opts.change = (struct iol_change_opts){ .dry_run = true, .step = told, .opaque = e };
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	tree_remove(&e->tree);
	free(e);
	return 0;
}

static int bind_one(struct env *e, const char *what)
{
	struct iol_pci_addr addr = tree_addr(what);

	e->steps[0] = '\0';
	return iol_bind(e->tree.host, &addr, 1, &e->opts);
}

static void expect_refused(struct env *e, const char *what, const char *sentence)
{
	assert_int_equal(bind_one(e, what), -EBUSY);
	if (!strstr(iol_error(), sentence))
		fail_msg("\"%s\" is not in \"%s\"", sentence, iol_error());
	assert_string_equal(e->steps, "");
}

static void plans(void **state)
{
	struct env *e = *state;

	assert_int_equal(bind_one(e, VF0), 3);
	assert_string_equal(e->steps, "driver " VF0 " igbvf>\n"
				      "driver_override " VF0 " >vfio-pci\n"
				      "driver " VF0 " >vfio-pci\n");
	/* Without a driver, and with an override of somebody's. */
	assert_int_equal(bind_one(e, VF1), 2);
	assert_string_equal(e->steps, "driver_override " VF1 " pci-stub>vfio-pci\n"
				      "driver " VF1 " >vfio-pci\n");
}

/* While VFs are not given to drivers, undo could not give this one back without an override. */
static void plans_without_autoprobe(void **state)
{
	struct env *e = *state;

	tree_add(&e->tree, "sys/bus/pci/devices/" VF0 "/physfn -> ../" NIC "\n"
			   "sys/bus/pci/devices/" NIC "/sriov_drivers_autoprobe = 1\n");
	assert_int_equal(bind_one(e, VF0), 3);
	tree_add(&e->tree, "sys/bus/pci/devices/" NIC "/sriov_drivers_autoprobe = 0\n");
	assert_int_equal(bind_one(e, VF0), 4);
	assert_string_equal(e->steps, "driver_override " VF0 " >igbvf\n"
				      "driver " VF0 " igbvf>\n"
				      "driver_override " VF0 " igbvf>vfio-pci\n"
				      "driver " VF0 " >vfio-pci\n");
}

static void all_in_one_plan(void **state)
{
	struct env *e = *state;
	struct iol_pci_addr addrs[] = { tree_addr(VF0), tree_addr(VF1), tree_addr(VF0) };

	e->opts.owned = e->opts.persist = true;
	e->opts.uid = 1000;
	e->opts.gid = 100;
	e->opts.driver = "my-vfio-pci";
	assert_int_equal(iol_bind(e->tree.host, addrs, 3, &e->opts), 12);
	assert_string_equal(e->steps, "module my-vfio-pci >loaded\n"
				      "driver " VF0 " igbvf>\n"
				      "driver_override " VF0 " >my-vfio-pci\n"
				      "driver " VF0 " >my-vfio-pci\n"
				      "driver_override " VF1 " pci-stub>my-vfio-pci\n"
				      "driver " VF1 " >my-vfio-pci\n"
				      "udev rule " VF0 " >my-vfio-pci 1000:100\n"
				      "udev rule " VF1 " >my-vfio-pci 1000:100\n"
				      "node /dev/vfio/3 >1000:100:0600\n"
				      "device node " VF0 " >1000:100:0600\n"
				      "node /dev/vfio/4 >1000:100:0600\n"
				      "device node " VF1 " >1000:100:0600\n");
}

static void bound_already(void **state)
{
	struct env *e = *state;

	tree_function(&e->tree, "0000:00:0a.0", "8086:10CA", "20000", "vfio-pci", 9);
	assert_int_equal(bind_one(e, "0000:00:0a.0"), 0);
	assert_string_equal(e->steps, "");
}

static void groups(void **state)
{
	struct iol_pci_addr both[] = { tree_addr(OTHER), tree_addr(FIRST) };
	struct env *e = *state;

	expect_refused(e, FIRST,
		       FIRST " shares IOMMU group 7 with " OTHER " (e1000), which would stay");
	assert_int_equal(iol_bind(e->tree.host, both, 2, &e->opts), 6);
	/* The bridge in the group stays as it is. */
	e->opts.with_group = true;
	assert_int_equal(bind_one(e, FIRST), 6);
	assert_non_null(strstr(e->steps, "driver " OTHER " e1000>\n"));
	assert_null(strstr(e->steps, "0000:00:03.0"));
	/* Drivers of the host's have no need of a group. */
	e->opts.with_group = false;
	e->opts.driver = "e1000";
	tree_add(&e->tree, "sys/bus/pci/drivers/e1000/\n");
	assert_int_equal(bind_one(e, FIRST), 3);
}

static void refusals(void **state)
{
	struct env *e = *state;

	expect_refused(e, "0000:00:01.0", "as it is a bridge");
	tree_add(&e->tree, "sys/bus/pci/devices/" NIC "/sriov_totalvfs = 7\n"
			   "sys/bus/pci/devices/" NIC "/sriov_numvfs = 2\n");
	expect_refused(e, NIC, "its 2 VFs would go with it");
	assert_int_equal(bind_one(e, "0000:00:09.0"), -EOPNOTSUPP);
	assert_non_null(strstr(iol_error(), "is in no IOMMU group"));
	assert_int_equal(bind_one(e, "0000:00:1f.0"), -ENODEV);
}

static void what_is_in_use(void **state)
{
	struct env *e = *state;

	tree_add(&e->tree,
		 "sys/class/net/eth3 -> "
		 "../../devices/pci0000:00/0000:00:01.0/" NIC "/net/eth3\n"
		 "sys/devices/pci0000:00/0000:00:01.0/" NIC "/net/eth3/ifindex = 3\n"
		 "proc/net/route = Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
		 "proc/net/route = eth3\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\n");
	expect_refused(e, NIC, "eth3 carries the default route");
	assert_non_null(strstr(iol_error(), "by another interface first"));
}

#define BRIDGED_OTHER                                                                              \
	"sys/class/net/eth4 -> ../../devices/pci0000:00/0000:00:03.0/" OTHER "/net/eth4\n"         \
	"sys/devices/pci0000:00/0000:00:03.0/" OTHER "/net/eth4/ifindex = 4\n"                     \
	"sys/devices/pci0000:00/0000:00:03.0/" OTHER "/net/eth4/master -> ../br0\n"

static void members_in_use(void **state)
{
	struct env *e = *state;

	/* Nobody named it, but it would go along. */
	e->opts.with_group = true;
	tree_add(&e->tree, BRIDGED_OTHER);
	expect_refused(e, FIRST, OTHER " keeps its driver");
}

/* The two of a group have one node together. */
static void owners_of_groups(void **state)
{
	struct env *e = *state;

	e->opts.owned = e->opts.with_group = e->opts.iommufd = true;
	assert_int_equal(bind_one(e, FIRST), 10);
	assert_non_null(strstr(e->steps, "node /dev/vfio/7 >0:0:0600\n"
					 "device node " FIRST " >0:0:0600\n"
					 "device node " OTHER " >0:0:0600\n"
					 "node /dev/iommu >0:0:0600\n"));
}

/* Somebody who is not to lose VF 0 and one of the group. */
static int keep(void *opaque, const struct iol_pci_addr *addr)
{
	struct iol_pci_addr kept[] = { tree_addr(VF0), tree_addr(OTHER) };
	char text[IOL_PCI_ADDR_MAX];

	if (!iol_pci_addr_equal(addr, &kept[0]) && !iol_pci_addr_equal(addr, &kept[1]))
		return 0;
	return iol_fail(EBUSY, "%s is kept", iol_pci_addr_format(addr, text));
}

static void the_caller_refuses(void **state)
{
	struct env *e = *state;
	struct iol_pci_addr addrs[] = { tree_addr(VF1), tree_addr(VF0) };
	char dir[80];

	e->opts.change.may_take = keep;
	assert_int_equal(bind_one(e, VF1), 2);
	expect_refused(e, VF0, VF0 " is kept");
	e->opts.with_group = true;
	expect_refused(e, FIRST, OTHER " is kept");
	/* It loses nothing. */
	e->opts.driver = "igbvf";
	tree_add(&e->tree, "sys/bus/pci/drivers/igbvf/\n");
	assert_int_equal(bind_one(e, VF0), 0);
	/* Of giving back, too; that needs a journal. */
	tree_add(&e->tree, "proc/sys/kernel/random/boot_id = 1-2-3\n");
	snprintf(dir, sizeof(dir), "%s/run", e->tree.path);
	e->opts.change.state_dir = dir;
	e->tree.host->live = true;
	assert_int_equal(iol_unbind(e->tree.host, addrs, 1, &e->opts.change), 0);
	assert_int_equal(iol_unbind(e->tree.host, addrs, 2, &e->opts.change), -EBUSY);
	assert_string_equal(iol_error(), VF0 " is kept");
}

/* A node that everybody may make: a device of the number 0. */
static void add_node(struct env *e, const char *name, const char *class)
{
	char path[160];

	tree_add(&e->tree, "%s\ndev/vfio/devices/\n", class);
	snprintf(path, sizeof(path), "%s/dev/vfio/%s", e->tree.path, name);
	assert_int_equal(mknod(path, S_IFCHR | 0640, 0), 0);
	assert_int_equal(chmod(path, 0640), 0);
}

static void add_vfio(struct env *e)
{
	tree_function(&e->tree, "0000:00:0a.0", "8086:10CA", "20000", "vfio-pci", 9);
	tree_function(&e->tree, "0000:00:0b.0", "8086:10CA", "20000", "vfio-pci", 9);
	tree_add(&e->tree, "sys/bus/pci/drivers/e1000/\nsys/bus/pci/drivers/my-vfio-pci/\n");
	add_node(e, "9", "sys/class/vfio/9/");
	add_node(e, "devices/vfio0", "sys/bus/pci/devices/0000:00:0a.0/vfio-dev/vfio0/dev = 511:0");
}

/* A node goes with VFIO's driver, and is another's when it comes again: whose it was is noted ahead. */
static void owners_of_what_leaves_vfio(void **state)
{
	struct env *e = *state;
	struct iol_pci_addr both[] = { tree_addr("0000:00:0b.0"), tree_addr("0000:00:0a.0") };
	char expected[512];

	add_vfio(e);
	e->opts.driver = "e1000";
	assert_int_equal(iol_bind(e->tree.host, both, 2, &e->opts), 8);
	snprintf(expected, sizeof(expected),
		 "node /dev/vfio/9 %u:%u:0640>\n"
		 "driver 0000:00:0b.0 vfio-pci>\n"
		 "driver_override 0000:00:0b.0 >e1000\n"
		 "driver 0000:00:0b.0 >e1000\n"
		 "device node 0000:00:0a.0 %u:%u:0640>\n"
		 "driver 0000:00:0a.0 vfio-pci>\n"
		 "driver_override 0000:00:0a.0 >e1000\n"
		 "driver 0000:00:0a.0 >e1000\n",
		 geteuid(), getegid(), geteuid(), getegid());
	assert_string_equal(e->steps, expected);
	/* From one of VFIO's to another, their nodes are new, whoever had them. */
	e->opts.driver = "my-vfio-pci";
	e->opts.owned = true;
	e->opts.uid = geteuid();
	e->opts.gid = getegid();
	assert_int_equal(iol_bind(e->tree.host, both, 2, &e->opts), 11);
	snprintf(expected, sizeof(expected), "node /dev/vfio/9 >%u:%u:0600\n", geteuid(),
		 getegid());
	assert_non_null(strstr(e->steps, expected));
}

static void owners_come_back(void **state)
{
	struct env *e = *state;
	const struct iol_change_opts opts = { .state_dir = e->steps };
	_cleanup_plan_ struct iol_plan plan = { 0 };
	struct bind_env env;
	struct iol_engine engine = iol_bind_engine(&env, e->tree.host, &opts);
	struct iol_pci_info info;
	char path[160];
	struct stat st;
	int rc;

	add_vfio(e);
	tree_add(&e->tree, "proc/sys/kernel/random/boot_id = 1-2-3\n");
	e->tree.host->live = true;
	snprintf(e->steps, sizeof(e->steps), "%s/run", e->tree.path);
	snprintf(path, sizeof(path), "%s/dev/vfio/9", e->tree.path);
	rc = iol_pci_info(e->tree.host, &(struct iol_pci_addr){ .dev = 10 }, &info);
	assert_int_equal(rc, 0);
	/* As when a journal does not know it, nor who gave its node away. */
	assert_int_equal(iol_plan_add(&plan, STEP_RULE, "0000:00:0a.0", "", "vfio-pci"), 0);
	assert_int_equal(iol_plan_leave(&engine, &info, &plan), 0);
	assert_int_equal(plan.count, 4);
	assert_string_equal(plan.steps[3].kind, STEP_DRIVER);
	/* There is no driver here that would take it. */
	memmove(plan.steps, plan.steps + 1, 2 * sizeof(*plan.steps));
	plan.count = 2;
	{
		_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;

		assert_int_equal(iol_journal_open(e->tree.host, opts.state_dir, &j), 0);
		assert_int_equal(iol_steps_make(&engine, &j, "unbind", &plan), 2);
	}
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	/* Its driver has gone and come. */
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(iol_undo(e->tree.host, &opts), 2);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
}

static void relink(struct env *e, const char *driver)
{
	char path[192], target[64];

	snprintf(path, sizeof(path), "%s/sys/devices/pci0000:00/0000:00:03.0/" OTHER "/driver",
		 e->tree.path);
	snprintf(target, sizeof(target), "../../../../bus/pci/drivers/%s", driver);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(target, path), 0);
}

/* As the kernel does, which is not here. */
static int as_it_begins(void *opaque, enum iol_step_event event, const struct iol_step *s)
{
	if (event == IOL_STEP_BEGUN && !strcmp(s->kind, STEP_DRIVER) && *s->value)
		relink(opaque, s->value);
	return 0;
}

/* It was VFIO's before somebody bound it to the host's driver, from which it would now be taken. */
static void given_back_in_use(void **state)
{
	struct env *e = *state;
	const struct iol_change_opts opts = {
		.state_dir = e->steps,
		.step = as_it_begins,
		.opaque = e,
	};
	struct iol_pci_addr addrs[] = { tree_addr(VF1), tree_addr(OTHER) };
	_cleanup_plan_ struct iol_plan plan = { 0 };
	struct bind_env env;
	struct iol_engine engine = iol_bind_engine(&env, e->tree.host, &opts);

	tree_add(&e->tree, "proc/sys/kernel/random/boot_id = 1-2-3\n"
			   "sys/bus/pci/drivers/e1000/\n" BRIDGED_OTHER);
	e->tree.host->live = true;
	snprintf(e->steps, sizeof(e->steps), "%s/run", e->tree.path);
	relink(e, "vfio-pci");
	assert_int_equal(iol_plan_add(&plan, STEP_DRIVER, OTHER, "e1000", "vfio-pci"), 0);
	{
		_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;

		assert_int_equal(iol_journal_open(e->tree.host, opts.state_dir, &j), 0);
		assert_int_equal(iol_steps_make(&engine, &j, "bind", &plan), 1);
	}
	assert_int_equal(iol_unbind(e->tree.host, addrs, 2, &opts), -EBUSY);
	assert_non_null(strstr(iol_error(), OTHER " keeps its driver"));
	/* Nothing was done to the other. */
	assert_int_equal(iol_unbind(e->tree.host, addrs, 1, &opts), 0);
}

static void copies_are_not_changed(void **state)
{
	struct env *e = *state;
	struct iol_pci_addr addr = tree_addr(VF0);

	e->opts.change.dry_run = false;
	assert_int_equal(bind_one(e, VF0), -EROFS);
	assert_int_equal(iol_unbind(e->tree.host, &addr, 1, &e->opts.change), -EROFS);
	assert_int_equal(iol_undo(e->tree.host, &e->opts.change), -EROFS);
}

static void names_of_drivers(void **state)
{
	static const char *const wrong[] = { "", "../x", "a b", "-r", "*", "a\n" };
	struct env *e = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		e->opts.driver = wrong[i];
		assert_int_equal(bind_one(e, VF0), -EINVAL);
	}
}

static void rules(void **state)
{
	static const char *const wrong[] = {
		"a\"b", "vfio-pci x", "vfio-pci 1:2 iommu", "vfio-pci iommufd", "vfio-pci 1:2:3",
	};
	static char text[4096];
	struct env *e = *state;
	char dir[80], path[160], value[IOL_NAME_MAX];
	struct bind_env env = { e->tree.host, dir };
	struct stat st;
	FILE *f;

	snprintf(dir, sizeof(dir), "%s/rules", e->tree.path);
	assert_int_equal(iol_rule_get(&env, VF0, value), 0);
	assert_string_equal(value, "");
	assert_int_equal(iol_rule_set(&env, VF0, ""), 0);
	assert_int_equal(iol_rule_set(&env, VF0, "vfio-pci"), -ENOENT);
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(iol_rule_set(&env, VF0, "vfio-pci"), 0);
	assert_int_equal(iol_rule_get(&env, VF0, value), 0);
	assert_string_equal(value, "vfio-pci");
	snprintf(path, sizeof(path), "%s/70-iolane-" VF0 ".rules", dir);
	f = fopen(path, "r");
	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	assert_non_null(strstr(text, "DEVPATH==\"/devices/pci0000:00/0000:00:01.0/" VF0 "\", "
				     "ATTR{driver_override}=\"vfio-pci\", "));
	assert_null(strstr(text, "chown"));
	/* Owners of the group's node, of the device's own, and of iommufd's. */
	assert_int_equal(iol_rule_set(&env, VF0, "vfio-pci 1000:100 iommufd"), 0);
	assert_int_equal(iol_rule_get(&env, VF0, value), 0);
	assert_string_equal(value, "vfio-pci 1000:100 iommufd");
	f = fopen(path, "r");
	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	assert_non_null(strstr(text, "SUBSYSTEM==\"vfio-dev\", "
				     "DEVPATH==\"/devices/pci0000:00/0000:00:01.0/" VF0
				     "/vfio-dev/*\", MODE=\"0600\", "
				     "RUN+=\"/bin/sh -c 'chown 1000:100 $devnode'\"\n"));
	assert_non_null(strstr(text, "TEST==\"/sys/devices/pci0000:00/0000:00:01.0/" VF0 "\", "
				     "TEST==\"/sys/kernel/iommu_groups/%k/devices/" VF0 "\", "));
	assert_non_null(strstr(text, "SUBSYSTEM==\"misc\", KERNEL==\"iommu\", "));
	assert_int_equal(iol_rule_get(&env, VF1, value), 0);
	assert_string_equal(value, "");
	assert_int_equal(iol_rule_set(&env, VF0, ""), 0);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(iol_rule_set(&env, "../x", "vfio-pci"), -EINVAL);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(iol_rule_set(&env, VF0, wrong[i]), -EINVAL);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(iol_rule_get(&env, VF0, value), -EBADMSG);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(plans),
		TEST(plans_without_autoprobe),
		TEST(all_in_one_plan),
		TEST(bound_already),
		TEST(groups),
		TEST(refusals),
		TEST(what_is_in_use),
		TEST(members_in_use),
		TEST(owners_of_groups),
		TEST(the_caller_refuses),
		TEST(owners_of_what_leaves_vfio),
		TEST(owners_come_back),
		TEST(given_back_in_use),
		TEST(copies_are_not_changed),
		TEST(names_of_drivers),
		TEST(rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
