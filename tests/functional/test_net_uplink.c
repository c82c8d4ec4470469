/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Uplinks that need no rights: files of packets (net_pcap), nothing (net_null), and rings that the test itself is the
 * other end of (net_ring); and for root a tap.
 */
#include "net_frames.h"
#include "net_packet.h"
#include "net_rig.h"

#include "base/clock.h"
#include "base/own.h"

#include <linux/if_packet.h>
#include <net/if.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

static struct iol_net_port *uplink(struct iol_net *net, const char *name, const char *devargs,
				   const struct iol_net_port_spec *more)
{
	struct iol_net_port_spec spec = { 0 };
	struct iol_net_port *port = NULL;

	if (more)
		spec = *more;
	spec.name = name;
	spec.uplink = devargs;
	if (iol_net_port_new(net, &spec, &port) < 0)
		fail_msg("%s: %s", devargs, iol_error());
	return port;
}

static uint64_t drops(const struct iol_net_port *port, enum iol_net_drop why)
{
	struct iol_net_port_stats stats;

	iol_net_port_stats(port, &stats);
	return stats.drops[why];
}

/* ---- files of packets ---- */

static void write_pcap(const char *path, const struct small_frame *f, unsigned int n)
{
	static const uint32_t head[6] = { 0xa1b2c3d4, 4 << 16 | 2, 0, 0, 65535, 1 };
	FILE *file = fopen(path, "we");
	unsigned int i;

	assert_non_null(file);
	assert_int_equal(fwrite(head, sizeof(head), 1, file), 1);
	for (i = 0; i < n; i++) {
		const uint32_t record[4] = { 1, i, f[i].len, f[i].len };

		assert_int_equal(fwrite(record, sizeof(record), 1, file), 1);
		assert_int_equal(fwrite(f[i].b, f[i].len, 1, file), 1);
	}
	assert_int_equal(fclose(file), 0);
}

/* The next packet of a file that was opened past its header. */
static uint32_t read_pcap(FILE *file, uint8_t *to)
{
	uint32_t record[4];

	if (fread(record, sizeof(record), 1, file) != 1)
		return 0;
	assert_true(record[2] <= NRIG_FRAME_MAX);
	assert_int_equal(record[2], record[3]);
	assert_int_equal(fread(to, record[2], 1, file), 1);
	return record[2];
}

#define PACKETS 300

