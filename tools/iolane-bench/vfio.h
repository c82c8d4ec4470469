/* SPDX-License-Identifier: BSD-3-Clause */
/* iolane-bench vfio: what the library adds to VFIO's own calls, on one device. */
#ifndef IOL_BENCH_VFIO_H
#define IOL_BENCH_VFIO_H

#include "bench.h"

#include <iolane/vfio.h>

/** struct vfio_place - A register: a BAR and the offset in it. */
struct vfio_place {
	unsigned int bar;
	uint64_t offset;
};

/**
 * struct vfio_options - A command line.
 * @memory: bytes to map for the rows of large memory, 0 for what fits.
 * @read, @write: registers of 32 bits, where said.
 */
struct vfio_options {
	const char *device;
	enum iol_context_kind context;
	uint64_t memory;
	unsigned int rounds;
	double runtime;
	struct vfio_place read, write;
	bool have_read, have_write, histogram, json, help;
};

int vfio_options_parse(int argc, char **argv, struct vfio_options *o);
struct json_object *vfio_options_json(const struct vfio_options *o);

/* ---- vfio_known.c: devices whose registers are known ---- */

/**
 * struct vfio_known - A device that can be told to interrupt by writing a register, or has one that may be written.
 * @start: registers to write first, @raise and @ack each time; those of offset 0 end the lists.
 * @scratch: may hold anything; 0 for none.
 */
struct vfio_known {
	uint16_t vendor, device;
	const char *name;
	unsigned int bar;
	struct {
		uint32_t offset, value;
	} start[4], raise, ack;
	uint32_t scratch;
};

/** vfio_known() - NULL for one that is not known. */
const struct vfio_known *vfio_known(const struct iol_pci_info *pci);

/* ---- vfio_memory.c ---- */

/** struct vfio_memory - Memory of pages of one size; @pages says of what kind, @why why there is none. */
struct vfio_memory {
	void *addr;
	size_t len, page;
	int fd; /* -1: of no file */
	char pages[64], why[160];
};

/** vfio_memory_make() - At most @len bytes. Return: 0; -ENOENT: there is none, and @m->why tells. */
int vfio_memory_make(size_t page, size_t len, struct vfio_memory *m);
void vfio_memory_free(struct vfio_memory *m);

/* ---- the two sides ---- */

/**
 * struct vfio_plan - What both sides need to know of the device.
 * @iova: from here on there is room for a GiB and more.
 * @irq: the kind of interrupts to use, IOL_IRQ_KINDS for none.
 */
struct vfio_plan {
	const struct iol_host *host;
	struct iol_pci_info pci;
	char name[IOL_PCI_ADDR_MAX];
	enum iol_context_kind kind;
	const char *context;
	uint64_t iova, room;
	enum iol_irq irq;
	bool has_read, has_write, resets;
	struct vfio_place read, write;
	const struct vfio_known *known;
};

/** struct vfio_user - An open device of one side. What the other side has stays empty. */
struct vfio_user {
	const struct vfio_side *side;
	const struct vfio_plan *plan;
	int fd; /* the device's */
	/* iolane */
	struct iol_context *ctx;
	struct iol_vfio_device *dev;
	/* bare */
	int context_fd, group_fd;
	uint32_t ioas;
	struct {
		uint64_t size, offset;
	} region[IOL_REGION_CONFIG + 1];
};

/**
 * struct vfio_side - The same work, done in one way. All return 0 or a negative errno with the sentence set.
 * @map: memory of this process. @map_fd: memory of a file, which is mapped here, too; @unmap_fd takes back both.
 * @registers: map the page of a BAR's register.
 * @irq: send vector 0 to @fd; -1: to nobody.
 */
