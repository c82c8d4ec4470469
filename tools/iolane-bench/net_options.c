/* SPDX-License-Identifier: BSD-3-Clause */
#include "net.h"

#include "base/error.h"
#include "tools/common/opt.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define RATE_MAX 1e9
#define PID_MAX  (1u << 22) /* the kernel's own limit */

enum {
	O_TX = 1,
	O_RX,
	O_COMPARE,
	O_AGAINST,
	O_TO_NULL,
	O_FROM_NULL,
	O_LOAD_ONLY,
	O_QUEUES,
	O_RING,
	O_ROUNDS,
	O_SIZE,
	O_BURST,
	O_RATE,
	O_ZERO_LOSS,
	O_MAX_LOSS,
	O_PACKED,
	O_MRG,
	O_NO_EVENT_IDX,
	O_RUNTIME,
	O_RAMP,
	O_WAIT,
	O_CPU,
	O_BACKEND_CPUS,
	O_PID,
	O_HISTOGRAM,
	O_JSON,
	O_HELP,
};

static const struct opt options[] = {
	{ .name = "tx", .arg = "PATH", .id = O_TX },
	{ .name = "rx", .arg = "PATH", .id = O_RX },
	{ .name = "compare", .arg = "CMD", .id = O_COMPARE, .repeat = true },
	{ .name = "against", .arg = "testpmd", .id = O_AGAINST },
	{ .name = "to-null", .id = O_TO_NULL },
	{ .name = "from-null", .id = O_FROM_NULL },
	{ .name = "load-only", .id = O_LOAD_ONLY },
	{ .name = "queues", .arg = "N", .id = O_QUEUES },
	{ .name = "ring", .arg = "N", .id = O_RING },
	{ .name = "rounds", .arg = "N", .id = O_ROUNDS },
	{ .name = "size", .arg = "BYTES", .id = O_SIZE },
	{ .name = "burst", .arg = "N", .id = O_BURST },
	{ .name = "rate", .arg = "N", .id = O_RATE },
	{ .name = "zero-loss", .id = O_ZERO_LOSS },
	{ .name = "max-loss", .arg = "PERCENT", .id = O_MAX_LOSS },
	{ .name = "packed", .id = O_PACKED },
	{ .name = "mrg", .id = O_MRG },
	{ .name = "no-event-idx", .id = O_NO_EVENT_IDX },
	{ .name = "runtime", .arg = "S", .id = O_RUNTIME },
	{ .name = "ramp", .arg = "S", .id = O_RAMP },
	{ .name = "wait", .arg = "S", .id = O_WAIT },
	{ .name = "cpu", .arg = "N", .id = O_CPU },
	{ .name = "backend-cpus", .arg = "LIST", .id = O_BACKEND_CPUS },
	{ .name = "backend-pid", .arg = "PID", .id = O_PID },
	{ .name = "histogram", .id = O_HISTOGRAM },
	{ .name = "json", .id = O_JSON },
	{ .name = "help", .id = O_HELP },
	{ .name = NULL },
};

static int parse_size(const char *text, uint32_t *size)
{
	unsigned int n;
	int rc;

	*size = 0;
	if (!strcmp(text, "imix"))
		return 0;
	rc = opt_uint("--size", text, NET_SIZE_MIN, NET_SIZE_MAX, &n);
	*size = n;
	return rc;
}

/* "max", or packets a second as a person writes them: 500k, 1.5M. */
static int parse_rate(const char *text, double *rate)
{
	char *end;

	*rate = 0;
	if (!strcmp(text, "max"))
		return 0;
	*rate = strtod(text, &end);
	if (end != text && (*end == 'k' || *end == 'M'))
		*rate *= *end++ == 'k' ? 1e3 : 1e6;
	if (end == text || *end || !(*rate >= 1 && *rate <= RATE_MAX))
		return iol_fail(
			EINVAL,
			"--rate must be packets a second (such as 500k or 1.5M) or max, not "
			"\"%s\"",
			text);
	return 0;
}

static int parse_percent(const char *text, double *part)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !(v >= 0 && v < 100))
		return iol_fail(EINVAL,
				"--max-loss must be packets in a hundred, such as 0.01, not "
				"\"%s\"",
				text);
	*part = v / 100;
	return 0;
}

