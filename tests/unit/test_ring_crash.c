/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end may be killed at any instruction: the next must give every chain its used entry once.
 *
 * A child serves a ring while its parent steps it instruction by instruction. Whenever the shared
 * memory changed, it is what a process killed right there would leave; a new ring on a copy of it
 * must bring everything to its end. Some of these new rings are stepped and killed in turn.
 *
 * Only what writes to that memory is stepped: the child may only read it, and a write faults.
 */
#include "ring_env.h"

#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#define CHAINS_MAX 24
/* Instructions from a fault until what faulted is done again: the handler's, and some more. */
#define WRITE_STEPS 400
/*
 * Every so many states, the recovery is killed at each instruction, too. Sanitizers add so many that it
 * would take minutes, and see the same code in verify().
 */
#define RECOVER_SOME 32
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RECOVER false
#elif defined(__has_feature)
#define RECOVER !(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define RECOVER true
#endif

struct script {
	struct env_conf conf;
	unsigned int before; /* chains served in full before the crash */
	unsigned int taken;  /* then taken, and not given back yet */
	unsigned int made;   /* then available */
	unsigned int nsegs;  /* segments in a chain */
	unsigned int burst;  /* chains a pop */
	bool resume;         /* without a log: the ring itself tells */
	bool quick;          /* single buffers, consumed */
	unsigned int group; /* so many are shown together, if not 0; the last of them is not full */
	bool alone;         /* the process that was killed did not know of groups */
};

struct world {
	struct env e;
	struct iol_inflight *inflight;
	const struct script *script;
	struct iol_chain taken[CHAINS_MAX];
	unsigned int ntaken;
};

static void add(struct world *w, unsigned int cookie)
{
	struct iol_driver_seg segs[3];
	unsigned int i;

	for (i = 0; i < w->script->nsegs; i++)
		segs[i] = (struct iol_driver_seg){
			.addr = ENV_GPA + w->e.data + cookie % w->e.conf.size * ENV_DATA + i * 64,
			.len = 64,
			.write = i > 0,
		};
	assert_int_equal(iol_driver_add(w->e.driver, segs, w->script->nsegs, cookie), 0);
	/* The device knows a chain by its first bytes. */
	memcpy(w->e.host + w->e.data + cookie % w->e.conf.size * ENV_DATA, &cookie, sizeof(cookie));
}

static unsigned int cookie_of(const struct iol_chain *chain)
{
	unsigned int cookie;

	memcpy(&cookie, chain->iov[0].iov_base, sizeof(cookie));
	return cookie;
}

static void push(struct env *e, const struct iol_chain *chain)
{
	iol_ring_push(e->ring, chain->id, chain->ndesc, chain->in_len);
}

/* The same world each time, so that a copy of one's memory fits another. */
static void build(struct world *w, const struct script *s)
{
	struct iol_chain chain;
	uintptr_t cookie;
	unsigned int i;
	uint32_t len;

	memset(w, 0, sizeof(*w));
	w->script = s;
	env_init(&w->e, &s->conf);
	if (!s->resume)
		assert_int_equal(iol_inflight_new(1, s->conf.size, s->conf.packed, &w->inflight),
				 0);
	w->e.spec.inflight = w->inflight;
	w->e.spec.resume_at_used = s->resume;
	env_start(&w->e);
	/* Given back in the order taken, so that the next come from free lists turned round. */
	for (i = 0; i < s->before; i++)
		add(w, i);
	iol_driver_publish(w->e.driver);
	for (i = 0; i < s->before; i++) {
		assert_int_equal(iol_ring_pop(w->e.ring, &chain, 1), 1);
		push(&w->e, &chain);
	}
	iol_ring_publish(w->e.ring);
	for (i = 0; i < s->before; i++) {
		assert_int_equal(iol_driver_used(w->e.driver, &cookie, &len), 1);
		assert_int_equal(cookie, i);
	}
	for (i = 0; i < s->taken; i++)
		add(w, s->before + i);
	iol_driver_publish(w->e.driver);
	for (i = 0; i < s->taken; i++)
		assert_int_equal(iol_ring_pop(w->e.ring, &w->taken[w->ntaken++], 1), 1);
	for (i = 0; i < s->made; i++)
		add(w, s->before + s->taken + i);
	iol_driver_publish(w->e.driver);
}

static void tear_down(struct world *w)
{
	iol_ring_destroy(&w->e.ring);
	iol_inflight_destroy(&w->inflight);
	env_fini(&w->e);
}

