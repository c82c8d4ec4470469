/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/net/fdb.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct iol_fdb *table(unsigned int addresses)
{
	struct iol_fdb *fdb;

	assert_int_equal(iol_fdb_new(addresses, &fdb), 0);
	return fdb;
}

/* The @n-th of many addresses that can be learned: locally administered, not of a group. */
static uint64_t address(unsigned int n)
{
	return 0x02 | (uint64_t)n << 16;
}

static unsigned int count(const struct iol_fdb *fdb)
{
	return iol_fdb_list(fdb, NULL, 0);
}

static void bytes_and_vlans(void **state)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
	struct iol_fdb *fdb = table(8192);
	uint64_t key = iol_fdb_mac(mac);

	assert_true(key == 0x563412005452);
	assert_true(iol_fdb_key(key, 0) == key);
	iol_fdb_learn(fdb, iol_fdb_key(key, 1), 3, 0);
	assert_int_equal(iol_fdb_lookup(fdb, iol_fdb_key(key, 1)), 3);
	assert_int_equal(iol_fdb_lookup(fdb, iol_fdb_key(key, 2)), -1);
	assert_int_equal(iol_fdb_lookup(fdb, iol_fdb_key(key, 0)), -1);
	iol_fdb_learn(fdb, iol_fdb_key(key, 4094), 5, 0);
	assert_int_equal(iol_fdb_lookup(fdb, iol_fdb_key(key, 1)), 3);
	assert_int_equal(iol_fdb_lookup(fdb, iol_fdb_key(key, 4094)), 5);
	assert_int_equal(iol_fdb_lookup(fdb, iol_fdb_key(key, 4094 - 256)), -1);
	iol_fdb_destroy(&fdb);
	assert_null(fdb);
	iol_fdb_destroy(&fdb);
}

static void sizes(void **state)
{
	struct iol_fdb *fdb = NULL;

	assert_int_equal(iol_fdb_new(0, &fdb), -EINVAL);
	assert_int_equal(iol_fdb_new(IOL_FDB_ADDRESSES_MAX + 1, &fdb), -EINVAL);
	assert_null(fdb);
	fdb = table(1);
	assert_int_equal(count(fdb), 0);
	iol_fdb_destroy(&fdb);
}

static void every_port(void **state)
{
	struct iol_fdb *fdb = table(8192);
	unsigned int port;

	for (port = 0; port <= IOL_FDB_PORT_MAX; port++) {
		iol_fdb_learn(fdb, address(7), port, 0);
		assert_int_equal(iol_fdb_lookup(fdb, address(7)), port);
	}
	assert_int_equal(count(fdb), 1);
	iol_fdb_learn(fdb, address(7), IOL_FDB_PORT_MAX + 1, 0);
	iol_fdb_learn(fdb, address(7), UINT32_MAX, 0);
	assert_int_equal(iol_fdb_lookup(fdb, address(7)), IOL_FDB_PORT_MAX);
	iol_fdb_destroy(&fdb);
}

static void never_learned(void **state)
{
	static const uint8_t group[6] = { 0x01, 0x00, 0x5e, 1, 2, 3 };
	struct iol_fdb *fdb = table(8192);

	iol_fdb_learn(fdb, iol_fdb_key(0, 0), 1, 0);
	iol_fdb_learn(fdb, iol_fdb_key(0, 7), 1, 0);
	iol_fdb_learn(fdb, iol_fdb_key(0xffffffffffff, 0), 1, 0);
	iol_fdb_learn(fdb, iol_fdb_key(iol_fdb_mac(group), 1), 1, 0);
	assert_int_equal(count(fdb), 0);
	assert_int_equal(iol_fdb_lookup(fdb, iol_fdb_key(0, 0)), -1);
	iol_fdb_destroy(&fdb);
}

