/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's half of the network tests.
 *
 *   serve      answers all of the following, on a TCP and a UDP port, until it is killed
 *   send       sends a stream of bytes made from a seed; the server compares every one
 *   receive    the other way round
 *   datagrams  sends datagrams of one size that must not be cut; each must come back as it was
 *   traffic    streams and datagrams, there and back, until SIGTERM; --status tells how far it is
 *   watch      looks at the frames that an interface receives until SIGTERM: are their checksums
 *              right, how many came with one that is still to be completed, or unsegmented
 *   offloads   sets features of an interface (NAME=on|off) and shows all
 *   channels   sets the number of queue pairs, if one is given, and shows it
 *   counters   shows the driver's counters
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/guestnet.h"

#define MAX_THREADS   16
#define WAIT_SECONDS  120
#define MAX_PAYLOAD   1400U
#define SEEN_SEQUENCE (1U << 16)

/* How a load of datagrams fares. */
struct datagrams {
	_Atomic uint64_t sent;
	_Atomic uint64_t back;
	uint64_t doubled;
	uint64_t silence_ms;          /* the longest time in which none came back */
	uint32_t seen[SEEN_SEQUENCE]; /* sequence numbers that came back, each in its place */
};

struct stream {
	const struct options *options;
	pthread_t thread;
	uint64_t seed;
	_Atomic uint64_t bytes;
};

atomic_bool stopping;
static atomic_bool failed;
static char failure[SENTENCE_BYTES];
static pthread_mutex_t failure_lock = PTHREAD_MUTEX_INITIALIZER;
static struct datagrams datagrams;

int keep_failure(const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&failure_lock);
	if (!atomic_load(&failed)) {
		va_start(args, format);
		vsnprintf(failure, sizeof(failure), format, args);
		va_end(args);
		atomic_store(&failed, true);
	}
	pthread_mutex_unlock(&failure_lock);
	atomic_store(&stopping, true);
	return -1;
}

bool has_failed(void)
{
	return atomic_load(&failed);
}

/* One multiplication a word: guests without KVM must make and compare a gigabyte of it. */
void make_chunk(uint64_t seed, uint64_t chunk, void *to, size_t length)
{
	uint64_t word = (seed << 40) + chunk * (CHUNK_BYTES / 8);
	uint8_t *at = to;
	uint64_t value;
	size_t part;

	for (; length; length -= part, at += part) {
		value = ++word * 0x9e3779b97f4a7c15ULL;
		value ^= value >> 29;
		part = length < 8 ? length : 8;
		memcpy(at, &value, part);
	}
}

uint64_t add_sum(uint64_t sum, const void *data, size_t length)
{
	const uint8_t *at = data;
	uint64_t value;
	size_t part;

	for (; length; length -= part, at += part) {
		value = 0;
		part = length < 8 ? length : 8;
		memcpy(&value, at, part);
		sum = (sum << 1 | sum >> 63) + value;
	}
	return sum;
}

int parse_address(const struct options *o, struct sockaddr_in6 *address)
{
	struct in_addr v4;

	memset(address, 0, sizeof(*address));
	address->sin6_family = AF_INET6;
	address->sin6_port = htons(o->port);
	if (inet_pton(AF_INET, o->target, &v4) == 1) {
		address->sin6_addr.s6_addr[10] = 0xff;
		address->sin6_addr.s6_addr[11] = 0xff;
		memcpy(&address->sin6_addr.s6_addr[12], &v4, sizeof(v4));
		return 0;
	}
	if (inet_pton(AF_INET6, o->target, &address->sin6_addr) == 1)
		return 0;
	return keep_failure("%s is no address", o->target);
}

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int new_socket(int type)
{
	struct timeval wait = { .tv_sec = WAIT_SECONDS };
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
	int off = 0, on = 1;

	if (fd < 0)
		return keep_failure("making a socket: %s", strerror(errno));
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0) {
		close(fd);
		return keep_failure("setting up a socket: %s", strerror(errno));
	}
	return fd;
}

int connect_to(const struct options *o, int type)
{
	struct sockaddr_in6 address;
	int fd;

	if (parse_address(o, &address) < 0)
		return -1;
	fd = new_socket(type);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return keep_failure("connecting to %s: %s", o->target, strerror(errno));
	}
	return fd;
}

