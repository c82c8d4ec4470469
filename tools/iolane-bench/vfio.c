/* SPDX-License-Identifier: BSD-3-Clause */
/* iolane-bench vfio: measure a device through the library and through bare calls, in turns. */
#include "vfio.h"

#include "base/error.h"
#include "base/own.h"
#include "tools/common/prog.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static const char help[] =
	"Usage: iolane-bench vfio DEVICE [OPTION]...\n"
	"\n"
	"Measures a PCI device that is bound to vfio-pci (iolane bind DEVICE): mapping memory\n"
	"for it, its interrupts, its registers and its reset, by iolane's library and by bare\n"
	"calls of the kernel's in turns. Tells the times of both, their ratio, and the system\n"
	"calls of each. DEVICE is an address or another name that iolane list shows.\n"
	"\n"
	"Nobody else can use the device meanwhile; it is reset, and its registers are only read\n"
	"unless it is one whose registers are known.\n"
	"\n"
	"  --context=KIND       iommufd or type1 (iommufd where the kernel has it)\n"
	"  --memory=SIZE        to map at once (a quarter of what is free, 1G at most)\n"
	"  --rounds=N           rounds (9)\n"
	"  --runtime=S          seconds counted for each row and side in a round (0.1)\n"
	"  --read=BAR:OFFSET    the register of 32 bits to read (the first that can be mapped)\n"
	"  --write=BAR:OFFSET   a register that may be written: what is read there is written "
	"back\n"
	"  --histogram          draw the latencies of interrupts\n"
	"  --json               print one JSON object instead\n"
	"\n"
	"Exit status: 0 measured, 1 failed, 2 wrong usage.\n";

/* ---- the device ---- */

/* The range with the most room from a multiple of a GiB on: then pages of every size fit. */
static void choose_iova(const struct iol_context_info *info, struct vfio_plan *plan)
{
	for (size_t i = 0; i < info->num_ranges; i++) {
		uint64_t first = (info->ranges[i].first + GIB - 1) & ~(GIB - 1);
		uint64_t last = info->ranges[i].last;

		if (first < info->ranges[i].first || first > last || last - first < plan->room)
			continue;
		plan->iova = first;
		plan->room = last - first;
	}
}

static void choose_irq(const struct iol_vfio_device *dev, struct vfio_plan *plan)
{
	static const enum iol_irq kinds[] = { IOL_IRQ_MSIX, IOL_IRQ_MSI, IOL_IRQ_INTX };
	struct iol_irq_info info;

	plan->irq = IOL_IRQ_KINDS;
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!iol_irq_info(dev, kinds[i], &info) && info.count) {
			plan->irq = kinds[i];
			return;
		}
	}
}

/* Whether the page of a register can be mapped. */
static bool mappable(const struct iol_vfio_region *region, uint64_t at)
{
	for (size_t i = 0; i < region->num_areas; i++)
		if (region->areas[i].first <= at && at + 3 <= region->areas[i].last)
			return true;
	return false;
}

static int check_place(const struct iol_vfio_device *dev, const char *option,
		       const struct vfio_place *place, bool write)
{
	struct iol_vfio_region region;
	int rc = iol_vfio_region_info(dev, place->bar, &region);

	if (rc)
		return rc;
	if (place->offset >= region.size || !mappable(&region, place->offset) ||
	    (write && !region.writable))
		return iol_fail(EINVAL,
				"%s: BAR %u has %" PRIu64 " bytes, and 0x%" PRIx64
				" is none of them that can be mapped",
				option, place->bar, region.size, place->offset);
	return 0;
}

static int choose_registers(const struct iol_vfio_device *dev, const struct vfio_options *o,
			    struct vfio_plan *plan)
{
	struct iol_vfio_region region;
	int rc = 0;