static void from_a_file_and_into_one(void **state)
{
	char dir[] = "/tmp/iolane-test-XXXXXX", in[64], out[64], devargs[256];
	static struct small_frame sent[PACKETS];
	struct iol_net *net = nrig_net_up(NULL);
	struct iol_net_port_spec trunk = { .trunk_all = true };
	struct nrig_port *a, *b;
	struct iol_net_port *up;
	static struct nrig_frame f;
	static uint8_t frame[NRIG_FRAME_MAX];
	struct virtio_net_hdr_v1 hdr;
	struct packet p = { .tci = -1, .partial = true, .payload = 20000, .gso = 1400 };
	struct packet_seen seen = { .p = &p, .tci = 5 };
	struct small_frame want;
	unsigned int i, at_a = 0, at_b = 0;
	FILE *file;
	uint32_t len;

	assert_non_null(mkdtemp(dir));
	snprintf(in, sizeof(in), "%s/in.pcap", dir);
	snprintf(out, sizeof(out), "%s/out.pcap", dir);
	/* For VLAN 5, tagged, for the untagged one, and for one that nobody is in. */
	for (i = 0; i < PACKETS; i++)
		sent[i] = small_frame(BROADCAST, 100 + i % 100,
				      i % 3 == 0   ? 0x4005
				      : i % 3 == 1 ? UNTAGGED
						   : 77,
				      60 + i * 4);
	write_pcap(in, sent, PACKETS);
	a = nrig_port_up(net,
			 &(struct nrig_spec){ .port = { .vlan = 5 },
					      .features = NRIG_BASIC | NRIG_BIT(VIRTIO_NET_F_CSUM) |
							  NRIG_BIT(VIRTIO_NET_F_HOST_TSO4),
					      .rx_buffers = 128 });
	b = nrig_port_up(net, &(struct nrig_spec){ .rx_buffers = 128 });
	snprintf(devargs, sizeof(devargs), "net_pcap0,rx_pcap=%s,tx_pcap=%s", in, out);
	up = uplink(net, "up", devargs, &trunk);
	assert_null(iol_net_port_device(up));
	assert_true(iol_net_port_link(up));
	assert_in_range(iol_net_port_thread(up, 0), 0, nrig_threads() - 1);
	for (i = 0; i < PACKETS; i++) {
		/* What is longer than an Ethernet frame is no uplink's. */
		bool fits = sent[i].len - 14 - (i % 3 == 1 ? 0 : 4) <= iol_net_port_mtu(up);

		want = small_retag(&sent[i], UNTAGGED);
		if (i % 3 == 2 || !fits)
			continue;
		nrig_wait(i % 3 ? b : a, 0, &f);
		assert_int_equal(f.len, want.len);
		assert_memory_equal(f.data, want.b, want.len);
		assert_int_equal(f.hdr.flags, 0);
		at_a += i % 3 == 0;
		at_b += i % 3 == 1;
	}
	nrig_silent(a);
	nrig_silent(b);
	assert_int_equal(nrig_stats(a).out_packets, at_a);
	assert_int_equal(nrig_stats(b).out_packets, at_b);

	/* Out: tagged, cut, complete; unicast to what was learned from there, and from a guest to a group. */
	small_mac(p.dst, 100);
	small_mac(p.src, 1);
	len = packet_make(&p, &hdr, frame);
	nrig_send_with(a, &hdr, frame, len);
	nrig_silent(b);
	want = small_frame(BROADCAST, 2, UNTAGGED, 333);
	nrig_send(b, want.b, want.len);
	nrig_silent(a);
	iol_net_port_destroy(&up);
	file = fopen(out, "re");
	assert_non_null(file);
	assert_int_equal(fseek(file, 24, SEEK_SET), 0);
	memset(&f, 0, sizeof(f));
	do {
		f.len = read_pcap(file, f.data);
		assert_true(f.len > 0);
	} while (!packet_arrived(&seen, &f));
	assert_int_equal(read_pcap(file, f.data), want.len);
	assert_memory_equal(f.data, want.b, want.len);
	assert_int_equal(read_pcap(file, f.data), 0);
	fclose(file);
	unlink(in);
	unlink(out);
	assert_int_equal(rmdir(dir), 0);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_net_down(&net);
}

/* ---- one that takes its time ---- */

struct slow {
	struct iol_net *net;
	char devargs[128];
	struct iol_net_port *port;
	pid_t tid; /* atomic */
};

static void *make_slow(void *arg)
{
	struct slow *s = arg;

	__atomic_store_n(&s->tid, gettid(), __ATOMIC_RELEASE);
	s->port = uplink(s->net, "slow", s->devargs, NULL);
	return NULL;
}

