/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"

#include "base/clock.h"
#include "base/own.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FEATURE(bit) (1ull << (bit))
#define RIGS_MAX     4

/* Failures say what the library said. */
static void good(int rc, const char *what)
{
	if (rc < 0)
		fail_msg("%s: %s", what, iol_error());
}

static void config_changed(void *ctx)
{
	((struct rig *)ctx)->config_changes++;
}

static void failed(void *ctx, unsigned int queue)
{
	((struct rig *)ctx)->failures++;
}

static unsigned int queues(const struct rig *r)
{
	return r->spec.queues ? r->spec.queues : 1;
}

/* ---- the back end ---- */

/* Rigs that are up: what a test that fails or is ended leaves is removed all the same. */
static struct rig *up[RIGS_MAX];

static void remove_files(const struct rig *r)
{
	unlink(r->image);
	unlink(r->socket);
	rmdir(r->dir);
}

__attribute__((destructor)) static void remove_all(void)
{
	unsigned int i;

	for (i = 0; i < RIGS_MAX; i++)
		if (up[i])
			remove_files(up[i]);
}

/* Only system calls: it may come at any time. */
static void ended(int sig)
{
	remove_all();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void enlist(struct rig *r)
{
	unsigned int i;

	for (i = 0; up[i]; i++)
		assert_true(i + 1 < RIGS_MAX);
	up[i] = r;
	signal(SIGTERM, ended);
	signal(SIGINT, ended);
	signal(SIGHUP, ended);
}

static void strike_off(const struct rig *r)
{
	unsigned int i;

	for (i = 0; i < RIGS_MAX; i++)
		if (up[i] == r)
			up[i] = NULL;
}

struct rig *rig_new(const struct rig_spec *spec)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->spec = *spec;
	r->pid = r->fd = -1;
	strcpy(r->dir, "/tmp/iolane-test-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->image, sizeof(r->image), "%s/image", r->dir);
	snprintf(r->socket, sizeof(r->socket), "%s/socket", r->dir);
	enlist(r);
	r->image_fd = open(r->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(r->image_fd >= 0);
	assert_int_equal(ftruncate(r->image_fd, (off_t)RIG_DISK), 0);
	r->log = memfd_create("log", MFD_CLOEXEC);
	assert_true(r->log >= 0);
	return r;
}

static void run_program(struct rig *r)
{
	const char *program = getenv("IOLANE_BLK");
	char socket[128], file[128], num[32], threads[32];
	pid_t parent = getpid();

	assert_non_null(program);
	snprintf(socket, sizeof(socket), "--socket-path=%s", r->socket);
	snprintf(file, sizeof(file), "--blk-file=%s", r->spec.file ? r->spec.file : r->image);
	snprintf(num, sizeof(num), "--num-queues=%u", queues(r));
	snprintf(threads, sizeof(threads), "--threads=%u", r->spec.threads ? r->spec.threads : 1);
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (r->pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(r->log, STDERR_FILENO) < 0)
		_exit(127);
	execl(program, program, socket, file, num, threads, r->spec.args, (char *)NULL);
	_exit(127);
}

void rig_start_backend(struct rig *r)
{
	struct iol_blk_threads_spec threads = { .num = r->spec.threads ? r->spec.threads : 1,
						.poll_us = IOL_BLK_POLL_DEFAULT };
	struct iol_disk_spec disk = { .name = "test",
				      .file = r->spec.file ? r->spec.file : r->image,
				      .read_only = r->spec.read_only,
				      .num_queues = queues(r),
				      .serial = "functional" };
	struct iol_server_spec server = { .path = r->socket, .fd = -1, .client = r->spec.client };
	int pair[2];

	if (r->spec.program) {
		run_program(r);
		return;
	}
	if (r->spec.given_fd) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		server.path = NULL;
		server.fd = pair[0];
		r->fd = pair[1];
	}
	if (!r->spec.beside)
		good(iol_blk_threads_new(&threads, &r->threads), "threads");
	good(iol_disk_new(r->spec.beside ? r->spec.beside->threads : r->threads, &disk, &r->disk),
	     "disk");
	good(iol_server_new(iol_disk_device(r->disk), &server, &r->server), "server");
}

void rig_stop_backend(struct rig *r, int signal)
{
	if (r->pid > 0) {
		kill(r->pid, signal);
		waitpid(r->pid, NULL, 0);
		r->pid = -1;
	}
	iol_server_destroy(&r->server);
	if (r->disk)
		iol_disk_destroy(&r->disk);
	if (r->threads)
		iol_blk_threads_destroy(&r->threads);
}

/* ---- the guest ---- */

struct iol_frontend *rig_frontend(struct rig *r, unsigned int timeout_ms)
{
	static const struct iol_frontend_ops ops = { .config_changed = config_changed,
						     .failed = failed };
	struct iol_frontend_spec spec = { .path = r->spec.given_fd ? NULL : r->socket,
					  .fd = iol_take_fd(&r->fd),
					  .listen = r->spec.client,
					  .timeout_ms = timeout_ms,
					  .protocol_features_off = r->spec.protocol_off,
					  .ops = &ops,
					  .ctx = r };
	struct iol_frontend *fe = NULL;

	good(iol_frontend_new(&spec, &fe), "connecting");
	return fe;
}

static uint64_t wanted(const struct rig_spec *s)
{
	uint64_t features = FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_RING_RESET) |
			    FEATURE(VIRTIO_BLK_F_FLUSH) | FEATURE(VIRTIO_BLK_F_MQ) |
			    FEATURE(VIRTIO_BLK_F_BLK_SIZE) | FEATURE(VIRTIO_BLK_F_SEG_MAX);

	if (s->read_only)
		features |= FEATURE(VIRTIO_BLK_F_RO);
	else
		features |= FEATURE(VIRTIO_BLK_F_CONFIG_WCE) | FEATURE(VIRTIO_BLK_F_DISCARD) |
			    FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
	if (s->packed)
		features |= FEATURE(VIRTIO_F_RING_PACKED);
	if (s->event_idx)
		features |= FEATURE(VIRTIO_RING_F_EVENT_IDX);
	if (s->indirect)
		features |= FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
	if (s->iommu)
		features |= FEATURE(VIRTIO_F_ACCESS_PLATFORM);
	return features;
}

