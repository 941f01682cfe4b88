/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Table: the options and commands. What is here is all that help, completion and the manual know. */

#include "vmctl.h"

const Option vmctl_options[_OPT_MAX] = {
        [OPT_HELP] = { "help", 'h', NULL, "Show this help" },
        [OPT_VERSION] = { "version", 0, NULL, "Show the version" },
        [OPT_CONNECT] = { "connect", 'c', "URI", "Another libvirt than qemu:///system", COMPLETE_WORDS,
                          "qemu:///system qemu:///session test:///default" },
        [OPT_JSON] = { "json", 0, NULL, "Write the result as JSON" },
        [OPT_QUIET] = { "quiet", 'q', NULL, "Write less: names alone, no progress" },
        [OPT_VERBOSE] = { "verbose", 'v', NULL, "Tell each step" },
        [OPT_ALL] = { "all", 'a', NULL, "Those of others, or not in use, as well" },
        [OPT_ARCH] = { "arch", 0, "ARCH", "Processor of the guest, this host's by default", COMPLETE_WORDS,
                       "amd64 arm64" },
        [OPT_AUTOSTART] = { "autostart", 0, NULL, "Start it with the host" },
        [OPT_BUNDLE] = { "bundle", 0, "FILE", "Write what was looked at, for somebody else", COMPLETE_FILE },
        [OPT_CPUS] = { "cpus", 0, "N", "Virtual CPUs; half of the host's by default" },
        [OPT_DISK] = { "disk", 0, "SIZE", "GiB, or as 100G; thin, 50 by default" },
        [OPT_DRY_RUN] = { "dry-run", 'n', NULL, "Show what would be done, change nothing" },
        [OPT_FIRMWARE] = { "firmware", 0, "KIND", "uefi, or bios", COMPLETE_WORDS, "uefi bios" },
        [OPT_FIX] = { "fix", 0, NULL, "Start the phases that put it right" },
        [OPT_FORCE] = { "force", 'f', NULL, "Do not ask the guest: pull the plug" },
        [OPT_GATEWAY] = { "gateway", 0, "ADDRESS", "The host's by default" },
        [OPT_GPU] = { "gpu", 0, "ADDRESS", "That GPU, 0000:01:00.0; may be repeated" },
        [OPT_HUGEPAGES] = { "hugepages", 0, "SIZE", "Memory from such pages: 2M or 1G", COMPLETE_WORDS,
                            "2M 1G" },
        [OPT_IMAGE] = { "image", 0, "FILE", "Make the disk from this image", COMPLETE_FILE },
        [OPT_IP] = { "ip", 0, "ADDRESS/N", "Its address with prefix length" },
        [OPT_MAC] = { "mac", 0, "MAC", "Its MAC address" },
        [OPT_MACHINE_CONFIG] = { "machine-config", 0, "FILE", "Of Talos; without it waits for one",
                                 COMPLETE_FILE },
        [OPT_MEMORY] = { "memory", 0, "SIZE", "MiB, or as 16G; half of the host's by default" },
        [OPT_NAME] = { "name", 0, "NAME", "Its name; by kind and number by default" },
        [OPT_NETWORK] = { "network", 0, "NAME", "A network of libvirt's" },
        [OPT_NO_GPU] = { "no-gpu", 0, NULL, "Without a GPU" },
        [OPT_PIN] = { "pin", 0, NULL, "Give each CPU one of the host's to itself" },
        [OPT_REFRESH] = { "refresh", 0, NULL, "Look for a newer build" },
        [OPT_RELEASE] = { "release", 0, "RELEASE", "Of Ubuntu or Debian: 24.04, 13" },
        [OPT_ROM] = { "rom", 0, "on|off|FILE", "The GPU's firmware that the guest sees", COMPLETE_FILE },
        [OPT_ROOT] = { "root", 0, "DIR", "Look at the host recorded in DIR, or in a bundle", COMPLETE_FILE },
        [OPT_SCHEMATIC] = { "schematic", 0, "ID", "Of Talos: an image of your own from the image factory" },
        [OPT_SERVER] = { "server", 0, NULL, "Ubuntu without a desktop" },
        [OPT_SSH_KEY] = { "ssh-key", 0, "KEY|FILE", "Who may enter; may be repeated", COMPLETE_FILE },
        [OPT_SVG] = { "svg", 0, "FILE", "Draw a picture; - is standard output", COMPLETE_FILE },
        [OPT_TALOS_VERSION] = { "talos-version", 0, "VERSION", "Not the newest Talos but this one" },
        [OPT_TIMEOUT] = { "timeout", 't', "SEC", "How long the guest may take" },
        [OPT_TREE] = { "tree", 0, NULL, "Below the bridges that they hang on" },
        [OPT_USER] = { "user", 'u', "NAME", "User in the guest" },
        [OPT_USER_DATA] = { "user-data", 0, "FILE", "For cloud-init, in place of ours", COMPLETE_FILE },
        [OPT_WAIT] = { "wait", 0, NULL, "Until it is ready, with its GPUs" },
        [OPT_YES] = { "yes", 'y', NULL, "Do not ask" },
};

#define VM   COMPLETE_VM, NULL
#define MANY UINT32_MAX

