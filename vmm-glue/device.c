/* SPDX-License-Identifier: BSD-3-Clause */
/* The device behind the queues: configuration, status, reset, and its inflight buffer. */
#include "vmm-glue/frontend.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int config_range(uint32_t off, uint32_t len)
{
	if (off > VHOST_USER_CONFIG_DATA_MAX || len > VHOST_USER_CONFIG_DATA_MAX - off || !len)
		return iol_fail(EINVAL, "a config space has no bytes %u to %llu", off,
				(unsigned long long)off + len);
	return 0;
}

int iol_frontend_get_config(struct iol_frontend *fe, uint32_t off, void *data, uint32_t len)
{
	struct vhost_user_config config = { .offset = off, .size = len };
	uint32_t size = (uint32_t)offsetof(struct vhost_user_config, data) + len;
	struct iol_msg reply;
	int rc;

	rc = config_range(off, len);
	if (!rc)
		rc = iol_fe_get(fe, VHOST_USER_GET_CONFIG, &config, size, -1, &reply);
	if (rc < 0)
		return rc;
	if (!reply.hdr.size)
		return iol_fail(EREMOTEIO, "the back end refused GET_CONFIG");
	if (reply.hdr.size != size || reply.payload.config.offset != off ||
	    reply.payload.config.size != len)
		return iol_fe_lose(fe,
				   iol_fail(EPROTO,
					    "the back end's reply to GET_CONFIG is for other bytes "
					    "than %u from %u",
					    len, off));
	memcpy(data, reply.payload.config.data, len);
	return 0;
}

int iol_frontend_set_config(struct iol_frontend *fe, uint32_t off, const void *data, uint32_t len)
{
	struct vhost_user_config config = { .offset = off,
					    .size = len,
					    .flags = VHOST_USER_CONFIG_WRITABLE };
	int rc;

	rc = config_range(off, len);
	if (rc < 0)
		return rc;
	memcpy(config.data, data, len);
	return iol_fe_set(fe, VHOST_USER_SET_CONFIG, &config,
			  (uint32_t)offsetof(struct vhost_user_config, data) + len, NULL, 0);
}

int iol_frontend_set_status(struct iol_frontend *fe, uint8_t status)
{
	return iol_fe_set_u64(fe, VHOST_USER_SET_STATUS, status);
}

int iol_frontend_get_status(struct iol_frontend *fe, uint8_t *status)
{
	uint64_t value;
	int rc;

	rc = iol_fe_get_u64(fe, VHOST_USER_GET_STATUS, &value);
	if (rc < 0)
		return rc;
	if (value > UINT8_MAX)
		return iol_fe_lose(fe, iol_fail(EPROTO,
						"the back end's device status 0x%llx is no byte",
						(unsigned long long)value));
	*status = (uint8_t)value;
	return 0;
}

int iol_frontend_set_mtu(struct iol_frontend *fe, uint16_t mtu)
{
	int rc = iol_fe_set_u64(fe, VHOST_USER_NET_SET_MTU, mtu);

	if (!rc)
		fe->mtu = mtu;
	return rc;
}

int iol_frontend_send_rarp(struct iol_frontend *fe, const uint8_t mac[6])
{
	uint64_t value = 0;
	unsigned int i;

	for (i = 0; i < 6; i++)
		value |= (uint64_t)mac[i] << 8 * i;
	return iol_fe_set_u64(fe, VHOST_USER_SEND_RARP, value);
}

/* A pipe, or what the back end would rather have instead of it. */
int iol_frontend_transfer(struct iol_frontend *fe, bool load, int *fd)
{
	const struct vhost_user_transfer ask = { load ? VHOST_USER_TRANSFER_LOAD
						      : VHOST_USER_TRANSFER_SAVE,
						 0 };
	_cleanup_close_ int ours = -1, theirs = -1;
	struct iol_msg reply;
	unsigned int i;
	int ends[2];
	int rc;

	for (i = 0; i < fe->nqueues; i++)
		if (fe->queues[i].started)
			return iol_fail(EBUSY,
					"a back end's state can't be had while its queue %u runs",
					i);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return iol_fail(errno, "cannot make a pipe: %s", strerror(errno));
	ours = ends[load];
	theirs = ends[!load];
	rc = iol_fe_get(fe, VHOST_USER_SET_DEVICE_STATE_FD, &ask, sizeof(ask), theirs, &reply);
	if (rc < 0)
		return rc;
	if (reply.payload.u64 & VHOST_USER_TRANSFER_ERROR_MASK)
		return iol_fail(EREMOTEIO, "the back end refused to %s its state",
				load ? "load" : "save");
	if (reply.nfds) {
		iol_close(&ours);
		ours = iol_msg_take_fd(&reply);
	}
	*fd = iol_take_fd(&ours);
	return 0;
}

int iol_frontend_transferred(struct iol_frontend *fe)
{
	uint64_t failed;
	int rc;

	rc = iol_fe_get_u64(fe, VHOST_USER_CHECK_DEVICE_STATE, &failed);
	if (!rc && failed)
		rc = iol_fail(EREMOTEIO, "the back end says that its state did not get across");
	return rc;
}

int iol_frontend_reset(struct iol_frontend *fe)
{
	unsigned int i;
	int rc;

	rc = iol_frontend_suspend(fe);
	if (rc < 0)
		return rc;
	for (i = 0; i < fe->nqueues; i++)
		fe->queues[i].resume = false;
	if (!iol_fe_has(fe, VHOST_USER_RESET_DEVICE))
		return iol_fe_set(fe, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0);
	return iol_frontend_set_status(fe, 0);
}

int iol_fe_send_inflight(struct iol_frontend *fe)
{
	return iol_fe_set(fe, VHOST_USER_SET_INFLIGHT_FD, &fe->inflight, sizeof(fe->inflight),
			  &fe->inflight_fd, 1);
}

int iol_frontend_track_inflight(struct iol_frontend *fe, unsigned int num_queues,
				uint16_t queue_size)
{
	struct vhost_user_inflight ask = { .num_queues = (uint16_t)num_queues,
					   .queue_size = queue_size };
	const struct vhost_user_inflight *got;
	struct iol_msg reply;
	struct stat st;
	int rc;

	if (!num_queues || num_queues > UINT16_MAX)
		return iol_fail(EINVAL, "%u queues cannot be tracked", num_queues);
	rc = iol_fe_get(fe, VHOST_USER_GET_INFLIGHT_FD, &ask, sizeof(ask), -1, &reply);
	if (rc < 0)
		return rc;
	got = &reply.payload.inflight;
	if (!got->mmap_size || fstat(reply.fds[0], &st) < 0 || st.st_size < 0 ||
	    got->mmap_offset > (uint64_t)st.st_size ||
	    got->mmap_size > (uint64_t)st.st_size - got->mmap_offset) {
		iol_msg_close(&reply);
		return iol_fe_lose(
			fe, iol_fail(EPROTO, "the back end's inflight buffer is not in its file"));
	}
	iol_close(&fe->inflight_fd);
	fe->inflight = *got;
	fe->inflight.num_queues = ask.num_queues;
	fe->inflight.queue_size = ask.queue_size;
	fe->inflight_fd = iol_msg_take_fd(&reply);
	iol_msg_close(&reply);
	return iol_fe_send_inflight(fe);
}
