/* SPDX-License-Identifier: BSD-3-Clause */
/* Results as JSON for programs and as text for people. */
#include "bench.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#define US 1000.0

struct json_object *bench_number_json(double v)
{
	char buf[32];

	snprintf(buf, sizeof(buf), v >= 1000 ? "%.0f" : "%.4g", v);
	return json_object_new_double_s(v, buf);
}

static void add_measured(struct json_object *o, const char *key, double v)
{
	if (v >= 0)
		json_object_object_add(o, key, bench_number_json(v));
}

static double mib_s(const struct bench_result *r)
{
	return r->seconds > 0 ? (double)r->bytes / r->seconds / (1 << 20) : 0;
}

static double gbit_s(const struct bench_result *r)
{
	return r->seconds > 0 ? (double)r->bytes * 8 / r->seconds / 1e9 : 0;
}

static double mean_us(const struct iol_hist *h)
{
	return h->count ? (double)h->sum / (double)h->count / US : 0;
}

static double quantile_us(const struct iol_hist *h, double q)
{
	return (double)iol_hist_quantile(h, q) / US;
}

struct json_object *bench_latency_json(const struct iol_hist *h)
{
	struct json_object *lat = json_object_new_object();

	json_object_object_add(lat, "mean", bench_number_json(mean_us(h)));
	json_object_object_add(lat, "p50", bench_number_json(quantile_us(h, 0.5)));
	json_object_object_add(lat, "p99", bench_number_json(quantile_us(h, 0.99)));
	json_object_object_add(lat, "p999", bench_number_json(quantile_us(h, 0.999)));
	json_object_object_add(lat, "max", bench_number_json((double)h->max / US));
	return lat;
}

static struct json_object *run_json(const struct bench_words *w, const char *name, int round,
				    const struct bench_result *r)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "name", json_object_new_string(name));
	if (round > 0)
		json_object_object_add(o, "round", json_object_new_int(round));
	if (r->seconds > 0) {
		json_object_object_add(o, w->rate_key, bench_number_json(bench_rate(r)));
		if (w->packets) {
			json_object_object_add(o, "gbit_s", bench_number_json(gbit_s(r)));
			if (r->sent)
				json_object_object_add(o, "loss", bench_number_json(bench_loss(r)));
		} else {
			json_object_object_add(o, "mib_s", bench_number_json(mib_s(r)));
		}
		if (r->lat.count || !w->packets)
			json_object_object_add(o, "lat_us", bench_latency_json(&r->lat));
		json_object_object_add(o, "seconds", bench_number_json(r->seconds));
		add_measured(o, "backend_cpu", r->backend_cpu);
		if (r->backend_cpu > 0)
			add_measured(o, "per_core", bench_rate(r) / r->backend_cpu);
		if (w->packets)
			add_measured(o, "cycles", bench_cycles(r));
		add_measured(o, "load_busy", r->load_busy);
	}
	add_measured(o, "idle_cpu", r->idle_cpu);
	add_measured(o, "rss_kib", r->rss_kib);
	add_measured(o, "start_ms", r->start_ms);
	return o;
}

struct json_object *bench_ratio_json(const struct bench_comparison *c,
				     const struct bench_ratio *ratio)
{
	struct json_object *o = json_object_new_object();
	struct json_object *of = json_object_new_array();
	struct json_object *rounds = json_object_new_array();
	unsigned int i;

	json_object_array_add(of, json_object_new_string(c->entrant[ratio->a].name));
	json_object_array_add(of, json_object_new_string(c->entrant[ratio->b].name));
	for (i = 0; i < ratio->n; i++)
		json_object_array_add(rounds, bench_number_json(ratio->rounds[i]));
	json_object_object_add(o, "of", of);
	json_object_object_add(o, "median", bench_number_json(ratio->median));
	json_object_object_add(o, "min", bench_number_json(ratio->min));
	json_object_object_add(o, "max", bench_number_json(ratio->max));
	json_object_object_add(o, "rounds", rounds);
	return o;
}

void bench_add_ratios(struct json_object *o, const struct bench_comparison *c)
{
	struct json_object *all;

	if (c->n > 1)
		json_object_object_add(o, "ratio", bench_ratio_json(c, &c->ratio[0]));
	if (c->n > 2) {
		all = json_object_new_array();
		for (unsigned int i = 0; i + 1 < c->n; i++)
			json_object_array_add(all, bench_ratio_json(c, &c->ratio[i]));
		json_object_object_add(o, "ratios", all);
	}
}