/* Whether a thread waits inside of a system call; of one that runs the kernel says so. */
static bool is_in(pid_t tid, long call)
{
	char path[64], line[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	return line[0] >= '0' && line[0] <= '9' && strtol(line, NULL, 10) == call;
}

/* A guest's queues start, run and stop while an uplink's driver waits for a file that nobody has written yet. */
static void guests_wait_for_no_uplink(void **state)
{
	char dir[] = "/tmp/iolane-test-XXXXXX", fifo[64];
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_port *a = nrig_port_up(net, &(struct nrig_spec){ .no_start = true });
	struct nrig_port *b = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
	struct small_frame f = small_frame(BROADCAST, 1, UNTAGGED, 60);
	uint64_t end = iol_now() + NRIG_WAIT * IOL_NS_PER_MS;
	struct slow s = { .net = net };
	struct timespec pause = { .tv_nsec = 1000000 };
	pthread_t thread;

	assert_non_null(mkdtemp(dir));
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	snprintf(s.devargs, sizeof(s.devargs), "net_pcap0,rx_pcap=%s", fifo);
	assert_int_equal(pthread_create(&thread, NULL, make_slow, &s), 0);
	while (!is_in(__atomic_load_n(&s.tid, __ATOMIC_ACQUIRE), SYS_openat)) {
		assert_true(iol_now() < end);
		nanosleep(&pause, NULL);
	}
	nrig_start(a, 0);
	nrig_start(a, 1);
	nrig_send(b, f.b, f.len);
	nrig_gets(a, f.b, f.len);
	nrig_send(a, f.b, f.len);
	nrig_gets(b, f.b, f.len);
	nrig_stop(a, 1);
	write_pcap(fifo, NULL, 0);
	pthread_join(thread, NULL);
	iol_net_port_destroy(&s.port);
	unlink(fifo);
	assert_int_equal(rmdir(dir), 0);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_net_down(&net);
}

/* ---- nothing ---- */

/* Uplinks come and go under their own traffic, and guests in bridge mode reach no other but them. */
static void nothing_at_all(void **state)
{
	struct iol_net_spec spec = { .mode = IOL_NET_BRIDGE, .poll_us = IOL_NET_POLL_DEFAULT };
	struct iol_net *net = nrig_net_up(&spec);
	struct nrig_port *a = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
	struct nrig_port *b = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
	struct small_frame f = small_frame(BROADCAST, 1, UNTAGGED, 60);
	struct iol_net_port_stats stats;
	unsigned int i;

	for (i = 0; i < 5; i++) {
		/* It receives zeroes for ever, or nothing; it takes all. */
		struct iol_net_port *full = uplink(net, "full", "net_null0", NULL);
		struct iol_net_port *none = uplink(net, "none", "net_null1,no-rx=1", NULL);
		uint64_t end = iol_now() + NRIG_WAIT * IOL_NS_PER_MS;

		do {
			assert_true(iol_now() < end);
			iol_net_port_stats(full, &stats);
		} while (stats.in_packets < 1000);
		nrig_send(a, f.b, f.len);
		iol_net_port_stats(none, &stats);
		assert_true(stats.out_packets > 0);
		iol_net_port_destroy(&full);
		iol_net_port_destroy(&none);
	}
	assert_int_equal(nrig_drops(a, IOL_NET_DROP_NOWHERE), 0);
	nrig_send(a, f.b, f.len);
	assert_int_equal(nrig_drops(a, IOL_NET_DROP_NOWHERE), 1);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_net_down(&net);
}

/* ---- rings ---- */

/*
 * What hands a packet buffer from one thread to the other, over the test's wire or by way of a pool, is a ring in a
 * library of DPDK's that ThreadSanitizer does not see into. So whoever has it next is taken to be in a race for it.
 */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:wire_send\nrace:wire_take\nrace:wire_free\nrace:rte_pktmbuf_alloc\n";
}

/* A device of which the test is the wire. */
struct wire {
	struct rte_ring *in, *out;
	char name[RTE_ETH_NAME_MAX_LEN];
	struct rte_mempool *pool;
};

static void wire_new(struct wire *w, unsigned int room)
{
	static unsigned int number;
	char in[32], out[32];
	int id;

	snprintf(in, sizeof(in), "in%u", number);
	snprintf(out, sizeof(out), "out%u", number);
	w->in = rte_ring_create(in, 64, SOCKET_ID_ANY, 0);
	w->out = rte_ring_create(out, room, SOCKET_ID_ANY, 0);
	assert_true(w->in && w->out);
	snprintf(in, sizeof(in), "wire%u", number++);
	id = rte_eth_from_rings(in, &w->in, 1, &w->out, 1, 0);
	assert_true(id >= 0);
	assert_int_equal(rte_eth_dev_get_name_by_port((uint16_t)id, w->name), 0);
	w->pool = rte_pktmbuf_pool_create("wire", 255, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					  SOCKET_ID_ANY);
	assert_non_null(w->pool);
}

static void wire_free(struct wire *w)
{
	struct rte_mbuf *m;
	uint16_t id;

	while (!rte_ring_dequeue(w->out, (void **)&m))
		rte_pktmbuf_free(m);
	assert_int_equal(rte_eth_dev_get_port_by_name(w->name, &id), 0);
	assert_int_equal(rte_eth_dev_close(id), 0);
	rte_ring_free(w->in);
	rte_ring_free(w->out);
	rte_mempool_free(w->pool);
}

/* A packet in buffers of so many bytes. */
static void wire_send(struct wire *w, const void *frame, uint32_t len, uint16_t each,
		      uint64_t flags)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->pool), *last = m;
	const uint8_t *from = frame;

	assert_non_null(m);
	m->ol_flags |= flags;
	while (len) {
		uint16_t n = len < each ? (uint16_t)len : each;

		memcpy(rte_pktmbuf_mtod(last, void *), from, n);
		last->data_len = n;
		m->pkt_len += n;
		from += n;
		len -= n;
		if (!len)
			break;
		last->next = rte_pktmbuf_alloc(w->pool);
		last = last->next;
		assert_non_null(last);
		m->nb_segs++;
	}
	assert_int_equal(rte_ring_enqueue(w->in, m), 0);
}

