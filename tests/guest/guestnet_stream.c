/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Streams and datagrams. A connection begins with a greeting that says what is to be done and ends
 * with the server's verdict, so that both sides' checks decide over a transfer.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/guest/guestnet.h"

#define GREETING_MAGIC 0x74656e616c6f69ULL
#define TRIES          20
#define ECHO_WAIT_MS   500

enum task { TASK_TAKE, TASK_GIVE, TASK_ECHO };

struct greeting {
	uint64_t magic;
	uint64_t task;
	uint64_t seed;
	uint64_t bytes;
};

struct verdict {
	uint64_t bytes;
	uint64_t sum;
	uint64_t bad;
};

/* One connection at the server. */
struct caller {
	int fd;
	struct greeting greeting;
	uint8_t data[CHUNK_BYTES];
	uint8_t wanted[CHUNK_BYTES];
};

static size_t chunk_length(uint64_t bytes, uint64_t chunk)
{
	uint64_t left = bytes - chunk * CHUNK_BYTES;

	return left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
}

static uint64_t num_chunks(uint64_t bytes)
{
	return (bytes + CHUNK_BYTES - 1) / CHUNK_BYTES;
}

/* Sends the stream and returns its sum by way of *sum. */
static int give(int fd, uint64_t seed, uint64_t bytes, uint8_t *data, uint64_t *sum)
{
	uint64_t chunk;
	size_t length;

	for (chunk = 0; chunk < num_chunks(bytes); chunk++) {
		length = chunk_length(bytes, chunk);
		make_chunk(seed, chunk, data, length);
		*sum = add_sum(*sum, data, length);
		if (send_all(fd, data, length) < 0)
			return -1;
	}
	return 0;
}

static int compare(uint64_t seed, uint64_t chunk, const uint8_t *data, uint8_t *wanted,
		   size_t length)
{
	size_t i;

	make_chunk(seed, chunk, wanted, length);
	if (memcmp(data, wanted, length) == 0)
		return 0;
	for (i = 0; data[i] == wanted[i]; i++)
		;
	return keep_failure("byte %" PRIu64 " of stream %" PRIu64 " is %#x and should be %#x",
			    chunk * CHUNK_BYTES + i, seed, data[i], wanted[i]);
}

/* Takes the stream: what came is counted and summed up even where it is wrong. */
static int take(int fd, uint64_t seed, uint64_t bytes, uint8_t *data, uint8_t *wanted,
		struct verdict *verdict)
{
	uint64_t chunk;
	size_t length;

	for (chunk = 0; chunk < num_chunks(bytes); chunk++) {
		length = chunk_length(bytes, chunk);
		if (receive_all(fd, data, length) < 0)
			return -1;
		verdict->bytes += length;
		verdict->sum = add_sum(verdict->sum, data, length);
		if (compare(seed, chunk, data, wanted, length) < 0)
			verdict->bad++;
	}
	return 0;
}

static int check_verdict(const struct verdict *verdict, uint64_t bytes, uint64_t sum)
{
	if (verdict->bad)
		return keep_failure("the server found %" PRIu64 " bad chunks", verdict->bad);
	if (verdict->bytes != bytes || verdict->sum != sum)
		return keep_failure("%" PRIu64 " bytes with sum %#" PRIx64 " arrived, %" PRIu64
				    " with %#" PRIx64 " were sent",
				    verdict->bytes, verdict->sum, bytes, sum);
	return 0;
}

/* ---- the server ---- */

/* Answers each chunk by the chunk of the next seed, until the client has enough. */
static void answer_chunks(struct caller *c)
{
	uint64_t seed = c->greeting.seed, chunk;
	uint8_t more;

	for (chunk = 0; receive_all(c->fd, &more, 1) == 0 && more; chunk++) {
		if (receive_all(c->fd, c->data, CHUNK_BYTES) < 0 ||
		    compare(seed, chunk, c->data, c->wanted, CHUNK_BYTES) < 0)
			return;
		make_chunk(~seed, chunk, c->data, CHUNK_BYTES);
		if (send_all(c->fd, c->data, CHUNK_BYTES) < 0)
			return;
	}
}

