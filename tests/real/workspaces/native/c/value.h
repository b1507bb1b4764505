#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

size_t pointer_size(void);
/* An enum, for bindgen evaluates it with libclang's idea of the target. */
enum { POINTER_SIZE_READ = sizeof(void *) };
