/* SPDX-License-Identifier: BSD-3-Clause */
/* Features of VFIO's devices. */
#ifndef IOL_VFIO_FEATURE_H
#define IOL_VFIO_FEATURE_H

#include <iolane/vfio.h>

/**
 * feature_call() - Get or set a feature.
 * @op: VFIO_DEVICE_FEATURE_GET, _SET or _PROBE. @data: its structure, written to by a get; NULL with @len 0 for none.
 *
 * Return: 0, or a negative errno without a sentence; -ENOTTY: the device lacks it.
 */
int feature_call(const struct iol_vfio_device *dev, uint32_t op, uint16_t feature, void *data,
		 size_t len);

#endif
