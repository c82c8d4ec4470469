/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log of live migration: a bit a page, in memory shared with the back end. */
#include "vmm-glue/frontend.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FEATURE_LOG (1ull << VHOST_F_LOG_ALL)
#define PAGE_BITS   12

static int make_log(struct iol_frontend *fe)
{
	const struct iol_guest_region *last;
	unsigned int n = fe->memory ? iol_guest_memory_regions(fe->memory) : 0;
	_cleanup_close_ int fd = -1;
	uint64_t size;
	void *log;

	if (!n)
		return iol_fail(EINVAL, "a dirty log needs guest memory");
	last = iol_guest_memory_region(fe->memory, n - 1);
	size = ((last->gpa + last->size - 1) >> PAGE_BITS) / 8 + 1;
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

static int tell_rings(struct iol_frontend *fe, uint64_t features)
{
	unsigned int i;
	int rc;

	rc = iol_fe_set_u64(fe, VHOST_USER_SET_FEATURES, features);
	if (rc < 0)
		return rc;
	fe->features = features;
	for (i = 0; i < fe->nqueues; i++) {
		rc = fe->queues[i].started ? iol_fe_send_addr(fe, i) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

int iol_frontend_log_start(struct iol_frontend *fe)
{
	int rc;

	if (fe->logging)
		return iol_fail(EBUSY, "the dirty log is kept already");
	rc = iol_fe_has(fe, VHOST_USER_SET_LOG_BASE);
	if (!rc)
		rc = make_log(fe);
	if (rc < 0)
		return rc;
	rc = iol_fe_send_log(fe);
	if (rc < 0) {
		drop_log(fe);
		return rc;
	}
	fe->logging = true;
	return tell_rings(fe, fe->features | FEATURE_LOG);
}

int iol_frontend_log_stop(struct iol_frontend *fe)
{
	int rc;

	if (!fe->logging)
		return iol_fail(EINVAL, "no dirty log is kept");
	fe->logging = false;
	rc = tell_rings(fe, fe->features & ~FEATURE_LOG);
	if (rc < 0)
		return rc;
	drop_log(fe);
	return 0;
}

int iol_frontend_log_take(struct iol_frontend *fe, uint64_t gpa)
{
	uint64_t page = gpa >> PAGE_BITS;
	uint8_t bit = (uint8_t)(1u << page % 8);

	if (!fe->log || page / 8 >= fe->log_size)
		return iol_fail(ENOENT, "no dirty log covers address 0x%llx",
				(unsigned long long)gpa);
	return !!(__atomic_fetch_and(&fe->log[page / 8], (uint8_t)~bit, __ATOMIC_SEQ_CST) & bit);
}
