/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one engine that changes a host: makes steps in order, each noted in the journal before and after it, puts all
 * back when one fails, and undoes what a journal says. What a kind of step means is its user's to say.
 */
#ifndef IOL_VFIO_STEPS_H
#define IOL_VFIO_STEPS_H

#include "base/own.h"
#include "vfio/journal.h"

/**
 * struct iol_step_kind - How a property is read and set.
 * @name: as in iol_step.kind.
 * @get: what it is now. -ENODEV, without a sentence: the thing is not there (any more).
 * @set: set it and see that it is so. Done twice it must do no harm.
 * @stays: it does no harm and is not undone.
 * @goes: without a value it goes with its thing; undone, the thing is new, and what it was is put back whatever it is then.
 * @again: likewise, also when it is so already, as then it may be so only until somebody comes to have the thing.
 */
struct iol_step_kind {
	const char *name;
	int (*get)(void *env, const char *what, char value[IOL_NAME_MAX]);
	int (*set)(void *env, const char *what, const char *value);
	bool stays, goes, again;
};

/**
 * struct iol_engine - What makes steps.
 * @kinds: ends with one without a name.
 * @more: others, likewise; NULL for none.
 * @check: after the last step, see that all is as it was set: 0, or what makes the change fail; NULL for none.
 * @may_undo: before a change is taken back as a whole: 0, or what speaks against it; NULL for nothing.
 * @env: handed to them.
 */
struct iol_engine {
	const struct iol_step_kind *kinds, *more;
	int (*check)(void *env, const struct iol_entry *entry);
	int (*may_undo)(const struct iol_engine *engine, const struct iol_entry *entry);
	void *env;
	const struct iol_change_opts *opts;
};

/** struct iol_plan - Steps to be made. */
struct iol_plan {
	struct iol_step *steps;
	unsigned int count, room;
};

/** iol_plan_add() - Put a step at the end. -ENAMETOOLONG: a text has no room. */
int iol_plan_add(struct iol_plan *plan, const char *kind, const char *what, const char *value,
		 const char *was);

static inline void iol_plan_freep(struct iol_plan *plan)
{
	free(plan->steps);
}

#define _cleanup_plan_ _cleanup_(iol_plan_freep)

/** iol_step_now() - A property as it is, as of iol_step_kind.get. */
int iol_step_now(const struct iol_engine *engine, const char *kind, const char *what,
		 char value[IOL_NAME_MAX]);

/** iol_step_set() - Set a property without a journal. */
int iol_step_set(const struct iol_engine *engine, const char *kind, const char *what,
		 const char *value);

/** iol_steps_tell() - Say all steps as planned, and make none. Return: how many. */
int iol_steps_tell(const struct iol_engine *engine, const struct iol_plan *plan);

/**
 * iol_steps_make() - Make all steps, or on failure put back those that were.
 * @verb: for the journal.
 *
 * Return: how many, or what made it fail.
 */
int iol_steps_make(const struct iol_engine *engine, struct iol_journal *j, const char *verb,
		   const struct iol_plan *plan);

/**
 * iol_steps_undo() - Put back the steps of an entry, the last first; the entry goes when none is left.
 * @which: which of them; NULL for all.
 *
 * A step that fails is left for another time, with the earlier ones on the same thing; the others are undone all the same.
 * An entry that is to go as a whole counts as left in the middle from the first step until it has gone.
 *
 * Return: how many were undone, or the first failure.
 */
int iol_steps_undo(const struct iol_engine *engine, struct iol_journal *j, struct iol_entry *entry,
		   bool (*which)(const struct iol_step *step, const void *arg), const void *arg);

/** iol_steps_tell_undo() - Say what iol_steps_undo() would put back, and put nothing. Return: how many. */
int iol_steps_tell_undo(const struct iol_engine *engine, const struct iol_entry *entry,
			bool (*which)(const struct iol_step *step, const void *arg),
			const void *arg);

/** iol_entry_made() - Whether there is a step to undo. */
bool iol_entry_made(const struct iol_entry *entry);

/** iol_entry_whole() - Whether it was not left in the middle: all its steps were made, but for those undone. */
bool iol_entry_whole(const struct iol_entry *entry);

#endif
