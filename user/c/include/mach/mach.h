/* The same as <mach.h>. */
#include <mach.h>
