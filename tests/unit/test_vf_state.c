/* SPDX-License-Identifier: BSD-3-Clause */
/* Declared states that can't be, and where they are wrong. */
#include <iolane/base.h>
#include <iolane/sriov.h>

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PFS 3
#define VFS 3

/* Some PFs of 8 VFs at most, of which there are 4. */
struct made {
	struct iol_want_pf pf[PFS];
	struct iol_want_vf vf[PFS][VFS];
	struct iol_state state;
};

static void make(struct made *m)
{
	unsigned int i;

	memset(m, 0, sizeof(*m));
	m->state.pf = m->pf;
	m->state.num_pf = PFS;
	for (i = 0; i < PFS; i++) {
		snprintf(m->pf[i].pf.name, sizeof(m->pf[i].pf.name), "0000:0%u:00.0", i + 1);
		m->pf[i].pf.total = 8;
		m->pf[i].pf.enabled = 4;
		m->pf[i].vfs = -1;
		m->pf[i].vf = m->vf[i];
	}
}

static void range(struct made *m, unsigned int pf, unsigned int first, unsigned int last,
		  const char *mac)
{
	struct iol_want_vf *vf = &m->vf[pf][m->pf[pf].num_vf++];

	vf->first = first;
	vf->last = last;
	if (mac)
		assert_int_equal(iol_vf_setting_parse(IOL_VF_MAC, mac, &vf->net), 0);
}

static void refused(const struct made *m, unsigned int pf, int vf, const char *field,
		    const char *words)
{
	struct iol_state_fault fault;

	assert_int_equal(iol_state_check(&m->state, &fault), -EINVAL);
	assert_int_equal(fault.pf, pf);
	assert_int_equal(fault.vf, vf);
	assert_string_equal(fault.field, field);
	assert_non_null(strstr(iol_error(), words));
	assert_int_equal(iol_state_check(&m->state, NULL), -EINVAL);
}

static void test_good(void **state)
{
	struct made m;

	make(&m);
	range(&m, 0, 0, 2, NULL);
	range(&m, 0, 3, 3, "02:00:00:00:00:01");
	range(&m, 1, 0, 0, "02:00:00:00:00:02");
	/* Left to the VF, as often as one likes. */
	range(&m, 1, 1, 3, "00:00:00:00:00:00");
	m.pf[2].vfs = 8;
	range(&m, 2, 7, 7, NULL);
	assert_int_equal(iol_state_check(&m.state, NULL), 0);
	m.state.num_pf = 0;
	assert_int_equal(iol_state_check(&m.state, NULL), 0);
}

static void test_pfs(void **state)
{
	struct made m;

	make(&m);
	strcpy(m.pf[2].pf.name, m.pf[0].pf.name);
	refused(&m, 2, -1, "", "twice");
	make(&m);
	m.pf[1].vfs = 9;
	refused(&m, 1, -1, "vfs", "8 at most");
	m.pf[1].pf.total = UINT_MAX;
	assert_int_equal(iol_state_check(&m.state, NULL), 0);
}

static void test_ranges(void **state)
{
	struct made m;

	make(&m);
	range(&m, 1, 0, 4, NULL);
	refused(&m, 1, 0, "index", "from 0 to 3");
	m.pf[1].vfs = 5;
	assert_int_equal(iol_state_check(&m.state, NULL), 0);
	m.pf[1].vfs = 0;
	refused(&m, 1, 0, "index", "is to have 0");
	make(&m);
	range(&m, 0, 2, 1, NULL);
	refused(&m, 0, 0, "index", "VFs 2 to 1");
	make(&m);
	range(&m, 0, 0, 1, NULL);
	range(&m, 0, 3, 3, NULL);
	range(&m, 0, 1, 2, NULL);
	refused(&m, 0, 2, "index", "overlap with 0 to 1");
}

/* Of PFs that were not found yet nothing is known: what stands in the file is checked all the same. */
static void test_not_found(void **state)
{
	struct made m;
	unsigned int i;

	make(&m);
	for (i = 0; i < PFS; i++)
		m.pf[i].pf = (struct iol_pf){ 0 };
	range(&m, 0, 0, 3, NULL);
	strcpy(m.vf[0][0].driver, "vfio-pci");
	m.pf[1].vfs = 2;
	assert_int_equal(iol_state_check(&m.state, NULL), 0);
	range(&m, 1, 1, 2, NULL);
	refused(&m, 1, 0, "index", "VFs 1 to 2 of this PF: expected from 0 to 1");
	m.pf[1].num_vf = 0;
	range(&m, 0, 3, 3, NULL);
	refused(&m, 0, 1, "index", "VFs 3 to 3 of this PF overlap");
}

static void test_macs(void **state)
{
	struct made m;

	make(&m);
	range(&m, 0, 0, 1, "02:00:00:00:00:01");
	refused(&m, 0, 0, "mac", "02:00:00:00:00:01 is for several VFs");
	make(&m);
	range(&m, 0, 0, 0, "02:00:00:00:00:01");
	range(&m, 1, 0, 0, "02:00:00:00:00:02");
	range(&m, 2, 0, 0, NULL);
	range(&m, 2, 3, 3, "02:00:00:00:00:01");
	refused(&m, 2, 1, "mac", "of this state");
}

/* Only VFs of PCI are functions, which can have drivers. */
static void test_functions(void **state)
{
	struct made m;

	make(&m);
	range(&m, 1, 0, 0, NULL);
	strcpy(m.vf[1][0].owner, "0:0:0600");
	refused(&m, 1, 0, "owner", "neither driver nor owner");
	strcpy(m.vf[1][0].driver, "vfio-pci");
	refused(&m, 1, 0, "driver", "are no PCI functions");
	m.pf[1].pf.is_pci = true;
	assert_int_equal(iol_state_check(&m.state, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),   cmocka_unit_test(test_pfs),
		cmocka_unit_test(test_ranges), cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_macs),   cmocka_unit_test(test_functions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