static bool *flag(int option, struct net_options *o)
{
	switch (option) {
	case O_TO_NULL:
		return &o->to_null;
	case O_FROM_NULL:
		return &o->from_null;
	case O_LOAD_ONLY:
		return &o->load_only;
	case O_PACKED:
		return &o->packed;
	case O_MRG:
		return &o->mrg;
	case O_ZERO_LOSS:
		return &o->search;
	case O_NO_EVENT_IDX:
		return &o->no_event_idx;
	case O_HISTOGRAM:
		return &o->histogram;
	case O_JSON:
		return &o->json;
	case O_HELP:
		return &o->help;
	default:
		return NULL;
	}
}

static int take_value(int option, const char *text, struct net_options *o)
{
	unsigned int n = 0;
	int rc;

	switch (option) {
	case O_TX:
		o->tx = text;
		return 0;
	case O_RX:
		o->rx = text;
		return 0;
	case O_COMPARE:
		if (o->n_compare == NET_COMPARE_MAX)
			return iol_fail(EINVAL, "--compare can be given %d times at most",
					NET_COMPARE_MAX);
		o->compare[o->n_compare++] = text;
		return 0;
	case O_AGAINST:
		o->against = text;
		return 0;
	case O_QUEUES:
		return opt_uint("--queues", text, 1, NET_PAIRS_MAX, &o->queues);
	case O_RING:
		return opt_uint("--ring", text, NET_RING_MIN, NET_RING_MAX, &o->ring);
	case O_ROUNDS:
		return opt_uint("--rounds", text, 1, BENCH_ROUNDS_MAX, &o->rounds);
	case O_SIZE:
		return parse_size(text, &o->size);
	case O_BURST:
		return opt_uint("--burst", text, 1, NET_BURST_MAX, &o->burst);
	case O_RATE:
		return parse_rate(text, &o->rate);
	case O_MAX_LOSS:
		o->search = true;
		return parse_percent(text, &o->max_loss);
	case O_RUNTIME:
		return opt_seconds("--runtime", text, &o->runtime);
	case O_RAMP:
		return opt_seconds("--ramp", text, &o->ramp);
	case O_WAIT:
		return opt_seconds("--wait", text, &o->wait);
	case O_CPU:
		rc = opt_uint("--cpu", text, 0, CPU_SETSIZE - 1, &n);
		o->cpu = (int)n;
		o->have_cpu = true;
		return rc;
	case O_BACKEND_CPUS:
		o->have_backend_cpus = true;
		return opt_cpus("--backend-cpus", text, &o->backend_cpus);
	default:
		rc = opt_uint("--backend-pid", text, 1, PID_MAX, &n);
		o->backend_pid = (pid_t)n;
		return rc;
	}
}

static int check_source(const struct net_options *o)
{
	const bool sockets = o->tx || o->rx;

	if (sockets + !!o->n_compare + !!o->against + o->load_only > 1)
		return iol_fail(EINVAL,
				"--tx and --rx, --compare, --against and --load-only each say "
				"what to measure; give one");
	if (o->backend_pid && !sockets)
		return iol_fail(EINVAL, "--backend-pid goes with --tx and --rx only");
	if (!sockets && !o->n_compare && !o->against && !o->load_only)
		return iol_fail(
			EINVAL,
			"say where to send and where to receive: --tx=PATH and --rx=PATH of "
			"two ports' sockets, or --compare='CMD' or --against=testpmd to start back "
			"ends");
	if (o->tx && o->rx && !strcmp(o->tx, o->rx))
		return iol_fail(EINVAL, "--tx and --rx must be different ports");
	if ((o->to_null || o->from_null) && !o->n_compare && !o->against)
		return iol_fail(EINVAL,
				"--to-null and --from-null are of back ends that are started; "
				"for one that runs give only --tx, or only --rx");
	if (o->to_null && o->from_null)
		return iol_fail(EINVAL, "--to-null and --from-null exclude each other");
	return 0;
}

