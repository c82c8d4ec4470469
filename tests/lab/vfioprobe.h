/* SPDX-License-Identifier: BSD-3-Clause */
/* What the probes of real (emulated) devices share: each says what it saw, and ends the program when it is wrong. */
#ifndef IOL_TESTS_LAB_VFIOPROBE_H
#define IOL_TESTS_LAB_VFIOPROBE_H

#include <stdio.h>
#include <stdlib.h>

#include <iolane/base.h>
#include <iolane/vfio.h>

/* End with the sentence, or what else went wrong. */
#define need(condition, ...)                                                                       \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("%s:%d: ", __FILE__, __LINE__);                                     \
			printf(__VA_ARGS__);                                                       \
			printf(" (last error: %s)\n", iol_error());                                \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* What comes later than this does not come; what does not come is waited for as long as edu's DMA takes, and more. */
#define COMES_MS 20000
#define STAYS_MS 500

#define PAGE 4096u

/* A device in a context. @spec: as it was opened. @word: what the probe was told behind a colon; NULL for nothing. */
struct probe {
	struct iol_host *host;
	struct iol_context *ctx;
	struct iol_vfio_device *dev;
	struct iol_vfio_device_spec spec;
	const char *word;
};

/* Memory spaces and bus mastering on; edu needs both, and does not fetch them itself. */
void probe_start(const struct probe *p);

/* Memory of our own at any IOVA up to @limit (0: all). */
struct iol_dma_region probe_memory(const struct probe *p, size_t len, uint64_t limit,
				   unsigned int access);

/* Whether an eventfd is signalled within @ms; and takes the signal. */
bool probe_signalled(int fd, int ms);

/* Whether bits of a register, or of what the device writes, come to be @value before what comes has come. */
bool probe_becomes(const volatile void *at, uint32_t mask, uint32_t value);

/* An eventfd; @num of them, which are then set as those of the first vectors of a kind. */
int probe_eventfd(void);
void probe_vectors(const struct probe *p, enum iol_irq kind, int *fds, unsigned int num);

unsigned int probe_fds(void);

/* edu's registers, which are to be unmapped (1 MiB). */
volatile uint32_t *edu_registers(const struct probe *p);

/* Have it copy a page; its own is at EDU_BUFFER, to which it comes with 0 for @cmd. */
#define EDU_BUFFER    0x40000u
#define EDU_TO_MEMORY 2u
void edu_copy(volatile uint32_t *bar, uint64_t from, uint64_t to, uint64_t cmd);

/* Whether a page is full of a byte. */
bool edu_filled(const void *memory, int byte);

void edu_dma(struct probe *p);
void edu_faults(struct probe *p);
void edu_stray(struct probe *p);
void edu_msi(struct probe *p);
void edu_intx(struct probe *p);
void edu_cycles(struct probe *p);
void edu_entries(struct probe *p);
void edu_dirty(struct probe *p);
void edu_locked(struct probe *p);
void edu_peer(struct probe *p);
void edu_bus(struct probe *p);
void edu_sleep(struct probe *p);
void nvme_io(struct probe *p);
void nvme_hot_reset(struct probe *p);
void igb_vf(struct probe *p);
void igb_storm(struct probe *p);
void igb_token(struct probe *p);
void mtty_lines(struct probe *p);
void mtty_migrate(struct probe *p);
void xhci_msi(struct probe *p);

#endif
