/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The io_uring engine: one ring a data thread, and a second one for images whose device is polled for
 * completions, as such a ring takes reads and writes only and can't be waited for.
 */
#include "base/error.h"
#include "base/hist.h"
#include "base/own.h"
#include "vhost-user/blk/engine.h"

#include <errno.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define ENTRIES 256
/* Completions that wait to be reaped; more are kept by the kernel, at a cost. */
#define CQ_ENTRIES 4096
/* What both are divided by, where memory that may be locked is short. */
#define SMALL 8
/* Images that one thread serves from its table of registered files; more go by descriptor. */
#define FILES_MAX 256
/* io-wq threads: each kind, for what the kernel can't do without blocking. */
#define WORKERS_MAX 8
/* An SQPOLL thread sleeps after so long without work. */
#define SQPOLL_IDLE_MS 10
/* Registered buffers, of at most 1 GiB each. */
#define BUFS_MAX 1024

struct uring_engine {
	struct iol_engine e;
	struct io_uring ring;
	struct io_uring poll; /* IORING_SETUP_IOPOLL */
	uint64_t *syscalls;
	struct iol_io *backlog, **backlog_tail; /* no place in the submission queue */
	unsigned int polling;                   /* operations in the second ring */
	bool have_poll, files, bufs;
	bool slot_used[FILES_MAX];
	bool buf_used[BUFS_MAX];
};

static struct uring_engine *uring_engine(struct iol_engine *e)
{
	return (struct uring_engine *)e;
}

/*
 * The best set-up this kernel has. DEFER_TASKRUN (6.1): completions wait until the thread looks for
 * them and never interrupt it. COOP_TASKRUN (5.19): they wait for its next system call.
 */
static int init_sized(struct io_uring *ring, bool sqpoll, unsigned int more, unsigned int small)
{
	static const unsigned int flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		0,
	};
	struct io_uring_params p;
	int rc = -EINVAL;
	size_t i;

	for (i = sqpoll ? 2 : 0; i < sizeof(flags) / sizeof(flags[0]) && rc == -EINVAL; i++) {
		memset(&p, 0, sizeof(p));
		p.flags = flags[i] | more | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
		p.cq_entries = CQ_ENTRIES / small;
		if (sqpoll) {
			p.flags |= IORING_SETUP_SQPOLL;
			p.sq_thread_idle = SQPOLL_IDLE_MS;
		}
		rc = io_uring_queue_init_params(ENTRIES / small, ring, &p);
	}
	if (rc == 0 && !(p.features & IORING_FEAT_NODROP)) {
		io_uring_queue_exit(ring);
		return -ENOSYS;
	}
	return rc;
}

/* Before Linux 5.12 and from 6.14 on, a user's rings count as locked memory: a small one may do. */
static int init_ring(struct io_uring *ring, bool sqpoll, unsigned int more)
{
	int rc = init_sized(ring, sqpoll, more, 1);

	return rc == -ENOMEM ? init_sized(ring, sqpoll, more, SMALL) : rc;
}

static int explain(int rc)
{
	switch (rc) {
	case -ENOSYS:
		return iol_fail(ENOSYS,
				"this kernel has no io_uring, or one from before Linux 5.6");
	case -EPERM:
		return iol_fail(
			EPERM, "io_uring is forbidden here, by the kernel.io_uring_disabled sysctl "
			       "or a seccomp filter");
	case -ENOMEM:
		return iol_fail(
			ENOMEM,
			"there is no memory for an io_uring; raise the limit on locked memory "
			"(ulimit -l, LimitMEMLOCK=)");
	default:
		return iol_fail(-rc, "can't set up an io_uring: %s", strerror(-rc));
	}
}

int iol_engine_uring_probe(void)
{
	static const int needed[] = { IORING_OP_READ,        IORING_OP_WRITE, IORING_OP_READV,
				      IORING_OP_WRITEV,      IORING_OP_FSYNC, IORING_OP_FALLOCATE,
				      IORING_OP_ASYNC_CANCEL };
	struct io_uring_probe *probe;
	struct io_uring ring;
	int rc;
	size_t i;

	rc = init_ring(&ring, false, 0);
	if (rc < 0)
		return explain(rc);
	probe = io_uring_get_probe_ring(&ring);
	for (i = 0; i < sizeof(needed) / sizeof(needed[0]) && !rc; i++)
		if (!probe || !io_uring_opcode_supported(probe, needed[i]))
			rc = explain(-ENOSYS);
	io_uring_free_probe(probe);
	io_uring_queue_exit(&ring);
	return rc;
}

