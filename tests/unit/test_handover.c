/* SPDX-License-Identifier: BSD-3-Clause */
/* What VMMs are told: by QEMUs that know more or less, and with names that they could misread. */
#include "base/error.h"

#include <iolane/vmm_handover.h>

#include <json-c/json_object.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What a QEMU does not know, "TYPE" or "TYPE.PROPERTY", and what was said about it. */
static const char *lacks;
static char noted[1024];

static bool knows(void *ctx, const char *option, const char *type, const char *property)
{
	char what[128];

	snprintf(what, sizeof(what), "%s%s%s", type, property ? "." : "", property ? property : "");
	return strcmp(what, lacks) != 0;
}

static void note(void *ctx, const char *sentence)
{
	snprintf(noted, sizeof(noted), "%s", sentence);
}

static const struct iol_vmm_device disk = {
	.kind = IOL_VMM_BLK, .id = "d", .where = "/a,b", .queues = 2, .packed = true
};
static const struct iol_vmm_device nic = {
	.kind = IOL_VMM_NET, .id = "n", .where = "/n", .mac = "02:00:00:00:00:01"
};
static const struct iol_vmm_device vf = {
	.kind = IOL_VMM_VF, .id = "v", .where = "0000:01:10.2", .iommufd = true
};

static int args(const struct iol_vmm_device *device, unsigned int version, char *text, size_t len)
{
	struct iol_qemu qemu = { version, knows, note, NULL };
	struct iol_vmm_guest guest = {
		.memory = 64 << 20, .cpus = 1, .devices = device, .num_devices = 1
	};
	struct json_object *array = NULL;
	size_t i, n = 0;
	int rc;

	noted[0] = text[0] = '\0';
	rc = iol_vmm_qemu_args(&guest, &qemu, &array);
	assert_int_equal(array != NULL, !rc);
	for (i = 0; array && i < json_object_array_length(array); i++)
		n += (size_t)snprintf(text + n, len - n, "%s\n",
				      json_object_get_string(json_object_array_get_idx(array, i)));
	json_object_put(array);
	return rc;
}

static void what_qemus_know(void **state)
{
	static const struct {
		const char *lacks;
		const struct iol_vmm_device *device;
		unsigned int version;
		int rc;
		const char *has, *has_not, *noted;
	} cases[] = {
		{ "", &disk, 1000, 0, "path=/a,,b,reconnect-ms=500", "reconnect=1", NULL },
		{ "", &disk, 901, 0, "path=/a,,b,reconnect=1", "reconnect-ms", "counts the time" },
		{ "", &disk, 1000, 0, "num-queues=2,packed=on", NULL, NULL },
		{ "vhost-user-blk-pci.packed", &disk, 1000, 0, "num-queues=2\n", "packed",
		  "so rings are split" },
		{ "vhost-user-blk-pci.num-queues", &disk, 1000, -ENOTSUP, NULL, NULL, NULL },
		{ "vhost-user-blk-pci", &disk, 1000, -ENOTSUP, NULL, NULL, NULL },
		{ "pcie-root-port", &disk, 1000, -ENOTSUP, NULL, NULL, NULL },
		{ "memory-backend-memfd", &disk, 1000, -ENOTSUP, NULL, NULL, NULL },
		{ "virtio-net-pci.rx_queue_size", &nic, 1000, 0, "tx_queue_size=1024",
		  "rx_queue_size", "usual size" },
		{ "", &nic, 1000, 0, "mac=02:00:00:00:00:01,", "mq=on", NULL },
		{ "", &vf, 1000, 0, "host=0000:01:10.2,iommufd=iolane-iommufd", "memory-backend",
		  NULL },
		{ "iommufd", &vf, 1000, 0, "host=0000:01:10.2\n", "iommufd", "by their groups" },
		{ "vfio-pci.iommufd", &vf, 1000, 0, "host=0000:01:10.2\n", "iommufd",
		  "by their groups" },
	};
	char text[2048];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		lacks = cases[i].lacks;
		assert_int_equal(args(cases[i].device, cases[i].version, text, sizeof(text)),
				 cases[i].rc);
		if (cases[i].has)
			assert_non_null(strstr(text, cases[i].has));
		if (cases[i].has_not)
			assert_null(strstr(text, cases[i].has_not));
		if (cases[i].noted)
			assert_non_null(strstr(noted, cases[i].noted));
		else
			assert_string_equal(noted, "");
	}
}

