/* The textbook's consumer: reads what producer.c has written, and takes its name away. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

int main(void)
{
    const int size = 4096;
    const char *name = "OS";

    int shm_fd = shm_open(name, O_RDONLY, 0666);
    if (shm_fd < 0) {
        perror(name);
        return EXIT_FAILURE;
    }
    char *shared_memory = mmap(0, size, PROT_READ, MAP_SHARED, shm_fd, 0);
    if (shared_memory == MAP_FAILED) {
        perror("mmap");
        return EXIT_FAILURE;
    }
    printf("consumer: read \"%s\"\n", shared_memory);
    if (shm_unlink(name) != 0) {
        perror(name);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
