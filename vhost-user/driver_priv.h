/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IOL_VHOST_USER_DRIVER_PRIV_H
#define IOL_VHOST_USER_DRIVER_PRIV_H

#include "vhost-user/driver.h"

#include <linux/virtio_ring.h>

/* What the driver remembers of a chain that the device has, by head index or buffer ID. */
struct driver_chain {
	uintptr_t cookie;
	uint32_t in_len;
	uint16_t ndesc; /* slots that it takes; 0 when the device has no such chain */
	uint16_t next;  /* split: of a descriptor, the next of its chain */
};

struct iol_driver_ring {
	struct iol_driver_spec spec;
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *pdesc;
	};
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver_event;
	};
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device_event;
	};
	uint16_t size;
	bool packed, event_idx, indirect, in_order;

	/* Adding. */
	struct driver_chain *chain;
	struct vring_packed_desc *put; /* packed: by buffer ID, what its first slot was given */
	uint16_t *free;     /* a stack of heads or IDs: what was used last is in the cache */
	unsigned int nfree; /* on the stack */
	unsigned int room;  /* packed: free slots */
	uint16_t next;      /* where the next chain is put, published or not */
	bool wrap;          /* packed: wrap counter at next */
	unsigned int added; /* chains (split) or slots (packed) not published yet */
	uint16_t first;     /* packed: where those begin, and the flags that show them */
	uint16_t first_flags;
	unsigned int inflight; /* chains given to the device */

	/* Taking back. */
	uint16_t last_used;
	bool used_wrap;
	uint16_t used_idx; /* split: the device's index as last seen */

	/* IN_ORDER: chains in the order in which they were added. */
	uint16_t *order;
	uint16_t order_first, order_end;
	uint16_t next_desc; /* split: descriptors are taken in ring order */
	bool skipping;      /* the device answered all chains up to skip_to at once */
	uint16_t skip_to;
	uint32_t skip_len;
};

int iol_driver_split_add(struct iol_driver_ring *d, const struct iol_driver_seg *segs,
			 unsigned int n, uintptr_t cookie);
bool iol_driver_split_publish(struct iol_driver_ring *d);
int iol_driver_split_used(struct iol_driver_ring *d, uint16_t *id, uint32_t *len);
bool iol_driver_split_arm(struct iol_driver_ring *d);
void iol_driver_split_disarm(struct iol_driver_ring *d);
int iol_driver_split_recycle(struct iol_driver_ring *d, uintptr_t *cookies, uint32_t *lens,
			     unsigned int max);
void iol_driver_split_free(struct iol_driver_ring *d, uint16_t id);

int iol_driver_packed_add(struct iol_driver_ring *d, const struct iol_driver_seg *segs,
			  unsigned int n, uintptr_t cookie);
bool iol_driver_packed_publish(struct iol_driver_ring *d);
int iol_driver_packed_used(struct iol_driver_ring *d, uint16_t *id, uint32_t *len);
bool iol_driver_packed_arm(struct iol_driver_ring *d);
void iol_driver_packed_disarm(struct iol_driver_ring *d);
int iol_driver_packed_recycle(struct iol_driver_ring *d, uintptr_t *cookies, uint32_t *lens,
			      unsigned int max);
void iol_driver_packed_free(struct iol_driver_ring *d, uint16_t id);

/* Why the device cannot have given back @id, or we not make it available again as it was. */
int iol_driver_refuse(const struct iol_driver_ring *d, uint32_t id);

/* Whether the peer wants to hear of the step from @old to @new, having asked for @event. */
static inline bool driver_need_event(uint16_t event, uint16_t new, uint16_t old)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

/* Where the indirect table of chain @id is, here and for the device. */
static inline struct vring_desc *driver_table(const struct iol_driver_ring *d, uint16_t id,
					      uint64_t *addr)
{
	size_t at = (size_t)id * d->spec.indirect_max;

	*addr = d->spec.tables_addr + at * sizeof(struct vring_desc);
	return (struct vring_desc *)d->spec.tables + at;
}

/* The device has the chain from the next publish on. */
static inline void driver_note(struct iol_driver_ring *d, uint16_t id, unsigned int ndesc,
			       const struct iol_driver_seg *segs, unsigned int n, uintptr_t cookie)
{
	uint32_t in_len = 0;
	unsigned int i;

	if (d->in_order) {
		for (i = 0; i < n; i++)
			in_len += segs[i].write ? segs[i].len : 0;
		d->order[d->order_end] = id;
		d->order_end = d->order_end + 1 == d->size ? 0 : d->order_end + 1;
	}
	d->chain[id].cookie = cookie;
	d->chain[id].in_len = in_len;
	d->chain[id].ndesc = (uint16_t)ndesc;
	d->inflight++;
}

#endif
