// Whether a JPEG's compressed pixels are whole. Owns no pixels: codes are read and counted, nothing is decoded.
// libjpeg patches over most damage without a word (data that ends in the right place by chance, runs past a block's
// end, bytes left over), so a decoder's warnings do not tell.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace mnv2 {

/**
 * Reads every Huffman code of a baseline, extended or progressive JPEG of 8 bits and compares what comes out with what
 * the headers promise: each block's coefficients, each scan's blocks, restart markers in order, nothing left over but
 * padding. Metadata, and what comes after the end-of-image marker, may be anything.
 * @return what is wrong and where, or nothing: whole, or of a kind not looked into (arithmetic coding, lossless, 12
 * bits, headers a decoder will refuse anyway)
 */
std::string jpeg_damage(const uint8_t* bytes, size_t size);

}  // namespace mnv2