/* What came out of the wire: its length, 0 when nothing did. */
static uint32_t wire_take(struct wire *w, uint8_t *to)
{
	struct rte_mbuf *m;
	uint32_t len;

	if (rte_ring_dequeue(w->out, (void **)&m))
		return 0;
	len = m->pkt_len;
	memcpy(to, rte_pktmbuf_read(m, 0, len, to), len);
	rte_pktmbuf_free(m);
	return len;
}

/* A frame in any number of buffers; what its device has found out of it goes to those alone that know the word. */
static void any_buffers(void **state)
{
	static const uint16_t each[] = { 2000, 14, 15, 20, 61, 100, 7 };
	struct iol_net_port_spec large = { .mtu = 9000, .trunk_all = true };
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_port *a, *b;
	struct iol_net_port *up;
	static struct nrig_frame f;
	struct small_frame s;
	struct wire w;
	unsigned int i, k;

	wire_new(&w, 64);
	a = nrig_port_up(net, &(struct nrig_spec){ .port = { .vlan = 5 } });
	b = nrig_port_up(net, &(struct nrig_spec){ .port = { .vlan = 5 },
						   .features = NRIG_BASIC |
							       NRIG_BIT(VIRTIO_NET_F_GUEST_CSUM) });
	up = uplink(net, "wire", w.name, &large);
	for (i = 0; i < sizeof(each) / sizeof(each[0]); i++)
		for (k = 0; k < 4; k++) {
			static const uint32_t sizes[] = { 18, 60, 333, 1500 };
			struct small_frame want;

			s = small_frame(BROADCAST, 3, 5, sizes[k]);
			if (sizes[k] / each[i] > 200)
				continue;
			wire_send(&w, s.b, s.len, each[i], k % 2 ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0);
			want = small_retag(&s, UNTAGGED);
			nrig_wait(a, 0, &f);
			assert_int_equal(f.len, want.len);
			assert_memory_equal(f.data, want.b, want.len);
			/* Without GUEST_CSUM the flags are 0 (virtio 1.3, 5.1.6.4.1). */
			assert_int_equal(f.hdr.flags, 0);
			nrig_wait(b, 0, &f);
			assert_int_equal(f.len, want.len);
			assert_memory_equal(f.data, want.b, want.len);
			assert_int_equal(f.hdr.flags, k % 2 ? VIRTIO_NET_HDR_F_DATA_VALID : 0);
		}
	/* Too short to have a header. */
	wire_send(&w, s.b, 13, 100, 0);
	s = small_frame(BROADCAST, 3, 5, 60);
	wire_send(&w, s.b, 60, 100, 0);
	nrig_wait(a, 0, &f);
	assert_int_equal(drops(up, IOL_NET_DROP_RUNT), 1);
	iol_net_port_destroy(&up);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_net_down(&net);
	wire_free(&w);
}

static void full_and_out_of_memory(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_port *a = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
	struct small_frame f = small_frame(2, 1, UNTAGGED, 1514);
	static uint8_t got[NRIG_FRAME_MAX];
	static struct rte_mbuf *taken[65536];
	struct iol_net_port_stats stats;
	struct iol_net_port *up;
	struct rte_mempool *pool;
	unsigned int i, n = 0;
	struct wire w;

	wire_new(&w, 8); /* which holds 7 */
	up = uplink(net, "wire", w.name, NULL);
	for (i = 0; i < 10; i++)
		nrig_send(a, f.b, f.len);
	assert_int_equal(drops(up, IOL_NET_DROP_UPLINK_FULL), 3);
	iol_net_port_stats(up, &stats);
	assert_int_equal(stats.out_packets, 7);
	assert_int_equal(stats.out_bytes, 7 * 1514);
	for (i = 0; i < 7; i++) {
		assert_int_equal(wire_take(&w, got), f.len);
		assert_memory_equal(got, f.b, f.len);
	}
	assert_int_equal(wire_take(&w, got), 0);

	f = small_frame(2, 1, UNTAGGED, 1515);
	nrig_send(a, f.b, f.len);
	assert_int_equal(drops(up, IOL_NET_DROP_OUT_TOO_BIG), 1);

	/* All packet buffers are elsewhere. */
	f = small_frame(2, 1, UNTAGGED, 100);
	pool = rte_mempool_lookup("iolane");
	assert_non_null(pool);
	while (n < 65536 && (taken[n] = rte_pktmbuf_alloc(pool)))
		n++;
	/* A few lie in the thread's cache. */
	for (i = 0; i < 1000 && !drops(up, IOL_NET_DROP_NO_MEMORY); i++) {
		nrig_send(a, f.b, f.len);
		while (wire_take(&w, got))
			;
	}
	assert_int_equal(drops(up, IOL_NET_DROP_NO_MEMORY), 1);
	while (n)
		rte_pktmbuf_free(taken[--n]);
	nrig_send(a, f.b, f.len);
	assert_int_equal(wire_take(&w, got), f.len);
	assert_memory_equal(got, f.b, f.len);
	assert_int_equal(nrig_all_drops(a), 0);
	iol_net_port_destroy(&up);
	nrig_port_down(&a);
	nrig_net_down(&net);
	wire_free(&w);
}