static void names(void **state)
{
	static const struct {
		const char *id, *where;
		int qemu, libvirt, cloud;
	} cases[] = {
		{ "a", "/s", 0, 0, 0 },
		{ "a-b_c.9", "/s p", 0, 0, 0 },
		{ "a", "/s,s", 0, 0, -EINVAL },
		{ "a", "/[s]", 0, 0, -EINVAL },
		{ "a", "/s'/><x", -EINVAL, -EINVAL, -EINVAL },
		{ "a", "/s\n", -EINVAL, -EINVAL, -EINVAL },
		{ "a", "/\"s\"", -EINVAL, -EINVAL, -EINVAL },
		{ "a", "/&s", -EINVAL, -EINVAL, -EINVAL },
		{ "", "/s", -EINVAL, -EINVAL, -EINVAL },
		{ "1", "/s", -EINVAL, -EINVAL, -EINVAL },
		{ "a,b", "/s", -EINVAL, -EINVAL, -EINVAL },
		{ "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddde", "/s", -EINVAL, -EINVAL, -EINVAL },
	};
	char text[2048];
	size_t i;

	lacks = "";
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct iol_vmm_device d = { .kind = IOL_VMM_BLK,
					    .id = cases[i].id,
					    .where = cases[i].where };
		struct iol_vmm_guest guest = {
			.name = "g", .memory = 1 << 20, .cpus = 1, .devices = &d, .num_devices = 1
		};
		struct json_object *array = NULL;
		char *xml = NULL;

		assert_int_equal(args(&d, 1000, text, sizeof(text)), cases[i].qemu);
		assert_int_equal(iol_vmm_libvirt_xml(&guest, &xml), cases[i].libvirt);
		assert_int_equal(xml != NULL, !cases[i].libvirt);
		assert_int_equal(iol_vmm_cloud_hypervisor_args(&guest, &array), cases[i].cloud);
		free(xml);
		json_object_put(array);
	}
}

/* A function, and the NIC that stands by for it: QEMU has to hear of the NIC first. */
static void pairs(void **state)
{
	struct iol_vmm_device devices[] = { vf, nic };
	struct iol_qemu qemu = { 1000, knows, note, NULL };
	struct iol_vmm_guest guest = {
		.name = "g", .memory = 64 << 20, .cpus = 1, .devices = devices, .num_devices = 2
	};
	struct json_object *array = NULL;
	const char *text, *first;
	char *xml = NULL;

	lacks = "";
	devices[0].standby = "n";
	assert_int_equal(iol_vmm_qemu_args(&guest, &qemu, &array), -EINVAL);
	assert_non_null(strstr(iol_error(), "no NIC n to stand by for v"));
	assert_int_equal(iol_vmm_libvirt_xml(&guest, &xml), -EINVAL);
	devices[1].stands_by = true;
	assert_int_equal(iol_vmm_qemu_args(&guest, &qemu, &array), 0);
	text = json_object_to_json_string_ext(array, JSON_C_TO_STRING_PLAIN);
	first = strstr(text, "failover=on");
	assert_non_null(first);
	assert_non_null(strstr(first, "failover_pair_id=n"));
	json_object_put(array);
	array = NULL;
	assert_int_equal(iol_vmm_libvirt_xml(&guest, &xml), 0);
	assert_non_null(strstr(xml, "<teaming type='persistent'/>"));
	assert_non_null(strstr(xml, "<teaming type='transient' persistent='ua-n'/>"));
	free(xml);
	assert_int_equal(iol_vmm_cloud_hypervisor_args(&guest, &array), -ENOTSUP);
	lacks = "virtio-net-pci.failover";
	assert_int_equal(iol_vmm_qemu_args(&guest, &qemu, &array), -ENOTSUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_qemus_know),
		cmocka_unit_test(names),
		cmocka_unit_test(pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
