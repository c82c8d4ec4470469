/* SPDX-License-Identifier: BSD-3-Clause */
/* The inflight log's memory, and what a ring makes of a log that says anything at all. */
#include "ring_env.h"
#include "vhost-user/inflight_priv.h"
#include "vhost-user/track.h"

#include <fcntl.h>

#define SIZE 8

static void new_is_sealed_and_zero(void **state)
{
	struct iol_inflight *in;
	size_t i;

	assert_int_equal(iol_inflight_new(3, 100, true, &in), 0);
	/* As the specification lays it out: 32 bytes, and 32 a descriptor. */
	assert_true(in->stride >= 32 + 100 * 32);
	assert_true(in->map_len >= 3 * in->stride);
	for (i = 0; i < in->map_len; i++)
		assert_int_equal(in->map[i], 0);
	assert_int_equal(ftruncate(in->fd, 0), -1);
	assert_int_equal(fcntl(in->fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	iol_inflight_destroy(&in);
	assert_null(in);
	assert_int_equal(iol_inflight_new(0, 100, false, &in), -EINVAL);
	assert_int_equal(iol_inflight_new(257, 100, false, &in), -EINVAL);
	assert_int_equal(iol_inflight_new(1, 0, false, &in), -EINVAL);
	assert_int_equal(iol_inflight_new(1, 32769, false, &in), -EINVAL);
}

static void map_sees_what_new_made(void **state)
{
	struct iol_inflight *in, *again = NULL;
	bool broken = false;
	uint64_t len;

	assert_int_equal(iol_inflight_new(2, SIZE, false, &in), 0);
	len = in->map_len;
	in->queues[in->stride] = 42;
	assert_int_equal(iol_inflight_map(dup(in->fd), len, 0, 2, SIZE, false, -1, &broken, &again),
			 0);
	assert_int_equal(*(uint8_t *)iol_inflight_queue(again, 1), 42);
	iol_inflight_destroy(&again);
	/* Too small for what it is said to hold, past its end, unaligned. */
	assert_int_equal(iol_inflight_map(dup(in->fd), len, 0, 2, 2 * SIZE, false, -1, &broken,
					  &again),
			 -EINVAL);
	assert_int_equal(iol_inflight_map(dup(in->fd), len, 64, 2, SIZE, false, -1, &broken,
					  &again),
			 -EINVAL);
	assert_int_equal(iol_inflight_map(dup(in->fd), len - 4, 4, 1, SIZE, false, -1, &broken,
					  &again),
			 -EINVAL);
	assert_int_equal(iol_inflight_map(dup(in->fd), len, UINT64_MAX - 7, 2, SIZE, false, -1,
					  &broken, &again),
			 -EINVAL);
	assert_int_equal(iol_inflight_map(-1, len, 0, 2, SIZE, false, -1, &broken, &again), -EBADF);
	assert_null(again);
	/* At an offset that is no page's. */
	assert_int_equal(iol_inflight_map(dup(in->fd), in->stride, in->stride, 1, SIZE, false, -1,
					  &broken, &again),
			 0);
	assert_int_equal(*(uint8_t *)iol_inflight_queue(again, 0), 42);
	iol_inflight_destroy(&again);
	iol_inflight_destroy(&in);
}

struct world {
	struct env e;
	struct iol_inflight *log;
};

static void world_init(struct world *w, bool packed)
{
	struct env_conf conf = { .size = SIZE, .packed = packed };

	env_init(&w->e, &conf);
	assert_int_equal(iol_inflight_new(2, SIZE, packed, &w->log), 0);
	w->e.spec.inflight = w->log;
	w->e.spec.index = 1;
}

static void world_fini(struct world *w)
{
	iol_ring_destroy(&w->e.ring);
	iol_inflight_destroy(&w->log);
	env_fini(&w->e);
}

static void add(struct world *w, unsigned int n)
{
	struct iol_driver_seg seg = { .addr = ENV_GPA + w->e.data, .len = 16 };
	unsigned int i;

	for (i = 0; i < n; i++)
		assert_int_equal(iol_driver_add(w->e.driver, &seg, 1, i), 0);
	iol_driver_publish(w->e.driver);
}

/* Replayed one by one, oldest first, before anything new. */
static void replayed_one_by_one(bool packed)
{
	struct iol_chain c[SIZE], again;
	uint64_t oldest, last = 0;
	struct world w;
	int i;

	world_init(&w, packed);
	env_start(&w.e);
	add(&w, 5);
	assert_int_equal(iol_ring_pop(w.e.ring, c, SIZE), 5);
	iol_ring_push(w.e.ring, c[1].id, c[1].ndesc, 0);
	iol_ring_publish(w.e.ring);
	assert_int_equal(iol_ring_inflight(w.e.ring), 4);
	add(&w, 1);
	iol_driver_disarm(w.e.driver);
	/* The ring is lost with four in flight; the base that comes is of the beginning. */
	oldest = iol_track_oldest(w.log, 1, SIZE, packed);
	assert_int_equal(iol_track_oldest(w.log, 0, SIZE, packed), UINT64_MAX);
	assert_int_equal(iol_track_oldest(w.log, 2, SIZE, packed), UINT64_MAX);
	assert_int_equal(iol_track_oldest(w.log, 1, SIZE / 2, packed), UINT64_MAX);
	assert_int_equal(iol_track_oldest(w.log, 1, SIZE * 2, packed), UINT64_MAX);
	assert_int_equal(iol_track_oldest(w.log, 1, SIZE, !packed), UINT64_MAX);
	assert_int_equal(iol_track_oldest(NULL, 1, SIZE, packed), UINT64_MAX);
	env_start(&w.e);
	assert_int_equal(iol_ring_replay_oldest(w.e.ring), oldest);
	assert_int_equal(iol_track_oldest(w.log, 1, SIZE, packed), oldest);
	assert_int_equal(iol_ring_replaying(w.e.ring), 4);
	for (i = 0; i < 5; i++) {
		if (i == 1)
			continue;
		oldest = iol_ring_replay_oldest(w.e.ring);
		assert_true(oldest > last && oldest != UINT64_MAX);
		last = oldest;
		assert_int_equal(iol_ring_pop(w.e.ring, &again, 1), 1);
		assert_int_equal(again.id, c[i].id);
		assert_int_equal(again.ndesc, c[i].ndesc);
		assert_int_equal(again.out_len, 16);
		/* No other while it is out, and nothing to stay awake for. */
		assert_int_equal(iol_ring_pop(w.e.ring, c + 5, 1), 0);
		assert_false(iol_ring_arm(w.e.ring));
		iol_ring_push(w.e.ring, again.id, again.ndesc, 0);
		/*
		 * Calls aren't wanted, but the dead process may have died before one that was: the
		 * first publish calls whatever the driver says.
		 */
		assert_int_equal(iol_ring_publish(w.e.ring), i == 0);
		assert_true(iol_ring_arm(w.e.ring));
	}
	assert_int_equal(iol_ring_replaying(w.e.ring), 0);
	assert_int_equal(iol_ring_replay_oldest(w.e.ring), UINT64_MAX);
	assert_int_equal(iol_track_oldest(w.log, 1, SIZE, packed), UINT64_MAX);
	assert_int_equal(iol_ring_pop(w.e.ring, c, SIZE), 1);
	iol_ring_push(w.e.ring, c[0].id, c[0].ndesc, 0);
	iol_ring_publish(w.e.ring);
	assert_int_equal(iol_ring_pop(w.e.ring, c, SIZE), 0);
	world_fini(&w);
}

static void split_replayed_one_by_one(void **state)
{
	replayed_one_by_one(false);
}

static void packed_replayed_one_by_one(void **state)
{
	replayed_one_by_one(true);
}

/* A ring that the guest reset starts at its base again, if the log was told to forget. */
static void forget(bool packed)
{
	struct iol_driver_ring *old;
	struct iol_chain c[SIZE];
	struct world w;
	uint32_t base;

	world_init(&w, packed);
	env_start(&w.e);
	add(&w, 3);
	assert_int_equal(iol_ring_pop(w.e.ring, c, SIZE), 3);
	while (iol_ring_inflight(w.e.ring))
		iol_ring_push(w.e.ring, c[iol_ring_inflight(w.e.ring) - 1].id, 1, 0);
	iol_ring_publish(w.e.ring);
	iol_ring_stop(w.e.ring);
	base = iol_ring_base(w.e.ring);
	assert_int_equal(base, iol_driver_base(w.e.driver));
	/* Not told, the log says where the dead left the ring, whatever base comes. */
	env_start(&w.e);
	assert_int_equal(iol_ring_base(w.e.ring), base);
	iol_ring_stop(w.e.ring);
	iol_inflight_forget(w.log, 1);
	env_start(&w.e);
	assert_int_equal(iol_ring_base(w.e.ring), packed ? 0x80008000 : 0);
	old = w.e.driver;
	assert_int_equal(iol_driver_new(&(struct iol_driver_spec){ .size = SIZE,
								   .packed = packed,
								   .desc = w.e.host + w.e.desc,
								   .avail = w.e.host + w.e.avail,
								   .used = w.e.host + w.e.used },
					&w.e.driver),
			 0);
	iol_driver_destroy(&old);
	iol_inflight_forget(w.log, 1);
	env_start(&w.e);
	add(&w, 2);
	assert_int_equal(iol_ring_pop(w.e.ring, c, SIZE), 2);
	world_fini(&w);
}

static void split_forget(void **state)
{
	forget(false);
}

static void packed_forget(void **state)
{
	forget(true);
}

/* The log must be for this queue. */
static void wrong_log(void **state)
{
	struct world w;

	world_init(&w, false);
	w.e.spec.index = 2;
	assert_int_equal(iol_ring_start(w.e.ring, &w.e.spec), -EINVAL);
	w.e.spec.index = 0;
	w.log->packed = true;
	assert_int_equal(iol_ring_start(w.e.ring, &w.e.spec), -EINVAL);
	w.log->packed = false;
	w.log->queue_size = SIZE / 2;
	assert_int_equal(iol_ring_start(w.e.ring, &w.e.spec), -EINVAL);
	w.log->queue_size = SIZE;
	assert_int_equal(iol_ring_start(w.e.ring, &w.e.spec), 0);
	world_fini(&w);
}

static struct iol_log_split *split_log(struct world *w)
{
	return iol_inflight_queue(w->log, 1);
}

static struct iol_log_packed *packed_log(struct world *w)
{
	return iol_inflight_queue(w->log, 1);
}

/* Each changes one thing in the log of a ring that has chains in flight. */
static void split_version(struct world *w)
{
	split_log(w)->version = 2;
}

static void split_batch_too_long(struct world *w)
{
	split_log(w)->used_idx -= SIZE + 1;
}

static void split_batch_outside(struct world *w)
{
	split_log(w)->used_idx -= 1;
	split_log(w)->last_batch_head = SIZE;
}

static void split_batch_next_outside(struct world *w)
{
	split_log(w)->used_idx -= 2;
	split_log(w)->last_batch_head = 0;
	split_log(w)->desc[0].next = 65535;
}

static void packed_version(struct world *w)
{
	packed_log(w)->version = 65535;
}

static void packed_used_outside(struct world *w)
{
	packed_log(w)->used.idx = SIZE;
}

static void packed_old_used_outside(struct world *w)
{
	packed_log(w)->used.old_idx = 65535;
}

static void packed_wrap(struct world *w)
{
	packed_log(w)->used.wrap = 2;
}

static void packed_free_outside(struct world *w)
{
	packed_log(w)->old_free_head = SIZE + 1;
}

static void packed_free_circle(struct world *w)
{
	struct iol_log_packed *log = packed_log(w);

	log->desc[log->old_free_head].next = log->old_free_head;
}

static void packed_free_short(struct world *w)
{
	packed_log(w)->desc[packed_log(w)->old_free_head].next = SIZE;
}

static void packed_chain_of_none(struct world *w)
{
	packed_log(w)->desc[0].num = 0;
}

static void packed_chain_too_long(struct world *w)
{
	packed_log(w)->desc[0].num = SIZE + 1;
}

static void packed_chain_into_another(struct world *w)
{
	packed_log(w)->desc[0].num = 2;
	packed_log(w)->desc[0].last = 1;
}

static void packed_chain_outside(struct world *w)
{
	packed_log(w)->desc[0].num = 2;
	packed_log(w)->desc[0].next = SIZE;
}

static void packed_chain_last(struct world *w)
{
	packed_log(w)->desc[0].last = 1;
}

static void packed_same_id(struct world *w)
{
	packed_log(w)->desc[0].id = packed_log(w)->desc[1].id;
}

static void packed_lost_entry(struct world *w)
{
	packed_log(w)->desc[0].inflight = 0;
}

static void nonsense_is_refused(void **state)
{
	static const struct {
		bool packed;
		void (*spoil)(struct world *w);
	} cases[] = {
		{ false, split_version },          { false, split_batch_too_long },
		{ false, split_batch_outside },    { false, split_batch_next_outside },
		{ true, packed_version },          { true, packed_used_outside },
		{ true, packed_old_used_outside }, { true, packed_wrap },
		{ true, packed_free_outside },     { true, packed_free_circle },
		{ true, packed_free_short },       { true, packed_chain_of_none },
		{ true, packed_chain_too_long },   { true, packed_chain_into_another },
		{ true, packed_chain_outside },    { true, packed_chain_last },
		{ true, packed_same_id },          { true, packed_lost_entry },
	};
	struct iol_chain c[SIZE];
	struct world w;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		world_init(&w, cases[i].packed);
		env_start(&w.e);
		add(&w, 3);
		assert_int_equal(iol_ring_pop(w.e.ring, c, SIZE), 3);
		iol_ring_stop(w.e.ring);
		cases[i].spoil(&w);
		assert_int_equal(iol_ring_start(w.e.ring, &w.e.spec), -EINVAL);
		/* Refused, the ring is as if never started. */
		assert_int_equal(iol_ring_pop(w.e.ring, c, 1), -EPROTO);
		world_fini(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_is_sealed_and_zero),
		cmocka_unit_test(map_sees_what_new_made),
		cmocka_unit_test(split_replayed_one_by_one),
		cmocka_unit_test(packed_replayed_one_by_one),
		cmocka_unit_test(split_forget),
		cmocka_unit_test(packed_forget),
		cmocka_unit_test(wrong_log),
		cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
