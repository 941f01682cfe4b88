/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Gpusvg: the GPUs as a picture: a panel for each NUMA node, from the root bus on the left through root ports
 * and switches to the GPU, and to who has it on the right; a dashed frame around those of one IOMMU group.
 * Stands alone: no font, script or style comes from elsewhere, and it is legible on light and dark. */

#include <fcntl.h>
#include <sys/stat.h>

#include "fs.h"
#include "gpu.h"
#include "xml.h"

enum {
        MARGIN = 24,
        TITLE = 56, /* height */
        PANEL_HEAD = 34,
        PANEL_GAP = 18,
        ROW = 64,
        BOX = 46,
        BRIDGE_WIDTH = 128,
        GPU_WIDTH = 360,
        OWNER_WIDTH = 270,
        GAP = 34,           /* between columns */
        OWNER_LETTERS = 40, /* what fits */
        OTHERS_MAX = 2,     /* of its group, by name */
        DEPTH_MAX = 16,
        UMASK_FILE = 0666,
};

/* A GPU or an NVSwitch, and what it hangs on. */
typedef struct Row {
        const PciDevice *d;
        const GpuState *g; /* NULL: an NVSwitch */
        char **path;       /* "pci0000:00", "0000:00:01.0", ..., itself */
        unsigned y;        /* of its middle */
} Row;

typedef struct Picture {
        Xml *x;
        const GpuStates *states;
        Row *rows;
        size_t n;
        unsigned depth; /* columns before the GPU's */
        unsigned width, height;
} Picture;

static void picture_done(Picture *p) {
        for (size_t i = 0; i < p->n; i++)
                strv_free(p->rows[i].path);
        free(p->rows);
}

/* Numbers in an attribute. */
typedef struct Number {
        char text[16];
} Number;

static Number px(unsigned n) {
        Number s;

        (void) snprintf(s.text, sizeof(s.text), "%u", n);
        return s;
}

static void box(Picture *p, const char *class, unsigned x, unsigned y, unsigned width, unsigned height) {
        xml_empty(p->x, "rect", "class", class, "x", px(x).text, "y", px(y).text, "width", px(width).text,
                  "height", px(height).text, "rx", "8", NULL);
}

static void text(Picture *p, const char *class, unsigned x, unsigned y, const char *s) {
        xml_text(p->x, "text", s, "class", class, "x", px(x).text, "y", px(y).text, NULL);
}

/* From the right of one box to the left of the next, by way of the middle between the columns. */
static void line(Picture *p, unsigned x1, unsigned y1, unsigned x2, unsigned y2) {
        char d[96];

        (void) snprintf(d, sizeof(d), "M%u %uH%uV%uH%u", x1, y1, x2 - GAP / 2, y2, x2);
        xml_empty(p->x, "path", "class", "line", "d", d, NULL);
}

static unsigned column(unsigned k) {
        return 2 * MARGIN + k * (BRIDGE_WIDTH + GAP);
}

static const char *owner_class(const GpuState *g) {
        switch (g ? g->owner : GPU_OWNER_HOST) {
        case GPU_OWNER_HOST:
                return "host";
        case GPU_OWNER_FREE:
                return "free";
        case GPU_OWNER_MACHINE:
                return "machine";
        case GPU_OWNER_STUCK:
                return "stuck";
        default:
                return "nobody";
        }
}

/* "IOMMU group 20, with 0000:02:00.0 (igb)" */
static int describe_group(const Row *r, char **ret) {
        _cleanup_strv_ char **l = NULL;
        size_t n = 0;
        int k = r->d->iommu_group >= 0 ? strv_extendf(&l, "IOMMU group %d", r->d->iommu_group)
                                       : strv_extend(&l, "no IOMMU group");

        for (size_t i = 0; r->g && i < r->g->n_functions && k >= 0; i++) {
                const PciDevice *d = r->g->functions[i];

                if (pci_same_slot(d, r->d) || pci_is_nvidia_gpu(d) || ++n > OTHERS_MAX)
                        continue;
                k = strv_extendf(&l, "%s%s (%s)", n == 1 ? ", with " : ", ", d->name,
                                 d->driver ?: "no driver");
        }
        if (k >= 0 && n > OTHERS_MAX)
                k = strv_extendf(&l, " and %zu more", n - OTHERS_MAX);
        if (k < 0)
                return k;
        *ret = strv_join(l, "");
        return *ret ? 0 : -ENOMEM;
}

/* What would stand out of the box ends in dots. */
static void shorten(char *s, size_t letters) {
        if (strlen(s) > letters)
                strcpy(s + letters - 3, "...");
}

