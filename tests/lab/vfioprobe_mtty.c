/* SPDX-License-Identifier: BSD-3-Clause */
/* mtty, the kernel's sample of a mediated device (samples/vfio-mdev/mtty.c): a serial port whose line ends in itself. */
#include "vfioprobe.h"

#include <iolane/vmm_migration.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define UART_DATA 0u
#define UART_IER  1u
#define UART_FCR  2u
#define UART_LCR  3u
#define UART_MCR  4u
#define UART_SCR  7u
#define REGISTERS 8u

#define IER_EMPTY 2u /* interrupt when there is nothing more to send */
#define FCR_FIFO  1u
#define FCR_CLEAR 2u

#define STREAM_MAX 4096u

/* @early: how many came while the device ran. */
struct stream {
	uint8_t bytes[STREAM_MAX];
	size_t len, early;
};

static void put(const struct iol_vfio_device *dev, unsigned int at, uint8_t value)
{
	need(!iol_vfio_region_write(dev, 0, at, &value, 1), "register %u can't be written", at);
}

static uint8_t get(const struct iol_vfio_device *dev, unsigned int at)
{
	uint8_t value = 0;

	need(!iol_vfio_region_read(dev, 0, at, &value, 1), "register %u can't be read", at);
	return value;
}

/* Interrupts of its driver's making, and memory that no IOMMU is behind. */
void mtty_lines(struct probe *p)
{
	struct iol_dma_region memory = probe_memory(p, PAGE, 0, IOL_DMA_READ);
	int fd;

	need(iol_dma_unmap(p->ctx, memory.iova, memory.len) == 1, "no unmapping");
	need(iol_vfio_cap(p->dev, 0x11, false) == -ENOENT, "MSI-X without capabilities");
	put(p->dev, UART_FCR, FCR_FIFO | FCR_CLEAR);
	probe_vectors(p, IOL_IRQ_INTX, &fd, 1);
	put(p->dev, UART_IER, IER_EMPTY);
	need(probe_signalled(fd, 0), "INTx did not come");
	put(p->dev, UART_IER, IER_EMPTY);
	need(!probe_signalled(fd, 0), "INTx came though it masks itself");
	need(!iol_irq_unmask(p->dev, IOL_IRQ_INTX, 0), "INTx can't be unmasked");
	put(p->dev, UART_IER, IER_EMPTY);
	need(probe_signalled(fd, 0), "INTx did not come after it was unmasked");
	put(p->dev, UART_IER, 0);
	need(!iol_irq_clear(p->dev, IOL_IRQ_INTX), "INTx does not end");
	close(fd);
	probe_vectors(p, IOL_IRQ_MSI, &fd, 1);
	put(p->dev, UART_IER, IER_EMPTY);
	need(probe_signalled(fd, 0), "MSI did not come");
	put(p->dev, UART_IER, 0);
	need(!iol_irq_clear(p->dev, IOL_IRQ_MSI), "MSI does not end");
	close(fd);
}

static void need_state(const struct iol_vfio_device *dev, enum iol_migration expected)
{
	enum iol_migration state;

	need(!iol_migration_state(dev, &state) && state == expected, "state %d, not %d", state,
	     expected);
}

/* All that there is as yet. */
static void read_stream(struct iol_device_state *st, struct stream *s)
{
	ssize_t n;

	do {
		n = iol_device_state_read(st, s->bytes + s->len, STREAM_MAX - s->len);
		need(n >= 0, "the stream can't be read");
		s->len += (size_t)n;
	} while (n);
}

