/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <getopt.h>

#include "options.h"

#define NAME "gpu-vm-bootstrap"

static void help(void) {
        puts(NAME " [OPTIONS...]\n\n"
                  "Make this machine a host for virtual machines with GPUs.\n\n"
                  "  -h --help               Show this help\n"
                  "     --version            Show the version\n"
                  "  -n --dry-run            Show the plan, change nothing; needs no root\n"
                  "  -y --yes                Do not ask\n"
                  "     --status             Show how far it is; needs no root\n"
                  "     --follow             Join a bootstrap that is running\n"
                  "     --json               Write the result as JSON to standard output\n"
                  "     --skip-nvidia        Leave out the NVIDIA driver\n"
                  "     --skip-kvm           Leave out QEMU, libvirt and the storage pool\n"
                  "     --skip-vfio          Leave out the IOMMU and VFIO\n"
                  "     --skip-bridge        Leave out the network bridge\n"
                  "     --bridge-name=NAME   Name of the bridge (default br0)\n"
                  "     --bridge-subnet=CIDR Subnet of the bridge (default: found)\n"
                  "     --gpu-mode=MODE      flexible or exclusive\n"
                  "     --root=DIR           Look at the machine recorded below DIR");
}

enum {
        ARG_VERSION = 0x100,
        ARG_STATUS,
        ARG_FOLLOW,
        ARG_JSON,
        ARG_SKIP_NVIDIA,
        ARG_SKIP_KVM,
        ARG_SKIP_VFIO,
        ARG_SKIP_BRIDGE,
        ARG_BRIDGE_NAME,
        ARG_BRIDGE_SUBNET,
        ARG_GPU_MODE,
        ARG_ROOT,
};

static const struct option options[] = {
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, ARG_VERSION },
        { "dry-run", no_argument, NULL, 'n' },
        { "yes", no_argument, NULL, 'y' },
        { "status", no_argument, NULL, ARG_STATUS },
        { "follow", no_argument, NULL, ARG_FOLLOW },
        { "json", no_argument, NULL, ARG_JSON },
        { "skip-nvidia", no_argument, NULL, ARG_SKIP_NVIDIA },
        { "skip-kvm", no_argument, NULL, ARG_SKIP_KVM },
        { "skip-vfio", no_argument, NULL, ARG_SKIP_VFIO },
        { "skip-bridge", no_argument, NULL, ARG_SKIP_BRIDGE },
        { "bridge-name", required_argument, NULL, ARG_BRIDGE_NAME },
        { "bridge-subnet", required_argument, NULL, ARG_BRIDGE_SUBNET },
        { "gpu-mode", required_argument, NULL, ARG_GPU_MODE },
        { "root", required_argument, NULL, ARG_ROOT },
        {},
};

static bool *flag_of(Options *o, int c) {
        switch (c) {
        case 'n':
                return &o->dry_run;
        case 'y':
                return &o->yes;
        case ARG_JSON:
                return &o->json;
        case ARG_SKIP_NVIDIA:
                return &o->settings.skip_nvidia;
        case ARG_SKIP_KVM:
                return &o->settings.skip_kvm;
        case ARG_SKIP_VFIO:
                return &o->settings.skip_vfio;
        case ARG_SKIP_BRIDGE:
                return &o->settings.skip_bridge;
        default:
                return NULL;
        }
}

static const char **value_of(Options *o, int c) {
        switch (c) {
        case ARG_BRIDGE_NAME:
                return &o->settings.bridge_name;
        case ARG_BRIDGE_SUBNET:
                return &o->settings.bridge_subnet;
        case ARG_GPU_MODE:
                return &o->settings.gpu_mode;
        case ARG_ROOT:
                return &o->root;
        default:
                return NULL;
        }
}

int options_parse(int argc, char *argv[], Options *o) {
        int c;

        while ((c = getopt_long(argc, argv, "hny", options, NULL)) >= 0)
                if (c == 'h') {
                        help();
                        return 1;
                } else if (c == ARG_VERSION) {
                        puts(NAME " " GPUVM_VERSION);
                        return 1;
                } else if (c == ARG_STATUS)
                        o->action = ACTION_STATUS;
                else if (c == ARG_FOLLOW)
                        o->action = ACTION_FOLLOW;
                else if (flag_of(o, c))
                        *flag_of(o, c) = true;
                else if (value_of(o, c))
                        *value_of(o, c) = optarg;
                else
                        return -EINVAL;
        return 0;
}
