/* SPDX-License-Identifier: BSD-3-Clause */
/* The step engine and its journal, on steps that write files of a temporary folder. */
#include "base/error.h"
#include "base/own.h"
#include "vfio/host.h"
#include "vfio/steps.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define STEPS  3
#define EVENTS (3 * STEPS) /* begun, made and done of each */

struct env {
	char dir[64], state[80];
	struct iol_host *host;
	struct iol_change_opts opts;
	struct iol_engine engine;
	int events;         /* told so far */
	unsigned int ahead; /* steps that come, as was told last */
	int stop_at;        /* the event that fails, or kills; -1 for none */
	bool kills;         /* rather than fails */
	const char *spoils; /* the thing that can't be set */
	const char *breaks; /* what becomes so when it stops */
	const char *halves; /* the thing whose setting is killed half way */
	bool rounds;        /* things become not quite what they are set to */
	char order[1024];   /* "+a" for each that was set, "-a" for each that was put back */
};

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

static int get_file(void *opaque, const char *what, char value[IOL_NAME_MAX])
{
	const struct env *e = opaque;
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", e->dir, what);
	f = fopen(path, "r");
	if (!f)
		return -ENODEV;
	value[fread(value, 1, IOL_NAME_MAX - 1, f)] = '\0';
	fclose(f);
	return 0;
}

static int set_file(void *opaque, const char *what, const char *value)
{
	const struct env *e = opaque;
	char path[512];

	if (e->spoils && !strcmp(what, e->spoils))
		return iol_fail(EACCES, "cannot set %s", what);
	snprintf(path, sizeof(path), "%s/%s", e->dir, what);
	if (e->halves && !strcmp(what, e->halves)) {
		write_file(path, "half");
		raise(SIGKILL);
	}
	write_file(path, e->rounds && !strcmp(value, "a1") ? "a1, about" : value);
	return 0;
}

static const struct iol_step_kind kinds[] = {
	{ "a file", get_file, set_file, false },
	{ "for good", get_file, set_file, true },
	{ "fleeting", get_file, set_file, .goes = true, .again = true },
	{ 0 },
};

static void ahead(void *opaque, unsigned int count)
{
	struct env *e = opaque;

	e->ahead = count;
}

static int told(void *opaque, enum iol_step_event event, const struct iol_step *s)
{
	struct env *e = opaque;
	size_t n = strlen(e->order);

	if (event == IOL_STEP_MADE)
		snprintf(e->order + n, sizeof(e->order) - n, "+%s", s->what);
	if (event == IOL_STEP_UNDONE)
		snprintf(e->order + n, sizeof(e->order) - n, "-%s", s->what);
	if (event == IOL_STEP_LEFT)
		snprintf(e->order + n, sizeof(e->order) - n, "~%s", s->what);
	if (e->events++ != e->stop_at)
		return 0;
	if (e->kills)
		raise(SIGKILL);
	e->spoils = e->breaks;
	return iol_fail(EINTR, "stopped at event %d", e->stop_at);
}

static void set(const struct env *e, const char *what, const char *text)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", e->dir, what);
	write_file(path, text);
}

static void expect(struct env *e, const char *a, const char *b, const char *c)
{
	char value[IOL_NAME_MAX];

	assert_int_equal(get_file(e, "a", value), 0);
	assert_string_equal(value, a);
	assert_int_equal(get_file(e, "b", value), 0);
	assert_string_equal(value, b);
	assert_int_equal(get_file(e, "c", value), 0);
	assert_string_equal(value, c);
}

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	strcpy(e->dir, "/tmp/iolane-journal-XXXXXX");
	assert_non_null(mkdtemp(e->dir));
	snprintf(e->state, sizeof(e->state), "%s/state", e->dir);
	assert_int_equal(iol_host_new(NULL, &e->host), 0);
	e->opts = (struct iol_change_opts){ .step = told, .ahead = ahead, .opaque = e };
	e->engine = (struct iol_engine){ .kinds = kinds, .env = e, .opts = &e->opts };
	e->stop_at = -1;
	set(e, "a", "a0");
	set(e, "b", "");
	set(e, "c", "c 0%-");
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -r '%s'", e->dir);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a folder of our own */
	iol_host_destroy(&e->host);
	free(e);
	return 0;
}

static void open_journal(struct env *e, struct iol_journal *j)
{
	assert_int_equal(iol_journal_open(e->host, e->state, j), 0);
}

