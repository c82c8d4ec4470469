/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of iolane-bench: options, numbers, verification, back ends it starts, rounds, load. */
#include "blk.h"

#include "base/own.h"
#include "tools/common/opt.h"
#include "vhost-user/memory.h"
#include "vhost-user/ring.h"

#include <iolane/base.h>

#include <errno.h>
#include <json-c/json.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <cmocka.h>

#define MIB (1ull << 20)

volatile int bench_interrupted;

/* ---- options ---- */

static int parse(const char *line, struct blk_options *o)
{
	static char buf[512];
	char *argv[32] = { NULL };
	int argc = 0;
	char *word, *save = NULL;

	snprintf(buf, sizeof(buf), "blk %s", line);
	for (word = strtok_r(buf, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	return blk_options_parse(argc, argv, o);
}

static void good_options(void **state)
{
	struct blk_options o;

	assert_int_equal(parse("--socket=/x", &o), 0);
	assert_int_equal(o.rw, BLK_RANDREAD);
	assert_int_equal(o.bs, 4096);
	assert_int_equal(o.depth, 32);
	assert_int_equal(o.queues, 1);
	assert_int_equal(o.rounds, 9);
	assert_string_equal(o.sockets[0], "/x");
	assert_false(blk_writes(&o));
	assert_int_equal(parse("--socket /x --rw=randrw --read-percent=70 --bs=128k --iodepth=7 "
			       "--queues=4 --runtime=0.5 --ramp=0 --packed --verify --json "
			       "--backend-pid=12 --cpu=1,3-4",
			       &o),
			 0);
	assert_int_equal(o.rw, BLK_RANDRW);
	assert_true(blk_writes(&o) && blk_reads(&o));
	assert_int_equal(o.read_percent, 70);
	assert_int_equal(o.bs, 128 << 10);
	assert_int_equal(o.depth, 7);
	assert_true(o.runtime == 0.5 && o.ramp == 0);
	assert_true(o.packed && o.verify && o.json && o.have_cpus);
	assert_int_equal(o.backend_pid, 12);
	assert_int_equal(CPU_COUNT(&o.cpus), 3);
	assert_int_equal(parse("--compare=a --compare=b --rounds=3", &o), 0);
	assert_int_equal(o.n_compare, 2);
	assert_int_equal(parse("--against=qemu-storage-daemon --blk-file=null:1G", &o), 0);
	assert_int_equal(parse("--raw --blk-file=f", &o), 0);
	assert_int_equal(parse("--help", &o), 0);
	assert_true(o.help);
	assert_int_equal(parse("--socket=/x --socket=/y --runtime=0 --idle=3", &o), 0);
	assert_int_equal(o.n_sockets, 2);
}

static void bad_options_are_named(void **state)
{
	static const struct {
		const char *line, *says;
	} bad[] = {
		{ "", "--socket" },
		{ "--socket=/x --what", "--what" },
		{ "--socket", "needs a value" },
		{ "--socket=", "--socket" },
		{ "--socket=/x extra", "extra" },
		{ "--socket=/x --rw=sometimes", "sometimes" },
		{ "--socket=/x --bs=1000", "--bs" },
		{ "--socket=/x --bs=32M", "--bs" },
		{ "--socket=/x --bs=4q", "--bs" },
		{ "--socket=/x --iodepth=0", "--iodepth" },
		{ "--socket=/x --iodepth=5000", "--iodepth" },
		{ "--socket=/x --queues=65", "--queues" },
		{ "--socket=/x --rounds=0", "--rounds" },
		{ "--socket=/x --runtime=-1", "--runtime" },
		{ "--socket=/x --runtime=nan", "--runtime" },
		{ "--socket=/x --runtime=1s", "--runtime" },
		{ "--socket=/x --runtime=0", "--idle" },
		{ "--socket=/x --backend-pid=0", "--backend-pid" },
		{ "--socket=/x --cpu=", "--cpu" },
		{ "--socket=/x --cpu=1-", "--cpu" },
		{ "--socket=/x --cpu=3-1", "--cpu" },
		{ "--socket=/x --cpu=9999", "--cpu" },
		{ "--socket=/x --read-percent=70", "--read-percent" },
		{ "--socket=/x --rw=randrw --read-percent=101", "--read-percent" },
		{ "--socket=/x --compare=a", "--compare" },
		{ "--socket=/x --raw --blk-file=f", "--raw" },
		{ "--socket=/x --socket=/y", "--idle" },
		{ "--compare=a --against=b --blk-file=f", "--compare" },
		{ "--against=b", "--blk-file" },
		{ "--raw", "--blk-file" },
		{ "--raw --blk-file=null:1G", "null" },
		{ "--raw --blk-file=f --verify", "--verify" },
	};
	struct blk_options o;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int rc = parse(bad[i].line, &o);

		if ((rc != -EINVAL && rc != -ERANGE) || !strstr(iol_error(), bad[i].says))
			fail_msg("\"%s\" gave %d: %s", bad[i].line, rc, iol_error());
	}
}

/* ---- numbers ---- */

static void cpu_lists(void **state)
{
	char buf[64];
	cpu_set_t set;

	assert_int_equal(opt_cpus("--cpu", "0,2-4,9", &set), 0);
	assert_string_equal(bench_format_cpus(&set, buf, sizeof(buf)), "0,2-4,9");
	assert_int_equal(bench_cpu_nth(&set, 0), 0);
	assert_int_equal(bench_cpu_nth(&set, 4), 9);
	assert_int_equal(bench_cpu_nth(&set, 6), 2);
}

static void medians(void **state)
{
	double odd[] = { 3, 1, 2 }, even[] = { 4, 1, 3, 2 };

	assert_true(bench_median(odd, 3) == 2);
	assert_true(bench_median(even, 4) == 2.5);
	assert_true(bench_median(even, 0) == 0);
}

static void a_process_is_measured(void **state)
{
	volatile unsigned int spin;
	int64_t before = bench_proc_cpu_ns(getpid());

	for (spin = 0; spin < 1000000; spin++)
		;
	assert_true(before > 0 && bench_proc_cpu_ns(getpid()) > before);
	assert_true(bench_proc_rss_kib(getpid()) > 0);
	assert_int_equal(bench_proc_cpu_ns(-1), -1);
}

/* ---- verification ---- */

static void what_was_written_is_what_is_read(void **state)
{
	struct blk_verify v;
	uint64_t a[512], b[512];

	assert_int_equal(blk_verify_init(&v, 8, sizeof(a), 77), 0);
	memset(a, 0, sizeof(a));
	assert_true(blk_verify_check(&v, 3, a)); /* anything goes before the first write */
	blk_verify_stamp(&v, 3, a);
	assert_true(blk_verify_check(&v, 3, a));
	memcpy(b, a, sizeof(a));
	blk_verify_stamp(&v, 3, a);
	assert_true(blk_verify_check(&v, 3, a));
	assert_false(blk_verify_check(&v, 3, b));
	assert_non_null(strstr(iol_error(), "another write"));
	/* The last sector is the old one: a torn write. */
	memcpy(b, a, sizeof(a) - 512);
	assert_false(blk_verify_check(&v, 3, b));
	assert_non_null(strstr(iol_error(), "15872"));
	blk_verify_stamp(&v, 4, b);
	assert_false(blk_verify_check(&v, 3, b));
	assert_non_null(strstr(iol_error(), "belongs elsewhere"));
	a[511] ^= 1ull << 63;
	assert_false(blk_verify_check(&v, 3, a));
	assert_non_null(strstr(iol_error(), "damaged"));
	memset(a, 0, sizeof(a));
	assert_false(blk_verify_check(&v, 3, a));
	assert_non_null(strstr(iol_error(), "not what was written"));
	blk_verify_free(&v);
}

static void busy_blocks_are_left_alone(void **state)
{
	struct blk_verify v;
	int i;

	assert_int_equal(blk_verify_init(&v, 2, 512, 1), 0);
	assert_true(blk_verify_begin(&v, 0, true));
	assert_false(blk_verify_begin(&v, 0, true));
	assert_false(blk_verify_begin(&v, 0, false));
	blk_verify_end(&v, 0, true);
	for (i = 0; i < BLK_BUSY_WRITING - 1; i++)
		assert_true(blk_verify_begin(&v, 0, false));
	assert_false(blk_verify_begin(&v, 0, false));
	assert_false(blk_verify_begin(&v, 0, true));
	blk_verify_end(&v, 0, false);
	assert_true(blk_verify_begin(&v, 0, false));
	blk_verify_free(&v);
}

/* ---- back ends that the bench starts ---- */

static const char *const sockets[] = { "socket", NULL };

static void a_back_end_that_does_not_start(void **state)
{
	struct bench_backend b;
	char name[32];

	assert_int_equal(bench_backend_start("true", sockets, NULL, &b), -EINVAL);
	assert_non_null(strstr(iol_error(), "{socket}"));
	assert_int_equal(bench_backend_start("'unfinished {socket}", sockets, NULL, &b), -EINVAL);
	assert_int_equal(bench_backend_start("/nonexistent/program {socket}", sockets, NULL, &b),
			 -ECHILD);
	assert_non_null(strstr(iol_error(), "cannot run /nonexistent/program"));
	assert_int_equal(
		bench_backend_start("sh -c 'echo first; echo no disk >&2; exit 3' {socket}",
				    sockets, NULL, &b),
		-ECHILD);
	assert_non_null(strstr(iol_error(), "it said: no disk"));
	bench_backend_name("/usr/bin/prog --x=/y {socket}", name, sizeof(name));
	assert_string_equal(name, "prog");
}

static void a_back_end_is_started_and_stopped(void **state)
{
	struct bench_backend b;
	struct stat st;
	char dir[64];

	/* A listener that ignores SIGTERM for a while is the hard case; python is always there. */
	assert_int_equal(bench_backend_start("python3 -c \"import socket,signal,sys\n"
					     "s=socket.socket(socket.AF_UNIX)\n"
					     "s.bind(sys.argv[1])\n"
					     "s.listen()\n"
					     "signal.pause()\" {socket}",
					     sockets, NULL, &b),
			 0);
	assert_true(b.fd >= 0 && b.pid > 0 && b.start_ms > 0);
	assert_int_equal(kill(b.pid, 0), 0);
	snprintf(dir, sizeof(dir), "%s", b.dir);
	bench_backend_stop(&b);
	assert_int_equal(b.pid, -1);
	assert_int_equal(stat(dir, &st), -1);
}

static void a_back_end_of_two_sockets(void **state)
{
	static const char *const both[] = { "tx", "rx", NULL };
	struct bench_backend b;
	struct stat st;

	assert_int_equal(bench_backend_start("true {tx}", both, NULL, &b), -EINVAL);
	assert_non_null(strstr(iol_error(), "{rx}"));
	assert_int_equal(bench_backend_start("python3 -c \"import socket,signal,sys\n"
					     "s=[socket.socket(socket.AF_UNIX) for i in range(2)]\n"
					     "[a.bind(b) for a,b in zip(s,sys.argv[1:])]\n"
					     "[a.listen() for a in s]\n"
					     "signal.pause()\" {tx} {rx}",
					     both, NULL, &b),
			 0);
	assert_int_equal(b.n, 2);
	assert_int_equal(stat(b.socket[1], &st), 0);
	assert_string_not_equal(b.socket[0], b.socket[1]);
	bench_backend_stop(&b);
	assert_int_equal(stat(b.socket[1], &st), -1);
}

/* ---- rounds ---- */

struct fake {
	uint64_t ops[3];
	unsigned int calls;
	char *order;
	char letter;
};

static int fake_run(void *ctx, struct bench_backend *backend, struct bench_result *r)
{
	struct fake *f = ctx;
	size_t len = strlen(f->order);

	assert_null(backend);
	f->order[len] = f->letter;
	if (f->ops[f->calls] == UINT64_MAX)
		return -EIO;
	r->seconds = 2;
	r->ops = f->ops[f->calls++];
	r->bytes = r->ops * 4096;
	iol_hist_add(&r->lat, 1000);
	return 0;
}

static void rounds_interleave(void **state)
{
	static const struct bench_words words = { "iops", "IOPS" };
	char order[16] = "";
	struct fake a = { { 400, 300, 600 }, 0, order, 'A' };
	struct fake b = { { 200, 300, 200 }, 0, order, 'B' };
	struct fake z = { { 800, 800, 800 }, 0, order, 'C' };
	struct bench_comparison c = { .entrant = { { .name = "a", .run = fake_run, .ctx = &a },
						   { .name = "b", .run = fake_run, .ctx = &b },
						   { .name = "c", .run = fake_run, .ctx = &z } },
				      .n = 3,
				      .rounds = 3 };
	struct json_object *o, *runs, *ratio, *x;

	assert_int_equal(bench_compare(&c), 0);
	assert_string_equal(order, "ABCABCABC");
	assert_true(c.ratio[0].median == 2 && c.ratio[0].min == 1 && c.ratio[0].max == 3);
	assert_true(c.ratio[0].rounds[0] == 2 && c.ratio[0].rounds[1] == 1);
	assert_true(c.ratio[1].median == 0.5);

	o = bench_comparison_json(&words, &c, json_object_new_object());
	runs = json_object_object_get(o, "runs");
	assert_int_equal(json_object_array_length(runs), 9);
	x = json_object_array_get_idx(runs, 4);
	assert_string_equal(json_object_get_string(json_object_object_get(x, "name")), "b");
	assert_int_equal(json_object_get_int(json_object_object_get(x, "round")), 2);
	assert_int_equal(json_object_get_int(json_object_object_get(x, "iops")), 150);
	assert_true(json_object_get_double(json_object_object_get(
			    json_object_object_get(x, "lat_us"), "p999")) == 1.0);
	ratio = json_object_object_get(o, "ratio");
	assert_string_equal(json_object_get_string(json_object_array_get_idx(
				    json_object_object_get(ratio, "of"), 1)),
			    "b");
	assert_true(json_object_get_double(json_object_object_get(ratio, "median")) == 2.0);
	assert_int_equal(json_object_array_length(json_object_object_get(o, "ratios")), 2);
	json_object_put(o);
	bench_comparison_free(&c);
}

static void a_failure_ends_the_rounds(void **state)
{
	char order[16] = "";
	struct fake a = { { 1, UINT64_MAX }, 0, order, 'A' };
	struct bench_comparison c = {
		.entrant = { { .name = "broken", .run = fake_run, .ctx = &a } }, .n = 1, .rounds = 3
	};

	assert_int_equal(bench_compare(&c), -EIO);
	assert_non_null(strstr(iol_error(), "broken, round 2"));
	bench_comparison_free(&c);
	bench_interrupted = 1;
	memset(order, 0, sizeof(order));
	assert_int_equal(bench_compare(&c), -EINTR);
	bench_interrupted = 0;
	bench_comparison_free(&c);
}

/* ---- load ---- */

#define DISK_BYTES (256 * 1024)
#define BS         4096
#define DEPTH      16

/* A disk in memory that serves one queue on a thread; it can spoil one write, or fail. */
struct disk {
	struct iol_ring *ring;
	uint8_t data[DISK_BYTES];
	/* Both threads look at them while the ring alone orders the threads. */
	unsigned int requests, spoil_at, fail_at;
	int stop;
	pthread_t thread;
};

static uint8_t serve(struct disk *d, const struct iol_chain *c)
{
	struct virtio_blk_outhdr *h = c->iov[0].iov_base;
	uint64_t off = h->sector << 9;
	unsigned int n = __atomic_add_fetch(&d->requests, 1, __ATOMIC_RELAXED);

	assert_int_equal(c->iov[0].iov_len, sizeof(*h));
	assert_true(off + BS <= DISK_BYTES);
	if (n == d->fail_at)
		return VIRTIO_BLK_S_IOERR;
	if (h->type == VIRTIO_BLK_T_IN) {
		assert_int_equal(c->nout, 1);
		memcpy(c->iov[1].iov_base, d->data + off, BS);
	} else {
		assert_int_equal(c->nout, 2);
		memcpy(d->data + off, c->iov[1].iov_base, BS);
		if (d->spoil_at && n >= d->spoil_at)
			d->data[off + 100] ^= 1;
	}
	return VIRTIO_BLK_S_OK;
}

static void *serve_ring(void *arg)
{
	struct disk *d = arg;
	struct iol_chain chain;

	while (!__atomic_load_n(&d->stop, __ATOMIC_ACQUIRE)) {
		if (iol_ring_pop(d->ring, &chain, 1) != 1) {
			sched_yield();
			continue;
		}
		*(uint8_t *)chain.iov[chain.nout + chain.nin - 1].iov_base = serve(d, &chain);
		iol_ring_push(d->ring, chain.id, chain.ndesc, chain.in_len);
		iol_ring_publish(d->ring);
	}
	return NULL;
}

struct rig {
	struct iol_guest_memory *mem;
	struct iol_mem *table;
	struct iol_guest_queue *gq;
	struct blk_stream stream;
	struct blk_worker worker;
	struct disk disk;
	bool broken;
	int wake;
};

static struct rig *set_up(uint64_t features, unsigned int spoil_at, unsigned int fail_at)
{
	struct iol_guest_memory_spec mspec = { .size = 2 * MIB, .below_4g = MIB };
	struct iol_guest_queue_spec qspec = { .size = 64, .features = features, .segs_max = 3 };
	struct rig *g = calloc(1, sizeof(*g));
	struct iol_ring_spec spec = { .size = 64 };
	struct iol_mem_desc desc[2];
	int fds[2], i;

	g->disk.spoil_at = spoil_at;
	g->disk.fail_at = fail_at;
	g->wake = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(iol_guest_memory_new(&mspec, &g->mem), 0);
	for (i = 0; i < 2; i++) {
		const struct iol_guest_region *r = iol_guest_memory_region(g->mem, (unsigned int)i);

		desc[i] = (struct iol_mem_desc){ r->gpa, r->size, (uintptr_t)r->host, r->offset };
		fds[i] = r->fd;
	}
	assert_int_equal(iol_mem_new(desc, fds, 2, g->wake, &g->broken, &g->table), 0);
	assert_int_equal(iol_guest_queue_new(g->mem, &qspec, &g->gq), 0);
	assert_int_equal(blk_stream_init(&g->stream, g->mem, g->gq, DEPTH, BS, 0), 0);
	spec.packed = features >> VIRTIO_F_RING_PACKED & 1;
	spec.event_idx = features >> VIRTIO_RING_F_EVENT_IDX & 1;
	spec.indirect = features >> VIRTIO_RING_F_INDIRECT_DESC & 1;
	spec.desc = (uintptr_t)g->gq->area[0];
	spec.avail = (uintptr_t)g->gq->area[1];
	spec.used = (uintptr_t)g->gq->area[2];
	spec.base = g->gq->setup.base;
	spec.mem = g->table;
	assert_int_equal(iol_ring_new(&g->disk.ring), 0);
	assert_int_equal(iol_ring_start(g->disk.ring, &spec), 0);
	g->worker.streams = &g->stream;
	g->worker.n = 1;
	g->worker.cpu = -1;
	assert_int_equal(pthread_create(&g->disk.thread, NULL, serve_ring, &g->disk), 0);
	return g;
}

static int run_load(struct rig *g, struct blk_load_spec *spec)
{
	spec->bs = BS;
	spec->blocks = DISK_BYTES / BS;
	spec->depth = DEPTH;
	g->worker.spec = spec;
	blk_workers_split(&g->worker, 1, spec);
	blk_worker_run(&g->worker);
	return g->worker.rc;
}

static unsigned int served(struct rig *g)
{
	return __atomic_exchange_n(&g->disk.requests, 0, __ATOMIC_RELAXED);
}

static void tear_down(struct rig *g)
{
	__atomic_store_n(&g->disk.stop, 1, __ATOMIC_RELEASE);
	pthread_join(g->disk.thread, NULL);
	iol_ring_stop(g->disk.ring);
	iol_ring_destroy(&g->disk.ring);
	blk_stream_free(&g->stream);
	iol_guest_queue_destroy(&g->gq);
	iol_mem_unref(&g->table);
	iol_guest_memory_destroy(&g->mem);
	close(g->wake);
	free(g);
}

static void load_in_every_ring(void **state)
{
	unsigned int i;

	for (i = 0; i < 8; i++) {
		uint64_t features = 1ull << VIRTIO_F_VERSION_1 |
				    (i & 1 ? 1ull << VIRTIO_F_RING_PACKED : 0) |
				    (i & 2 ? 1ull << VIRTIO_RING_F_EVENT_IDX : 0) |
				    (i & 4 ? 1ull << VIRTIO_RING_F_INDIRECT_DESC : 0);
		struct rig *g = set_up(features, 0, 0);
		struct blk_verify v;
		struct blk_load_spec fill = { .once = true, .verify = &v };
		struct blk_load_spec mix = { .random = true,
					     .read_percent = 50,
					     .run_ns = 20000000,
					     .seed = i,
					     .verify = &v };
		struct blk_load_spec back = {
			.once = true, .written_only = true, .read_percent = 100, .verify = &v
		};

		assert_int_equal(blk_verify_init(&v, DISK_BYTES / BS, BS, 5), 0);
		assert_int_equal(run_load(g, &fill), 0);
		assert_int_equal(served(g), DISK_BYTES / BS);
		assert_int_equal(run_load(g, &mix), 0);
		assert_true(g->worker.ops > 0);
		assert_int_equal(g->worker.bytes, g->worker.ops * BS);
		assert_int_equal(g->worker.lat.count, g->worker.ops);
		assert_int_equal(iol_driver_inflight(g->gq->driver), 0);
		assert_true(served(g) >= g->worker.ops);
		assert_int_equal(run_load(g, &back), 0);
		assert_int_equal(served(g), DISK_BYTES / BS);
		blk_verify_free(&v);
		tear_down(g);
	}
}

static void spoiled_data_is_found(void **state)
{
	struct rig *g = set_up(1ull << VIRTIO_F_VERSION_1, 30, 0);
	struct blk_verify v;
	struct blk_load_spec fill = { .once = true, .verify = &v };
	struct blk_load_spec back = {
		.once = true, .written_only = true, .read_percent = 100, .verify = &v
	};

	assert_int_equal(blk_verify_init(&v, DISK_BYTES / BS, BS, 5), 0);
	assert_int_equal(run_load(g, &fill), 0);
	assert_int_equal(run_load(g, &back), -EIO);
	assert_non_null(strstr(g->worker.error, "damaged"));
	blk_verify_free(&v);
	tear_down(g);
}

static void an_error_of_the_disk_is_told(void **state)
{
	struct rig *g = set_up(1ull << VIRTIO_F_VERSION_1, 0, 100);
	struct blk_load_spec load = { .random = true, .read_percent = 100, .run_ns = UINT32_MAX };

	assert_int_equal(run_load(g, &load), -EIO);
	assert_non_null(strstr(g->worker.error, "IOERR"));
	assert_non_null(strstr(g->worker.error, "read"));
	tear_down(g);
}

static void told_to_stop_it_stops(void **state)
{
	struct rig *g = set_up(1ull << VIRTIO_F_VERSION_1, 0, 0);
	struct blk_load_spec load = { .read_percent = 100, .run_ns = UINT32_MAX };

	/* Sequential, and no verification: nothing but the flag ends it. */
	g->worker.stop = 1;
	assert_int_equal(run_load(g, &load), 0);
	assert_int_equal(iol_driver_inflight(g->gq->driver), 0);
	assert_int_equal(served(g), DEPTH);
	tear_down(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_options),
		cmocka_unit_test(bad_options_are_named),
		cmocka_unit_test(cpu_lists),
		cmocka_unit_test(medians),
		cmocka_unit_test(a_process_is_measured),
		cmocka_unit_test(what_was_written_is_what_is_read),
		cmocka_unit_test(busy_blocks_are_left_alone),
		cmocka_unit_test(a_back_end_that_does_not_start),
		cmocka_unit_test(a_back_end_is_started_and_stopped),
		cmocka_unit_test(a_back_end_of_two_sockets),
		cmocka_unit_test(rounds_interleave),
		cmocka_unit_test(a_failure_ends_the_rounds),
		cmocka_unit_test(load_in_every_ring),
		cmocka_unit_test(spoiled_data_is_found),
		cmocka_unit_test(an_error_of_the_disk_is_told),
		cmocka_unit_test(told_to_stop_it_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
