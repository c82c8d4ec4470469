/* SPDX-License-Identifier: BSD-3-Clause */
/* edu, QEMU's device to learn on (docs/specs/edu.rst): it copies between memory and a buffer of its own, and interrupts. */
#include "vfioprobe.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EDU_ID         0x00u
#define EDU_IRQ_STATUS 0x24u
#define EDU_IRQ_RAISE  0x60u
#define EDU_IRQ_ACK    0x64u
#define EDU_DMA_FROM   0x80u
#define EDU_DMA_TO     0x88u
#define EDU_DMA_COUNT  0x90u
#define EDU_DMA_CMD    0x98u
#define EDU_LIMIT      0x0fffffffu /* it has 28 address lines */
#define CMD_START      1u

volatile uint32_t *edu_registers(const struct probe *p)
{
	void *bar;

	need(!iol_vfio_region_map(p->dev, 0, 0, 1u << 20, &bar), "BAR 0 can't be mapped");
	need(*(volatile uint32_t *)bar >> 24 == 1, "this is no edu");
	return bar;
}

static void write64(volatile uint32_t *bar, uint32_t at, uint64_t value)
{
	*(volatile uint64_t *)(void *)((volatile char *)bar + at) = value;
}

void edu_copy(volatile uint32_t *bar, uint64_t from, uint64_t to, uint64_t cmd)
{
	write64(bar, EDU_DMA_FROM, from);
	write64(bar, EDU_DMA_TO, to);
	write64(bar, EDU_DMA_COUNT, PAGE);
	write64(bar, EDU_DMA_CMD, cmd | CMD_START);
	need(probe_becomes(&bar[EDU_DMA_CMD / 4], CMD_START, 0), "edu's DMA does not end");
}

bool edu_filled(const void *memory, int byte)
{
	const unsigned char *m = memory;

	for (size_t i = 0; i < PAGE; i++)
		if (m[i] != byte)
			return false;
	return true;
}

void edu_dma(struct probe *p)
{
	volatile uint32_t *bar = edu_registers(p);
	struct iol_dma_region from = probe_memory(p, PAGE, EDU_LIMIT, IOL_DMA_READ);
	struct iol_dma_region to =
		probe_memory(p, 4u << 20, EDU_LIMIT, IOL_DMA_READ | IOL_DMA_WRITE);
	char *target = (char *)to.addr + (3u << 20);

	need(to.iova + to.len - 1 <= EDU_LIMIT, "IOVA 0x%llx is beyond edu's reach",
	     (unsigned long long)to.iova);
	need((to.iova & 0x1fffff) == ((uintptr_t)to.addr & 0x1fffff), "no huge page fits");
	need(!mprotect(from.addr, PAGE, PROT_READ | PROT_WRITE), "no memory");
	for (uint32_t i = 0; i < PAGE; i++)
		((unsigned char *)from.addr)[i] = (unsigned char)(i * 7 + i / 256);
	edu_copy(bar, from.iova, EDU_BUFFER, 0);
	edu_copy(bar, EDU_BUFFER, to.iova + (3u << 20), EDU_TO_MEMORY);
	need(!memcmp(from.addr, target, PAGE), "DMA brought other bytes");
	need(edu_filled(to.addr, 0), "DMA came where it should not");
	need(iol_dma_unmap(p->ctx, from.iova, from.len) == 1, "no unmapping");
	need(iol_dma_unmap(p->ctx, to.iova, to.len) == 1, "no unmapping");
	munmap((void *)bar, 1u << 20);
}

void edu_faults(struct probe *p)
{
	volatile uint32_t *bar = edu_registers(p);
	void *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iol_dma_region region = {
		.addr = memory,
		.len = PAGE,
		.iova = 0x8000000,
		.access = IOL_DMA_READ,
	};

	need(memory != MAP_FAILED, "no memory");
	memset(memory, 0x5a, PAGE);
	need(iol_dma_map(p->ctx, &region, 1) == 1, "no mapping");
	edu_copy(bar, EDU_BUFFER, region.iova, EDU_TO_MEMORY);
	need(edu_filled(memory, 0x5a), "a device wrote into memory that it may only read");
	need(iol_dma_unmap(p->ctx, region.iova, PAGE) == 1, "no unmapping");

	/* It was writable, and is not mapped any more. */
	region.iova = 0x9000000;
	region.access = IOL_DMA_READ | IOL_DMA_WRITE;
	need(iol_dma_map(p->ctx, &region, 1) == 1, "no mapping");
	need(iol_dma_unmap(p->ctx, region.iova, PAGE) == 1, "no unmapping");
	edu_copy(bar, EDU_BUFFER, region.iova, EDU_TO_MEMORY);
	need(edu_filled(memory, 0x5a), "a device wrote into memory that was unmapped");
	munmap(memory, PAGE);
	munmap((void *)bar, 1u << 20);
}