void rig_connect(struct rig *r)
{
	uint64_t want = wanted(&r->spec);

	r->fe = rig_frontend(r, RIG_WAIT);
	good(iol_frontend_negotiate(r->fe, want, want), "negotiating");
}

static uint64_t iova_offset(const struct rig *r)
{
	return r->spec.iommu ? RIG_IOVA : 0;
}

void rig_make_memory(struct rig *r)
{
	struct iol_guest_memory_spec memory = { .size = 2 * RIG_HALF,
						.below_4g = RIG_HALF,
						.unsealed = r->spec.unsealed,
						.hugepages = r->spec.hugepages };

	good(iol_guest_memory_new(&memory, &r->mem), "memory");
	good(iol_guest_memory_alloc(r->mem, RIG_BUF, 4096, &r->buf_gpa), "a buffer");
	r->buf = iol_guest_memory_host(r->mem, r->buf_gpa, RIG_BUF);
	r->buf_addr = r->buf_gpa + iova_offset(r);
}

void rig_make_queue(struct rig *r, unsigned int q, uint64_t features)
{
	struct iol_guest_queue_spec spec = { .size = RIG_RING,
					     .features = features,
					     .segs_max = RIG_SEGS + 2,
					     .iova_offset = iova_offset(r) };
	size_t bytes = RIG_RING * sizeof(struct rig_request);
	uint64_t gpa;

	good(iol_guest_memory_alloc(r->mem, bytes, 4096, &gpa), "requests");
	r->request[q] = iol_guest_memory_host(r->mem, gpa, bytes);
	r->request_addr[q] = gpa + spec.iova_offset;
	good(iol_guest_queue_new(r->mem, &spec, &r->queue[q]), "a queue");
}

/* Memory, requests and queues; the queues are started. */
void rig_make_guest(struct rig *r)
{
	unsigned int q;

	rig_make_memory(r);
	good(iol_frontend_set_memory(r->fe, r->mem), "sharing memory");
	if (r->spec.track)
		good(iol_frontend_track_inflight(r->fe, queues(r), RIG_RING), "tracking");
	for (q = 0; q < queues(r); q++)
		rig_make_queue(r, q, iol_frontend_features(r->fe));
	if (r->spec.iommu) {
		good(iol_frontend_iommu_map(r->fe, RIG_IOVA, RIG_HALF, 0,
					    IOL_IOMMU_READ | IOL_IOMMU_WRITE),
		     "mapping");
		good(iol_frontend_iommu_map(r->fe, RIG_IOVA + RIG_HIGH, RIG_HALF, RIG_HIGH,
					    IOL_IOMMU_READ | IOL_IOMMU_WRITE),
		     "mapping");
	}
	for (q = 0; q < queues(r); q++)
		good(iol_frontend_queue_start(r->fe, q, &r->queue[q]->setup), "starting a queue");
}

