/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's state as a stream of bytes, the same for all kinds of devices. */
#include "vmm-glue/device_state.h"

#include "base/error.h"
#include "base/own.h"
#include "vmm-glue/frontend.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

static const struct state_kind *const kinds[] = { &state_none, &state_vfio, &state_backend };

static const struct state_kind *kind_of(const struct iol_device_state_spec *spec)
{
	uint64_t protocol = spec->frontend ? iol_frontend_protocol_features(spec->frontend) : 0;

	if (spec->vfio)
		return &state_vfio;
	return protocol >> VHOST_USER_PROTOCOL_F_DEVICE_STATE & 1 ? &state_backend : &state_none;
}

static void forget(struct iol_device_state *st)
{
	iol_close(&st->fd);
	free(st);
}

/* All as before, and the end of it. @rc: what went wrong, or 0. */
static int give_up(struct iol_device_state *st, int rc)
{
	char why[IOL_ERROR_MAX];
	int undo;

	snprintf(why, sizeof(why), "%s", iol_error());
	undo = st->touched && st->kind->give_up ? st->kind->give_up(st) : 0;
	forget(st);
	if (!rc)
		return undo;
	return undo < 0 ? iol_fail(-rc, "%s; and going back: %s", why, iol_error())
			: iol_fail(-rc, "%s", why);
}

static int begin(const struct iol_device_state_spec *spec, bool loads,
		 struct iol_device_state **stp)
{
	struct iol_device_state *st;
	int rc = 0;

	if (spec->vfio && spec->frontend)
		return iol_fail(EINVAL, "a device is either VFIO's or a back end's");
	st = calloc(1, sizeof(*st));
	if (!st)
		return iol_fail(ENOMEM, "out of memory for a device's state");
	st->kind = kind_of(spec);
	st->vfio = spec->vfio;
	st->fe = spec->frontend;
	st->id = spec->id;
	st->fd = -1;
	st->timeout_ms = st->fe ? st->fe->timeout_ms : -1;
	st->loads = loads;
	if (st->kind->begin)
		rc = st->kind->begin(st);
	if (!rc && !loads && st->kind->save)
		rc = st->kind->save(st);
	if (rc < 0)
		return give_up(st, iol_fail_more(rc, "beginning to %s the state of %s",
						 loads ? "load" : "save", st->kind->name));
	*stp = st;
	return 0;
}

int iol_device_save(const struct iol_device_state_spec *spec, struct iol_device_state **st)
{
	return begin(spec, false, st);
}

int iol_device_load(const struct iol_device_state_spec *spec, struct iol_device_state **st)
{
	return begin(spec, true, st);
}

static int check_use(const struct iol_device_state *st, bool loads)
{
	if (st->loads != loads)
		return iol_fail(EINVAL, "this state is being %s", st->loads ? "loaded" : "saved");
	if (st->failed)
		return iol_fail(EBADMSG, "this stream failed before; it can only be ended");
	return 0;
}

static int fail(struct iol_device_state *st, int rc)
{
	st->failed = true;
	return iol_fail_more(rc, "%s the state of %s", st->loads ? "loading" : "saving",
			     st->kind->name);
}

/* ---- the device's bytes ---- */

static int wait_for(struct iol_device_state *st, short events)
{
	struct pollfd pfd = { .fd = st->fd, .events = events };
	int rc = poll(&pfd, 1, st->timeout_ms);

	if (rc < 0 && errno != EINTR)
		return iol_fail(errno, "cannot wait for it: %s", strerror(errno));
	return rc ? 0 : iol_fail(ETIMEDOUT, "nothing moved within %d ms", st->timeout_ms);
}

/*
 * O_NONBLOCK is no promise of what a back end has, too: it may take it away. Of pipes and sockets
 * Linux does without it from 6.4 on.
 */
static ssize_t move(const struct iol_device_state *st, const void *buf, size_t len, bool out)
{
	struct iovec iov = { (void *)buf, len };
	ssize_t n = -1;

	errno = EOPNOTSUPP;
	if (st->fe)
		n = out ? pwritev2(st->fd, &iov, 1, -1, RWF_NOWAIT)
			: preadv2(st->fd, &iov, 1, -1, RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP)
		n = out ? writev(st->fd, &iov, 1) : readv(st->fd, &iov, 1);
	return n;
}

static ssize_t take(struct iol_device_state *st, void *buf, size_t len)
{
	ssize_t n;
	int rc;

	if (st->fd < 0)
		return 0;
	for (;;) {
		n = move(st, buf, len, false);
		/* In PRE_COPY: there is no more as yet. */
		if (n < 0 && errno == ENOMSG && !st->stopped)
			return 0;
		if (n >= 0)
			return n;
		if (errno != EAGAIN && errno != EINTR)
			return iol_fail(errno, "it can't be read: %s", strerror(errno));
		rc = errno == EAGAIN ? wait_for(st, POLLIN) : 0;
		if (rc < 0)
			return rc;
	}
}

