/* SPDX-License-Identifier: BSD-3-Clause */
/* mtty, the kernel's sample of a mediated device (samples/vfio-mdev/mtty.c): a serial port whose line ends in itself. */
#include "vfioprobe.h"

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

/* All that there is as yet. Return: bytes. */
static size_t read_stream(int data, char *stream, size_t len)
{
	ssize_t n;

	do {
		n = read(data, stream + len, STREAM_MAX - len);
		need(n >= 0, "the stream can't be read");
		len += (size_t)n;
	} while (n);
	return len;
}

static size_t save(const struct iol_vfio_device *dev, char *stream)
{
	struct iol_migration_left left;
	int data, none;
	size_t len;

	need(!iol_migration_set(dev, IOL_MIGRATION_PRE_COPY, &data) && data >= 0, "no pre-copy");
	need(!iol_migration_left(dev, data, &left), "nobody knows what is left");
	need(left.initial && !left.dirty && left.stopped > left.initial, "left: %llu %llu %llu",
	     (unsigned long long)left.initial, (unsigned long long)left.dirty,
	     (unsigned long long)left.stopped);
	len = read_stream(data, stream, 0);
	need(len == left.initial, "pre-copy brought %zu bytes", len);
	need(!iol_migration_left(dev, data, &left) && !left.initial, "there is more of it");
	/* It still runs. */
	put(dev, UART_SCR, 0xa5);
	need(!iol_migration_set(dev, IOL_MIGRATION_STOP_COPY, &none) && none == -1, "no stop-copy");
	need(iol_migration_left(dev, data, &left) == -EINVAL, "pre-copy does not end");
	need(!iol_migration_left(dev, -1, &left), "nobody knows what is left");
	len = read_stream(data, stream, len);
	need(len == left.stopped, "stop-copy brought %zu bytes, not %llu", len,
	     (unsigned long long)left.stopped);
	need(!iol_migration_set(dev, IOL_MIGRATION_RUNNING, &none), "it does not run again");
	close(data);
	return len;
}

static void need_state(const struct iol_vfio_device *dev, enum iol_migration expected)
{
	enum iol_migration state;

	need(!iol_migration_state(dev, &state) && state == expected, "state %d, not %d", state,
	     expected);
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

/* Half a stream is refused, and the device is of no use before its reset. */
static void broken(struct iol_vfio_device *dev, const char *stream, size_t len)
{
	struct iol_reset_report report;
	int data, none;

	need(!iol_migration_set(dev, IOL_MIGRATION_RESUMING, &data), "no resuming");
	need(write(data, stream, len / 2) == (ssize_t)(len / 2), "the stream can't be written");
	need(iol_migration_set(dev, IOL_MIGRATION_RUNNING, &none) == -EINVAL,
	     "half a stream will do");
	need_state(dev, IOL_MIGRATION_RESUMING);
	need(iol_migration_set(dev, IOL_MIGRATION_ERROR, &none) == -EINVAL, "an error on demand");
	need(!iol_vfio_reset(dev, &report) && report.happened == IOL_UNKNOWN, "no reset");
	need_state(dev, IOL_MIGRATION_RUNNING);
	need(write(data, stream, 1) < 0, "the stream lives on after a reset");
	close(data);
}

/* From the device to another mediated one, whose UUID was told. */
void mtty_migrate(struct probe *p)
{
	struct iol_vfio_device_spec spec = { .mdev = p->word };
	struct iol_vfio_device *to = NULL;
	char stream[STREAM_MAX];
	unsigned int states;
	int data, none;
	size_t len;

	need(!iol_vfio_open(p->ctx, &spec, &to), "no second device");
	need(!iol_migration_info(p->dev, &states) && states == 0xff, "states 0x%x", states);
	need_state(p->dev, IOL_MIGRATION_RUNNING);
	put(p->dev, UART_FCR, FCR_FIFO);
	put(p->dev, UART_LCR, 0x1b);
	put(p->dev, UART_MCR, 3);
	for (const char *c = "iolane"; *c; c++)
		put(p->dev, UART_DATA, (uint8_t)*c);
	put(p->dev, UART_DATA, 0);
	len = save(p->dev, stream);

	need(!iol_migration_set(to, IOL_MIGRATION_RESUMING, &data) && data >= 0, "no resuming");
	need(write(data, stream, len) == (ssize_t)len, "the stream can't be written");
	need(!iol_migration_set(to, IOL_MIGRATION_RUNNING, &none), "it does not run");
	close(data);
	compare(p->dev, to);
	broken(to, stream, len);
	iol_vfio_close(&to);
}
