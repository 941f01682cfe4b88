/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "compute.h"
#include "fs.h"
#include "strv.h"
#include "tests/tree.h"

#define SEC USEC_PER_SEC

static const Bdf gpu = { .bus = 1 };

/* A machine with the kernel module, and as library the one that the build made. */
static int machine(void) {
        const char *fake = getenv("GPUVM_FAKECUDA");

        if (!fake)
                SKIP("needs $GPUVM_FAKECUDA: run it by meson test");
        (void) setenv("GPUVM_CUDA", fake, 1);
        (void) setenv("FAKECUDA_GPUS", "0000:01:00.0 0000:41:00.0", 1);
        if (tree_root < 0) {
                (void) tree_new();
                tree_put("/sys/module/nvidia/version", "580.95.05\n");
        }
        return tree_root;
}

static ComputeVerdict prove(int root, ComputeProof *p) {
        _cleanup_(compute_freep) Compute *c = NULL;

        ASSERT_EQ(compute_open(root, NULL, NULL, &c), 0);
        ASSERT_EQ(compute_prove(c, gpu, 2 * SEC, p), 0);
        return p->verdict;
}

static void expect(const char *variable, const char *value, ComputeVerdict want, const char *words) {
        _cleanup_(compute_proof_done) ComputeProof p = {};
        _cleanup_free_ char *text = NULL;

        (void) setenv(variable, value, 1);
        ASSERT_EQ(prove(machine(), &p), want);
        ASSERT_EQ(compute_describe(&p, &text), 0);
        if (!strstr(text, words))
                ASSERT_STREQ(text, words);
        ASSERT(want == COMPUTE_PROVED || compute_remedy(want));
        (void) unsetenv(variable);
}

TEST(proves_each_gpu) {
        _cleanup_(compute_freep) Compute *c = NULL;
        int root = machine();

        (void) setenv("CUDA_VISIBLE_DEVICES", "7", 1);
        ASSERT_EQ(compute_open(root, NULL, NULL, &c), 0);
        for (unsigned i = 0; i < 2; i++) {
                _cleanup_(compute_proof_done) ComputeProof p = {};
                _cleanup_free_ char *text = NULL;

                ASSERT_EQ(compute_prove(c, (Bdf){ .bus = i ? 0x41 : 1 }, SEC, &p), 0);
                ASSERT_EQ(p.verdict, COMPUTE_PROVED);
                ASSERT_EQ(p.cuda, 13000u);
                ASSERT_EQ(compute_describe(&p, &text), 0);
                ASSERT_STREQ(text, "NVIDIA Made Up: computes (driver 580.95.05, CUDA 13.0)");
        }
        ASSERT_EQ(compute_end(TAKE_PTR(c)), 0);
}

TEST(names_what_fails) {
        expect("FAKECUDA_FAIL", "cuInit:100", COMPUTE_NO_DEVICE, "cuInit: error 100");
        expect("FAKECUDA_FAIL", "cuInit:802", COMPUTE_NO_FABRIC, "cuInit: CUDA_ERROR_SYSTEM_NOT_READY");
        expect("FAKECUDA_FAIL", "cuInit:803", COMPUTE_MISMATCH, "two versions");
        expect("FAKECUDA_FAIL", "cuInit:34", COMPUTE_NO_LIBRARY, "not NVIDIA's");
        expect("FAKECUDA_FAIL", "cuInit:999", COMPUTE_FAILED, "cuInit: error 999");
        expect("FAKECUDA_FAIL", "cuModuleLoadData:221", COMPUTE_NO_JIT, "cannot compile");
        expect("FAKECUDA_FAIL", "cuModuleLoadData:222", COMPUTE_NO_JIT, "cuModuleLoadData: error 222");
        expect("FAKECUDA_FAIL", "cuCtxCreate_v2:46", COMPUTE_BUSY, "in use by others");
        expect("FAKECUDA_FAIL", "cuMemAlloc_v2:2", COMPUTE_BUSY, "cuMemAlloc_v2: error 2");
        expect("FAKECUDA_FAIL", "cuLaunchKernel:719", COMPUTE_FAILED, "cuLaunchKernel: error 719");
        expect("FAKECUDA_FAIL", "cuCtxSynchronize:700", COMPUTE_FAILED, "cuCtxSynchronize: error 700");
        expect("FAKECUDA_WRONG", "1", COMPUTE_WRONG, "computes wrongly");
        expect("FAKECUDA_CRASH", "cuInit", COMPUTE_FAILED, "crashed");
}

