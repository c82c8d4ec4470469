/* SPDX-License-Identifier: BSD-3-Clause */
/* The virtual IOMMU's table, as far as one device asks for it. */
#include "vmm-glue/frontend.h"

#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FEATURE_IOMMU (1ull << VIRTIO_F_ACCESS_PLATFORM)

static struct frontend_mapping *find(const struct iol_frontend *fe, uint64_t iova)
{
	unsigned int i;

	for (i = 0; i < fe->nmappings; i++)
		if (iova >= fe->mappings[i].iova &&
		    iova - fe->mappings[i].iova < fe->mappings[i].size)
			return &fe->mappings[i];
	return NULL;
}

void *iol_fe_host(const struct iol_frontend *fe, uint64_t addr, uint64_t len)
{
	const struct frontend_mapping *m;

	if (!fe->memory)
		return NULL;
	if (fe->features & FEATURE_IOMMU) {
		m = find(fe, addr);
		if (!m || len > m->size - (addr - m->iova))
			return NULL;
		addr = m->gpa + (addr - m->iova);
	}
	return iol_guest_memory_host(fe->memory, addr, len);
}

static int push(struct iol_frontend *fe, const struct frontend_mapping *m)
{
	void *host = fe->memory ? iol_guest_memory_host(fe->memory, m->gpa, m->size) : NULL;
	struct vhost_iotlb_msg msg = { .iova = m->iova,
				       .size = m->size,
				       .uaddr = (uintptr_t)host,
				       .perm = (__u8)m->perm,
				       .type = VHOST_IOTLB_UPDATE };

	if (!host)
		return iol_fail(EFAULT, "IOVA 0x%llx maps to what is not guest memory",
				(unsigned long long)m->iova);
	return iol_fe_send_iotlb(fe, &msg);
}

int iol_fe_iotlb_miss(struct iol_frontend *fe, const struct vhost_iotlb_msg *miss)
{
	const struct frontend_mapping *m;
	int rc;

	if (miss->type != VHOST_IOTLB_MISS)
		return iol_fail(EPROTO, "the back end sent an IOTLB_MSG of type %u, not a miss",
				miss->type);
	m = find(fe, miss->iova);
	if (!m || (miss->perm & ~m->perm)) {
		fe->unknown_misses++;
		return iol_fail(ENOENT, "nothing is mapped at IOVA 0x%llx for access %u",
				(unsigned long long)miss->iova, miss->perm);
	}
	rc = push(fe, m);
	if (!rc)
		fe->misses++;
	return rc;
}

int iol_frontend_iommu_map(struct iol_frontend *fe, uint64_t iova, uint64_t size, uint64_t gpa,
			   unsigned int perm)
{
	struct frontend_mapping *m;
	unsigned int i;

	if (!size || iova > UINT64_MAX - size || gpa > UINT64_MAX - size || !perm ||
	    perm > (IOL_IOMMU_READ | IOL_IOMMU_WRITE))
		return iol_fail(EINVAL, "an IOMMU mapping at 0x%llx of %llu bytes makes no sense",
				(unsigned long long)iova, (unsigned long long)size);
	for (i = 0; i < fe->nmappings; i++)
		if (iova < fe->mappings[i].iova + fe->mappings[i].size &&
		    fe->mappings[i].iova < iova + size)
			return iol_fail(EEXIST, "IOVA 0x%llx is mapped already",
					(unsigned long long)iova);
	m = reallocarray(fe->mappings, fe->nmappings + 1, sizeof(*m));
	if (!m)
		return iol_fail(ENOMEM, "out of memory for IOMMU mappings");
	fe->mappings = m;
	m[fe->nmappings++] =
		(struct frontend_mapping){ .iova = iova, .size = size, .gpa = gpa, .perm = perm };
	return 0;
}

static struct frontend_mapping *find_start(struct iol_frontend *fe, uint64_t iova)
{
	struct frontend_mapping *m = find(fe, iova);

	if (m && m->iova == iova)
		return m;
	iol_fail(ENOENT, "no IOMMU mapping starts at 0x%llx", (unsigned long long)iova);
	return NULL;
}

int iol_frontend_iommu_push(struct iol_frontend *fe, uint64_t iova)
{
	const struct frontend_mapping *m = find_start(fe, iova);
	int rc;

	if (!m)
		return -ENOENT;
	rc = push(fe, m);
	return rc < 0 ? rc : iol_fe_wait_iotlb(fe);
}

int iol_frontend_iommu_unmap(struct iol_frontend *fe, uint64_t iova)
{
	struct frontend_mapping *m = find_start(fe, iova);
	struct vhost_iotlb_msg msg = { .iova = iova, .type = VHOST_IOTLB_INVALIDATE };
	int rc;

	if (!m)
		return -ENOENT;
	msg.size = m->size;
	*m = fe->mappings[--fe->nmappings];
	rc = iol_fe_send_iotlb(fe, &msg);
	return rc < 0 ? rc : iol_fe_wait_iotlb(fe);
}

void iol_frontend_iommu_misses(const struct iol_frontend *fe, uint64_t *answered, uint64_t *unknown)
{
	*answered = fe->misses;
	*unknown = fe->unknown_misses;
}
