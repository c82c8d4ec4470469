/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/iotlb.h"

#include "base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MISS_PAGE 4096ull
/* Each queue waits for one miss at a time, so that this is plenty. */
#define MISSES_MAX 512u

/* Both ends included, so that the last byte of the address space is no special case. */
struct entry {
	uint64_t first, last;
	uint64_t uaddr;
	uint8_t perm;
};

struct pending {
	struct iol_iotlb_miss miss;
	bool sent;
};

struct iol_iotlb {
	pthread_rwlock_t lock; /* entries */
	struct entry *entry;   /* sorted, none overlap */
	size_t n, room;
	uint32_t random;

	pthread_mutex_t miss_lock;
	struct pending pending[MISSES_MAX];
	unsigned int npending;
	int wake_fd;
};

int iol_iotlb_new(int wake_fd, struct iol_iotlb **out)
{
	struct iol_iotlb *tlb = calloc(1, sizeof(*tlb));

	if (!tlb)
		return iol_fail(ENOMEM, "no memory for an IOTLB");
	tlb->wake_fd = wake_fd;
	tlb->random = 2463534242u;
	pthread_rwlock_init(&tlb->lock, NULL);
	pthread_mutex_init(&tlb->miss_lock, NULL);
	*out = tlb;
	return 0;
}

void iol_iotlb_destroy(struct iol_iotlb **ptlb)
{
	struct iol_iotlb *tlb = *ptlb;

	*ptlb = NULL;
	if (!tlb)
		return;
	pthread_rwlock_destroy(&tlb->lock);
	pthread_mutex_destroy(&tlb->miss_lock);
	free(tlb->entry);
	free(tlb);
}

