/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Image build: an image with packages, and NVIDIA's driver, in it, made by a guest that runs from a
 * downloaded one. It has its name when it is whole; until then there is nothing of it that the next command
 * does not take back. */

#include "create.h"
#include "fs.h"
#include "imagebuilt.h"
#include "imagejob.h"
#include "pci.h"
#include "qemuimg.h"
#include "vmimage.h"

typedef struct Build {
        Context *c;
        int root, cache, lock;
        Conf conf;
        BuildPlan plan;
        ImageEntry base, image; /* image: the result */
        char *user_data, *part; /* part: of the file in the cache */
        char recipe[DIGEST_HEX_MAX];
} Build;

static void build_done(Build *b) {
        (void) safe_close(b->lock);
        (void) safe_close(b->cache);
        (void) safe_close(b->root);
        conf_done(&b->conf);
        buildplan_done(&b->plan);
        image_entry_done(&b->base);
        image_entry_done(&b->image);
        free(b->user_data);
        free(b->part);
}

/* --- what it is going to be */

/* The host's GPUs and driver say which driver suits a guest that gets them. */
static int look_at_host(Build *b, NvidiaGpu **ret, size_t *ret_n, char **ret_driver) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        NvidiaGpu *gpus;
        size_t n = 0;
        int r;

        r = pci_scan(b->root, &bus);
        if (r < 0 && r != -ENOENT)
                return log_error_errno(r, "Cannot read this host's GPUs: %m");
        gpus = calloc(bus.n + 1, sizeof(*gpus));
        if (!gpus)
                return log_oom();
        for (size_t i = 0; i < bus.n; i++)
                if (pci_is_nvidia_gpu(&bus.devices[i]))
                        gpus[n++] = (NvidiaGpu){ .name = "of this host", .device = bus.devices[i].device };
        if (fs_read_line(b->root, "/sys/module/nvidia/version", ret_driver) < 0)
                *ret_driver = NULL;
        *ret = gpus;
        *ret_n = n;
        return 0;
}

static int make_plan(Build *b, const char *name) {
        _cleanup_free_ char *said = NULL, *driver = NULL;
        _cleanup_free_ NvidiaGpu *gpus = NULL;
        BuildWant w = { .name = name,
                        .from = vmctl_value(b->c, OPT_FROM),
                        .nvidia = vmctl_value(b->c, OPT_WITH_NVIDIA),
                        .size = vmctl_value(b->c, OPT_SIZE),
                        .packages = b->c->values[OPT_PACKAGES],
                        .cuda = vmctl_has(b->c, OPT_WITH_CUDA),
                        .arch = imagesource_arch() };
        int r;

        if (!w.arch)
                return log_full_errno(LOG_ERR, EOPNOTSUPP, "There are no images for this processor");
        r = look_at_host(b, &gpus, &w.n_gpus, &driver);
        if (r < 0)
                return r;
        w.gpus = gpus;
        w.host_driver = driver;
        r = buildplan_make(&w, &b->plan, &said);
        if (r == -ENOMEM)
                return log_oom();
        if (r < 0)
                log_error("%s", said);
        return r;
}

static int show_plan_json(const BuildPlan *p) {
        _cleanup_json_ json_object *o = json_object_new_object();
        _cleanup_free_ char *from = NULL;

        if (str_printf(&from, "%s-%s", image_kind_to_string(p->base->kind), p->base->version) < 0 ||
            json_add_text(o, "name", p->name) < 0 || json_add_text(o, "from", from) < 0 ||
            json_add(o, "size", json_object_new_int64((int64_t) p->size)) < 0 ||
            json_add(o, "packages", json_new_list((const char *const *) p->packages)) < 0 ||
            json_add(o, "driver", json_new_list((const char *const *) p->driver)) < 0 ||
            json_add_text_or_null(o, "driver_version", p->version) < 0 ||
            json_add_text_or_null(o, "driver_why", p->driver ? p->version_why : NULL) < 0)
                return log_oom();
        return json_print(o, stdout);
}

