/* SPDX-License-Identifier: BSD-3-Clause */
/* DPDK's environment: its command line, its log, its memory. */
#include "vhost-user/net/eal.h"

#include <iolane/net.h>

#include "base/error.h"
#include "base/own.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

/* Without huge pages memory is reserved at start, and taken when it is used. */
#define NO_HUGE_MIB "512"
/* Huge pages are worth starting with when the uplinks' packets, and what NICs need, fit into them. */
#define HUGE_MIB 128UL
/* Options of ours, each with a value, and room for the end. */
#define OWN_ARGS 16

/* ---- the log ---- */

static struct {
	pthread_mutex_t lock;
	char line[IOL_ERROR_MAX]; /* being put together */
	size_t len;
	char words[IOL_ERROR_MAX]; /* the first whole line that tells of trouble */
} heard = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* "EAL: words", "net_tap0: words", "function(): words": people want the words. */
static const char *without_prefix(const char *line)
{
	const char *colon = strstr(line, ": ");

	while (colon && !memchr(line, ' ', (size_t)(colon - line))) {
		line = colon + 2;
		colon = strstr(line, ": ");
	}
	return line;
}

static void end_line(void)
{
	heard.line[heard.len] = '\0';
	heard.len = 0;
	if (!heard.line[0])
		return;
	iol_log(IOL_LOG_DEBUG, "dpdk: %s", heard.line);
	/* Those that follow tell who else could not go on then. */
	if (!heard.words[0] && rte_log_cur_msg_loglevel() <= (int)RTE_LOG_WARNING)
		snprintf(heard.words, sizeof(heard.words), "%s", without_prefix(heard.line));
}

static ssize_t hear(void *cookie, const char *text, size_t len)
{
	size_t i;

	pthread_mutex_lock(&heard.lock);
	for (i = 0; i < len; i++) {
		if (text[i] == '\n')
			end_line();
		else if (heard.len < sizeof(heard.line) - 1)
			heard.line[heard.len++] = text[i];
	}
	pthread_mutex_unlock(&heard.lock);
	return (ssize_t)len;
}

void iol_eal_listen(void)
{
	pthread_mutex_lock(&heard.lock);
	heard.words[0] = '\0';
	pthread_mutex_unlock(&heard.lock);
}

const char *iol_eal_words(const char *otherwise)
{
	return heard.words[0] ? heard.words : otherwise;
}

static int open_log(void)
{
	FILE *log = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = hear });

	if (!log)
		return iol_fail(errno, "can't make a log for DPDK: %s", strerror(errno));
	setvbuf(log, NULL, _IOLBF, 0);
	rte_openlog_stream(log);
	return 0;
}

/* ---- CPUs ---- */

static int add_cpu(const char *cpus, const cpu_set_t *mine, unsigned long cpu, cpu_set_t *set)
{
	if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, mine))
		return iol_fail(EINVAL,
				"poll threads can't run on CPU %lu of \"%s\": this process may not "
				"use it, or there is none",
				cpu, cpus);
	if (CPU_ISSET(cpu, set))
		return iol_fail(EINVAL, "CPU %lu is in \"%s\" twice: a poll thread needs its own",
				cpu, cpus);
	CPU_SET(cpu, set);
	return 0;
}

/* A list such as "2-4,7". */
static int parse_cpus(const char *cpus, const cpu_set_t *mine, cpu_set_t *set)
{
	const char *at = cpus;
	char *end;
	int rc;

	CPU_ZERO(set);
	for (;;) {
		unsigned long first, last;

		first = last = strtoul(at, &end, 10);
		if (end != at && *end == '-') {
			at = end + 1;
			last = strtoul(at, &end, 10);
		}
		if (end == at || *at < '0' || *at > '9' || last < first || (*end && *end != ','))
			return iol_fail(EINVAL,
					"\"%s\" is no list of CPUs: write numbers and ranges, such "
					"as 2-4,7",
					cpus);
		for (; first <= last; first++) {
			rc = add_cpu(cpus, mine, first, set);
			if (rc < 0)
				return rc;
		}
		if (!*end)
			return 0;
		at = end + 1;
	}
}

/* "--lcores=0@(all CPUs of ours),1@2,2@3": lcore 0 is who calls us, which goes on where it was. */
static int make_lcores(const char *cpus, char **arg)
{
	cpu_set_t mine, set;
	unsigned int cpu, n = 0;
	size_t len;
	FILE *f;
	int rc;

	if (sched_getaffinity(0, sizeof(mine), &mine) < 0)
		return iol_fail(errno, "can't tell this process's CPUs: %s", strerror(errno));
	if (cpus) {
		rc = parse_cpus(cpus, &mine, &set);
		if (rc < 0)
			return rc;
		if (CPU_COUNT(&set) > IOL_NET_THREADS_MAX)
			return iol_fail(EINVAL, "\"%s\" are more than %u CPUs", cpus,
					IOL_NET_THREADS_MAX);
	}
	f = open_memstream(arg, &len);
	if (!f)
		return iol_fail(ENOMEM, "no memory for EAL's options");
	fprintf(f, "--lcores=0@(");
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &mine))
			fprintf(f, "%s%u", n++ ? "," : "", cpu);
	fprintf(f, ")");
	n = 1;
	for (cpu = 0; cpus && cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set))
			fprintf(f, ",%u@%u", n++, cpu);
	if (!cpus) {
		fprintf(f, ",1@(");
		for (n = 0, cpu = 0; cpu < CPU_SETSIZE; cpu++)
			if (CPU_ISSET(cpu, &mine))
				fprintf(f, "%s%u", n++ ? "," : "", cpu);
		fprintf(f, ")");
	}
	if (fclose(f))
		return iol_fail(ENOMEM, "no memory for EAL's options");
	return 0;
}

