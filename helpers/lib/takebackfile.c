/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "takebackfile.h"
#include "fs.h"
#include "grubmenu.h"
#include "restore.h"

/* What a run has left beside that was cut before it could tidy up. */
static int remove_leftovers(Takeback *tb, const char *path) {
        if (streq(path, GRUBMENU_CFG))
                grubmenu_tidy(tb->p->root);
        return restore_leftover(tb->p->root, path);
}

/* Somebody has made the boot menu anew between two changes of ours: for other kernels or words perhaps, and
 * perhaps with ours in it. Such a one is made anew, not restored. */
static bool was_remade(const Takeback *tb, const LedgerRecord *t) {
        if (!streq(t->object, GRUBMENU_CFG))
                return false;
        for (const LedgerRecord *r = tb->ledger.records; r < t; r++)
                if (streq(r->kind, "file") && streq(r->object, t->object) && restore_selects(tb->steps, r))
                        return true;
        return false;
}

static int undo_one_file(Takeback *tb, const LedgerRecord *t) {
        RestoreState state = RESTORE_DONE;
        const char *step = NULL;
        int r;

        r = restore_look(tb->p->root, &tb->ledger, tb->steps, t, &state, &step);
        if (r >= 0 && !tb->p->dry_run)
                r = remove_leftovers(tb, t->object);
        if (r < 0)
                return phase_fail(tb->p, r, "Look at it, then try again", "Cannot look at %s", t->object);
        if (was_remade(tb, t))
                return 1;
        if (state == RESTORE_DONE) {
                tb->grub_done |= streq(t->object, GRUBMENU_CFG);
                return 1;
        }
        if (streq(t->object, GRUBMENU_CFG) && state != RESTORE_OURS)
                return 1; /* made anew since, for a new kernel perhaps: it is made anew below */
        if (state == RESTORE_OTHER && !tb->force) {
                phase_note(tb->p, "%s stays: step '%s' wrote to it later; undo that one too", t->object,
                           step);
                return 0;
        }
        if (state == RESTORE_CHANGED && !tb->force) {
                phase_note(tb->p,
                           "%s stays: somebody changed it after gpuvm; --force takes it back all the same",
                           t->object);
                return 0;
        }
        r = phase_change(tb->p, streq(t->was, "absent") ? "remove" : "restore", t->object,
                         streq(t->was, "absent") ? "it was not there before step '%s'"
                                                 : "as it was before step '%s'",
                         t->step);
        if (r <= 0)
                return r < 0 ? r : 1;
        if (!streq(t->object, GRUBMENU_CFG))
                r = restore_file(tb->p->root, t);
        else {
                r = grubmenu_restore(tb->p, t->data, t->size);
                tb->grub_done = r > 0;
                return r < 0 ? r : 1;
        }
        if (r < 0)
                return phase_fail(tb->p, r, "Make it writable, with some room, then try again",
                                  "Cannot restore %s", t->object);
        return 1;
}

/* What is left of a file where something ended us while we forgot: it is as it was before. */
static void skip_orphans(Takeback *tb) {
        for (size_t i = 0; i < tb->ledger.n; i++)
                if (takeback_wants(tb, i, "wrote") &&
                    !restore_target(&tb->ledger, tb->steps, tb->ledger.records[i].object))
                        tb->done[i] = true;
}

void takebackfile_run(Takeback *tb) {
        for (size_t i = tb->ledger.n; i-- > 0;) {
                const LedgerRecord *r = &tb->ledger.records[i], *t;
                int k;

                if (!takeback_wants(tb, i, "file"))
                        continue;
                t = restore_target(&tb->ledger, tb->steps, r->object);
                if (t != r) /* not the one to go back to */
                        continue;
                k = undo_one_file(tb, r);
                if (k < 0)
                        takeback_failed(tb, k);
                for (size_t n = 0; k > 0 && n < tb->ledger.n; n++)
                        if (streq(tb->ledger.records[n].object, r->object) &&
                            (takeback_wants(tb, n, "file") || takeback_wants(tb, n, "wrote")))
                                tb->done[n] = true;
        }
        for (size_t i = tb->ledger.n; i-- > 0;) {
                int k;

                if (!takeback_wants(tb, i, "dir"))
                        continue;
                k = tb->p->dry_run ? 0 : restore_dir(tb->p->root, tb->ledger.records[i].object);
                if (k < 0)
                        takeback_failed(tb,
                                        phase_fail(tb->p, k, "Look at it", "Cannot remove %s",
                                                   tb->ledger.records[i].object));
                tb->done[i] = k >= 0;
        }
        skip_orphans(tb);
}
