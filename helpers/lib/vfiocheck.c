/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vfiocheck.h"
#include "nodes.h"
#include "strv.h"

#define HINT "Start gpuvm-vfio.service and see 'journalctl -u gpuvm-vfio.service'."

/* "0000:01:00.1 (snd_hda_intel), ..." of the endpoints that no VFIO driver has; "" if all are well. */
static char *list_strays(const IommuVerdict *v) {
        _cleanup_strv_ char **l = NULL;

        for (size_t i = 0; i < v->n_endpoints; i++) {
                const PciDevice *d = v->endpoints[i];

                if (!(d->driver && nodes_is_vfio_driver(d->driver)) &&
                    strv_extendf(&l, "%s (%s)", d->name, d->driver ?: "no driver") < 0)
                        return NULL;
        }
        return strv_join(l, ", ");
}

static int check_exclusive(const PciDevice *gpu, const IommuVerdict *v, Findings *ret) {
        _cleanup_free_ char *strays = list_strays(v);

        if (!strays)
                return -ENOMEM;
        if (*strays)
                return findings_add(ret, FINDING_FAIL, "vfio", gpu->name, HINT,
                                    "GPU %s is exclusive, but not on VFIO: %s%s%s", gpu->name, strays,
                                    v->viable ? "" : "; ", v->viable ? "" : strempty(v->blocker));
        if (!v->viable)
                return findings_add(ret, FINDING_FAIL, "vfio", gpu->name, iommu_remedy(v),
                                    "GPU %s cannot be given to a VM: %s", gpu->name, strempty(v->blocker));
        return findings_add(ret, FINDING_OK, "vfio", gpu->name, NULL,
                            "GPU %s is on %s with all %zu functions of its IOMMU group", gpu->name,
                            strna(gpu->driver), v->n_endpoints);
}

static int check_flexible(const PciDevice *gpu, const IommuVerdict *v, Findings *ret) {
        if (!v->viable)
                return findings_add(ret, FINDING_WARN, "vfio", gpu->name, iommu_remedy(v),
                                    "GPU %s cannot be given to a VM: %s", gpu->name, strempty(v->blocker));
        return findings_add(ret, FINDING_OK, "vfio", gpu->name, NULL,
                            "GPU %s can be given to a VM (now on %s)", gpu->name, gpu->driver ?: "no driver");
}

int vfiocheck_gpu(const Conf *c, const PciBus *bus, const KeepList *keep, const PciDevice *gpu,
                  Findings *ret) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        const char *path = strempty(gpu->path);
        int r;

        r = iommu_group_check(bus, gpu, keep->items, keep->n, conf_gpu_accept_siblings(c, gpu->name, path),
                              &v);
        if (r == -ENODEV) {
                r = findings_add(ret, FINDING_FAIL, "vfio", gpu->name, "Start gpuvm-bootstrap.target.",
                                 "GPU %s is in no IOMMU group", gpu->name);
                return MIN(r, 0);
        }
        if (r < 0)
                return r;
        r = conf_gpu_mode(c, gpu->name, path) == GPU_EXCLUSIVE ? check_exclusive(gpu, &v, ret)
                                                               : check_flexible(gpu, &v, ret);
        return r < 0 ? r : v.viable;
}

int vfiocheck_add(int root, const Conf *c, const PciBus *bus, Findings *ret) {
        _cleanup_(keep_done) KeepList keep = {};
        size_t n = 0;
        int r;

        if (!c->vfio)
                return findings_add(ret, FINDING_SKIP, "vfio", NULL, NULL, "Vfio=no");
        r = keep_find(root, bus, &keep);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                r = findings_add(ret, FINDING_WARN, "vfio", NULL, NULL,
                                 "What the host itself needs could not be found out: %s", strerror(-r));
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < bus->n; i++) {
                if (!pci_is_nvidia_gpu(&bus->devices[i]))
                        continue;
                r = vfiocheck_gpu(c, bus, &keep, &bus->devices[i], ret);
                if (r < 0)
                        return r;
                n++;
        }
        return n > 0 ? 0
                     : findings_add(ret, FINDING_WARN, "vfio", NULL, "See 'lspci -nn'.",
                                    "There is no NVIDIA GPU in this machine");
}