static void add_steps(struct iol_plan *plan)
{
	assert_int_equal(iol_plan_add(plan, "a file", "a", "a1", ""), 0);
	assert_int_equal(iol_plan_add(plan, "a file", "b", "b1", ""), 0);
	assert_int_equal(iol_plan_add(plan, "a file", "c", "", ""), 0);
}

static int make_plan(struct env *e, const struct iol_plan *plan)
{
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;

	open_journal(e, &j);
	return iol_steps_make(&e->engine, &j, "test", plan);
}

static int make(struct env *e)
{
	_cleanup_plan_ struct iol_plan plan = { 0 };

	add_steps(&plan);
	return make_plan(e, &plan);
}

/* -ENOENT when there is no entry. */
static int undo(struct env *e, bool (*which)(const struct iol_step *step, const void *arg),
		const void *arg)
{
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	_cleanup_entry_ struct iol_entry *entry = NULL;
	int rc;

	open_journal(e, &j);
	rc = iol_journal_before(&j, UINT_MAX, &entry);
	return rc ? rc : iol_steps_undo(&e->engine, &j, entry, which, arg);
}

static void makes_and_undoes(void **state)
{
	struct env *e = *state;

	assert_int_equal(make(e), STEPS);
	expect(e, "a1", "b1", "");
	assert_string_equal(e->order, "+a+b+c");
	assert_int_equal(e->ahead, STEPS);
	e->ahead = 0;
	assert_int_equal(undo(e, NULL, NULL), STEPS);
	assert_int_equal(e->ahead, STEPS);
	expect(e, "a0", "", "c 0%-");
	assert_string_equal(e->order, "+a+b+c-c-b-a");
	assert_int_equal(undo(e, NULL, NULL), -ENOENT);
}

static void tells_only(void **state)
{
	struct env *e = *state;
	_cleanup_plan_ struct iol_plan plan = { 0 };

	add_steps(&plan);
	assert_int_equal(iol_steps_tell(&e->engine, &plan), STEPS);
	assert_int_equal(e->events, STEPS);
	expect(e, "a0", "", "c 0%-");
	assert_int_equal(access(e->state, F_OK), -1);
}

static void failure_at_each_step(void **state)
{
	struct env *e = *state;

	for (int at = 0; at < EVENTS; at++) {
		char sentence[64];

		e->events = 0;
		e->stop_at = at;
		assert_int_equal(make(e), -EINTR);
		snprintf(sentence, sizeof(sentence), "stopped at event %d; all is as it was before",
			 at);
		assert_string_equal(iol_error(), sentence);
		assert_int_equal(e->ahead, at / 3 + 1);
		expect(e, "a0", "", "c 0%-");
		assert_int_equal(undo(e, NULL, NULL), -ENOENT);
	}
}

