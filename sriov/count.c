/* SPDX-License-Identifier: BSD-3-Clause */
#include "sriov/count.h"

#include "base/error.h"
#include "base/own.h"
#include "sriov/pf.h"
#include "vfio/bind.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define PAUSE_MS 20
#define TRIES    2

/* The register of class and revision. A VF's vendor reads as all ones by the specification (PCIe 6.0, 9.3.4.1.1). */
#define REG_CLASS 0x08

#define NUMVFS    "sriov_numvfs"
#define AUTOPROBE "sriov_drivers_autoprobe"

int iol_vf_count_get(const struct iol_host *host, const struct iol_pf *pf, unsigned int *count)
{
	_cleanup_folder_ struct iol_host folder = FOLDER_CLOSED;
	uint64_t value = 0;
	int rc = iol_pf_folder(host, pf, &folder);

	if (rc)
		return rc;
	rc = iol_host_read_u64(&folder, &value, NUMVFS);
	if (!rc && value > UINT_MAX)
		rc = -EINVAL;
	if (rc)
		return iol_fail(-rc, "cannot tell how many VFs %s has (" NUMVFS "): %s", pf->name,
				strerror(-rc));
	*count = (unsigned int)value;
	return 0;
}

/* ---- in use ---- */

int iol_vf_refuse_busy(const struct iol_host *host, const struct iol_pf *pf)
{
	_cleanup_free_ struct iol_use *uses = NULL;
	const struct iol_use *first = NULL;
	unsigned int more = 0;
	char others[32] = "";
	int n, i;

	if (!pf->is_pci)
		return 0;
	n = iol_pci_uses(host, &pf->addr, &uses);
	for (i = 0; i < n; i++) {
		if (uses[i].kind != IOL_USE_VFS || !uses[i].harmful)
			continue;
		if (first)
			more++;
		else
			first = &uses[i];
	}
	if (!first)
		return n < 0 ? n : 0;
	if (more)
		snprintf(others, sizeof(others), " (and %u more)", more);
	return iol_fail(EBUSY, "%s keeps its VFs, as %s%s: end that first", pf->name, first->what,
			others);
}

/* ---- setting ---- */

static const char *reason(const struct iol_pf *pf, int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
		return "run it as root";
	case ENOENT:
		return pf->driver[0]
			       ? "its driver makes no VFs this way: use the driver's own way, or "
				 "another driver"
			       : "it has no driver, which is what makes them: bind it to its "
				 "driver first";
	case ENOMEM:
	case ENOSPC:
		return "the firmware has left no room for their memory or their buses: switch "
		       "SR-IOV "
		       "and memory above 4 GiB on in its setup, or boot with pci=realloc, and "
		       "pci=assign-busses where buses lack";
	case ERANGE:
	case EINVAL:
		return "these are more than it can make now";
	case EBUSY:
		return "something else is changing them, or has them in use";
	default:
		return "dmesg may say why";
	}
}

static int write_count(const struct iol_pf *pf, const struct iol_host *folder, unsigned int count)
{
	char text[16];
	int rc;

	snprintf(text, sizeof(text), "%u", count);
	rc = iol_host_write(folder, text, NUMVFS);
	return rc ? iol_fail(-rc, "cannot make %u VFs of %s: %s: %s", count, pf->name,
			     strerror(-rc), reason(pf, -rc))
		  : 0;
}

static int check_there(const struct iol_host *host, const struct iol_pf *pf, unsigned int index)
{
	static const uint8_t nothing[4] = { 0xff, 0xff, 0xff, 0xff };
	uint8_t class[sizeof(nothing)];
	char text[IOL_PCI_ADDR_MAX];
	struct iol_pci_addr addr;
	int rc = iol_vf_addr(host, pf, index, &addr);

	if (rc)
		return rc;
	iol_pci_addr_format(&addr, text);
	rc = iol_host_read_bytes(host, class, sizeof(class), REG_CLASS,
				 "sys/bus/pci/devices/%s/config", text);
	if (rc == sizeof(class) && memcmp(class, nothing, sizeof(class)) != 0)
		return 0;
	return iol_fail(EIO, "%s does not answer: its configuration space %s", text,
			rc == sizeof(class) ? "reads as all ones" : "can't be read");
}