/* Kernel threads that work for this ring stay on the cores that the program was given. */
static void keep_workers_here(struct io_uring *ring)
{
	unsigned int max[2] = { WORKERS_MAX, WORKERS_MAX };
	cpu_set_t cores;

	if (sched_getaffinity(0, sizeof(cores), &cores) == 0)
		io_uring_register_iowq_aff(ring, sizeof(cores), &cores);
	io_uring_register_iowq_max_workers(ring, max);
}

static int uring_create(const struct iol_engine_spec *spec, struct iol_engine **out)
{
	struct uring_engine *ue = calloc(1, sizeof(*ue));
	int rc;

	if (!ue)
		return iol_fail(ENOMEM, "no memory for an io_uring engine");
	rc = init_ring(&ue->ring, spec->sqpoll, 0);
	if (rc < 0) {
		free(ue);
		return explain(rc);
	}
	ue->e.ops = &iol_engine_uring;
	ue->e.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = ue->e.fd < 0 ? -errno : io_uring_register_eventfd(&ue->ring, ue->e.fd);
	if (rc < 0) {
		iol_close(&ue->e.fd);
		io_uring_queue_exit(&ue->ring);
		free(ue);
		return iol_fail(-rc, "can't set up an io_uring's eventfd: %s", strerror(-rc));
	}
	io_uring_cq_eventfd_toggle(&ue->ring, false);
	ue->syscalls = spec->syscalls;
	ue->backlog_tail = &ue->backlog;
	keep_workers_here(&ue->ring);
	/* What these save is looking up a file a call and an operation; without, it works as well. */
	io_uring_register_ring_fd(&ue->ring);
	ue->files = io_uring_register_files_sparse(&ue->ring, FILES_MAX) == 0;
	*out = &ue->e;
	return 0;
}

static void uring_destroy(struct iol_engine *e)
{
	struct uring_engine *ue = uring_engine(e);

	if (ue->have_poll)
		io_uring_queue_exit(&ue->poll);
	io_uring_queue_exit(&ue->ring);
	iol_close(&ue->e.fd);
	free(ue);
}

static void make_poll_ring(struct uring_engine *ue, struct iol_image *image)
{
	int rc;

	rc = init_ring(&ue->poll, false, IORING_SETUP_IOPOLL);
	if (rc == 0) {
		rc = io_uring_register_files_sparse(&ue->poll, FILES_MAX);
		if (rc < 0)
			io_uring_queue_exit(&ue->poll);
	}
	if (rc == 0) {
		io_uring_register_ring_fd(&ue->poll);
		ue->have_poll = true;
		return;
	}
	iol_log(IOL_LOG_WARNING, "%s is not polled for completions: can't set up such a ring: %s",
		image->path, strerror(-rc));
	__atomic_store_n(&image->iopoll, false, __ATOMIC_RELAXED);
}

static int uring_attach(struct iol_engine *e, struct iol_image *image)
{
	struct uring_engine *ue = uring_engine(e);
	int slot;

	if (image->fd < 0)
		return -1;
	if (__atomic_load_n(&image->iopoll, __ATOMIC_RELAXED) && !ue->have_poll)
		make_poll_ring(ue, image);
	for (slot = 0; slot < FILES_MAX && ue->slot_used[slot]; slot++)
		;
	if (!ue->files || slot == FILES_MAX)
		return -1;
	if (io_uring_register_files_update(&ue->ring, (unsigned int)slot, &image->fd, 1) != 1)
		return -1;
	if (ue->have_poll &&
	    io_uring_register_files_update(&ue->poll, (unsigned int)slot, &image->fd, 1) != 1)
		__atomic_store_n(&image->iopoll, false, __ATOMIC_RELAXED);
	ue->slot_used[slot] = true;
	return slot;
}

static void uring_detach(struct iol_engine *e, int slot)
{
	struct uring_engine *ue = uring_engine(e);
	int none = -1;

	if (slot < 0)
		return;
	io_uring_register_files_update(&ue->ring, (unsigned int)slot, &none, 1);
	if (ue->have_poll)
		io_uring_register_files_update(&ue->poll, (unsigned int)slot, &none, 1);
	ue->slot_used[slot] = false;
}

/* True while the kernel must be entered before completions show. */
static bool needs_enter(const struct io_uring *ring)
{
	unsigned int flags = __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED);

	return flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

