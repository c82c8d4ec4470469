/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/steps.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int copy(char *to, size_t len, const char *text)
{
	if (strlen(text) >= len)
		return iol_fail(ENAMETOOLONG, "%s is too long: %zu characters at most", text,
				len - 1);
	strcpy(to, text);
	return 0;
}

int iol_plan_add(struct iol_plan *plan, const char *kind, const char *what, const char *value,
		 const char *was)
{
	struct iol_step *s;

	if (plan->count == plan->room) {
		unsigned int room = plan->room ? 2 * plan->room : 16;

		s = reallocarray(plan->steps, room, sizeof(*s));
		if (!s)
			return iol_fail(ENOMEM, "no memory for a plan");
		plan->steps = s;
		plan->room = room;
	}
	s = &plan->steps[plan->count];
	*s = (struct iol_step){ 0 };
	if (copy(s->kind, sizeof(s->kind), kind) || copy(s->what, sizeof(s->what), what) ||
	    copy(s->value, sizeof(s->value), value) || copy(s->was, sizeof(s->was), was))
		return -ENAMETOOLONG;
	plan->count++;
	return 0;
}

static int tell(const struct iol_engine *e, enum iol_step_event event, const struct iol_step *s)
{
	return e->opts->step ? e->opts->step(e->opts->opaque, event, s) : 0;
}

static void tell_ahead(const struct iol_engine *e, unsigned int count)
{
	if (e->opts->ahead)
		e->opts->ahead(e->opts->opaque, count);
}

int iol_steps_tell(const struct iol_engine *engine, const struct iol_plan *plan)
{
	unsigned int i;

	for (i = 0; i < plan->count; i++)
		tell(engine, IOL_STEP_PLANNED, &plan->steps[i]);
	return (int)plan->count;
}

static const struct iol_step_kind *find_kind(const struct iol_engine *e, const char *name)
{
	const struct iol_step_kind *k;

	for (k = e->kinds; k->name; k++) {
		if (!strcmp(k->name, name))
			return k;
	}
	for (k = e->more; k && k->name; k++) {
		if (!strcmp(k->name, name))
			return k;
	}
	iol_fail(EBADMSG, "there is no step of the kind \"%s\": another version of iolane wrote it",
		 name);
	return NULL;
}

static const struct iol_step_kind *kind_of(const struct iol_engine *e, const struct iol_step *s)
{
	return find_kind(e, s->kind);
}

int iol_step_now(const struct iol_engine *engine, const char *kind, const char *what,
		 char value[IOL_NAME_MAX])
{
	const struct iol_step_kind *k = find_kind(engine, kind);

	return k ? k->get(engine->env, what, value) : -EBADMSG;
}

int iol_step_set(const struct iol_engine *engine, const char *kind, const char *what,
		 const char *value)
{
	const struct iol_step_kind *k = find_kind(engine, kind);

	return k ? k->set(engine->env, what, value) : -EBADMSG;
}

/* What was there is read now: the plan may be old by some milliseconds. */
static int make(const struct iol_engine *e, struct iol_entry *entry, unsigned int i)
{
	struct iol_step *s = &entry->steps[i];
	const struct iol_step_kind *k = kind_of(e, s);
	int rc;

	if (!k)
		return -EBADMSG;
	rc = k->get(e->env, s->what, s->was);
	if (rc == -ENODEV)
		return iol_fail(ENODEV, "cannot change the %s of %s: it is not there (any more)",
				s->kind, s->what);
	if (!rc)
		rc = iol_journal_mark(entry, i, STEP_BEGUN);
	if (!rc)
		rc = tell(e, IOL_STEP_BEGUN, s);
	if (!rc && strcmp(s->was, s->value) != 0)
		rc = k->set(e->env, s->what, s->value);
	if (!rc)
		rc = tell(e, IOL_STEP_MADE, s);
	if (!rc)
		rc = iol_journal_mark(entry, i, STEP_DONE);
	if (!rc)
		rc = tell(e, IOL_STEP_DONE, s);
	return rc < 0 ? rc : 0;
}

