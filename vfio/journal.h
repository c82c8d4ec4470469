/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The journal of changes to a host. An entry is a file: its steps, written as a whole before the first is made, then a
 * line for each mark. It means something until the host starts anew, so it lies in /run and carries the boot's id.
 * Who has it open is alone: it is locked.
 */
#ifndef IOL_VFIO_JOURNAL_H
#define IOL_VFIO_JOURNAL_H

#include "base/own.h"

#include <iolane/vfio.h>

#define JOURNAL_VERB_MAX 16

/* Where it is unless somebody says otherwise. */
#define IOL_STATE_DIR "/run/iolane"

struct iol_journal {
	char dir[256];
	char boot[40];
	int dir_fd, lock_fd;
};

#define JOURNAL_CLOSED                                                                             \
	{                                                                                          \
		.dir_fd = -1, .lock_fd = -1                                                        \
	}

enum iol_step_mark { STEP_PLANNED, STEP_BEGUN, STEP_DONE, STEP_UNDONE };

/** iol_mark_is_made() - Whether there is something of the step to be put back. */
static inline bool iol_mark_is_made(enum iol_step_mark mark)
{
	return mark == STEP_BEGUN || mark == STEP_DONE;
}

/**
 * struct iol_entry - One change.
 * @verb: what made it: "bind".
 * @marks: how far each of the @count @steps has come; @was of one is what is true from STEP_BEGUN on. STEP_BEGUN is also
 *         one that is on its way back.
 */
struct iol_entry {
	unsigned int number, count;
	char verb[JOURNAL_VERB_MAX];
	struct iol_step *steps;
	enum iol_step_mark *marks;
	int fd;
};

/**
 * iol_journal_open() - Open and lock the journal; it is made if need be.
 * @dir: belongs to us, and nobody else may write there: -EPERM if not.
 *
 * Return: 0; -EBUSY when another process keeps it locked for 10 s.
 */
int iol_journal_open(const struct iol_host *host, const char *dir, struct iol_journal *j);
void iol_journal_close(struct iol_journal *j);

/** iol_journal_add() - A new entry, on disk when this returns. @steps are copied. */
int iol_journal_add(struct iol_journal *j, const char *verb, const struct iol_step *steps,
		    unsigned int count, struct iol_entry **entry);

/** iol_journal_mark() - Say how far a step has come; on disk when this returns. */
int iol_journal_mark(struct iol_entry *entry, unsigned int step, enum iol_step_mark mark);

/**
 * iol_journal_before() - The newest entry that is older than number @before; UINT_MAX for the newest.
 * Entries of earlier boots are removed on the way.
 *
 * Return: 0; -ENOENT without a sentence: there is none; -EBADMSG: it is damaged.
 */
int iol_journal_before(struct iol_journal *j, unsigned int before, struct iol_entry **entry);

/** iol_journal_remove() - An entry of which nothing is left to undo. */
int iol_journal_remove(struct iol_journal *j, const struct iol_entry *entry);

void iol_entry_free(struct iol_entry **entry);

#define _cleanup_journal_ _cleanup_(iol_journal_close)
#define _cleanup_entry_   _cleanup_(iol_entry_free)

#endif
