/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The forwarding database: which port an address was last seen at. Every poll thread reads it
 * for every frame, so a look-up takes no lock, never waits, and touches one cache line; what
 * changes (an address that is new, or moved) takes the table's lock, which is rare.
 *
 * An entry is one word, so that a reader has either all of it or nothing. It holds the port and
 * what the entry's place in the table does not tell of the address: addresses are mixed by a
 * permutation that nobody outside knows, eight bits of the result are the place's, and the other
 * 52 the entry's.
 *
 * No port can push others' addresses out by making up its own: an address that finds no room
 * takes that of the port that has most of the place already, which soon is its own port.
 */
#ifndef IOL_VHOST_USER_NET_FDB_H
#define IOL_VHOST_USER_NET_FDB_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define IOL_FDB_WAYS          5
#define IOL_FDB_ADDRESSES_MAX (1u << 20)
#define IOL_FDB_PORT_MAX      4094u
#define IOL_FDB_KEY_MASK      ((1ull << 60) - 1)
#define IOL_FDB_FACTOR        0x94d049bb133111ebull /* SplitMix64's second */

/* The five addresses of one place: one cache line. */
struct iol_fdb_bucket {
	uint64_t entry[IOL_FDB_WAYS]; /* 0 is free */
	uint32_t seen[IOL_FDB_WAYS];
} __attribute__((aligned(64)));

/* What look-ups read does not change and shares no line with the lock. */
struct iol_fdb {
	struct iol_fdb_bucket *bucket;
	uint64_t mask; /* number of buckets - 1, at least 255 */
	uint64_t flip, factor[2];
	pthread_mutex_t lock __attribute__((aligned(64))); /* whoever stores an entry holds it */
	uint32_t changes;
};

/** iol_fdb_key() - An address within a VLAN. Never 0 for one that can be learned. */
static inline uint64_t iol_fdb_key(uint64_t mac48, uint16_t vlan)
{
	return mac48 | (uint64_t)(vlan & 0xfff) << 48;
}

/** iol_fdb_mac() - The six bytes at @mac, in memory order from the lowest bits of the result on. */
static inline uint64_t iol_fdb_mac(const uint8_t *mac)
{
	uint32_t low;
	uint16_t high;

	memcpy(&low, mac, 4);
	memcpy(&high, mac + 4, 2);
	return low | (uint64_t)high << 32;
}

/**
 * iol_fdb_new() - A table for @addresses, 1 to IOL_FDB_ADDRESSES_MAX. There is room for at least
 * five times as many, in places of five: with all @addresses in use, fewer than one in a thousand
 * finds its place full.
 * Return: 0, -EINVAL or -ENOMEM, or why there were no random numbers.
 */
int iol_fdb_new(unsigned int addresses, struct iol_fdb **fdb);
void iol_fdb_destroy(struct iol_fdb **fdb);

/*
 * The permutation: multiplications carry upwards only, the shifts bring the upper half down. Two
 * secret factors alone are a bad pair now and then, but not with a known good one between them.
 */
static inline uint64_t iol_fdb_mix(const struct iol_fdb *fdb, uint64_t key)
{
	key ^= fdb->flip;
	key = key * fdb->factor[0] & IOL_FDB_KEY_MASK;
	key ^= key >> 30;
	key = key * IOL_FDB_FACTOR & IOL_FDB_KEY_MASK;
	key ^= key >> 30;
	key = key * fdb->factor[1] & IOL_FDB_KEY_MASK;
	return key ^ key >> 30;
}

/* The entry of a mixed address, for the port to be added: port + 1, so that no entry is 0. */
static inline uint64_t iol_fdb_word(uint64_t mixed)
{
	return (mixed & ~0xffull) << 4;
}

/** iol_fdb_changes() - A number that is another one after an address was learned, moved or forgotten. */
static inline uint32_t iol_fdb_changes(const struct iol_fdb *fdb)
{
	return __atomic_load_n(&fdb->changes, __ATOMIC_RELAXED);
}

/** iol_fdb_lookup() - The port of an address, or -1. */
static inline int iol_fdb_lookup(const struct iol_fdb *fdb, uint64_t key)
{
	uint64_t mixed = iol_fdb_mix(fdb, key), word = iol_fdb_word(mixed), port;
	const struct iol_fdb_bucket *b = &fdb->bucket[mixed & fdb->mask];
	unsigned int i;

	for (i = 0; i < IOL_FDB_WAYS; i++) {
		port = (__atomic_load_n(&b->entry[i], __ATOMIC_RELAXED) ^ word) - 1;
		if (port <= IOL_FDB_PORT_MAX)
			return (int)port;
	}
	return -1;
}

/* The part of iol_fdb_learn() that changes the table. */
void iol_fdb_insert(struct iol_fdb *fdb, uint64_t key, unsigned int port, uint32_t now);

/**
 * iol_fdb_learn() - A frame with source @key came in by @port (0 to IOL_FDB_PORT_MAX) at @now
 * (seconds, any origin). A known address at its port costs no more than a look-up, and a store at
 * most once a second. Multicast addresses and the address of zeroes are not learned. When there is
 * no room an address in the same place is forgotten: of the port that has most of them there, the
 * new one included (of @port, where two have as many), the one that was silent longest.
 */
static inline void iol_fdb_learn(struct iol_fdb *fdb, uint64_t key, unsigned int port, uint32_t now)
{
	uint64_t mixed = iol_fdb_mix(fdb, key), word = iol_fdb_word(mixed) + port + 1;
	struct iol_fdb_bucket *b = &fdb->bucket[mixed & fdb->mask];
	unsigned int i;

	for (i = 0; i < IOL_FDB_WAYS; i++) {
		if (__atomic_load_n(&b->entry[i], __ATOMIC_RELAXED) != word)
			continue;
		/* Should the entry have become another's meanwhile, then that is as new. */
		if (__atomic_load_n(&b->seen[i], __ATOMIC_RELAXED) != now)
			__atomic_store_n(&b->seen[i], now, __ATOMIC_RELAXED);
		return;
	}
	iol_fdb_insert(fdb, key, port, now);
}

/** iol_fdb_forget_port() - Forget all addresses of a port. */
void iol_fdb_forget_port(struct iol_fdb *fdb, unsigned int port);

/** iol_fdb_age() - Forget what was not seen for more than @max_age seconds. Return: how many. */
unsigned int iol_fdb_age(struct iol_fdb *fdb, uint32_t now, uint32_t max_age);

/** struct iol_fdb_entry - For lists. */
struct iol_fdb_entry {
	uint64_t key;
	unsigned int port;
	uint32_t seen;
};

/** iol_fdb_list() - Copy up to @max entries; return how many there are. */
unsigned int iol_fdb_list(const struct iol_fdb *fdb, struct iol_fdb_entry *list, unsigned int max);

#endif