static void *answer(void *arg)
{
	struct caller *c = arg;
	struct verdict verdict = { 0 };

	if (receive_all(c->fd, &c->greeting, sizeof(c->greeting)) < 0 ||
	    c->greeting.magic != GREETING_MAGIC)
		goto out;
	switch (c->greeting.task) {
	case TASK_TAKE:
		if (take(c->fd, c->greeting.seed, c->greeting.bytes, c->data, c->wanted,
			 &verdict) == 0)
			send_all(c->fd, &verdict, sizeof(verdict));
		break;
	case TASK_GIVE:
		if (give(c->fd, c->greeting.seed, c->greeting.bytes, c->data, &verdict.sum) == 0) {
			verdict.bytes = c->greeting.bytes;
			send_all(c->fd, &verdict, sizeof(verdict));
		}
		break;
	default:
		answer_chunks(c);
	}
out:
	close(c->fd);
	free(c);
	return NULL;
}

static void *answer_datagrams(void *arg)
{
	static uint8_t data[MAX_DATAGRAM + 1];
	struct sockaddr_in6 from;
	socklen_t length;
	int fd = *(int *)arg;
	ssize_t n;

	for (;;) {
		length = sizeof(from);
		n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &length);
		if (n >= 0)
			sendto(fd, data, (size_t)n, 0, (struct sockaddr *)&from, length);
	}
	return NULL;
}

/* Datagrams go in one frame each or not at all. */
static int never_fragment(int fd)
{
	int v4 = IP_PMTUDISC_DO, v6 = IPV6_PMTUDISC_DO;

	if (setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof(v4)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof(v6)) < 0)
		return keep_failure("forbidding fragments: %s", strerror(errno));
	return 0;
}

static int bound_socket(const struct options *o, int type)
{
	struct sockaddr_in6 address;
	int fd = new_socket(type);

	if (fd < 0 || parse_address(o, &address) < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return keep_failure("binding to port %u: %s", o->port, strerror(errno));
	return fd;
}

int serve(const struct options *o)
{
	int listener = bound_socket(o, SOCK_STREAM), echo = bound_socket(o, SOCK_DGRAM), fd;
	struct caller *caller;
	pthread_t thread;

	if (listener < 0 || echo < 0 || never_fragment(echo) < 0)
		return -1;
	if (listen(listener, 64) < 0)
		return keep_failure("listening: %s", strerror(errno));
	if (pthread_create(&thread, NULL, answer_datagrams, &echo) != 0)
		return keep_failure("no memory for a thread");
	for (;;) {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		caller = malloc(sizeof(*caller));
		if (!caller)
			return keep_failure("no memory for a connection");
		caller->fd = fd;
		if (pthread_create(&thread, NULL, answer, caller) != 0)
			return keep_failure("no memory for a thread");
		pthread_detach(thread);
	}
}

/* ---- the client ---- */

static int greet(const struct options *o, enum task task, uint64_t seed)
{
	struct greeting greeting = { GREETING_MAGIC, task, seed, o->bytes };
	int fd = connect_to(o, SOCK_STREAM), on = 1;

	if (fd < 0)
		return -1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    send_all(fd, &greeting, sizeof(greeting)) < 0) {
		close(fd);
		return keep_failure("greeting the server: %s", strerror(errno));
	}
	return fd;
}

struct transfer {
	const struct options *options;
	enum task task;
	uint64_t seed;
	pthread_t thread;
	uint8_t data[CHUNK_BYTES];
	uint8_t wanted[CHUNK_BYTES];
};

static void *run_transfer(void *arg)
{
	struct transfer *t = arg;
	const struct options *o = t->options;
	struct verdict own = { 0 }, theirs;
	int fd = greet(o, t->task, t->seed), rc;

	if (fd < 0)
		return NULL;
	if (t->task == TASK_TAKE) {
		rc = give(fd, t->seed, o->bytes, t->data, &own.sum);
		own.bytes = o->bytes;
	} else {
		rc = take(fd, t->seed, o->bytes, t->data, t->wanted, &own);
	}
	if (rc == 0 && receive_all(fd, &theirs, sizeof(theirs)) == 0)
		check_verdict(&theirs, own.bytes, own.sum);
	close(fd);
	return NULL;
}