/* The first entry that ends at or after @iova. */
static size_t first_at(const struct iol_iotlb *tlb, uint64_t iova)
{
	size_t lo = 0, hi = tlb->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (tlb->entry[mid].last < iova)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void remove_at(struct iol_iotlb *tlb, size_t at, size_t count)
{
	if (!count)
		return;
	memmove(&tlb->entry[at], &tlb->entry[at + count],
		(tlb->n - at - count) * sizeof(tlb->entry[0]));
	tlb->n -= count;
}

static void insert_at(struct iol_iotlb *tlb, size_t at, struct entry e)
{
	memmove(&tlb->entry[at + 1], &tlb->entry[at], (tlb->n - at) * sizeof(tlb->entry[0]));
	tlb->entry[at] = e;
	tlb->n++;
}

/* Room for two entries more: a new one, and the rest of one that it splits. */
static int make_room(struct iol_iotlb *tlb)
{
	if (tlb->n + 2 <= tlb->room)
		return 0;
	if (tlb->room < IOL_IOTLB_MAX) {
		size_t room = tlb->room ? tlb->room * 2 : 64;
		struct entry *entry = realloc(tlb->entry, room * sizeof(*entry));

		if (!entry)
			return iol_fail(ENOMEM, "no memory for %zu IOTLB entries", room);
		tlb->entry = entry;
		tlb->room = room;
		return 0;
	}
	while (tlb->n + 2 > tlb->room) {
		tlb->random ^= tlb->random << 13;
		tlb->random ^= tlb->random >> 17;
		tlb->random ^= tlb->random << 5;
		remove_at(tlb, tlb->random % tlb->n, 1);
	}
	return 0;
}

/* Cut [first, last] out of what is there; entries that stick out keep the rest. */
static void carve(struct iol_iotlb *tlb, uint64_t first, uint64_t last)
{
	size_t i = first_at(tlb, first), to;

	if (i < tlb->n && tlb->entry[i].first < first) {
		struct entry rest = tlb->entry[i];

		tlb->entry[i++].last = first - 1;
		if (rest.last > last) {
			rest.uaddr += last + 1 - rest.first;
			rest.first = last + 1;
			insert_at(tlb, i, rest);
			return;
		}
	}
	for (to = i; to < tlb->n && tlb->entry[to].last <= last; to++)
		;
	remove_at(tlb, i, to - i);
	if (i < tlb->n && tlb->entry[i].first <= last) {
		tlb->entry[i].uaddr += last + 1 - tlb->entry[i].first;
		tlb->entry[i].first = last + 1;
	}
}

/* Misses in [first, last] that were sent: answered, or not what the front end could answer then. */
static void forget_sent(struct iol_iotlb *tlb, uint64_t first, uint64_t last)
{
	unsigned int i, kept = 0;

	pthread_mutex_lock(&tlb->miss_lock);
	for (i = 0; i < tlb->npending; i++) {
		const struct pending *p = &tlb->pending[i];

		if (!p->sent || p->miss.iova > last || p->miss.iova + (MISS_PAGE - 1) < first)
			tlb->pending[kept++] = *p;
	}
	tlb->npending = kept;
	pthread_mutex_unlock(&tlb->miss_lock);
}

int iol_iotlb_update(struct iol_iotlb *tlb, uint64_t iova, uint64_t size, uint64_t uaddr,
		     uint8_t perm)
{
	struct entry e = { .first = iova, .last = iova + (size - 1), .uaddr = uaddr, .perm = perm };
	size_t i;
	int rc;

	if (!size || e.last < iova || uaddr + (size - 1) < uaddr || !perm || perm > IOL_ACCESS_RW)
		return iol_fail(EINVAL,
				"an IOTLB entry for 0x%" PRIx64 " of 0x%" PRIx64
				" bytes at 0x%" PRIx64 " with permissions %u makes no sense",
				iova, size, uaddr, perm);
	pthread_rwlock_wrlock(&tlb->lock);
	rc = make_room(tlb);
	if (!rc) {
		i = first_at(tlb, iova);
		if (i < tlb->n && tlb->entry[i].first == e.first && tlb->entry[i].last == e.last &&
		    tlb->entry[i].uaddr == uaddr) {
			tlb->entry[i].perm |= perm;
		} else {
			carve(tlb, e.first, e.last);
			insert_at(tlb, first_at(tlb, iova), e);
		}
	}
	pthread_rwlock_unlock(&tlb->lock);
	/*
	 * Other queues' misses stay asked for: their answers are on the way. Were they asked again at
	 * every update, each answer would bring forth several more.
	 */
	forget_sent(tlb, iova, e.last);
	return rc;
}

void iol_iotlb_invalidate(struct iol_iotlb *tlb, uint64_t iova, uint64_t size)
{
	uint64_t last = iova + (size - 1);
	size_t from, to;

	if (!size)
		return;
	if (last < iova)
		last = UINT64_MAX;
	pthread_rwlock_wrlock(&tlb->lock);
	from = first_at(tlb, iova);
	for (to = from; to < tlb->n && tlb->entry[to].first <= last; to++)
		;
	remove_at(tlb, from, to - from);
	pthread_rwlock_unlock(&tlb->lock);
	/* The driver has changed its mappings: what the front end could not answer it may know now. */
	forget_sent(tlb, 0, UINT64_MAX);
}

void iol_iotlb_clear(struct iol_iotlb *tlb)
{
	pthread_rwlock_wrlock(&tlb->lock);
	tlb->n = 0;
	pthread_rwlock_unlock(&tlb->lock);
	pthread_mutex_lock(&tlb->miss_lock);
	tlb->npending = 0;
	pthread_mutex_unlock(&tlb->miss_lock);
}

static void queue_miss(struct iol_iotlb *tlb, uint64_t iova, uint8_t perm)
{
	const uint64_t one = 1;
	uint64_t page = iova & ~(MISS_PAGE - 1);
	unsigned int i;

	pthread_mutex_lock(&tlb->miss_lock);
	for (i = 0; i < tlb->npending; i++) {
		const struct iol_iotlb_miss *m = &tlb->pending[i].miss;

		if (m->iova == page && (m->perm & perm) == perm)
			break;
	}
	/* With no room left it is asked for when its queue tries again, after the next answer. */
	if (i < tlb->npending || i == MISSES_MAX) {
		pthread_mutex_unlock(&tlb->miss_lock);
		return;
	}
	tlb->pending[i].miss.iova = page;
	tlb->pending[i].miss.perm = perm;
	tlb->pending[i].sent = false;
	tlb->npending++;
	pthread_mutex_unlock(&tlb->miss_lock);
	/* The only failure, a full eventfd, means that it is readable already. */
	if (tlb->wake_fd >= 0 && write(tlb->wake_fd, &one, sizeof(one)) < 0)
		return;
}

int iol_iotlb_iov(struct iol_iotlb *tlb, const struct iol_mem *mem, uint64_t iova, uint64_t len,
		  uint8_t perm, struct iovec *iov, unsigned int max)
{
	int n = 0;

	if (len && iova + (len - 1) < iova)
		return -EFAULT;
	pthread_rwlock_rdlock(&tlb->lock);
	while (len) {
		size_t i = first_at(tlb, iova);
		const struct entry *e = i < tlb->n ? &tlb->entry[i] : NULL;
		uint64_t room;

		if (!e || e->first > iova || (e->perm & perm) != perm) {
			n = -EAGAIN;
			break;
		}
		room = e->last - iova; /* bytes left after the first */
		room = len - 1 < room ? len : room + 1;
		n = iol_mem_iov_uaddr_add(mem, e->uaddr + (iova - e->first), room, iov,
					  (unsigned int)n, max);
		if (n < 0)
			break;
		iova += room;
		len -= room;
	}
	pthread_rwlock_unlock(&tlb->lock);
	if (n == -EAGAIN)
		queue_miss(tlb, iova, perm);
	return n;
}

int iol_iotlb_take_miss(struct iol_iotlb *tlb, struct iol_iotlb_miss *miss)
{
	unsigned int i;
	int found = 0;

	pthread_mutex_lock(&tlb->miss_lock);
	for (i = 0; i < tlb->npending && !found; i++) {
		if (tlb->pending[i].sent)
			continue;
		tlb->pending[i].sent = true;
		*miss = tlb->pending[i].miss;
		found = 1;
	}
	pthread_mutex_unlock(&tlb->miss_lock);
	return found;
}

void iol_iotlb_untake_miss(struct iol_iotlb *tlb, const struct iol_iotlb_miss *miss)
{
	unsigned int i;

	pthread_mutex_lock(&tlb->miss_lock);
	for (i = 0; i < tlb->npending; i++) {
		struct pending *p = &tlb->pending[i];

		if (p->miss.iova == miss->iova && p->miss.perm == miss->perm)
			p->sent = false;
	}
	pthread_mutex_unlock(&tlb->miss_lock);
}
