/* SPDX-License-Identifier: BSD-3-Clause */
/* What DPDK's environment is asked here. */
#ifndef IOL_VHOST_USER_NET_EAL_H
#define IOL_VHOST_USER_NET_EAL_H

/** iol_eal_cpu() - The CPU that an lcore is bound to, or -1 when it may run on several. */
int iol_eal_cpu(unsigned int lcore);

/** iol_eal_listen() - From now on remember what DPDK logs, for iol_eal_words(). */
void iol_eal_listen(void);

/**
 * iol_eal_words() - The first warning or error of DPDK's since iol_eal_listen(), without its prefix: mostly
 * why it failed. @otherwise for none. Valid until iol_eal_listen(); one caller at a time.
 */
const char *iol_eal_words(const char *otherwise);

#endif
