#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts what a run of `meson test` saw: count.py SUITE TESTLOG.JSON MAY-SKIP

Prints "PASSED FAILED SKIPPED" over the TAP subtests; a test that is not TAP, or that ended before it said anything,
counts as one. A skipped subtest is a failure unless MAY-SKIP has its test ("name: reason", or "name/part of the
subtest: reason"). What failed, with the comments that follow it, and what was skipped and why, goes to standard error:
meson's own --print-errorlogs leaves the comments of a TAP test out.
"""

import json
import re
import sys

LINE = re.compile(r"^(ok|not ok)\b\s*\d*\s*(?:-\s*)?(.*?)\s*(?:#\s*(SKIP|TODO)\b\s*(.*))?$", re.IGNORECASE)
# Of a failure: enough to see what it was, not a whole journal.
COMMENTS = 40
NOTHING = re.compile(r"^1\.\.0\s*#\s*SKIP\s*(.*)$", re.IGNORECASE)


def read_may_skip(path):
    allowed = []
    with open(path) as lines:
        for line in lines:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            name, colon, reason = line.partition(": ")
            if not colon or not reason.strip():
                sys.exit(f"{path}: a line without a reason: {line}")
            test, _, part = name.partition("/")
            allowed.append((test, part))
    return allowed


def subtests(output):
    """[passed, skip reason or None, description, comments] of each."""
    seen = []
    for line in output.splitlines():
        if nothing := NOTHING.match(line):
            seen.append([True, nothing[1] or "no reason given", "all of it", []])
        elif match := LINE.match(line):
            directive = (match[3] or "").upper()
            skipped = match[4] or "no reason given" if directive == "SKIP" else None
            # What is left for later is not done: TODO does not pass.
            seen.append([match[1].lower() == "ok" and directive != "TODO", skipped, match[2], []])
        elif line.startswith("#") and seen:
            seen[-1][3].append(line)
    return seen


def main():
    suite, log, may_skip = sys.argv[1:]
    allowed = read_may_skip(may_skip)
    passed = failed = skipped = 0

    with open(log) as lines:
        tests = [json.loads(line) for line in lines if line.strip()]
    for test in tests:
        name = test["name"].split(" / ")[-1]
        seen = subtests(test.get("stdout") or "")
        good = test["result"] in ("OK", "SKIP", "EXPECTEDFAIL")
        if not seen:
            seen = [(good, "it said nothing" if test["result"] == "SKIP" else None, "exit status", [])]
        elif not good and all(result for result, *_ in seen):
            seen.append([False, None, f"ended as {test['result']}", []])
        for result, reason, description, comments in seen:
            if not result:
                failed += 1
                print(f"FAILED {suite}: {name}: {description}", file=sys.stderr)
                for comment in comments[:COMMENTS]:
                    print(f"  {comment[:300]}", file=sys.stderr)
            elif reason is None:
                passed += 1
            elif any(name == t and part in description for t, part in allowed):
                skipped += 1
                print(f"skipped {suite}: {name}: {description}: {reason}", file=sys.stderr)
            else:
                failed += 1
                print(f"FAILED {suite}: {name}: {description}: skipped ({reason}), not in {may_skip}", file=sys.stderr)
    if not tests:
        failed += 1
        print(f"FAILED {suite}: no test ran", file=sys.stderr)
    print(passed, failed, skipped)


main()
