/* SPDX-License-Identifier: BSD-3-Clause */
/* What iolane-bench vfio tells: a table for people, an object for programs. */
#include "vfio.h"

#include "base/own.h"
#include "base/units.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#define MIB_A_GIB 1024.0

/* Seconds for one, in each round, in order of size; their median goes to the middle of @spread. */
static void times(const struct vfio_outcome *o, unsigned int side, double *v, double spread[3])
{
	double scale = o->row->flags & VFIO_LARGE ? MIB_A_GIB : 1;
	unsigned int rounds = o->c.rounds;

	for (unsigned int i = 0; i < rounds; i++) {
		const struct bench_result *r = &o->c.results[i * o->c.n + side];

		v[i] = r->ops ? r->seconds * scale / (double)r->ops : 0;
	}
	spread[1] = bench_median(v, rounds);
	spread[0] = v[0];
	spread[2] = v[rounds - 1];
}

static struct iol_hist *latencies(const struct vfio_outcome *o, unsigned int side)
{
	struct iol_hist *h = calloc(1, sizeof(*h));

	for (unsigned int i = 0; h && i < o->c.rounds; i++)
		iol_hist_merge(h, &o->c.results[i * o->c.n + side].lat);
	return h;
}

/* ---- text ---- */

static void print_side(const struct vfio_outcome *o, unsigned int side)
{
	double v[BENCH_ROUNDS_MAX], spread[3], unit;
	char text[64];

	times(o, side, v, spread);
	unit = spread[1] < 1e-6 ? 1e-9 : spread[1] < 1e-3 ? 1e-6 : 1e-3;
	snprintf(text, sizeof(text), "%.4g (%.4g to %.4g) %s", spread[1] / unit, spread[0] / unit,
		 spread[2] / unit,
		 unit < 1e-6   ? "ns"
		 : unit < 1e-3 ? "us"
			       : "ms");
	printf(" %-31s", text);
}

static void print_calls(double calls)
{
	if (calls < 0)
		printf(" %6s", "-");
	else
		printf(" %6.4g", calls);
}

static void print_latencies(const struct vfio_outcome *o, bool histogram)
{
	static const double quantiles[] = { 0.5, 0.9, 0.99, 0.999 };

	for (unsigned int side = 0; side < o->c.n; side++) {
		_cleanup_free_ struct iol_hist *h = latencies(o, side);

		if (!h || !h->count)
			continue;
		printf("%-27s %-7s", o->row->what, o->c.entrant[side].name);
		for (unsigned int i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
			printf(" %9.2f", (double)iol_hist_quantile(h, quantiles[i]) / 1e3);
		printf(" %9.2f\n", (double)h->max / 1e3);
		if (histogram)
			bench_print_histogram(h);
	}
}

void vfio_print(const struct vfio_plan *plan, const struct vfio_outcome *outcomes, bool histogram)
{
	const struct vfio_outcome *o;
	char size[16], text[64];

	printf("%s %04x:%04x, context %s\n\n", plan->name, plan->pci.vendor, plan->pci.device,
	       plan->context);
	printf("%-27s %-31s %-31s %-22s %s\n", "median (spread)", "iolane", "bare", "iolane / bare",
	       "system calls");
	for (o = outcomes; o < outcomes + vfio_num_rows; o++) {
		const struct bench_ratio *ratio = &o->c.ratio[0];

		if (o->skipped[0])
			continue;
		printf("%-27s", o->row->what);
		print_side(o, 0);
		print_side(o, 1);
		snprintf(text, sizeof(text), "%.3f (%.3f to %.3f)", ratio->median, ratio->min,
			 ratio->max);
		printf(" %-22s", text);
		print_calls(o->calls[0]);
		print_calls(o->calls[1]);
		printf("\n");
	}
	printf("\n%-35s %9s %9s %9s %9s %9s\n", "latency in us", "p50", "p90", "p99", "p99.9",
	       "max");
	for (o = outcomes; o < outcomes + vfio_num_rows; o++)
		if (!o->skipped[0] && o->row->flags & VFIO_LATENCY)
			print_latencies(o, histogram);
	printf("\n");
	for (o = outcomes; o < outcomes + vfio_num_rows; o++) {
		if (o->skipped[0])
			printf("%s: not measured, %s\n", o->row->what, o->skipped);
		else if (o->row->flags & VFIO_LARGE && !(o->row->flags & VFIO_UNMAP))
			printf("%s: with %s, %s\n", o->row->what,
			       iol_format_size(o->bytes, size, sizeof(size)), o->pages);
	}
}

/* ---- JSON ---- */

static struct json_object *side_json(const struct vfio_outcome *o, unsigned int side)
{
	static const char *const names[] = { "min", "median", "max" };
	struct json_object *j = json_object_new_object(), *rounds = json_object_new_array();
	double v[BENCH_ROUNDS_MAX], spread[3];

	times(o, side, v, spread);
	for (unsigned int i = 0; i < 3; i++)
		json_object_object_add(j, names[i], bench_number_json(spread[i] * 1e9));
	for (unsigned int i = 0; i < o->c.rounds; i++)
		json_object_array_add(rounds, bench_number_json(v[i] * 1e9));
	json_object_object_add(j, "rounds", rounds);
	if (o->calls[side] >= 0)
		json_object_object_add(j, "syscalls", bench_number_json(o->calls[side]));
	if (o->row->flags & VFIO_LATENCY) {
		_cleanup_free_ struct iol_hist *h = latencies(o, side);

		if (h)
			json_object_object_add(j, "lat_us", bench_latency_json(h));
	}
	return j;
}

static struct json_object *row_json(const struct vfio_outcome *o)
{
	struct json_object *j = json_object_new_object();

	json_object_object_add(j, "name", json_object_new_string(o->row->key));
	json_object_object_add(j, "what", json_object_new_string(o->row->what));
	if (o->skipped[0]) {
		json_object_object_add(j, "skipped", json_object_new_string(o->skipped));
		return j;
	}
	if (o->bytes) {
		json_object_object_add(j, "pages", json_object_new_string(o->pages));
		json_object_object_add(j, "bytes", json_object_new_int64((int64_t)o->bytes));
	}
	for (unsigned int side = 0; side < o->c.n; side++)
		json_object_object_add(j, o->c.entrant[side].name, side_json(o, side));
	json_object_object_add(j, "ratio", bench_ratio_json(&o->c, &o->c.ratio[0]));
	return j;
}

struct json_object *vfio_json(const struct vfio_plan *plan, const struct vfio_outcome *outcomes,
			      struct json_object *manifest)
{
	struct json_object *j = json_object_new_object(), *rows = json_object_new_array();
	struct json_object *device = json_object_new_object();
	char id[16];

	snprintf(id, sizeof(id), "%04x:%04x", plan->pci.vendor, plan->pci.device);
	json_object_object_add(device, "address", json_object_new_string(plan->name));
	json_object_object_add(device, "id", json_object_new_string(id));
	json_object_object_add(device, "context", json_object_new_string(plan->context));
	for (unsigned int i = 0; i < vfio_num_rows; i++)
		json_object_array_add(rows, row_json(&outcomes[i]));
	json_object_object_add(j, "manifest", manifest);
	json_object_object_add(j, "device", device);
	json_object_object_add(j, "rows", rows);
	return j;
}
