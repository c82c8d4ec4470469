/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtual functions: what a physical function (PF) can make, how its VFs are set, and a host brought to what somebody
 * declared it shall be, and back (PCIe 6.0, 9; rtnetlink's IFLA_VF_*; NVMe 2.0, 8.2.6).
 *
 * A VF is a PF and an index. Its address and its interface's name are looked up when they are needed: they move.
 *
 * Threads: as of iolane/vfio.h. Each function returns 0 or a count, or a negative errno with the sentence set
 * (iol_error()).
 */
#ifndef IOLANE_SRIOV_H
#define IOLANE_SRIOV_H

#include <iolane/vfio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- physical functions ---- */

#define IOL_VF_BARS 6

/**
 * struct iol_pf - What can make VFs.
 * @name: of the device in sysfs: a PCI address, or of another bus that has VFs ("netdevsim1").
 * @is_pci: @addr is its address, and the facts of PCI (from @initial to @vf_bar) are there.
 * @driver: empty for none. @netdev, @nvme: its interface and controller, or empty.
 * @total: VFs that there may be; UINT_MAX when only the kernel knows. @enabled: that there are.
 * @initial, @offset, @stride, @vf_device: of the SR-IOV capability (PCIe 6.0, 9.3.3).
 * @ari: its VFs may lie on more function numbers than 8.
 * @autoprobe: the kernel gives new VFs to a driver.
 * @numa_node: -1 for none.
 * @vf_bar: bytes of each BAR of one VF.
 */
struct iol_pf {
	char name[IOL_NAME_MAX];
	bool is_pci;
	struct iol_pci_addr addr;
	char driver[IOL_NAME_MAX], netdev[IOL_NAME_MAX], nvme[IOL_NAME_MAX];
	unsigned int total, enabled, initial, offset, stride;
	uint16_t vf_device;
	bool ari, autoprobe;
	int numa_node;
	uint64_t vf_bar[IOL_VF_BARS];
};

/**
 * iol_pf_find() - A PF by what iol_pci_find() takes, or by the name of a device or an interface of another bus.
 *
 * Return: 0; -ENODEV: there is no such device; -EOPNOTSUPP: it makes no VFs.
 */
int iol_pf_find(const struct iol_host *host, const char *name, struct iol_pf *pf);

/**
 * iol_pf_list() - All PFs of a host: those of PCI by address, then others by name.
 * @list: the caller frees it; NULL when there is none.
 *
 * Return: how many.
 */
int iol_pf_list(const struct iol_host *host, struct iol_pf **list);

/**
 * iol_vf_addr() - Where VF @index of a PF of PCI is, by the PF's offset and stride, which sysfs has to confirm.
 *
 * Return: 0; -ENODEV: there is no VF of this index; -EPROTO: sysfs says another address.
 */
int iol_vf_addr(const struct iol_host *host, const struct iol_pf *pf, unsigned int index,
		struct iol_pci_addr *addr);

/**
 * iol_vf_name_parse() - The name of a VF, "eth3/vf2" or "0000:01:00.0/vf2", in its two parts.
 * @pf: what iol_pf_find() takes.
 */
int iol_vf_name_parse(const char *name, char pf[IOL_NAME_MAX], unsigned int *index);

/* ---- a NIC's VFs ---- */

/** enum iol_vf_setting - What the PF's driver keeps for a VF. */
enum iol_vf_setting {
	IOL_VF_MAC,
	IOL_VF_VLAN, /* with priority and protocol */
	IOL_VF_SPOOFCHK,
	IOL_VF_TRUST,
	IOL_VF_LINK,
	IOL_VF_RATE,
	IOL_VF_RSS_QUERY,
	IOL_VF_SETTINGS,
};

enum iol_vf_link { IOL_VF_LINK_AUTO, IOL_VF_LINK_ENABLE, IOL_VF_LINK_DISABLE };

/**
 * struct iol_vf_net - Settings of one VF.
 * @has: a bit (1u << enum iol_vf_setting) for each that is known, or wanted.
 * @mac: all zero: the VF may choose.
 * @link: "auto" is also what the kernel says for a driver that has no such setting.
 * @vlan: 0 for none, else 1 to 4094; @qos: its priority, 0 to 7, also without a VLAN (a priority tag);
 *        @vlan_proto: 0x8100 (802.1Q) or 0x88a8 (802.1ad).
 * @min_rate, @max_rate: Mbit/s; 0: no bound.
 */
struct iol_vf_net {
	unsigned int has;
	uint8_t mac[6], qos;
	uint16_t vlan, vlan_proto;
	bool spoofchk, trust, rss_query;
	enum iol_vf_link link;
	uint32_t min_rate, max_rate;
};

#define IOL_VF_VALUE_MAX 48

/** iol_vf_setting_name() - As it is called everywhere: "mac", "vlan", "spoofchk", "trust", "link", "rate", "rss_query". */
const char *iol_vf_setting_name(enum iol_vf_setting setting);

/** iol_vf_setting_find() - The setting of a name. Return: it; -ENOENT: there is none, and the sentence says which there are. */
int iol_vf_setting_find(const char *name);

/**
 * iol_vf_setting_parse() - Read one setting's value: "02:00:00:00:00:03"; a VLAN as "100", "100 qos 3" or
 * "100 qos 3 802.1ad", 0 for none, "0 qos 3" for a priority alone; "on" or "off"; "auto", "enable" or "disable"; a rate as "1000" (at most) or "100-1000".
 *
 * Return: 0, and it is noted in @net and its @has; -EINVAL: the sentence says what was expected.
 */
int iol_vf_setting_parse(enum iol_vf_setting setting, const char *text, struct iol_vf_net *net);

/**
 * iol_vf_vlan_parse() - A VLAN by its words apart, as files and commands have them.
 * @vlan, @qos, @proto: NULL for those that are not said.
 *
 * Return: 0, also when none is said; -EINVAL: @qos or @proto without @vlan, or as of iol_vf_setting_parse().
 */
int iol_vf_vlan_parse(const char *vlan, const char *qos, const char *proto, struct iol_vf_net *net);

/** iol_vf_setting_format() - The one way to write it, which iol_vf_setting_parse() reads. Return: @buf. */
const char *iol_vf_setting_format(enum iol_vf_setting setting, const struct iol_vf_net *net,
				  char buf[IOL_VF_VALUE_MAX]);

/**
 * iol_vf_net_list() - The settings of all VFs of a NIC, by index, in one question to the kernel.
 * @list: the caller frees it; NULL when there are none. What a driver does not tell is not in @has; nor is anything when
 *        there are more VFs than the kernel puts into one answer (today's do so with any number).
 *
 * Return: how many; -EOPNOTSUPP: the PF has no network interface; -ENODEV: there is none of this name any more, or it is
 * another device's; -EPROTO: the kernel said what is not understood.
 */
int iol_vf_net_list(const struct iol_host *host, const struct iol_pf *pf, struct iol_vf_net **list);

/** struct iol_vf_stats - Counts of a VF's packets, as the PF's driver tells them; 0 where it tells nothing. */
struct iol_vf_stats {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, broadcast, multicast, rx_dropped,
		tx_dropped;
};

/**
 * iol_vf_stats_list() - Of all VFs of a NIC, by index.
 * @list: the caller frees it.
 *
 * Return: how many; -EOPNOTSUPP: there is no interface, or its driver says nothing of VFs; -ENODATA: all counts are 0, so
 * that nothing has passed or the driver does not count, which the kernel tells the same; as of iol_vf_net_list().
 */
int iol_vf_stats_list(const struct iol_host *host, const struct iol_pf *pf,
		      struct iol_vf_stats **list);

/* ---- switchdev (devlink) ---- */

/** iol_pf_eswitch() - "legacy" or "switchdev"; empty where the driver has no such mode. */
int iol_pf_eswitch(const struct iol_host *host, const struct iol_pf *pf, char mode[IOL_NAME_MAX]);

/** struct iol_representor - The port of the NIC's switch that VF @index is behind; @netdev is empty while it has none. */
struct iol_representor {
	unsigned int index;
	char netdev[IOL_NAME_MAX];
};

/**
 * iol_pf_representors() - Those of a NIC in switchdev mode, by index, of this host's VFs (a SmartNIC has other hosts', too).
 * @list: the caller frees it; NULL when there are none.
 *
 * Return: how many.
 */
int iol_pf_representors(const struct iol_host *host, const struct iol_pf *pf,
			struct iol_representor **list);

/* ---- an NVMe controller's VFs (NVMe 2.0, 8.2.6 and 5.24) ---- */

/**
 * struct iol_vf_nvme - The secondary controller that is a VF.
 * @id: the controller's. @online: it can be used.
 * @queues, @interrupts: flexible resources that are assigned to it.
 */
struct iol_vf_nvme {
	uint16_t id;
	bool online;
	unsigned int queues, interrupts;
};

/**
 * iol_vf_nvme_list() - Of all VFs that an NVMe controller may have, by index.
 * @list: the caller frees it.
 *
 * Return: how many; -EOPNOTSUPP: the PF is no NVMe controller, or has no secondary ones.
 */
int iol_vf_nvme_list(const struct iol_host *host, const struct iol_pf *pf,
		     struct iol_vf_nvme **list);

/* ---- a declared state ---- */

/**
 * struct iol_want_vf - What VFs @first to @last of a PF shall be. What is not said stays as it is.
 * @net: the settings that are said (its @has).
 * @driver: who shall have them; "none" for no driver; empty: not said.
 * @owner: "UID:GID:MODE" of their nodes in /dev/vfio; empty: not said.
 * @queues, @interrupts: of an NVMe controller's VF, which is brought online with them; -1: not said.
 * @label: a name to find them by; empty: not said.
 */
struct iol_want_vf {
	unsigned int first, last;
	struct iol_vf_net net;
	char driver[IOL_NAME_MAX], owner[IOL_NAME_MAX], label[IOL_NAME_MAX];
	int queues, interrupts;
};

/**
 * struct iol_want_pf - What a PF shall be.
 * @pf: without a name when it was not found yet, which iol_state_check() takes and iol_apply() refuses.
 * @vfs: how many VFs; -1: as many as there are.
 * @eswitch: "legacy" or "switchdev"; empty: not said.
 * @vf: @num_vf ranges, which do not overlap.
 */
struct iol_want_pf {
	struct iol_pf pf;
	int vfs;
	char eswitch[IOL_NAME_MAX];
	struct iol_want_vf *vf;
	unsigned int num_vf;
};

/** struct iol_state - What a host's PFs shall be; those that are not in it stay as they are. */
struct iol_state {
	struct iol_want_pf *pf;
	unsigned int num_pf;
};

/**
 * struct iol_state_fault - Where a state is wrong.
 * @pf: number of the PF in it. @vf: number of the range; -1: the PF itself.
 * @field: as in the structures: "vfs", "mac".
 */
struct iol_state_fault {
	unsigned int pf;
	int vf;
	const char *field;
};

/**
 * iol_state_check() - Whether a state can be: PFs named twice, VFs that are too many, are not there or overlap, a MAC
 * for several VFs.
 * @fault: NULL if not wanted.
 *
 * Return: 0; -EINVAL.
 */
int iol_state_check(const struct iol_state *state, struct iol_state_fault *fault);

/**
 * iol_apply() - Bring a host to a state, or on failure leave it as it was.
 *
 * What differs becomes steps, each noted in the journal ahead (struct iol_step), in an order in which no VF comes by a
 * driver with settings of before. Settings are read back at the end. It is refused while a VF that would go, or that
 * would change its driver, is in use (iol_pci_uses()), and while an earlier change is left in the middle.
 *
 * Return: how many steps were made, 0 when all was so already; others as of iol_bind().
 */
int iol_apply(const struct iol_host *host, const struct iol_state *state,
	      const struct iol_change_opts *opts);

/**
 * iol_vf_labels() - The labels of a PF's VFs, by index, for the caller to free.
 * @state_dir: NULL for /run/iolane.
 * @count: how many VFs. A VF without one has an empty text.
 */
int iol_vf_labels(const struct iol_host *host, const struct iol_pf *pf, const char *state_dir,
		  unsigned int count, char (**labels)[IOL_NAME_MAX]);

/* ---- leases: who has which VF ---- */

/** iol_vf_holders() - Who has leased a PF's VFs, as of iol_vf_labels(); what is longer is cut off. */
int iol_vf_holders(const struct iol_host *host, const struct iol_pf *pf, const char *state_dir,
		   unsigned int count, char (**holders)[IOL_NAME_MAX]);

/**
 * iol_vf_refuse_leased() - Whether a function is a VF that somebody has leased.
 * @state_dir: NULL for /run/iolane.
 *
 * Return: 0: it is not; -EBUSY: the sentence says which VF and by whom.
 */
int iol_vf_refuse_leased(const struct iol_host *host, const struct iol_pci_addr *addr,
			 const char *state_dir);

/**
 * struct iol_lease - A VF that was handed out.
 * @vf: "0000:01:00.0/vf3". @addr: where it is, if it is a function of PCI (@is_pci), in IOMMU group @iommu_group.
 */
struct iol_lease {
	char vf[IOL_NAME_MAX];
	bool is_pci;
	struct iol_pci_addr addr;
	int iommu_group;
};

/**
 * iol_vf_lease() - Hand out a VF that nobody has: reset, and with the settings that it has now kept for its return.
 * @from: a PF, a VF, or a label.
 * @holder: who gets it, for people.
 *
 * Callers at the same time never get the same VF.
 *
 * Return: 0; -EAGAIN: all that there are have somebody; -ENODEV: there is no such PF or label; -EBUSY: a change was left
 * in the middle, so VFs may be half made.
 */
int iol_vf_lease(const struct iol_host *host, const char *from, const char *holder,
		 const char *state_dir, struct iol_lease *lease);

/**
 * iol_vf_release() - Take a VF back: reset, and set as it was when it was handed out.
 *
 * Return: 0; -ENOENT: nobody has it; -EBUSY: a process has it open still, which the sentence names.
 */
int iol_vf_release(const struct iol_host *host, const char *vf, const char *state_dir);

/**
 * iol_apply_undo() - iol_undo(), also of what iol_apply() did.
 *
 * Return: as of iol_undo(); also -EBUSY: a VF that would go or change is in use, or was leased after the change.
 */
int iol_apply_undo(const struct iol_host *host, const struct iol_change_opts *opts);

#ifdef __cplusplus
}
#endif
#endif