static void kill_at_each_step(void **state)
{
	struct env *e = *state;

	for (int at = 0; at < EVENTS; at++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid) {
			e->events = 0;
			e->stop_at = at;
			e->kills = true;
			make(e);
			_exit(1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_int_equal(undo(e, NULL, NULL), at / 3 + 1);
		expect(e, "a0", "", "c 0%-");
		assert_int_equal(undo(e, NULL, NULL), -ENOENT);
	}
}

/* An undo that is killed at an event, or half way in setting a thing. */
static void undo_killed(struct env *e, int at, const char *halves)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		e->events = 0;
		e->stop_at = at;
		e->kills = true;
		e->halves = halves;
		undo(e, NULL, NULL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static bool is_whole(struct env *e)
{
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	_cleanup_entry_ struct iol_entry *entry = NULL;

	open_journal(e, &j);
	assert_int_equal(iol_journal_before(&j, UINT_MAX, &entry), 0);
	return iol_entry_whole(entry);
}

static void kill_in_an_undo(void **state)
{
	struct env *e = *state;

	/* Two events a step: about to be undone, undone. */
	for (int at = 0; at < 2 * STEPS; at++) {
		assert_int_equal(make(e), STEPS);
		undo_killed(e, at, NULL);
		/* Nobody is to build upon it, until the last has gone. */
		assert_int_equal(is_whole(e), at == 2 * STEPS - 1);
		assert_int_equal(undo(e, NULL, NULL), STEPS - (at + 1) / 2);
		expect(e, "a0", "", "c 0%-");
	}
}

/* What it came to then is neither what it was nor what it was made. */
static void kill_half_way_back(void **state)
{
	static const char *const things[STEPS] = { "a", "b", "c" };
	struct env *e = *state;

	for (int i = 0; i < STEPS; i++) {
		assert_int_equal(make(e), STEPS);
		undo_killed(e, -1, things[i]);
		assert_int_equal(undo(e, NULL, NULL), i + 1);
		expect(e, "a0", "", "c 0%-");
	}
}

static int refuse_all(void *env, const struct iol_entry *entry)
{
	return iol_fail(EIO, "a is not quite a1");
}

static void rounded_values_go_back(void **state)
{
	struct env *e = *state;

	e->rounds = true;
	e->engine.check = refuse_all;
	assert_int_equal(make(e), -EIO);
	assert_string_equal(iol_error(), "a is not quite a1; all is as it was before");
	expect(e, "a0", "", "c 0%-");
	assert_int_equal(undo(e, NULL, NULL), -ENOENT);
}

static void entries_left_in_the_middle_say_so(void **state)
{
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	_cleanup_entry_ struct iol_entry *entry = NULL;
	_cleanup_plan_ struct iol_plan plan = { 0 };
	struct env *e = *state;

	add_steps(&plan);
	open_journal(e, &j);
	assert_int_equal(iol_journal_add(&j, "test", plan.steps, plan.count, &entry), 0);
	assert_false(iol_entry_made(entry));
	for (unsigned int i = 0; i < STEPS; i++) {
		assert_int_equal(iol_journal_mark(entry, i, STEP_BEGUN), 0);
		assert_false(iol_entry_whole(entry));
		assert_true(iol_entry_made(entry));
		assert_int_equal(iol_journal_mark(entry, i, STEP_DONE), 0);
		assert_int_equal(iol_entry_whole(entry), i == STEPS - 1);
	}
}

static void what_fails_to_go_back_stays(void **state)
{
	struct env *e = *state;

	assert_int_equal(make(e), STEPS);
	e->spoils = "b";
	assert_int_equal(undo(e, NULL, NULL), -EACCES);
	assert_string_equal(iol_error(), "cannot set b");
	assert_false(is_whole(e));
	expect(e, "a0", "b1", "c 0%-");
	e->spoils = NULL;
	assert_int_equal(undo(e, NULL, NULL), 1);
	expect(e, "a0", "", "c 0%-");
}

/* Steps on one thing: what came before the one that fails must wait for it. */
static void earlier_steps_wait(void **state)
{
	_cleanup_plan_ struct iol_plan plan = { 0 };
	struct env *e = *state;

	assert_int_equal(iol_plan_add(&plan, "a file", "a", "a1", ""), 0);
	assert_int_equal(iol_plan_add(&plan, "a file", "b", "b1", ""), 0);
	assert_int_equal(iol_plan_add(&plan, "a file", "a", "a2", ""), 0);
	assert_int_equal(make_plan(e, &plan), 3);
	e->spoils = "a";
	assert_int_equal(undo(e, NULL, NULL), -EACCES);
	expect(e, "a2", "", "c 0%-");
	e->spoils = NULL;
	assert_int_equal(undo(e, NULL, NULL), 2);
	expect(e, "a0", "", "c 0%-");
}

static void roll_back_that_fails(void **state)
{
	struct env *e = *state;

	/* The second step fails, and then the first can't be put back. */
	e->stop_at = 4;
	e->breaks = "a";
	assert_int_equal(make(e), -EINTR);
	assert_string_equal(iol_error(),
			    "stopped at event 4; and not all could be put back: cannot set a; "
			    "iolane undo tries again");
	expect(e, "a1", "", "c 0%-");
	e->spoils = NULL;
	assert_int_equal(undo(e, NULL, NULL), 1);
	expect(e, "a0", "", "c 0%-");
}

static bool is_what(const struct iol_step *step, const void *arg)
{
	return !strcmp(step->what, arg);
}

static void undoes_a_part(void **state)
{
	struct env *e = *state;

	assert_int_equal(make(e), STEPS);
	assert_int_equal(undo(e, is_what, "b"), 1);
	expect(e, "a1", "", "");
	assert_int_equal(undo(e, is_what, "b"), 0);
	assert_int_equal(undo(e, NULL, NULL), 2);
	expect(e, "a0", "", "c 0%-");
}

static void leaves_what_others_did(void **state)
{
	struct env *e = *state;
	char path[128];

	assert_int_equal(make(e), STEPS);
	set(e, "a", "theirs");
	snprintf(path, sizeof(path), "%s/b", e->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(undo(e, NULL, NULL), 1);
	assert_string_equal(e->order, "+a+b+c-c~b~a");
	set(e, "b", "");
	expect(e, "theirs", "", "c 0%-");
}

static void kinds_that_stay(void **state)
{
	_cleanup_plan_ struct iol_plan plan = { 0 };
	struct env *e = *state;

	assert_int_equal(iol_plan_add(&plan, "for good", "a", "a1", ""), 0);
	assert_int_equal(iol_plan_add(&plan, "a file", "b", "b1", ""), 0);
	assert_int_equal(make_plan(e, &plan), 2);
	/* The other step is all that keeps the entry. */
	assert_int_equal(undo(e, is_what, "b"), 1);
	assert_int_equal(undo(e, NULL, NULL), -ENOENT);
	expect(e, "a1", "", "c 0%-");
}

/* What goes with its thing is set again although it looks as it was. */
static void fleeting_values_are_set_again(void **state)
{
	_cleanup_plan_ struct iol_plan plan = { 0 };
	struct env *e = *state;

	assert_int_equal(iol_plan_add(&plan, "fleeting", "a", "", ""), 0);
	assert_int_equal(iol_plan_add(&plan, "a file", "b", "b1", ""), 0);
	assert_int_equal(make_plan(e, &plan), 2);
	set(e, "a", "a0");
	set(e, "b", "");
	e->spoils = "a";
	assert_int_equal(undo(e, NULL, NULL), -EACCES);
	e->spoils = NULL;
	assert_int_equal(undo(e, NULL, NULL), 1);
	expect(e, "a0", "", "c 0%-");
}

static void newest_first(void **state)
{
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	struct env *e = *state;
	struct iol_entry *entry;
	unsigned int before = UINT_MAX, seen;

	for (int i = 0; i < 12; i++)
		assert_int_equal(make(e), STEPS);
	open_journal(e, &j);
	for (seen = 0; !iol_journal_before(&j, before, &entry); seen++) {
		assert_int_equal(entry->number, 12 - seen);
		before = entry->number;
		iol_entry_free(&entry);
	}
	assert_int_equal(seen, 12);
}

static void one_at_a_time(void **state)
{
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	_cleanup_close_ int fd = -1;
	struct env *e = *state;
	char path[128];

	open_journal(e, &j);
	snprintf(path, sizeof(path), "%s/lock", e->state);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
	iol_journal_close(&j);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
}

static void folders_of_others(void **state)
{
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	struct env *e = *state;

	assert_int_equal(mkdir(e->state, 0700), 0);
	assert_int_equal(chmod(e->state, 0722), 0);
	assert_int_equal(iol_journal_open(e->host, e->state, &j), -EPERM);
}

static int journal_of(struct env *e, const char *fmt, const char *boot)
{
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	_cleanup_entry_ struct iol_entry *entry = NULL;
	char path[128], text[8192];

	open_journal(e, &j);
	snprintf(path, sizeof(path), "%s/change-0000000001", e->state);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), fmt, boot ? boot : j.boot);
#pragma GCC diagnostic pop
	write_file(path, text);
	return iol_journal_before(&j, UINT_MAX, &entry);
}

static void damaged_journals(void **state)
{
	static const struct {
		const char *text;
		const char *line; /* NULL: nothing is wrong */
	} cases[] = {
		{ "iolane-journal-1 %s test 0\n", NULL },
		{ "iolane-journal-1 %s test 1\nstep a%%20file a - -\n", NULL },
		/* What a crash left of a last line. */
		{ "iolane-journal-1 %s test 1\nstep a b c d\nbegun 0 x\ndo", NULL },
		{ "iolane-journal-1 %s test 1\nstep a b c d\nbegun 0 x\nundone 0\n", NULL },
		/* On its way back, twice. */
		{ "iolane-journal-1 %s test 1\nstep a b c d\nbegun 0 x\ndone 0\nbegun 0 x\nbegun 0 "
		  "x\n",
		  NULL },
		{ "", "line 1" },
		{ "\n", "line 1" },
		{ "iolane-journal-1 %s test 0", "line 1" },
		{ "iolane-journal-2 %s test 0\n", "line 1" },
		{ "iolane-journal-1 %s test\n", "line 1" },
		{ "iolane-journal-1 %s test -1\n", "line 1" },
		{ "iolane-journal-1 %s test 65537\n", "line 1" },
		{ "iolane-journal-1 %s test 4294967296\n", "line 1" },
		{ "iolane-journal-1 %s test 1x\n", "line 1" },
		{ "iolane-journal-1 %s a-name-of-a-verb-that-is-too-long 0\n", "line 1" },
		{ "iolane-journal-1 %s test 1\n", "line 1" },
		{ "iolane-journal-1 %s test 2\nstep a b c d\n", "line 2" },
		{ "iolane-journal-1 %s test 1\nstep a b c\n", "line 2" },
		{ "iolane-journal-1 %s test 1\nstep a b c d e\n", "line 2" },
		{ "iolane-journal-1 %s test 1\nstep a b  d\n", "line 2" },
		{ "iolane-journal-1 %s test 1\nstep a b %%4 d\n", "line 2" },
		{ "iolane-journal-1 %s test 1\nstep a b %%00 d\n", "line 2" },
		{ "iolane-journal-1 %s test 1\nstep a b %%g1 d\n", "line 2" },
		{ "iolane-journal-1 %s test 1\nstep 0123456789012345678901234 b c d\n", "line 2" },
		{ "iolane-journal-1 %s test 1\nstep a b c d\nbegun 1 x\n", "line 3" },
		{ "iolane-journal-1 %s test 1\nstep a b c d\nbegun 0\n", "line 3" },
		{ "iolane-journal-1 %s test 1\nstep a b c d\nbegun\n", "line 3" },
		{ "iolane-journal-1 %s test 1\nstep a b c d\ndone 0\n", "line 3" },
		{ "iolane-journal-1 %s test 1\nstep a b c d\nundone 0\n", "line 3" },
		{ "iolane-journal-1 %s test 1\nstep a b c d\nbegun 0 x\nundone 0\nbegun 0 x\n",
		  "line 5" },
		{ "iolane-journal-1 %s test 1\nstep a b c d\nbegun 0 x\ndone 0 x\n", "line 4" },
		{ "iolane-journal-1 %s test 1\nstep a b c d\nbegun 0 x\n\n", "line 4" },
		{ "iolane-journal-1 %s test 1\nstep a b c d\nmade 0\n", "line 3" },
	};
	struct env *e = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = journal_of(e, cases[i].text, NULL);

		if (!cases[i].line) {
			assert_int_equal(rc, 0);
			continue;
		}
		assert_int_equal(rc, -EBADMSG);
		assert_non_null(strstr(iol_error(), cases[i].line));
	}
}

