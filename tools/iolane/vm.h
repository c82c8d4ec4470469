/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane vm": devices for the VMMs that people run. */
#ifndef TOOLS_IOLANE_VM_H
#define TOOLS_IOLANE_VM_H

#include "device.h"

#include <iolane/vmm_handover.h>

/* QEMU answers what does not wait for the guest within this. */
#define VM_QMP_MS 10000

extern const struct verb vm_args, vm_attach, vm_detach, vm_doctor;

/* The options of all verbs, and their help. */
#define VM_OPTS                                                                                    \
	{ "json", NULL, VERB_JSON },                                                               \
	{                                                                                          \
		"help", NULL, VERB_HELP, 'h'                                                       \
	}

/* clang-format off */
#define VM_OPTS_HELP                                                                             \
	"  --json          print JSON\n"                                                         \
	"  --help          this text\n"

/* Those that speak to a QEMU. */
#define VM_QMP_OPTS(id)                         \
	{ "qmp", "SOCKET", (id) },              \
	{ "timeout", "TIME", VERB_TIMEOUT }

#define VM_QMP_HELP                                                                              \
	"  --qmp=SOCKET    QEMU's monitor: its option -qmp unix:SOCKET,server=on,wait=off\n"     \
	"  --timeout=TIME  wait so long for the guest (default 60s)\n"

/* What names devices, with VM_DEVICE among a verb's options. */
enum { VM_VF = VERB_OWN, VM_BLK, VM_NET, VM_ASK, VM_DEVICE_OWN };

#define VM_DEVICE_OPTS(several)                                \
	{ "vf", "DEV", VM_VF, .repeat = (several) },           \
	{ "blk", "SOCKET", VM_BLK, .repeat = (several) },      \
	{ "net", "SOCKET", VM_NET, .repeat = (several) },      \
	{ "ask", NULL, VM_ASK },                               \
	{ "force", NULL, VERB_FORCE }

#define VM_DEVICE_HELP                                                                           \
	"  --vf=DEV        a function: an address, PF/vf0, an interface, or a VF's label\n"      \
	"  --blk=SOCKET    a disk, by the socket of its back end\n"                              \
	"  --net=SOCKET    a NIC, likewise; each with ,KEY=VALUE behind it: id; queues,\n"   \
	"                  packed, listen and control of sockets; mac of a NIC;\n"               \
	"                  standby of a function: the id of the NIC, with its address,\n"        \
	"                  that the guest uses while the function is away\n"                     \
	"  --ask           connect to back ends that no control socket tells of, and ask\n"      \
	"  --force         whatever is wrong with a device, only say it\n"
/* clang-format on */

/**
 * struct vm_wish - A device as somebody asked for it.
 * @name: as it was given. @control: the control socket of its back end, or NULL.
 * @device: what comes of it; its texts are in @id, @where, @mac and @standby.
 * @packed_said, @id_said: the command line says whether rings may be packed, and the id.
 */
struct vm_wish {
	char *text;
	const char *name;
	char *control, *standby;
	struct iol_vmm_device device;
	char id[48], where[128], mac[18];
	bool packed_said, id_said;
};

#define VM_WISHES_MAX 24

struct vm_wishes {
	struct vm_wish wish[VM_WISHES_MAX];
	unsigned int num;
	bool ask;
};

/** vm_device_option() - Take one of VM_DEVICE_OPTS: 0, or a negative errno with the sentence set. */
int vm_device_option(int id, const char *value);

/** vm_wishes() - What the options say. */
struct vm_wishes *vm_wishes(void);

/**
 * vm_devices_check() - Find the devices that were asked for, and see that they can be handed over.
 * @cpus: of the guest, or 0: queues that nobody gave a number for are as many, if the back end has them.
 * @force: what is wrong is said, and no more.
 *
 * Return: PROG_OK, or the exit status after saying what is wrong with each.
 */
int vm_devices_check(const struct iol_host *host, unsigned int cpus, bool force);

/** vm_check_socket() - One of them, a back end's socket: 0, or a negative errno with the sentence set. */
int vm_check_socket(struct vm_wish *w, unsigned int cpus, bool ask);

/** vm_note() - Say a sentence that is no failure. For iol_qemu.note, too. */
void vm_note(void *ctx, const char *sentence);

/** vm_qemu_open() - An installed QEMU, asked when something of it is to be known. PROG_OK or the exit status. */
int vm_qemu_open(const char *program, struct iol_qemu *qemu);
void vm_qemu_close(struct iol_qemu *qemu);

#endif
