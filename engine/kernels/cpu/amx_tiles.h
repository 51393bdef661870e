// Intel AMX: eight registers of 16 rows of 64 bytes, and products of them.
//
// Kernels are templates over a class with this interface, so that tests can run them whole on any
// machine (tests/engine/kernels/emulated_tiles.h). A product multiplies tile kA, rows of
// activations, with tile kB, whose row j holds columns 4 j .. 4 j + 3 of 16 rows of 8-bit weights
// or columns 2 j, 2 j + 1 of 16-bit ones, and adds it to tile kC, [activation rows][16] of 32 bits.
//
// Inline assembly, because the intrinsics of gcc 12 take no template arguments as tile numbers, let
// stores to a tile's memory move past its load, and drop 56 of the 64 bytes of a configuration.
#pragma once

#include <cstdint>

namespace tandem {

inline constexpr int kTileRows = 16;
inline constexpr int kTileBytes = 64;  // of a row

// What LDTILECFG reads; Intel SDM, volume 1, chapter "Programming with Intel AMX".
struct alignas(64) TileShapes {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  [[gnu::always_inline]] constexpr void Set(int tile, int num_rows, int bytes) {
    rows[tile] = static_cast<uint8_t>(num_rows);
    row_bytes[tile] = static_cast<uint16_t>(bytes);
  }
};
static_assert(sizeof(TileShapes) == 64);

#if defined(__x86_64__)

// Of one thread; `shapes` hold from here until it is destroyed.
class AmxTiles {
 public:
  [[gnu::always_inline]] explicit AmxTiles(const TileShapes& shapes) {
    asm volatile("ldtilecfg %0" ::"m"(shapes));
  }
  // Tiles that are in use make context switches slower.
  [[gnu::always_inline]] ~AmxTiles() { asm volatile("tilerelease"); }
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;

  template <int kTile>
  [[gnu::always_inline]] void Zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  // Rows are `stride` bytes apart.
  template <int kTile>
  [[gnu::always_inline]] void Load(const void* rows, int64_t stride) {
    asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(kTile), "r"(rows), "r"(stride) : "memory");
  }
  template <int kTile>
  [[gnu::always_inline]] void Store(void* rows, int64_t stride) {
    asm volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(kTile), "r"(rows), "r"(stride) : "memory");
  }
  // Signed bytes of both.
  template <int kC, int kA, int kB>
  [[gnu::always_inline]] void DotInt8() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
  }
  template <int kC, int kA, int kB>
  [[gnu::always_inline]] void DotBFloat16() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
  }
};

#endif  // __x86_64__

}  // namespace tandem