static void earlier_boots_are_forgotten(void **state)
{
	struct env *e = *state;

	assert_int_equal(journal_of(e, "iolane-journal-1 %s test 1\nstep a b c d\nbegun 0 x\n",
				    "01234567-0000-0000-0000-000000000000"),
			 -ENOENT);
}

static void kinds_of_other_versions(void **state)
{
	struct env *e = *state;

	assert_int_equal(
		journal_of(e, "iolane-journal-1 %s test 1\nstep x a c d\nbegun 0 x\n", NULL), 0);
	assert_int_equal(undo(e, NULL, NULL), -EBADMSG);
	assert_non_null(strstr(iol_error(), "kind \"x\""));
}

static void links_are_not_followed(void **state)
{
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	_cleanup_entry_ struct iol_entry *entry = NULL;
	struct env *e = *state;
	char path[128];

	open_journal(e, &j);
	snprintf(path, sizeof(path), "%s/change-0000000001", e->state);
	assert_int_equal(symlink("../a", path), 0);
	assert_int_equal(iol_journal_before(&j, UINT_MAX, &entry), -ELOOP);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(iol_journal_before(&j, UINT_MAX, &entry) < 0);
	assert_int_equal(rmdir(path), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(makes_and_undoes),
		TEST(tells_only),
		TEST(failure_at_each_step),
		TEST(kill_at_each_step),
		TEST(kill_in_an_undo),
		TEST(kill_half_way_back),
		TEST(rounded_values_go_back),
		TEST(entries_left_in_the_middle_say_so),
		TEST(what_fails_to_go_back_stays),
		TEST(earlier_steps_wait),
		TEST(roll_back_that_fails),
		TEST(undoes_a_part),
		TEST(leaves_what_others_did),
		TEST(kinds_that_stay),
		TEST(fleeting_values_are_set_again),
		TEST(newest_first),
		TEST(one_at_a_time),
		TEST(folders_of_others),
		TEST(damaged_journals),
		TEST(earlier_boots_are_forgotten),
		TEST(kinds_of_other_versions),
		TEST(links_are_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