static int show_plan(const Build *b) {
        const BuildPlan *p = &b->plan;
        _cleanup_free_ char *packages = strv_join(p->packages, " "), *driver = strv_join(p->driver, " ");

        if (vmctl_has(b->c, OPT_JSON))
                return show_plan_json(p);
        if (!packages || !driver)
                return log_oom();
        printf("%s would be built:\n", p->name);
        printf("  from      %s %s\n", image_kind_to_string(p->base->kind), p->base->version);
        printf("  disk      %s, thin\n", size_text(p->size / 1024).text);
        printf("  packages  %s\n", packages);
        if (p->driver)
                printf("  driver    %s (%s)\n            %s\n", p->version ?: "the newest", p->version_why,
                       driver);
        return 0;
}

/* --- its inputs */

static int get_base(Build *b) {
        const ImageWant want = { .kind = b->plan.base->kind, .release = b->plan.base->version };
        _cleanup_(image_failure_done) ImageFailure failure = {};
        VmctlProgress progress;
        ImageSetup setup;
        int r;

        vmctl_progress_begin(b->c, &progress);
        vmctl_image_setup(&b->conf, b->root, &progress, &setup);
        setup.stop = create_interrupted;
        r = image_get(&setup, &want, &b->base, &failure);
        vmctl_progress_end(&progress);
        if (r < 0)
                return vmctl_image_tell(r, &failure);
        r = buildinit_user_data(BUILD_JOB_BUILD, &b->plan, &b->user_data);
        if (r >= 0)
                r = imagebuilt_recipe(&b->base, b->user_data, b->plan.size, vmctl_has(b->c, OPT_COMPRESS),
                                      b->recipe);
        return r < 0 ? log_error_errno(r, "Cannot make what the guest is told: %m") : 0;
}

static int take_lock(Build *b) {
        b->cache = imagecache_open(b->root);
        if (b->cache < 0)
                return log_error_errno(b->cache, "Cannot open '" IMAGE_CACHE "': %m. Run this as root");
        b->lock = imagecache_lock(b->cache, b->plan.name, NULL, NULL);
        if (b->lock == -EBUSY)
                return log_error_errno(b->lock, "Another 'vmctl image build %s' is at work", b->plan.name);
        return b->lock < 0 ? log_error_errno(b->lock, "Cannot lock the image '%s': %m", b->plan.name) : 0;
}

/* Returns 1 if it is there already, as it would be built; 0 if not. */
static int find_built(Build *b) {
        _cleanup_(image_entry_done) ImageEntry e = {};
        int r = imagecache_find(b->root, b->plan.name, &e);

        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return log_error_errno(r, "Cannot look for '%s' in the cache: %m", b->plan.name);
        if (!e.built)
                return log_full_errno(LOG_ERR, EEXIST,
                                      "'%s' is the name of an image that was downloaded; take another one",
                                      b->plan.name);
        if (vmctl_has(b->c, OPT_REFRESH) || !streq(imagebuilt_recipe_of(&e), b->recipe))
                return 0;
        b->image = e;
        e = (ImageEntry){};
        return 1;
}

/* --- the image */

static void qemu_said(const char *line, void *userdata) {
        log_error("qemu-img: %s", line);
}

/* The guest's disk with all below it, as one file of the cache that nobody knows yet. */
static int take_disk(Build *b, ImageJob *j) {
        const QemuImg q = { .root = b->root, .said = qemu_said, .stop = create_interrupted };
        _cleanup_free_ char *path = NULL;
        int r;

        if (str_printf(&b->part, "%s.part", b->plan.name) < 0 ||
            str_printf(&path, IMAGE_CACHE "/%s", b->part) < 0)
                return log_oom();
        r = rollback_add(&j->made, ROLLBACK_FILE, path);
        if (r >= 0)
                r = fs_remove(b->root, path);
        if (r < 0)
                return log_error_errno(r, "Cannot begin '%s': %m", path);
        r = qemuimg_flatten(&q, j->files.disk, path, vmctl_has(b->c, OPT_COMPRESS));
        if (r == 0)
                r = qemuimg_check(&q, path);
        if (r == -EINTR)
                return log_full_errno(LOG_ERR, EINTR, "Interrupted");
        if (r < 0)
                return log_error_errno(r, "Cannot write '%s': %m", path);
        return r > 0 ? log_full_errno(LOG_ERR, EIO,
                                      "Cannot write '%s'. Is there room? 'vmctl image gc' makes some", path)
                     : 0;
}

