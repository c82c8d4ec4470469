/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an NVMe controller gives to those that are its VFs (NVMe 2.0, 8.2.6): queues and interrupts out of a pool, while
 * they are offline; with two queues and an interrupt or more they can go online.
 */
#ifndef IOL_SRIOV_NVME_H
#define IOL_SRIOV_NVME_H

#include <iolane/sriov.h>

#define NVME_DATA_SIZE 4096

/** struct iol_nvme_pool - A kind of resources (NVMe 2.0, 5.17.2.15). */
struct iol_nvme_pool {
	unsigned int total;    /* that can be given away */
	unsigned int assigned; /* that are */
	unsigned int most;     /* that one VF can have */
	unsigned int step;     /* an amount should be a multiple of this; 0: any will do */
};

/** struct iol_nvme_caps - What there is to give away; zero of a kind that the controller does not give away. */
struct iol_nvme_caps {
	uint16_t id;
	struct iol_nvme_pool queues, interrupts;
};

/**
 * iol_nvme_caps_read() - Take the primary controller's capabilities apart. They are the device's words.
 *
 * Return: 0; -EPROTO: they contradict themselves.
 */
int iol_nvme_caps_read(const uint8_t data[NVME_DATA_SIZE], struct iol_nvme_caps *caps);

/** struct iol_nvme_list - Secondary controllers by VF, of lists that are read one after the other. */
struct iol_nvme_list {
	struct iol_vf_nvme *vfs;
	size_t count, room; /* of them; those that were not told of yet have the id NVME_NO_ID */
	uint32_t next;      /* ids from here on are asked for next */
	bool more;
};

#define NVME_NO_ID 0xffff

/**
 * iol_nvme_list_read() - Add one secondary controller list (NVMe 2.0, 5.17.2.16), that begins at @list's next. It is the
 * device's word: ids have to ascend, and a VF to be told of once.
 *
 * Return: 0, and @list's more says whether to ask again; -EPROTO: it is no such list; -ENOMEM.
 */
int iol_nvme_list_read(const uint8_t data[NVME_DATA_SIZE], struct iol_nvme_list *list);

/** iol_nvme_list_check() - At the end: -EPROTO when there is a VF that was not told of. */
int iol_nvme_list_check(const struct iol_nvme_list *list);

/** iol_vf_nvme_caps() - What an NVMe controller has to give away. -EOPNOTSUPP: nothing. */
int iol_vf_nvme_caps(const struct iol_host *host, const struct iol_pf *pf,
		     struct iol_nvme_caps *caps);

/**
 * iol_vf_nvme_set() - Give VF @index as many queues and interrupts as @want says, and bring it online or offline; @want's
 * id is not looked at. All at once, as a controller that goes offline gives back what it had (NVMe 2.0, 5.26): it
 * does while its resources change, which ends all that it does.
 *
 * Return: 0, also when it is so; -ERANGE: the controller does not have them, and the sentence says what it has; -EINVAL:
 * it can't be online with so few; -ENODEV: there is no VF of this index; others. After a failure it may be offline and
 * without resources.
 */
int iol_vf_nvme_set(const struct iol_host *host, const struct iol_pf *pf, unsigned int index,
		    const struct iol_vf_nvme *want);

#endif
