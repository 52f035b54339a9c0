// Takes back what quantised_x86.h and the path before it defined. No include guard.
#undef MNV2_BITS
#undef MNV2_DOT
#undef MNV2_PIXELS
#undef MNV2_VECTORS
#undef MNV2_OP
#undef MNV2_BITWISE
