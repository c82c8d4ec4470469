/* SPDX-License-Identifier: BSD-3-Clause */
/* What NVMe controllers tell of their VFs: read right, and not believed when it can't be. */
#include "sriov/nvme.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>

static void put16(uint8_t *data, size_t at, unsigned int value)
{
	data[at] = (uint8_t)value;
	data[at + 1] = (uint8_t)(value >> 8);
}

struct entry {
	unsigned int id, vf, online, queues, interrupts;
};

static void put_entry(uint8_t *data, unsigned int index, struct entry e)
{
	size_t at = (size_t)(index + 1) * 32;

	put16(data, at, e.id);
	data[at + 4] = (uint8_t)e.online;
	put16(data, at + 8, e.vf);
	put16(data, at + 10, e.queues);
	put16(data, at + 12, e.interrupts);
	data[0] = (uint8_t)(index + 1);
}

static void expect_said(const char *sentence)
{
	if (!strstr(iol_error(), sentence))
		fail_msg("said: %s", iol_error());
}

static void test_list(void **state)
{
	uint8_t data[NVME_DATA_SIZE] = { 0 };
	struct iol_nvme_list list = { 0 };

	assert_int_equal(iol_nvme_list_read(data, &list), 0);
	assert_false(list.more);
	assert_int_equal(list.count, 0);
	assert_int_equal(iol_nvme_list_check(&list), 0);
	/* VFs need not be in order, and other controllers may be among them; reserved bits are not looked at. */
	put_entry(data, 0, (struct entry){ 1, 2, 0xff, 2, 1 });
	put_entry(data, 1, (struct entry){ 4, 0, 1, 7, 7 });
	put_entry(data, 2, (struct entry){ 5, 1, 0xfe, 0xffff, 3 });
	assert_int_equal(iol_nvme_list_read(data, &list), 0);
	assert_int_equal(iol_nvme_list_check(&list), 0);
	assert_false(list.more);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.vfs[0].id, 5);
	assert_false(list.vfs[0].online);
	assert_int_equal(list.vfs[0].queues, 0xffff);
	assert_int_equal(list.vfs[0].interrupts, 3);
	assert_int_equal(list.vfs[1].id, 1);
	assert_true(list.vfs[1].online);
	free(list.vfs);
}

/* 300 VFs come in three lists, as 127 are in one at most. */
static void test_pages(void **state)
{
	uint8_t data[NVME_DATA_SIZE];
	struct iol_nvme_list list = { 0 };
	unsigned int first, i;

	for (first = 0; first < 300; first += 127) {
		memset(data, 0, sizeof(data));
		for (i = 0; i < 127 && first + i < 300; i++)
			put_entry(data, i, (struct entry){ first + i + 1, first + i + 1, 1, 2, 1 });
		assert_int_equal(list.next, first ? first + 1 : 0);
		assert_int_equal(iol_nvme_list_read(data, &list), 0);
		assert_int_equal(list.more, first < 254);
	}
	assert_int_equal(list.count, 300);
	assert_int_equal(list.vfs[299].id, 300);
	assert_int_equal(iol_nvme_list_check(&list), 0);
	free(list.vfs);
}

static void refused(const struct entry *entries, unsigned int count, const char *sentence)
{
	uint8_t data[NVME_DATA_SIZE] = { 0 };
	struct iol_nvme_list list = { 0 };
	unsigned int i;
	int rc;

	for (i = 0; i < count; i++)
		put_entry(data, i, entries[i]);
	rc = iol_nvme_list_read(data, &list);
	if (!rc)
		rc = iol_nvme_list_check(&list);
	assert_int_equal(rc, -EPROTO);
	expect_said(sentence);
	free(list.vfs);
}

#define REFUSED(sentence, ...)                                                                     \
	do {                                                                                       \
		static const struct entry entries_[] = { __VA_ARGS__ };                            \
		refused(entries_, sizeof(entries_) / sizeof(*entries_), sentence);                 \
	} while (0)

