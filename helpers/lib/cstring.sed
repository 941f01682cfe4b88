# SPDX-License-Identifier: LGPL-2.1-or-later
# A text as a string of C's.
s/[\\"]/\\&/g
s/.*/"&\\n"/