/*
 * What the child does: takes in bursts, lets go of some of them again, gives back the other way round,
 * shows half at a time.
 */
static void serve(struct world *w)
{
	struct iol_chain *c = w->taken;
	unsigned int n = w->ntaken;
	int got;

	do {
		got = iol_ring_pop(w->e.ring, c + n, w->script->burst);
		if (got < 0)
			_exit(1);
		n += (unsigned int)got;
		if (got > 1) {
			unsigned int again = (unsigned int)got / 2;

			n -= again;
			if (iol_ring_unpop(w->e.ring, c + n, again))
				_exit(1);
		}
		if (n > 2) {
			push(&w->e, &c[--n]);
			push(&w->e, &c[--n]);
			iol_ring_publish(w->e.ring);
		}
	} while (got);
	while (n) {
		push(&w->e, &c[--n]);
		if (n % 3 == 0)
			iol_ring_publish(w->e.ring);
	}
}

/* The same in the order of the pops. */
static void serve_in_order(struct world *w)
{
	struct iol_chain *c = w->taken;
	unsigned int n = w->ntaken, done = 0;
	int got;

	do {
		got = iol_ring_pop(w->e.ring, c + n, w->script->burst);
		if (got < 0)
			_exit(1);
		n += (unsigned int)got;
		if (got > 1 && iol_ring_unpop(w->e.ring, c + --n, 1))
			_exit(1);
		while (n - done > 1)
			push(&w->e, &c[done++]);
		iol_ring_publish(w->e.ring);
	} while (got);
	while (done < n)
		push(&w->e, &c[done++]);
	iol_ring_publish(w->e.ring);
}

/* The quick way: what was taken is done with first. */
static void serve_quick(struct world *w)
{
	struct iol_buf bufs[CHAINS_MAX];
	uint32_t len[CHAINS_MAX] = { 0 };
	unsigned int i, n;

	for (i = 0; i < w->ntaken; i++)
		push(&w->e, &w->taken[i]);
	iol_ring_publish(w->e.ring);
	while ((n = iol_ring_peek(w->e.ring, bufs, w->script->burst, false)) != 0) {
		if (n > 1)
			n--;
		iol_ring_consume(w->e.ring, bufs, len, n);
	}
}

/* Chains that belong together, in order. */
static void push_group(struct world *w, const struct iol_chain *c, unsigned int n)
{
	for (; n > 1; n--, c++)
		iol_ring_push_more(w->e.ring, c->id, c->ndesc, c->in_len);
	iol_ring_push(w->e.ring, c->id, c->ndesc, 1);
}

static void serve_groups(struct world *w)
{
	unsigned int n = w->ntaken, done = 0, group = w->script->group;
	struct iol_chain *c = w->taken;
	int got;

	do {
		got = iol_ring_pop(w->e.ring, c + n, w->script->burst);
		if (got < 0)
			_exit(1);
		n += (unsigned int)got;
		if (got > 1 && iol_ring_unpop(w->e.ring, c + --n, 1))
			_exit(1);
		for (; n - done >= group; done += group)
			push_group(w, c + done, group);
		iol_ring_publish(w->e.ring);
	} while (got);
	if (done < n)
		push_group(w, c + done, n - done);
	iol_ring_publish(w->e.ring);
}

/* What the next child does: starts, and serves what is left. */
static void recover(struct world *w)
{
	struct iol_chain c;
	int got;

	if (iol_ring_start(w->e.ring, &w->e.spec))
		_exit(1);
	while ((got = iol_ring_pop(w->e.ring, &c, 1)) != 0) {
		if (got < 0)
			_exit(1);
		push(&w->e, &c);
		iol_ring_publish(w->e.ring);
	}
}

/* The memory that a killed process leaves: the guest's, up to its buffers, and the log. */
static size_t state_len(const struct world *w)
{
	return w->e.data + (w->inflight ? w->inflight->map_len : 0);
}

static bool same(const struct world *w, const uint8_t *state)
{
	return !memcmp(state, w->e.host, w->e.data) &&
	       (!w->inflight || !memcmp(state + w->e.data, w->inflight->map, w->inflight->map_len));
}

static void save(const struct world *w, uint8_t *state)
{
	memcpy(state, w->e.host, w->e.data);
	if (w->inflight)
		memcpy(state + w->e.data, w->inflight->map, w->inflight->map_len);
}

static void load(struct world *w, const uint8_t *state)
{
	memcpy(w->e.host, state, w->e.data);
	if (w->inflight)
		memcpy(w->inflight->map, state + w->e.data, w->inflight->map_len);
	/* What the front end says after a crash: where the ring was when it began. */
	w->e.spec.base = env_ring_base(&w->e);
}

