// Columns out of sixteen rows, for keys that are stored one after the other and scored side by
// side. With AVX2's instructions, for it and for what has more. Always inlined: no copy is shared
// between files of different instruction sets.
#pragma once

#if defined(__AVX2__)

#include <immintrin.h>

#include <cstdint>

namespace tandem {

// Sixteen bytes of rows i and i + 8.
[[gnu::always_inline]] static inline __m256i LoadRowPair(const uint8_t* const* rows, int i,
                                                         int64_t offset) {
  const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[i] + offset));
  const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[i + 8] + offset));
  return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

[[gnu::always_inline]] static inline void StoreColumns(uint8_t* out, int i, __m256i columns) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out) + i, columns);
}

// out[d][i] = rows[i][d] for 8 columns of 2 bytes that begin `offset` bytes into the rows.
[[gnu::always_inline]] static inline void TransposeTwoBytes(const uint8_t* const* rows,
                                                            int64_t offset, uint8_t* out) {
  __m256i twos[8], fours[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    const __m256i a = LoadRowPair(rows, i, offset), b = LoadRowPair(rows, i + 1, offset);
    twos[i] = _mm256_unpacklo_epi16(a, b);      // columns 0..3 of two rows
    twos[i + 1] = _mm256_unpackhi_epi16(a, b);  // 4..7
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {  // columns 4 j, 4 j + 1 of four rows; 4 j + 2, 4 j + 3
      fours[i + 2 * j] = _mm256_unpacklo_epi32(twos[i + j], twos[i + j + 2]);
      fours[i + 2 * j + 1] = _mm256_unpackhi_epi32(twos[i + j], twos[i + j + 2]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    StoreColumns(out, 2 * i, _mm256_unpacklo_epi64(fours[i], fours[i + 4]));
    StoreColumns(out, 2 * i + 1, _mm256_unpackhi_epi64(fours[i], fours[i + 4]));
  }
}

// The same for 16 columns of one byte.
[[gnu::always_inline]] static inline void TransposeOneByte(const uint8_t* const* rows,
                                                           int64_t offset, uint8_t* out) {
  __m256i twos[8], fours[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    const __m256i a = LoadRowPair(rows, i, offset), b = LoadRowPair(rows, i + 1, offset);
    twos[i] = _mm256_unpacklo_epi8(a, b);      // columns 0..7 of two rows
    twos[i + 1] = _mm256_unpackhi_epi8(a, b);  // 8..15
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {  // columns 8 j .. 8 j + 3 of four rows; 8 j + 4 .. 8 j + 7
      fours[i + 2 * j] = _mm256_unpacklo_epi16(twos[i + j], twos[i + j + 2]);
      fours[i + 2 * j + 1] = _mm256_unpackhi_epi16(twos[i + j], twos[i + j + 2]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // two columns in each lane, eight rows of each
    const __m256i first = _mm256_unpacklo_epi32(fours[i], fours[i + 4]);
    const __m256i second = _mm256_unpackhi_epi32(fours[i], fours[i + 4]);
    StoreColumns(out, 2 * i, _mm256_permute4x64_epi64(first, 0xd8));
    StoreColumns(out, 2 * i + 1, _mm256_permute4x64_epi64(second, 0xd8));
  }
}

}  // namespace tandem

#endif  // __AVX2__
