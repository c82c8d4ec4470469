/* SPDX-License-Identifier: BSD-3-Clause */
/* One description of memory for a guest, a device (edu) and a vhost-user back end. */
#include "vmmprobe.h"

#include "tests/unit/echo.h"
#include "vmm-glue/guest_queue.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PLUG    0x8000000u /* edu has 28 address lines */
#define GRANULE (2u << 20)
#define PAGES   (4 * GRANULE / PAGE)
#define SOCKET  "/tmp/vmmprobe.sock"

struct bits {
	uint64_t word[PAGES / 64];
};

static struct bits written(struct tiny *t, uint64_t gpa, uint64_t size)
{
	struct bits b = { { 0 } };

	need(!iol_guest_memory_dirty_read(t->mem, gpa, size, b.word),
	     "what was written is not told");
	return b;
}

static unsigned int count(const struct bits *b, unsigned int first, unsigned int num)
{
	unsigned int n = 0;

	for (unsigned int i = first; i < first + num; i++)
		n += b->word[i / 64] >> i % 64 & 1;
	return n;
}

/* Only page @index of @num is told. */
static bool just(struct tiny *t, uint64_t gpa, unsigned int num, unsigned int index)
{
	struct bits b = written(t, gpa, num * PAGE);

	return count(&b, 0, num) == 1 && count(&b, index, 1) == 1;
}

static bool nothing(struct tiny *t, uint64_t gpa, unsigned int num)
{
	struct bits b = written(t, gpa, num * PAGE);

	return !count(&b, 0, num);
}

/* What the guest writes is told page by page, once, whatever part is asked for first. */
void glue_dirty(struct tiny *t)
{
	need(!iol_guest_memory_dirty_start(t->mem), "no tracking");
	need(iol_guest_memory_dirty_start(t->mem) == -EBUSY, "started twice");
	need(nothing(t, 1 << 20, 512), "written before it is");
	for (unsigned int at = 250; at < 260; at += 3) {
		tiny_write(t, (1 << 20) + at * PAGE, 1);
		tiny_write(t, (9 << 20) + at * PAGE, 1);
		/* Asking for its neighbours loses nothing. */
		need(nothing(t, (1 << 20) + (at - 1) * PAGE, 1) &&
			     nothing(t, (1 << 20) + (at + 1) * PAGE, 100),
		     "others are told");
		need(just(t, 1 << 20, 512, at) && nothing(t, 1 << 20, 512),
		     "page %u is not told once", at);
		need(just(t, (9 << 20) + PAGE, 512, at - 1), "what was not asked for is lost");
	}
	/* Memory that comes meanwhile counts as written, and is kept track of. */
	need(!iol_guest_memory_add(t->mem, PLUG, 64 * PAGE, -1, 0), "no memory");
	need(iol_guest_memory_region(t->mem, 1)->gpa == PLUG, "it is elsewhere");
	need(!nothing(t, PLUG, 64) && nothing(t, PLUG, 64), "new memory is not told once");
	tiny_write(t, PLUG + 5 * PAGE, 1);
	need(just(t, PLUG, 64, 5), "what is written to new memory is not told");
	need(!iol_guest_memory_remove(t->mem, PLUG), "no removing");
	need(!iol_guest_memory_dirty_stop(t->mem), "tracking does not end");
	need(iol_guest_memory_dirty_read(t->mem, 0, PAGE, &(uint64_t){ 0 }) == -EINVAL,
	     "it goes on");
	/* A second time is as good as the first. */
	need(!iol_guest_memory_dirty_start(t->mem), "no tracking");
	need(nothing(t, 1 << 20, 512), "written before it is");
	tiny_write(t, (1 << 20) + PAGE, 1);
	need(just(t, 1 << 20, 512, 1), "it is not told");
	need(!iol_guest_memory_dirty_stop(t->mem), "tracking does not end");
}

struct backend {
	struct echo *echo;
	struct iol_server *server;
	struct iol_frontend *fe;
	struct iol_guest_queue *queue;
};