struct vfio_side {
	const char *name;
	int (*open)(struct vfio_user *u);
	void (*close)(struct vfio_user *u);
	int (*map)(struct vfio_user *u, void *addr, uint64_t iova, size_t len);
	int (*unmap)(struct vfio_user *u, uint64_t iova, size_t len);
	int (*map_fd)(struct vfio_user *u, int fd, uint64_t iova, size_t len, void **addr);
	int (*unmap_fd)(struct vfio_user *u, uint64_t iova, size_t len, void *addr);
	int (*read)(struct vfio_user *u, unsigned int region, uint64_t at, void *v, size_t len);
	int (*write)(struct vfio_user *u, unsigned int region, uint64_t at, const void *v,
		     size_t len);
	int (*registers)(struct vfio_user *u, unsigned int bar, uint64_t page, void **addr);
	int (*irq)(struct vfio_user *u, int fd);
	int (*reset)(struct vfio_user *u);
};

extern const struct vfio_side vfio_iolane, vfio_bare;

/* ---- vfio_count.c ---- */

/* Batches whose time is kept. */
#define VFIO_SAMPLES 4096u

/**
 * struct vfio_meter - What one run counts: time, or (in a process of its own that is traced) system calls.
 * @seconds: to run, of counted time; @spent so far.
 * @samples: seconds of each batch, each of @ops operations. @latency: they go to the histogram, too.
 */
struct vfio_meter {
	struct bench_result *result;
	double seconds, spent;
	double *samples;
	unsigned int num;
	uint64_t ops;
	uint64_t began, start;
	unsigned int batches;
	bool tracing, latency;
};

/** vfio_meter_more() - Whether to run another batch. */
bool vfio_meter_more(const struct vfio_meter *m);
void vfio_meter_start(struct vfio_meter *m);
/** vfio_meter_stop() - @ops were done since the start, as many in each batch. */
void vfio_meter_stop(struct vfio_meter *m, uint64_t ops);
/** vfio_meter_end() - The result is the median of the batches: others use the machine, too. */
void vfio_meter_end(struct vfio_meter *m);

struct vfio_run;

/** vfio_count() - System calls of an operation, after the first batch; -1 when they can't be counted. */
double vfio_count(struct vfio_run *r);

/* ---- vfio_rows.c ---- */

/** enum vfio_flags - Of a row. */
enum vfio_flags {
	VFIO_LARGE = 1, /* all of the memory, told for each GiB */
	VFIO_UNMAP = 2, /* taking away is measured, not mapping */
	VFIO_FILE = 4,  /* memory comes by a descriptor */
	VFIO_REGISTER =
		8, /* the device interrupts, by a register; else the kernel does in its place */
	VFIO_SPIN = 16,    /* wait by reading the eventfd: how many calls that takes is chance */
	VFIO_WRITE = 32,   /* registers are written, not read */
	VFIO_LATENCY = 64, /* each time is kept */
};

/**
 * struct vfio_row - One thing that is measured.
 * @key, @what: its name in JSON, and for people.
 * @page: of the memory that it needs, 0 for none.
 * @missing: why it can't be measured on this device, or NULL.
 * @run: measure it on one side, whose device is open.
 */
struct vfio_row {
	const char *key, *what;
	size_t page;
	unsigned int flags;
	const char *(*missing)(const struct vfio_plan *plan, unsigned int flags);
	int (*run)(struct vfio_user *u, struct vfio_run *r);
};

/** struct vfio_run - A run of a row on one side. */
struct vfio_run {
	const struct vfio_row *row;
	const struct vfio_plan *plan;
	const struct vfio_side *side;
	const struct vfio_memory *memory;
	struct vfio_meter meter;
};

/** vfio_run_row() - Open the device, run, and close it. */
int vfio_run_row(struct vfio_run *r);

extern const struct vfio_row vfio_rows[];
extern const unsigned int vfio_num_rows;

/* ---- vfio_report.c ---- */

/**
 * struct vfio_outcome - Of a row.
 * @skipped: why it was not measured, or empty.
 * @pages, @bytes: the memory. @calls: system calls of each side, -1 not counted.
 */
struct vfio_outcome {
	const struct vfio_row *row;
	struct bench_comparison c;
	double calls[2];
	char pages[64], skipped[160];
	size_t bytes;
};

void vfio_print(const struct vfio_plan *plan, const struct vfio_outcome *outcomes, bool histogram);
/** vfio_json() - Takes over @manifest. */
struct json_object *vfio_json(const struct vfio_plan *plan, const struct vfio_outcome *outcomes,
			      struct json_object *manifest);

#endif
