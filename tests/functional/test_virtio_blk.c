/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk as a guest's PCI function, before the real back end: registers, queues, interrupts. */
#include "virtio_box.h"

#include <endian.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FEATURE(bit) (1ull << (bit))
#define NEEDS_RESET  VIRTIO_CONFIG_S_NEEDS_RESET

static uint64_t reg(struct box *b, unsigned int off, unsigned int len)
{
	return vguest_read(&b->g, b->g.common + off, len);
}

static void set(struct box *b, unsigned int off, unsigned int len, uint64_t value)
{
	vguest_write(&b->g, b->g.common + off, len, value);
}

static uint64_t capacity(struct box *b)
{
	return vguest_read(&b->g, b->g.device, 4) | vguest_read(&b->g, b->g.device + 4, 4) << 32;
}

/* For box_until(). */
static bool wants_reset(struct box *b)
{
	return vguest_status(&b->g) & NEEDS_RESET;
}

static bool has_grown(struct box *b)
{
	return capacity(b) == RIG_DISK * 2 >> 9;
}

static bool pin_is_up(struct box *b)
{
	return iol_pci_config_read(b->g.fn, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT;
}

static bool pin_is_quiet(struct box *b)
{
	vguest_turn(&b->g);
	return !vguest_read(&b->g, b->g.isr, 1);
}

static void is_found_by_a_driver(void **state)
{
	struct rig_spec spec = { .queues = 4 };
	struct box *b = box_up(&spec);
	uint64_t offered = vguest_offered(&b->g);

	assert_int_equal(iol_pci_config_read(b->g.fn, PCI_DEVICE_ID, 2), 0x1042);
	assert_int_equal(iol_pci_config_read(b->g.fn, PCI_CLASS_DEVICE, 2), 0x0100);
	assert_int_equal(iol_pci_config_read(b->g.fn, b->g.msix + PCI_MSIX_FLAGS, 2) & 0x7ff, 4);
	assert_int_equal(reg(b, VIRTIO_PCI_COMMON_NUMQ, 2), 4);
	assert_int_equal(capacity(b), RIG_DISK >> 9);
	assert_int_equal(
		vguest_read(&b->g, b->g.device + offsetof(struct virtio_blk_config, num_queues), 2),
		4);
	assert_true(offered & FEATURE(VIRTIO_F_VERSION_1));
	assert_true(offered & FEATURE(VIRTIO_F_RING_RESET));
	assert_true(offered & FEATURE(VIRTIO_BLK_F_MQ));
	/* What stays between front end and back end, and what is not for this guest. */
	assert_false(offered & FEATURE(VHOST_USER_F_PROTOCOL_FEATURES));
	assert_false(offered & FEATURE(VHOST_F_LOG_ALL));
	assert_false(offered & FEATURE(VIRTIO_F_ACCESS_PLATFORM));
	set(b, VIRTIO_PCI_COMMON_DFSELECT, 4, 2);
	assert_int_equal(reg(b, VIRTIO_PCI_COMMON_DF, 4), 0);
	vguest_select(&b->g, 3);
	assert_int_equal(reg(b, VIRTIO_PCI_COMMON_Q_SIZE, 2), 256);
	assert_int_equal(reg(b, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	vguest_select(&b->g, 4);
	assert_int_equal(reg(b, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	box_down(&b);
}

static void reads_and_writes(void **state)
{
	unsigned int i;

	for (i = 0; i < 4; i++) {
		struct rig_spec spec = { .queues = 4, .threads = 2 };
		struct box *b = box_up(&spec);
		uint64_t features = BOX_ALL;

		if (!(i & 1))
			features &= ~BOX_PACKED;
		if (!(i & 2))
			features &= ~(FEATURE(VIRTIO_RING_F_EVENT_IDX) |
				      FEATURE(VIRTIO_RING_F_INDIRECT_DESC));
		box_go(b, features);
		rig_works(b->r);
		assert_int_equal(vguest_status(&b->g), 15);
		/* And once more, from the start. */
		box_go(b, features ^ BOX_PACKED);
		rig_works(b->r);
		vguest_reset(&b->g);
		assert_int_equal(b->g.machine.num_bells, 0);
		box_down(&b);
	}
}

/* The kick through the function, where the machine has no room for doorbells. */
static void works_without_doorbells(void **state)
{
	struct rig_spec spec = { 0 };
	struct box *b = box_up(&spec);
	struct iol_driver_seg seg = { .addr = b->r->buf_addr, .len = 512, .write = true };
	unsigned int i;
	uint8_t status;

	b->g.machine.no_bells = true;
	box_go(b, BOX_ALL);
	for (i = 0; i < 3; i++) {
		rig_send(b->r, 0, 0, VIRTIO_BLK_T_IN, 0, &seg, 1);
		vguest_write(&b->g, b->g.notify, 2, 0);
		rig_take(b->r, 0, &status, NULL);
		assert_int_equal(status, VIRTIO_BLK_S_OK);
	}
	/* Of no queue, and of no register. */
	vguest_write(&b->g, b->g.notify + 4, 2, 1);
	vguest_write(&b->g, b->g.notify + 0xffc, 4, 1);
	vguest_write(&b->g, b->g.common + 64, 4, 1);
	assert_int_equal(vguest_read(&b->g, b->g.notify, 2), 0);
	box_down(&b);
}

static void negotiates_features(void **state)
{
	struct rig_spec spec = { 0 };
	struct box *b = box_up(&spec);

	assert_false(vguest_negotiate(&b->g, BOX_ALL & ~FEATURE(VIRTIO_F_VERSION_1)));
	assert_true(vguest_negotiate(&b->g, FEATURE(VIRTIO_F_VERSION_1)));
	/* Agreed is agreed. */
	set(b, VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	set(b, VIRTIO_PCI_COMMON_GF, 4, UINT32_MAX);
	assert_int_equal(reg(b, VIRTIO_PCI_COMMON_GF, 4), 0);
	/* What was not offered. */
	vguest_reset(&b->g);
	set(b, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	set(b, VIRTIO_PCI_COMMON_GF, 4, 1 | 1u << (VIRTIO_F_ACCESS_PLATFORM - 32));
	set(b, VIRTIO_PCI_COMMON_STATUS, 1, 3 | VIRTIO_CONFIG_S_FEATURES_OK);
	assert_int_equal(vguest_status(&b->g), 3);
	/* Not even both at once. */
	set(b, VIRTIO_PCI_COMMON_STATUS, 1, 15);
	assert_int_equal(vguest_status(&b->g), 3);
	set(b, VIRTIO_PCI_COMMON_GF, 4, 1);
	set(b, VIRTIO_PCI_COMMON_STATUS, 1, 0xff);
	assert_int_equal(vguest_status(&b->g), 0xff & ~NEEDS_RESET & ~0x30);
	box_down(&b);
}

/* ---- a driver that does it wrong ---- */

static void ready(struct box *b)
{
	assert_true(vguest_negotiate(&b->g, BOX_ALL & ~BOX_PACKED));
	vguest_select(&b->g, 0);
	set(b, VIRTIO_PCI_COMMON_Q_SIZE, 2, 64);
	set(b, VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x1000);
	set(b, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, 0x2000);
	set(b, VIRTIO_PCI_COMMON_Q_USEDLO, 4, 0x3000);
}

static void count(void *ctx, enum iol_log_level level, const char *line)
{
	++*(unsigned int *)ctx;
}

static void queues_must_be_right(void **state)
{
	static const struct {
		unsigned int off, len;
		uint64_t value;
	} wrong[] = {
		{ VIRTIO_PCI_COMMON_Q_SIZE, 2, 63 },
		{ VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x1008 },
		{ VIRTIO_PCI_COMMON_Q_AVAILLO, 4, 0x2001 },
		{ VIRTIO_PCI_COMMON_Q_USEDLO, 4, 0x3002 },
		{ VIRTIO_PCI_COMMON_Q_DESCLO, 4, RIG_HALF },
		{ VIRTIO_PCI_COMMON_Q_DESCLO, 4, RIG_HALF - 512 },
		{ VIRTIO_PCI_COMMON_Q_USEDLO, 4, RIG_HALF - 512 },
		{ VIRTIO_PCI_COMMON_Q_USEDLO, 8, UINT64_MAX & ~7ull },
		{ VIRTIO_PCI_COMMON_Q_AVAILHI, 4, UINT32_MAX },
	};
	struct rig_spec spec = { 0 };
	const unsigned int n = sizeof(wrong) / sizeof(wrong[0]);
	struct box *b = box_up(&spec);
	unsigned int i, said = 0;

	iol_log_set(count, &said, IOL_LOG_WARNING);
	for (i = 0; i < 5 * n; i++) {
		ready(b);
		set(b, wrong[i % n].off, wrong[i % n].len, wrong[i % n].value);
		set(b, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
		assert_int_equal(reg(b, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
		assert_true(vguest_status(&b->g) & NEEDS_RESET);
		assert_int_equal(b->g.machine.num_bells, 0);
	}
	/* A guest must not fill the host's log. */
	assert_in_range(said, 1, 10);
	iol_log_set(NULL, NULL, IOL_LOG_WARNING);
	/* What can't be is not written. */
	ready(b);
	set(b, VIRTIO_PCI_COMMON_Q_SIZE, 2, 0);
	set(b, VIRTIO_PCI_COMMON_Q_SIZE, 2, 512);
	set(b, VIRTIO_PCI_COMMON_Q_SIZE, 1, 32);
	set(b, VIRTIO_PCI_COMMON_Q_SIZE, 4, 32);
	assert_int_equal(reg(b, VIRTIO_PCI_COMMON_Q_SIZE, 2), 64);
	set(b, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	assert_int_equal(reg(b, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	set(b, VIRTIO_PCI_COMMON_MSIX, 2, 2);
	assert_int_equal(reg(b, VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	/* Twice, and changed while it is enabled. */
	set(b, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	set(b, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	set(b, VIRTIO_PCI_COMMON_Q_SIZE, 2, 32);
	set(b, VIRTIO_PCI_COMMON_Q_USEDLO, 4, 0x5000);
	assert_int_equal(reg(b, VIRTIO_PCI_COMMON_Q_SIZE, 2), 64);
	assert_int_equal(reg(b, VIRTIO_PCI_COMMON_Q_USEDLO, 4), 0x3000);
	assert_int_equal(b->g.machine.num_bells, 1);
	vguest_go(&b->g);
	assert_int_equal(vguest_status(&b->g), 15);
	set(b, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	/* Before features are agreed on. */
	vguest_reset(&b->g);
	set(b, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(reg(b, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	set(b, VIRTIO_PCI_COMMON_STATUS, 1, VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(vguest_status(&b->g), 0);
	box_go(b, BOX_ALL);
	rig_works(b->r);
	box_down(&b);
}

/* What the ring holds is the back end's to judge: the device then says that it needs a reset, and works after one. */
static void a_broken_ring_needs_a_reset(void **state)
{
	struct rig_spec spec = { 0 };
	struct box *b = box_up(&spec);
	struct iol_driver_seg seg = { .addr = RIG_HALF, .len = 512 };

	box_go(b, BOX_ALL & ~BOX_PACKED);
	rig_works(b->r);
	vguest_irqs(&b->g, BOX_CONFIG);
	rig_send(b->r, 0, 0, VIRTIO_BLK_T_OUT, 0, &seg, 1);
	box_until(b, wants_reset);
	assert_true(vguest_irqs(&b->g, BOX_CONFIG) > 0);
	box_go(b, BOX_ALL & ~BOX_PACKED);
	rig_works(b->r);
	assert_int_equal(vguest_status(&b->g), 15);
	box_down(&b);
}

/* ---- queue reset, config space, interrupts ---- */

static void one_queue_is_reset(void **state)
{
	unsigned int packed, i;

	for (packed = 0; packed < 2; packed++) {
		struct rig_spec spec = { .queues = 2 };
		struct box *b = box_up(&spec);
		uint64_t features = BOX_ALL;

		box_go(b, packed ? features : features & ~BOX_PACKED);
		for (i = 0; i < 3; i++) {
			rig_works(b->r);
			vguest_select(&b->g, 1);
			set(b, 58, 2, 1);
			assert_int_equal(reg(b, 58, 2), 0);
			assert_int_equal(reg(b, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
			assert_int_equal(b->g.machine.num_bells, 1);
			iol_guest_queue_destroy(&b->r->queue[1]);
			rig_make_queue(b->r, 1, b->g.features);
			vguest_queue(&b->g, 1, b->r->queue[1], 1);
		}
		rig_works(b->r);
		box_down(&b);
	}
}

static void follows_the_disk(void **state)
{
	struct rig_spec spec = { 0 };
	struct box *b = box_up(&spec);
	uint64_t generation = reg(b, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
	uint64_t wce = b->g.device + offsetof(struct virtio_blk_config, wce);

	box_go(b, BOX_ALL);
	assert_int_equal(ftruncate(b->r->image_fd, (off_t)RIG_DISK * 2), 0);
	assert_int_equal(iol_disk_refresh(b->r->disk, NULL), 1);
	box_until(b, has_grown);
	assert_int_equal(reg(b, VIRTIO_PCI_COMMON_CFGGENERATION, 1), generation + 1);
	assert_int_equal(vguest_irqs(&b->g, BOX_CONFIG), 1);
	/* The one byte that is the driver's. */
	assert_int_equal(vguest_read(&b->g, wce, 1), 1);
	vguest_write(&b->g, wce, 1, 0);
	vguest_write(&b->g, wce, 1, 7);
	vguest_write(&b->g, b->g.device, 4, 7);
	assert_int_equal(vguest_read(&b->g, wce, 1), 0);
	assert_int_equal(capacity(b), RIG_DISK * 2 >> 9);
	rig_works(b->r);
	/* This back end keeps it over a reset. */
	vguest_reset(&b->g);
	assert_int_equal(vguest_read(&b->g, wce, 1), 0);
	/* Past its end. */
	assert_int_equal(vguest_read(&b->g, b->g.device + 60, 4), 0);
	assert_int_equal(vguest_read(&b->g, b->g.device + 0xff8, 8), 0);
	box_down(&b);
}

/* Vectors are moved, masked and written anew while requests go on, and each request's interrupt comes. */
static void vectors_change_under_load(void **state)
{
	struct rig_spec spec = { .queues = 2 };
	struct box *b = box_up(&spec);
	struct iol_driver_seg seg = { .addr = b->r->buf_addr, .len = 4096, .write = true };
	unsigned int i, slot;
	uint8_t status;

	box_go(b, BOX_ALL);
	for (i = 0; i < 300; i++) {
		uint16_t vector = i / 3 % 3;
		uint32_t data = 20 + i;

		for (slot = 0; slot < 8; slot++)
			rig_send(b->r, 0, slot, VIRTIO_BLK_T_IN, 0, &seg, 1);
		switch (i % 3) {
		case 0:
			vguest_program(&b->g, vector, data, true);
			vguest_select(&b->g, 0);
			set(b, VIRTIO_PCI_COMMON_Q_MSIX, 2, vector);
			vguest_program(&b->g, vector, data, false);
			break;
		case 1:
			vguest_program(&b->g, vector, data, false);
			break;
		default:
			vguest_use_msix(&b->g, false);
			vguest_program(&b->g, vector, data, false);
			vguest_use_msix(&b->g, true);
			break;
		}
		close(b->r->queue[0]->setup.call);
		b->r->queue[0]->setup.call = dup(vguest_irq(&b->g, data));
		assert_true(b->r->queue[0]->setup.call >= 0);
		for (slot = 0; slot < 8; slot++) {
			rig_take(b->r, 0, &status, NULL);
			assert_int_equal(status, VIRTIO_BLK_S_OK);
		}
	}
	box_down(&b);
}

static void interrupts_by_pin(void **state)
{
	struct rig_spec spec = { 0 };
	struct box *b = box_up(&spec);
	unsigned int i;

	box_go(b, BOX_ALL);
	vguest_use_msix(&b->g, false);
	for (i = 0; i < 3; i++) {
		struct iol_driver_seg seg = { .addr = b->r->buf_addr, .len = 512, .write = true };
		eventfd_t n;

		/* Changing over may have told one for good measure. */
		box_until(b, pin_is_quiet);
		iol_driver_arm(b->r->queue[0]->driver);
		rig_send(b->r, 0, 0, VIRTIO_BLK_T_IN, 0, &seg, 1);
		box_until(b, pin_is_up);
		assert_true(b->g.machine.intx_fd >= 0);
		assert_int_equal(eventfd_read(b->g.machine.intx_fd, &n), 0);
		/* The guest ends the interrupt before it looked why: it comes again. */
		assert_int_equal(eventfd_write(b->g.machine.resample, 1), 0);
		vguest_turn(&b->g);
		assert_int_equal(eventfd_read(b->g.machine.intx_fd, &n), 0);
		assert_int_equal(vguest_read(&b->g, b->g.isr, 1), 1);
		assert_int_equal(vguest_read(&b->g, b->g.isr, 1), 0);
		assert_int_equal(eventfd_write(b->g.machine.resample, 1), 0);
		vguest_turn(&b->g);
		assert_int_equal(eventfd_read(b->g.machine.intx_fd, &n), -1);
		rig_take(b->r, 0, NULL, NULL);
	}
	assert_int_equal(ftruncate(b->r->image_fd, (off_t)RIG_DISK * 2), 0);
	assert_int_equal(iol_disk_refresh(b->r->disk, NULL), 1);
	box_until(b, pin_is_up);
	assert_int_equal(vguest_read(&b->g, b->g.isr, 1), 2);
	/* Switched off, nobody has the pin. */
	iol_pci_config_write(b->g.fn, PCI_COMMAND, 2,
			     PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(b->g.machine.intx_fd, -1);
	box_down(&b);
}

/* The registers by way of the configuration space, and a machine that is reset. */
static void window_and_reset(void **state)
{
	struct rig_spec spec = { 0 };
	struct box *b = box_up(&spec);
	struct iol_pci_function *fn = b->g.fn;
	unsigned int w = b->g.window;

	iol_pci_config_write(fn, w + VIRTIO_PCI_CAP_BAR, 1, 0);
	iol_pci_config_write(fn, w + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_NUMQ);
	iol_pci_config_write(fn, w + VIRTIO_PCI_CAP_LENGTH, 4, 2);
	assert_int_equal(iol_pci_config_read(fn, w + 16, 2), 1);
	iol_pci_config_write(fn, w + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_STATUS);
	iol_pci_config_write(fn, w + VIRTIO_PCI_CAP_LENGTH, 4, 1);
	iol_pci_config_write(fn, w + 16, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	assert_int_equal(vguest_status(&b->g), VIRTIO_CONFIG_S_ACKNOWLEDGE);
	assert_int_equal(iol_pci_config_read(fn, w + 16, 1), VIRTIO_CONFIG_S_ACKNOWLEDGE);
	/* Elsewhere, too long, askew, outside. */
	iol_pci_config_write(fn, w + VIRTIO_PCI_CAP_BAR, 1, 2);
	iol_pci_config_write(fn, w + 16, 4, 0);
	iol_pci_config_write(fn, w + VIRTIO_PCI_CAP_BAR, 1, 0);
	iol_pci_config_write(fn, w + VIRTIO_PCI_CAP_LENGTH, 4, 5);
	iol_pci_config_write(fn, w + 16, 4, 0);
	iol_pci_config_write(fn, w + VIRTIO_PCI_CAP_LENGTH, 4, 4);
	iol_pci_config_write(fn, w + VIRTIO_PCI_CAP_OFFSET, 4, 18);
	iol_pci_config_write(fn, w + 16, 4, 0);
	iol_pci_config_write(fn, w + VIRTIO_PCI_CAP_OFFSET, 4, 0xfffffffc);
	iol_pci_config_write(fn, w + 16, 4, 0);
	assert_int_equal(vguest_status(&b->g), VIRTIO_CONFIG_S_ACKNOWLEDGE);
	box_go(b, BOX_ALL);
	rig_works(b->r);
	assert_int_equal(iol_pci_function_reset(fn), 0);
	assert_int_equal(b->g.machine.num_bells, 0);
	assert_int_equal(vguest_irq(&b->g, 0), -1);
	vguest_probe(&b->g);
	assert_int_equal(vguest_status(&b->g), 0);
	box_go(b, BOX_ALL);
	rig_works(b->r);
	box_down(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_found_by_a_driver),
		cmocka_unit_test(reads_and_writes),
		cmocka_unit_test(works_without_doorbells),
		cmocka_unit_test(negotiates_features),
		cmocka_unit_test(queues_must_be_right),
		cmocka_unit_test(a_broken_ring_needs_a_reset),
		cmocka_unit_test(one_queue_is_reset),
		cmocka_unit_test(follows_the_disk),
		cmocka_unit_test(vectors_change_under_load),
		cmocka_unit_test(interrupts_by_pin),
		cmocka_unit_test(window_and_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