	for (unsigned int bar = 0; bar < 6 && !plan->has_read; bar++) {
		if (iol_vfio_region_info(dev, bar, &region) || !region.num_areas ||
		    !region.readable)
			continue;
		plan->has_read = true;
		plan->read = (struct vfio_place){ bar, region.areas[0].first };
	}
	if (plan->known && plan->known->scratch) {
		plan->has_write = true;
		plan->write = (struct vfio_place){ plan->known->bar, plan->known->scratch };
	}
	if (o->have_read) {
		plan->has_read = true;
		plan->read = o->read;
		rc = check_place(dev, "--read", &o->read, false);
	}
	if (!rc && o->have_write) {
		plan->has_write = true;
		plan->write = o->write;
		rc = check_place(dev, "--write", &o->write, true);
	}
	return rc;
}

static int look_into(const struct vfio_options *o, struct iol_context *ctx,
		     const struct iol_vfio_device *dev, struct vfio_plan *plan)
{
	struct vfio_device_info device = { .argsz = sizeof(device) };
	struct iol_context_info info;
	int rc = iol_context_info(ctx, &info);

	if (rc)
		return rc;
	plan->kind = info.kind;
	plan->context = info.name;
	choose_iova(&info, plan);
	choose_irq(dev, plan);
	if (ioctl(iol_vfio_fd(dev), VFIO_DEVICE_GET_INFO, &device))
		return iol_fail(errno, "cannot ask %s what it has: %s", plan->name,
				strerror(errno));
	plan->resets = device.flags & VFIO_DEVICE_FLAGS_RESET;
	return choose_registers(dev, o, plan);
}

static int make_plan(const struct vfio_options *o, const struct iol_host *host,
		     struct vfio_plan *plan)
{
	struct iol_context_spec spec = { .kind = o->context };
	struct iol_vfio_device_spec device;
	struct iol_vfio_device *dev = NULL;
	struct iol_context *ctx = NULL;
	int rc = iol_pci_find(host, o->device, &device.addr);

	*plan = (struct vfio_plan){ .host = host };
	if (!rc)
		rc = iol_pci_info(host, &device.addr, &plan->pci);
	if (rc)
		return rc;
	device = (struct iol_vfio_device_spec){ .addr = plan->pci.addr };
	iol_pci_addr_format(&plan->pci.addr, plan->name);
	plan->known = vfio_known(&plan->pci);
	if (!plan->pci.driver[0] || !strstr(plan->pci.driver, "vfio"))
		return iol_fail(ENODEV,
				"%s is not VFIO's, it has %s%s: bind it first (iolane bind %s)",
				plan->name, plan->pci.driver[0] ? "the driver " : "no driver",
				plan->pci.driver, plan->name);
	rc = iol_context_new(host, &spec, &ctx);
	if (!rc)
		rc = iol_vfio_open(ctx, &device, &dev);
	if (!rc)
		rc = look_into(o, ctx, dev, plan);
	iol_vfio_close(&dev);
	iol_context_destroy(&ctx);
	return rc;
}

/* ---- the rows ---- */

static void show_run(const struct bench_comparison *c, unsigned int round, unsigned int entrant)
{
	const struct vfio_run *r = c->entrant[entrant].ctx;

	prog_progress("%s: round %u of %u, %s", r->row->what, round + 1, c->rounds,
		      c->entrant[entrant].name);
}

static int run_entrant(void *ctx, struct bench_backend *backend, struct bench_result *result)
{
	_cleanup_free_ double *samples = calloc(VFIO_SAMPLES, sizeof(*samples));
	struct vfio_run *r = ctx;
	int rc;

	if (!samples)
		return iol_fail(ENOMEM, "out of memory for the times");
	r->meter = (struct vfio_meter){
		.result = result,
		.seconds = r->meter.seconds,
		.samples = samples,
		.latency = r->row->flags & VFIO_LATENCY,
	};
	rc = vfio_run_row(r);
	if (!rc)
		vfio_meter_end(&r->meter);
	r->meter.samples = NULL;
	return rc;
}