static void ageing(void **state)
{
	struct iol_fdb *fdb = table(8192);
	/* The clock goes past its end meanwhile. */
	uint32_t start = UINT32_MAX - 5;

	iol_fdb_learn(fdb, address(1), 1, start);
	iol_fdb_learn(fdb, address(2), 1, start);
	iol_fdb_learn(fdb, address(3), 1, start + 20);
	iol_fdb_learn(fdb, address(2), 1, start + 10);
	assert_int_equal(iol_fdb_age(fdb, start + 10, 10), 0);
	assert_int_equal(iol_fdb_age(fdb, start + 11, 10), 1);
	assert_int_equal(iol_fdb_lookup(fdb, address(1)), -1);
	assert_int_equal(iol_fdb_lookup(fdb, address(2)), 1);
	/* One from the future is not old. */
	assert_int_equal(iol_fdb_lookup(fdb, address(3)), 1);
	assert_int_equal(iol_fdb_age(fdb, start + 25, 10), 1);
	assert_int_equal(iol_fdb_lookup(fdb, address(3)), 1);
	assert_int_equal(iol_fdb_age(fdb, start + 31, 10), 1);
	assert_int_equal(count(fdb), 0);
	iol_fdb_destroy(&fdb);
}

static void moving_and_forgetting(void **state)
{
	struct iol_fdb *fdb = table(8192);
	unsigned int n;

	for (n = 1; n <= 100; n++)
		iol_fdb_learn(fdb, address(n), n % 2, 0);
	iol_fdb_learn(fdb, address(1), 0, 0);
	assert_int_equal(iol_fdb_lookup(fdb, address(1)), 0);
	assert_int_equal(count(fdb), 100);
	iol_fdb_forget_port(fdb, 0);
	assert_int_equal(count(fdb), 49);
	for (n = 1; n <= 100; n++)
		assert_int_equal(iol_fdb_lookup(fdb, address(n)), n % 2 && n != 1 ? 1 : -1);
	/* What is free is used again. */
	iol_fdb_learn(fdb, address(1), 2, 0);
	assert_int_equal(iol_fdb_lookup(fdb, address(1)), 2);
	iol_fdb_forget_port(fdb, 3);
	assert_int_equal(count(fdb), 50);
	iol_fdb_destroy(&fdb);
}

static void listing(void **state)
{
	struct iol_fdb *fdb = table(8192);
	struct iol_fdb_entry list[300];
	bool told[257] = { false };
	unsigned int i, n;

	for (n = 1; n <= 256; n++)
		iol_fdb_learn(fdb, iol_fdb_key(address(n * 0x01010101u), (uint16_t)(n * 15)), n - 1,
			      1000 + n);
	assert_int_equal(iol_fdb_list(fdb, list, 300), 256);
	for (i = 0; i < 256; i++) {
		n = list[i].port + 1;
		assert_in_range(n, 1, 256);
		assert_false(told[n]);
		told[n] = true;
		assert_true(list[i].key ==
			    iol_fdb_key(address(n * 0x01010101u), (uint16_t)(n * 15)));
		assert_int_equal(list[i].seen, 1000 + n);
	}
	memset(list, 0, sizeof(list));
	assert_int_equal(iol_fdb_list(fdb, list, 10), 256);
	assert_true(list[9].key && !list[10].key);
	iol_fdb_destroy(&fdb);
}

/* As many addresses as the table is for, in rows such as are found, or an enemy would choose. */
static void patterns(void **state)
{
	const unsigned int many = 8192;
	unsigned int shift, n, lost;
	uint64_t key;

	for (shift = 2; shift <= 47; shift++) {
		struct iol_fdb *fdb = table(many);

		for (n = 0; n < many; n++) {
			key = (0x02 | (uint64_t)n << shift) & IOL_FDB_KEY_MASK;
			iol_fdb_learn(fdb, key, n % 1000, 0);
		}
		for (n = lost = 0; n < many; n++) {
			key = (0x02 | (uint64_t)n << shift) & IOL_FDB_KEY_MASK;
			if (iol_fdb_lookup(fdb, key) < 0)
				lost++;
			else
				assert_int_equal(iol_fdb_lookup(fdb, key), n % 1000);
		}
		/* Five are to be expected. */
		assert_in_range(lost, 0, many / 100);
		iol_fdb_destroy(&fdb);
	}
}

