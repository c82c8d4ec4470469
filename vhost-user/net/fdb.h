/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The forwarding database: which port an address was last seen at. Every poll thread reads it
 * for every frame, so a look-up takes no lock and touches one cache line; what changes (an address that is
 * new, or moved) takes the table's lock, which is rare.
 */
#ifndef IOL_VHOST_USER_NET_FDB_H
#define IOL_VHOST_USER_NET_FDB_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct iol_fdb;

/** iol_fdb_key() - An address within a VLAN. Never 0 for one that can be learned. */
static inline uint64_t iol_fdb_key(uint64_t mac48, uint16_t vlan)
{
	return mac48 | (uint64_t)vlan << 48;
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

/** iol_fdb_new() - A table for at least @addresses. 0, -EINVAL or -ENOMEM. */
int iol_fdb_new(unsigned int addresses, struct iol_fdb **fdb);
void iol_fdb_destroy(struct iol_fdb **fdb);

/** iol_fdb_lookup() - The port of an address, or -1. */
int iol_fdb_lookup(const struct iol_fdb *fdb, uint64_t key);

/**
 * iol_fdb_learn() - A frame with source @key came in by @port at @now (seconds, any origin). A known
 * address at its port costs no more than a look-up, and a store at most once a second. When there is no
 * room the address that was silent longest of those in its place is forgotten.
 */
void iol_fdb_learn(struct iol_fdb *fdb, uint64_t key, unsigned int port, uint32_t now);

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