static int measure_row(const struct vfio_options *o, const struct vfio_plan *plan,
		       const struct vfio_memory *memory, struct vfio_outcome *out)
{
	struct vfio_run runs[] = {
		{ .row = out->row, .plan = plan, .side = &vfio_iolane, .memory = memory },
		{ .row = out->row, .plan = plan, .side = &vfio_bare, .memory = memory },
	};
	int rc;

	out->c = (struct bench_comparison){
		.n = 2, .rounds = o->rounds, .by_time = true, .done = show_run
	};
	for (unsigned int i = 0; i < out->c.n; i++) {
		struct bench_entrant *e = &out->c.entrant[i];

		snprintf(e->name, sizeof(e->name), "%s", runs[i].side->name);
		e->run = run_entrant;
		e->ctx = &runs[i];
		runs[i].meter.seconds = o->runtime;
	}
	rc = bench_compare(&out->c);
	for (unsigned int i = 0; i < out->c.n; i++) {
		if (!rc && !bench_interrupted && !(out->row->flags & VFIO_SPIN))
			out->calls[i] = vfio_count(&runs[i]);
		/* It ends here. */
		out->c.entrant[i].ctx = NULL;
	}
	return rc;
}

static int run_row(const struct vfio_options *o, const struct vfio_plan *plan,
		   struct vfio_outcome *out)
{
	const char *missing = out->row->missing(plan, out->row->flags);
	struct vfio_memory memory = { .fd = -1 };
	int rc = 0;

	out->calls[0] = out->calls[1] = -1;
	if (missing) {
		snprintf(out->skipped, sizeof(out->skipped), "%s", missing);
		return 0;
	}
	if (out->row->page)
		rc = vfio_memory_make(out->row->page, o->memory, &memory);
	if (!rc && memory.len > plan->room) {
		snprintf(memory.why, sizeof(memory.why), "the IOMMU has no IOVAs for it");
		rc = -ENOENT;
	}
	if (rc == -ENOENT) {
		snprintf(out->skipped, sizeof(out->skipped), "%s", memory.why);
		rc = 0;
	} else if (!rc) {
		memcpy(out->pages, memory.pages, sizeof(out->pages));
		out->bytes = memory.len;
		rc = measure_row(o, plan, &memory, out);
		if (rc)
			rc = iol_fail_more(rc, "%s", out->row->what);
	}
	vfio_memory_free(&memory);
	return rc;
}

static uint64_t fitting_memory(void)
{
	uint64_t fits = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4;

	if (fits > GIB)
		fits = GIB;
	return fits < 2 * MIB ? 2 * MIB : fits & ~(2 * MIB - 1);
}

static int measure(const struct vfio_options *o, const struct vfio_plan *plan, char **argv)
{
	_cleanup_free_ struct vfio_outcome *outcomes = calloc(vfio_num_rows, sizeof(*outcomes));
	struct json_object *manifest;
	unsigned int i;
	int rc = 0;

	if (!outcomes)
		return iol_fail(ENOMEM, "out of memory for the results");
	for (i = 0; !rc && i < vfio_num_rows; i++) {
		outcomes[i].row = &vfio_rows[i];
		if (bench_interrupted)
			snprintf(outcomes[i].skipped, sizeof(outcomes[i].skipped), "interrupted");
		else
			rc = run_row(o, plan, &outcomes[i]);
	}
	prog_progress(NULL);
	if (!rc && o->json) {
		manifest = bench_manifest(argv);
		json_object_object_add(manifest, "settings", vfio_options_json(o));
		bench_print_json(vfio_json(plan, outcomes, manifest));
	} else if (!rc) {
		vfio_print(plan, outcomes, o->histogram);
	}
	for (i = 0; i < vfio_num_rows; i++)
		bench_comparison_free(&outcomes[i].c);
	return rc;
}

int bench_vfio(int argc, char **argv)
{
	struct vfio_options o;
	struct vfio_plan plan;
	struct iol_host *host;
	int rc;

	if (vfio_options_parse(argc, argv, &o) < 0)
		return prog_usage();
	if (o.help)
		return prog_print(help);
	if (!o.memory)
		o.memory = fitting_memory();
	if (iol_host_new(NULL, &host))
		return prog_fail();
	rc = make_plan(&o, host, &plan);
	if (!rc)
		rc = measure(&o, &plan, argv);
	iol_host_destroy(&host);
	return rc ? prog_fail() : prog_flush();
}