/* Where the caller says; whether it came there is seen from outside. */
void edu_stray(struct probe *p)
{
	volatile uint32_t *bar = edu_registers(p);
	unsigned long long to;

	need(p->word && sscanf(p->word, "%llx", &to) == 1, "stray:ADDRESS");
	edu_copy(bar, EDU_BUFFER, to, EDU_TO_MEMORY);
	munmap((void *)bar, 1u << 20);
}

void edu_msi(struct probe *p)
{
	volatile uint32_t *bar = edu_registers(p);
	struct iol_irq_info info;
	int fd;

	need(!iol_irq_info(p->dev, IOL_IRQ_MSI, &info) && info.count == 1, "no MSI");
	probe_vectors(p, IOL_IRQ_MSI, &fd, 1);
	need(iol_irq_set(p->dev, IOL_IRQ_INTX, 0, &fd, 1) == -16, "INTx and MSI at a time");
	bar[EDU_IRQ_RAISE / 4] = 1;
	need(probe_signalled(fd, COMES_MS), "MSI did not come");
	bar[EDU_IRQ_ACK / 4] = 1;

	need(!iol_irq_mask(p->dev, IOL_IRQ_MSI, 0), "MSI can't be masked");
	bar[EDU_IRQ_RAISE / 4] = 1;
	need(!probe_signalled(fd, STAYS_MS), "MSI came though masked");
	bar[EDU_IRQ_ACK / 4] = 1;
	/* It was kept. */
	need(!iol_irq_unmask(p->dev, IOL_IRQ_MSI, 0), "MSI can't be unmasked");
	need(probe_signalled(fd, 0), "MSI was lost while it was masked");
	bar[EDU_IRQ_RAISE / 4] = 1;
	need(probe_signalled(fd, COMES_MS), "MSI did not come after it was unmasked");
	bar[EDU_IRQ_ACK / 4] = 1;

	need(!iol_irq_clear(p->dev, IOL_IRQ_MSI), "MSI does not end");
	bar[EDU_IRQ_RAISE / 4] = 1;
	need(!probe_signalled(fd, STAYS_MS), "MSI came after its end");
	bar[EDU_IRQ_ACK / 4] = 1;
	close(fd);
	munmap((void *)bar, 1u << 20);
}

void edu_intx(struct probe *p)
{
	volatile uint32_t *bar = edu_registers(p);
	int fd, resample = probe_eventfd();
	struct iol_irq_info info;

	need(!iol_irq_info(p->dev, IOL_IRQ_INTX, &info) && info.count == 1, "no INTx");
	need(info.maskable && info.automasked, "INTx is not masked by the kernel");
	probe_vectors(p, IOL_IRQ_INTX, &fd, 1);
	bar[EDU_IRQ_RAISE / 4] = 1;
	need(probe_signalled(fd, COMES_MS), "INTx did not come");
	need(!probe_signalled(fd, STAYS_MS), "INTx came twice, though it masks itself");

	/* Its line is still up: it comes again as soon as it is unmasked, here by the eventfd. */
	need(!iol_irq_resample(p->dev, resample), "no resampling");
	need(!eventfd_write(resample, 1), "no eventfd");
	need(probe_signalled(fd, COMES_MS), "INTx was not resampled");

	/* Answered first, it does not. */
	bar[EDU_IRQ_ACK / 4] = 1;
	need(!eventfd_write(resample, 1), "no eventfd");
	need(!probe_signalled(fd, STAYS_MS), "INTx came though it was answered");
	need(!iol_irq_resample(p->dev, -1), "resampling does not end");

	need(!iol_irq_mask(p->dev, IOL_IRQ_INTX, 0), "INTx can't be masked");
	bar[EDU_IRQ_RAISE / 4] = 1;
	need(!probe_signalled(fd, STAYS_MS), "INTx came though masked");
	need(!iol_irq_unmask(p->dev, IOL_IRQ_INTX, 0), "INTx can't be unmasked");
	need(probe_signalled(fd, COMES_MS), "INTx did not come after it was unmasked");
	bar[EDU_IRQ_ACK / 4] = 1;
	need(!iol_irq_clear(p->dev, IOL_IRQ_INTX), "INTx does not end");
	close(fd);
	close(resample);
	munmap((void *)bar, 1u << 20);
}