static int roll_back(const struct iol_engine *engine, struct iol_journal *j,
		     struct iol_entry *entry, int failure)
{
	_cleanup_free_ char *why = strdup(iol_error());
	unsigned int i;
	int rc;

	/* Whatever they have come to, it is our doing: drivers round, and some take what they then do not keep. */
	for (i = 0; i < entry->count; i++) {
		if (entry->marks[i] == STEP_DONE && iol_journal_mark(entry, i, STEP_BEGUN) < 0)
			entry->marks[i] = STEP_BEGUN;
	}
	rc = iol_steps_undo(engine, j, entry, NULL, NULL);
	if (rc < 0) {
		_cleanup_free_ char *also = strdup(iol_error());

		return iol_fail(-failure,
				"%s; and not all could be put back: %s; iolane undo tries again",
				why ? why : "", also ? also : "");
	}
	return iol_fail(-failure, "%s; all is as it was before", why ? why : "");
}

int iol_steps_make(const struct iol_engine *engine, struct iol_journal *j, const char *verb,
		   const struct iol_plan *plan)
{
	_cleanup_entry_ struct iol_entry *entry = NULL;
	unsigned int i;
	int rc;

	if (!plan->count)
		return 0;
	rc = iol_journal_add(j, verb, plan->steps, plan->count, &entry);
	tell_ahead(engine, plan->count);
	for (i = 0; !rc && i < plan->count; i++) {
		rc = make(engine, entry, i);
		if (rc)
			return roll_back(engine, j, entry, rc);
	}
	if (!rc && engine->check) {
		rc = engine->check(engine->env, entry);
		if (rc)
			return roll_back(engine, j, entry, rc);
	}
	return rc ? rc : (int)plan->count;
}

/*
 * Return: 1 when it was put back, 0 when it is to be left alone. Who has changed it after us wants it so; but
 * of a step left in the middle we can't tell what it had come to.
 */
static int put_back(const struct iol_engine *e, struct iol_entry *entry, unsigned int i)
{
	const struct iol_step *s = &entry->steps[i];
	const struct iol_step_kind *k = kind_of(e, s);
	bool done = entry->marks[i] == STEP_DONE;
	char now[IOL_NAME_MAX];
	int rc;

	if (!k)
		return -EBADMSG;
	rc = k->get(e->env, s->what, now);
	if (rc == -ENODEV)
		return 0;
	if (rc)
		return rc;
	if (done && !(k->goes && !*s->value) && strcmp(now, s->was) != 0 &&
	    strcmp(now, s->value) != 0 && strcmp(s->value, "*") != 0) {
		iol_log(IOL_LOG_WARNING,
			"the %s of %s is \"%s\" by now, which is not our doing: left so", s->kind,
			s->what, now);
		return 0;
	}
	tell(e, IOL_STEP_UNDOING, s);
	if (!strcmp(now, s->was) && !(k->again && !*s->value))
		return 1;
	/* On the way back it may pass through what is neither, and we be killed there. */
	if (done)
		rc = iol_journal_mark(entry, i, STEP_BEGUN);
	if (!rc)
		rc = k->set(e->env, s->what, s->was);
	if (!rc)
		return 1;
	if (done && !k->get(e->env, s->what, now) && !strcmp(now, s->value))
		iol_journal_mark(entry, i, STEP_DONE);
	return rc;
}

static bool stays(const struct iol_engine *e, const struct iol_step *s)
{
	const struct iol_step_kind *k = kind_of(e, s);

	return k && k->stays;
}

/* What was done to a thing later has to go first. */
static bool waits(const struct iol_entry *entry, unsigned int i, const bool *failed)
{
	unsigned int later;

	for (later = i + 1; later < entry->count; later++) {
		if (failed[later] && !strcmp(entry->steps[later].what, entry->steps[i].what))
			return true;
	}
	return false;
}

