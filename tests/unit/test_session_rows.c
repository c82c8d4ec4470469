/* SPDX-License-Identifier: BSD-3-Clause */
/* What every row of the wire table says about size, descriptors, features and state. */
#include "peer.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- every row of the table ---- */

struct sample {
	uint32_t id;
	const char *name;
	enum iol_wire_payload payload;
	enum iol_wire_fds fds;
	int feature;
	int reply;
	unsigned int needs;
};

#define M(id, name_, payload_, fds_, feature_, reply_, needs_, handler)                            \
	{ id,                                                                                      \
	  #name_,                                                                                  \
	  IOL_PAYLOAD_##payload_,                                                                  \
	  IOL_FDS_##fds_,                                                                          \
	  VHOST_USER_PROTOCOL_F_##feature_,                                                        \
	  IOL_REPLY_##reply_,                                                                      \
	  needs_ },
static const struct sample samples[] = { IOL_WIRE_MESSAGES(M) };
#undef M

#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

/* A message of the right shape; what it says is nothing much. */
static int post_sample(struct peer *p, const struct sample *m, uint32_t flags, uint64_t first)
{
	union vhost_user_payload payload;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), rc;
	bool one = m->fds == IOL_FDS_ONE || m->fds == IOL_FDS_VRING;

	memset(&payload, 0, sizeof(payload));
	if (m->payload == IOL_PAYLOAD_U64)
		payload.u64 = first;
	else if (m->payload != IOL_PAYLOAD_MEMORY)
		payload.state.index = (uint32_t)first;
	rc = peer_post(p, m->id, flags, &payload, iol_wire_payload_min(m->payload), &fd, one);
	close(fd);
	return rc;
}

/*
 * A refusal: told to the front end where the protocol can tell it, or else the end. Flags say
 * that REPLY_ACK was negotiated and the message asked.
 */
static void assert_refused(struct peer *p, const struct sample *m, int rc, bool acked)
{
	struct iol_wire_rx rx;

	if (m->reply == IOL_REPLY_CONFIG) {
		assert_int_equal(rc, 0);
		assert_int_equal(peer_answer(p, &rx), 1);
		assert_int_equal(rx.msg.hdr.size, 0);
	} else if ((m->reply == IOL_REPLY_STATUS && m->id != VHOST_USER_SET_LOG_BASE) ||
		   (m->reply < 0 && acked)) {
		assert_int_equal(rc, 0);
		assert_int_equal(peer_answer(p, &rx), 1);
		assert_int_equal(rx.msg.hdr.size, 8);
		assert_int_not_equal(rx.msg.payload.u64, 0);
	} else {
		assert_true(rc < 0);
		assert_non_null(strstr(iol_error(), m->name));
		assert_int_equal(peer_answer(p, &rx), 0);
	}
}

static void each(void (*fn)(struct peer *p, const struct sample *m))
{
	size_t i;

	for (i = 0; i < SAMPLES; i++) {
		void *state;

		peer_setup(&state);
		fn(state, &samples[i]);
		peer_teardown(&state);
	}
}

/* Some messages only a front end sends, and no device here offers what they need. */
static bool offered(const struct sample *m)
{
	return m->feature < 0 || ALL_PROTOCOL >> m->feature & 1;
}

static void before_anything(struct peer *p, const struct sample *m)
{
	int rc = post_sample(p, m, 0, 0);

	if (!offered(m)) {
		assert_non_null(strstr(iol_error(), "was not negotiated"));
		assert_refused(p, m, rc, false);
		return;
	}

	/* What needs no features is not held up by their lack, whatever else is wrong with it. */
	if (m->needs & IOL_NEED_FEATURES) {
		assert_non_null(strstr(iol_error(), "SET_FEATURES must come first"));
		assert_refused(p, m, rc, false);
	} else if (rc < 0) {
		assert_null(strstr(iol_error(), "must come first"));
		assert_null(strstr(iol_error(), "was not negotiated"));
	}
}

