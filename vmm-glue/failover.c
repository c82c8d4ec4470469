/* SPDX-License-Identifier: BSD-3-Clause */
/* The failover pair: which of the two NICs a guest has, and that it always has one. */
#include <iolane/vmm_migration.h>

#include "base/error.h"

#include <errno.h>
#include <stdio.h>

static void left(struct iol_failover *fo)
{
	fo->ops->unplug(fo->ctx);
	fo->state = IOL_FAILOVER_ALONE;
}

/* Of a guest that was asked: has it let go by now? */
static int look(struct iol_failover *fo)
{
	int rc = fo->ops->wait(fo->ctx, 0);

	if (rc == -ETIMEDOUT)
		return iol_fail(EBUSY,
				"the guest was asked for the VF, and has yet to let go of it");
	if (!rc)
		left(fo);
	return rc;
}

int iol_failover_plug(struct iol_failover *fo)
{
	int rc = fo->state == IOL_FAILOVER_LEAVING ? look(fo) : 0;

	if (rc < 0 || fo->state == IOL_FAILOVER_PAIRED)
		return rc;
	if (!fo->ops->stands_by(fo->ctx))
		return iol_fail(EAGAIN, "the guest's driver does not have the standby NIC as one, "
					"so that the VF would "
					"be another NIC; it needs net_failover");
	rc = fo->ops->plug(fo->ctx);
	if (rc < 0)
		return iol_fail_more(rc, "giving the guest its VF");
	fo->state = IOL_FAILOVER_PAIRED;
	return 0;
}

static int ask(struct iol_failover *fo)
{
	int rc;

	if (!fo->ops->stands_by(fo->ctx))
		return iol_fail(EAGAIN, "the guest's driver does not have the standby NIC, and "
					"would be without a network");
	rc = fo->ops->ask(fo->ctx);
	if (rc < 0)
		return iol_fail_more(rc, "asking the guest for the VF");
	fo->state = IOL_FAILOVER_LEAVING;
	return 0;
}

/* It did not let go in time, or can't be waited for. */
static int withdraw(struct iol_failover *fo, int why)
{
	char sentence[IOL_ERROR_MAX];
	int rc;

	snprintf(sentence, sizeof(sentence), "%s", iol_error());
	rc = fo->ops->cancel ? fo->ops->cancel(fo->ctx) : -EOPNOTSUPP;
	if (rc == -EALREADY) {
		left(fo);
		return 0;
	}
	if (!rc)
		fo->state = IOL_FAILOVER_PAIRED;
	if (why == -ETIMEDOUT)
		return iol_fail(ETIMEDOUT, "the guest has not let go of the VF within %u ms%s",
				fo->timeout_ms, rc ? ", and still may" : "; it keeps it");
	return iol_fail(-why, "waiting for the guest to let go of the VF: %s", sentence);
}

int iol_failover_unplug(struct iol_failover *fo)
{
	int rc = fo->state == IOL_FAILOVER_PAIRED ? ask(fo) : 0;

	if (rc < 0 || fo->state == IOL_FAILOVER_ALONE)
		return rc;
	rc = fo->ops->wait(fo->ctx, fo->timeout_ms);
	if (rc < 0)
		return withdraw(fo, rc);
	left(fo);
	return 0;
}

int iol_failover_migrate(struct iol_failover *fo, int (*migrate)(void *ctx))
{
	bool had = fo->state != IOL_FAILOVER_ALONE;
	char sentence[IOL_ERROR_MAX];
	int rc = iol_failover_unplug(fo);

	if (rc < 0)
		return rc;
	rc = migrate(fo->ctx);
	if (rc >= 0 || !had)
		return rc;
	snprintf(sentence, sizeof(sentence), "%s", iol_error());
	if (iol_failover_plug(fo) < 0)
		return iol_fail(-rc, "%s; and the guest goes on with its standby NIC: %s", sentence,
				iol_error());
	return iol_fail(-rc, "%s", sentence);
}