struct json_object *bench_single_json(const struct bench_words *w, const char *name,
				      const struct bench_result *r, struct json_object *manifest)
{
	struct json_object *o = json_object_new_object();
	struct json_object *runs = json_object_new_array();

	json_object_array_add(runs, run_json(w, name, 0, r));
	json_object_object_add(o, "manifest", manifest);
	json_object_object_add(o, "runs", runs);
	return o;
}

struct json_object *bench_comparison_json(const struct bench_words *w,
					  const struct bench_comparison *c,
					  struct json_object *manifest)
{
	struct json_object *o = json_object_new_object();
	struct json_object *runs = json_object_new_array();
	unsigned int round, i;

	for (round = 0; round < c->rounds; round++)
		for (i = 0; i < c->n; i++)
			json_object_array_add(runs, run_json(w, c->entrant[i].name, (int)round + 1,
							     &c->results[round * c->n + i]));
	json_object_object_add(o, "manifest", manifest);
	json_object_object_add(o, "runs", runs);
	bench_add_ratios(o, c);
	return o;
}

void bench_print_json(struct json_object *o)
{
	printf("%s\n",
	       json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
							 JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static const char *rate_text(double v, char *buf, size_t len)
{
	if (v >= 1e6)
		snprintf(buf, len, "%.2f M", v / 1e6);
	else if (v >= 1e4)
		snprintf(buf, len, "%.1f k", v / 1e3);
	else
		snprintf(buf, len, "%.0f", v);
	return buf;
}

void bench_print_run(const struct bench_words *w, const struct bench_result *r)
{
	char rate[32];

	if (r->seconds > 0) {
		rate_text(bench_rate(r), rate, sizeof(rate));
		if (w->packets)
			printf("  %-10s %s, %.2f Gbit/s", w->rate_name, rate, gbit_s(r));
		else
			printf("  %-10s %s, %.0f MiB/s", w->rate_name, rate, mib_s(r));
		if (r->sent)
			printf(", %.4g %% lost", bench_loss(r) * 100);
		printf("\n");
	}
	if (r->seconds > 0 && (r->lat.count || !w->packets))
		printf("  %-10s mean %.1f us, p50 %.1f, p99 %.1f, p99.9 %.1f, max %.1f\n",
		       "latency", mean_us(&r->lat), quantile_us(&r->lat, 0.5),
		       quantile_us(&r->lat, 0.99), quantile_us(&r->lat, 0.999),
		       (double)r->lat.max / US);
	if (r->backend_cpu > 0) {
		printf("  %-10s %.2f cores, %s %s a core", "back end", r->backend_cpu,
		       rate_text(bench_rate(r) / r->backend_cpu, rate, sizeof(rate)), w->rate_name);
		if (w->packets && bench_cycles(r) >= 0)
			printf(", %.0f cycles a packet", bench_cycles(r));
		printf("\n");
	}
	if (r->load_busy >= 0)
		printf("  %-10s %.0f %% of the time busy\n", "load", r->load_busy * 100);
	if (r->idle_cpu >= 0)
		printf("  %-10s %.2f %% of a core\n", "idle", r->idle_cpu * 100);
	if (r->rss_kib >= 0)
		printf("  %-10s %.1f MiB besides the guest's\n", "resident", r->rss_kib / 1024);
}

void bench_print_histogram(const struct iol_hist *lat)
{
	/* Two rows a power of two are a picture; the buckets are finer. */
	enum { ROWS = 2 * IOL_HIST_MAX_BITS, WIDTH = 50 };
	uint64_t row[ROWS] = { 0 }, most = 0, at;
	int i, first = ROWS, last = -1;
	unsigned int b;

	for (b = 0; b < IOL_HIST_BUCKETS; b++) {
		unsigned int shift = b / IOL_HIST_SUB ? b / IOL_HIST_SUB - 1 : 0;

		if (!lat->bucket[b])
			continue;
		at = b < IOL_HIST_SUB ? b : (uint64_t)(b % IOL_HIST_SUB + IOL_HIST_SUB) << shift;
		for (i = 0; i + 1 < ROWS; i++) {
			uint64_t next = (i + 1) % 2 ? 3ull << ((i + 1) / 2) >> 1
						    : 1ull << ((i + 1) / 2);

			if (at < next)
				break;
		}
		row[i] += lat->bucket[b];
		if (row[i] > most)
			most = row[i];
		first = i < first ? i : first;
		last = i > last ? i : last;
	}
	for (i = first; i <= last; i++) {
		uint64_t from = i % 2 ? 3ull << (i / 2) >> 1 : 1ull << (i / 2);
		int bar = (int)(row[i] * WIDTH / most);

		printf("  %10.1f us |%-*.*s| %.3f %%\n", (double)from / US, WIDTH, bar,
		       "##################################################",
		       100.0 * (double)row[i] / (double)lat->count);
	}
}

enum column {
	COLUMN_RATE,
	COLUMN_P50,
	COLUMN_P99,
	COLUMN_CPU,
	COLUMN_IDLE,
	COLUMN_RSS,
	COLUMN_START,
	COLUMNS,
	/* Of packets only. */
	COLUMN_LOSS = COLUMNS,
	COLUMN_CYCLES,
	COLUMN_BUSY,
	COLUMNS_OF_PACKETS,
};

static double value(const struct bench_result *r, enum column column)
{
	switch (column) {
	case COLUMN_RATE:
		return bench_rate(r);
	case COLUMN_P50:
		return r->lat.count ? quantile_us(&r->lat, 0.5) : -1;
	case COLUMN_P99:
		return r->lat.count ? quantile_us(&r->lat, 0.99) : -1;
	case COLUMN_CPU:
		return r->backend_cpu;
	case COLUMN_IDLE:
		return r->idle_cpu < 0 ? -1 : r->idle_cpu * 100;
	case COLUMN_RSS:
		return r->rss_kib < 0 ? -1 : r->rss_kib / 1024;
	case COLUMN_START:
		return r->start_ms;
	case COLUMN_LOSS:
		return r->sent ? bench_loss(r) * 100 : -1;
	case COLUMN_CYCLES:
		return bench_cycles(r);
	case COLUMN_BUSY:
		return r->load_busy < 0 ? -1 : r->load_busy * 100;
	default:
		return -1;
	}
}

/* Each column's median over the rounds, for each entrant. */
static void print_medians(const struct bench_words *w, const struct bench_comparison *c)
{
	double v[BENCH_ROUNDS_MAX];
	unsigned int round, i;
	char rate[32];
	int column;

	printf("\nmedians %14s   p50 us   p99 us    cores  idle %%  RSS MiB start ms%s\n",
	       w->rate_name, w->packets ? "   lost %   cycles  load %" : "");
	for (i = 0; i < c->n; i++) {
		printf("%c      ", 'A' + (int)i);
		for (column = 0; column < (w->packets ? COLUMNS_OF_PACKETS : COLUMNS); column++) {
			double median;

			for (round = 0; round < c->rounds; round++)
				v[round] = value(&c->results[round * c->n + i], column);
			median = bench_median(v, c->rounds);
			if (column == COLUMN_RATE)
				printf(" %14s", rate_text(median, rate, sizeof(rate)));
			else if (median < 0)
				printf("        -");
			else
				printf(" %8.*f",
				       column == COLUMN_CPU || column == COLUMN_IDLE ||
						       column == COLUMN_LOSS
					       ? 2
					       : 1,
				       median);
		}
		printf("\n");
	}
}

void bench_print_entrants(const struct bench_comparison *c)
{
	for (unsigned int i = 0; i < c->n; i++)
		printf("%c  %-22s %s\n", 'A' + (int)i, c->entrant[i].name,
		       c->entrant[i].cmd ? c->entrant[i].cmd : "in this process");
}

void bench_print_ratios(const struct bench_comparison *c)
{
	for (unsigned int i = 0; i + 1 < c->n; i++)
		printf("\nA/%c: median %.3f, from %.3f to %.3f  (%s to %s)", 'B' + (int)i,
		       c->ratio[i].median, c->ratio[i].min, c->ratio[i].max, c->entrant[0].name,
		       c->entrant[i + 1].name);
	if (c->n > 1)
		printf("\n");
}

void bench_print_comparison(const struct bench_words *w, const struct bench_comparison *c)
{
	unsigned int round, i;
	char rate[32];

	bench_print_entrants(c);
	printf("\nround");
	for (i = 0; i < c->n; i++)
		printf("  %c %10s", 'A' + (int)i, w->rate_name);
	for (i = 1; i < c->n; i++)
		printf("     A/%c", 'A' + (int)i);
	printf("\n");
	for (round = 0; round < c->rounds; round++) {
		printf("%5u", round + 1);
		for (i = 0; i < c->n; i++)
			printf("  %12s", rate_text(bench_rate(&c->results[round * c->n + i]), rate,
						   sizeof(rate)));
		for (i = 0; i + 1 < c->n; i++)
			printf("  %6.3f", c->ratio[i].rounds[round]);
		printf("\n");
	}
	print_medians(w, c);
	bench_print_ratios(c);
}
