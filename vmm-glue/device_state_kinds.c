/* SPDX-License-Identifier: BSD-3-Clause */
/* The kinds of devices that have a state: VFIO's, vhost-user back ends, and those without. */
#include "vmm-glue/device_state.h"

#include "base/error.h"
#include "base/own.h"
#include "vmm-glue/frontend.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* ---- VFIO (linux/vfio.h, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE) ---- */

static int set(struct iol_device_state *st, enum iol_migration state)
{
	int rc, data = -1;

	st->touched = true;
	rc = iol_migration_set(st->vfio, state, &data);
	if (rc < 0 || data < 0)
		return rc;
	iol_close(&st->fd);
	st->fd = data;
	return 0;
}

static int set_for_data(struct iol_device_state *st, enum iol_migration state)
{
	int rc = set(st, state);

	if (!rc && st->fd < 0)
		rc = iol_fail(EBADMSG, "the kernel shows no place for the device's state");
	return rc;
}

static int vfio_begin(struct iol_device_state *st)
{
	unsigned int states;
	uint32_t device;
	int rc;

	rc = iol_migration_info(st->vfio, &states);
	if (!rc)
		rc = iol_vfio_region_read(st->vfio, IOL_REGION_CONFIG, 0, &device, sizeof(device));
	if (!rc)
		st->device = le32toh(device);
	return rc;
}

static int vfio_save(struct iol_device_state *st)
{
	unsigned int states;
	int rc = iol_migration_info(st->vfio, &states);

	if (rc < 0 || !(states >> IOL_MIGRATION_PRE_COPY & 1))
		return rc;
	return set_for_data(st, IOL_MIGRATION_PRE_COPY);
}

static int vfio_stop(struct iol_device_state *st)
{
	return set_for_data(st, IOL_MIGRATION_STOP_COPY);
}

static int vfio_load(struct iol_device_state *st)
{
	return set_for_data(st, IOL_MIGRATION_RESUMING);
}

static int vfio_loaded(struct iol_device_state *st)
{
	return set(st, IOL_MIGRATION_RUNNING);
}

static int vfio_gone(struct iol_device_state *st)
{
	return set(st, IOL_MIGRATION_STOP);
}

static int vfio_give_up(struct iol_device_state *st)
{
	enum iol_migration state;
	int rc;

	iol_close(&st->fd);
	/* Leaving RESUMING otherwise would be taken for the state's end. */
	if (st->loads) {
		rc = iol_vfio_reset(st->vfio, NULL);
		return rc < 0 ? iol_fail_more(rc, "the device holds half a state") : 0;
	}
	rc = iol_migration_set(st->vfio, IOL_MIGRATION_RUNNING, &st->fd);
	if (rc < 0 && !iol_migration_state(st->vfio, &state))
		return iol_fail_more(rc, state == IOL_MIGRATION_ERROR
						 ? "the device failed, and only a reset ends that"
						 : "the device stands still");
	return rc;
}

static int vfio_left(struct iol_device_state *st, struct iol_migration_left *left)
{
	return iol_migration_left(st->vfio, st->stopped ? -1 : st->fd, left);
}

const struct state_kind state_vfio = {
	.name = "a device of VFIO's",
	.number = 1,
	.begin = vfio_begin,
	.save = vfio_save,
	.stop = vfio_stop,
	.load = vfio_load,
	.loaded = vfio_loaded,
	.gone = vfio_gone,
	.give_up = vfio_give_up,
	.left = vfio_left,
};

/* ---- vhost-user ("Migrating back-end state") ---- */

static int transfer(struct iol_device_state *st)
{
	int rc = iol_frontend_transfer(st->fe, st->loads, &st->fd);
	struct stat is;
	int flags;

	if (rc < 0)
		return rc;
	st->touched = true;
	/* A back end may hang, and what it gave may be anything: files make those who read them wait. */
	flags = fcntl(st->fd, F_GETFL);
	if (flags < 0 || fcntl(st->fd, F_SETFL, flags | O_NONBLOCK) < 0 || fstat(st->fd, &is) < 0)
		return iol_fail(errno, "cannot set up what a back end's state goes through: %s",
				strerror(errno));
	if (!S_ISFIFO(is.st_mode) && !S_ISSOCK(is.st_mode))
		return iol_fail(
			EPROTO,
			"what the back end gave for its state is neither a pipe nor a socket");
	return 0;
}

/* A closed end says that it is all. */
static int transferred(struct iol_device_state *st)
{
	iol_close(&st->fd);
	return iol_frontend_transferred(st->fe);
}

static int backend_left(struct iol_device_state *st, struct iol_migration_left *left)
{
	*left = (struct iol_migration_left){ .stopped = UINT64_MAX };
	return 0;
}

const struct state_kind state_backend = {
	.name = "a vhost-user back end",
	.number = 2,
	.stop = transfer,
	.saved = transferred,
	.load = transfer,
	.loaded = transferred,
	.left = backend_left,
};

const struct state_kind state_none = { .name = "a device without state of its own" };