int iol_eal_cpu(unsigned int lcore)
{
	cpu_set_t set = rte_lcore_cpuset(lcore);
	int cpu;

	if (CPU_COUNT(&set) != 1)
		return -1;
	for (cpu = 0; !CPU_ISSET(cpu, &set); cpu++)
		;
	return cpu;
}

/* ---- start ---- */

/* KiB of huge pages that are free, of a folder named by their size: "hugepages-2048kB". */
static unsigned long free_kib(const char *folder)
{
	unsigned long size, n = 0;
	char path[320];
	FILE *f;

	if (sscanf(folder, "hugepages-%lukB", &size) != 1)
		return 0;
	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/%s/free_hugepages", folder);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%lu", &n) != 1)
		n = 0;
	fclose(f);
	return n * size;
}

static bool has_hugepages(void)
{
	DIR *dir = opendir("/sys/kernel/mm/hugepages");
	unsigned long kib = 0;
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		kib += free_kib(e->d_name);
	if (dir)
		closedir(dir);
	return kib >= HUGE_MIB * 1024;
}

/* Whether an option is among the caller's, as "--name", "--name=value" or "-nvalue". */
static bool given(const struct iol_net_eal_spec *spec, const char *const *names)
{
	unsigned int i;

	for (; *names; names++)
		for (i = 0; i < spec->num_args; i++) {
			const char *arg = spec->args[i];
			size_t len = strlen(*names);

			if (!strncmp(arg, *names, len) &&
			    ((*names)[1] != '-' || !arg[len] || arg[len] == '='))
				return true;
		}
	return false;
}

static const char *const lcore_options[] = { "--lcores", "-l",           "-c", "-s",
					     "-S",       "--main-lcore", NULL };
static const char *const memory_options[] = {
	"--no-huge",     "--in-memory",  "--huge-dir",
	"--huge-unlink", "--legacy-mem", "--single-file-segments",
	"--socket-mem",  "-m",           NULL
};
static const char *const pci_options[] = { "--no-pci", "--allow", "-a", "--block", "-b", NULL };

static int check_args(const struct iol_net_eal_spec *spec)
{
	if (given(spec, lcore_options))
		return iol_fail(EINVAL, "EAL's options for lcores can't be given: the CPUs of poll "
					"threads are told otherwise (--lcores of iolane-net)");
	return 0;
}

int iol_net_eal_start(const struct iol_net_eal_spec *spec)
{
	_cleanup_free_ char *lcores = NULL;
	_cleanup_free_ char **args = NULL;
	unsigned int i, n = 0;
	int rc = check_args(spec);

	if (rc < 0)
		return rc;
	rc = make_lcores(spec->cpus, &lcores);
	if (rc < 0)
		return rc;
	args = calloc(OWN_ARGS + spec->num_args, sizeof(*args));
	if (!args)
		return iol_fail(ENOMEM, "no memory for EAL's options");
	args[n++] = (char *)"iolane";
	args[n++] = lcores;
	args[n++] = (char *)"--no-telemetry";
	if (!given(spec, memory_options) && has_hugepages()) {
		args[n++] = (char *)"--in-memory";
	} else if (!given(spec, memory_options)) {
		args[n++] = (char *)"--no-huge";
		args[n++] = (char *)"-m";
		args[n++] = (char *)NO_HUGE_MIB;
		args[n++] = (char *)"--no-shconf";
		iol_log(IOL_LOG_INFO,
			"less than %lu MiB of huge pages are free, so uplinks use ordinary ones: "
			"more TLB misses, and no access to physical NICs without an IOMMU (guest "
			"to guest traffic is not concerned)",
			HUGE_MIB);
	}
	/* A list of devices that may be used, of none at first: they are probed when they are named. */
	if (!given(spec, pci_options)) {
		args[n++] = (char *)"--allow";
		args[n++] = (char *)"ffff:ff:1f.7";
	}
	for (i = 0; i < spec->num_args; i++)
		args[n++] = spec->args[i];
	rc = open_log();
	if (rc < 0)
		return rc;
	iol_eal_listen();
	if (rte_eal_init((int)n, args) >= 0)
		return 0;
	rc = rte_errno ? rte_errno : EINVAL;
	if (rc == EALREADY)
		return iol_fail(EALREADY, "DPDK is started already");
	return iol_fail(rc, "DPDK does not start: %s", iol_eal_words(rte_strerror(rc)));
}

void iol_net_eal_stop(void)
{
	rte_eal_cleanup();
	rte_openlog_stream(NULL);
}
