/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Driver and device on two threads, each sleeping on an eventfd whenever it has nothing to do: a lost
 * notification hangs both. Under the thread sanitizer it shows missing order as well.
 */
#include "ring_env.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#define CHAINS 20000
#define NSEGS  3
/* No wait is that long unless a notification was lost, however slow the machine. */
#define LOST_MS 30000

struct pair {
	struct env e;
	int kick, call;
	unsigned int spins; /* empty looks before a side goes to sleep */
	bool quick;         /* each chain is one buffer, consumed where it can be */
	bool lost;
	unsigned int served, consumed;
};

static void notify(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static bool wait_for(struct pair *p, int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	uint64_t n;

	if (poll(&pfd, 1, LOST_MS) == 1 && read(fd, &n, sizeof(n)) == sizeof(n))
		return true;
	__atomic_store_n(&p->lost, true, __ATOMIC_RELAXED);
	return false;
}

static bool lost(struct pair *p)
{
	return __atomic_load_n(&p->lost, __ATOMIC_RELAXED);
}

/* Adds one to the number in the first piece, and writes it to the last, which may be the same. */
static void count_up(const uint8_t *from, uint8_t *to)
{
	uint64_t v;

	memcpy(&v, from, sizeof(v));
	v++;
	memcpy(to, &v, sizeof(v));
}

static int serve_bufs(struct pair *p)
{
	struct iol_buf bufs[16];
	uint32_t len[16];
	unsigned int n = p->quick ? iol_ring_peek(p->e.ring, bufs, 16, true) : 0, i;

	for (i = 0; i < n; i++) {
		count_up(bufs[i].base, bufs[i].base + 128);
		len[i] = 8;
	}
	p->consumed += n;
	if (iol_ring_consume(p->e.ring, bufs, len, n))
		notify(p->call);
	return (int)n;
}

static int serve_chains(struct pair *p)
{
	struct iol_chain c[16];
	int n = iol_ring_pop(p->e.ring, c, 16), i;

	for (i = 0; i < n; i++)
		count_up(c[i].iov[0].iov_base,
			 p->quick ? (uint8_t *)c[i].iov[0].iov_base + 128
				  : c[i].iov[c[i].nout + c[i].nin - 1].iov_base);
	for (i = n - 1; i >= 0; i--)
		iol_ring_push(p->e.ring, c[i].id, c[i].ndesc, 8);
	if (n > 0 && iol_ring_publish(p->e.ring))
		notify(p->call);
	return n;
}

static void *device(void *arg)
{
	struct pair *p = arg;
	struct iol_ring *r = p->e.ring;
	unsigned int done = 0, idle = 0;
	int n;

	iol_ring_disarm(r);
	while (done < CHAINS && !lost(p)) {
		n = serve_bufs(p);
		/* Now and then the long way as well, so that either follows the other. */
		if (!n || done % 7 == 0)
			n += serve_chains(p);
		if (n < 0)
			break;
		done += (unsigned int)n;
		idle = n ? 0 : idle + 1;
		if (idle <= p->spins || done == CHAINS)
			continue;
		if (!iol_ring_arm(r))
			wait_for(p, p->kick);
		iol_ring_disarm(r);
		idle = 0;
	}
	p->served = done;
	return NULL;
}

static bool driver_add(struct pair *p, unsigned int i, uint16_t slot)
{
	size_t at = p->e.data + (size_t)slot * ENV_DATA;
	struct iol_driver_seg segs[NSEGS];
	unsigned int nsegs = p->quick ? 1 : NSEGS, k;
	uint64_t v = i;

	for (k = 0; k < nsegs; k++)
		segs[k] = (struct iol_driver_seg){ .addr = ENV_GPA + at + (size_t)k * 64,
						   .len = p->quick ? 256 : 64,
						   .write = p->quick || k > 0 };
	memcpy(p->e.host + at, &v, sizeof(v));
	return !iol_driver_add(p->e.driver, segs, nsegs, (uintptr_t)i << 16 | slot);
}

static void driver(struct pair *p)
{
	uint16_t depth = p->e.conf.indirect || p->quick ? p->e.conf.size : p->e.conf.size / NSEGS,
		 nfree = depth, slots[256], i;
	unsigned int made = 0, done = 0, idle = 0;
	uintptr_t cookie;
	uint32_t len;
	uint64_t v;
	int rc;

	for (i = 0; i < depth; i++)
		slots[i] = i;
	iol_driver_disarm(p->e.driver);
	while (done < CHAINS && !lost(p)) {
		/* In groups of a changing size, as far as there is room. */
		for (i = 0; nfree && made < CHAINS && i <= made % 7; i++) {
			assert_true(driver_add(p, made, slots[nfree - 1]));
			nfree--;
			made++;
		}
		if (i && iol_driver_publish(p->e.driver))
			notify(p->kick);
		while ((rc = iol_driver_used(p->e.driver, &cookie, &len)) == 1) {
			uint16_t slot = (uint16_t)cookie;

			memcpy(&v, p->e.host + p->e.data + (size_t)slot * ENV_DATA + 128,
			       sizeof(v));
			assert_int_equal(v, (cookie >> 16) + 1);
			assert_int_equal(len, 8);
			slots[nfree++] = slot;
			done++;
			i = 1;
		}
		assert_int_equal(rc, 0);
		idle = i ? 0 : idle + 1;
		if (idle <= p->spins || done == CHAINS)
			continue;
		if (!iol_driver_arm(p->e.driver))
			wait_for(p, p->call);
		iol_driver_disarm(p->e.driver);
		idle = 0;
	}
	assert_false(lost(p));
}

static void run(const struct env_conf *conf, unsigned int spins, bool quick)
{
	struct pair *p = calloc(1, sizeof(*p));
	pthread_t thread;

	assert_non_null(p);
	env_init(&p->e, conf);
	env_start(&p->e);
	p->spins = spins;
	p->quick = quick;
	p->kick = eventfd(0, EFD_NONBLOCK);
	p->call = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(pthread_create(&thread, NULL, device, p), 0);
	driver(p);
	pthread_join(thread, NULL);
	assert_int_equal(p->served, CHAINS);
	assert_int_equal(p->consumed > 0, quick);
	close(p->kick);
	close(p->call);
	env_fini(&p->e);
	free(p);
}

static void all(bool packed)
{
	unsigned int f;

	for (f = 0; f < 8; f++) {
		struct env_conf conf = { .size = f & 1 ? 4 : 64,
					 .packed = packed,
					 .event_idx = f & 2,
					 .indirect = f & 4,
					 .base = packed ? 0 : 65000 };

		/* Asleep at once, and after a while: so each meets the other awake and asleep. */
		run(&conf, 0, false);
		run(&conf, 200, false);
		run(&conf, f & 4 ? 0 : 200, true);
	}
}

static void split(void **state)
{
	all(false);
}

static void packed(void **state)
{
	all(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split),
		cmocka_unit_test(packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
