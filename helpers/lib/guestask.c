/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guestask.h"
#include "fs.h"
#include "hostdevs.h"
#include "pci.h"
#include "virtagent.h"

enum { SMI_SEC = 20 };

/* What went wrong with the guest's agent, in libvirt's words, which may be the agent's. */
static int say_why(Virt *v, int error, char **ret) {
        const char *said = virt_message(v);

        return guestcheck_excerpt(isempty(said) ? strerror(-error) : said, ret);
}

/* The GPU's ids, if it is one. Returns 1, 0 if it is something else, or -errno. */
static int identify(int root, const char *name, GuestGpu *g) {
        _cleanup_close_ int all = root < 0 ? root : pci_open(root);
        _cleanup_(pci_device_done) PciDevice d = {};
        int r = all < 0 ? all : bdf_parse(name, &d.bdf);

        if (r >= 0)
                r = pci_read_brief(root, all, &d);
        if (r <= 0)
                return r < 0 ? r : -ENODEV;
        g->vendor = d.vendor;
        g->device = d.device;
        return pci_is_nvidia_gpu(&d);
}

static int add_gpu(int root, const char *name, bool attached, bool certain, GuestFacts *f) {
        GuestGpu g = { .attached = attached }, *l;
        int r = identify(root, name, &g);

        if (r == 0 || (r < 0 && !certain))
                return 0;
        (void) snprintf(g.name, sizeof(g.name), "%s", name);
        l = reallocarray(f->gpus, f->n_gpus + 1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        f->gpus = l;
        f->gpus[f->n_gpus++] = g;
        return 0;
}

/* Those that it has now, and those that it should have. */
static int find_gpus(Virt *v, int root, const Metadata *m, GuestFacts *f) {
        _cleanup_strv_ char **functions = NULL;
        _cleanup_free_ char *xml = NULL;
        int r;

        r = virtvm_xml_now(v, f->name, &xml);
        if (r >= 0)
                r = hostdevs_parse(xml, &functions);
        STRV_FOREACH(name, functions)
                if (r >= 0)
                        r = add_gpu(root, *name, true, strv_contains(m->gpus, *name), f);
        STRV_FOREACH(name, m->gpus)
                if (r >= 0 && !strv_contains(functions, *name))
                        r = add_gpu(root, *name, false, true, f);
        return r;
}

static int look_at_pci(Virt *v, GuestFacts *f) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (!f->agent)
                return str_printf(&f->pci_error, "no agent answers");
        r = virtagent_read(v, f->name, "/proc/bus/pci/devices", &text);
        if (r < 0)
                return say_why(v, r, &f->pci_error);
        return guestcheck_parse_pci(text, &f->pci, &f->n_pci);
}

static bool has_nvidia_driver(const GuestFacts *f) {
        for (size_t i = 0; i < f->n_pci; i++)
                if (streq(f->pci[i].driver, "nvidia"))
                        return true;
        return false;
}

void guestask_smi(Virt *v, GuestFacts *f) {
        static const char *const argv[] = { "nvidia-smi", "-L", NULL };

        if (!f->agent || !has_nvidia_driver(f))
                return;
        f->smi_status = virtagent_run(v, f->name, argv, SMI_SEC * USEC_PER_SEC, &f->smi_text);
        f->smi = f->smi_status >= 0 || f->smi_status == -ETIMEDOUT;
}

void guestask_init(Virt *v, GuestFacts *f) {
        _cleanup_free_ char *text = NULL;

        if (virtagent_read(v, f->name, "/run/cloud-init/status.json", &text) < 0 ||
            guestcheck_parse_init(text, &f->init, &f->init_text) < 0)
                f->init = GUEST_INIT_UNKNOWN;
}

int guestask_agent(Virt *v, GuestFacts *f) {
        int r = virtagent_ping(v, f->name);

        f->agent = r >= 0;
        return r < 0 ? say_why(v, r, &f->agent_error) : 0;
}

int guestask_gpus(Virt *v, int root, const Metadata *m, GuestFacts *f) {
        int r = find_gpus(v, root, m, f);

        return r < 0 || f->n_gpus == 0 ? r : look_at_pci(v, f);
}
