/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log of live migration: a bit a page, in memory shared with the back end. */
#include "vmm-glue/frontend.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FEATURE_LOG (1ull << VHOST_F_LOG_ALL)
#define PAGE_BITS   12

/* A log that covers all up to @last. */
static int make_log(struct iol_frontend *fe, uint64_t last)
{
	_cleanup_close_ int fd = -1;
	uint64_t size = (last >> PAGE_BITS) / 8 + 1;
	void *log;

	fd = memfd_create("iolane-dirty-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return iol_fail(errno, "cannot make a dirty log: %s", strerror(errno));
	log = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (log == MAP_FAILED)
		return iol_fail(errno, "cannot map a dirty log: %s", strerror(errno));
	fe->log_fd = iol_take_fd(&fd);
	fe->log = log;
	fe->log_size = size;
	return 0;
}

static void drop_log(struct iol_frontend *fe)
{
	munmap(fe->log, fe->log_size);
	fe->log = NULL;
	iol_close(&fe->log_fd);
}

int iol_fe_send_log(struct iol_frontend *fe)
{
	struct vhost_user_log log = { .mmap_size = fe->log_size };

	return iol_fe_set(fe, VHOST_USER_SET_LOG_BASE, &log, sizeof(log), &fe->log_fd, 1);
}

/* Have it log from now on, or no more: what it writes once this returned, it does so. */
static int tell_rings(struct iol_frontend *fe, bool logging)
{
	unsigned int i;
	int rc;

	fe->logging = logging;
	fe->features = (fe->features & ~FEATURE_LOG) | (logging ? FEATURE_LOG : 0);
	rc = iol_fe_set_u64(fe, VHOST_USER_SET_FEATURES, fe->features);
	for (i = 0; !rc && i < fe->nqueues; i++)
		rc = fe->queues[i].started ? iol_fe_send_addr(fe, i) : 0;
	return rc < 0 ? rc : iol_fe_seen(fe);
}

int iol_frontend_log_start(struct iol_frontend *fe)
{
	unsigned int n = fe->memory ? iol_guest_memory_regions(fe->memory) : 0;
	const struct iol_guest_region *last;
	char why[IOL_ERROR_MAX];
	int rc;

	if (fe->logging)
		return iol_fail(EBUSY, "the dirty log is kept already");
	rc = iol_fe_has(fe, VHOST_USER_SET_LOG_BASE);
	if (!rc && !fe->can_log)
		rc = iol_fail(ENOTSUP, "the back end does not offer to keep a dirty log");
	if (rc < 0)
		return rc;
	if (!n)
		return iol_fail(EINVAL, "a dirty log needs guest memory");
	last = iol_guest_memory_region(fe->memory, n - 1);
	rc = make_log(fe, last->gpa + last->size - 1);
	if (rc < 0)
		return rc;
	rc = iol_fe_send_log(fe);
	if (!rc)
		rc = tell_rings(fe, true);
	if (rc < 0) {
		snprintf(why, sizeof(why), "%s", iol_error());
		if (fe->logging)
			tell_rings(fe, false);
		drop_log(fe);
		return iol_fail(-rc, "%s", why);
	}
	return 0;
}

int iol_frontend_log_stop(struct iol_frontend *fe)
{
	int rc;

	if (!fe->logging)
		return iol_fail(EINVAL, "no dirty log is kept");
	rc = tell_rings(fe, false);
	drop_log(fe);
	return rc;
}

/* Move what is set in @from to the same bits of @to, into which somebody else writes, too. */
static void carry_over(uint8_t *from, uint64_t size, uint8_t *to)
{
	for (uint64_t i = 0; i < size; i++) {
		uint8_t bits = __atomic_exchange_n(&from[i], 0, __ATOMIC_SEQ_CST);

		if (bits)
			__atomic_fetch_or(&to[i], bits, __ATOMIC_SEQ_CST);
	}
}

int iol_fe_cover_log(struct iol_frontend *fe, const struct iol_guest_region *region)
{
	uint64_t last = region->gpa + region->size - 1, size = fe->log_size;
	uint8_t *log = fe->log;
	int fd = fe->log_fd;
	int rc;

	if (!fe->logging || (last >> PAGE_BITS) / 8 < size)
		return 0;
	rc = make_log(fe, last);
	if (rc < 0)
		return rc;
	if (iol_frontend_connected(fe))
		rc = iol_fe_send_log(fe);
	/* Whether it took the new one or not, it writes to one of them only; one that is gone gets the new one when it is back. */
	if (rc < 0 && iol_frontend_connected(fe)) {
		drop_log(fe);
		fe->log = log;
		fe->log_fd = fd;
		fe->log_size = size;
		return rc;
	}
	carry_over(log, size, fe->log);
	munmap(log, size);
	close(fd);
	return 0;
}

void iol_fe_mark_log(struct iol_frontend *fe, uint64_t gpa, uint64_t size)
{
	uint64_t page = gpa >> PAGE_BITS, last = (gpa + size - 1) >> PAGE_BITS;

	for (; page <= last && page / 8 < fe->log_size; page++)
		__atomic_fetch_or(&fe->log[page / 8], (uint8_t)(1u << page % 8), __ATOMIC_SEQ_CST);
}

int iol_fe_take_log(struct iol_frontend *fe, uint64_t gpa, uint64_t size, uint64_t *bitmap)
{
	uint64_t first = gpa >> PAGE_BITS, last = (gpa + size - 1) >> PAGE_BITS;

	if (!fe->log || last / 8 >= fe->log_size)
		return iol_fail(ENOENT, "no dirty log covers address 0x%llx",
				(unsigned long long)gpa);
	for (uint64_t byte = first / 8; byte <= last / 8; byte++) {
		uint8_t mask = 0xff, bits;

		if (!__atomic_load_n(&fe->log[byte], __ATOMIC_RELAXED))
			continue;
		if (byte == first / 8)
			mask &= (uint8_t)(0xff << first % 8);
		if (byte == last / 8)
			mask &= (uint8_t)(0xff >> (7 - last % 8));
		bits = __atomic_fetch_and(&fe->log[byte], (uint8_t)~mask, __ATOMIC_SEQ_CST) & mask;
		for (; bits; bits &= (uint8_t)(bits - 1)) {
			uint64_t page = byte * 8 + (uint64_t)__builtin_ctz(bits) - first;

			bitmap[page / 64] |= UINT64_C(1) << page % 64;
		}
	}
	return 0;
}

int iol_frontend_log_take(struct iol_frontend *fe, uint64_t gpa)
{
	uint64_t bit = 0;
	int rc = iol_fe_take_log(fe, gpa, 1, &bit);

	return rc < 0 ? rc : (int)bit;
}
