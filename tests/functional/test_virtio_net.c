/* SPDX-License-Identifier: BSD-3-Clause */
/* A NIC as a guest's PCI function, at a port of the real switch. */
#include "net_frames.h"
#include "net_rig.h"
#include "virtio_guest.h"

#include "base/clock.h"
#include "vmm-glue/virtio.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MQ     NRIG_BIT(VIRTIO_NET_F_MQ)
#define CTRL   NRIG_BIT(VIRTIO_NET_F_CTRL_VQ)
#define CONFIG 15u

struct nic {
	char dir[64], path[96];
	struct nrig_port *p;
	struct vguest g;
	struct iol_guest_queue *ctrl;
	uint64_t command; /* of the control queue, in guest memory */
};

static struct iol_virtio_spec function(struct nic *n)
{
	return (struct iol_virtio_spec){ .type = VIRTIO_ID_NET,
					 .path = n->path,
					 .cpus = 8,
					 .memory = n->p->mem,
					 .ops = &machine_ops,
					 .vm = &n->g.machine };
}

static void make(struct nic *n, const struct iol_virtio_spec *spec)
{
	if (iol_virtio_new(spec, &n->g.fn) < 0)
		fail_msg("%s", iol_error());
	vguest_probe(&n->g);
}

static struct nic *nic_up(struct iol_net *net, unsigned int pairs, uint64_t features)
{
	struct nic *n = calloc(1, sizeof(*n));
	struct nrig_spec spec = { .port.pairs = pairs, .features = NRIG_BASIC | features };

	assert_non_null(n);
	strcpy(n->dir, "/tmp/iolane-test-XXXXXX");
	assert_non_null(mkdtemp(n->dir));
	snprintf(n->path, sizeof(n->path), "%s/socket", n->dir);
	spec.path = n->path;
	vguest_init(&n->g);
	n->p = nrig_port_up(net, &spec);
	return n;
}

static void nic_down(struct nic **np)
{
	struct nic *n = *np;

	iol_pci_function_destroy(&n->g.fn);
	machine_end(&n->g.machine);
	iol_guest_queue_destroy(&n->ctrl);
	nrig_port_down(&n->p);
	assert_int_equal(rmdir(n->dir), 0);
	free(n);
	*np = NULL;
}

/* As Linux does: a vector for each data queue, none for the control queue, one for the config space. */
static void nic_go(struct nic *n)
{
	unsigned int i, pairs = n->p->spec.port.pairs;
	uint64_t features = n->p->spec.features | NRIG_BIT(VIRTIO_NET_F_MAC);

	assert_true(vguest_negotiate(&n->g, features | CTRL | MQ));
	assert_int_equal(n->g.features & n->p->spec.features, n->p->spec.features);
	vguest_program(&n->g, CONFIG, CONFIG, false);
	for (i = 0; i < pairs; i++) {
		vguest_queue(&n->g, 2 * i, n->p->rx[i].q, (uint16_t)(2 * i));
		vguest_queue(&n->g, 2 * i + 1, n->p->tx[i].q, (uint16_t)(2 * i + 1));
	}
	if (pairs > 1) {
		struct iol_guest_queue_spec spec = { .size = 64,
						     .features = n->g.features,
						     .segs_max = 4 };

		assert_int_equal(iol_guest_queue_new(n->p->mem, &spec, &n->ctrl), 0);
		assert_int_equal(iol_guest_memory_alloc(n->p->mem, 64, 64, &n->command), 0);
		vguest_queue(&n->g, 2 * pairs, n->ctrl, (uint16_t)(2 * pairs));
	}
	vguest_go(&n->g);
	assert_int_equal(vguest_status(&n->g), 15);
}

static void until_connected(struct nic *n, bool connected)
{
	uint64_t end = iol_now() + NRIG_WAIT * IOL_NS_PER_MS;
	struct pollfd pfd = { .fd = iol_pci_function_fd(n->g.fn), .events = POLLIN };

	while (iol_frontend_connected(virtio_of(n->g.fn)->fe) != connected) {
		assert_true(iol_now() < end);
		if (poll(&pfd, 1, 100) > 0)
			assert_int_equal(iol_pci_function_poll(n->g.fn), 0);
	}
}