struct rig *rig_up(const struct rig_spec *spec)
{
	struct rig *r = rig_new(spec);

	rig_start_backend(r);
	rig_connect(r);
	rig_make_guest(r);
	return r;
}

void rig_disconnect(struct rig *r)
{
	unsigned int q;

	iol_frontend_destroy(&r->fe);
	for (q = 0; q < RIG_QUEUES; q++)
		iol_guest_queue_destroy(&r->queue[q]);
	iol_guest_memory_destroy(&r->mem);
}

/* Under a sanitizer the program says what is wrong with it, and goes on. */
static void check_log(struct rig *r)
{
	char log[65536];
	ssize_t n = pread(r->log, log, sizeof(log) - 1, 0);

	assert_true(n >= 0);
	log[n] = '\0';
	if (strstr(log, "Sanitizer") || strstr(log, "runtime error"))
		fail_msg("%s", log);
}

void rig_down(struct rig **rig)
{
	struct rig *r = *rig;

	rig_disconnect(r);
	rig_stop_backend(r, SIGTERM);
	check_log(r);
	iol_close(&r->fd);
	iol_close(&r->image_fd);
	iol_close(&r->log);
	unlink(r->image);
	unlink(r->socket);
	strike_off(r);
	assert_int_equal(rmdir(r->dir), 0);
	free(r);
	*rig = NULL;
}

/* ---- requests ---- */

void rig_send(struct rig *r, unsigned int q, unsigned int slot, uint32_t type, uint64_t sector,
	      const struct iol_driver_seg *data, unsigned int n)
{
	struct rig_request *req = &r->request[q][slot];
	uint64_t addr = r->request_addr[q] + slot * sizeof(*req);
	struct iol_driver_seg segs[RIG_SEGS + 2];

	assert_true(n <= RIG_SEGS);
	req->header =
		(struct virtio_blk_outhdr){ .type = htole32(type), .sector = htole64(sector) };
	req->status = 0xff;
	segs[0] = (struct iol_driver_seg){ .addr = addr, .len = sizeof(req->header) };
	if (n)
		memcpy(&segs[1], data, n * sizeof(*data));
	segs[n + 1] = (struct iol_driver_seg){ .addr = addr + offsetof(struct rig_request, status),
					       .len = 1,
					       .write = true };
	assert_int_equal(iol_driver_add(r->queue[q]->driver, segs, n + 2, slot), 0);
	if (iol_driver_publish(r->queue[q]->driver))
		iol_guest_queue_kick(r->queue[q]);
}

unsigned int rig_take(struct rig *r, unsigned int q, uint8_t *status, uint32_t *len)
{
	struct iol_guest_queue *gq = r->queue[q];
	uint64_t end = iol_now() + RIG_WAIT * IOL_NS_PER_MS;
	uintptr_t slot = 0;
	uint32_t got = 0;
	int rc;

	for (;;) {
		rc = iol_driver_used(gq->driver, &slot, &got);
		if (rc)
			break;
		/* Sleep as a guest does: a call that never comes is a failure. */
		if (iol_driver_arm(gq->driver))
			continue;
		while (!iol_guest_queue_wait(gq, 2)) {
			if (iol_now() > end)
				fail_msg("queue %u: nothing came back%s", q,
					 iol_driver_arm(gq->driver) ? ", or came without a call"
								    : "");
			if (r->fe && iol_frontend_connected(r->fe))
				iol_frontend_poll(r->fe, 0);
			if (r->turn)
				r->turn(r->turn_ctx);
		}
	}
	assert_int_equal(rc, 1);
	assert_true(slot < RIG_RING);
	if (status)
		*status = r->request[q][slot].status;
	if (len)
		*len = got;
	return (unsigned int)slot;
}

