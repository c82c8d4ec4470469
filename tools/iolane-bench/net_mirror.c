/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end that does nothing: it gives buffers back. Where the rings are is told by the driver in the same
 * process, so nothing is checked, and no frame is touched: what is left is what every device must do to
 * a ring (virtio 1.3, 2.7 and 2.8).
 */
#include "net.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1u << VRING_PACKED_DESC_F_USED)

/* A queue, the device's side. */
struct half {
	bool packed;
	uint16_t size, next; /* split: next counts on, packed: it is a place */
	bool wrap;
	union {
		struct vring_packed_desc *pdesc;
		const struct vring_avail *avail;
	};
	struct vring_used *used;
};

struct mirror_pair {
	struct half tx, rx;
};

struct net_mirror {
	const struct net_options *o;
	struct mirror_pair *pair;
	pthread_t thread;
	bool stop;
};

static void init_half(struct half *h, const struct net_options *o, const struct iol_guest_queue *q)
{
	*h = (struct half){ .packed = o->packed, .size = q->setup.size, .wrap = true };
	if (h->packed) {
		h->pdesc = q->area[0];
		/* No kicks, please. */
		((struct vring_packed_desc_event *)q->area[2])->flags =
			VRING_PACKED_EVENT_FLAG_DISABLE;
		return;
	}
	h->avail = q->area[1];
	h->used = q->area[2];
	h->used->flags = VRING_USED_F_NO_NOTIFY;
	/* EVENT_IDX: an event that has been. */
	*(uint16_t *)(void *)&h->used->ring[h->size] = UINT16_MAX;
}

/* How many chains wait, up to @max. */
static unsigned int waiting(const struct half *h, unsigned int max)
{
	unsigned int n, at = h->next;
	bool wrap = h->wrap;

	if (!h->packed) {
		n = (uint16_t)(__atomic_load_n(&h->avail->idx, __ATOMIC_ACQUIRE) - h->next);
		return n < max ? n : max;
	}
	for (n = 0; n < max; n++) {
		uint16_t flags = __atomic_load_n(&h->pdesc[at].flags, __ATOMIC_ACQUIRE);

		if ((flags & (AVAIL | USED)) != (wrap ? AVAIL : USED))
			break;
		if (++at == h->size) {
			at = 0;
			wrap = !wrap;
		}
	}
	return n;
}

static void give_back_split(struct half *h, unsigned int n, uint32_t len)
{
	const unsigned int mask = h->size - 1u;
	unsigned int i;

	for (i = 0; i < n; i++, h->next++) {
		struct vring_used_elem *e = &h->used->ring[h->next & mask];

		__atomic_store_n(&e->id,
				 __atomic_load_n(&h->avail->ring[h->next & mask], __ATOMIC_RELAXED),
				 __ATOMIC_RELAXED);
		__atomic_store_n(&e->len, len, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&h->used->idx, h->next, __ATOMIC_RELEASE);
}

/* The ID is in the descriptor already. */
static void give_back_packed(struct half *h, unsigned int n, uint32_t len)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct vring_packed_desc *p = &h->pdesc[h->next];

		__atomic_store_n(&p->len, len, __ATOMIC_RELAXED);
		__atomic_store_n(&p->flags, (uint16_t)(h->wrap ? AVAIL | USED : 0),
				 __ATOMIC_RELEASE);
		if (++h->next == h->size) {
			h->next = 0;
			h->wrap = !h->wrap;
		}
	}
}

static void give_back(struct half *h, unsigned int n, uint32_t len)
{
	if (h->packed)
		give_back_packed(h, n, len);
	else
		give_back_split(h, n, len);
}

static void *serve(void *arg)
{
	struct net_mirror *m = arg;
	uint32_t len = m->o->size + (uint32_t)sizeof(struct virtio_net_hdr_v1);
	unsigned int i, n;

	while (!__atomic_load_n(&m->stop, __ATOMIC_RELAXED)) {
		for (i = 0; i < m->o->queues; i++) {
			struct mirror_pair *p = &m->pair[i];

			n = waiting(&p->tx, m->o->burst);
			if (n)
				n = waiting(&p->rx, n);
			if (!n)
				continue;
			give_back(&p->tx, n, 0);
			give_back(&p->rx, n, len);
		}
	}
	return NULL;
}

static void init_pair(struct net_mirror *m, unsigned int n, struct net_port *tx,
		      struct net_port *rx)
{
	struct net_pair *pair = &rx->pair[n];
	unsigned int i;

	init_half(&m->pair[n].tx, m->o, tx->pair[n].txq);
	init_half(&m->pair[n].rx, m->o, pair->rxq);
	for (i = 0; i < rx->ring; i++)
		net_frame_make(tx->mac, rx->mac, &pair->rx[i]);
}

int net_mirror_start(const struct net_options *o, struct net_port *tx, struct net_port *rx,
		     struct net_mirror **mirror)
{
	struct net_mirror *m = calloc(1, sizeof(*m));
	pthread_attr_t attr;
	unsigned int i;
	int rc;

	if (!m)
		return iol_fail(ENOMEM, "out of memory for the other side of the load");
	m->o = o;
	m->pair = calloc(o->queues, sizeof(*m->pair));
	for (i = 0; m->pair && i < o->queues; i++)
		init_pair(m, i, tx, rx);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(o->backend_cpus), &o->backend_cpus);
	rc = m->pair ? pthread_create(&m->thread, &attr, serve, m) : ENOMEM;
	pthread_attr_destroy(&attr);
	if (rc) {
		free(m->pair);
		free(m);
		return iol_fail(rc, "cannot start a thread for the other side of the load: %s",
				strerror(rc));
	}
	*mirror = m;
	return 0;
}

void net_mirror_stop(struct net_mirror **mirror)
{
	struct net_mirror *m = *mirror;

	if (!m)
		return;
	__atomic_store_n(&m->stop, true, __ATOMIC_RELAXED);
	pthread_join(m->thread, NULL);
	free(m->pair);
	free(m);
	*mirror = NULL;
}