static int draw_owner(Picture *p, const Row *r, unsigned x) {
        _cleanup_free_ char *who = NULL, *how = NULL;
        int k = r->g ? gpustate_describe_owner(r->g, &who)
                     : str_printf(&who, "%s", r->d->driver ?: "no driver");

        if (k >= 0)
                k = str_printf(&how, "%s%s%s", r->g ? gpu_mode_to_string(r->g->mode) : "NVSwitch",
                               r->g && r->g->refused ? ", not for machines" : "",
                               r->g && r->g->stuck ? ", hangs" : "");
        if (k < 0)
                return k;
        shorten(who, OWNER_LETTERS);
        line(p, x - GAP, r->y, x, r->y);
        box(p, owner_class(r->g), x, r->y - BOX / 2, OWNER_WIDTH, BOX);
        text(p, "strong", x + 12, r->y - 3, who);
        text(p, "small", x + 12, r->y + 14, how);
        return 0;
}

static int draw_row(Picture *p, const Row *r) {
        unsigned x = column(p->depth), depth = (unsigned) strv_length(r->path) - 1;
        _cleanup_free_ char *group = NULL, *where = NULL;
        int k = describe_group(r, &group);

        if (k >= 0)
                k = str_printf(&where, "%s, %s", r->d->name, group);
        if (k < 0)
                return k;
        shorten(where, (GPU_WIDTH - 24) / 6);
        if (column(depth) < x) /* from where its last bridge's line ends */
                line(p, column(depth), r->y, x, r->y);
        box(p, "gpu", x, r->y - BOX / 2, GPU_WIDTH, BOX);
        text(p, "name strong", x + 12, r->y - 3,
             !r->g ? "NVSwitch" : r->g->name ?: gpu_arch_to_string(gpu_arch_from_device_id(r->d->device)));
        text(p, "small", x + 12, r->y + 14, where);
        return draw_owner(p, r, x + GPU_WIDTH + GAP);
}

static bool same_to(const Row *a, const Row *b, unsigned k) {
        for (unsigned i = 0; i <= k; i++)
                if (!a->path[i] || !b->path[i] || !streq(a->path[i], b->path[i]))
                        return false;
        return true;
}

static bool is_bridge_of(const Row *r, unsigned k) {
        return k + 1 < strv_length(r->path);
}

/* The first and the last row below the same bridge are next to each other, or have only its own between. */
static unsigned middle(const Row *rows, size_t n, size_t i, unsigned k) {
        size_t first = i, last = i;

        while (first > 0 && is_bridge_of(&rows[first - 1], k) && same_to(&rows[first - 1], &rows[i], k))
                first--;
        while (last + 1 < n && is_bridge_of(&rows[last + 1], k) && same_to(&rows[last + 1], &rows[i], k))
                last++;
        return (rows[first].y + rows[last].y) / 2;
}

static void draw_bridge(Picture *p, const Row *rows, size_t n, size_t i, unsigned k) {
        unsigned y = middle(rows, n, i, k), x = column(k);

        if (k > 0)
                line(p, column(k - 1) + BRIDGE_WIDTH, middle(rows, n, i, k - 1), x, y);
        box(p, "bridge", x, y - BOX / 2, BRIDGE_WIDTH, BOX);
        text(p, "strong", x + 12, y - 3, rows[i].path[k]);
        text(p, "small", x + 12, y + 14, k == 0 ? "root bus" : k == 1 ? "root port" : "switch");
}

/* Each once, and the last one's line down to its GPU. */
static void draw_bridges(Picture *p, const Row *rows, size_t n) {
        for (size_t i = 0; i < n; i++)
                for (unsigned k = 0; is_bridge_of(&rows[i], k); k++) {
                        if (i == 0 || !is_bridge_of(&rows[i - 1], k) || !same_to(&rows[i - 1], &rows[i], k))
                                draw_bridge(p, rows, n, i, k);
                        if (!is_bridge_of(&rows[i], k + 1))
                                line(p, column(k) + BRIDGE_WIDTH, middle(rows, n, i, k),
                                     column(k) + BRIDGE_WIDTH + GAP, rows[i].y);
                }
}

/* A frame says more than a number: these change hands together. */
static void draw_groups(Picture *p, const Row *rows, size_t n) {
        for (size_t i = 0, k; i < n; i = k) {
                k = i + 1;
                while (k < n && rows[i].d->iommu_group >= 0 &&
                       rows[k].d->iommu_group == rows[i].d->iommu_group)
                        k++;
                if (k - i > 1)
                        box(p, "group", column(p->depth) - 8, rows[i].y - BOX / 2 - 6, GPU_WIDTH + 16,
                            rows[k - 1].y - rows[i].y + BOX + 12);
        }
}