static int wait_all(const struct iol_host *host, const struct iol_pf *pf, unsigned int count,
		    unsigned int wait_ms)
{
	unsigned int index = 0, waited = 0;

	while (index < count) {
		if (!check_there(host, pf, index)) {
			index++;
		} else if (waited < wait_ms) {
			poll(NULL, 0, PAUSE_MS);
			waited += PAUSE_MS;
		} else {
			return iol_fail_more(-ETIMEDOUT,
					     "VF %u of the %u of %s did not come within %u ms, in "
					     "two tries",
					     index, count, pf->name, wait_ms);
		}
	}
	return 0;
}

/* What the kernel made may be less than what it was asked for, without a word. */
static int check_count(const struct iol_host *host, const struct iol_pf *pf, unsigned int count)
{
	unsigned int now;
	int rc = iol_vf_count_get(host, pf, &now);

	if (!rc && now != count)
		rc = iol_fail(
			EIO,
			"%u VFs were asked of %s, and %u there are: its driver makes no more, or "
			"something else changes the number too; dmesg may say more",
			count, pf->name, now);
	return rc;
}

static int make(const struct iol_host *host, const struct iol_pf *pf, const struct iol_host *folder,
		unsigned int count, unsigned int wait_ms)
{
	unsigned int now;
	int rc = iol_vf_count_get(host, pf, &now);

	if (!rc && now)
		rc = write_count(pf, folder, 0);
	if (!rc && count)
		rc = write_count(pf, folder, count);
	if (!rc)
		rc = check_count(host, pf, count);
	if (!rc && pf->is_pci)
		rc = wait_all(host, pf, count, wait_ms);
	return rc;
}

static int check_change(const struct iol_host *host, const struct iol_pf *pf, unsigned int now,
			unsigned int count)
{
	int rc = iol_may_change(host);

	if (rc)
		return rc;
	if (count > pf->total)
		return iol_fail(ERANGE, "%s can have %u VFs at most (sriov_totalvfs), not %u",
				pf->name, pf->total, count);
	return now ? iol_vf_refuse_busy(host, pf) : 0;
}

int iol_vf_count_set(const struct iol_host *host, const struct iol_pf *pf, unsigned int count,
		     unsigned int wait_ms)
{
	_cleanup_folder_ struct iol_host folder = FOLDER_CLOSED;
	unsigned int now, tries;
	int rc = iol_vf_count_get(host, pf, &now);

	if (rc || now == count)
		return rc;
	rc = check_change(host, pf, now, count);
	if (!rc)
		rc = iol_pf_folder(host, pf, &folder);
	if (rc)
		return rc;
	/* Events of VFs that come and go would meet those of the next. */
	iol_settle(host);
	rc = -ETIMEDOUT;
	for (tries = 0; tries < TRIES && rc == -ETIMEDOUT; tries++)
		rc = make(host, pf, &folder, count, wait_ms);
	iol_settle(host);
	return rc;
}

/* ---- autoprobe ---- */

int iol_vf_autoprobe_get(const struct iol_host *host, const struct iol_pf *pf, bool *on)
{
	_cleanup_folder_ struct iol_host folder = FOLDER_CLOSED;
	uint64_t value = 0;
	int rc = iol_pf_folder(host, pf, &folder);

	if (rc)
		return rc;
	rc = iol_host_read_u64(&folder, &value, AUTOPROBE);
	if (rc == -ENOENT)
		return iol_fail(EOPNOTSUPP,
				"%s has no switch for drivers of its VFs (" AUTOPROBE ")",
				pf->name);
	if (rc)
		return iol_fail(-rc, "cannot read " AUTOPROBE " of %s: %s", pf->name,
				strerror(-rc));
	*on = value != 0;
	return 0;
}

int iol_vf_autoprobe_set(const struct iol_host *host, const struct iol_pf *pf, bool on)
{
	_cleanup_folder_ struct iol_host folder = FOLDER_CLOSED;
	bool now = !on;
	int rc = iol_may_change(host);

	if (!rc)
		rc = iol_vf_autoprobe_get(host, pf, &now);
	if (!rc && now != on)
		rc = iol_pf_folder(host, pf, &folder);
	if (rc || now == on)
		return rc;
	rc = iol_host_write(&folder, on ? "1" : "0", AUTOPROBE);
	if (rc)
		return iol_fail(-rc, "cannot write %d to " AUTOPROBE " of %s: %s: %s", on, pf->name,
				strerror(-rc), reason(pf, -rc));
	rc = iol_vf_autoprobe_get(host, pf, &now);
	if (!rc && now != on)
		rc = iol_fail(EBUSY,
			      AUTOPROBE " of %s is %d, right after %d was written: something else "
					"changes it",
			      pf->name, now, on);
	return rc;
}