static int give(struct iol_device_state *st, const uint8_t *buf, size_t len)
{
	ssize_t n;
	int rc;

	while (len) {
		n = move(st, buf, len, true);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return iol_fail(errno, "it can't be written: %s", strerror(errno));
		if (n > 0) {
			buf += n;
			len -= (size_t)n;
			continue;
		}
		rc = n < 0 && errno == EINTR ? 0 : wait_for(st, POLLOUT);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- saving ---- */

int iol_device_state_stop(struct iol_device_state *st)
{
	int rc = check_use(st, false);

	if (!rc && st->stopped)
		rc = iol_fail(EINVAL, "the device is stopped already");
	if (!rc && st->kind->stop)
		rc = st->kind->stop(st);
	if (!rc)
		st->stopped = true;
	return rc < 0 ? iol_fail_more(rc, "stopping %s", st->kind->name) : 0;
}

static void put(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static uint32_t get(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static void make_header(const struct iol_device_state *st, uint8_t *at)
{
	put(at, STATE_MAGIC);
	put(at + 4, STATE_VERSION | (uint32_t)st->kind->number << 16);
	put(at + 8, st->id);
	put(at + 12, st->device);
}

ssize_t iol_device_state_read(struct iol_device_state *st, void *buf, size_t len)
{
	uint8_t *at = buf;
	ssize_t n;
	int rc;

	rc = check_use(st, false);
	if (!rc && len < IOL_DEVICE_STATE_ROOM)
		rc = iol_fail(EINVAL, "a device's state is read in pieces of %u bytes or more",
			      IOL_DEVICE_STATE_ROOM);
	if (rc < 0 || st->complete)
		return rc;
	if (!st->begun) {
		make_header(st, at);
		st->begun = true;
		return STATE_HEADER;
	}
	len -= STATE_BLOCK;
	n = take(st, at + STATE_BLOCK, len < STATE_BLOCK_MAX ? len : STATE_BLOCK_MAX);
	if (n < 0)
		return fail(st, (int)n);
	if (!n && !st->stopped)
		return 0;
	if (!n) {
		rc = st->kind->saved ? st->kind->saved(st) : 0;
		if (rc < 0)
			return fail(st, rc);
		st->complete = true;
	}
	put(at, (uint32_t)n);
	return n + STATE_BLOCK;
}

int iol_device_state_left(struct iol_device_state *st, struct iol_migration_left *left)
{
	int rc = check_use(st, false);

	if (rc < 0)
		return rc;
	*left = (struct iol_migration_left){ 0 };
	return st->complete || !st->kind->left ? 0 : st->kind->left(st, left);
}

/* ---- loading ---- */

static int check_header(const struct iol_device_state *st)
{
	uint32_t version = get(st->head + 4) & 0xffff, kind = get(st->head + 4) >> 16;
	uint32_t id = get(st->head + 8), device = get(st->head + 12);

	if (get(st->head) != STATE_MAGIC)
		return iol_fail(EBADMSG, "it does not begin as a device's state does");
	if (version != STATE_VERSION)
		return iol_fail(EBADMSG, "it has version %u, and this program knows %u", version,
				STATE_VERSION);
	if (kind != st->kind->number)
		return iol_fail(EBADMSG, "it comes from %s",
				kind < sizeof(kinds) / sizeof(kinds[0])
					? kinds[kind]->name
					: "an unknown kind of device");
	if (id != st->id)
		return iol_fail(EBADMSG, "it comes from device %u, and this is %u", id, st->id);
	if (device != st->device)
		return iol_fail(EBADMSG,
				"it comes from a PCI device %04x:%04x, and this is %04x:%04x",
				device & 0xffff, device >> 16, st->device & 0xffff,
				st->device >> 16);
	return 0;
}

/* A header, or the length of a block, is whole. */
static int take_head(struct iol_device_state *st)
{
	int rc;

	st->have = 0;
	if (!st->begun) {
		rc = check_header(st);
		if (!rc && st->kind->load)
			rc = st->kind->load(st);
		st->begun = true;
		return rc;
	}
	st->block = get(st->head);
	st->complete = !st->block;
	if (st->block > STATE_BLOCK_MAX)
		return iol_fail(EBADMSG, "it has a block of %u bytes", st->block);
	if (st->block && st->fd < 0)
		return iol_fail(EBADMSG, "it has %u bytes, and there is nobody to take them",
				st->block);
	return 0;
}

/* Return: how many bytes were used. */
static ssize_t take_piece(struct iol_device_state *st, const uint8_t *buf, size_t len)
{
	size_t want = (st->begun ? STATE_BLOCK : STATE_HEADER) - st->have;
	int rc;

	if (st->complete)
		return iol_fail(EBADMSG, "it goes on after its end");
	if (st->block) {
		len = len < st->block ? len : st->block;
		rc = give(st, buf, len);
		st->block -= (uint32_t)len;
		return rc < 0 ? rc : (ssize_t)len;
	}
	len = len < want ? len : want;
	memcpy(st->head + st->have, buf, len);
	st->have += len;
	rc = len == want ? take_head(st) : 0;
	return rc < 0 ? rc : (ssize_t)len;
}

int iol_device_state_write(struct iol_device_state *st, const void *buf, size_t len)
{
	const uint8_t *at = buf;
	ssize_t n;
	int rc = check_use(st, true);

	if (rc < 0)
		return rc;
	for (; len; at += n, len -= (size_t)n) {
		n = take_piece(st, at, len);
		if (n < 0)
			return fail(st, (int)n);
	}
	return 0;
}

/* ---- the end ---- */

static int finish(struct iol_device_state *st)
{
	int (*last)(struct iol_device_state *) = st->loads ? st->kind->loaded : st->kind->gone;

	if (st->failed || !st->complete)
		return iol_fail(EBADMSG, "it is not complete");
	return last ? last(st) : 0;
}

int iol_device_state_end(struct iol_device_state **stp, bool done)
{
	struct iol_device_state *st = *stp;
	int rc = 0;

	if (!st)
		return 0;
	*stp = NULL;
	if (done) {
		rc = finish(st);
		if (rc < 0)
			rc = fail(st, rc);
	}
	if (rc < 0 || !done)
		return give_up(st, rc);
	forget(st);
	return 0;
}
