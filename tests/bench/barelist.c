/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The least that a list of virtual machines costs: barelist URI */

#include <libvirt/libvirt.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char *argv[]) {
        virConnectPtr c = argc > 1 ? virConnectOpen(argv[1]) : NULL;
        virDomainStatsRecordPtr *records = NULL;
        int n = c ? virConnectGetAllDomainStats(c,
                                                VIR_DOMAIN_STATS_STATE | VIR_DOMAIN_STATS_VCPU |
                                                                VIR_DOMAIN_STATS_BALLOON,
                                                &records, VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
                  : -1;

        for (int i = 0; i < n; i++)
                printf("%s %d\n", virDomainGetName(records[i]->dom), records[i]->params[0].value.i);
        if (n >= 0)
                virDomainStatsRecordListFree(records);
        if (c)
                virConnectClose(c);
        return n < 0;
}