static void save(struct iol_vfio_device *dev, struct stream *s)
{
	const struct iol_device_state_spec spec = { .vfio = dev };
	struct iol_device_state *st = NULL;
	struct iol_migration_left left;
	uint64_t all;

	need(!iol_device_save(&spec, &st), "no pre-copy");
	need_state(dev, IOL_MIGRATION_PRE_COPY);
	need(!iol_device_state_left(st, &left), "nobody knows what is left");
	need(left.initial && !left.dirty && left.stopped > left.initial, "left: %llu %llu %llu",
	     (unsigned long long)left.initial, (unsigned long long)left.dirty,
	     (unsigned long long)left.stopped);
	all = left.stopped;
	read_stream(st, s);
	need(s->len > left.initial && s->len < all, "pre-copy brought %zu bytes", s->len);
	s->early = s->len;
	need(!iol_device_state_left(st, &left) && !left.initial, "there is more of it");
	/* It still runs. */
	put(dev, UART_SCR, 0xa5);
	need(!iol_device_state_stop(st), "no stop-copy");
	need_state(dev, IOL_MIGRATION_STOP_COPY);
	need(!iol_device_state_left(st, &left) && left.stopped == all, "nobody knows what is left");
	read_stream(st, s);
	need(s->len > all && s->len < all + 64, "all is %zu bytes, not %llu", s->len,
	     (unsigned long long)all);
	need(!iol_device_state_end(&st, false), "it does not run again");
	need_state(dev, IOL_MIGRATION_RUNNING);
}

static int load(struct iol_vfio_device *dev, const void *bytes, size_t len)
{
	const struct iol_device_state_spec spec = { .vfio = dev };
	struct iol_device_state *st = NULL;

	need(!iol_device_load(&spec, &st), "no loading");
	need(!iol_device_state_write(st, bytes, len), "the stream can't be written");
	need_state(dev, IOL_MIGRATION_RESUMING);
	return iol_device_state_end(&st, true);
}

static void compare(const struct iol_vfio_device *from, const struct iol_vfio_device *to)
{
	static const char sent[] = "iolane";

	for (unsigned int i = UART_IER; i < REGISTERS; i++)
		need(get(to, i) == get(from, i), "register %u is 0x%x, not 0x%x", i, get(to, i),
		     get(from, i));
	need(get(to, UART_SCR) == 0xa5 && get(to, UART_MCR) == 3, "it is not what was written");
	for (size_t i = 0; i < sizeof(sent); i++)
		need(get(to, UART_DATA) == (uint8_t)sent[i], "byte %zu of the line", i);
}

/* Half a stream is refused: here, and where it only looks whole by the kernel. The device is as good as new then. */
static void broken(struct iol_vfio_device *dev, struct stream *s)
{
	struct iol_reset_report report;
	int none;

	need(load(dev, s->bytes, s->len / 2) == -EBADMSG, "half a stream will do");
	need_state(dev, IOL_MIGRATION_RUNNING);
	memset(s->bytes + s->early, 0, 4);
	need(load(dev, s->bytes, s->early + 4) == -EINVAL, "half a state will do");
	need_state(dev, IOL_MIGRATION_RUNNING);
	need(iol_migration_set(dev, IOL_MIGRATION_ERROR, &none) == -EINVAL, "an error on demand");
	need(!iol_vfio_reset(dev, &report) && report.happened == IOL_UNKNOWN, "no reset");
}

/* From the device to another mediated one, whose UUID was told. */
void mtty_migrate(struct probe *p)
{
	struct iol_vfio_device_spec spec = { .mdev = p->word };
	struct iol_vfio_device *to = NULL;
	struct stream stream = { 0 };
	unsigned int states;

	need(!iol_vfio_open(p->ctx, &spec, &to), "no second device");
	need(!iol_migration_info(p->dev, &states) && states == 0xff, "states 0x%x", states);
	need_state(p->dev, IOL_MIGRATION_RUNNING);
	put(p->dev, UART_FCR, FCR_FIFO);
	put(p->dev, UART_LCR, 0x1b);
	put(p->dev, UART_MCR, 3);
	for (const char *c = "iolane"; *c; c++)
		put(p->dev, UART_DATA, (uint8_t)*c);
	put(p->dev, UART_DATA, 0);
	save(p->dev, &stream);
	need(!load(to, stream.bytes, stream.len), "it can't be loaded");
	compare(p->dev, to);
	broken(to, &stream);
	iol_vfio_close(&to);
}