/* @fixed: the ring has the buffers of iol_io.buf. */
static void prepare_rw(struct io_uring_sqe *sqe, struct iol_io *io, int fd, bool fixed)
{
	unsigned int pieces = io->niov < 1024 ? io->niov : 1024;
	uint32_t len = (uint32_t)io->iov->iov_len;

	if (io->niov == 1 && io->iov->iov_len > IOL_IO_MAX)
		len = IOL_IO_MAX;
	if (io->op == IOL_IO_READ) {
		if (io->niov > 1)
			io_uring_prep_readv(sqe, fd, io->iov, pieces, io->off);
		else if (fixed && io->buf >= 0)
			io_uring_prep_read_fixed(sqe, fd, io->iov->iov_base, len, io->off, io->buf);
		else
			io_uring_prep_read(sqe, fd, io->iov->iov_base, len, io->off);
		return;
	}
	if (io->niov > 1)
		io_uring_prep_writev(sqe, fd, io->iov, pieces, io->off);
	else if (fixed && io->buf >= 0)
		io_uring_prep_write_fixed(sqe, fd, io->iov->iov_base, len, io->off, io->buf);
	else
		io_uring_prep_write(sqe, fd, io->iov->iov_base, len, io->off);
	sqe->rw_flags = io->dsync ? RWF_DSYNC : 0;
}

static void prepare(struct io_uring_sqe *sqe, struct iol_io *io, bool fixed)
{
	int fd = io->slot >= 0 ? io->slot : io->image->fd;
	int mode = FALLOC_FL_KEEP_SIZE;

	switch (io->op) {
	case IOL_IO_READ:
	case IOL_IO_WRITE:
		prepare_rw(sqe, io, fd, fixed);
		break;
	case IOL_IO_FLUSH:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	default:
		mode |= io->op == IOL_IO_ZERO ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;
		io_uring_prep_fallocate(sqe, fd, mode, (off_t)io->off, (off_t)io->len);
		break;
	}
	if (io->slot >= 0)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, io);
}

static bool polled(const struct uring_engine *ue, const struct iol_io *io)
{
	return ue->have_poll && io->op <= IOL_IO_WRITE &&
	       __atomic_load_n(&io->image->iopoll, __ATOMIC_RELAXED);
}

/* An error leaves the entries where they are: the next turn submits them again. */
static void enter(struct uring_engine *ue, struct io_uring *ring)
{
	if (!io_uring_sq_ready(ring))
		return;
	IOL_STAT_ADD(*ue->syscalls, 1);
	io_uring_submit(ring);
}

static bool queue_one(struct uring_engine *ue, struct iol_io *io)
{
	bool poll = polled(ue, io);
	struct io_uring *ring = poll ? &ue->poll : &ue->ring;
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe) {
		enter(ue, ring);
		sqe = io_uring_get_sqe(ring);
	}
	if (!sqe)
		return false;
	prepare(sqe, io, !poll);
	if (poll)
		ue->polling++;
	return true;
}

static void uring_queue(struct iol_engine *e, struct iol_io *io)
{
	struct uring_engine *ue = uring_engine(e);

	io->engine = e;
	io->next = NULL;
	if (!ue->backlog && queue_one(ue, io))
		return;
	*ue->backlog_tail = io;
	ue->backlog_tail = &io->next;
}

static void uring_submit(struct iol_engine *e)
{
	struct uring_engine *ue = uring_engine(e);

	while (ue->backlog) {
		struct iol_io *next = ue->backlog->next;

		if (!queue_one(ue, ue->backlog))
			break;
		ue->backlog = next;
		if (!next)
			ue->backlog_tail = &ue->backlog;
	}
	enter(ue, &ue->ring);
	if (ue->have_poll)
		enter(ue, &ue->poll);
}

static unsigned int take(struct io_uring *ring, struct iol_io **done, unsigned int max,
			 unsigned int *seen)
{
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;

	*seen = 0;
	io_uring_for_each_cqe(ring, head, cqe)
	{
		struct iol_io *io = io_uring_cqe_get_data(cqe);

		if (n == max)
			break;
		++*seen;
		if (!io) /* the answer to a cancel */
			continue;
		io->res = cqe->res;
		done[n++] = io;
	}
	if (*seen)
		io_uring_cq_advance(ring, *seen);
	return n;
}

