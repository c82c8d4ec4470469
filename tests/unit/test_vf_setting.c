/* SPDX-License-Identifier: BSD-3-Clause */
/* Settings of VFs as text: what is read, what is written, and what is said of the rest. */
#include <iolane/base.h>
#include <iolane/sriov.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_roundtrip(void **state)
{
	static const struct {
		enum iol_vf_setting setting;
		const char *text, *written;
	} rows[] = {
		{ IOL_VF_MAC, "02:00:00:00:00:03", NULL },
		{ IOL_VF_MAC, "02:0A:bc:DE:ff:03", "02:0a:bc:de:ff:03" },
		{ IOL_VF_MAC, "00:00:00:00:00:00", NULL },
		{ IOL_VF_VLAN, "0", NULL },
		{ IOL_VF_VLAN, "0 qos 0", "0" },
		{ IOL_VF_VLAN, "0 qos 3", NULL },
		{ IOL_VF_VLAN, "0 qos 3 802.1ad", NULL },
		{ IOL_VF_VLAN, "1", NULL },
		{ IOL_VF_VLAN, "4094", NULL },
		{ IOL_VF_VLAN, "100 qos 7", NULL },
		{ IOL_VF_VLAN, "100 qos 0", "100" },
		{ IOL_VF_VLAN, "100 802.1Q", "100" },
		{ IOL_VF_VLAN, "100 802.1ad", "100 qos 0 802.1ad" },
		{ IOL_VF_VLAN, "100 qos 3 802.1ad", NULL },
		{ IOL_VF_SPOOFCHK, "on", NULL },
		{ IOL_VF_SPOOFCHK, "off", NULL },
		{ IOL_VF_TRUST, "on", NULL },
		{ IOL_VF_RSS_QUERY, "off", NULL },
		{ IOL_VF_LINK, "auto", NULL },
		{ IOL_VF_LINK, "enable", NULL },
		{ IOL_VF_LINK, "disable", NULL },
		{ IOL_VF_RATE, "0", NULL },
		{ IOL_VF_RATE, "1000", NULL },
		{ IOL_VF_RATE, "0-1000", "1000" },
		{ IOL_VF_RATE, "100-1000", NULL },
		{ IOL_VF_RATE, "100-0", NULL },
		{ IOL_VF_RATE, "4294967295", NULL },
	};
	char buf[IOL_VF_VALUE_MAX];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct iol_vf_net net = { 0 };

		assert_int_equal(iol_vf_setting_parse(rows[i].setting, rows[i].text, &net), 0);
		assert_int_equal(net.has, 1u << rows[i].setting);
		assert_string_equal(iol_vf_setting_format(rows[i].setting, &net, buf),
				    rows[i].written ? rows[i].written : rows[i].text);
	}
}

static void test_refused(void **state)
{
	static const struct {
		enum iol_vf_setting setting;
		const char *text, *expected;
	} rows[] = {
		{ IOL_VF_MAC, "", "six bytes" },
		{ IOL_VF_MAC, "02:00:00:00:00", "six bytes" },
		{ IOL_VF_MAC, "02:00:00:00:00:03:04", "six bytes" },
		{ IOL_VF_MAC, "02-00-00-00-00-03", "six bytes" },
		{ IOL_VF_MAC, "02:00:00:00:00:0g", "six bytes" },
		{ IOL_VF_MAC, "01:00:5e:00:00:01", "of groups" },
		{ IOL_VF_MAC, "ff:ff:ff:ff:ff:ff", "of groups" },
		{ IOL_VF_VLAN, "", "1 to 4094" },
		{ IOL_VF_VLAN, "4095", "1 to 4094" },
		{ IOL_VF_VLAN, "-1", "1 to 4094" },
		{ IOL_VF_VLAN, " 1", "1 to 4094" },
		{ IOL_VF_VLAN, "99999999999999999999", "1 to 4094" },
		{ IOL_VF_VLAN, "100 qos 8", "0 to 7" },
		{ IOL_VF_VLAN, "100 qos", "0 to 7" },
		{ IOL_VF_VLAN, "100 802.1x", "802.1ad" },
		{ IOL_VF_VLAN, "0 qos 8", "0 for none" },
		{ IOL_VF_VLAN, "0 802.1ad", "0 for none" },
		{ IOL_VF_SPOOFCHK, "yes", "spoofchk: expected on or off" },
		{ IOL_VF_TRUST, "On", "trust: expected on or off" },
		{ IOL_VF_RSS_QUERY, "", "rss_query: expected on or off" },
		{ IOL_VF_LINK, "up", "auto, enable or disable" },
		{ IOL_VF_RATE, "", "Mbit/s" },
		{ IOL_VF_RATE, "10G", "Mbit/s" },
		{ IOL_VF_RATE, "1000-100", "Mbit/s" },
		{ IOL_VF_RATE, "4294967296", "Mbit/s" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct iol_vf_net net = { 0 };

		assert_int_equal(iol_vf_setting_parse(rows[i].setting, rows[i].text, &net),
				 -EINVAL);
		assert_int_equal(net.has, 0);
		assert_non_null(strstr(iol_error(), rows[i].expected));
	}
}

static void test_names(void **state)
{
	int i;

	for (i = 0; i < IOL_VF_SETTINGS; i++)
		assert_int_equal(iol_vf_setting_find(iol_vf_setting_name((enum iol_vf_setting)i)),
				 i);
	assert_int_equal(iol_vf_setting_find("vlna"), -ENOENT);
	assert_non_null(strstr(iol_error(), "spoofchk"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roundtrip),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
