/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The image into the page cache before the first round, and there till the end, however eagerly memory is
 * reclaimed.
 *
 * How large the pieces are in which the kernel caches a file depends on how it was read or written last, and the
 * cost of a small write on it: on ext4 of Linux 6.18, 1.2 us into a page of 4 KiB, 13 us into one of 2 MiB.
 * So what is cached goes first, and comes back in single pages, as random access makes them.
 */
#include "blk.h"

#include "base/clock.h"
#include "base/own.h"
#include "tools/common/prog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define READERS 16
#define PAGE    4096
#define LOOK_MS 200

struct warm {
	const char *file;
	int fd;
	uint64_t pages;
	/* Atomic: the next page, and who still reads. */
	uint64_t next;
	unsigned int readers;
};

static void *read_pages(void *arg)
{
	struct warm *w = arg;
	uint8_t page[PAGE];
	uint64_t i;

	/* What can't be read the rounds will say. */
	while (!bench_interrupted &&
	       (i = __atomic_fetch_add(&w->next, 1, __ATOMIC_RELAXED)) < w->pages)
		if (pread(w->fd, page, PAGE, (off_t)(i * PAGE)) < 0 && errno != EINTR)
			break;
	__atomic_sub_fetch(&w->readers, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void read_all(struct warm *w)
{
	const struct timespec look = { .tv_nsec = LOOK_MS * IOL_NS_PER_MS };
	pthread_t reader[READERS];
	unsigned int n, i;

	w->readers = READERS;
	for (n = 0; n < READERS; n++)
		if (pthread_create(&reader[n], NULL, read_pages, w))
			break;
	__atomic_sub_fetch(&w->readers, READERS - n, __ATOMIC_RELAXED);
	while (__atomic_load_n(&w->readers, __ATOMIC_ACQUIRE)) {
		uint64_t done = __atomic_load_n(&w->next, __ATOMIC_RELAXED);

		prog_progress("reading %s into the page cache: %u %%", w->file,
			      (unsigned int)(done < w->pages ? done * 100 / w->pages : 100));
		nanosleep(&look, NULL);
	}
	for (i = 0; i < n; i++)
		pthread_join(reader[i], NULL);
	prog_progress(NULL);
}

const char *blk_warm_up(const struct blk_options *o)
{
	_cleanup_close_ int fd = -1;
	struct warm w = { .file = o->file };
	struct stat st;
	size_t len;
	void *map;

	if (!o->file || o->direct || !o->runtime || stat(o->file, &st) < 0 || !S_ISREG(st.st_mode))
		return "as it was";
	len = o->size && o->size < (uint64_t)st.st_size ? o->size : (size_t)st.st_size;
	w.pages = (len + PAGE - 1) / PAGE;
	if (len / (size_t)sysconf(_SC_PAGESIZE) > (size_t)sysconf(_SC_PHYS_PAGES) / 2)
		return "as it was";
	w.fd = fd = open(o->file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return "as it was";
	/* Only what is clean can go. */
	if (fdatasync(fd) < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) ||
	    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM))
		return "as it was";
	read_all(&w);
	/* Held by the mapping, which lasts as long as this process; memlock's limit may forbid that. */
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	return map != MAP_FAILED && !mlock(map, len) ? "locked" : "warmed";
}
