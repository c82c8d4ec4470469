/* SPDX-License-Identifier: BSD-3-Clause */
/* The switch: who gets a frame, and what is known of who is where. */
#include "full_call.h"
#include "net_frames.h"
#include "net_rig.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct nrig_port *plain(struct iol_net *net)
{
	static const struct nrig_spec spec;

	return nrig_port_up(net, &spec);
}

static void send(struct nrig_port *p, const struct small_frame *f)
{
	nrig_send(p, f->b, f->len);
}

static void gets(struct nrig_port *p, const struct small_frame *f)
{
	nrig_gets(p, f->b, f->len);
}

static struct small_frame untagged(unsigned int to, unsigned int from)
{
	return small_frame(to, from, UNTAGGED, 60);
}

static void say(struct nrig_port *p, unsigned int to, unsigned int from)
{
	struct small_frame f = untagged(to, from);

	send(p, &f);
}

/* The port where an address is, as is told; NULL where it is not known. */
static const char *where(const struct iol_net *net, unsigned int number, unsigned int vlan)
{
	static struct iol_net_address list[4096];
	unsigned int n = iol_net_addresses(net, list, 4096), i;
	uint8_t mac[6];

	assert_true(n <= 4096);
	small_mac(mac, number);
	for (i = 0; i < n; i++)
		if (!memcmp(list[i].mac, mac, 6) && list[i].vlan == vlan)
			return list[i].port;
	return NULL;
}

static void learning(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_port *p[3];
	struct small_frame f;
	unsigned int i;

	for (i = 0; i < 3; i++)
		p[i] = plain(net);
	assert_int_equal(iol_net_addresses(net, NULL, 0), 0);

	/* To an address that nobody has been heard from: to all but who sent it. */
	f = untagged(2, 1);
	send(p[0], &f);
	gets(p[1], &f);
	gets(p[2], &f);
	nrig_silent(p[0]);

	/* The answer goes to one. */
	f = untagged(1, 2);
	send(p[1], &f);
	gets(p[0], &f);
	nrig_silent(p[2]);
	f = untagged(2, 1);
	send(p[0], &f);
	gets(p[1], &f);
	nrig_silent(p[2]);
	assert_string_equal(where(net, 1, 0), p[0]->name);
	assert_string_equal(where(net, 2, 0), p[1]->name);
	assert_int_equal(iol_net_addresses(net, NULL, 0), 2);

	/* To groups: to all, and they are never learned. */
	f = untagged(BROADCAST, 1);
	send(p[0], &f);
	gets(p[1], &f);
	gets(p[2], &f);
	f = untagged(MULTICAST, BROADCAST);
	send(p[0], &f);
	gets(p[1], &f);
	gets(p[2], &f);
	assert_int_equal(iol_net_addresses(net, NULL, 0), 2);

	/* For where it came from. */
	f = untagged(1, 3);
	send(p[0], &f);
	nrig_silent(p[1]);
	nrig_silent(p[2]);
	assert_int_equal(nrig_drops(p[0], IOL_NET_DROP_SAME_PORT), 1);
	assert_int_equal(nrig_all_drops(p[0]), 1);
	for (i = 0; i < 3; i++)
		nrig_port_down(&p[i]);
	nrig_net_down(&net);
}

static void an_address_moves(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_port *p[3];
	struct small_frame f;
	unsigned int i;

	for (i = 0; i < 3; i++)
		p[i] = plain(net);
	say(p[0], BROADCAST, 1);
	say(p[1], BROADCAST, 2);
	for (i = 0; i < 3; i++) {
		static struct nrig_frame any;

		while (nrig_take(p[i], NRIG_ANY, &any))
			;
	}
	f = untagged(1, 2);
	send(p[1], &f);
	gets(p[0], &f);
	/* A guest migrated: its address is heard elsewhere. */
	f = untagged(2, 1);
	send(p[2], &f);
	gets(p[1], &f);
	assert_string_equal(where(net, 1, 0), p[2]->name);
	f = untagged(1, 2);
	send(p[1], &f);
	gets(p[2], &f);
	nrig_silent(p[0]);
	/* And back, at once: a port's last address is no excuse not to look. */
	for (i = 0; i < 20; i++) {
		struct nrig_port *here = p[i % 2 ? 2 : 0];

		f = untagged(2, 1);
		send(here, &f);
		gets(p[1], &f);
		assert_string_equal(where(net, 1, 0), here->name);
	}
	for (i = 0; i < 3; i++)
		nrig_port_down(&p[i]);
	nrig_net_down(&net);
}

