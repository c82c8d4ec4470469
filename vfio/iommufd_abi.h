/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What Debian 12's kernel headers lack: iommufd, and the calls that tie VFIO's device nodes to it. Layouts and numbers are the
 * kernel's ABI (Documentation/userspace-api/iommufd.rst); names are prefixed, so that a newer header may be there, too.
 */
#ifndef IOL_VFIO_IOMMUFD_ABI_H
#define IOL_VFIO_IOMMUFD_ABI_H

#include <linux/ioctl.h>
#include <linux/vfio.h>
#include <stdint.h>

#define ABI_IOMMUFD(nr) _IO(';', (nr))

struct abi_destroy {
	uint32_t size, id;
};
#define ABI_IOMMU_DESTROY ABI_IOMMUFD(0x80)

struct abi_ioas_alloc {
	uint32_t size, flags, out_ioas_id;
};
#define ABI_IOMMU_IOAS_ALLOC ABI_IOMMUFD(0x81)

struct abi_iova_range {
	uint64_t first, last;
};

/* @num_iovas: room in @allowed_iovas; comes back as how many there are (EMSGSIZE: more than there was room). */
struct abi_ioas_iova_ranges {
	uint32_t size, ioas_id, num_iovas, reserved;
	uint64_t allowed_iovas, out_iova_alignment;
};
#define ABI_IOMMU_IOAS_IOVA_RANGES ABI_IOMMUFD(0x84)

struct abi_ioas_map {
	uint32_t size, flags, ioas_id, reserved;
	uint64_t user_va, length, iova;
};
#define ABI_IOMMU_IOAS_MAP ABI_IOMMUFD(0x85)
#define ABI_MAP_FIXED_IOVA (1u << 0)
#define ABI_MAP_WRITEABLE  (1u << 1)
#define ABI_MAP_READABLE   (1u << 2)

struct abi_ioas_unmap {
	uint32_t size, ioas_id;
	uint64_t iova, length;
};
#define ABI_IOMMU_IOAS_UNMAP ABI_IOMMUFD(0x86)

/* Of Linux 6.7; later kernels have more behind it. @pt_id: of the IOAS that its mappings come from. */
struct abi_hwpt_alloc {
	uint32_t size, flags, dev_id, pt_id, out_hwpt_id, reserved, data_type, data_len;
	uint64_t data_uptr;
};
#define ABI_IOMMU_HWPT_ALLOC          ABI_IOMMUFD(0x89)
#define ABI_HWPT_ALLOC_DIRTY_TRACKING (1u << 1)

/* @out_capabilities: a kernel before 6.7 leaves it as it was. */
struct abi_hw_info {
	uint32_t size, flags, dev_id, data_len;
	uint64_t data_uptr;
	uint32_t out_data_type, reserved;
	uint64_t out_capabilities;
};
#define ABI_IOMMU_GET_HW_INFO     ABI_IOMMUFD(0x8a)
#define ABI_HW_CAP_DIRTY_TRACKING (1u << 0)

struct abi_hwpt_set_dirty_tracking {
	uint32_t size, flags, hwpt_id, reserved;
};
#define ABI_IOMMU_HWPT_SET_DIRTY_TRACKING ABI_IOMMUFD(0x8b)
#define ABI_DIRTY_TRACKING_ENABLE         (1u << 0)

/* @iova, @length: mapped throughout. @data: a bit for each page; set ones stay so. */
struct abi_hwpt_get_dirty_bitmap {
	uint32_t size, hwpt_id, flags, reserved;
	uint64_t iova, length, page_size, data;
};
#define ABI_IOMMU_HWPT_GET_DIRTY_BITMAP ABI_IOMMUFD(0x8c)
#define ABI_GET_DIRTY_BITMAP_NO_CLEAR   (1u << 0)

struct abi_bind_iommufd {
	uint32_t argsz, flags;
	int32_t iommufd;
	uint32_t out_devid;
};
#define ABI_VFIO_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)

struct abi_attach_pt {
	uint32_t argsz, flags, pt_id;
};
#define ABI_VFIO_ATTACH_PT _IO(VFIO_TYPE, VFIO_BASE + 19)

/* struct vfio_pci_hot_reset_info.flags: devices are told by their number in the iommufd, not by group. */
#define ABI_HOT_RESET_DEV_ID (1u << 0)
#define ABI_DEVID_NOT_OWNED  UINT32_MAX

#endif