static void test_hostile_list(void **state)
{
	uint8_t data[NVME_DATA_SIZE];
	struct iol_nvme_list list = { 0 };
	unsigned int i;

	REFUSED("lists its secondary controller 1 where 2", { 1, 1 }, { 1, 2 });
	REFUSED("lists its secondary controller 3 where 6", { 5, 1 }, { 3, 2 });
	REFUSED("lists its secondary controller 65535", { 65535, 1 });
	REFUSED("lists VF 0 twice, as its secondary controllers 1 and 2", { 1, 1 }, { 2, 1 });
	REFUSED("lists its VF 65534, but not VF 0", { 1, 65535 });
	REFUSED("lists its VF 2, but not VF 1", { 1, 1 }, { 2, 3 });
	for (i = 128; i < 256; i++) {
		memset(data, 0, sizeof(data));
		data[0] = (uint8_t)i;
		assert_int_equal(iol_nvme_list_read(data, &list), -EPROTO);
	}
	expect_said("255 secondary controllers at once");
	/* A full list that is of 127 times nothing. */
	memset(data, 0, sizeof(data));
	data[0] = 127;
	assert_int_equal(iol_nvme_list_read(data, &list), -EPROTO);
	/* The same list again, whatever was asked for: this would have no end. */
	for (i = 0; i < 127; i++)
		put_entry(data, i, (struct entry){ i + 1, 0, 0, 0, 0 });
	assert_int_equal(iol_nvme_list_read(data, &list), 0);
	assert_true(list.more);
	assert_int_equal(iol_nvme_list_read(data, &list), -EPROTO);
	/* The last ids that there are. */
	list.next = 0;
	for (i = 0; i < 127; i++)
		put_entry(data, i, (struct entry){ 65534 - 126 + i, 0, 0, 0, 0 });
	assert_int_equal(iol_nvme_list_read(data, &list), 0);
	assert_false(list.more);
	memset(data, 0xff, sizeof(data));
	assert_int_equal(iol_nvme_list_read(data, &list), -EPROTO);
	free(list.vfs);
}

static void test_caps(void **state)
{
	uint8_t data[NVME_DATA_SIZE] = { 0 };
	struct iol_nvme_caps caps;

	put16(data, 0, 0x1234);
	data[4] = 3;
	put16(data, 32, 8);
	put16(data, 36, 2);
	put16(data, 44, 4);
	put16(data, 46, 2);
	put16(data, 64, 6);
	put16(data, 66, 1);
	put16(data, 68, 6);
	put16(data, 76, 3);
	assert_int_equal(iol_nvme_caps_read(data, &caps), 0);
	assert_int_equal(caps.id, 0x1234);
	assert_int_equal(caps.queues.total, 8);
	assert_int_equal(caps.queues.assigned, 2);
	assert_int_equal(caps.queues.most, 4);
	assert_int_equal(caps.queues.step, 2);
	assert_int_equal(caps.interrupts.total, 65542);
	assert_int_equal(caps.interrupts.assigned, 6);
	assert_int_equal(caps.interrupts.most, 3);
	put16(data, 36, 9);
	assert_int_equal(iol_nvme_caps_read(data, &caps), -EPROTO);
	expect_said("9 of its 8 queues are assigned");
	/* Of a kind that it does not give away its words mean nothing. */
	data[4] = 2;
	assert_int_equal(iol_nvme_caps_read(data, &caps), 0);
	assert_int_equal(caps.queues.total, 0);
	assert_int_equal(caps.interrupts.total, 65542);
	put16(data, 70, 2);
	assert_int_equal(iol_nvme_caps_read(data, &caps), -EPROTO);
	expect_said("interrupts are assigned");
	memset(data, 0xff, sizeof(data));
	assert_int_equal(iol_nvme_caps_read(data, &caps), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_hostile_list),
		cmocka_unit_test(test_caps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