void edu_cycles(struct probe *p)
{
	struct iol_context_info before, after;
	unsigned int fds = probe_fds();
	void *memory =
		mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need(memory != MAP_FAILED && !iol_context_info(p->ctx, &before), "no facts");
	for (int i = 0; i < 10000; i++) {
		struct iol_dma_region region = {
			.addr = (char *)memory + i % 16 * PAGE,
			.len = PAGE,
			.iova = IOL_IOVA_ANY,
			.access = IOL_DMA_READ | IOL_DMA_WRITE,
		};

		need(iol_dma_map(p->ctx, &region, 1) == 1, "cycle %d", i);
		need(iol_dma_unmap(p->ctx, region.iova, region.len) == 1, "cycle %d", i);
	}
	need(!iol_context_info(p->ctx, &after), "no facts");
	need(before.entries_left == after.entries_left && before.entries == after.entries,
	     "entries are left over: %u, then %u", before.entries_left, after.entries_left);
	need(probe_fds() == fds, "%u descriptors, not %u", probe_fds(), fds);
	munmap(memory, 16 * PAGE);
}

/* The kernel's count of entries is ours, and neighbours are one. */
void edu_entries(struct probe *p)
{
	enum { PIECES = 64 };
	struct iol_dma_region regions[PIECES];
	struct iol_context_info before, during, after;
	int fd = memfd_create("pieces", MFD_CLOEXEC);

	need(fd >= 0 && !ftruncate(fd, PIECES * (off_t)PAGE), "no memory");
	/* Last first: they are put in order. */
	for (int i = 0; i < PIECES; i++)
		regions[PIECES - 1 - i] = (struct iol_dma_region){
			.fd = fd,
			.offset = i * (uint64_t)PAGE,
			.len = PAGE,
			.iova = 0x4000000 + i * (uint64_t)PAGE,
			.access = IOL_DMA_READ | IOL_DMA_WRITE,
		};
	/* And a hole, for two entries. */
	for (int i = 0; i < PIECES / 2; i++)
		regions[i].iova += PAGE;
	need(!iol_context_info(p->ctx, &before), "no facts");
	need(iol_dma_map(p->ctx, regions, PIECES) == 2, "not two entries");
	need(!iol_context_info(p->ctx, &during), "no facts");
	need(during.entries == before.entries + 2, "not two entries");
	need(before.entries_left == UINT32_MAX || during.entries_left == before.entries_left - 2,
	     "the kernel counts other entries: %u, then %u", before.entries_left,
	     during.entries_left);
	need(iol_dma_map(p->ctx, &regions[5], 1) == -17, "mapped twice");
	need(iol_dma_unmap(p->ctx, regions[5].iova, PAGE) == -22, "an entry was cut");
	need(iol_dma_unmap(p->ctx, 0x4000000, (PIECES + 1) * (uint64_t)PAGE) == 2,
	     "not two entries");
	need(!iol_context_info(p->ctx, &after), "no facts");
	need(after.entries_left == before.entries_left, "entries are left over");
	close(fd);
}

/* A BAR as memory of other devices: type1 can, iommufd says that it can't, and leaves nothing behind. */
void edu_peer(struct probe *p)
{
	struct iol_dma_region region = { .len = 1u << 20,
					 .iova = 0x6000000,
					 .access = IOL_DMA_READ | IOL_DMA_WRITE };
	volatile uint32_t *bar = edu_registers(p);
	struct iol_context_info info;

	need(!iol_context_info(p->ctx, &info), "no facts");
	region.addr = (void *)bar;
	if (info.kind == IOL_CONTEXT_TYPE1) {
		need(iol_dma_map(p->ctx, &region, 1) == 1, "a BAR can't be mapped");
		need(iol_dma_unmap(p->ctx, region.iova, region.len) == 1, "no unmapping");
	} else {
		need(iol_dma_map(p->ctx, &region, 1) == -14, "a BAR is mapped by iommufd");
	}
	munmap((void *)bar, 1u << 20);
}