#define CREATE                                                                                            \
        OPT(AUTOSTART) | OPT(CPUS) | OPT(DISK) | OPT(DRY_RUN) | OPT(FIRMWARE) | OPT(GATEWAY) | OPT(GPU) | \
                        OPT(HUGEPAGES) | OPT(IMAGE) | OPT(IP) | OPT(MAC) | OPT(MACHINE_CONFIG) |          \
                        OPT(MEMORY) | OPT(NAME) | OPT(NETWORK) | OPT(NO_GPU) | OPT(PIN) | OPT(RELEASE) |  \
                        OPT(ROM) | OPT(ROOT) | OPT(SCHEMATIC) | OPT(SERVER) | OPT(SSH_KEY) |              \
                        OPT(TALOS_VERSION) | OPT(TIMEOUT) | OPT(USER) | OPT(USER_DATA) | OPT(WAIT)

#define CHECK OPT(BUNDLE) | OPT(DRY_RUN) | OPT(FIX) | OPT(ROOT) | OPT(YES)

const Command vmctl_commands[] = {
        { "create", "KIND", "Make a virtual machine: talos, ubuntu or debian", 1, 1, CREATE, COMPLETE_WORDS,
          "talos ubuntu debian", cmd_create },
        { "list", NULL, "List the virtual machines", 0, 0, OPT(ALL), COMPLETE_NOTHING, NULL, cmd_list },
        { "info", "NAME", "Show all about a virtual machine", 1, 1, 0, VM, cmd_info },
        { "start", "NAME...", "Start virtual machines", 1, MANY, OPT(DRY_RUN) | OPT(TIMEOUT) | OPT(WAIT), VM,
          cmd_start },
        { "stop", "NAME...", "Shut virtual machines down", 1, MANY, OPT(DRY_RUN) | OPT(FORCE) | OPT(TIMEOUT),
          VM, cmd_stop },
        { "restart", "NAME...", "Stop virtual machines and start them again", 1, MANY,
          OPT(DRY_RUN) | OPT(FORCE) | OPT(TIMEOUT) | OPT(WAIT), VM, cmd_restart },
        { "delete", "NAME...", "Remove virtual machines with their disks", 1, MANY,
          OPT(DRY_RUN) | OPT(FORCE) | OPT(YES), VM, cmd_delete },
        { "ssh", "NAME [COMMAND...]", "Open a shell in a virtual machine", 1, MANY, OPT(DRY_RUN) | OPT(USER),
          VM, cmd_ssh },
        { "console", "NAME", "Join the serial console; leave it with Ctrl-]", 1, 1, OPT(DRY_RUN), VM,
          cmd_console },
        { "gpu status", "[GPU...]", "Show the GPUs, and who has them", 0, MANY,
          OPT(ROOT) | OPT(SVG) | OPT(TREE), COMPLETE_NOTHING, NULL, cmd_gpu_status },
        { "gpu holders", "GPU...", "List the processes that use a GPU", 1, MANY, OPT(ROOT), COMPLETE_NOTHING,
          NULL, cmd_gpu_holders },
        { "gpu mode", "GPU MODE", "Make a GPU exclusive, or flexible", 2, 2, OPT(DRY_RUN) | OPT(ROOT),
          COMPLETE_WORDS, "exclusive flexible", cmd_gpu_mode },
        { "gpu reset", "GPU", "Reset a GPU that nobody has", 1, 1, OPT(DRY_RUN) | OPT(ROOT), COMPLETE_NOTHING,
          NULL, cmd_gpu_reset },
        { "gpu recover", "GPU", "Help a GPU that hangs or does not answer", 1, 1, OPT(DRY_RUN) | OPT(ROOT),
          COMPLETE_NOTHING, NULL, cmd_gpu_recover },
        { "check", "[NAME...]", "Find out why VMs with GPUs do not work here", 0, MANY, CHECK, VM,
          cmd_check },
        { "doctor", "[NAME...]", "The same as check", 0, MANY, CHECK, VM, cmd_check },
        { "ip list", NULL, "List the addresses of the virtual machines", 0, 0, OPT(ALL), COMPLETE_NOTHING,
          NULL, cmd_ip_list },
        { "ip check", "[ADDRESSES]", "Find addresses that nobody has", 0, 1, OPT(ALL), COMPLETE_NOTHING, NULL,
          cmd_ip_check },
        { "image list", NULL, "List the images that machines are made from", 0, 0, 0, COMPLETE_NOTHING, NULL,
          cmd_image_list },
        { "image pull", "OS [RELEASE]", "Download an image", 1, 2,
          OPT(ARCH) | OPT(NO_GPU) | OPT(REFRESH) | OPT(SCHEMATIC), COMPLETE_WORDS, "talos ubuntu debian",
          cmd_image_pull },
        { "image verify", "[NAME...]", "Check that images are what was downloaded", 0, MANY, 0,
          COMPLETE_NOTHING, NULL, cmd_image_verify },
        { "image remove", "NAME...", "Remove images that no machine is made on", 1, MANY,
          OPT(DRY_RUN) | OPT(YES), COMPLETE_NOTHING, NULL, cmd_image_remove },
        { "image gc", NULL, "Remove what is left of images that were replaced", 0, 0, OPT(ALL) | OPT(DRY_RUN),
          COMPLETE_NOTHING, NULL, cmd_image_gc },
        { "completion", "SHELL", "Write the completions for a shell", 1, 1, 0, COMPLETE_WORDS,
          "bash zsh fish", cmd_completion },
        { "help", "[COMMAND]", "Show the help of a command", 0, 2, 0, COMPLETE_NOTHING, NULL, cmd_help },
        {},
};