/*
 * Say on disk, and there only, that the step which goes back last is in the middle (@begun), or is not: a change that is
 * half undone is not to be built upon.
 */
static int mark_last(const struct iol_engine *e, struct iol_entry *entry, bool begun)
{
	unsigned int i = 0;
	int rc;

	while (i < entry->count &&
	       (!iol_mark_is_made(entry->marks[i]) || stays(e, &entry->steps[i])))
		i++;
	if (i == entry->count || entry->marks[i] != STEP_DONE)
		return 0;
	rc = iol_journal_mark(entry, i, begun ? STEP_BEGUN : STEP_DONE);
	entry->marks[i] = STEP_DONE;
	return rc;
}

int iol_steps_undo(const struct iol_engine *engine, struct iol_journal *j, struct iol_entry *entry,
		   bool (*which)(const struct iol_step *step, const void *arg), const void *arg)
{
	_cleanup_free_ bool *failed = calloc(entry->count + 1, sizeof(*failed));
	_cleanup_free_ char *why = NULL;
	int failure = 0, undone = 0, rc;
	unsigned int i, left = 0, ahead = 0;

	if (!failed)
		return iol_fail(ENOMEM, "no memory to undo %u steps", entry->count);
	rc = which ? 0 : mark_last(engine, entry, true);
	if (rc)
		return rc;
	for (i = 0; i < entry->count; i++)
		ahead += iol_mark_is_made(entry->marks[i]) && !stays(engine, &entry->steps[i]) &&
			 (!which || which(&entry->steps[i], arg));
	tell_ahead(engine, ahead);
	for (i = entry->count; i--;) {
		const struct iol_step *s = &entry->steps[i];

		if (!iol_mark_is_made(entry->marks[i]))
			continue;
		if (stays(engine, s))
			continue;
		if ((which && !which(s, arg)) || waits(entry, i, failed)) {
			left++;
			continue;
		}
		rc = put_back(engine, entry, i);
		if (rc >= 0) {
			bool back = rc > 0;

			rc = iol_journal_mark(entry, i, STEP_UNDONE);
			if (!rc) {
				undone += back;
				tell(engine, back ? IOL_STEP_UNDONE : IOL_STEP_LEFT, s);
				continue;
			}
		}
		left++;
		failed[i] = true;
		if (!failure) {
			failure = rc;
			why = strdup(iol_error());
		}
	}
	if (failure && !which)
		mark_last(engine, entry, undone > 0);
	if (failure)
		return iol_fail(-failure, "%s", why ? why : "not all could be put back");
	rc = left ? 0 : iol_journal_remove(j, entry);
	return rc ? rc : undone;
}

int iol_steps_tell_undo(const struct iol_engine *engine, const struct iol_entry *entry,
			bool (*which)(const struct iol_step *step, const void *arg),
			const void *arg)
{
	unsigned int i;
	int told = 0;

	for (i = entry->count; i--;) {
		struct iol_step back = entry->steps[i];

		if (!iol_mark_is_made(entry->marks[i]) || stays(engine, &back) ||
		    (which && !which(&back, arg)))
			continue;
		strcpy(back.value, entry->steps[i].was);
		strcpy(back.was, entry->steps[i].value);
		tell(engine, IOL_STEP_PLANNED, &back);
		told++;
	}
	return told;
}

bool iol_entry_made(const struct iol_entry *entry)
{
	unsigned int i;

	for (i = 0; i < entry->count; i++) {
		if (iol_mark_is_made(entry->marks[i]))
			return true;
	}
	return false;
}

bool iol_entry_whole(const struct iol_entry *entry)
{
	unsigned int i;

	for (i = 0; i < entry->count; i++) {
		if (entry->marks[i] == STEP_PLANNED || entry->marks[i] == STEP_BEGUN)
			return false;
	}
	return true;
}
