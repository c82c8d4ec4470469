/* SPDX-License-Identifier: BSD-3-Clause */
#include "serial.h"

#include <linux/serial_reg.h>
#include <string.h>

void serial_init(struct serial *s, const struct serial_ops *ops, void *ctx)
{
	memset(s, 0, sizeof(*s));
	s->ops = ops;
	s->ctx = ctx;
	pthread_mutex_init(&s->lock, NULL);
}

static bool has_data(const struct serial *s)
{
	return s->count || s->broken;
}

/* The interrupt that is due, the most urgent first; UART_IIR_NO_INT for none. */
static uint8_t due(const struct serial *s)
{
	if (s->broken && (s->ier & UART_IER_RLSI))
		return UART_IIR_RLSI;
	if (has_data(s) && (s->ier & UART_IER_RDI))
		return UART_IIR_RDI;
	if (s->sent && (s->ier & UART_IER_THRI))
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

static void update(struct serial *s)
{
	/* OUT2 is what connects a PC's port to its interrupt; a loop does not. */
	bool up = due(s) != UART_IIR_NO_INT && (s->mcr & UART_MCR_OUT2) &&
		  !(s->mcr & UART_MCR_LOOP);

	if (up != s->line_up)
		s->ops->interrupt(s->ctx, up);
	s->line_up = up;
}

static size_t room(const struct serial *s)
{
	unsigned int most = s->fcr & UART_FCR_ENABLE_FIFO ? SERIAL_FIFO : 1;

	return s->count < most ? most - s->count : 0;
}

static void put(struct serial *s, uint8_t byte)
{
	if (room(s))
		s->fifo[(s->first + s->count++) % SERIAL_FIFO] = byte;
}

static uint8_t take(struct serial *s)
{
	uint8_t byte = 0;

	/* A break reads as a zero. */
	if (s->broken) {
		s->broken = false;
		return 0;
	}
	if (s->count) {
		byte = s->fifo[s->first];
		s->first = (s->first + 1) % SERIAL_FIFO;
		if (!--s->count)
			s->ops->drained(s->ctx);
	}
	return byte;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t iir = due(s);

	if (iir == UART_IIR_THRI)
		s->sent = false;
	return iir | (s->fcr & UART_FCR_ENABLE_FIFO ? 0xc0 : 0);
}

static uint8_t read_msr(const struct serial *s)
{
	uint8_t msr = UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;

	if (!(s->mcr & UART_MCR_LOOP))
		return msr;
	msr = 0;
	msr |= s->mcr & UART_MCR_RTS ? UART_MSR_CTS : 0;
	msr |= s->mcr & UART_MCR_DTR ? UART_MSR_DSR : 0;
	msr |= s->mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0;
	msr |= s->mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0;
	return msr;
}

static uint8_t read_register(struct serial *s, unsigned int reg)
{
	bool divisor = s->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_RX:
		return divisor ? s->divisor[0] : take(s);
	case UART_IER:
		return divisor ? s->divisor[1] : s->ier;
	case UART_IIR:
		return read_iir(s);
	case UART_LCR:
		return s->lcr;
	case UART_MCR:
		return s->mcr;
	case UART_LSR:
		return UART_LSR_TEMT | UART_LSR_THRE | (has_data(s) ? UART_LSR_DR : 0) |
		       (s->broken ? UART_LSR_BI : 0);
	case UART_MSR:
		return read_msr(s);
	default:
		return s->scratch;
	}
}

static void transmit(struct serial *s, uint8_t byte)
{
	if (s->mcr & UART_MCR_LOOP)
		put(s, byte);
	else
		s->ops->send(s->ctx, byte);
	s->sent = true;
}

static void write_register(struct serial *s, unsigned int reg, uint8_t value)
{
	bool divisor = s->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_TX:
		if (divisor)
			s->divisor[0] = value;
		else
			transmit(s, value);
		break;
	case UART_IER:
		if (divisor) {
			s->divisor[1] = value;
			break;
		}
		/* Who asks anew to be told of room is told at once. */
		if (value & ~s->ier & UART_IER_THRI)
			s->sent = true;
		s->ier = value & 0x0f;
		break;
	case UART_FCR:
		if (value & UART_FCR_CLEAR_RCVR || (value ^ s->fcr) & UART_FCR_ENABLE_FIFO) {
			s->count = 0;
			s->ops->drained(s->ctx);
		}
		s->fcr = value & UART_FCR_ENABLE_FIFO;
		break;
	case UART_LCR:
		s->lcr = value;
		break;
	case UART_MCR:
		s->mcr = value & 0x1f;
		break;
	case UART_SCR:
		s->scratch = value;
		break;
	default:
		break;
	}
}

uint8_t serial_read(struct serial *s, unsigned int reg)
{
	uint8_t value;

	pthread_mutex_lock(&s->lock);
	value = read_register(s, reg);
	update(s);
	pthread_mutex_unlock(&s->lock);
	return value;
}

void serial_write(struct serial *s, unsigned int reg, uint8_t value)
{
	pthread_mutex_lock(&s->lock);
	write_register(s, reg, value);
	update(s);
	pthread_mutex_unlock(&s->lock);
}

void serial_reset(struct serial *s)
{
	pthread_mutex_lock(&s->lock);
	s->count = 0;
	s->ier = s->fcr = s->lcr = s->mcr = s->scratch = 0;
	s->sent = s->broken = false;
	update(s);
	s->ops->drained(s->ctx);
	pthread_mutex_unlock(&s->lock);
}

size_t serial_room(struct serial *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = room(s);
	pthread_mutex_unlock(&s->lock);
	return n;
}

void serial_receive(struct serial *s, const uint8_t *bytes, size_t len)
{
	pthread_mutex_lock(&s->lock);
	while (len--)
		put(s, *bytes++);
	update(s);
	pthread_mutex_unlock(&s->lock);
}

void serial_break(struct serial *s)
{
	pthread_mutex_lock(&s->lock);
	s->broken = true;
	update(s);
	pthread_mutex_unlock(&s->lock);
}