/* The library remembers a failure. */
TEST(starts_anew_after_a_failure) {
        _cleanup_(compute_freep) Compute *c = NULL;
        int root = machine();

        (void) setenv("FAKECUDA_FAIL", "cuModuleLoadData:221", 1);
        (void) setenv("FAKECUDA_STICKY", "1", 1);
        ASSERT_EQ(compute_open(root, NULL, NULL, &c), 0);
        for (unsigned i = 0; i < 2; i++) {
                _cleanup_(compute_proof_done) ComputeProof p = {};

                ASSERT_EQ(compute_prove(c, gpu, SEC, &p), 0);
                ASSERT_EQ(p.verdict, COMPUTE_NO_JIT);
        }
}

TEST(does_not_find_a_gpu_that_is_not_there) {
        _cleanup_(compute_freep) Compute *c = NULL;
        _cleanup_(compute_proof_done) ComputeProof p = {};
        int root = machine();

        ASSERT_EQ(compute_open(root, NULL, NULL, &c), 0);
        ASSERT_EQ(compute_prove(c, (Bdf){ .bus = 9 }, 60 * SEC, &p), 0);
        ASSERT_EQ(p.verdict, COMPUTE_NO_DEVICE);
}

TEST(gives_up_at_the_deadline) {
        _cleanup_(compute_freep) Compute *c = NULL;
        _cleanup_(compute_proof_done) ComputeProof p = {}, again = {};
        int root = machine();
        uint64_t start = monotonic_usec();

        (void) setenv("FAKECUDA_HANG", "cuCtxCreate_v2", 1);
        ASSERT_EQ(compute_open(root, NULL, NULL, &c), 0);
        ASSERT_EQ(compute_prove(c, gpu, SEC / 2, &p), 0);
        ASSERT_EQ(p.verdict, COMPUTE_HANG);
        ASSERT_EQ(compute_prove(c, gpu, 60 * SEC, &again), 0);
        ASSERT_EQ(again.verdict, COMPUTE_HANG);
        ASSERT(monotonic_usec() - start < 20 * SEC);
}

/* The library of an upgraded driver, above the module of the old one. */
TEST(compares_the_versions) {
        _cleanup_(compute_proof_done) ComputeProof p = {}, q = {};
        _cleanup_free_ char *text = NULL, *bytes = NULL;
        char path[PATH_MAX];
        int root = machine(), host = fs_open_root("/");
        size_t size;

        ASSERT_EQ(fs_read(host, getenv("GPUVM_CUDA"), 16 * 1024 * 1024, &bytes, &size), 0);
        ASSERT_EQ(fs_write_atomic(root, "/libcuda.so.590.48.01", bytes, size, 0755), 0);
        tree_link("/libcuda.so.1", "libcuda.so.590.48.01");
        (void) snprintf(path, sizeof(path), "%s/libcuda.so.1", tree_path);
        (void) setenv("GPUVM_CUDA", path, 1);
        (void) setenv("FAKECUDA_FAIL", "cuInit:999", 1);
        ASSERT_EQ(prove(root, &p), COMPUTE_MISMATCH);
        ASSERT_STREQ(p.library, "590.48.01");
        ASSERT_EQ(compute_describe(&p, &text), 0);
        ASSERT(strstr(text, "(library 590.48.01, kernel module 580.95.05)"));
        /* NVIDIA's forward compatibility is a newer library that does work. */
        (void) unsetenv("FAKECUDA_FAIL");
        ASSERT_EQ(prove(root, &q), COMPUTE_PROVED);
}

TEST(asks_the_management_library_about_a_mismatch) {
        (void) setenv("GPUVM_NVML", getenv("GPUVM_FAKENVML") ?: "", 1);
        (void) setenv("FAKENVML_FAIL", "nvmlInitWithFlags:18", 1);
        expect("FAKECUDA_FAIL", "cuInit:999", COMPUTE_MISMATCH, "two versions");
        expect("FAKECUDA_FAIL", "cuInit:100", COMPUTE_MISMATCH, "two versions");
        (void) setenv("FAKENVML_FAIL", "nvmlInitWithFlags:9", 1);
        expect("FAKECUDA_FAIL", "cuInit:100", COMPUTE_NO_DEVICE, "does not find it");
}

TEST(needs_module_and_library) {
        _cleanup_(compute_proof_done) ComputeProof p = {}, q = {}, old = {};
        int root = machine();

        (void) setenv("GPUVM_CUDA", "/nonexistent", 1);
        ASSERT_EQ(prove(root, &q), COMPUTE_NO_LIBRARY);
        (void) setenv("GPUVM_CUDA", getenv("GPUVM_FAKENVML") ?: "/nonexistent", 1);
        ASSERT_EQ(prove(root, &old), COMPUTE_NO_LIBRARY);
        (void) setenv("GPUVM_CUDA", getenv("GPUVM_FAKECUDA"), 1);
        ASSERT_EQ(fs_remove(root, "/sys/module/nvidia/version"), 1);
        ASSERT_EQ(prove(root, &p), COMPUTE_NO_DRIVER);
}