/* Wait for what happens when time has passed. */
static void until_forgotten(const struct iol_net *net, unsigned int number)
{
	uint64_t end = iol_now() + NRIG_WAIT * IOL_NS_PER_MS;

	while (where(net, number, 0)) {
		assert_true(iol_now() < end);
		usleep(10000);
	}
}

static void ageing(void **state)
{
	struct iol_net_spec spec = { .poll_us = IOL_NET_POLL_DEFAULT, .age_s = 1 };
	struct iol_net *net = nrig_net_up(&spec);
	struct nrig_port *a = plain(net), *b = plain(net), *c = plain(net);
	struct small_frame f = untagged(2, 1);

	send(a, &f);
	gets(b, &f);
	gets(c, &f);
	until_forgotten(net, 1);
	f = untagged(1, 2);
	send(b, &f);
	gets(a, &f);
	gets(c, &f);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_port_down(&c);
	nrig_net_down(&net);
}

/* More addresses than the table has room for are forgotten, and nobody is cut off. */
static void many_addresses(void **state)
{
	struct iol_net_spec spec = { .poll_us = IOL_NET_POLL_DEFAULT, .addresses = 16 };
	struct iol_net *net = nrig_net_up(&spec);
	struct nrig_port *a = plain(net), *b = plain(net);
	static struct nrig_frame any;
	struct small_frame f;
	unsigned int i;

	say(b, BROADCAST, 2);
	assert_true(nrig_take(a, NRIG_ANY, &any));
	for (i = 0; i < 5000; i++) {
		f = untagged(2, 1);
		f.b[9] = (uint8_t)(i >> 8);
		f.b[10] = (uint8_t)i;
		send(a, &f);
		gets(b, &f);
	}
	assert_string_equal(where(net, 2, 0), b->name);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_net_down(&net);
}

/* ---- ports that come and go ---- */

struct traffic {
	struct nrig_port *from;
	unsigned int to, address;
	bool end; /* atomic */
	unsigned int sent;
};

static void *make_traffic(void *arg)
{
	struct traffic *t = arg;

	while (!__atomic_load_n(&t->end, __ATOMIC_RELAXED)) {
		say(t->from, t->to, t->address);
		say(t->from, BROADCAST, t->address);
		t->sent += 2;
	}
	return NULL;
}

