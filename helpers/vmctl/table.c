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
        [OPT_DRY_RUN] = { "dry-run", 'n', NULL, "Show what would be done, change nothing" },
        [OPT_FORCE] = { "force", 'f', NULL, "Do not ask the guest: pull the plug" },
        [OPT_NO_GPU] = { "no-gpu", 0, NULL, "Without a GPU" },
        [OPT_REFRESH] = { "refresh", 0, NULL, "Look for a newer build" },
        [OPT_TIMEOUT] = { "timeout", 't', "SEC", "How long the guest may take, 120 by default" },
        [OPT_USER] = { "user", 'u', "NAME", "User in the guest" },
        [OPT_YES] = { "yes", 'y', NULL, "Do not ask" },
};

#define VM   COMPLETE_VM, NULL
#define MANY UINT32_MAX

const Command vmctl_commands[] = {
        { "list", NULL, "List the virtual machines", 0, 0, OPT(ALL), COMPLETE_NOTHING, NULL, cmd_list },
        { "info", "NAME", "Show all about a virtual machine", 1, 1, 0, VM, cmd_info },
        { "start", "NAME...", "Start virtual machines", 1, MANY, OPT(DRY_RUN), VM, cmd_start },
        { "stop", "NAME...", "Shut virtual machines down", 1, MANY, OPT(DRY_RUN) | OPT(FORCE) | OPT(TIMEOUT),
          VM, cmd_stop },
        { "restart", "NAME...", "Stop virtual machines and start them again", 1, MANY,
          OPT(DRY_RUN) | OPT(FORCE) | OPT(TIMEOUT), VM, cmd_restart },
        { "delete", "NAME...", "Remove virtual machines with their disks", 1, MANY,
          OPT(DRY_RUN) | OPT(FORCE) | OPT(YES), VM, cmd_delete },
        { "ssh", "NAME [COMMAND...]", "Open a shell in a virtual machine", 1, MANY, OPT(DRY_RUN) | OPT(USER),
          VM, cmd_ssh },
        { "console", "NAME", "Join the serial console; leave it with Ctrl-]", 1, 1, OPT(DRY_RUN), VM,
          cmd_console },
        { "ip list", NULL, "List the addresses of the virtual machines", 0, 0, OPT(ALL), COMPLETE_NOTHING,
          NULL, cmd_ip_list },
        { "image list", NULL, "List the images that machines are made from", 0, 0, 0, COMPLETE_NOTHING, NULL,
          cmd_image_list },
        { "image pull", "OS [RELEASE]", "Download an image", 1, 2, OPT(ARCH) | OPT(NO_GPU) | OPT(REFRESH),
          COMPLETE_WORDS, "talos ubuntu debian", cmd_image_pull },
        { "image verify", "[NAME...]", "Check that images are what was downloaded", 0, MANY, 0,
          COMPLETE_NOTHING, NULL, cmd_image_verify },
        { "image remove", "NAME...", "Remove images that no machine is made on", 1, MANY, OPT(DRY_RUN),
          COMPLETE_NOTHING, NULL, cmd_image_remove },
        { "image gc", NULL, "Remove what is left of images that were replaced", 0, 0, OPT(ALL) | OPT(DRY_RUN),
          COMPLETE_NOTHING, NULL, cmd_image_gc },
        { "completion", "SHELL", "Write the completions for a shell", 1, 1, 0, COMPLETE_WORDS,
          "bash zsh fish", cmd_completion },
        { "help", "[COMMAND]", "Show the help of a command", 0, 2, 0, COMPLETE_NOTHING, NULL, cmd_help },
        {},
};
