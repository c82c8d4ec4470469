/* SPDX-License-Identifier: BSD-3-Clause */
/* The net: its threads, its table of ports, and taking things out of sight of threads that run. */
#include "vhost-user/net/switch.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "base/thread.h"
#include "vhost-user/net/eal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#define AGE_S     300
#define ADDRESSES 8192
/*
 * Polling pays when guests talk without a pause of this length, and is in vain when they don't. It costs nothing
 * for who is idle: the time shrinks to none then.
 */
#define POLL_DEFAULT_US 100

void iol_net_synchronize(struct iol_net *net)
{
	uint64_t token;

	/* Each port has a control thread that may come here, and rte_rcu_qsbr_check() reads without care what it writes. */
	pthread_mutex_lock(&net->rcu_lock);
	token = rte_rcu_qsbr_start(net->rcu);
	while (!rte_rcu_qsbr_check(net->rcu, token, false))
		sched_yield();
	pthread_mutex_unlock(&net->rcu_lock);
}

/* ---- the table of ports ---- */

static int new_table(const struct net_ports *old, struct iol_net_port *add,
		     const struct iol_net_port *remove, struct net_ports **out)
{
	struct net_ports *t = calloc(1, sizeof(*t) + (old->num + 1) * sizeof(t->list[0]));
	unsigned int i;

	if (!t)
		return iol_fail(ENOMEM, "no memory for a table of ports");
	memcpy(t->by_index, old->by_index, sizeof(t->by_index));
	if (add)
		t->by_index[add->index] = add;
	if (remove)
		t->by_index[remove->index] = NULL;
	for (i = 0; i < IOL_NET_PORTS_MAX; i++)
		if (t->by_index[i])
			t->list[t->num++] = t->by_index[i];
	*out = t;
	return 0;
}

static void use_table(struct iol_net *net, struct net_ports *t)
{
	struct net_ports *old = net->ports;

	__atomic_store_n(&net->ports, t, __ATOMIC_RELEASE);
	iol_net_synchronize(net);
	free(old);
}

static bool same_mac(const struct iol_net_port *a, const struct iol_net_port *b)
{
	return a->mac_key && a->mac_key == b->mac_key;
}

int iol_net_add_port(struct iol_net *net, struct iol_net_port *port)
{
	struct net_ports *t;
	unsigned int i;
	int rc;

	for (i = 0; i < net->ports->num; i++) {
		const struct iol_net_port *p = net->ports->list[i];

		if (!strcmp(p->name, port->name))
			return iol_fail(EEXIST, "there is a port %s already: give another name",
					port->name);
		if (same_mac(p, port))
			return iol_fail(EEXIST,
					"port %s has the address "
					"%02x:%02x:%02x:%02x:%02x:%02x already: give port %s "
					"another",
					p->name, p->mac[0], p->mac[1], p->mac[2], p->mac[3],
					p->mac[4], p->mac[5], port->name);
	}
	for (i = 0; i < IOL_NET_PORTS_MAX && net->ports->by_index[i]; i++)
		;
	if (i == IOL_NET_PORTS_MAX)
		return iol_fail(ENOSPC, "there are %u ports already, as many as a switch can have",
				IOL_NET_PORTS_MAX);
	port->index = i;
	rc = new_table(net->ports, port, NULL, &t);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&net->lock);
	use_table(net, t);
	pthread_mutex_unlock(&net->lock);
	return 0;
}

void iol_net_remove_port(struct iol_net *net, struct iol_net_port *port)
{
	struct net_ports *t;

	pthread_mutex_lock(&net->lock);
	/* Without memory for a smaller table the old one does, changed in place: a thread sees the port or not. */
	if (new_table(net->ports, NULL, port, &t) < 0) {
		unsigned int i;

		__atomic_store_n(&net->ports->by_index[port->index], NULL, __ATOMIC_RELEASE);
		for (i = 0; net->ports->list[i] != port; i++)
			;
		__atomic_store_n(&net->ports->list[i], net->ports->list[net->ports->num - 1],
				 __ATOMIC_RELEASE);
		__atomic_store_n(&net->ports->num, net->ports->num - 1, __ATOMIC_RELEASE);
		iol_net_synchronize(net);
	} else {
		use_table(net, t);
	}
	iol_fdb_forget_port(net->fdb, port->index);
	pthread_mutex_unlock(&net->lock);
}

/* ---- sources ---- */

