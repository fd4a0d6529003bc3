// operators.h — the operators "vidx::…" that archives may use.
#pragma once

// Makes them known to TorchScript; before an archive is loaded. Threads: any, any number of times.
void vx_register_operators();
