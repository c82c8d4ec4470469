/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/driver_priv.h"

#include "base/error.h"

#include <errno.h>
#include <iolane/vhost_user.h>
#include <stdlib.h>
#include <string.h>

void iol_driver_areas(uint16_t size, bool packed, size_t bytes[3], size_t align[3])
{
	bytes[0] = sizeof(struct vring_desc) * size;
	bytes[1] = packed ? sizeof(struct vring_packed_desc_event) : 6 + 2 * (size_t)size;
	bytes[2] = packed ? sizeof(struct vring_packed_desc_event) : 6 + 8 * (size_t)size;
	align[0] = 16;
	align[1] = packed ? 4 : 2;
	align[2] = 4;
}

static int check_spec(const struct iol_driver_spec *s)
{
	if (!s->size || s->size > IOL_QUEUE_SIZE_MAX || (!s->packed && s->size & (s->size - 1)))
		return iol_fail(EINVAL, "a driver's %s ring cannot have %u descriptors",
				s->packed ? "packed" : "split", s->size);
	if (s->packed && ((s->base & 0x7fff) >= s->size || (s->base & 0xffff) != s->base >> 16))
		return iol_fail(EINVAL, "a driver's packed ring of %u cannot begin at 0x%x",
				s->size, s->base);
	if (!s->desc || !s->avail || !s->used || (s->indirect && (!s->tables || !s->indirect_max)))
		return iol_fail(EINVAL, "a driver's ring needs its areas, and room for tables if "
					"they are indirect");
	return 0;
}

/* What the ring would hold had it been used up to its base: nothing that looks available or used. */
static void begin(struct iol_driver_ring *d, uint32_t base)
{
	unsigned int i;

	if (!d->packed) {
		d->next = d->last_used = d->used_idx = (uint16_t)base;
		d->avail->idx = d->used->idx = (uint16_t)base;
		return;
	}
	if (!base)
		base = 1u << 15 | 1u << 31;
	d->next = d->last_used = base & 0x7fff;
	d->wrap = d->used_wrap = base >> 15 & 1;
	for (i = 0; i < d->size; i++)
		if ((i < d->next) == d->wrap)
			d->pdesc[i].flags = 1u << VRING_PACKED_DESC_F_AVAIL |
					    1u << VRING_PACKED_DESC_F_USED;
}

int iol_driver_new(const struct iol_driver_spec *spec, struct iol_driver_ring **ring)
{
	struct iol_driver_ring *d;
	size_t bytes[3], align[3];
	unsigned int i;
	int rc = check_spec(spec);

	if (rc)
		return rc;
	d = calloc(1, sizeof(*d));
	if (!d)
		return iol_fail(ENOMEM, "no memory for a driver's ring");
	d->spec = *spec;
	d->size = spec->size;
	d->packed = spec->packed;
	d->event_idx = spec->event_idx;
	d->indirect = spec->indirect;
	d->in_order = spec->in_order;
	d->desc = spec->desc;
	d->avail = spec->avail;
	d->used = spec->used;
	d->chain = calloc(d->size, sizeof(*d->chain));
	d->free = calloc(d->size, sizeof(*d->free));
	d->order = calloc(d->size, sizeof(*d->order));
	d->put = calloc(d->packed ? d->size : 1, sizeof(*d->put));
	if (!d->chain || !d->free || !d->order || !d->put) {
		rc = iol_fail(ENOMEM, "no memory for a driver's ring of %u", d->size);
		iol_driver_destroy(&d);
		return rc;
	}
	/* The first off the stack is 0. In order, a split ring's descriptors are taken one by one. */
	for (i = 0; i < d->size; i++)
		d->free[i] = (uint16_t)(d->size - 1 - i);
	d->nfree = d->room = d->size;
	iol_driver_areas(d->size, d->packed, bytes, align);
	memset(d->desc, 0, bytes[0]);
	memset(d->avail, 0, bytes[1]);
	memset(d->used, 0, bytes[2]);
	begin(d, spec->base);
	*ring = d;
	return 0;
}