static void backend_start(struct backend *b, struct tiny *t)
{
	struct iol_server_spec server = { .path = SOCKET, .fd = -1 };
	struct iol_frontend_spec front = { .path = SOCKET, .fd = -1 };
	uint64_t want = 1ull << 32 | 1ull << 26; /* VIRTIO_F_VERSION_1, VHOST_F_LOG_ALL */
	struct iol_guest_queue_spec queue = { .size = 16, .features = 1ull << 32, .segs_max = 1 };

	b->echo = echo_new(1);
	need(b->echo && !iol_server_new(echo_device(b->echo), &server, &b->server), "no back end");
	need(!iol_frontend_new(&front, &b->fe) && !iol_frontend_negotiate(b->fe, want, 1ull << 32),
	     "no front end");
	need(!iol_guest_memory_attach(t->mem, &iol_frontend_memory, b->fe), "no memory for it");
	need(!iol_guest_queue_new(t->mem, &queue, &b->queue), "no queue");
	need(!iol_frontend_queue_start(b->fe, 0, &b->queue->setup), "no queue");
}

/* It fills a page. */
static void backend_writes(struct backend *b, uint64_t gpa)
{
	struct iol_driver_seg seg = { .addr = gpa, .len = PAGE, .write = true };
	uintptr_t cookie;
	uint32_t len;

	need(!iol_driver_add(b->queue->driver, &seg, 1, 1), "no chain");
	iol_driver_publish(b->queue->driver);
	iol_guest_queue_kick(b->queue);
	while (iol_driver_used(b->queue->driver, &cookie, &len) != 1) {
		if (!iol_driver_arm(b->queue->driver))
			need(iol_guest_queue_wait(b->queue, COMES_MS), "it does not answer");
	}
	need(len == PAGE, "it wrote %u bytes", len);
}

static void backend_end(struct backend *b, struct tiny *t)
{
	need(!iol_frontend_queue_stop(b->fe, 0, NULL), "no stopping");
	iol_guest_memory_detach(t->mem, b->fe);
	need(iol_frontend_connected(b->fe), "letting go of memory ended the connection");
	iol_frontend_destroy(&b->fe);
	iol_guest_queue_destroy(&b->queue);
	iol_server_destroy(&b->server);
	echo_destroy(b->echo);
}

/* Guest and back end: joined, and each exact. */
void glue_joined(struct tiny *t)
{
	struct backend b;

	backend_start(&b, t);
	need(!iol_guest_memory_add(t->mem, PLUG, 64 * PAGE, -1, 0), "no memory");
	backend_writes(&b, PLUG + PAGE);
	need(edu_filled(iol_guest_memory_host(t->mem, PLUG + PAGE, PAGE), 0x42),
	     "it wrote elsewhere");
	need(!iol_guest_memory_dirty_start(t->mem), "no tracking");
	need(nothing(t, PLUG, 64), "written before it is");
	backend_writes(&b, PLUG + 9 * PAGE);
	tiny_write(t, PLUG + 33 * PAGE, 1);
	need(just(t, PLUG, 20, 9) && just(t, PLUG + 20 * PAGE, 44, 13), "they are not joined");
	/* The log grows over memory that comes; what is in it stays. */
	backend_writes(&b, PLUG + 9 * PAGE);
	need(!iol_guest_memory_add(t->mem, 2 * PLUG, 64 * PAGE, -1, 0), "no memory");
	need(!nothing(t, 2 * PLUG, 64), "new memory is not told");
	backend_writes(&b, 2 * PLUG + 7 * PAGE);
	need(just(t, 2 * PLUG, 64, 7), "what is written to new memory is not told");
	need(just(t, PLUG, 64, 9), "what was written before is lost");
	need(!iol_guest_memory_dirty_stop(t->mem), "tracking does not end");
	need(!iol_guest_memory_remove(t->mem, 2 * PLUG) && !iol_guest_memory_remove(t->mem, PLUG),
	     "no removing");
	backend_end(&b, t);
}

