// Which nodes of a quantised graph become int8 steps (quantised.h).
#pragma once
#include "exec/steps/patterns.h"

namespace mnv2 {

/** Places every int8 step of the draft: blocks from the end on, then what rounds the floats they read. */
void match_quantised(Draft& draft);

}  // namespace mnv2