/* Send @len bytes of a command, wait for the interrupt, and say what the device answered. */
static uint8_t command(struct nic *n, const uint8_t *bytes, uint32_t len)
{
	uint8_t *host = iol_guest_memory_host(n->p->mem, n->command, 64);
	struct iol_driver_seg seg[] = { { .addr = n->command, .len = 2 },
					{ .addr = n->command + 2, .len = len - 2 },
					{ .addr = n->command + 32, .len = 1, .write = true } };
	uint64_t end = iol_now() + NRIG_WAIT * IOL_NS_PER_MS;
	uintptr_t cookie;
	uint32_t written = 0;
	int rc;

	memcpy(host, bytes, len);
	host[32] = 0xee;
	assert_int_equal(iol_driver_add(n->ctrl->driver, seg, 3, 7), 0);
	if (iol_driver_publish(n->ctrl->driver))
		iol_guest_queue_kick(n->ctrl);
	iol_driver_arm(n->ctrl->driver);
	while (!iol_guest_queue_wait(n->ctrl, 1)) {
		assert_true(iol_now() < end);
		vguest_turn(&n->g);
	}
	rc = iol_driver_used(n->ctrl->driver, &cookie, &written);
	assert_int_equal(rc, 1);
	assert_int_equal(cookie, 7);
	assert_int_equal(written, 1);
	return host[32];
}

static uint8_t use_pairs(struct nic *n, uint16_t pairs)
{
	const uint8_t bytes[] = { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
				  (uint8_t)pairs, (uint8_t)(pairs >> 8) };

	return command(n, bytes, sizeof(bytes));
}

/* ---- tests ---- */

static void one_pair(void **state)
{
	static const uint64_t rings[] = { 0, NRIG_BIT(VIRTIO_F_RING_PACKED),
					  NRIG_BIT(VIRTIO_F_IN_ORDER) |
						  NRIG_BIT(VIRTIO_RING_F_EVENT_IDX) };
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_port *b = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
	unsigned int i, k;

	for (i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
		struct nic *n = nic_up(net, 1, rings[i]);
		struct iol_virtio_spec spec = function(n);

		memcpy(spec.mac, "\x02\0\0\0\0\x01", 6);
		make(n, &spec);
		assert_int_equal(iol_pci_config_read(n->g.fn, 2, 2), 0x1041);
		assert_false(vguest_offered(&n->g) & (MQ | CTRL));
		assert_int_equal(vguest_read(&n->g, n->g.device, 4), 0x2);
		assert_int_equal(vguest_read(&n->g, n->g.device + 4, 2), 0x0100);
		assert_int_equal(vguest_read(&n->g, n->g.device + 6, 2), VIRTIO_NET_S_LINK_UP);
		assert_int_equal(vguest_read(&n->g, n->g.device + 8, 2), 1);
		assert_int_equal(vguest_read(&n->g, n->g.device + 10, 2), 1500);
		nic_go(n);
		for (k = 0; k < 100; k++) {
			struct small_frame there = small_frame(2, 1, UNTAGGED, 60 + k);
			struct small_frame back = small_frame(1, 2, UNTAGGED, 60 + k);

			nrig_send(n->p, there.b, there.len);
			nrig_gets(b, there.b, there.len);
			nrig_send(b, back.b, back.len);
			nrig_gets(n->p, back.b, back.len);
		}
		nic_down(&n);
	}
	nrig_port_down(&b);
	nrig_net_down(&net);
}

static void addresses(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nic *n = nic_up(net, 1, 0);
	struct iol_virtio_spec spec = function(n);
	uint64_t mac, other;

	make(n, &spec);
	mac = vguest_read(&n->g, n->g.device, 8) & 0xffffffffffff;
	assert_int_equal(mac & 3, 2);
	iol_pci_function_destroy(&n->g.fn);
	vguest_init(&n->g);
	make(n, &spec);
	other = vguest_read(&n->g, n->g.device, 8) & 0xffffffffffff;
	assert_int_not_equal(mac, other);
	nic_down(&n);
	nrig_net_down(&net);
}

