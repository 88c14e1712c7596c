/* The textbook's producer: writes into shared memory, which consumer.c reads. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
    const int size = 4096;
    const char *name = "OS";

    int shm_fd = shm_open(name, O_CREAT | O_RDWR, 0666);
    if (shm_fd < 0 || ftruncate(shm_fd, size) != 0) {
        perror(name);
        return EXIT_FAILURE;
    }
    char *shared_memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, shm_fd, 0);
    if (shared_memory == MAP_FAILED) {
        perror("mmap");
        return EXIT_FAILURE;
    }
    sprintf(shared_memory, "Writing to shared memory");
    printf("producer: wrote \"%s\"\n", shared_memory);
    return EXIT_SUCCESS;
}