/* Two of them share a bus and a group: whoever has one has both, and they are reset together. */
void edu_bus(struct probe *p)
{
	volatile uint32_t *bar = edu_registers(p);
	struct iol_reset_peer *peers;

	need(iol_vfio_reset(p->dev, NULL) == -ENOTTY, "a reset of its own");
	need(iol_hot_reset_peers(p->dev, &peers) == 2, "they are not two");
	need(peers[0].ours && peers[1].ours, "they are not ours");
	free(peers);
	need(!iol_vfio_hot_reset(p->dev), "no reset of the bus");
	probe_start(p);
	need(*bar >> 24 == 1, "it did not come back");
	munmap((void *)bar, 1u << 20);
}

/* A file of the device's folder power in sysfs: what is in it, or goes into it. */
static void power(const struct probe *p, const char *name, const char *flags, char text[16])
{
	char path[96], addr[IOL_PCI_ADDR_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/power/%s",
		 iol_pci_addr_format(&p->spec.addr, addr), name);
	file = fopen(path, flags);
	need(file, "no %s", path);
	if (flags[0] == 'r')
		need(fgets(text, 16, file), "nothing in %s", path);
	else
		need(fputs(text, file) >= 0, "%s takes no %s", path, text);
	need(!fclose(file), "%s does not take %s", path, text);
}

/* Asleep by the kernel's word, until the host wakes it: that is told. */
static void woken(struct probe *p)
{
	char status[16] = "";
	int fd = probe_eventfd();

	/* A kernel without power management says yes, and does nothing. */
	if (access("/sys/power", F_OK)) {
		printf("sleep: the kernel has no power management\n");
		close(fd);
		return;
	}
	need(!iol_vfio_low_power(p->dev, fd), "it does not sleep");
	for (int ms = 0; ms < COMES_MS && strcmp(status, "suspended\n") != 0; ms += 10) {
		power(p, "runtime_status", "r", status);
		usleep(10000);
	}
	printf("sleep: %s", status);
	need(!probe_signalled(fd, 0), "it wakes at once");
	power(p, "control", "w", (char[16]){ "on" });
	need(probe_signalled(fd, COMES_MS), "nobody told that it was woken");
	power(p, "control", "w", (char[16]){ "auto" });
	need(!iol_vfio_wake(p->dev), "it does not wake");
	close(fd);
}

/* Asleep, and awake again with its registers. */
void edu_sleep(struct probe *p)
{
	volatile uint32_t *bar = edu_registers(p);

	if (!iol_vfio_has(p->dev, 3)) {
		printf("sleep: the kernel has no such feature\n");
		return;
	}
	bar[1] = 0x12345678;
	need(!iol_vfio_low_power(p->dev, -1), "it does not sleep");
	need(!iol_vfio_wake(p->dev), "it does not wake");
	need(bar[1] == ~0x12345678u, "it woke without its registers");
	woken(p);
	munmap((void *)bar, 1u << 20);
}

/* Whether the page at @at of memory, which may have gone meanwhile, is told as written, and none around the memory. */
static bool told(struct probe *p, const struct iol_dma_region *memory, uint64_t at)
{
	uint64_t pages = memory->len / PAGE, n = at / PAGE + 1;
	uint64_t *bits = calloc(pages / 64 + 1, sizeof(*bits));
	bool yes;

	need(bits && !iol_dirty_read(p->ctx, memory->iova - PAGE, memory->len + 2 * PAGE, PAGE,
				     bits),
	     "no bitmap");
	need(!(bits[0] & 1) && !(bits[(pages + 1) / 64] >> (pages + 1) % 64 & 1),
	     "pages that are not mapped were written");
	yes = bits[n / 64] >> n % 64 & 1;
	free(bits);
	return yes;
}