static int check(const struct net_options *o)
{
	int rc = check_source(o);

	if (rc < 0)
		return rc;
	if (o->search && o->rate > 0)
		return iol_fail(EINVAL,
				"--zero-loss and --max-loss look for the rate; leave out --rate");
	if (o->search && !(net_sends(o) && net_receives(o)))
		return iol_fail(
			EINVAL,
			"--zero-loss and --max-loss need both ends: with one nothing is known "
			"to be lost");
	if (o->rate > 0 && !net_sends(o))
		return iol_fail(EINVAL, "--rate is of what is sent, and nothing is");
	if (o->from_null && !o->size)
		return iol_fail(EINVAL, "--from-null has frames of one size");
	if ((o->to_null || o->from_null) && o->size > NET_NULL_SIZE_MAX)
		return iol_fail(EINVAL,
				"--to-null and --from-null have frames of %d bytes at most, as "
				"uplinks have",
				NET_NULL_SIZE_MAX);
	if (o->load_only && (!o->size || o->mrg))
		return iol_fail(EINVAL,
				"--load-only has frames of one size, each in one buffer: no "
				"--size=imix, no --mrg");
	if (o->ring & (o->ring - 1))
		return iol_fail(EINVAL, "--ring=%u: the size of a ring is a power of two", o->ring);
	if (o->burst > o->ring)
		return iol_fail(EINVAL, "--burst=%u is more than a ring of %u holds", o->burst,
				o->ring);
	if (o->runtime <= 0)
		return iol_fail(EINVAL, "--runtime=0 leaves nothing to measure");
	return 0;
}

bool net_sends(const struct net_options *o)
{
	return !o->from_null && (o->tx || !o->rx);
}

bool net_receives(const struct net_options *o)
{
	return !o->to_null && (o->rx || !o->tx);
}

int net_options_parse(int argc, char **argv, struct net_options *o)
{
	struct opt_parser parser = { .opts = options, .argc = argc, .argv = argv, .next = 1 };
	const char *value;
	int id, rc;
	bool *f;

	*o = (struct net_options){ .size = NET_SIZE_MIN,
				   .burst = 32,
				   .ring = NET_RING_MAX,
				   .queues = 1,
				   .rounds = 9,
				   .runtime = 5,
				   .ramp = 0.5,
				   .wait = 15 };
	while ((id = opt_next(&parser, &value)) > 0) {
		if (id == OPT_WORD)
			return iol_fail(EINVAL, "\"%s\" is no option", value);
		f = flag(id, o);
		if (f)
			*f = true;
		rc = f ? 0 : take_value(id, value, o);
		if (rc < 0 || o->help)
			return rc;
	}
	return id < 0 ? id : check(o);
}

struct json_object *net_options_json(const struct net_options *o)
{
	struct json_object *j = json_object_new_object();
	char cpus[256];

	json_object_object_add(j, "size",
			       o->size ? json_object_new_int((int)o->size)
				       : json_object_new_string("imix"));
	json_object_object_add(j, "burst", json_object_new_int((int)o->burst));
	json_object_object_add(j, "ring", json_object_new_int((int)o->ring));
	json_object_object_add(j, "queues", json_object_new_int((int)o->queues));
	json_object_object_add(j, "sends", json_object_new_boolean(net_sends(o)));
	json_object_object_add(j, "receives", json_object_new_boolean(net_receives(o)));
	json_object_object_add(j, "rate",
			       o->rate > 0 ? json_object_new_double(o->rate)
					   : json_object_new_string("max"));
	if (o->search)
		json_object_object_add(j, "max_loss", json_object_new_double(o->max_loss));
	json_object_object_add(j, "runtime", json_object_new_double(o->runtime));
	json_object_object_add(j, "ramp", json_object_new_double(o->ramp));
	json_object_object_add(j, "packed", json_object_new_boolean(o->packed));
	json_object_object_add(j, "mrg", json_object_new_boolean(o->mrg));
	json_object_object_add(j, "event_idx", json_object_new_boolean(!o->no_event_idx));
	if (o->have_cpu)
		json_object_object_add(j, "load_cpu", json_object_new_int(o->cpu));
	if (o->have_backend_cpus)
		json_object_object_add(j, "backend_cpus",
				       json_object_new_string(bench_format_cpus(
					       &o->backend_cpus, cpus, sizeof(cpus))));
	return j;
}