/* Those of one NUMA node. y: of its upper edge; moved on to the next one's. */
static int draw_panel(Picture *p, Row *rows, size_t n, unsigned *y) {
        unsigned height = PANEL_HEAD + (unsigned) n * ROW;
        char title[32];
        int r = 0;

        (void) snprintf(title, sizeof(title), "NUMA node %d", rows->d->numa_node);
        box(p, "panel", MARGIN, *y, p->width - 2 * MARGIN, height);
        text(p, "strong", 2 * MARGIN, *y + 24, rows->d->numa_node >= 0 ? title : "No NUMA node");
        for (size_t i = 0; i < n; i++)
                rows[i].y = *y + PANEL_HEAD + (unsigned) i * ROW + BOX / 2;
        draw_groups(p, rows, n);
        draw_bridges(p, rows, n);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = draw_row(p, &rows[i]);
        *y += height + PANEL_GAP;
        return r;
}

static const char style[] =
                "svg{background:#fff}"
                "text{font:13px system-ui,'DejaVu Sans',sans-serif;fill:#1d2430}"
                ".title{font-size:20px;font-weight:600}.strong{font-weight:600}"
                ".small{font-size:11px;fill:#4a5568}"
                ".paper{fill:#fff}.panel{fill:#f3f5f8;stroke:#d5dbe4}.bridge{fill:#fff;stroke:#8a97a8}"
                ".gpu{fill:#fff;stroke:#1d2430;stroke-width:1.5}.line{fill:none;stroke:#8a97a8;stroke-width:1.5}"
                ".group{fill:none;stroke:#b45309;stroke-width:1.5;stroke-dasharray:6 4}"
                ".host{fill:#dbe7fb;stroke:#3465b0}.free{fill:#d9f2e0;stroke:#2c8a4b}"
                ".machine{fill:#e9dffa;stroke:#7343c4}.stuck{fill:#fbdada;stroke:#c02b2b}"
                ".nobody{fill:#e8eaee;stroke:#77808d}"
                "@media (prefers-color-scheme:dark){svg{background:#14181f}text{fill:#e8ecf2}.small{fill:#a9b4c3}"
                ".paper{fill:#14181f}.panel{fill:#1d232c;stroke:#333c49}.bridge{fill:#272f3a;stroke:#6d7a8b}"
                ".gpu{fill:#272f3a;stroke:#c9d2de}.line{stroke:#6d7a8b}.group{stroke:#f0a94a}"
                ".host{fill:#1f3558;stroke:#6f9ee8}.free{fill:#173d26;stroke:#56b877}"
                ".machine{fill:#36245c;stroke:#a883ee}.stuck{fill:#561f1f;stroke:#ef6b6b}"
                ".nobody{fill:#2b313a;stroke:#8b95a3}}";

/* "8 GPUs: 5 host, 2 machine, 1 free" */
static int summarize(const Picture *p, char **ret) {
        size_t count[_GPU_OWNER_MAX] = {}, n = p->states->n;
        _cleanup_strv_ char **l = NULL;
        int r = strv_extendf(&l, "%zu GPU%s", n, n == 1 ? "" : "s");
        bool first = true;

        for (size_t i = 0; i < n; i++)
                count[p->states->list[i].owner]++;
        for (GpuOwner o = 0; o < _GPU_OWNER_MAX && r >= 0; o++)
                if (count[o] > 0) {
                        r = strv_extendf(&l, "%s%zu %s", first ? ": " : ", ", count[o],
                                         gpu_owner_to_string(o));
                        first = false;
                }
        if (r < 0)
                return r;
        *ret = strv_join(l, "");
        return *ret ? 0 : -ENOMEM;
}

static int compare_rows(const void *a, const void *b) {
        const PciDevice *x = ((const Row *) a)->d, *y = ((const Row *) b)->d;

        if (x->numa_node != y->numa_node)
                return x->numa_node < y->numa_node ? -1 : 1;
        return strcmp(strempty(x->devpath), strempty(y->devpath)) ?: bdf_compare(x->bdf, y->bdf);
}

/* One that sysfs shows no way to hangs on its root bus. */
static int read_path(Row *r) {
        _cleanup_strv_ char **parts = NULL;
        int k = strv_split(r->d->devpath ? r->d->devpath + strlen("/devices/") : "", "/", &parts);

        if (k >= 0 && (strv_length(parts) < 2 || strv_length(parts) > DEPTH_MAX)) {
                k = strv_extendf(&r->path, "pci%04x", (unsigned) r->d->bdf.domain);
                return k < 0 ? k : strv_extend(&r->path, r->d->name);
        }
        r->path = TAKE_PTR(parts);
        return MIN(k, 0);
}