static void before_features(struct peer *p, const struct sample *m)
{
	uint64_t protocol = ALL_PROTOCOL;
	int rc;

	assert_int_equal(peer_post(p, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, 8, NULL, 0),
			 0);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_OWNER, NULL, 0, -1), 0);
	if (!(m->needs & IOL_NEED_FEATURES) || !offered(m))
		return;
	rc = post_sample(p, m, VHOST_USER_NEED_REPLY_MASK, 0);
	assert_non_null(strstr(iol_error(), "SET_FEATURES"));
	assert_refused(p, m, rc, true);
}

static void without_its_protocol_feature(struct peer *p, const struct sample *m)
{
	uint64_t protocol;
	int rc;

	if (m->feature < 0)
		return;
	protocol = ALL_PROTOCOL & ~IOL_BIT(m->feature);
	assert_int_equal(peer_post(p, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(peer_post(p, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, 8, NULL, 0),
			 0);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_FEATURES, V1 | PROTO), 0);
	rc = post_sample(p, m, VHOST_USER_NEED_REPLY_MASK, 0);
	assert_non_null(strstr(iol_error(), "was not negotiated"));
	assert_refused(p, m, rc, true);
}

static void for_a_queue_that_is_not_there(struct peer *p, const struct sample *m)
{
	int rc;

	if (!(m->needs & (IOL_NEED_RING | IOL_NEED_STOPPED_RING)))
		return;
	peer_negotiate(p, V1 | PROTO);
	rc = post_sample(p, m, VHOST_USER_NEED_REPLY_MASK, QUEUES);
	assert_non_null(strstr(iol_error(), "there is no queue"));
	assert_refused(p, m, rc, true);
}

static void while_a_ring_runs(struct peer *p, const struct sample *m)
{
	int rc;

	if (!(m->needs & (IOL_NEED_STOPPED_RING | IOL_NEED_SUSPENDED)) || !offered(m))
		return;
	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	peer_start_ring(p, 1);
	rc = post_sample(p, m, VHOST_USER_NEED_REPLY_MASK, 1);
	assert_non_null(strstr(iol_error(), "is running"));
	assert_refused(p, m, rc, true);
}

static void of_a_wrong_size(struct peer *p, const struct sample *m)
{
	union vhost_user_payload payload = { 0 };
	struct iol_wire_rx rx;
	uint32_t size = iol_wire_payload_max(m->payload) + 1;

	if (size > sizeof(payload))
		size = iol_wire_payload_min(m->payload) - 1;
	peer_negotiate(p, V1 | PROTO);
	assert_int_equal(peer_post(p, m->id, VHOST_USER_NEED_REPLY_MASK, &payload, size, NULL, 0),
			 -EPROTO);
	assert_non_null(strstr(iol_error(), m->name));
	assert_int_equal(peer_answer(p, &rx), 1);
	assert_int_equal(rx.msg.hdr.size, 8);
	assert_int_not_equal(rx.msg.payload.u64, 0);
}

static void with_stray_descriptors(struct peer *p, const struct sample *m)
{
	union vhost_user_payload payload = { 0 };
	int fds[2] = { eventfd(0, 0), eventfd(0, 0) };

	peer_negotiate(p, V1 | PROTO);
	assert_int_equal(peer_post(p, m->id, 0, &payload, iol_wire_payload_min(m->payload), fds, 2),
			 -EPROTO);
	assert_non_null(strstr(iol_error(), m->name));
	close(fds[0]);
	close(fds[1]);
}

static void every_row(void **state)
{
	each(before_anything);
	each(before_features);
	each(without_its_protocol_feature);
	each(for_a_queue_that_is_not_there);
	each(while_a_ring_runs);
	each(of_a_wrong_size);
	each(with_stray_descriptors);
}

static void unknown_messages_end_the_connection(void **state)
{
	struct peer *p = *state;

	assert_int_equal(peer_post(p, 26, 0, NULL, 0, NULL, 0), -EPROTO);
	assert_non_null(strstr(iol_error(), "message 26"));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, peer_setup, peer_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row),
		T(unknown_messages_end_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
