/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Stop: somebody wants this process to end while it is in the middle of something. From stop_catch() on
 * SIGTERM, SIGINT and SIGHUP are remembered instead of ending it: who waits looks at stop_asked(), and puts
 * back what it has begun. */

#include "macro.h"

void stop_catch(void);
bool stop_asked(void);
/* For who gets signals in another way: as if one had come. */
void stop_ask(void);

/* True if the machine is going down: nothing is worth being put back then, and everything in its way costs
 * time. root: a recorded machine never goes down. */
bool stop_is_shutdown(int root);
