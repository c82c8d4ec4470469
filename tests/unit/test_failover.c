/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest with a standby NIC and a VF before it: each step can fail, and it always has one of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>
#include <iolane/vmm_migration.h>

#include "base/error.h"

struct guest {
	bool stands_by, has_vf, asked;
	bool lets_go;  /* when it is asked, in time */
	bool late;     /* or while the request is taken back */
	bool stubborn; /* a request can't be taken back */
	bool unloads;  /* its driver is gone after a migration */
	unsigned int steps, fail_at;
	unsigned int waits, migrations;
};

static int step(struct guest *g, const char *what)
{
	return ++g->steps == g->fail_at ? iol_fail(EIO, "%s does not work", what) : 0;
}

static bool stands_by(void *ctx)
{
	return ((struct guest *)ctx)->stands_by;
}

static int plug(void *ctx)
{
	struct guest *g = ctx;
	int rc = step(g, "plugging");

	assert_false(g->has_vf);
	g->has_vf = !rc;
	return rc;
}

static int ask(void *ctx)
{
	struct guest *g = ctx;
	int rc = step(g, "asking");

	assert_true(g->has_vf && !g->asked);
	g->asked = !rc;
	return rc;
}

static int wait_for(void *ctx, unsigned int ms)
{
	struct guest *g = ctx;
	int rc = step(g, "waiting");

	assert_true(g->asked);
	assert_true(ms == 0 || ms == 1234);
	g->waits++;
	return rc < 0 ? rc : g->lets_go ? 0 : -ETIMEDOUT;
}

static int cancel(void *ctx)
{
	struct guest *g = ctx;
	int rc = step(g, "taking it back");

	assert_true(g->asked);
	if (rc < 0 || g->stubborn)
		return rc < 0 ? rc : -EOPNOTSUPP;
	if (g->late)
		return -EALREADY;
	g->asked = false;
	return 0;
}

static void unplug(void *ctx)
{
	struct guest *g = ctx;

	assert_true(g->has_vf && g->asked);
	g->has_vf = g->asked = false;
}

static int migrate(void *ctx)
{
	struct guest *g = ctx;

	assert_false(g->has_vf);
	g->migrations++;
	g->stands_by = !g->unloads;
	return step(g, "migrating");
}

static const struct iol_failover_ops ops = { stands_by, plug, ask, wait_for, cancel, unplug };

static struct iol_failover pair(struct guest *g)
{
	return (struct iol_failover){ .ops = &ops, .ctx = g, .timeout_ms = 1234 };
}

/* What the pair says is what the guest has. */
static void agree(const struct iol_failover *fo)
{
	const struct guest *g = fo->ctx;

	assert_int_equal(g->has_vf, fo->state != IOL_FAILOVER_ALONE);
	assert_int_equal(g->asked, fo->state == IOL_FAILOVER_LEAVING);
}

static void a_guest_moves(void **state)
{
	struct guest here = { .stands_by = true, .lets_go = true }, there = { 0 };
	struct iol_failover source = pair(&here), target = pair(&there);

	assert_int_equal(iol_failover_plug(&source), 0);
	assert_int_equal(iol_failover_plug(&source), 0);
	assert_int_equal(iol_failover_migrate(&source, migrate), 0);
	assert_int_equal(source.state, IOL_FAILOVER_ALONE);
	assert_int_equal(iol_failover_unplug(&source), 0);
	assert_int_equal(here.migrations, 1);
	agree(&source);
	/* A driver that does not know of standbys would have two NICs. */
	assert_int_equal(iol_failover_plug(&target), -EAGAIN);
	assert_non_null(strstr(iol_error(), "standby"));
	there.stands_by = true;
	assert_int_equal(iol_failover_plug(&target), 0);
	assert_int_equal(target.state, IOL_FAILOVER_PAIRED);
	agree(&target);
	/* And without one it would have none. */
	there.stands_by = false;
	assert_int_equal(iol_failover_unplug(&target), -EAGAIN);
	assert_int_equal(target.state, IOL_FAILOVER_PAIRED);
	agree(&target);
}

/* Plugging, asking, waiting, migrating. */
static void each_step_fails(void **state)
{
	unsigned int at;
	int rc;

	for (at = 1;; at++) {
		struct guest g = { .stands_by = true, .lets_go = true, .fail_at = at };
		struct iol_failover fo = pair(&g);

		rc = iol_failover_plug(&fo);
		agree(&fo);
		if (!rc)
			rc = iol_failover_migrate(&fo, migrate);
		agree(&fo);
		if (!rc)
			break;
		assert_int_equal(rc, -EIO);
		assert_non_null(strstr(iol_error(), "does not work"));
		/* As before it began. */
		assert_int_equal(fo.state, at == 1 ? IOL_FAILOVER_ALONE : IOL_FAILOVER_PAIRED);
	}
	assert_int_equal(at, 5);
}

static void a_guest_keeps_it(void **state)
{
	struct guest g = { .stands_by = true };
	struct iol_failover fo = pair(&g);

	assert_int_equal(iol_failover_plug(&fo), 0);
	assert_int_equal(iol_failover_migrate(&fo, migrate), -ETIMEDOUT);
	assert_non_null(strstr(iol_error(), "1234 ms"));
	assert_int_equal(fo.state, IOL_FAILOVER_PAIRED);
	agree(&fo);
	/* In the last moment it does not. */
	g.late = true;
	assert_int_equal(iol_failover_migrate(&fo, migrate), 0);
	assert_int_equal(fo.state, IOL_FAILOVER_ALONE);
	assert_int_equal(g.migrations, 1);
	agree(&fo);
}

static void it_cannot_be_taken_back(void **state)
{
	struct guest g = { .stands_by = true, .stubborn = true };
	struct iol_failover fo = pair(&g);

	assert_int_equal(iol_failover_plug(&fo), 0);
	assert_int_equal(iol_failover_migrate(&fo, migrate), -ETIMEDOUT);
	assert_non_null(strstr(iol_error(), "still may"));
	assert_int_equal(fo.state, IOL_FAILOVER_LEAVING);
	agree(&fo);
	assert_int_equal(iol_failover_plug(&fo), -EBUSY);
	/* It is not asked twice. */
	assert_int_equal(iol_failover_unplug(&fo), -ETIMEDOUT);
	assert_int_equal(g.waits, 3);
	agree(&fo);
	/* It has let go at last, so that it can have it again. */
	g.lets_go = true;
	assert_int_equal(iol_failover_plug(&fo), 0);
	assert_int_equal(fo.state, IOL_FAILOVER_PAIRED);
	agree(&fo);
}

static void it_cannot_be_given_back(void **state)
{
	struct guest g = { .stands_by = true, .lets_go = true, .fail_at = 4, .unloads = true };
	struct iol_failover fo = pair(&g);

	assert_int_equal(iol_failover_plug(&fo), 0);
	assert_int_equal(iol_failover_migrate(&fo, migrate), -EIO);
	assert_int_equal(fo.state, IOL_FAILOVER_ALONE);
	agree(&fo);
	assert_non_null(strstr(iol_error(), "migrating does not work"));
	assert_non_null(strstr(iol_error(), "goes on with its standby NIC"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_moves),
		cmocka_unit_test(each_step_fails),
		cmocka_unit_test(a_guest_keeps_it),
		cmocka_unit_test(it_cannot_be_taken_back),
		cmocka_unit_test(it_cannot_be_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