/* A full place forgets what was silent longest: those that stay are the last five of each. */
static void oldest_goes(void **state)
{
	static uint32_t last[256][IOL_FDB_WAYS];
	struct iol_fdb *fdb = table(1);
	uint32_t *place, n;
	bool stays;
	int i;

	memset(last, 0, sizeof(last));
	for (n = 1; n <= 5000; n++) {
		iol_fdb_learn(fdb, address(n), 1, n);
		place = last[iol_fdb_mix(fdb, address(n)) & fdb->mask];
		memmove(place + 1, place, (IOL_FDB_WAYS - 1) * sizeof(*place));
		place[0] = n;
	}
	for (n = 1; n <= 5000; n++) {
		place = last[iol_fdb_mix(fdb, address(n)) & fdb->mask];
		stays = false;
		for (i = 0; i < IOL_FDB_WAYS; i++)
			stays |= place[i] == n;
		assert_int_equal(iol_fdb_lookup(fdb, address(n)), stays ? 1 : -1);
	}
	iol_fdb_destroy(&fdb);
}

static unsigned int share(const struct iol_fdb *fdb, unsigned int port)
{
	static struct iol_fdb_entry list[256 * IOL_FDB_WAYS];
	unsigned int i, of_port = 0, n = iol_fdb_list(fdb, list, 256 * IOL_FDB_WAYS);

	assert_in_range(n, 0, 256 * IOL_FDB_WAYS);
	for (i = 0; i < n; i++)
		of_port += list[i].port == port;
	return of_port;
}

static void flood(void **state)
{
	struct iol_fdb *fdb = table(8192);
	unsigned int n;

	for (n = 1; n <= 100; n++)
		iol_fdb_learn(fdb, address(n), n, 0);
	/* Later than the others, who would all go if age alone counted. */
	for (n = 1000; n < 200000; n++)
		iol_fdb_learn(fdb, address(n), 0, 1);
	for (n = 1; n <= 100; n++)
		assert_int_equal(iol_fdb_lookup(fdb, address(n)), n);
	iol_fdb_destroy(&fdb);

	/* A table that one port filled has room for the next port, but not for all of its flood. */
	fdb = table(1);
	for (n = 0; n < 50000; n++)
		iol_fdb_learn(fdb, address(n), 1, 0);
	assert_int_equal(share(fdb, 1), 256 * IOL_FDB_WAYS);
	for (; n < 60000; n++) {
		iol_fdb_learn(fdb, address(n), 2, 1);
		assert_int_equal(iol_fdb_lookup(fdb, address(n)), 2);
	}
	assert_int_equal(share(fdb, 1), 256 * 3);
	assert_int_equal(share(fdb, 2), 256 * 2);
	iol_fdb_destroy(&fdb);
}

/*
 * Threads that learn the same addresses at ports of their own while others look them up, list and
 * forget them, in a table that is far too small. An address's ports are known from its number.
 */
#define ADDRESSES 4000u
#define ROUNDS    20u

static struct iol_fdb *shared;
static unsigned int wrong;

static bool plausible(unsigned int n, unsigned int port)
{
	return port / 2 == n % 500;
}

static void *learner(void *arg)
{
	unsigned int n, round, port, side = *(unsigned int *)arg;

	for (round = 0; round < ROUNDS; round++)
		for (n = 0; n < ADDRESSES; n++) {
			port = n % 500 * 2 + side;
			iol_fdb_learn(shared, address(n), port, round);
			/* The few that stay known, so that their entries are refreshed in turn. */
			iol_fdb_learn(shared, address(n % 8), n % 8 * 2 + side, n);
		}
	return NULL;
}