/* What edu wrote is told. Its IOMMU has no dirty bits, nor it a log: there may be more than that. */
void edu_dirty(struct probe *p)
{
	volatile uint32_t *bar = edu_registers(p);
	/* Between the memory that is looked at and other memory there is a page. */
	struct iol_dma_region memory = { .len = 4u << 20, .iova = 0x4000000, .access = 3 };
	struct iol_dma_region from = { .len = PAGE, .iova = 0x3fff000, .access = IOL_DMA_READ };
	struct iol_context_info info, after;
	bool type1;

	need(!iol_context_info(p->ctx, &info), "no facts");
	type1 = info.kind == IOL_CONTEXT_TYPE1;
	memory.fd = from.fd = memfd_create("guest", MFD_CLOEXEC);
	need(memory.fd >= 0 && !ftruncate(memory.fd, 4 << 20), "no memory");
	need(iol_dma_map(p->ctx, &memory, 1) == 1 && iol_dma_map(p->ctx, &from, 1) == 1,
	     "no mapping");
	need(iol_dirty_source(p->ctx) == -22, "kept without being started");
	need(!iol_dirty_start(p->ctx), "no tracking");
	need(iol_dirty_source(p->ctx) == (type1 ? IOL_DIRTY_PINNED : IOL_DIRTY_MAPPED),
	     "another source: %d", iol_dirty_source(p->ctx));
	told(p, &memory, 0);
	edu_copy(bar, from.iova, EDU_BUFFER, 0);
	edu_copy(bar, EDU_BUFFER, memory.iova + (3u << 20), EDU_TO_MEMORY);
	need(told(p, &memory, 3u << 20), "a page that was written is not told");

	/* Memory goes, and what was written of it stays, once. */
	edu_copy(bar, EDU_BUFFER, memory.iova + (2u << 20), EDU_TO_MEMORY);
	need(iol_dma_unmap(p->ctx, memory.iova, memory.len) == 1, "no unmapping");
	need(told(p, &memory, 2u << 20), "a page that was written went with its memory");
	need(!told(p, &memory, 2u << 20), "a page was told twice");
	memory.addr = NULL;
	need(iol_dma_map(p->ctx, &memory, 1) == 1, "no mapping while tracking");
	edu_copy(bar, EDU_BUFFER, memory.iova + PAGE, EDU_TO_MEMORY);
	need(told(p, &memory, PAGE), "memory that came later is not kept track of");
	need(!iol_dirty_stop(p->ctx), "tracking does not end");
	need(iol_dma_unmap(p->ctx, from.iova, from.len + memory.len) == 2, "no unmapping");
	need(!iol_context_info(p->ctx, &after) && after.entries_left == info.entries_left,
	     "entries are left over");
	close(memory.fd);
	munmap((void *)bar, 1u << 20);
}

/* What the kernel counts against the limit is what we say that it does. This process is no good for anything else then. */
void edu_locked(struct probe *p)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	struct rlimit limit = { 8u << 20, 8u << 20 };
	size_t len = 5u << 20;
	char *mine =
		mmap(NULL, 2 * len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iol_dma_region memory = { .addr = mine, .len = len, .iova = 0x4000000, .access = 3 };
	struct iol_dma_region bar = { .len = 1u << 20, .iova = 0x6000000, .access = 3 };
	struct iol_context_info info;

	need(mine != MAP_FAILED && !iol_context_info(p->ctx, &info), "no memory");
	need(!syscall(SYS_capset, &header, none) && !setrlimit(RLIMIT_MEMLOCK, &limit),
	     "privilege stays");
	/* Locked otherwise, it counts for type1. */
	need(!mlock(mine + len, len), "nothing can be locked");
	if (info.kind == IOL_CONTEXT_TYPE1) {
		need(iol_dma_map(p->ctx, &memory, 1) == -12 &&
			     strstr(iol_error(), "needs 10 MiB of locked memory (5 MiB of it is "
						 "locked already)"),
		     "what is locked is not counted");
		need(!munlock(mine + len, len), "it stays locked");
	}
	need(iol_dma_map(p->ctx, &memory, 1) == 1, "what may be locked is refused");
	memory.iova += len;
	need(iol_dma_map(p->ctx, &memory, 1) == -12 &&
		     strstr(iol_error(), "needs 10 MiB of locked memory (5 MiB of it is locked "
					 "already)"),
	     "what is pinned is not counted");
	/* Nearly all is locked, but a BAR is no memory. */
	if (info.kind == IOL_CONTEXT_TYPE1) {
		need(!mlock(mine + len, (3u << 20) - PAGE), "nothing can be locked");
		bar.addr = (void *)edu_registers(p);
		need(iol_dma_map(p->ctx, &bar, 1) == 1, "a BAR counts as memory");
		need(iol_dma_unmap(p->ctx, bar.iova, bar.len) == 1, "no unmapping");
		munmap(bar.addr, bar.len);
	}
	need(iol_dma_unmap(p->ctx, 0x4000000, len) == 1, "no unmapping");
	munmap(mine, 2 * len);
}