/* A NIC that stands by for a VF: drivers that know what that is take it, and then it is known that they do. */
static void a_standby(void **state)
{
	const uint64_t standby = NRIG_BIT(VIRTIO_NET_F_STANDBY);
	struct iol_net *net = nrig_net_up(NULL);
	struct nic *n = nic_up(net, 1, 0);
	struct iol_virtio_spec spec = function(n);

	spec.standby = true;
	assert_int_equal(iol_virtio_new(&spec, &n->g.fn), -EINVAL);
	assert_non_null(strstr(iol_error(), "address"));
	memcpy(spec.mac, "\x02\0\0\0\0\x01", 6);
	spec.type = VIRTIO_ID_BLOCK;
	assert_int_equal(iol_virtio_new(&spec, &n->g.fn), -EINVAL);
	assert_non_null(strstr(iol_error(), "stand by"));
	spec.type = VIRTIO_ID_NET;
	make(n, &spec);
	assert_true(vguest_offered(&n->g) & standby);
	nic_go(n);
	assert_false(iol_virtio_stands_by(n->g.fn));
	vguest_reset(&n->g);
	n->p->spec.features |= standby;
	assert_false(iol_virtio_stands_by(n->g.fn));
	nic_go(n);
	assert_true(iol_virtio_stands_by(n->g.fn));
	vguest_reset(&n->g);
	assert_false(iol_virtio_stands_by(n->g.fn));
	nic_down(&n);
	nrig_net_down(&net);
}

/* Pairs are used as the driver says, and what it says wrong is answered so. */
static void several_pairs(void **state)
{
	unsigned int packed;

	for (packed = 0; packed < 2; packed++) {
		struct iol_net *net = nrig_net_up(NULL);
		struct nrig_port *b = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
		struct nic *n = nic_up(net, 3, packed ? NRIG_BIT(VIRTIO_F_RING_PACKED) : 0);
		struct iol_virtio_spec spec = function(n);
		static struct nrig_frame f;
		bool seen[3] = { 0 };
		unsigned int i;

		make(n, &spec);
		assert_int_equal(vguest_read(&n->g, n->g.common + VIRTIO_PCI_COMMON_NUMQ, 2), 7);
		assert_int_equal(vguest_read(&n->g, n->g.device + 8, 2), 3);
		nic_go(n);
		/* One, before it said anything. */
		for (i = 0; i < 64; i++) {
			struct small_frame s = small_frame(1, 10 + i, UNTAGGED, 64);

			nrig_send(b, s.b, s.len);
			nrig_wait(n->p, NRIG_ANY, &f);
			assert_int_equal(f.pair, 0);
		}
		assert_int_equal(use_pairs(n, 0), VIRTIO_NET_ERR);
		assert_int_equal(use_pairs(n, 4), VIRTIO_NET_ERR);
		assert_int_equal(command(n, (const uint8_t[]){ 4, 1, 1, 0 }, 4), VIRTIO_NET_ERR);
		assert_int_equal(command(n, (const uint8_t[]){ 1, 0, 1 }, 3), VIRTIO_NET_ERR);
		assert_int_equal(command(n, (const uint8_t[]){ 4, 0, 1, 0, 0 }, 5), VIRTIO_NET_ERR);
		assert_int_equal(use_pairs(n, 3), VIRTIO_NET_OK);
		for (i = 0; i < 256 && !(seen[0] && seen[1] && seen[2]); i++) {
			struct small_frame s = small_frame(1, 10 + i % 200, UNTAGGED, 64);

			nrig_send(b, s.b, s.len);
			nrig_wait(n->p, NRIG_ANY, &f);
			seen[f.pair] = true;
		}
		assert_true(seen[0] && seen[1] && seen[2]);
		for (i = 0; i < 3; i++) {
			struct small_frame s = small_frame(2, 1, UNTAGGED, 64);

			assert_true(nrig_queue_frame(n->p, i, NULL, s.b, s.len, NULL));
			nrig_publish(n->p, i);
			nrig_flush(n->p);
			nrig_gets(b, s.b, s.len);
		}
		/* What it was told, the next back end is told by us. */
		assert_int_equal(use_pairs(n, 1), VIRTIO_NET_OK);
		iol_server_destroy(&n->p->server);
		until_connected(n, false);
		assert_int_equal(use_pairs(n, 2), VIRTIO_NET_OK);
		nrig_serve_at(n->p, n->path);
		until_connected(n, true);
		memset(seen, 0, sizeof(seen));
		for (i = 0; i < 256; i++) {
			struct small_frame s = small_frame(1, 10 + i % 200, UNTAGGED, 64);

			nrig_send(b, s.b, s.len);
			nrig_wait(n->p, NRIG_ANY, &f);
			seen[f.pair] = true;
		}
		assert_true(seen[0] && seen[1] && !seen[2]);
		nic_down(&n);
		nrig_port_down(&b);
		nrig_net_down(&net);
	}
}

static bool written(struct nic *n, uint64_t gpa)
{
	uint64_t bit = 0;

	assert_int_equal(iol_guest_memory_dirty_read(n->p->mem, gpa & ~4095ull, 4096, &bit), 0);
	return bit;
}