static void *reader(void *arg)
{
	static struct iol_fdb_entry list[256 * IOL_FDB_WAYS];
	unsigned int i, n, round, bad = 0;
	int port;

	for (round = 0; round < ROUNDS; round++) {
		for (n = 0; n < ADDRESSES; n++) {
			port = iol_fdb_lookup(shared, address(n));
			bad += port >= 0 && !plausible(n, (unsigned int)port);
		}
		n = iol_fdb_list(shared, list, 256 * IOL_FDB_WAYS);
		for (i = 0; i < n && i < 256 * IOL_FDB_WAYS; i++)
			bad += list[i].key != address((unsigned int)(list[i].key >> 16)) ||
			       !plausible((unsigned int)(list[i].key >> 16), list[i].port);
		iol_fdb_age(shared, round, 3);
		iol_fdb_forget_port(shared, round);
	}
	__atomic_fetch_add(&wrong, bad, __ATOMIC_RELAXED);
	return NULL;
}

static void threads(void **state)
{
	unsigned int i, side[2] = { 0, 1 };
	pthread_t thread[3];

	shared = table(1);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, learner, &side[i]), 0);
	assert_int_equal(pthread_create(&thread[2], NULL, reader, NULL), 0);
	for (i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(wrong, 0);
	/* No address is there twice. */
	for (i = 0; i < ADDRESSES; i++) {
		unsigned int before = count(shared);

		if (iol_fdb_lookup(shared, address(i)) < 0)
			continue;
		iol_fdb_learn(shared, address(i), 4000, 0);
		iol_fdb_forget_port(shared, 4000);
		assert_int_equal(iol_fdb_lookup(shared, address(i)), -1);
		assert_int_equal(count(shared), before - 1);
	}
	assert_int_equal(count(shared), 0);
	iol_fdb_destroy(&shared);
}

/* Two threads that learn two addresses of one place at the same moment: neither is lost. */
#define RACES 300u

static uint64_t pair[256][2];
static unsigned int started, ended;

static void await(const unsigned int *what, unsigned int n)
{
	while (__atomic_load_n(what, __ATOMIC_ACQUIRE) != n)
		sched_yield();
}

static void *rival(void *arg)
{
	unsigned int n, race;

	for (race = 1; race <= RACES; race++) {
		await(&started, race);
		for (n = 0; n < 256; n++)
			iol_fdb_learn(shared, pair[n][1], 1, 0);
		__atomic_store_n(&ended, race, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void races(void **state)
{
	unsigned int n, race, place, found = 0, wrong_count = 0;
	pthread_t thread;

	shared = table(1);
	memset(pair, 0, sizeof(pair));
	for (n = 0; found < 512; n++) {
		place = iol_fdb_mix(shared, address(n)) & shared->mask;
		if (pair[place][1])
			continue;
		pair[place][pair[place][0] ? 1 : 0] = address(n);
		found++;
	}
	assert_int_equal(pthread_create(&thread, NULL, rival, NULL), 0);
	for (race = 1; race <= RACES; race++) {
		__atomic_store_n(&started, race, __ATOMIC_RELEASE);
		for (n = 0; n < 256; n++)
			iol_fdb_learn(shared, pair[n][0], 0, 0);
		await(&ended, race);
		wrong_count += count(shared) != 512;
		iol_fdb_forget_port(shared, 0);
		iol_fdb_forget_port(shared, 1);
		wrong_count += count(shared) != 0;
	}
	pthread_join(thread, NULL);
	assert_int_equal(wrong_count, 0);
	iol_fdb_destroy(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_and_vlans), cmocka_unit_test(sizes),
		cmocka_unit_test(every_port),      cmocka_unit_test(never_learned),
		cmocka_unit_test(ageing),          cmocka_unit_test(moving_and_forgetting),
		cmocka_unit_test(listing),         cmocka_unit_test(patterns),
		cmocka_unit_test(oldest_goes),     cmocka_unit_test(flood),
		cmocka_unit_test(threads),         cmocka_unit_test(races),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
