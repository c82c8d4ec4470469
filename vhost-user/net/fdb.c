/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/net/fdb.h"

#include "base/error.h"
#include "base/own.h"

#include <stdlib.h>
#include <sys/random.h>

#define MAC_MASK ((1ull << 48) - 1)
/* The first bit on the wire: an address of a group. */
#define MULTICAST 1ull

static uint64_t load(const uint64_t *entry)
{
	return __atomic_load_n(entry, __ATOMIC_RELAXED);
}

/* By who holds the lock. @seen first: an entry that can be found is not older than it is. */
static void store(struct iol_fdb *fdb, struct iol_fdb_bucket *b, unsigned int i, uint64_t entry,
		  uint32_t seen)
{
	__atomic_store_n(&b->seen[i], seen, __ATOMIC_RELAXED);
	__atomic_store_n(&b->entry[i], entry, __ATOMIC_RELEASE);
	__atomic_store_n(&fdb->changes, fdb->changes + 1, __ATOMIC_RELAXED);
}

static unsigned int port_of(uint64_t entry)
{
	return (unsigned int)(entry & 0xfff) - 1;
}

/* Clocks of threads may be a second apart, so a frame can be from the future. */
static uint32_t silent(const struct iol_fdb_bucket *b, unsigned int i, uint32_t now)
{
	uint32_t age = now - __atomic_load_n(&b->seen[i], __ATOMIC_RELAXED);

	return age <= INT32_MAX ? age : 0;
}

static void *lines(size_t size)
{
	void *p = aligned_alloc(64, size);

	return p ? memset(p, 0, size) : NULL;
}

int iol_fdb_new(unsigned int addresses, struct iol_fdb **out)
{
	_cleanup_free_ struct iol_fdb *fdb = NULL;
	size_t buckets = 256;
	pthread_mutexattr_t attr;
	uint64_t random[3];

	if (!addresses || addresses > IOL_FDB_ADDRESSES_MAX)
		return iol_fail(EINVAL,
				"a switch can't know %u addresses: from 1 to %u is possible",
				addresses, IOL_FDB_ADDRESSES_MAX);
	while (buckets < addresses)
		buckets *= 2;
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return iol_fail(errno, "no random numbers for the table of addresses: %m");
	fdb = lines(sizeof(*fdb));
	if (fdb)
		fdb->bucket = lines(buckets * sizeof(*fdb->bucket));
	if (!fdb || !fdb->bucket)
		return iol_fail(ENOMEM, "no memory for a table of %u addresses", addresses);
	fdb->mask = buckets - 1;
	fdb->flip = random[0] & IOL_FDB_KEY_MASK;
	fdb->factor[0] = random[1] | 1; /* odd: can be undone */
	fdb->factor[1] = random[2] | 1;
	/* It is held for so short a time that a thread that finds it taken does well to look again. */
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&fdb->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	*out = iol_take_ptr(fdb);
	return 0;
}

void iol_fdb_destroy(struct iol_fdb **pfdb)
{
	struct iol_fdb *fdb = *pfdb;

	*pfdb = NULL;
	if (!fdb)
		return;
	pthread_mutex_destroy(&fdb->lock);
	free(fdb->bucket);
	free(fdb);
}

/* Whose entry goes from a full bucket for one of @port. */
static unsigned int victim(const struct iol_fdb_bucket *b, unsigned int port, uint32_t now)
{
	unsigned int i, j, share, worst = 0, most = 0;

	for (i = 0; i < IOL_FDB_WAYS; i++) {
		/* The new address counts; between two ports with as many, so does who it is for. */
		share = port_of(load(&b->entry[i])) == port ? 3 : 0;
		for (j = 0; j < IOL_FDB_WAYS; j++)
			if (port_of(load(&b->entry[i])) == port_of(load(&b->entry[j])))
				share += 2;
		if (share > most || (share == most && silent(b, i, now) > silent(b, worst, now))) {
			most = share;
			worst = i;
		}
	}
	return worst;
}

