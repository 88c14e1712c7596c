/* Figures of the machine's memory, in pages. What Portolan does not do is 0. */
#ifndef _MACH_VM_STATISTICS_H_
#define _MACH_VM_STATISTICS_H_

#include <mach/vm_types.h>

typedef struct vm_statistics {
    uint64_t pagesize;
    uint64_t free_count;
    uint64_t active_count;
    uint64_t inactive_count;
    uint64_t wire_count;
    uint64_t zero_fill_count;
    uint64_t reactivations;
    uint64_t pageins;
    uint64_t pageouts;
    uint64_t faults;
    uint64_t cow_faults;
    uint64_t lookups;
    uint64_t hits;
} vm_statistics_data_t;
typedef vm_statistics_data_t *vm_statistics_t;

#endif
