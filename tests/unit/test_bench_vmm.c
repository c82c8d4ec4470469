/* SPDX-License-Identifier: BSD-3-Clause */
/* iolane-bench vmm: options, the same guest's command lines, and what KVM tells, which may be anything. */
#include "vmm.h"

#include "base/own.h"

#include <iolane/base.h>

#include <errno.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <wordexp.h>

#include <cmocka.h>

volatile int bench_interrupted;

#define WORDS_MAX 32

/* ---- options ---- */

static int parse(const char *line, struct vmm_options *o)
{
	static char buf[512];
	char *argv[WORDS_MAX] = { NULL };
	int argc = 0;
	char *word, *save = NULL;

	snprintf(buf, sizeof(buf), "vmm %s", line);
	for (word = strtok_r(buf, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	return vmm_options_parse(argc, argv, o);
}

static void good_options(void **state)
{
	struct vmm_options o;

	assert_int_equal(parse("--against=qemu --kernel=k", &o), 0);
	assert_true(o.against[VMM_QEMU] && !o.against[VMM_MICROVM]);
	assert_int_equal(o.memory, 512);
	assert_int_equal(o.cpus, 1);
	assert_int_equal(o.rounds, 9);
	assert_null(o.until);
	assert_int_equal(parse("--against=microvm,qemu --kernel k --initrd=i --cmdline=c "
			       "--memory=2G --cpus=4 --vfio=0000:01:10.0 --vfio=01:10.2 --blk=/a "
			       "--net=/b --until=up --exits=0.5 --timeout=3 --rounds=2 --json "
			       "--show-commands",
			       &o),
			 0);
	assert_true(o.against[VMM_QEMU] && o.against[VMM_MICROVM]);
	assert_int_equal(o.memory, 2048);
	assert_int_equal(o.vfio.n, 2);
	assert_true(o.exits == 0.5 && o.timeout == 3 && o.json && o.show_commands);
	assert_int_equal(parse("--compare=a --compare=b --rounds=3", &o), 0);
	assert_int_equal(o.n_compare, 2);
	assert_int_equal(parse("--help", &o), 0);
	assert_true(o.help);
}

static void bad_options_are_named(void **state)
{
	static const struct {
		const char *line, *says;
	} bad[] = {
		{ "", "--against=qemu,microvm" },
		{ "extra", "extra" },
		{ "--compare=a --what", "--what" },
		{ "--compare=a --against=qemu --kernel=k", "--compare" },
		{ "--compare=a --kernel=k", "--against" },
		{ "--compare=a --memory=1G", "--against" },
		{ "--compare=a --compare=a --compare=a --compare=a --compare=a --compare=a "
		  "--compare=a --compare=a --compare=a",
		  "8 times" },
		{ "--against=qemu", "--kernel" },
		{ "--against=firecracker --kernel=k", "firecracker" },
		{ "--against= --kernel=k", "--against" },
		{ "--against=qemu, --kernel=k", "--against" },
		{ "--against=qem --kernel=k", "--against" },
		{ "--against=qemu --kernel=k --memory=0", "--memory" },
		{ "--against=qemu --kernel=k --memory=1000k", "--memory" },
		{ "--against=qemu --kernel=k --memory=32T", "--memory" },
		{ "--against=qemu --kernel=k --memory=much", "--memory" },
		{ "--against=qemu --kernel=k --cpus=0", "--cpus" },
		{ "--against=qemu --kernel=k --cpus=256", "--cpus" },
		{ "--against=qemu --kernel=k --vfio=eth3", "--vfio" },
		{ "--against=qemu --kernel=k --blk=/a,b", "--blk" },
		{ "--against=qemu --kernel=k --net=", "--net" },
		{ "--against=qemu --kernel=k --exits=1", "--until" },
		{ "--compare=a --until=", "--until" },
		{ "--compare=a --until=x --exits=0", "--exits" },
		{ "--compare=a --timeout=0", "--timeout" },
		{ "--compare=a --timeout=x", "--timeout" },
		{ "--compare=a --rounds=0", "--rounds" },
		{ "--compare=a --json=1", "--json" },
	};
	struct vmm_options o;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int rc = parse(bad[i].line, &o);

		if ((rc != -EINVAL && rc != -ERANGE) || !strstr(iol_error(), bad[i].says))
			fail_msg("\"%s\" gave %d: %s", bad[i].line, rc, iol_error());
	}
}

/* ---- command lines ---- */

/* Whether a program that is started by @cmd has these among its arguments, one after the other. */
static bool has(const char *cmd, const char *option, const char *value)
{
	_cleanup_(wordfree) wordexp_t words = { 0 };

	assert_int_equal(wordexp(cmd, &words, WRDE_NOCMD | WRDE_UNDEF), 0);
	for (size_t i = 0; i < words.we_wordc; i++)
		if (!strcmp(words.we_wordv[i], option) &&
		    (!value || (i + 1 < words.we_wordc && !strcmp(words.we_wordv[i + 1], value))))
			return true;
	return false;
}

static void assert_has(const char *cmd, const char *option, const char *value)
{
	if (!has(cmd, option, value))
		fail_msg("no %s %s in: %s", option, value ? value : "", cmd);
}

static void all_start_the_same_guest(void **state)
{
	struct vmm_options o = {
		.against = { [VMM_QEMU] = true, [VMM_MICROVM] = true },
		.kernel = "/a folder/k",
		.initrd = "/i",
		.cmdline = "console=ttyS0 $HOME",
		.memory = 256,
		.cpus = 2,
		.vfio = { { "0000:01:10.0" }, 1 },
		.blk = { { "/run/a", "/run/b" }, 2 },
		.net = { { "/run/n" }, 1 },
	};
	struct bench_comparison c = { 0 };

	assert_int_equal(vmm_entrants(&o, &c), 0);
	assert_int_equal(c.n, 3);
	assert_string_equal(c.entrant[0].name, "iolane-vmm");
	assert_has(c.entrant[0].cmd, "--kernel=/a folder/k", "--initrd=/i");
	assert_has(c.entrant[0].cmd, "--cmdline=console=ttyS0 $HOME", "--memory=256M");
	assert_has(c.entrant[0].cmd, "--cpus=2", "--vfio=0000:01:10.0");
	assert_has(c.entrant[0].cmd, "--blk=/run/a", "--blk=/run/b");
	assert_has(c.entrant[0].cmd, "--net=/run/n", NULL);
	for (unsigned int i = 1; i < c.n; i++) {
		const char *cmd = c.entrant[i].cmd;

		assert_has(cmd, "-kernel", "/a folder/k");
		assert_has(cmd, "-initrd", "/i");
		assert_has(cmd, "-append", "console=ttyS0 $HOME");
		assert_has(cmd, "-smp", "2");
		assert_has(cmd, "-m", "256");
		assert_has(cmd, "-object", "memory-backend-memfd,id=memory,size=256M,share=on");
		assert_has(cmd, "-device", "vfio-pci,host=0000:01:10.0");
		assert_has(cmd, "-chardev", "socket,id=blk1,path=/run/b");
		assert_has(cmd, "-device", "vhost-user-blk-pci,chardev=blk1,num-queues=1");
		assert_has(cmd, "-chardev", "socket,id=net0,path=/run/n");
	}
	assert_has(c.entrant[1].cmd, "-M", "q35,accel=kvm,memory-backend=memory");
	assert_non_null(strstr(c.entrant[2].cmd, "pcie=on"));
	bench_comparison_free(&c);

	/* Without devices there is nothing for a bus to do. */
	o.vfio.n = o.blk.n = o.net.n = 0;
	o.initrd = NULL;
	c = (struct bench_comparison){ 0 };
	assert_int_equal(vmm_entrants(&o, &c), 0);
	assert_null(strstr(c.entrant[2].cmd, "pcie=on"));
	assert_null(strstr(c.entrant[1].cmd, "-initrd"));
	bench_comparison_free(&c);
}

static void a_command_is_named_by_its_program(void **state)
{
	static const char *const cmds[] = { "/usr/bin/vmm --a=/b", "'/a folder/vmm' -x", "other" };
	struct bench_comparison c = { 0 };

	assert_int_equal(bench_name_entrants(cmds, 3, &c), 0);
	assert_string_equal(c.entrant[0].name, "vmm");
	assert_string_equal(c.entrant[1].name, "vmm #2");
	assert_string_equal(c.entrant[2].name, "other");
	bench_comparison_free(&c);
}

static void a_quote_is_refused(void **state)
{
	struct vmm_options o = { .against = { [VMM_QEMU] = true },
				 .kernel = "k",
				 .cmdline = "a'b" };
	struct bench_comparison c = { 0 };

	assert_int_equal(vmm_entrants(&o, &c), -EINVAL);
	assert_non_null(strstr(iol_error(), "a'b"));
	bench_comparison_free(&c);
}

/* ---- KVM's statistics ---- */

static void put(const char *root, const char *file, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, file);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

/* A debugfs with a VM of @thread's, all of whose numbers are 5. */
static void add_vm(const char *root, int thread, int fd)
{
	char path[512], name[64];

	snprintf(path, sizeof(path), "%s/kvm/%d-%d", root, thread, fd);
	assert_int_equal(mkdir(path, 0700), 0);
	for (unsigned int i = 0; i < VMM_STATS; i++) {
		snprintf(name, sizeof(name), "kvm/%d-%d/%s", thread, fd, vmm_stat_names[i]);
		put(root, name, "5\n");
	}
}

static void make_root(char root[32])
{
	char path[64];

	strcpy(root, "/tmp/iolane-XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/kvm", root);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void remove_root(const char *root)
{
	char line[64];

	snprintf(line, sizeof(line), "rm -rf %s", root);
	assert_int_equal(system(line), 0);
}

static void numbers_of_a_process_are_added_up(void **state)
{
	struct vmm_counts counts;
	char root[32];
	int self = getpid();

	make_root(root);
	put(root, "kvm/exits", "99\n");
	assert_int_equal(vmm_counts_read(root, self, &counts), -ENOENT);
	add_vm(root, self, 9);
	add_vm(root, self, 10);
	/* init's, which is not ours. */
	add_vm(root, 1, 9);
	assert_int_equal(vmm_counts_read(root, self, &counts), 0);
	for (unsigned int i = 0; i < VMM_STATS; i++)
		assert_int_equal(counts.of[i], 10);
	assert_true(counts.at > 0);
	remove_root(root);
	assert_int_equal(vmm_counts_read(root, self, &counts), -ENOENT);
	assert_non_null(strstr(iol_error(), "mount -t debugfs"));
}

static void what_is_no_number_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"5",
		"-5\n",
		" 5\n",
		"0x5\n",
		"5 \n",
		"5\n5\n",
		"18446744073709551616\n",
		"99999999999999999999999999999999999999999999\n",
	};
	struct vmm_counts counts;
	char root[32], file[64];
	int self = getpid();

	make_root(root);
	add_vm(root, self, 9);
	snprintf(file, sizeof(file), "kvm/%d-9/mmio_exits", self);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(root, file, bad[i]);
		if (vmm_counts_read(root, self, &counts) != -EBADMSG ||
		    !strstr(iol_error(), "mmio_exits"))
			fail_msg("\"%s\" was read as %llu", bad[i],
				 (unsigned long long)counts.of[VMM_STAT_MMIO]);
	}
	put(root, file, "18446744073709551615\n");
	assert_int_equal(vmm_counts_read(root, self, &counts), 0);
	assert_int_equal(counts.of[VMM_STAT_MMIO], UINT64_MAX);
	remove_root(root);
}

/* ---- a run ---- */

static void a_vmm_that_runs_nothing_is_told(void **state)
{
	struct vmm_options o = { .timeout = 30 };
	struct vmm_figures f;

	assert_int_equal(vmm_measure(&o, "sh -c 'echo first; echo sorry'", &f), -ECHILD);
	assert_non_null(strstr(iol_error(), "it said: sorry"));
	assert_int_equal(vmm_measure(&o, "/none/vmm", &f), -ECHILD);
	assert_non_null(strstr(iol_error(), "cannot run /none/vmm"));
	assert_int_equal(vmm_measure(&o, "a | b", &f), -EINVAL);
	o.timeout = 0.05;
	assert_int_equal(vmm_measure(&o, "sleep 1000", &f), -ETIMEDOUT);
	assert_non_null(strstr(iol_error(), "--timeout"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_options),
		cmocka_unit_test(bad_options_are_named),
		cmocka_unit_test(all_start_the_same_guest),
		cmocka_unit_test(a_command_is_named_by_its_program),
		cmocka_unit_test(a_quote_is_refused),
		cmocka_unit_test(numbers_of_a_process_are_added_up),
		cmocka_unit_test(what_is_no_number_is_refused),
		cmocka_unit_test(a_vmm_that_runs_nothing_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