/* Where a device writes: memory that comes and goes, as a whole and in parts. */
static void comes_and_goes(struct tiny *t, volatile uint32_t *bar)
{
	struct iol_context_info info;
	uint8_t *host;
	int fd = memfd_create("plug", MFD_CLOEXEC);

	need(fd >= 0 && !ftruncate(fd, 4 * GRANULE), "no memory");
	host = mmap(NULL, 4 * GRANULE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	need(host != MAP_FAILED, "no memory");
	need(!iol_guest_memory_add(t->mem, PLUG, GRANULE, fd, 0), "no memory");
	edu_copy(bar, EDU_BUFFER, PLUG + PAGE, EDU_TO_MEMORY);
	need(edu_filled(host + PAGE, 0x5a), "memory that came is not the device's");
	need(iol_guest_memory_discard(t->mem, PLUG, PAGE) == -EBUSY, "pinned memory is given back");
	need(!iol_guest_memory_remove(t->mem, PLUG), "no removing");
	edu_copy(bar, EDU_BUFFER, PLUG + 2 * PAGE, EDU_TO_MEMORY);
	need(edu_filled(host + 2 * PAGE, 0), "memory that went is the device's");

	need(!iol_guest_memory_add_discardable(t->mem, PLUG, 4 * GRANULE, fd, 0, GRANULE),
	     "no memory");
	edu_copy(bar, EDU_BUFFER, PLUG + 3 * PAGE, EDU_TO_MEMORY);
	need(edu_filled(host + 3 * PAGE, 0), "a device reaches what is not in use");
	need(!iol_guest_memory_populate(t->mem, PLUG, 3 * GRANULE), "not to be used");
	edu_copy(bar, EDU_BUFFER, PLUG + GRANULE + PAGE, EDU_TO_MEMORY);
	need(edu_filled(host + GRANULE + PAGE, 0x5a), "a device does not reach what is in use");
	need(iol_guest_memory_discard(t->mem, PLUG, PAGE) == -EINVAL, "less than a granule");
	need(!iol_guest_memory_discard(t->mem, PLUG + GRANULE, GRANULE), "not to be given back");
	need(edu_filled(host + GRANULE + PAGE, 0), "what was given back is still there");
	edu_copy(bar, EDU_BUFFER, PLUG + GRANULE + PAGE, EDU_TO_MEMORY);
	need(edu_filled(host + GRANULE + PAGE, 0), "a device writes to what was given back");
	edu_copy(bar, EDU_BUFFER, PLUG + 2 * GRANULE, EDU_TO_MEMORY);
	need(edu_filled(host + 2 * GRANULE, 0x5a), "it does not reach the next any more");
	need(!iol_context_info(t->ctx, &info), "no facts");
	need(info.entries == 3, "%zu entries for three pieces", info.entries);
	munmap(host, 4 * GRANULE);
	close(fd);
}

/* The device, of which nobody knows what it writes, may have written all that it reaches; the guest wrote one page more. */
static void joined(struct tiny *t)
{
	struct bits b;

	need(!iol_guest_memory_dirty_start(t->mem), "no tracking");
	tiny_write(t, PLUG + GRANULE + 7 * PAGE, 1);
	b = written(t, PLUG, 4 * GRANULE);
	need(count(&b, 0, 512) == 512 && count(&b, 1024, 512) == 512,
	     "what it reaches is not told");
	need(count(&b, 512, 512) == 1 && count(&b, 512 + 7, 1) && !count(&b, 1536, 512),
	     "what it does not reach is told, or the guest's page is not");
	need(!iol_guest_memory_dirty_stop(t->mem), "tracking does not end");
}

void glue_device(struct tiny *t)
{
	struct probe p = { .ctx = t->ctx, .dev = t->dev };
	volatile uint32_t *bar = edu_registers(&p);
	uint8_t *source = iol_guest_memory_host(t->mem, 1 << 20, PAGE);
	const struct iol_vm_ops *ops = &iol_kvm_vm_ops;
	struct iol_context_info info;

	probe_start(&p);
	need(!ops->vfio_add(t->kvm, t->vfio_fd), "KVM can't be told");
	need(!iol_guest_memory_attach(t->mem, &iol_context_memory, t->ctx), "no memory for it");
	memset(source, 0x5a, PAGE);
	edu_copy(bar, 1 << 20, EDU_BUFFER, 0);
	comes_and_goes(t, bar);
	joined(t);
	need(!iol_guest_memory_remove(t->mem, PLUG), "no removing");
	iol_guest_memory_detach(t->mem, t->ctx);
	need(!iol_context_info(t->ctx, &info) && !info.entries, "it is not detached");
	ops->vfio_remove(t->kvm, t->vfio_fd);
	munmap((void *)bar, 1u << 20);
}
