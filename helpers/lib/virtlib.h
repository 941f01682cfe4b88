/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virtlib: libvirt's library, loaded when it is first used, and what the rooms virt and virt... share of a
 * connection. Not for others. */

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "macro.h"

#define VIRTLIB_NAME      "libvirt.so.0"
#define VIRTLIB_QEMU_NAME "libvirt-qemu.so.0"

/* The functions used, with libvirt's own prototypes. */
#define VIRT_FUNCTIONS(X)                     \
        X(virConnectClose)                    \
        X(virConnectDomainEventDeregisterAny) \
        X(virConnectDomainEventRegisterAny)   \
        X(virConnectGetLibVersion)            \
        X(virConnectGetType)                  \
        X(virConnectGetURI)                   \
        X(virConnectListAllDomains)           \
        X(virConnectListAllNetworks)          \
        X(virConnectNumOfDomains)             \
        X(virConnectOpen)                     \
        X(virConnectRegisterCloseCallback)    \
        X(virConnectSetKeepAlive)             \
        X(virConnectUnregisterCloseCallback)  \
        X(virDomainAttachDeviceFlags)         \
        X(virDomainCreate)                    \
        X(virDomainCreateXML)                 \
        X(virDomainDefineXMLFlags)            \
        X(virDomainDestroy)                   \
        X(virDomainDetachDeviceAlias)         \
        X(virDomainFree)                      \
        X(virDomainGetAutostart)              \
        X(virDomainBlockResize)               \
        X(virDomainGetBlockInfo)              \
        X(virDomainGetInfo)                   \
        X(virDomainGetMetadata)               \
        X(virDomainGetName)                   \
        X(virDomainGetState)                  \
        X(virDomainGetUUIDString)             \
        X(virDomainGetXMLDesc)                \
        X(virDomainHasManagedSaveImage)       \
        X(virDomainInterfaceAddresses)        \
        X(virDomainInterfaceFree)             \
        X(virDomainLookupByName)              \
        X(virDomainReboot)                    \
        X(virDomainSetAutostart)              \
        X(virDomainSetMetadata)               \
        X(virDomainShutdown)                  \
        X(virDomainShutdownFlags)             \
        X(virDomainUndefineFlags)             \
        X(virDomainUpdateDeviceFlags)         \
        X(virEventAddHandle)                  \
        X(virEventAddTimeout)                 \
        X(virEventRegisterDefaultImpl)        \
        X(virEventRemoveHandle)               \
        X(virEventRemoveTimeout)              \
        X(virEventRunDefaultImpl)             \
        X(virEventUpdateTimeout)              \
        X(virGetLastError)                    \
        X(virNetworkCreate)                   \
        X(virNetworkDHCPLeaseFree)            \
        X(virNetworkDefineXML)                \
        X(virNetworkDestroy)                  \
        X(virNetworkFree)                     \
        X(virNetworkGetAutostart)             \
        X(virNetworkGetDHCPLeases)            \
        X(virNetworkGetXMLDesc)               \
        X(virNetworkIsActive)                 \
        X(virNetworkIsPersistent)             \
        X(virNetworkLookupByName)             \
        X(virNetworkSetAutostart)             \
        X(virNetworkUndefine)                 \
        X(virResetLastError)                  \
        X(virSetErrorFunc)                    \
        X(virStoragePoolBuild)                \
        X(virStoragePoolCreate)               \
        X(virStoragePoolDefineXML)            \
        X(virStoragePoolDestroy)              \
        X(virStoragePoolFree)                 \
        X(virStoragePoolGetAutostart)         \
        X(virStoragePoolGetXMLDesc)           \
        X(virStoragePoolIsActive)             \
        X(virStoragePoolIsPersistent)         \
        X(virStoragePoolLookupByName)         \
        X(virStoragePoolLookupByTargetPath)   \
        X(virStoragePoolRefresh)              \
        X(virStoragePoolSetAutostart)         \
        X(virStoragePoolUndefine)             \
        X(virStorageVolDelete)                \
        X(virStorageVolFree)                  \
        X(virStorageVolLookupByPath)

/* One pointer of the right type for each, named as the function. */
typedef struct Virtlib {
        void *library;
#define X(f) typeof(&f) f;
        VIRT_FUNCTIONS(X)
#undef X
} Virtlib;

extern Virtlib lv;

/* What QEMU alone can do is in a library of its own. */
typedef struct VirtlibQemu {
        void *library;
        typeof(&virDomainQemuAgentCommand) virDomainQemuAgentCommand;
} VirtlibQemu;

extern VirtlibQemu lq;

typedef struct Virt Virt;
typedef struct VirtPulse VirtPulse;
struct Virt {
        virConnectPtr connection;
        char *message;
        char *uri;                     /* what was asked for, where libvirt was given more; or NULL */
        VirtPulse *pulse;              /* virtpulse.h; NULL: none */
        _Atomic(const char *) silence; /* what to say of a host that went silent; NULL: it has not */
};

/* Returns 0; -ENOPKG if it is not installed, -ENOSYS if it is too old. */
int virtlib_load(void) _must_check_;
int virtlib_load_qemu(void) _must_check_;

static inline void virtlib_domain_freep(virDomainPtr *d) {
        if (*d)
                (void) lv.virDomainFree(*d);
}
#define _cleanup_domain_ _cleanup_(virtlib_domain_freep)

int virtlib_look_up(Virt *v, const char *name, virDomainPtr *ret) _must_check_ _nonnull_all_;

/* To be returned after a call that failed: keeps the message, and gives the error as -errno. */
int virtlib_failed(Virt *v) _nonnull_all_;
