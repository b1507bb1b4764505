#include "value.h"

size_t pointer_size(void) { return sizeof(void *); }
