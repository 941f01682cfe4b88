/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Compute: proof that the host computes on a GPU that is on NVIDIA's driver: two vectors are added there, by
 * a program that the driver compiles for that GPU, and the sums are looked at.
 *
 * Takes NVIDIA's own library alone (libcuda.so.1), no toolkit. It is loaded by a child, which can be left
 * behind when the driver hangs in a call, and which has everything closed again when it ends. Nothing here
 * loads a kernel module: ask only about a GPU that is on the driver. */

#include "pci.h"

typedef struct Compute Compute;

/* What came out, from best to worst. */
typedef enum ComputeVerdict {
        COMPUTE_PROVED,
        COMPUTE_BUSY,       /* others have all of its memory, or have it for themselves: it does compute */
        COMPUTE_NO_DRIVER,  /* no kernel module of NVIDIA's is loaded */
        COMPUTE_NO_LIBRARY, /* libcuda.so.1 is not installed, or is no whole one */
        COMPUTE_MISMATCH,   /* library and kernel module are of two versions */
        COMPUTE_NO_DEVICE,  /* the driver does not have this GPU, or cannot start it */
        COMPUTE_NO_FABRIC,  /* the switches between the GPUs wait for NVIDIA's fabric manager */
        COMPUTE_NO_JIT,     /* the library cannot compile for the GPU */
        COMPUTE_WRONG,      /* a sum is not right */
        COMPUTE_HANG,       /* no answer before the deadline */
        COMPUTE_FAILED,     /* another error */
        _COMPUTE_VERDICT_MAX,
} ComputeVerdict;

typedef struct ComputeProof {
        ComputeVerdict verdict;
        char *kernel;  /* the version of the loaded module, "580.95.05"; NULL: none is loaded */
        char *library; /* of libcuda, by the name of its file; NULL: unknown */
        unsigned cuda; /* what CUDA the library is for, 13000 is 13.0; 0: unknown */
        char *gpu;     /* the model, or NULL */
        char *detail;  /* the call that failed with its error, or NULL */
} ComputeProof;

void compute_proof_done(ComputeProof *p);

/* tick: see worker.h. Under --root the library is what $GPUVM_CUDA names, for tests; without it there is
 * none. */
int compute_open(int root, void (*tick)(void *userdata), void *userdata, Compute **ret) _must_check_;

/* The first GPU that is asked about takes seconds where no persistence mode keeps it ready: the library
 * starts all that there are. After a COMPUTE_HANG every further call ends so. Returns 0 with the proof or the
 * reason why there is none, or -ENOMEM. */
int compute_prove(Compute *c, Bdf gpu, uint64_t timeout_usec, ComputeProof *ret) _must_check_ _nonnull_all_;

/* One sentence without its full stop and without the GPU's address, and what to do about it, NULL if there is
 * nothing to do. */
int compute_describe(const ComputeProof *p, char **ret) _must_check_ _nonnull_all_;
const char *compute_remedy(ComputeVerdict v);

/* Lets the child go, as nvml_end(). */
pid_t compute_end(Compute *c) _nonnull_all_;
void compute_free(Compute *c);
DEFINE_POINTER_CLEANUP(Compute, compute_free)
