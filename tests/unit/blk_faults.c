/* SPDX-License-Identifier: BSD-3-Clause */
#include "blk_faults.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RULES 8

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static struct fault script[RULES];
static unsigned int rules, held, seen[16], generation;
static bool stubborn;
static const struct iol_image_ops *image_ops;

void faults_set(const struct fault *f, unsigned int n)
{
	pthread_mutex_lock(&lock);
	if (n)
		memcpy(script, f, n * sizeof(*f));
	rules = n;
	memset(seen, 0, sizeof(seen));
	stubborn = false;
	pthread_mutex_unlock(&lock);
}

void faults_release(void)
{
	pthread_mutex_lock(&lock);
	rules = 0;
	generation++;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
}

unsigned int faults_held(void)
{
	unsigned int n;

	pthread_mutex_lock(&lock);
	n = held;
	pthread_mutex_unlock(&lock);
	return n;
}

unsigned int faults_seen(int op)
{
	unsigned int n;

	pthread_mutex_lock(&lock);
	n = seen[op];
	pthread_mutex_unlock(&lock);
	return n;
}

void faults_stubborn(bool yes)
{
	pthread_mutex_lock(&lock);
	stubborn = yes;
	pthread_mutex_unlock(&lock);
}

void faults_image_of(const struct iol_image_ops *ops)
{
	image_ops = ops;
}

/* Under the lock. Return: whether @out applies to the operation. */
static bool applies(const struct iol_io *io, struct fault *out)
{
	unsigned int i;

	seen[io->op]++;
	seen[FAULTS_STABLE] += io->op == IOL_IO_WRITE && io->dsync;
	for (i = 0; i < rules; i++) {
		struct fault *f = &script[i];

		if ((f->op >= 0 && f->op != io->op) || !f->times)
			continue;
		if (f->skip) {
			f->skip--;
			continue;
		}
		f->times--;
		*out = *f;
		return true;
	}
	return false;
}

static int run_part(struct iol_image *image, const struct iol_io *io, uint32_t n,
		    const struct iol_image_ops *ops)
{
	struct iovec iov = *io->iov;
	struct iol_io part = *io;

	if (iov.iov_len > n)
		iov.iov_len = n;
	part.iov = &iov;
	part.niov = 1;
	part.len = iov.iov_len;
	return ops->run(image, &part, 0);
}

static int faulty_run(struct iol_image *image, const struct iol_io *io, int rwf)
{
	unsigned int now;
	struct fault f;
	bool hit;

	pthread_mutex_lock(&lock);
	hit = applies(io, &f);
	if (hit && f.hold) {
		held++;
		for (now = generation; now == generation;)
			pthread_cond_wait(&cond, &lock);
		held--;
	}
	pthread_mutex_unlock(&lock);
	if (hit && !f.hold)
		return f.res > 0 ? run_part(image, io, (uint32_t)f.res, image_ops) : f.res;
	return image_ops->run(image, io, rwf);
}

static int faulty_size(struct iol_image *image, uint64_t *size)
{
	return image_ops->size(image, size);
}

const struct iol_image_ops faults_image = {
	.run = faulty_run,
	.size = faulty_size,
};

/* ---- the engine ---- */

struct faulty_engine {
	struct iol_engine e;
	struct iol_engine *inner;
	struct iol_io *done, *held;
	unsigned int generation; /* when the held ones were taken */
};

static struct faulty_engine *faulty(struct iol_engine *e)
{
	return (struct faulty_engine *)e;
}

static int create(const struct iol_engine_spec *spec, struct iol_engine **engine)
{
	struct faulty_engine *fe = calloc(1, sizeof(*fe));
	int rc;

	if (!fe)
		return -ENOMEM;
	rc = iol_engine_pool.create(spec, &fe->inner);
	if (rc < 0) {
		free(fe);
		return rc;
	}
	fe->e.ops = &faults_engine;
	fe->e.fd = fe->inner->fd;
	*engine = &fe->e;
	return 0;
}

static void destroy(struct iol_engine *e)
{
	faulty(e)->inner->ops->destroy(faulty(e)->inner);
	free(e);
}

static int attach(struct iol_engine *e, struct iol_image *image)
{
	return 0;
}

static void detach(struct iol_engine *e, int slot)
{
}

static void queue(struct iol_engine *e, struct iol_io *io)
{
	struct faulty_engine *fe = faulty(e);
	struct fault f;
	bool hit;

	pthread_mutex_lock(&lock);
	hit = applies(io, &f);
	if (hit && f.hold) {
		io->engine = e;
		io->next = fe->held;
		fe->held = io;
		fe->generation = generation;
		held++;
	}
	pthread_mutex_unlock(&lock);
	if (!hit) {
		fe->inner->ops->queue(fe->inner, io);
	} else if (!f.hold) {
		io->res = f.res > 0 ? run_part(io->image, io, (uint32_t)f.res, io->image->ops)
				    : f.res;
		io->engine = e;
		io->next = fe->done;
		fe->done = io;
	}
}

static void submit(struct iol_engine *e)
{
	faulty(e)->inner->ops->submit(faulty(e)->inner);
}

static unsigned int reap(struct iol_engine *e, struct iol_io **done, unsigned int max)
{
	struct faulty_engine *fe = faulty(e);
	unsigned int n = 0;

	pthread_mutex_lock(&lock);
	while (fe->held && fe->generation != generation) {
		struct iol_io *io = fe->held;

		fe->held = io->next;
		held--;
		fe->inner->ops->queue(fe->inner, io);
	}
	pthread_mutex_unlock(&lock);
	while (n < max && fe->done) {
		done[n] = fe->done;
		fe->done = fe->done->next;
		done[n++]->engine = NULL;
	}
	return n + fe->inner->ops->reap(fe->inner, done + n, max - n);
}

/* What is held can be let go at any time, so the thread keeps looking. */
static bool must_not_sleep(struct iol_engine *e)
{
	struct faulty_engine *fe = faulty(e);

	return fe->inner->ops->sleep(fe->inner) || fe->done || fe->held;
}

static void awake(struct iol_engine *e)
{
	faulty(e)->inner->ops->awake(faulty(e)->inner);
}

static void cancel(struct iol_engine *e, struct iol_io *io)
{
	struct faulty_engine *fe = faulty(e);
	struct iol_io **at;

	pthread_mutex_lock(&lock);
	for (at = &fe->held; *at && *at != io; at = &(*at)->next)
		;
	if (*at && !stubborn) {
		*at = io->next;
		held--;
		io->res = -ECANCELED;
		io->next = fe->done;
		fe->done = io;
	}
	pthread_mutex_unlock(&lock);
}

const struct iol_engine_ops faults_engine = {
	.name = "faults",
	.create = create,
	.destroy = destroy,
	.attach = attach,
	.detach = detach,
	.queue = queue,
	.submit = submit,
	.reap = reap,
	.sleep = must_not_sleep,
	.awake = awake,
	.cancel = cancel,
};
