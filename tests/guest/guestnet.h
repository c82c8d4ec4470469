/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the guest's network program share; guestnet.c says what it does. */
#ifndef GUESTNET_H
#define GUESTNET_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SENTENCE_BYTES 256
#define CHUNK_BYTES    (128U << 10) /* what a stream is made, sent and compared in */
#define MAX_DATAGRAM   65507U

struct options {
	const char *verb;
	const char *target; /* an address, or an interface */
	char **words;       /* what follows the target */
	int num_words;
	uint16_t port;
	uint64_t bytes;
	uint64_t seed;
	uint32_t threads;
	uint32_t size; /* of a datagram's payload */
	uint32_t count;
	const char *status;
};

extern atomic_bool stopping;

/* Keeps the first failure's sentence for the program's end; returns -1. Threads stop on it. */
__attribute__((format(printf, 1, 2))) int keep_failure(const char *format, ...);
bool has_failed(void);

/* Fills in bytes that nothing but this seed, chunk and length gives; all but the last are whole. */
void make_chunk(uint64_t seed, uint64_t chunk, void *to, size_t length);

/* A sum over bytes that depends on their order; length may be anything in the last call only. */
uint64_t add_sum(uint64_t sum, const void *data, size_t length);

/* An IPv4 or IPv6 address in text, as a socket for both takes it. */
int parse_address(const struct options *o, struct sockaddr_in6 *address);

/* Monotonic, in milliseconds. */
uint64_t now_ms(void);

/* Sockets whose calls fail instead of waiting for ever. */
int new_socket(int type);
int connect_to(const struct options *o, int type);
int send_all(int fd, const void *data, size_t length);
int receive_all(int fd, void *data, size_t length);

/* The verbs: 0 or -1. guestnet_stream.c: */
int serve(const struct options *o);
int send_stream(const struct options *o);
int receive_stream(const struct options *o);
int echo_datagrams(const struct options *o);

/* A stream that goes out and comes back, chunk by chunk, until it is told to stop. */
int echo_stream(const struct options *o, uint64_t seed, _Atomic uint64_t *bytes);

/* guestnet_nic.c: */
int set_offloads(const struct options *o);
int set_channels(const struct options *o);
int show_counters(const struct options *o);

/* guestnet_watch.c: */
int watch(const struct options *o);

#endif
