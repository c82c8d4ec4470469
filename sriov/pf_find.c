/* SPDX-License-Identifier: BSD-3-Clause */
/* Physical functions by what does not move: their serial numbers and their slots. */
#include "sriov/pf.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/config.h"
#include "vfio/pci.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define DSN_TEXT_MAX 24

/* Empty when there is none, or it may not be read. */
static void device_serial(const struct iol_host *host, const struct iol_pf *pf,
			  char text[DSN_TEXT_MAX])
{
	uint8_t config[CONFIG_EXT_SIZE], serial[8];
	size_t at, i;
	int n = iol_host_read_bytes(host, config, sizeof(config), 0,
				    "sys/bus/pci/devices/%s/config", pf->name);

	text[0] = '\0';
	at = n > 0 ? iol_config_ext_cap(config, (size_t)n, EXT_CAP_DSN) : 0;
	if (!at)
		return;
	/* Written from its highest byte down. */
	for (i = 0; i < 8; i++)
		serial[i] = iol_config_u8(config, (size_t)n, at + 11 - i);
	snprintf(text, DSN_TEXT_MAX, "%02x-%02x-%02x-%02x-%02x-%02x-%02x-%02x", serial[0],
		 serial[1], serial[2], serial[3], serial[4], serial[5], serial[6], serial[7]);
}

static bool has_serial(const struct iol_host *host, const struct iol_pf *pf, const char *serial)
{
	char text[IOL_NAME_MAX];

	if (pf->nvme[0] &&
	    iol_host_read(host, text, sizeof(text), "sys/class/nvme/%s/serial", pf->nvme) > 0 &&
	    !strcmp(text, serial))
		return true;
	device_serial(host, pf, text);
	return text[0] && !strcasecmp(text, serial);
}

int iol_pf_find_serial(const struct iol_host *host, const char *driver, const char *serial,
		       struct iol_pf *pf)
{
	_cleanup_free_ struct iol_pf *list = NULL;
	int n = iol_pf_list(host, &list), i, found = -1;

	if (n < 0)
		return n;
	for (i = 0; i < n; i++) {
		if (!list[i].is_pci || strcmp(list[i].driver, driver) != 0 ||
		    !has_serial(host, &list[i], serial))
			continue;
		if (found >= 0)
			return iol_fail(ENOTUNIQ,
					"%s and %s have the driver %s and the serial number %s: "
					"name the one that you mean by its path",
					list[found].name, list[i].name, driver, serial);
		found = i;
	}
	if (found < 0)
		return iol_fail(ENODEV,
				"nothing that makes VFs has the driver %s and the serial number %s "
				"(lspci -vv, /sys/class/nvme/*/serial); as another user than root "
				"those of PCI are not seen",
				driver, serial);
	*pf = list[found];
	return 0;
}

/* "04.0", with or without domain and bus before it. */
static bool slot_of(const char *part, unsigned int *dev, unsigned int *fn)
{
	struct iol_pci_addr addr;
	int end = 0;

	if (iol_pci_addr_read(part, &addr)) {
		*dev = addr.dev;
		*fn = addr.fn;
		return true;
	}
	return strlen(part) == 4 && isxdigit((unsigned char)*part) &&
	       sscanf(part, "%2x.%1x%n", dev, fn, &end) == 2 && end == 4;
}

/* A path without what comes before the host bridge, and without buses: "pci0000:00/04.0/00.0". Return: false for none. */
static bool plain_path(const char *path, char plain[HOST_PATH_MAX])
{
	char copy[HOST_PATH_MAX], *rest = copy, *part;
	unsigned int dev, fn, slots = 0;
	size_t n = 0;

	if (strlen(path) >= sizeof(copy))
		return false;
	strcpy(copy, path);
	while ((part = strsep(&rest, "/"))) {
		if (!strncmp(part, "pci", 3) && strchr(part, ':'))
			n += (size_t)snprintf(plain + n, HOST_PATH_MAX - n, "%s%s", n ? "/" : "",
					      part);
		else if (n && slot_of(part, &dev, &fn))
			n += (size_t)snprintf(plain + n, HOST_PATH_MAX - n, "/%02x.%x", dev, fn);
		else if (n && *part)
			return false;
		else
			continue;
		if (n >= HOST_PATH_MAX)
			return false;
		slots++;
	}
	return slots > 1;
}

/* What follows "devices/", as links of sysfs and people write it. */
static const char *below_devices(const char *path)
{
	const char *at = strstr(path, "devices/");

	return at ? at + strlen("devices/") : path;
}

static bool is_at(const struct iol_host *host, const struct iol_pf *pf, const char *path,
		  const char *wanted)
{
	char target[HOST_PATH_MAX], plain[HOST_PATH_MAX], *end;

	if (pf->is_pci)
		return *wanted &&
		       iol_host_target(host, target, sizeof(target), "sys/bus/pci/devices/%s",
				       pf->name) > 0 &&
		       plain_path(target, plain) && !strcmp(plain, wanted);
	if (iol_host_target(host, target, sizeof(target), "sys/class/net/%s", pf->netdev) < 0)
		return false;
	end = strstr(target, "/net/");
	if (end)
		*end = '\0';
	return end && !strcmp(below_devices(target), below_devices(path));
}

int iol_pf_find_path(const struct iol_host *host, const char *path, struct iol_pf *pf)
{
	_cleanup_free_ struct iol_pf *list = NULL;
	char wanted[HOST_PATH_MAX];
	int n, i;

	if (!plain_path(path, wanted))
		wanted[0] = '\0';
	n = iol_pf_list(host, &list);
	for (i = 0; i < n; i++) {
		if (!is_at(host, &list[i], path, wanted))
			continue;
		*pf = list[i];
		return 0;
	}
	if (n < 0)
		return n;
	if (wanted[0])
		return iol_fail(ENODEV, "nothing that makes VFs is at %s", path);
	return iol_fail(EINVAL,
			"\"%.200s\" is no path of a PCI function: expected the way to it, as "
			"pci0000:00/0000:00:04.0/0000:01:00.0 (readlink "
			"/sys/bus/pci/devices/ADDRESS)",
			path);
}