int send_all(int fd, const void *data, size_t length)
{
	ssize_t n;

	for (; length; length -= (size_t)n, data = (const uint8_t *)data + n) {
		n = send(fd, data, length, MSG_NOSIGNAL);
		if (n < 0)
			return keep_failure("sending: %s", strerror(errno));
	}
	return 0;
}

int receive_all(int fd, void *data, size_t length)
{
	ssize_t n;

	for (; length; length -= (size_t)n, data = (uint8_t *)data + n) {
		n = recv(fd, data, length, MSG_WAITALL);
		if (n < 0)
			return keep_failure("receiving: %s", strerror(errno));
		if (n == 0)
			return keep_failure("the other side closed the connection");
	}
	return 0;
}

static void on_term(int signal)
{
	(void)signal;
	atomic_store(&stopping, true);
}

/* Takes what came back, and says whether something did. */
static bool take_datagrams(int fd, uint64_t seed)
{
	uint8_t data[MAX_PAYLOAD + 1], wanted[MAX_PAYLOAD];
	uint32_t sequence;
	bool some = false;
	ssize_t n;

	while ((n = recv(fd, data, sizeof(data), MSG_DONTWAIT)) >= 0) {
		memcpy(&sequence, data, sizeof(sequence));
		if (n < (ssize_t)sizeof(sequence) || n > (ssize_t)sizeof(wanted)) {
			keep_failure("a datagram of %zd bytes came back, which none was", n);
			return some;
		}
		make_chunk(seed, sequence, wanted, (size_t)n);
		memcpy(wanted, &sequence, sizeof(sequence));
		if (memcmp(data, wanted, (size_t)n) != 0) {
			keep_failure("datagram %" PRIu32 " came back with other content", sequence);
			return some;
		}
		if (datagrams.seen[sequence % SEEN_SEQUENCE] == sequence)
			datagrams.doubled++;
		else
			atomic_fetch_add(&datagrams.back, 1);
		datagrams.seen[sequence % SEEN_SEQUENCE] = sequence;
		some = true;
	}
	/* While the network is away, the kernel may tell so once in a while. */
	if (errno != EAGAIN && errno != EHOSTUNREACH && errno != ECONNREFUSED)
		keep_failure("receiving a datagram: %s", strerror(errno));
	return some;
}

