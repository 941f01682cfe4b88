/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virtvm: the virtual machines of a connection. Errors of libvirt as in virt.h, its words in virt_message():
 * -ENOENT no such machine, -EBUSY it is not in the state for that, -EEXIST there is one of that name. */

#include "virt.h"

typedef enum VmState {
        VM_OFF,
        VM_RUNNING,
        VM_PAUSED,
        VM_STOPPING,  /* was asked to shut down */
        VM_SUSPENDED, /* by its own power management */
        VM_CRASHED,
        _VM_STATE_MAX,
} VmState;

const char *vm_state_to_string(VmState s);
/* Has memory, devices and so GPUs: in any state but off and crashed. */
bool vm_state_is_on(VmState s);

enum { VIRT_UUID_MAX = 37 };

typedef struct VirtVm {
        char *name;
        char uuid[VIRT_UUID_MAX];
        VmState state;
        unsigned vcpus;
        uint64_t memory_kib;
        char *metadata; /* gpuvm's element (metadata.h), NULL: somebody else's machine */
} VirtVm;

void virtvm_done(VirtVm *m);

typedef struct VirtVms {
        VirtVm *vms; /* by name */
        size_t n;
} VirtVms;

void virtvms_done(VirtVms *l);

/* All machines, by two calls for each, neither of which asks a QEMU. */
int virtvm_list(Virt *v, const char *metadata_uri, VirtVms *ret) _must_check_ _nonnull_all_;
/* Those that libvirt tells of; ret_missing: how many others there are. */
int virtvm_list_known(Virt *v, const char *metadata_uri, VirtVms *ret,
                      size_t *ret_missing) _must_check_ _nonnull_all_;

/* One of them, by its name. */
int virtvm_find(Virt *v, const char *name, const char *metadata_uri, VirtVm *ret) _must_check_ _nonnull_all_;

int virtvm_state(Virt *v, const char *name, VmState *ret) _must_check_ _nonnull_all_;
/* Waits until it is off. Returns 1, 0 if it is not after that time, or -errno. One that vanished is off.
 * tick: called about five times a second, or NULL; below zero ends the wait and is returned. */
int virtvm_wait_off(Virt *v, const char *name, uint64_t timeout_usec, int (*tick)(void *userdata),
                    void *userdata) _must_check_ __attribute__((nonnull(1, 2)));

/* The definition, as it will be at its next start. */
int virtvm_xml(Virt *v, const char *name, char **ret) _must_check_ _nonnull_all_;
/* The same with what is secret in it, a screen's password: without it, what is defined again has lost it. */
int virtvm_definition(Virt *v, const char *name, char **ret) _must_check_ _nonnull_all_;
/* As it is now: what was attached and detached since its start is in it. */
int virtvm_xml_now(Virt *v, const char *name, char **ret) _must_check_ _nonnull_all_;

/* Refuses what is not valid by libvirt's schema. On the disk when it returns 0, for root. */
int virtvm_define(Virt *v, const char *xml) _must_check_ _nonnull_all_;
int virtvm_start(Virt *v, const char *name) _must_check_ _nonnull_all_;
/* Its memory was saved, and a start by its definition goes on from there. Returns 1, or 0 if not. */
int virtvm_is_saved(Virt *v, const char *name) _must_check_ _nonnull_all_;
/* Starts it as this description says, of its name and UUID: its definition stays as it is, and is what it has
 * again when it ends. Whatever was saved of it stays, and is wrong from then on. */
int virtvm_start_as(Virt *v, const char *xml) _must_check_ _nonnull_all_;
/* A machine without a definition, which ends with the connection at the latest. */
int virtvm_start_once(Virt *v, const char *xml) _must_check_ _nonnull_all_;
/* Asks the guest's agent, for a minute at most, and presses the power button if that does not help. */
int virtvm_shutdown(Virt *v, const char *name) _must_check_ _nonnull_all_;
/* The button alone, without waiting. */
int virtvm_press_button(Virt *v, const char *name) _must_check_ _nonnull_all_;
int virtvm_reboot(Virt *v, const char *name) _must_check_ _nonnull_all_;
/* As if its plug were pulled; nothing to do if it is off. */
int virtvm_destroy(Virt *v, const char *name) _must_check_ _nonnull_all_;
/* Takes the seed out of the drive that it has for that (domain.h), now and for its next start. */
int virtvm_eject_seed(Virt *v, const char *name) _must_check_ _nonnull_all_;
/* With its firmware's variables, saved state and what else libvirt keeps of it. 0 also if there is none. As
 * above. */
int virtvm_undefine(Virt *v, const char *name) _must_check_ _nonnull_all_;
int virtvm_set_autostart(Virt *v, const char *name, bool on) _must_check_ _nonnull_all_;
int virtvm_get_autostart(Virt *v, const char *name, bool *ret) _must_check_ _nonnull_all_;