void iol_fdb_insert(struct iol_fdb *fdb, uint64_t key, unsigned int port, uint32_t now)
{
	uint64_t mixed = iol_fdb_mix(fdb, key), word = iol_fdb_word(mixed), entry;
	struct iol_fdb_bucket *b = &fdb->bucket[mixed & fdb->mask];
	unsigned int i, at = IOL_FDB_WAYS;

	if (key & MULTICAST || !(key & MAC_MASK) || port > IOL_FDB_PORT_MAX)
		return;
	pthread_mutex_lock(&fdb->lock);
	for (i = 0; i < IOL_FDB_WAYS; i++) {
		entry = load(&b->entry[i]);
		if ((entry ^ word) - 1 <= IOL_FDB_PORT_MAX) {
			at = i;
			break;
		}
		if (!entry && at == IOL_FDB_WAYS)
			at = i;
	}
	if (at == IOL_FDB_WAYS)
		at = victim(b, port, now);
	store(fdb, b, at, word + port + 1, now);
	pthread_mutex_unlock(&fdb->lock);
}

void iol_fdb_forget_port(struct iol_fdb *fdb, unsigned int port)
{
	struct iol_fdb_bucket *b;
	unsigned int i;

	/* The lock is held for one entry at a time: poll threads want it, and the table may be large. */
	for (b = fdb->bucket; b <= fdb->bucket + fdb->mask; b++) {
		for (i = 0; i < IOL_FDB_WAYS; i++) {
			if (port_of(load(&b->entry[i])) != port)
				continue;
			pthread_mutex_lock(&fdb->lock);
			if (port_of(load(&b->entry[i])) == port)
				store(fdb, b, i, 0, 0);
			pthread_mutex_unlock(&fdb->lock);
		}
	}
}

unsigned int iol_fdb_age(struct iol_fdb *fdb, uint32_t now, uint32_t max_age)
{
	struct iol_fdb_bucket *b;
	unsigned int i, n = 0;

	for (b = fdb->bucket; b <= fdb->bucket + fdb->mask; b++) {
		for (i = 0; i < IOL_FDB_WAYS; i++) {
			if (!load(&b->entry[i]) || silent(b, i, now) <= max_age)
				continue;
			pthread_mutex_lock(&fdb->lock);
			if (load(&b->entry[i]) && silent(b, i, now) > max_age) {
				store(fdb, b, i, 0, 0);
				n++;
			}
			pthread_mutex_unlock(&fdb->lock);
		}
	}
	return n;
}

/* What gives 1 times @odd. Three bits are right to begin with, then each round doubles them. */
static uint64_t inverse(uint64_t odd)
{
	uint64_t x = odd;
	int i;

	for (i = 0; i < 5; i++)
		x *= 2 - odd * x;
	return x;
}

static uint64_t unmix(const struct iol_fdb *fdb, uint64_t mixed)
{
	mixed ^= mixed >> 30;
	mixed = mixed * inverse(fdb->factor[1]) & IOL_FDB_KEY_MASK;
	mixed ^= mixed >> 30;
	mixed = mixed * inverse(IOL_FDB_FACTOR) & IOL_FDB_KEY_MASK;
	mixed ^= mixed >> 30;
	mixed = mixed * inverse(fdb->factor[0]) & IOL_FDB_KEY_MASK;
	return mixed ^ fdb->flip;
}

unsigned int iol_fdb_list(const struct iol_fdb *fdb, struct iol_fdb_entry *list, unsigned int max)
{
	const struct iol_fdb_bucket *b;
	unsigned int i, n = 0;
	uint64_t entry, at;

	for (at = 0; at <= fdb->mask; at++) {
		b = &fdb->bucket[at];
		for (i = 0; i < IOL_FDB_WAYS; i++) {
			entry = __atomic_load_n(&b->entry[i], __ATOMIC_ACQUIRE);
			if (!entry)
				continue;
			if (n < max)
				list[n] = (struct iol_fdb_entry){
					.key = unmix(fdb, entry >> 12 << 8 | (at & 0xff)),
					.port = port_of(entry),
					.seen = __atomic_load_n(&b->seen[i], __ATOMIC_RELAXED),
				};
			n++;
		}
	}
	return n;
}