static void *datagram_load(void *arg)
{
	struct timespec tick = { .tv_nsec = 5000000 };
	const struct options *o = arg;
	int fd = connect_to(o, SOCK_DGRAM);
	uint8_t data[MAX_PAYLOAD];
	uint64_t last = now_ms(), now;
	uint32_t sequence = 0;
	size_t length;

	while (fd >= 0 && !atomic_load(&stopping)) {
		sequence++;
		length = sizeof(sequence) + sequence * 37 % (MAX_PAYLOAD - sizeof(sequence));
		make_chunk(o->seed, sequence, data, length);
		memcpy(data, &sequence, sizeof(sequence));
		/* What can't be sent is lost, like what is lost on the way. */
		if (send(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			atomic_fetch_add(&datagrams.sent, 1);
		nanosleep(&tick, NULL);
		now = now_ms();
		if (now - last > datagrams.silence_ms)
			datagrams.silence_ms = now - last;
		if (take_datagrams(fd, o->seed))
			last = now;
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void *stream_load(void *arg)
{
	struct stream *s = arg;

	echo_stream(s->options, s->seed, &s->bytes);
	return NULL;
}

/* One line of fixed length at the file's start, so that a reader never sees half of two. */
__attribute__((format(printf, 2, 3))) static void tell(const struct options *o, const char *format,
						       ...)
{
	char line[SENTENCE_BYTES];
	va_list args;
	int fd, n;

	memset(line, ' ', sizeof(line));
	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (n > 0 && n < (int)sizeof(line))
		line[n] = ' ';
	line[sizeof(line) - 1] = '\n';
	fd = o->status ? open(o->status, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : dup(STDOUT_FILENO);
	if (fd < 0 || write(fd, line, sizeof(line)) < 0)
		keep_failure("writing the status: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* The slowest stream tells whether all go on. */
static void tell_traffic(const struct options *o, const struct stream *streams, const char *state)
{
	uint64_t all = 0, slowest = UINT64_MAX, bytes;
	uint32_t i;

	for (i = 0; i < o->threads; i++) {
		bytes = atomic_load(&streams[i].bytes);
		all += bytes;
		if (bytes < slowest)
			slowest = bytes;
	}
	tell(o,
	     "%s tcp=%" PRIu64 " slowest=%" PRIu64 " udp=%" PRIu64 " back=%" PRIu64
	     " doubled=%" PRIu64 " silence_ms=%" PRIu64,
	     state, all, slowest, atomic_load(&datagrams.sent), atomic_load(&datagrams.back),
	     datagrams.doubled, datagrams.silence_ms);
}

static int traffic(const struct options *o)
{
	static struct stream streams[MAX_THREADS];
	struct timespec tick = { .tv_nsec = 100000000 };
	pthread_t datagram_thread;
	uint32_t i;

	if (pthread_create(&datagram_thread, NULL, datagram_load, (void *)(uintptr_t)o) != 0)
		return keep_failure("no memory for a thread");
	for (i = 0; i < o->threads; i++) {
		streams[i].options = o;
		streams[i].seed = o->seed + i;
		if (pthread_create(&streams[i].thread, NULL, stream_load, &streams[i]) != 0)
			return keep_failure("no memory for a thread");
	}
	while (!atomic_load(&stopping)) {
		tell_traffic(o, streams, "running");
		nanosleep(&tick, NULL);
	}
	for (i = 0; i < o->threads; i++)
		pthread_join(streams[i].thread, NULL);
	pthread_join(datagram_thread, NULL);
	if (has_failed()) {
		tell(o, "failed %s", failure);
		return -1;
	}
	tell_traffic(o, streams, "passed");
	return 0;
}

static const struct {
	const char *name;
	int (*run)(const struct options *o);
} verbs[] = {
	{ "serve", serve },
	{ "send", send_stream },
	{ "receive", receive_stream },
	{ "datagrams", echo_datagrams },
	{ "traffic", traffic },
	{ "watch", watch },
	{ "offloads", set_offloads },
	{ "channels", set_channels },
	{ "counters", show_counters },
};

static const char usage[] =
	"usage: guestnet serve|send|receive|datagrams|traffic ADDRESS [--port=N] [--bytes=N]\n"
	"       [--seed=N] [--threads=N] [--size=BYTES] [--count=N] [--status=FILE]\n"
	"       guestnet watch|counters|channels|offloads INTERFACE [PAIRS] [FEATURE=on|off]...\n";

static bool parse_options(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "port", required_argument, NULL, 'p' },
		{ "bytes", required_argument, NULL, 'b' },
		{ "seed", required_argument, NULL, 'e' },
		{ "threads", required_argument, NULL, 't' },
		{ "size", required_argument, NULL, 's' },
		{ "count", required_argument, NULL, 'c' },
		{ "status", required_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			o->port = (uint16_t)strtoul(optarg, NULL, 0);
			break;
		case 'b':
			o->bytes = strtoull(optarg, NULL, 0);
			break;
		case 'e':
			o->seed = strtoull(optarg, NULL, 0);
			break;
		case 't':
			o->threads = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 's':
			o->size = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'c':
			o->count = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'f':
			o->status = optarg;
			break;
		default:
			return false;
		}
	}
	if (argc - optind < 2 || !o->threads || o->threads > MAX_THREADS || o->size < 4 ||
	    o->size > MAX_DATAGRAM)
		return false;
	o->verb = argv[optind];
	o->target = argv[optind + 1];
	o->words = argv + optind + 2;
	o->num_words = argc - optind - 2;
	return true;
}

int main(int argc, char **argv)
{
	struct options o = { .port = 7, .threads = 1, .seed = 1, .size = 64, .count = 1 };
	size_t i;
	int rc;

	if (!parse_options(argc, argv, &o)) {
		fputs(usage, stderr);
		return 2;
	}
	signal(SIGTERM, on_term);
	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(o.verb, verbs[i].name) == 0) {
			rc = verbs[i].run(&o);
			if (rc < 0)
				fprintf(stderr, "guestnet: %s\n", failure);
			return rc < 0 ? 1 : 0;
		}
	}
	fputs(usage, stderr);
	return 2;
}