/* Others keep their frames, in order, while ports come and go; those that are gone are forgotten. */
static void ports_come_and_go(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_spec spec = { .port = { .name = "guest" } };
	struct nrig_port *a = plain(net), *b = plain(net);
	struct traffic t = { .from = a, .to = 2, .address = 1 };
	static struct nrig_frame f;
	unsigned int round, got = 0;
	pthread_t thread;

	say(b, BROADCAST, 2);
	assert_true(nrig_take(a, NRIG_ANY, &f));
	assert_int_equal(pthread_create(&thread, NULL, make_traffic, &t), 0);
	for (round = 0; round < 20; round++) {
		struct nrig_port *c = nrig_port_up(net, &spec);
		unsigned int i;

		say(c, BROADCAST, 3);
		assert_string_equal(where(net, 3, 0), "guest");
		for (i = 0; i < 8; i++, got++)
			nrig_wait(b, NRIG_ANY, &f);
		/* What was flooded came here, too. */
		if (round % 2)
			nrig_wait(c, NRIG_ANY, &f);
		nrig_port_down(&c);
		assert_null(where(net, 3, 0));
	}
	__atomic_store_n(&t.end, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	while (nrig_take(b, NRIG_ANY, &f))
		got++;
	/* All that was sent by either, or its loss is known. */
	assert_int_equal(got + nrig_drops(b, IOL_NET_DROP_NO_BUFFERS), t.sent + round);
	assert_int_equal(nrig_all_drops(a), 0);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_net_down(&net);
}

/* A place that was given up is another's: what was learned of the old one is not the new one's. */
static void a_place_is_used_again(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_port *a = plain(net), *b = plain(net), *c;
	struct small_frame f;

	say(b, 1, 2);
	nrig_port_down(&b);
	b = plain(net);
	c = plain(net);
	f = untagged(2, 1);
	send(a, &f);
	gets(b, &f);
	gets(c, &f);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_port_down(&c);
	nrig_net_down(&net);
}

static void names_and_addresses_are_unique(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_spec spec = { .port = { .name = "one" } };
	struct iol_net_port_spec other = { .name = "one", .pairs = 1 };
	struct iol_net_port *port = NULL;
	struct nrig_port *p;

	small_mac(spec.port.mac, 1);
	p = nrig_port_up(net, &spec);
	assert_int_equal(iol_net_port_new(net, &other, &port), -EEXIST);
	other.name = "two";
	small_mac(other.mac, 1);
	assert_int_equal(iol_net_port_new(net, &other, &port), -EEXIST);
	small_mac(other.mac, 2);
	assert_int_equal(iol_net_port_new(net, &other, &port), 0);
	assert_non_null(iol_net_port_device(port));
	assert_false(iol_net_port_link(port));
	assert_int_equal(iol_net_port_thread(port, 0), -1);
	iol_net_port_destroy(&port);
	assert_null(port);
	iol_net_port_destroy(&port);
	nrig_port_down(&p);
	nrig_net_down(&net);
}

/* clang-format off */
static const struct {
	const char *what;
	struct iol_net_port_spec spec;
} bad_ports[] = {
	{ "no name", { .name = "", .pairs = 1 } },
	{ "a long name", { .name = "0123456789012345678901234567890123456789012345678901234567890123",
	  .pairs = 1 } },
	{ "no pairs", { .name = "x" } },
	{ "65 pairs", { .name = "x", .pairs = 65 } },
	{ "VLAN 4095", { .name = "x", .pairs = 1, .vlan = 4095 } },
	{ "an MTU of 67", { .name = "x", .pairs = 1, .mtu = 67 } },
	{ "an MTU of 65536", { .name = "x", .pairs = 1, .mtu = 65536 } },
	{ "a group's address", { .name = "x", .pairs = 1, .mac = { 1, 0, 0, 0, 0, 1 } } },
	{ "spoofing looked at without an address",
	  { .name = "x", .pairs = 1, .spoof = IOL_NET_SPOOF_MAC } },
	{ "an IPv4 address to be held to, and none told",
	  { .name = "x", .pairs = 1, .mac = { 2 }, .spoof = IOL_NET_SPOOF_IP } },
	{ "an uplink that is none", { .name = "x", .uplink = "net_nonsense0" } },
};
/* clang-format on */

static void ports_that_cannot_be(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct iol_net_port *port = NULL;
	unsigned int i;

	for (i = 0; i < sizeof(bad_ports) / sizeof(bad_ports[0]); i++) {
		int rc = iol_net_port_new(net, &bad_ports[i].spec, &port);

		if (rc >= 0)
			fail_msg("a port with %s was made", bad_ports[i].what);
		assert_null(port);
		assert_true(strlen(iol_error()) > 10);
	}
	nrig_net_down(&net);
}

/* ---- modes ---- */

static void bridge(void **state)
{
	struct iol_net_spec spec = { .mode = IOL_NET_BRIDGE, .poll_us = IOL_NET_POLL_DEFAULT };
	struct iol_net *net = nrig_net_up(&spec);
	struct nrig_port *a = plain(net), *b = plain(net);

	/* No uplink is there, and guests are nobody's neighbours. */
	say(a, BROADCAST, 1);
	say(b, BROADCAST, 2);
	say(a, 2, 1);
	say(a, 7, 1);
	nrig_silent(a);
	nrig_silent(b);
	assert_int_equal(nrig_drops(a, IOL_NET_DROP_NOWHERE), 3);
	assert_int_equal(nrig_drops(b, IOL_NET_DROP_NOWHERE), 1);
	assert_int_equal(nrig_all_drops(a) + nrig_all_drops(b), 4);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_net_down(&net);
}

static void patched(void **state)
{
	struct iol_net_spec spec = { .mode = IOL_NET_PATCH, .poll_us = IOL_NET_POLL_DEFAULT };
	struct iol_net *net = nrig_net_up(&spec);
	struct nrig_port *p[4];
	struct small_frame f;
	unsigned int i;

	for (i = 0; i < 4; i++)
		p[i] = plain(net);
	for (i = 0; i < 4; i++) {
		/* Whoever it is for. */
		f = untagged(i % 2 ? BROADCAST : 9, 1);
		send(p[i], &f);
		gets(p[i ^ 1], &f);
	}
	for (i = 0; i < 4; i++)
		nrig_silent(p[i]);
	assert_int_equal(iol_net_addresses(net, NULL, 0), 0);
	nrig_port_down(&p[3]);
	say(p[2], 9, 1);
	assert_int_equal(nrig_drops(p[2], IOL_NET_DROP_NOWHERE), 1);
	for (i = 0; i < 3; i++)
		nrig_port_down(&p[i]);
	nrig_net_down(&net);
}

/* ---- what is told ---- */

static void statistics(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_port *a = plain(net), *b = plain(net), *c = plain(net);
	struct iol_net_port_stats s;
	struct small_frame f;
	unsigned int i;

	assert_int_equal(nrig_stats(a).in_packets, 0);
	for (i = 0; i < 10; i++) {
		f = small_frame(BROADCAST, 1, UNTAGGED, 60 + i);
		send(a, &f);
		gets(b, &f);
		gets(c, &f);
	}
	f = untagged(1, 2);
	send(b, &f);
	gets(a, &f);
	s = nrig_stats(a);
	assert_int_equal(s.in_packets, 10);
	assert_int_equal(s.in_bytes, 600 + 45);
	assert_int_equal(s.in_multicast, 10);
	assert_int_equal(s.out_packets, 1);
	assert_int_equal(s.out_bytes, 60);
	s = nrig_stats(b);
	assert_int_equal(s.in_packets, 1);
	assert_int_equal(s.in_multicast, 0);
	assert_int_equal(s.out_packets, 10);
	assert_int_equal(s.out_bytes, 645);
	assert_int_equal(s.checksums + s.segmented + s.missed, 0);
	assert_int_equal(nrig_all_drops(a) + nrig_all_drops(b) + nrig_all_drops(c), 0);
	/* They are the port's, not the connection's. */
	nrig_disconnect(b);
	assert_false(iol_net_port_link(b->port));
	nrig_connect(b);
	assert_true(iol_net_port_link(b->port));
	assert_int_equal(nrig_stats(b).out_packets, 10);
	f = untagged(BROADCAST, 1);
	send(a, &f);
	gets(b, &f);
	assert_int_equal(nrig_stats(b).out_packets, 11);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_port_down(&c);
	nrig_net_down(&net);
}

static void reasons_have_names(void **state)
{
	unsigned int i, k;

	for (i = 0; i < IOL_NET_DROP_REASONS; i++) {
		assert_non_null(iol_net_drop_name(i));
		for (k = 0; k < i; k++)
			assert_string_not_equal(iol_net_drop_name(i), iol_net_drop_name(k));
	}
	assert_null(iol_net_drop_name(IOL_NET_DROP_REASONS));
}

/* Queues are shared out among threads, and every thread is told of. */
static void threads_share_queues(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	unsigned int n = nrig_threads(), queues = 0, i, k, on[2] = { 0 };
	struct iol_net_thread_stats s;
	struct nrig_port *p[6];
	uint64_t turns = 0;
	bool all = false;

	for (i = 0; i < 6; i++)
		p[i] = plain(net);
	for (i = 0; i < 6; i++) {
		int thread = iol_net_port_thread(p[i]->port, 0);

		assert_in_range(thread, 0, n - 1);
		on[thread]++;
		assert_int_equal(iol_net_port_thread(p[i]->port, 1), -1);
	}
	for (i = 0; i < n; i++) {
		assert_int_equal(iol_net_thread_stats(net, i, &s), 0);
		assert_int_equal(s.queues, on[i]);
		assert_int_equal(on[i], 6 / n);
		queues += s.queues;
		if (n > 1)
			assert_true(s.cpu >= 0);
	}
	assert_int_equal(queues, 6);
	assert_int_equal(iol_net_thread_stats(net, n, &s), -ENOENT);
	/* Whichever thread a frame is with, it comes to everybody. */
	for (i = 0; i < 6; i++) {
		struct small_frame f = untagged(BROADCAST, 10 + i);

		send(p[i], &f);
		for (k = 0; k < 6; k++)
			if (k != i)
				gets(p[k], &f);
	}
	/* A turn is counted when it is over, which may be after its frames are here. */
	for (k = 0; turns < 6 || !all; k++) {
		assert_true(k < NRIG_WAIT);
		if (k)
			usleep(1000);
		all = true;
		for (turns = 0, i = 0; i < n; i++) {
			assert_int_equal(iol_net_thread_stats(net, i, &s), 0);
			assert_true(s.turns >= s.useful);
			turns += s.useful;
			all &= s.useful > 0;
		}
	}
	nrig_stop(p[0], 1);
	assert_int_equal(iol_net_port_thread(p[0]->port, 0), -1);
	for (i = 0; i < 6; i++)
		nrig_port_down(&p[i]);
	for (i = 0; i < n; i++) {
		assert_int_equal(iol_net_thread_stats(net, i, &s), 0);
		assert_int_equal(s.queues, 0);
	}
	nrig_net_down(&net);
}

/* A burst over many ports: more groups than are collected at once, each port's frames in order. */
static void a_burst_to_many_ports(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_spec spec = { .memory = 16 << 20 };
	struct nrig_port *p[12];
	struct small_frame f[48];
	unsigned int i;

	for (i = 0; i < 12; i++)
		p[i] = nrig_port_up(net, &spec);
	for (i = 0; i < 12; i++)
		say(p[i], 99, i);
	for (i = 0; i < 12; i++) {
		static struct nrig_frame any;

		while (nrig_take(p[i], NRIG_ANY, &any))
			;
	}
	for (i = 0; i < 48; i++) {
		/* A broadcast in between comes behind what was before it. */
		f[i] = untagged(i == 20 ? BROADCAST : 1 + i % 11, 0);
		assert_true(nrig_queue_frame(p[0], 0, NULL, f[i].b, f[i].len, NULL));
	}
	nrig_publish(p[0], 0);
	nrig_flush(p[0]);
	for (i = 0; i < 48; i++) {
		if (i != 20) {
			gets(p[1 + i % 11], &f[i]);
			continue;
		}
		for (unsigned int k = 1; k < 12; k++)
			gets(p[k], &f[i]);
	}
	for (i = 0; i < 12; i++) {
		nrig_silent(p[i]);
		nrig_port_down(&p[i]);
	}
	nrig_net_down(&net);
}

/* A front end that lets its eventfd fill up holds up the others' ports once, and not for long. */
static void an_eventfd_that_fills_up(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_port *a = plain(net), *b = plain(net), *c = plain(net);
	struct small_frame f = untagged(BROADCAST, 1);
	unsigned int round;

	for (round = 0; round < 3; round++) {
		fill_call(b->rx[0].q);
		send(a, &f);
		gets(c, &f);
		gets(b, &f);
	}
	fill_call(b->rx[0].q);
	send(a, &f);
	nrig_port_down(&b);
	gets(c, &f);
	nrig_port_down(&a);
	nrig_port_down(&c);
	nrig_net_down(&net);
}

/* Every way of sleeping: none, at once, and after a while. */
static void polling_and_sleeping(void **state)
{
	static const unsigned int us[] = { 0, 50, IOL_NET_POLL_ALWAYS };
	unsigned int i, k;

	for (i = 0; i < 3; i++) {
		struct iol_net_spec spec = { .poll_us = us[i] };
		struct iol_net *net = nrig_net_up(&spec);
		struct nrig_port *a = plain(net), *b = plain(net);
		uint64_t sleeps = 0;

		for (k = 0; k < 30; k++) {
			struct small_frame f = untagged(BROADCAST, 1);

			send(a, &f);
			gets(b, &f);
			if (k % 10 == 9)
				usleep(20000);
		}
		for (k = 0; k < nrig_threads(); k++) {
			struct iol_net_thread_stats s;

			iol_net_thread_stats(net, k, &s);
			sleeps += s.sleeps;
		}
		assert_true(us[i] == IOL_NET_POLL_ALWAYS ? sleeps == 0 : sleeps > 0);
		nrig_port_down(&a);
		nrig_port_down(&b);
		nrig_net_down(&net);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(learning),
		cmocka_unit_test(an_address_moves),
		cmocka_unit_test(ageing),
		cmocka_unit_test(many_addresses),
		cmocka_unit_test(ports_come_and_go),
		cmocka_unit_test(a_place_is_used_again),
		cmocka_unit_test(names_and_addresses_are_unique),
		cmocka_unit_test(ports_that_cannot_be),
		cmocka_unit_test(bridge),
		cmocka_unit_test(patched),
		cmocka_unit_test(statistics),
		cmocka_unit_test(reasons_have_names),
		cmocka_unit_test(threads_share_queues),
		cmocka_unit_test(a_burst_to_many_ports),
		cmocka_unit_test(an_eventfd_that_fills_up),
		cmocka_unit_test(polling_and_sleeping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