/* What the driver finds used; @seen: chains so far, and with these. */
static void see(struct world *w, unsigned int *used, unsigned int *seen)
{
	const struct script *s = w->script;
	unsigned int all = s->taken + s->made;
	uintptr_t cookie;
	uint32_t len;
	int rc;

	while ((rc = iol_driver_used(w->e.driver, &cookie, &len)) == 1) {
		unsigned int i = (unsigned int)cookie - s->before;

		assert_in_range(i, 0, all - 1);
		used[i]++;
		(*seen)++;
		if (len == 1 && s->group)
			assert_true(i % s->group == s->group - 1 || i + 1 == all);
		else
			assert_int_equal(len, (s->nsegs - 1) * 64);
	}
	assert_int_equal(rc, 0);
}

/* Those that belong together are seen together. */
static void see_groups(struct world *w, unsigned int *used, unsigned int *seen)
{
	const struct script *s = w->script;

	see(w, used, seen);
	if (s->group && !s->alone)
		assert_true(*seen % s->group == 0 || *seen == s->taken + s->made);
}

/* A new process on this memory: every chain is given back once, and taken in order of submission. */
static void verify(const struct script *s, const uint8_t *state)
{
	unsigned int all = s->taken + s->made, seen = 0, used[CHAINS_MAX] = { 0 };
	struct iol_chain c;
	int last = -1, rc;
	struct world w;

	build(&w, s);
	load(&w, state);
	see_groups(&w, used, &seen);
	assert_int_equal(iol_ring_start(w.e.ring, &w.e.spec), 0);
	see_groups(&w, used, &seen);
	while ((rc = iol_ring_pop(w.e.ring, &c, 1)) == 1) {
		assert_true((int)cookie_of(&c) > last);
		last = (int)cookie_of(&c);
		push(&w.e, &c);
		iol_ring_publish(w.e.ring);
		/* The driver looks as it goes, so that nothing stale is covered by what comes later. */
		see(&w, used, &seen);
	}
	assert_int_equal(rc, 0);
	see(&w, used, &seen);
	assert_int_equal(seen, all);
	while (all)
		assert_int_equal(used[--all], 1);
	assert_int_equal(iol_ring_inflight(w.e.ring), 0);
	tear_down(&w);
}

/* Set in the child before it is stepped. */
static struct iovec shared[2];

/* The child may write to what it shares, or not; no more than this is in the handlers, as it is stepped. */
static void set_prot(int prot)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		if (shared[i].iov_len && mprotect(shared[i].iov_base, shared[i].iov_len, prot))
			_exit(1);
}

static void on_fault(int sig)
{
	set_prot(PROT_READ | PROT_WRITE);
}

static void on_written(int sig)
{
	set_prot(PROT_READ);
}

static void guard(const struct world *w)
{
	struct sigaction fault = { .sa_handler = on_fault }, written = { .sa_handler = on_written };

	if (iol_mem_iov(w->e.mem, ENV_GPA, w->e.data, shared, 1) != 1)
		_exit(1);
	if (w->inflight)
		shared[1] = (struct iovec){ w->inflight->map, w->inflight->map_len };
	if (sigaction(SIGSEGV, &fault, NULL) || sigaction(SIGUSR1, &written, NULL))
		_exit(1);
	set_prot(PROT_READ);
}

/* Step a child through @work; every change of the state is verified. Returns the states seen. */
static unsigned int step_through(struct world *w, void (*work)(struct world *), bool deeper);

static void kill_recovery(const struct script *s, const uint8_t *state)
{
	struct script alone = *s;
	struct world w;

	alone.alone = true;
	build(&w, &alone);
	load(&w, state);
	step_through(&w, recover, false);
	tear_down(&w);
}

static unsigned int step_through(struct world *w, void (*work)(struct world *), bool deeper)
{
	uint8_t *state = malloc(state_len(w));
	unsigned int states = 0, left = 0;
	int status, sig;
	pid_t pid;

	assert_non_null(state);
	save(w, state);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(77);
		guard(w);
		raise(SIGSTOP);
		work(w);
		_exit(0);
	}
	for (;;) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		sig = WSTOPSIG(status) == SIGSEGV ? SIGSEGV : 0;
		/* Once more without a write between would be for ever. */
		assert_false(sig && left);
		if (sig)
			left = WRITE_STEPS;
		else if (left && !--left)
			sig = SIGUSR1;
		if (!same(w, state)) {
			save(w, state);
			verify(w->script, state);
			if (deeper && states % RECOVER_SOME == 0)
				kill_recovery(w->script, state);
			states++;
			left = 0;
			sig = SIGUSR1;
		}
		ptrace(left ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, NULL, sig);
	}
	free(state);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("processes cannot be traced here\n");
		exit(77);
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return states;
}

