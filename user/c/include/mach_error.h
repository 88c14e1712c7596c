/* The same as <mach/mach_error.h>. */
#include <mach/mach_error.h>
