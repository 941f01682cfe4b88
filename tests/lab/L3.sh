#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# L3: as L1, on Debian 12.

exec "$(dirname "$0")/L1.sh" bookworm
