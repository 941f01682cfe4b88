#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machines of several hosts for Ansible, and their labels for Kubernetes: fleet-inventory.py --list | --host NAME | --labels

$GPUVM_HOSTS has libvirt's URIs of the hosts, with blanks between: "qemu+ssh://root@a/system qemu+ssh://root@b/system". $VMCTL is
another vmctl. A host that does not answer ends it: half an inventory would look like machines that are gone."""

import json
import os
import subprocess
import sys
import urllib.parse


def machines():
    for uri in os.environ.get("GPUVM_HOSTS", "qemu:///system").split():
        done = subprocess.run([os.environ.get("VMCTL", "vmctl"), "-c", uri, "list", "--json"], stdout=subprocess.PIPE, timeout=60)
        if done.returncode != 0:
            sys.exit(f"{uri}: vmctl list failed")
        for m in json.loads(done.stdout):
            yield urllib.parse.urlsplit(uri).hostname or "localhost", m


def address(m):
    known = [m["address"]] + [a["address"] for a in m["addresses"] or []]
    return next((a.split("/")[0] for a in known if a), None)


def inventory():
    groups, hostvars = {"all": []}, {}
    for host, m in machines():
        name = m["name"]
        if name in hostvars:
            sys.exit(f"{name} is on {hostvars[name]['gpuvm_host']} and on {host}: Ansible and Kubernetes need different names")
        hostvars[name] = {"gpuvm_host": host, "gpuvm_state": m["state"], "gpuvm_gpus": len(m["gpus"])}
        if address(m):
            hostvars[name]["ansible_host"] = address(m)
        if m["user"]:
            hostvars[name]["ansible_user"] = m["user"]
        for group in ["all", m["kind"], "host_" + host.replace(".", "_").replace("-", "_")] + (["gpu"] if m["gpus"] else []):
            groups.setdefault(group, []).append(name)
    return {group: {"hosts": names} for group, names in groups.items()} | {"_meta": {"hostvars": hostvars}}


def main():
    if sys.argv[1:] == ["--list"]:
        print(json.dumps(inventory(), indent=2))
    elif sys.argv[1:2] == ["--host"] and len(sys.argv) == 3:
        print(json.dumps(inventory()["_meta"]["hostvars"].get(sys.argv[2], {})))
    elif sys.argv[1:] == ["--labels"]:
        for name, v in inventory()["_meta"]["hostvars"].items():
            print(f"kubectl label --overwrite node {name} topology.kubernetes.io/zone={v['gpuvm_host']} gpuvm/gpus={v['gpuvm_gpus']}")
    else:
        sys.exit(__doc__)


main()
