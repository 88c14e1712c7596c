/* Results in words. */
#ifndef _MACH_MACH_ERROR_H_
#define _MACH_MACH_ERROR_H_

#include <mach/kern_return.h>

typedef kern_return_t mach_error_t;

#ifdef __cplusplus
extern "C" {
#endif

/* The name of a result, such as "SEND_TIMED_OUT". */
const char *mach_error_string(mach_error_t error);
/* Writes the text and the result's name to stderr. */
void mach_error(const char *text, mach_error_t error);

#ifdef __cplusplus
}
#endif

#endif