static int change_sources(struct net_thread *th, struct net_source *add,
			  const struct net_source *remove)
{
	struct net_sources *old = th->sources, *all;
	unsigned int i;

	all = calloc(1, sizeof(*all) + (old->num + 1) * sizeof(all->source[0]));
	if (!all)
		return iol_fail(ENOMEM, "no memory for a thread's list");
	for (i = 0; i < old->num; i++)
		if (old->source[i] != remove)
			all->source[all->num++] = old->source[i];
	if (add)
		all->source[all->num++] = add;
	__atomic_store_n(&th->sources, all, __ATOMIC_RELEASE);
	IOL_STAT_SET(th->stats.queues, all->num);
	iol_net_thread_wake(th);
	iol_net_synchronize(th->net);
	free(old);
	return 0;
}

static int poll_locked(struct iol_net *net, struct net_source *s, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	struct net_thread *th = net->thread[0];
	unsigned int i;
	int rc;

	for (i = 1; i < net->num_threads; i++)
		if (net->thread[i]->sources->num < th->sources->num)
			th = net->thread[i];
	if (fd >= 0 && epoll_ctl(th->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return iol_fail(errno, "can't wait for what comes from port %s: %s", s->port->name,
				strerror(errno));
	s->blind = fd < 0;
	s->failed = s->waiting = s->paused = false;
	__atomic_store_n(&s->thread, th, __ATOMIC_RELAXED);
	rc = change_sources(th, s, NULL);
	if (rc < 0) {
		__atomic_store_n(&s->thread, NULL, __ATOMIC_RELAXED);
		if (fd >= 0)
			epoll_ctl(th->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	}
	return rc;
}

int iol_net_poll(struct iol_net *net, struct net_source *s, int fd)
{
	int rc;

	pthread_mutex_lock(&net->lock);
	rc = poll_locked(net, s, fd);
	pthread_mutex_unlock(&net->lock);
	return rc;
}

void iol_net_unpoll(struct net_source *s, int fd)
{
	struct net_thread *th = s->thread;

	pthread_mutex_lock(&th->net->lock);
	/* Without memory for a shorter list the thread skips it for ever in the longer one. */
	__atomic_store_n(&s->paused, true, __ATOMIC_RELEASE);
	while (change_sources(th, NULL, s) < 0)
		sched_yield();
	if (fd >= 0)
		epoll_ctl(th->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	__atomic_store_n(&s->thread, NULL, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&th->net->lock);
}

/* ---- ageing ---- */

static void *age(void *arg)
{
	struct iol_net *net = arg;

	pthread_mutex_lock(&net->lock);
	while (!net->end) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += net->age_s > 10 ? 10 : 1;
		pthread_cond_timedwait(&net->ager_cond, &net->lock, &until);
		iol_fdb_age(net->fdb, (uint32_t)(iol_now() / IOL_NS_PER_S), net->age_s);
	}
	pthread_mutex_unlock(&net->lock);
	return NULL;
}

/* ---- nets ---- */

static void join(struct iol_net *net)
{
	unsigned int i;

	pthread_mutex_lock(&net->lock);
	__atomic_store_n(&net->end, true, __ATOMIC_RELAXED);
	pthread_cond_broadcast(&net->ager_cond);
	pthread_mutex_unlock(&net->lock);
	for (i = 0; i < net->num_threads; i++) {
		iol_net_thread_wake(net->thread[i]);
		/* What DPDK waits by is unseen by tools that look for races, as it is not built for them. */
		while (!__atomic_load_n(&net->thread[i]->ended, __ATOMIC_ACQUIRE))
			sched_yield();
		rte_eal_wait_lcore(net->thread[i]->lcore);
	}
	if (net->has_ager)
		pthread_join(net->ager, NULL);
}

static int start_threads(struct iol_net *net, const struct iol_net_spec *spec)
{
	unsigned int lcore, n = 0, us = spec->poll_us;
	int rc;

	if (us == IOL_NET_POLL_DEFAULT)
		us = POLL_DEFAULT_US;
	RTE_LCORE_FOREACH_WORKER(lcore)
	{
		struct net_thread *th;

		rc = iol_net_thread_new(net, n, &net->thread[n]);
		if (rc < 0) {
			iol_net_thread_free(&net->thread[n]);
			return rc;
		}
		th = net->thread[n];
		th->lcore = lcore;
		th->cpu = iol_eal_cpu(lcore);
		th->stats.cpu = th->cpu;
		th->always = us == IOL_NET_POLL_ALWAYS;
		th->poll_max = th->always ? 0 : us * IOL_NS_PER_US;
		rc = rte_eal_remote_launch(iol_net_thread_main, th, lcore);
		if (rc < 0) {
			iol_net_thread_free(&net->thread[n]);
			return iol_fail(-rc, "can't start a poll thread: %s", strerror(-rc));
		}
		net->num_threads = ++n;
	}
	rc = iol_thread_start(&net->ager, 0, age, net);
	if (rc < 0)
		return iol_fail(-rc, "can't start a thread: %s", strerror(-rc));
	net->has_ager = true;
	return 0;
}

static int make_parts(struct iol_net *net, const struct iol_net_spec *spec)
{
	size_t size = rte_rcu_qsbr_get_memsize(IOL_NET_THREADS_MAX);
	int rc;

	net->ports = calloc(1, sizeof(*net->ports));
	net->rcu = aligned_alloc(64, (size + 63) / 64 * 64);
	if (!net->ports || !net->rcu)
		return iol_fail(ENOMEM, "no memory for a switch");
	rte_rcu_qsbr_init(net->rcu, IOL_NET_THREADS_MAX);
	rc = iol_fdb_new(spec->addresses ? spec->addresses : ADDRESSES, &net->fdb);
	if (!rc)
		rc = iol_net_thread_new(net, 0, &net->control);
	return rc;
}

int iol_net_new(const struct iol_net_spec *spec, struct iol_net **out)
{
	unsigned int threads = rte_lcore_count() - 1;
	pthread_condattr_t attr;
	struct iol_net *net;
	int rc;

	if (!threads || threads > IOL_NET_THREADS_MAX)
		return iol_fail(EINVAL, "a switch has 1 to %u poll threads, not %u",
				IOL_NET_THREADS_MAX, threads);
	net = calloc(1, sizeof(*net) + threads * sizeof(net->thread[0]));
	if (!net)
		return iol_fail(ENOMEM, "no memory for a switch");
	net->mode = spec->mode;
	net->age_s = spec->age_s ? spec->age_s : AGE_S;
	net->hugepages = rte_eal_has_hugepages();
	pthread_mutex_init(&net->making, NULL);
	pthread_mutex_init(&net->lock, NULL);
	pthread_mutex_init(&net->rcu_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&net->ager_cond, &attr);
	pthread_condattr_destroy(&attr);
	rc = make_parts(net, spec);
	if (!rc)
		rc = start_threads(net, spec);
	if (rc < 0) {
		iol_net_destroy(&net);
		return rc;
	}
	*out = net;
	return 0;
}

void iol_net_destroy(struct iol_net **p)
{
	struct iol_net *net = iol_take_ptr(*p);
	unsigned int i;

	if (!net)
		return;
	join(net);
	for (i = 0; i < net->num_threads; i++)
		iol_net_thread_free(&net->thread[i]);
	iol_net_thread_free(&net->control);
	iol_fdb_destroy(&net->fdb);
	rte_mempool_free(net->pool);
	free(net->ports);
	free(net->rcu);
	pthread_cond_destroy(&net->ager_cond);
	pthread_mutex_destroy(&net->rcu_lock);
	pthread_mutex_destroy(&net->lock);
	pthread_mutex_destroy(&net->making);
	free(net);
}

bool iol_net_hugepages(const struct iol_net *net)
{
	return net->hugepages;
}

int iol_net_thread_stats(const struct iol_net *net, unsigned int index,
			 struct iol_net_thread_stats *stats)
{
	const struct net_thread *th;

	if (index >= net->num_threads)
		return -ENOENT;
	th = net->thread[index];
	stats->cpu = th->cpu;
	stats->queues = IOL_STAT_GET(th->stats.queues);
	/* No more of them than of turns, also if it counts meanwhile. */
	stats->useful = __atomic_load_n(&th->stats.useful, __ATOMIC_ACQUIRE);
	stats->turns = IOL_STAT_GET(th->stats.turns);
	stats->sleeps = IOL_STAT_GET(th->stats.sleeps);
	return 0;
}

unsigned int iol_net_addresses(const struct iol_net *net, struct iol_net_address *list,
			       unsigned int max)
{
	uint32_t now = (uint32_t)(iol_now() / IOL_NS_PER_S);
	struct iol_fdb_entry *entries = calloc(max ? max : 1, sizeof(*entries));
	unsigned int n, i;

	if (!entries)
		return 0;
	pthread_mutex_lock((pthread_mutex_t *)(uintptr_t)&net->lock);
	n = iol_fdb_list(net->fdb, entries, max);
	for (i = 0; i < n && i < max; i++) {
		const struct iol_net_port *port = net->ports->by_index[entries[i].port];

		memset(&list[i], 0, sizeof(list[i]));
		memcpy(list[i].mac, &entries[i].key, sizeof(list[i].mac));
		list[i].vlan = (uint16_t)(entries[i].key >> 48);
		list[i].age_s = now > entries[i].seen ? now - entries[i].seen : 0;
		if (port)
			strncpy(list[i].port, port->name, sizeof(list[i].port) - 1);
	}
	pthread_mutex_unlock((pthread_mutex_t *)(uintptr_t)&net->lock);
	free(entries);
	return n;
}
