#include "torch/torch_shim.h"

int torch_shim_c11_compiles(void);
int torch_shim_c11_compiles(void) {
    return (int)sizeof(vx_torch_view);
}
