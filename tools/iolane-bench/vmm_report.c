/* SPDX-License-Identifier: BSD-3-Clause */
/* What iolane-bench vmm tells: tables for people, an object for programs. */
#include "vmm.h"

#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define KIB_A_MIB 1024.0

/** struct column - A figure: its names, its place, and what to divide it by for people. */
struct column {
	const char *key, *title;
	size_t at;
	double unit;
};

static const struct column columns[] = {
	{ "first_ms", "first instruction, ms", offsetof(struct vmm_figures, first_ms), 1 },
	{ "up_ms", "guest is up, ms", offsetof(struct vmm_figures, up_ms), 1 },
	{ "rss_kib", "MiB besides the guest's", offsetof(struct vmm_figures, rss_kib), KIB_A_MIB },
	{ "threads", "threads", offsetof(struct vmm_figures, threads), 1 },
};

#define TO_USER offsetof(struct vmm_figures, to_user)
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static double value(const struct vmm_figures *f, size_t at)
{
	double v;

	memcpy(&v, (const char *)f + at, sizeof(v));
	return v;
}

static size_t exits_at(unsigned int stat)
{
	return offsetof(struct vmm_figures, exits) + stat * sizeof(double);
}

/* ---- text ---- */

/* Median and spread of an entrant. */
static void print_spread(const struct bench_comparison *c, unsigned int entrant, size_t at,
			 double unit)
{
	const struct vmm_runs *runs = c->entrant[entrant].ctx;
	double v[BENCH_ROUNDS_MAX], median;
	char text[64];

	for (unsigned int i = 0; i < c->rounds; i++)
		v[i] = value(&runs->figures[i], at) / unit;
	median = bench_median(v, c->rounds);
	snprintf(text, sizeof(text), "%.4g (%.4g to %.4g)", median, v[0], v[c->rounds - 1]);
	printf(" %-26s", text);
}

static void print_row(const struct bench_comparison *c, const char *title, size_t at, double unit)
{
	printf("%-25s", title);
	for (unsigned int i = 0; i < c->n; i++)
		print_spread(c, i, at, unit);
	printf("\n");
}

void vmm_print(const struct vmm_options *o, const struct bench_comparison *c)
{
	bench_print_entrants(c);
	printf("\n%-25s", "median (spread)");
	for (unsigned int i = 0; i < c->n; i++)
		printf(" %c %-24s", 'A' + (int)i, c->entrant[i].name);
	printf("\n");
	for (size_t i = 0; i < (o->until ? COLUMNS : 1); i++)
		print_row(c, columns[i].title, columns[i].at, columns[i].unit);
	if (o->exits > 0) {
		printf("\nexits a second\n");
		for (unsigned int i = 0; i < VMM_STATS; i++)
			print_row(c, vmm_stat_names[i], exits_at(i), 1);
		print_row(c, "to the VMM, at most", TO_USER, 1);
	}
	if (c->n > 1)
		printf("\nfirst instruction, in times of another's:");
	bench_print_ratios(c);
}

/* ---- JSON ---- */

static void add(struct json_object *o, const char *key, double v)
{
	if (v >= 0)
		json_object_object_add(o, key, bench_number_json(v));
}

static struct json_object *run_json(const char *name, unsigned int round,
				    const struct vmm_figures *f)
{
	struct json_object *o = json_object_new_object(), *causes;

	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "round", json_object_new_int((int)round + 1));
	for (size_t i = 0; i < COLUMNS; i++)
		add(o, columns[i].key, value(f, columns[i].at));
	if (f->to_user < 0)
		return o;
	causes = json_object_new_object();
	for (unsigned int i = 0; i < VMM_STATS; i++)
		add(causes, vmm_stat_names[i], f->exits[i]);
	add(causes, "to_user", f->to_user);
	json_object_object_add(o, "exits_s", causes);
	return o;
}

struct json_object *vmm_json(const struct bench_comparison *c, struct json_object *manifest)
{
	struct json_object *o = json_object_new_object(), *all = json_object_new_array();

	for (unsigned int round = 0; round < c->rounds; round++) {
		for (unsigned int i = 0; i < c->n; i++) {
			const struct vmm_runs *runs = c->entrant[i].ctx;

			json_object_array_add(all, run_json(c->entrant[i].name, round,
							    &runs->figures[round]));
		}
	}
	json_object_object_add(o, "manifest", manifest);
	json_object_object_add(o, "runs", all);
	bench_add_ratios(o, c);
	return o;
}