uint8_t rig_request(struct rig *r, unsigned int q, uint32_t type, uint64_t sector,
		    const struct iol_driver_seg *data, unsigned int n)
{
	uint32_t len, in = 1;
	uint8_t status;
	unsigned int i;

	rig_send(r, q, 0, type, sector, data, n);
	assert_int_equal(rig_take(r, q, &status, &len), 0);
	for (i = 0; i < n; i++)
		in += data[i].write ? data[i].len : 0;
	/* The device may not claim more than there is room for. */
	assert_in_range(len, 1, in);
	return status;
}

uint8_t rig_write(struct rig *r, unsigned int q, uint64_t off, uint64_t at, uint32_t len)
{
	struct iol_driver_seg seg = { .addr = r->buf_addr + at, .len = len };

	return rig_request(r, q, VIRTIO_BLK_T_OUT, off >> 9, &seg, 1);
}

uint8_t rig_read(struct rig *r, unsigned int q, uint64_t off, uint64_t at, uint32_t len)
{
	struct iol_driver_seg seg = { .addr = r->buf_addr + at, .len = len, .write = true };

	return rig_request(r, q, VIRTIO_BLK_T_IN, off >> 9, &seg, 1);
}

void rig_fill(void *data, size_t len, uint32_t seed)
{
	uint8_t *p = data;
	size_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		p[i] = (uint8_t)(seed >> 24);
	}
}

bool rig_is(const void *data, size_t len, uint32_t seed)
{
	const uint8_t *p = data;
	size_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		if (p[i] != (uint8_t)(seed >> 24))
			return false;
	}
	return true;
}

bool rig_disk_is(struct rig *r, uint64_t off, size_t len, uint32_t seed)
{
	uint8_t *data = malloc(len);
	bool is;

	assert_non_null(data);
	assert_int_equal(pread(r->image_fd, data, len, (off_t)off), len);
	is = rig_is(data, len, seed);
	free(data);
	return is;
}

void rig_works(struct rig *r)
{
	unsigned int q;

	for (q = 0; q < queues(r); q++) {
		rig_fill(r->buf, 4096, 1000 + q);
		assert_int_equal(rig_write(r, q, 65536 * (q + 1), 0, 4096), VIRTIO_BLK_S_OK);
		memset(r->buf, 0, 4096);
		assert_int_equal(rig_read(r, q, 65536 * (q + 1), 0, 4096), VIRTIO_BLK_S_OK);
		assert_true(rig_is(r->buf, 4096, 1000 + q));
	}
}

void rig_until(struct rig *r, const unsigned int *count, unsigned int n)
{
	uint64_t end = iol_now() + RIG_WAIT * IOL_NS_PER_MS;

	while (*count < n && iol_now() < end)
		assert_true(iol_frontend_poll(r->fe, 50) >= 0);
	assert_int_equal(*count, n);
}

/* ---- a load whose outcome is known ---- */

static uint64_t place(unsigned int q, unsigned int slot)
{
	return ((uint64_t)q * RIG_RING + slot) * RIG_BLOCK;
}

void rig_write_all(struct rig *r, struct rig_story *s, uint32_t round)
{
	unsigned int q, i;

	for (q = 0; q < r->spec.queues; q++) {
		for (i = 0; i < RIG_RING / 4; i++) {
			uint64_t at = (q * RIG_RING / 4 + i) * RIG_BLOCK;
			struct iol_driver_seg seg = { .addr = r->buf_addr + at, .len = RIG_BLOCK };

			assert_true(at + RIG_BLOCK <= RIG_BUF);
			rig_fill(r->buf + at, RIG_BLOCK, round * 1000 + q * 100 + i);
			s->last[q][i] = round;
			s->flying[q][i] = true;
			rig_send(r, q, i, VIRTIO_BLK_T_OUT, place(q, i) >> 9, &seg, 1);
		}
	}
}

void rig_take_all(struct rig *r, struct rig_story *s)
{
	unsigned int q, slot;
	uint8_t status;

	for (q = 0; q < r->spec.queues; q++) {
		while (iol_driver_inflight(r->queue[q]->driver)) {
			slot = rig_take(r, q, &status, NULL);
			assert_int_equal(status, VIRTIO_BLK_S_OK);
			assert_true(s->flying[q][slot]);
			s->flying[q][slot] = false;
			assert_true(rig_disk_is(r, place(q, slot), RIG_BLOCK,
						s->last[q][slot] * 1000 + q * 100 + slot));
		}
	}
}