static void run(const struct script *s)
{
	void (*work)(struct world * w) = s->quick    ? serve_quick
					 : s->group  ? serve_groups
					 : s->resume ? serve_in_order
						     : serve;
	unsigned int states;
	struct world w;

	build(&w, s);
	states = step_through(&w, work, RECOVER);
	/* With a log, each chain changes more than its used entry. */
	assert_true(states >= (s->resume ? s->made : s->made * 4 + 1));
	tear_down(&w);
}

static void split(void **state)
{
	static const struct script scripts[] = {
		{ { .size = 1 }, .made = 1, .nsegs = 1, .burst = 1 },
		{ { .size = 8, .base = 65533 }, 2, 2, 4, 1, 3 },
		{ { .size = 8, .indirect = true }, 5, 3, 5, 3, 8 },
		{ { .size = 16, .event_idx = true, .base = 65530 }, 3, 1, 4, 3, 2 },
	};
	size_t i;

	for (i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
		run(&scripts[i]);
}

static void packed(void **state)
{
	static const struct script scripts[] = {
		{ { .size = 1, .packed = true }, 1, 0, 1, 1, 1 },
		/* One batch takes the whole ring: only the wrap counter tells before from after. */
		{ { .size = 2, .packed = true }, 1, 0, 2, 1, 2 },
		{ { .size = 3, .packed = true }, 2, 1, 2, 1, 2 },
		{ { .size = 8, .packed = true, .indirect = true }, 5, 3, 5, 3, 8 },
		{ { .size = 13, .packed = true, .event_idx = true }, 3, 1, 3, 3, 2 },
		{ { .size = 12, .packed = true }, 3, 2, 2, 3, 3 },
	};
	size_t i;

	for (i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
		run(&scripts[i]);
}

/* No log: a driver that knows only where the ring began, and descriptors that tell the rest. */
static void resumed(void **state)
{
	static const struct script scripts[] = {
		{ { .size = 8 }, 3, 1, 3, 2, 3, .resume = true },
		{ { .size = 16, .in_order = true }, 13, 3, 5, 1, 8, .resume = true },
		{ { .size = 1, .packed = true }, 1, 0, 1, 1, 1, .resume = true },
		{ { .size = 2, .packed = true }, 1, 0, 1, 2, 1, .resume = true },
		{ { .size = 3, .packed = true }, 1, 0, 1, 3, 1, .resume = true },
		{ { .size = 5, .packed = true }, 2, 1, 1, 2, 1, .resume = true },
		{ { .size = 6, .packed = true }, 2, 1, 1, 3, 2, .resume = true },
		{ { .size = 13, .packed = true, .event_idx = true },
		  3,
		  1,
		  3,
		  3,
		  2,
		  .resume = true },
		{ { .size = 12, .packed = true, .in_order = true }, 3, 2, 2, 3, 3, .resume = true },
		{ { .size = 8, .packed = true, .indirect = true }, 5, 3, 5, 3, 8, .resume = true },
		{ { .size = 8, .packed = true, .in_order = true }, 7, 3, 5, 1, 8, .resume = true },
	};
	size_t i;

	for (i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
		run(&scripts[i]);
}

/* The same where nothing is remembered of a chain but its used entry. */
static void consumed(void **state)
{
	static const struct script scripts[] = {
		{ { .size = 1 }, 1, 0, 1, 1, 1, .resume = true, .quick = true },
		{ { .size = 8 }, 3, 0, 5, 1, 8, .resume = true, .quick = true },
		{ { .size = 16, .in_order = true }, 13, 3, 7, 1, 4, .resume = true, .quick = true },
		{ { .size = 1, .packed = true }, 1, 0, 1, 1, 1, .resume = true, .quick = true },
		{ { .size = 2, .packed = true }, 1, 0, 2, 1, 2, .resume = true, .quick = true },
		{ { .size = 3, .packed = true }, 2, 1, 2, 1, 2, .resume = true, .quick = true },
		{ { .size = 7, .packed = true }, 5, 0, 7, 1, 7, .resume = true, .quick = true },
		{ { .size = 8, .packed = true, .in_order = true, .event_idx = true },
		  7,
		  3,
		  5,
		  1,
		  3,
		  .resume = true,
		  .quick = true },
	};
	size_t i;

	for (i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
		run(&scripts[i]);
}

/* Chains that are shown together, as a packet's buffers are: the driver sees all of them or none. */
static void groups(void **state)
{
	static const struct script scripts[] = {
		{ { .size = 16 }, 3, 1, 6, 2, 3, .resume = true, .group = 3 },
		{ { .size = 3, .packed = true, .indirect = true },
		  1,
		  0,
		  2,
		  2,
		  2,
		  .resume = true,
		  .group = 2 },
		{ { .size = 4, .packed = true, .indirect = true },
		  2,
		  0,
		  3,
		  2,
		  2,
		  .resume = true,
		  .group = 3 },
		{ { .size = 8, .packed = true, .indirect = true },
		  5,
		  1,
		  7,
		  2,
		  3,
		  .resume = true,
		  .group = 4 },
		{ { .size = 9, .packed = true }, 3, 1, 3, 2, 8, .resume = true, .group = 4 },
		{ { .size = 13, .packed = true, .event_idx = true },
		  3,
		  1,
		  3,
		  3,
		  4,
		  .resume = true,
		  .group = 2 },
		{ { .size = 13, .packed = true, .in_order = true },
		  3,
		  2,
		  2,
		  3,
		  3,
		  .resume = true,
		  .group = 4 },
		{ { .size = 19, .packed = true }, 7, 1, 8, 2, 5, .resume = true, .group = 3 },
		/* A log, or any order: all of a batch is seen at once anyway. */
		{ { .size = 16, .packed = true }, 5, 1, 7, 2, 3, .group = 4 },
		{ { .size = 16 }, 3, 1, 6, 2, 3, .group = 3 },
	};
	size_t i;

	for (i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
		run(&scripts[i]);
}

/* Real kills, whenever they hit, with a driver that goes on and uses the ring again and again. */
static void killed(bool packed, bool resume, bool quick)
{
	const struct script s = { .conf = { .size = 16, .packed = packed, .base = 0 },
				  .nsegs = quick ? 1 : 2,
				  .resume = resume,
				  .quick = quick };
	unsigned int made = 0, used = 0, kills, target = 0;
	bool out[16] = { false };
	struct world w;
	uintptr_t cookie;
	uint32_t len;
	pid_t pid;
	int rc;

	build(&w, &s);
	for (kills = 0; kills < 200; kills++) {
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			struct iol_chain c[CHAINS_MAX];
			struct iol_buf bufs[CHAINS_MAX];
			int n, i;

			/* It would go on for ever if this test were killed. */
			if (prctl(PR_SET_PDEATHSIG, SIGKILL) || iol_ring_start(w.e.ring, &w.e.spec))
				_exit(1);
			/* Until it is killed. */
			n = quick ? 0 : -1;
			while (n >= 0) {
				n = (int)iol_ring_peek(w.e.ring, bufs, CHAINS_MAX, false);
				iol_ring_consume(w.e.ring, bufs, NULL, (unsigned int)n);
			}
			while ((n = iol_ring_pop(w.e.ring, c, CHAINS_MAX)) >= 0) {
				for (i = 0; i < n; i++)
					push(&w.e, &c[resume ? i : n - 1 - i]);
				iol_ring_publish(w.e.ring);
			}
			_exit(1);
		}
		for (target += 37; used < target;) {
			while (!out[made % 16] && made - used < 8) {
				add(&w, made);
				out[made++ % 16] = true;
				iol_driver_publish(w.e.driver);
			}
			while ((rc = iol_driver_used(w.e.driver, &cookie, &len)) == 1) {
				assert_true(out[cookie % 16]);
				out[cookie % 16] = false;
				used++;
			}
			assert_int_equal(rc, 0);
			assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
		}
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	tear_down(&w);
}

static void killed_split(void **state)
{
	killed(false, false, false);
	killed(false, true, false);
	killed(false, true, true);
}

static void killed_packed(void **state)
{
	killed(true, false, false);
	killed(true, true, false);
	killed(true, true, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split),         cmocka_unit_test(packed),
		cmocka_unit_test(resumed),       cmocka_unit_test(consumed),
		cmocka_unit_test(groups),        cmocka_unit_test(killed_split),
		cmocka_unit_test(killed_packed),
	};

	/* Fresh pages for large tables: clearing used ones takes an instruction a word, each stepped. */
	mallopt(M_MMAP_THRESHOLD, 1 << 15);
	mallopt(M_PERTURB, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