static int add_rows(Picture *p, const PciBus *bus) {
        p->rows = calloc(bus->n + 1, sizeof(*p->rows));
        if (!p->rows)
                return -ENOMEM;
        for (size_t i = 0; i < p->states->n; i++)
                p->rows[p->n++] = (Row){ .d = p->states->list[i].gpu, .g = &p->states->list[i] };
        for (size_t i = 0; i < bus->n; i++)
                if (pci_is_nvswitch(&bus->devices[i]))
                        p->rows[p->n++] = (Row){ .d = &bus->devices[i] };
        qsort(p->rows, p->n, sizeof(*p->rows), compare_rows);
        for (size_t i = 0; i < p->n; i++) {
                int r = read_path(&p->rows[i]);

                if (r < 0)
                        return r;
                p->depth = MAX(p->depth, (unsigned) strv_length(p->rows[i].path) - 1);
        }
        return 0;
}

static size_t count_panel(const Picture *p, size_t i) {
        size_t n = 1;

        while (i + n < p->n && p->rows[i + n].d->numa_node == p->rows[i].d->numa_node)
                n++;
        return n;
}

static void measure(Picture *p) {
        size_t panels = 0;

        for (size_t i = 0; i < p->n; i += count_panel(p, i))
                panels++;
        p->width = column(p->depth) + GPU_WIDTH + GAP + OWNER_WIDTH + 2 * MARGIN;
        p->height = TITLE + MARGIN + (unsigned) panels * (PANEL_HEAD + PANEL_GAP) + (unsigned) p->n * ROW;
}

static int draw(Picture *p) {
        _cleanup_free_ char *title = NULL, *view = NULL;
        unsigned y = TITLE + MARGIN / 2;
        int r = summarize(p, &title);

        measure(p);
        if (r >= 0)
                r = str_printf(&view, "0 0 %u %u", p->width, p->height);
        if (r < 0)
                return r;
        xml_open(p->x, "svg", "xmlns", "http://www.w3.org/2000/svg", "width", px(p->width).text, "height",
                 px(p->height).text, "viewBox", view, "role", "img", NULL);
        xml_text(p->x, "title", title, NULL);
        xml_text(p->x, "style", style, NULL);
        xml_empty(p->x, "rect", "class", "paper", "width", px(p->width).text, "height", px(p->height).text,
                  NULL);
        text(p, "title", MARGIN, MARGIN + 20, title);
        for (size_t i = 0, n; i < p->n && r >= 0; i += n) {
                n = count_panel(p, i);
                r = draw_panel(p, &p->rows[i], n, &y);
        }
        xml_close(p->x);
        return r;
}

static int make(const GpuStates *states, char **ret) {
        _cleanup_xml_ Xml *x = NULL;
        _cleanup_(picture_done) Picture p = { .states = states };
        int r = xml_new(&x);

        p.x = x;
        if (r >= 0)
                r = add_rows(&p, &states->bus);
        if (r >= 0)
                r = draw(&p);
        return r < 0 ? r : xml_finish(x, ret);
}

/* Beside its place, and then there in one step. */
static int put(const char *file, const char *data) {
        _cleanup_free_ char *beside = NULL;
        mode_t mask = umask(0);
        FILE *f;
        int fd, r;

        (void) umask(mask);
        r = str_printf(&beside, "%s.XXXXXX", file);
        fd = r < 0 ? r : RET_NERRNO(mkostemp(beside, O_CLOEXEC));
        if (fd < 0)
                return fd;
        f = fdopen(fd, "w");
        if (!f) {
                r = negative_errno();
                (void) close(fd);
        } else {
                r = fputs(data, f) < 0 || fflush(f) != 0 ? negative_errno()
                                                         : RET_NERRNO(fchmod(fd, UMASK_FILE & ~mask));
                if (fclose(f) != 0 && r >= 0)
                        r = negative_errno();
        }
        if (r >= 0)
                r = RET_NERRNO(rename(beside, file));
        if (r < 0)
                (void) unlink(beside);
        return r;
}

int gpu_write_svg(const GpuStates *states, const char *file) {
        _cleanup_free_ char *data = NULL;
        int r = make(states, &data);

        if (r == -ENOPKG)
                return log_full_errno(LOG_ERR, ENOPKG,
                                      "A picture needs libxml2. Install it: 'sudo apt install libxml2'");
        if (r < 0)
                return log_oom();
        if (streq(file, "-"))
                return fputs(data, stdout) < 0 ? -EIO : 0;
        r = put(file, data);
        return r < 0 ? log_error_errno(r, "Cannot write '%s': %m", file) : 0;
}