static unsigned int reap_polled(struct uring_engine *ue, struct iol_io **done, unsigned int max)
{
	unsigned int i, n, seen, kept = 0;

	IOL_STAT_ADD(*ue->syscalls, 1);
	io_uring_get_events(&ue->poll);
	n = take(&ue->poll, done, max, &seen);
	ue->polling -= n;
	for (i = 0; i < n; i++) {
		struct iol_io *io = done[i];

		if (io->res != -EOPNOTSUPP) {
			done[kept++] = io;
			continue;
		}
		if (__atomic_exchange_n(&io->image->iopoll, false, __ATOMIC_RELAXED))
			iol_log(IOL_LOG_WARNING,
				"%s is not polled for completions: its device has no queues for "
				"that",
				io->image->path);
		uring_queue(&ue->e, io);
	}
	return kept;
}

static unsigned int uring_reap(struct iol_engine *e, struct iol_io **done, unsigned int max)
{
	struct uring_engine *ue = uring_engine(e);
	unsigned int i, n = 0, seen;

	if (ue->polling)
		n = reap_polled(ue, done, max);
	if (needs_enter(&ue->ring)) {
		IOL_STAT_ADD(*ue->syscalls, 1);
		io_uring_get_events(&ue->ring);
	}
	if (io_uring_cq_ready(&ue->ring))
		n += take(&ue->ring, done + n, max - n, &seen);
	for (i = 0; i < n; i++)
		done[i]->engine = NULL;
	return n;
}

/*
 * The ring's own descriptor would do for waiting, but in kernels with DEFER_TASKRUN it is not always
 * woken (seen in 6.18: never). The eventfd is, by completions and by deferred work alike.
 */
static bool uring_sleep(struct iol_engine *e)
{
	struct uring_engine *ue = uring_engine(e);

	io_uring_cq_eventfd_toggle(&ue->ring, true);
	/* The kernel sets its flag, then looks at ours: what it did before that is seen here. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return ue->polling || ue->backlog || io_uring_sq_ready(&ue->ring) ||
	       needs_enter(&ue->ring) || io_uring_cq_ready(&ue->ring);
}

static void uring_awake(struct iol_engine *e)
{
	io_uring_cq_eventfd_toggle(&uring_engine(e)->ring, false);
}

/* The kernel ends what waits or has not begun; a request that a device works on may go on. */
static void uring_cancel(struct iol_engine *e, struct iol_io *io)
{
	struct uring_engine *ue = uring_engine(e);
	struct io_uring *ring = polled(ue, io) ? &ue->poll : &ue->ring;
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe) {
		enter(ue, ring);
		sqe = io_uring_get_sqe(ring);
	}
	if (!sqe)
		return;
	io_uring_prep_cancel(sqe, io, 0);
	io_uring_sqe_set_data(sqe, NULL);
}

static int uring_fixed(struct iol_engine *e, const struct iovec *iov, unsigned int n)
{
	struct uring_engine *ue = uring_engine(e);
	unsigned int first = 0, i, len = 0;
	int rc;

	if (!ue->bufs) {
		rc = io_uring_register_buffers_sparse(&ue->ring, BUFS_MAX);
		if (rc < 0)
			return rc;
		ue->bufs = true;
	}
	for (i = 0; i < BUFS_MAX && len < n; i++) {
		len = ue->buf_used[i] ? 0 : len + 1;
		if (len == 1)
			first = i;
	}
	if (len < n)
		return -ENOSPC;
	rc = io_uring_register_buffers_update_tag(&ue->ring, first, iov, NULL, n);
	if (rc >= 0 && (unsigned int)rc < n) {
		e->ops->unfix(e, (int)first, (unsigned int)rc);
		rc = -ENOMEM;
	}
	if (rc < 0)
		return rc;
	memset(&ue->buf_used[first], true, n);
	return (int)first;
}

static void uring_unfix(struct iol_engine *e, int first, unsigned int n)
{
	struct uring_engine *ue = uring_engine(e);
	struct iovec none = { 0 };
	unsigned int i;

	for (i = 0; i < n; i++)
		io_uring_register_buffers_update_tag(&ue->ring, (unsigned int)first + i, &none,
						     NULL, 1);
	memset(&ue->buf_used[first], false, n);
}

const struct iol_engine_ops iol_engine_uring = {
	.name = "io_uring",
	.create = uring_create,
	.destroy = uring_destroy,
	.attach = uring_attach,
	.detach = uring_detach,
	.queue = uring_queue,
	.submit = uring_submit,
	.reap = uring_reap,
	.sleep = uring_sleep,
	.awake = uring_awake,
	.cancel = uring_cancel,
	.fixed = uring_fixed,
	.unfix = uring_unfix,
};
