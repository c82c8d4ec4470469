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

/* A device in a context. */
struct probe {
	struct iol_host *host;
	struct iol_context *ctx;
	struct iol_vfio_device *dev;
	struct iol_pci_addr addr;
};

/* Memory spaces and bus mastering on; edu needs both, and does not fetch them itself. */
void probe_start(const struct probe *p);

/* Memory of our own at any IOVA up to @limit (0: all). */
struct iol_dma_region probe_memory(const struct probe *p, size_t len, uint64_t limit,
				   unsigned int access);

/* Whether an eventfd is signalled within @ms; and takes the signal. */
bool probe_signalled(int fd, int ms);

unsigned int probe_fds(void);

void edu_dma(struct probe *p);
void edu_faults(struct probe *p);
void edu_msi(struct probe *p);
void edu_intx(struct probe *p);
void edu_cycles(struct probe *p);
void edu_entries(struct probe *p);
void edu_dirty(struct probe *p);
void edu_locked(struct probe *p);
void edu_peer(struct probe *p);
void edu_sleep(struct probe *p);
void nvme_io(struct probe *p);
void nvme_hot_reset(struct probe *p);

#endif
