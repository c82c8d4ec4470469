/* SPDX-License-Identifier: BSD-3-Clause */
#include "vmm-glue/frontend.h"

#include "base/error.h"
#include "base/own.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_net.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#define PROTOCOL_BIT(name) (1ull << VHOST_USER_PROTOCOL_F_##name)
#define FEATURE_PROTOCOL   (1ull << VHOST_USER_F_PROTOCOL_FEATURES)
#define FEATURE_LOG        (1ull << VHOST_F_LOG_ALL)

/* What this front end has code for. */
#define PROTOCOL_KNOWN                                                                             \
	(PROTOCOL_BIT(MQ) | PROTOCOL_BIT(LOG_SHMFD) | PROTOCOL_BIT(RARP) |                         \
	 PROTOCOL_BIT(REPLY_ACK) | PROTOCOL_BIT(MTU) | PROTOCOL_BIT(BACKEND_REQ) |                 \
	 PROTOCOL_BIT(CONFIG) | PROTOCOL_BIT(INFLIGHT_SHMFD) | PROTOCOL_BIT(RESET_DEVICE) |        \
	 PROTOCOL_BIT(CONFIGURE_MEM_SLOTS) | PROTOCOL_BIT(STATUS) | PROTOCOL_BIT(DEVICE_STATE))

/* More than the memory's largest table can hold is a lie or of no use. */
#define QUEUES_LIMIT 65536
#define SLOTS_LIMIT  65536

static int open_channel(struct iol_frontend *fe)
{
	_cleanup_close_ int theirs = -1;
	int pair[2];
	int rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return iol_fail(errno, "cannot make a socket pair: %s", strerror(errno));
	fe->channel = pair[0];
	theirs = pair[1];
	rc = iol_fe_set(fe, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &theirs, 1);
	if (rc < 0)
		iol_close(&fe->channel);
	return rc;
}

static int agree_on_protocol(struct iol_frontend *fe)
{
	uint64_t offered, agreed;
	int rc;

	rc = iol_fe_get_u64(fe, VHOST_USER_GET_PROTOCOL_FEATURES, &offered);
	if (rc < 0)
		return rc;
	agreed = offered & PROTOCOL_KNOWN & ~fe->protocol_off;
	rc = iol_fe_set_u64(fe, VHOST_USER_SET_PROTOCOL_FEATURES, agreed);
	if (rc < 0)
		return rc;
	fe->protocol = agreed;
	return agreed & PROTOCOL_BIT(BACKEND_REQ) ? open_channel(fe) : 0;
}

/*
 * GET_QUEUE_NUM counts queues, but pairs of a NIC's with DPDK's back ends. The config space knows (virtio 1.3, 5.1.4). It is
 * read from its begin, as some back ends read nothing else.
 */
static int ask_pairs(struct iol_frontend *fe, uint64_t offered)
{
	struct virtio_net_config c = { 0 };
	uint32_t len = offsetof(struct virtio_net_config, max_virtqueue_pairs) +
		       sizeof(c.max_virtqueue_pairs);
	unsigned int max = 1;
	int rc = 0;

	if (offered >> VIRTIO_NET_F_MQ & 1) {
		rc = iol_frontend_get_config(fe, 0, &c, len);
		max = le16toh(c.max_virtqueue_pairs);
	}
	if (rc < 0 && rc != -ENOTSUP && rc != -EREMOTEIO)
		return rc;
	if (max && fe->queues_max > 2 * max)
		fe->queues_max = 2 * max;
	return 0;
}

static int ask_limits(struct iol_frontend *fe, uint64_t offered)
{
	uint64_t n;
	int rc;

	fe->queues_max = fe->pairs ? 2 : 1;
	fe->slots_max = FRONTEND_TABLE_MAX;
	if (fe->protocol & PROTOCOL_BIT(MQ)) {
		rc = iol_fe_get_u64(fe, VHOST_USER_GET_QUEUE_NUM, &n);
		if (rc < 0)
			return rc;
		if (!n || n > QUEUES_LIMIT)
			return iol_fe_lose(fe, iol_fail(EPROTO,
							"the back end says that it has %" PRIu64
							" queues",
							n));
		fe->queues_max *= (unsigned int)n;
		rc = fe->pairs ? ask_pairs(fe, offered) : 0;
		if (rc < 0)
			return rc;
	}
	if (fe->protocol & PROTOCOL_BIT(CONFIGURE_MEM_SLOTS)) {
		rc = iol_fe_get_u64(fe, VHOST_USER_GET_MAX_MEM_SLOTS, &n);
		if (rc < 0)
			return rc;
		if (!n)
			return iol_fe_lose(
				fe, iol_fail(EPROTO, "the back end says that it takes no memory"));
		fe->slots_max = n > SLOTS_LIMIT ? SLOTS_LIMIT : (unsigned int)n;
	}
	return 0;
}

int iol_frontend_negotiate(struct iol_frontend *fe, uint64_t want, uint64_t need)
{
	uint64_t offered, agreed;
	int rc;

	fe->protocol = 0;
	rc = iol_fe_get_u64(fe, VHOST_USER_GET_FEATURES, &offered);
	if (rc < 0)
		return rc;
	if (need & ~offered)
		return iol_fail(
			ENOTSUP,
			"the back end does not offer virtio feature bit %d, which is needed",
			__builtin_ctzll(need & ~offered));
	if (offered & FEATURE_PROTOCOL) {
		rc = agree_on_protocol(fe);
		if (rc < 0)
			return iol_fail_more(rc, "negotiating protocol features");
	}
	rc = iol_fe_set(fe, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0);
	if (!rc)
		rc = ask_limits(fe, offered);
	if (rc < 0)
		return rc;
	agreed = offered & (want | need | FEATURE_PROTOCOL);
	rc = iol_fe_set_u64(fe, VHOST_USER_SET_FEATURES, agreed);
	if (rc < 0)
		return rc;
	fe->features = agreed;
	fe->offered = agreed & ~FEATURE_LOG;
	fe->can_log = offered & FEATURE_LOG;
	fe->negotiated = true;
	return 0;
}

int iol_frontend_set_features(struct iol_frontend *fe, uint64_t features)
{
	if (!fe->negotiated)
		return iol_fail(EINVAL,
				"a front end agrees on features before it agrees on others");
	fe->features = ((features | FEATURE_PROTOCOL) & fe->offered) |
		       (fe->logging ? FEATURE_LOG : 0);
	return iol_fe_set_u64(fe, VHOST_USER_SET_FEATURES, fe->features);
}

uint64_t iol_frontend_features(const struct iol_frontend *fe)
{
	return fe->features;
}

uint64_t iol_frontend_protocol_features(const struct iol_frontend *fe)
{
	return fe->protocol;
}

unsigned int iol_frontend_queues_max(const struct iol_frontend *fe)
{
	return fe->queues_max;
}

unsigned int iol_frontend_slots_max(const struct iol_frontend *fe)
{
	return fe->slots_max;
}
