/* The smallest C program. */
#include <stdio.h>

int main(void)
{
    printf("Hello from C, %s %d %.3f!\n", "number", 42, 3.14159);
    return 0;
}