static int transfer(const struct options *o, enum task task)
{
	struct transfer *transfers = calloc(o->threads, sizeof(*transfers));
	uint64_t began = now_ms(), took;
	uint32_t i;

	if (!transfers)
		return keep_failure("no memory");
	for (i = 0; i < o->threads; i++) {
		transfers[i].options = o;
		transfers[i].task = task;
		transfers[i].seed = o->seed + i;
		if (pthread_create(&transfers[i].thread, NULL, run_transfer, &transfers[i]) != 0) {
			free(transfers);
			return keep_failure("no memory for a thread");
		}
	}
	for (i = 0; i < o->threads; i++)
		pthread_join(transfers[i].thread, NULL);
	free(transfers);
	if (has_failed())
		return -1;
	took = now_ms() - began;
	printf("bytes=%" PRIu64 " ms=%" PRIu64 " mb_s=%" PRIu64 "\n", o->bytes * o->threads, took,
	       o->bytes * o->threads / 1000 / (took ? took : 1));
	return 0;
}

int send_stream(const struct options *o)
{
	return transfer(o, TASK_TAKE);
}

int receive_stream(const struct options *o)
{
	return transfer(o, TASK_GIVE);
}

int echo_stream(const struct options *o, uint64_t seed, _Atomic uint64_t *bytes)
{
	uint8_t *data = malloc(CHUNK_BYTES), *wanted = malloc(CHUNK_BYTES), more = 1;
	int fd = greet(o, TASK_ECHO, seed), rc = -1;
	uint64_t chunk;

	if (!data || !wanted)
		keep_failure("no memory");
	for (chunk = 0; fd >= 0 && data && wanted && !atomic_load(&stopping); chunk++) {
		make_chunk(seed, chunk, data, CHUNK_BYTES);
		if (send_all(fd, &more, 1) < 0 || send_all(fd, data, CHUNK_BYTES) < 0 ||
		    receive_all(fd, data, CHUNK_BYTES) < 0 ||
		    compare(~seed, chunk, data, wanted, CHUNK_BYTES) < 0)
			break;
		atomic_fetch_add(bytes, 2 * (uint64_t)CHUNK_BYTES);
	}
	more = 0;
	if (fd >= 0 && !has_failed())
		rc = send_all(fd, &more, 1);
	if (fd >= 0)
		close(fd);
	free(data);
	free(wanted);
	return rc;
}

/* Sends one datagram until it comes back, as any may be lost. */
static int echo_one(int fd, const uint8_t *data, size_t length, uint32_t *tries)
{
	static uint8_t back[MAX_DATAGRAM + 1];
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	ssize_t n;

	for (*tries = 1; *tries <= TRIES; (*tries)++) {
		if (send(fd, data, length, 0) < 0)
			return keep_failure("sending a datagram of %zu bytes: %s", length,
					    strerror(errno));
		while (poll(&wait, 1, ECHO_WAIT_MS) > 0) {
			n = recv(fd, back, sizeof(back), 0);
			if (n < 0)
				return keep_failure("receiving a datagram: %s", strerror(errno));
			if ((size_t)n == length && memcmp(back, data, length) == 0)
				return 0;
			/* An earlier one that came late starts with another number. */
			if (n >= 4 && memcmp(back, data, 4) == 0)
				return keep_failure("a datagram of %zu bytes came back changed",
						    length);
		}
	}
	return keep_failure("a datagram of %zu bytes did not come back in %d tries", length, TRIES);
}

int echo_datagrams(const struct options *o)
{
	static uint8_t data[MAX_DATAGRAM];
	int fd = connect_to(o, SOCK_DGRAM);
	uint32_t again = 0, i, tries;

	if (fd < 0 || never_fragment(fd) < 0)
		return -1;
	for (i = 1; i <= o->count; i++) {
		make_chunk(o->seed, i, data, o->size);
		memcpy(data, &i, sizeof(i));
		if (echo_one(fd, data, o->size, &tries) < 0)
			return -1;
		again += tries - 1;
	}
	printf("datagrams=%" PRIu32 " again=%" PRIu32 "\n", o->count, again);
	close(fd);
	return 0;
}
