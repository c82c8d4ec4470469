/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading a host's small files. Paths are printf formats relative to the host's root: "sys/bus/pci/devices/%s/class".
 * Of a copy, links are followed within it: "/sys/class" in one means the copy's.
 */
#ifndef IOL_VFIO_HOST_H
#define IOL_VFIO_HOST_H

#include <dirent.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "base/own.h"

#include <iolane/vfio.h>

/* Bytes of a path, with its end. */
#define HOST_PATH_MAX 512

struct iol_host {
	int root_fd;
	bool live; /* this machine, not a copy of one's files */
};

/**
 * iol_host_read() - The start of a file, without the line's end.
 * @buf: what fits into @len bytes with a 0 after it.
 *
 * Return: the length, or a negative errno without a sentence: what is not there is seldom a failure.
 */
int iol_host_read(const struct iol_host *host, char *buf, size_t len, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** iol_host_read_u64() - A file that holds one number, decimal or with 0x. -EINVAL when it does not. */
int iol_host_read_u64(const struct iol_host *host, uint64_t *value, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** iol_host_small() - The number in a file right in the host's root; 0 when there is none up to @max. */
unsigned int iol_host_small(const struct iol_host *host, const char *file, unsigned int max);

/** iol_host_read_bytes() - A binary file from @offset on. Return: how many bytes, or a negative errno. */
int iol_host_read_bytes(const struct iol_host *host, void *buf, size_t len, off_t offset,
			const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** iol_host_text() - All of a file, for the caller to free; NULL when it can't be read (errno). */
char *iol_host_text(const struct iol_host *host, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** iol_host_target() - What a symbolic link holds. Return: its length, or a negative errno. */
int iol_host_target(const struct iol_host *host, char *buf, size_t len, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** iol_host_link() - The last part of what a symbolic link points to. Return: its length, or a negative errno. */
int iol_host_link(const struct iol_host *host, char *buf, size_t len, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** iol_host_exists() - Whether there is such a file. */
bool iol_host_exists(const struct iol_host *host, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * iol_host_enter() - A folder of it as a host of its own, which spares looking up the way to it for each file.
 * iol_host_leave() ends it.
 *
 * Return: 0, or a negative errno without a sentence.
 */
int iol_host_enter(const struct iol_host *host, struct iol_host *folder, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static inline void iol_host_leave(struct iol_host *folder)
{
	iol_close(&folder->root_fd);
}

#define _cleanup_folder_ _cleanup_(iol_host_leave)
#define FOLDER_CLOSED    ((struct iol_host){ .root_fd = -1 })

/**
 * iol_host_write() - A word into a file of sysfs, which takes it in one write.
 *
 * Return: 0, or a negative errno without a sentence.
 */
int iol_host_write(const struct iol_host *host, const char *word, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** iol_host_stat() - What kind of file it is, and whose; of a link itself. Return: 0 or a negative errno. */
int iol_host_stat(const struct iol_host *host, struct stat *st, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** iol_host_opendir() - Open a folder; NULL when there is none (errno). */
DIR *iol_host_opendir(const struct iol_host *host, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** iol_host_next() - Its next entry but those that begin with a dot; NULL at the end. */
const char *iol_host_next(DIR *dir);

static inline void iol_closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

#define _cleanup_dir_ _cleanup_(iol_closedirp)

#endif