/* As 'image verify' does, before it has its name: what does not boot is nobody's. */
static int verify(const Build *b, const ImageJob *j) {
        _cleanup_free_ char *path = NULL;
        ImageEntry e = { .name = b->plan.name, .format = (char *) "qcow2", .size = j->size };

        if (vmctl_has(b->c, OPT_NO_VERIFY))
                return 0;
        if (str_printf(&path, IMAGE_CACHE "/%s", b->part) < 0)
                return log_oom();
        e.path = path;
        return imagejob_boot(b->c, b->root, &b->conf, &e, b->plan.driver);
}

static int adopt(Build *b, const ImageJob *j, uint64_t began_usec) {
        const ImageBuilt built = { .name = b->plan.name,
                                   .base = &b->base,
                                   .answer = &j->answer,
                                   .recipe = b->recipe,
                                   .part = b->part,
                                   .size = MAX(b->plan.size, b->base.size),
                                   .seconds = (unsigned) ((monotonic_usec() - began_usec) / USEC_PER_SEC),
                                   .compress = vmctl_has(b->c, OPT_COMPRESS) };
        int r;

        if (b->plan.driver && !*j->answer.driver)
                return log_full_errno(LOG_ERR, EIO, "The guest for '%s' is done, but has no driver",
                                      b->plan.name);
        r = imagebuilt_adopt(b->root, b->cache, &built, &b->image);
        return r < 0 ? log_error_errno(r, "Cannot put '%s' into the cache: %m", b->plan.name) : 0;
}

static int build(Build *b) {
        const uint64_t began_usec = monotonic_usec();
        ImageJob j = { .c = b->c,
                       .root = b->root,
                       .conf = &b->conf,
                       .job = BUILD_JOB_BUILD,
                       .name = b->plan.name,
                       .base = &b->base,
                       .user_data = b->user_data,
                       .size = b->plan.size };
        int r;

        r = imagejob_run(&j);
        if (r >= 0)
                r = take_disk(b, &j);
        if (r >= 0)
                r = verify(b, &j);
        if (r >= 0)
                r = adopt(b, &j, began_usec);
        return imagejob_end(&j, r);
}

static int print_image(const Build *b, bool was_there) {
        _cleanup_json_ json_object *o = NULL;

        if (vmctl_has(b->c, OPT_JSON)) {
                if (image_entry_to_json(&b->image, &o) < 0 || json_add_text(o, "path", b->image.path) < 0 ||
                    json_add(o, "cached", json_object_new_boolean(was_there)) < 0)
                        return log_oom();
                return json_print(o, stdout);
        }
        if (vmctl_has(b->c, OPT_QUIET))
                return 0;
        printf("%s %s%s\n", b->image.name, b->image.path,
               was_there ? " is built from just this already; --refresh builds it anew" : "");
        return 0;
}

int cmd_image_build(Context *c, char **args) {
        _cleanup_(build_done) Build b = { .c = c, .root = -EBADF, .cache = -EBADF, .lock = -EBADF };
        int r, there;

        b.root = fs_open_root(secure_getenv("GPUVM_ROOT"));
        if (b.root < 0)
                return log_error_errno(b.root, "Cannot open the root directory: %m");
        if (conf_load_and_warn(b.root, &b.conf) < 0)
                return log_oom();
        r = make_plan(&b, args[0]);
        if (r == -EINVAL)
                return VMCTL_USAGE;
        if (r >= 0 && vmctl_has(c, OPT_DRY_RUN))
                return show_plan(&b);
        if (r >= 0)
                r = imagejob_prepare(c, b.root, &b.conf);
        if (r >= 0)
                r = get_base(&b);
        if (r >= 0)
                r = take_lock(&b);
        if (r < 0)
                return r;
        there = find_built(&b);
        r = there == 0 ? build(&b) : there;
        if (r < 0)
                return r == -EINVAL ? VMCTL_USAGE : r == -ENOENT ? VMCTL_FAILED : r;
        return print_image(&b, there > 0);
}