/* What answers a command is in nobody's log but is told: the answer, the ring, and where the ring asks for kicks. */
static void answers_count_as_written(void **state)
{
	unsigned int packed;

	for (packed = 0; packed < 2; packed++) {
		struct iol_net *net = nrig_net_up(NULL);
		struct nic *n = nic_up(net, 2, packed ? NRIG_BIT(VIRTIO_F_RING_PACKED) : 0);
		struct iol_virtio_spec spec = function(n);
		uint64_t far, ring;
		unsigned int i;

		make(n, &spec);
		nic_go(n);
		/* The answer, and the ring, on pages of their own. */
		assert_int_equal(iol_guest_memory_alloc(n->p->mem, 4096, 4096, &n->command), 0);
		assert_int_equal(iol_guest_memory_alloc(n->p->mem, 4096, 4096, &far), 0);
		ring = packed ? n->ctrl->setup.desc : n->ctrl->setup.used;
		assert_int_equal(iol_guest_memory_dirty_start(n->p->mem), 0);
		for (i = 0; i < 3; i++) {
			assert_false(written(n, ring) || written(n, n->command));
			assert_int_equal(use_pairs(n, 2), VIRTIO_NET_OK);
			assert_true(written(n, n->command));
			assert_true(written(n, ring));
			if (packed)
				written(n, n->ctrl->setup.used);
			assert_false(written(n, far));
		}
		assert_int_equal(iol_guest_memory_dirty_stop(n->p->mem), 0);
		assert_int_equal(use_pairs(n, 1), VIRTIO_NET_OK);
		nic_down(&n);
		nrig_net_down(&net);
	}
}

/* Frames that were sent while there was no back end leave when there is one. */
static void the_back_end_comes_and_goes(void **state)
{
	unsigned int i, k;

	for (i = 0; i < 2; i++) {
		struct iol_net *net = nrig_net_up(NULL);
		struct nrig_port *b = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
		struct nic *n = nic_up(net, 1, i ? NRIG_BIT(VIRTIO_F_RING_PACKED) : 0);
		struct iol_virtio_spec spec = function(n);

		make(n, &spec);
		nic_go(n);
		for (k = 0; k < 6; k++) {
			struct small_frame there = small_frame(2, 1, UNTAGGED, 100);
			struct small_frame back = small_frame(1, 2, UNTAGGED, 100);

			iol_server_destroy(&n->p->server);
			assert_true(nrig_queue_frame(n->p, 0, NULL, there.b, there.len, NULL));
			nrig_publish(n->p, 0);
			until_connected(n, false);
			nrig_serve_at(n->p, n->path);
			until_connected(n, true);
			nrig_flush(n->p);
			nrig_gets(b, there.b, there.len);
			nrig_send(b, back.b, back.len);
			nrig_gets(n->p, back.b, back.len);
		}
		assert_int_equal(vguest_status(&n->g), 15);
		nic_down(&n);
		nrig_port_down(&b);
		nrig_net_down(&net);
	}
}

/* Without MQ the control queue is the third, and the only command is wrong. */
static void a_driver_without_mq(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nic *n = nic_up(net, 2, 0);
	struct iol_virtio_spec spec = function(n);
	struct iol_guest_queue_spec ring = { .size = 64, .segs_max = 4 };

	make(n, &spec);
	assert_true(vguest_negotiate(&n->g, NRIG_BASIC | CTRL));
	ring.features = n->g.features;
	assert_int_equal(iol_guest_queue_new(n->p->mem, &ring, &n->ctrl), 0);
	assert_int_equal(iol_guest_memory_alloc(n->p->mem, 64, 64, &n->command), 0);
	vguest_queue(&n->g, 0, n->p->rx[0].q, 0);
	vguest_queue(&n->g, 1, n->p->tx[0].q, 1);
	vguest_queue(&n->g, 2, n->ctrl, 2);
	vguest_go(&n->g);
	assert_int_equal(use_pairs(n, 1), VIRTIO_NET_ERR);
	vguest_select(&n->g, 3);
	vguest_write(&n->g, n->g.common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(vguest_read(&n->g, n->g.common + VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	nic_down(&n);
	nrig_net_down(&net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_pair),
		cmocka_unit_test(addresses),
		cmocka_unit_test(a_standby),
		cmocka_unit_test(several_pairs),
		cmocka_unit_test(answers_count_as_written),
		cmocka_unit_test(the_back_end_comes_and_goes),
		cmocka_unit_test(a_driver_without_mq),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