/* ---- a tap ---- */

static sigset_t late; /* blocked in all threads, so that they come when the test likes */

static void send_into(const char *interface, const struct small_frame *f)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)if_nametoindex(interface) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0 && at.sll_ifindex > 0);
	assert_int_equal(sendto(fd, f->b, f->len, 0, (struct sockaddr *)&at, sizeof(at)), f->len);
	close(fd);
}

/* Naps of all poll threads. */
static uint64_t sleeps(const struct iol_net *net)
{
	struct iol_net_thread_stats stats;
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; !iol_net_thread_stats(net, i, &stats); i++)
		n += stats.sleeps;
	return n;
}

/* The kernel sends some of its own besides. */
static bool arrived(struct nrig_port *p, const struct small_frame *f)
{
	static struct nrig_frame got;
	bool is = false;

	while (!is && nrig_take(p, 0, &got))
		is = got.len == f->len && !memcmp(got.data, f->b, f->len);
	return is;
}

/* Until a frame has arrived; or, unless @naps is 0, until poll threads have looked for it that often. */
static bool comes(struct iol_net *net, struct nrig_port *p, const struct small_frame *f,
		  unsigned int naps)
{
	uint64_t end = iol_now() + NRIG_WAIT * IOL_NS_PER_MS, before = sleeps(net);
	struct timespec pause = { .tv_nsec = 1000000 };

	while (!arrived(p, f)) {
		if (naps && sleeps(net) >= before + naps)
			return false;
		assert_true(iol_now() < end);
		nanosleep(&pause, NULL);
	}
	return true;
}

/*
 * net_tap receives after a signal, whose thread may be kept from a CPU for as long as you like. Until then a frame
 * is there, it has woken its poll thread, and nothing wakes that again. The first signal of all is not waited for, and
 * one may have come after its frame.
 */
static void no_frame_waits_for_the_next(void **state)
{
	struct small_frame f = small_frame(BROADCAST, 4, UNTAGGED, 60);
	char name[16], devargs[64];
	struct iol_net_port *up;
	struct iol_net *net;
	struct nrig_port *a;

	if (geteuid() || access("/dev/net/tun", F_OK) < 0) {
		print_message("only root makes taps\n");
		skip();
	}
	net = nrig_net_up(NULL);
	a = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
	snprintf(name, sizeof(name), "il%d", getpid());
	snprintf(devargs, sizeof(devargs), "net_tap0,iface=%s", name);
	up = uplink(net, "tap", devargs, NULL);
	assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &late, NULL), 0);
	send_into(name, &f);
	comes(net, a, &f, 0);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &late, NULL), 0);
	do {
		send_into(name, &f);
	} while (comes(net, a, &f, 200));
	assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &late, NULL), 0);
	comes(net, a, &f, 0);
	iol_net_port_destroy(&up);
	nrig_port_down(&a);
	nrig_net_down(&net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_a_file_and_into_one),
		cmocka_unit_test(guests_wait_for_no_uplink),
		cmocka_unit_test(nothing_at_all),
		cmocka_unit_test(any_buffers),
		cmocka_unit_test(full_and_out_of_memory),
		cmocka_unit_test(no_frame_waits_for_the_next),
	};
	int i;

	sigemptyset(&late);
	for (i = SIGRTMIN; i <= SIGRTMAX; i++)
		sigaddset(&late, i);
	pthread_sigmask(SIG_BLOCK, &late, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