void iol_driver_destroy(struct iol_driver_ring **ring)
{
	if (!*ring)
		return;
	free((*ring)->chain);
	free((*ring)->put);
	free((*ring)->free);
	free((*ring)->order);
	free(*ring);
	*ring = NULL;
}

int iol_driver_add(struct iol_driver_ring *d, const struct iol_driver_seg *segs, unsigned int n,
		   uintptr_t cookie)
{
	if (!n ||
	    n > (d->indirect && d->spec.indirect_max > d->size ? d->spec.indirect_max : d->size))
		return -EINVAL;
	return d->packed ? iol_driver_packed_add(d, segs, n, cookie)
			 : iol_driver_split_add(d, segs, n, cookie);
}

bool iol_driver_publish(struct iol_driver_ring *d)
{
	if (!d->added)
		return false;
	return d->packed ? iol_driver_packed_publish(d) : iol_driver_split_publish(d);
}

/* IN_ORDER: the device names the last of a batch; all before it are used as well. */
static int used_in_order(struct iol_driver_ring *d, uint16_t *id, uint32_t *len)
{
	int rc;

	if (!d->skipping) {
		rc = d->packed ? iol_driver_packed_used(d, &d->skip_to, &d->skip_len)
			       : iol_driver_split_used(d, &d->skip_to, &d->skip_len);
		if (rc <= 0)
			return rc;
		d->skipping = true;
	}
	*id = d->order[d->order_first];
	d->order_first = d->order_first + 1 == d->size ? 0 : d->order_first + 1;
	*len = d->chain[*id].in_len;
	if (*id == d->skip_to) {
		*len = d->skip_len;
		d->skipping = false;
	}
	return 1;
}

int iol_driver_used(struct iol_driver_ring *d, uintptr_t *cookie, uint32_t *len)
{
	uint16_t id;
	int rc;

	if (d->in_order)
		rc = used_in_order(d, &id, len);
	else
		rc = d->packed ? iol_driver_packed_used(d, &id, len)
			       : iol_driver_split_used(d, &id, len);
	if (rc <= 0)
		return rc;
	*cookie = d->chain[id].cookie;
	d->inflight--;
	if (d->packed)
		iol_driver_packed_free(d, id);
	else
		iol_driver_split_free(d, id);
	d->chain[id].ndesc = 0;
	return 1;
}

int iol_driver_refuse(const struct iol_driver_ring *d, uint32_t id)
{
	if (id >= d->size || !d->chain[id].ndesc)
		return iol_fail(EPROTO, "the device gave back %s %u, which it does not have",
				d->packed ? "buffer" : "chain", id);
	return -EINVAL;
}

int iol_driver_recycle(struct iol_driver_ring *d, uintptr_t *cookies, uint32_t *lens,
		       unsigned int max)
{
	if (d->in_order)
		return -EINVAL;
	if (max > IOL_DRIVER_BURST_MAX)
		max = IOL_DRIVER_BURST_MAX;
	return d->packed ? iol_driver_packed_recycle(d, cookies, lens, max)
			 : iol_driver_split_recycle(d, cookies, lens, max);
}

bool iol_driver_arm(struct iol_driver_ring *d)
{
	return d->skipping || (d->packed ? iol_driver_packed_arm(d) : iol_driver_split_arm(d));
}

void iol_driver_disarm(struct iol_driver_ring *d)
{
	if (d->packed)
		iol_driver_packed_disarm(d);
	else
		iol_driver_split_disarm(d);
}

unsigned int iol_driver_inflight(const struct iol_driver_ring *d)
{
	return d->inflight;
}

uint32_t iol_driver_base(const struct iol_driver_ring *d)
{
	uint32_t half;

	if (!d->packed)
		return (uint16_t)(d->next - d->added);
	half = d->added ? d->first : d->next;
	/* Chains not published do not count; they began on the lap before if next is behind first. */
	half |= (uint32_t)(d->wrap ^ (d->added && d->next <= d->first)) << 15;
	return half | half << 16;
}
