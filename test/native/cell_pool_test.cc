// Cells of chunks, held against a plain list of what is in use; and what goes back to the system.
#include "base/cell_pool.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "base/slab.h"
#include "check.h"
#include "io/buffer_pool.h"

namespace tidegate {
namespace {

// The cells that are in use, each filled with a byte of its own. Writes itself what the pool is not
// to touch.
class Model {
 public:
  Model(CellPool& pool, std::size_t bytes, std::size_t alignment)
      : pool_(pool), bytes_(bytes), alignment_(alignment) {}
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  ~Model() {
    while (!cells_.empty()) giveBack(cells_.size() - 1);
  }

  std::size_t size() const { return cells_.size(); }

  void take() {
    void* const at = pool_.take();
    CHECK_EQ(reinterpret_cast<std::uintptr_t>(at) % alignment_, 0u);
    std::memset(at, ++fill_, bytes_);
    cells_.push_back({static_cast<unsigned char*>(at), fill_});
  }

  void giveBack(std::size_t index) {
    const Cell cell = cells_[index];
    cells_[index] = cells_.back();
    cells_.pop_back();
    const auto written = [&](unsigned char byte) { return byte == cell.fill; };
    CHECK(std::all_of(cell.at, cell.at + bytes_, written));
    pool_.giveBack(cell.at);
  }

 private:
  struct Cell {
    unsigned char* at;
    unsigned char fill;
  };

  CellPool& pool_;
  const std::size_t bytes_;
  const std::size_t alignment_;
  std::vector<Cell> cells_;
  unsigned char fill_ = 0;
};

// How many cells a chunk has, and its bytes.
struct ChunkSize {
  ChunkSize(std::size_t size, std::size_t alignment) {
    CellPool pool(size, alignment);
    std::vector<void*> taken = {pool.take()};
    bytes = pool.bytes();
    while (pool.bytes() == bytes) taken.push_back(pool.take());
    cells = taken.size() - 1;
    for (void* cell : taken) pool.giveBack(cell);
  }

  std::size_t bytes = 0;
  std::size_t cells = 0;
};

void reclaimAll(Reclaimable& memory) {
  for (int i = 0; i < 40; ++i) {
    memory.age();
    while (memory.reclaim() > 0) {
    }
  }
}

}  // namespace

TEST("cells in use keep their bytes, whatever comes, goes and is given back to the system") {
  struct Shape {
    std::size_t bytes;
    std::size_t alignment;
  };
  std::mt19937 random(7);
  for (const Shape shape : {Shape{1, 1}, Shape{24, 8}, Shape{1'000, 64}, Shape{4'096, 16}}) {
    const ChunkSize chunk(shape.bytes, shape.alignment);
    CellPool pool(shape.bytes, shape.alignment);
    Model model(pool, shape.bytes, shape.alignment);
    for (int wave = 0; wave < 12; ++wave) {
      const std::size_t wanted = random() % 300;
      for (int step = 0; step < 600; ++step) {
        const bool grows = model.size() < wanted ? random() % 4 != 0 : random() % 4 == 0;
        if (grows || model.size() == 0) {
          const std::size_t before = pool.bytes();
          model.take();
          // Another chunk only where all were full.
          if (pool.bytes() > before) CHECK_EQ(model.size() - 1, before / chunk.bytes * chunk.cells);
        } else {
          model.giveBack(random() % model.size());
        }
        if (step % 100 == 0) pool.age();
        if (step % 7 == 0) pool.reclaim();
        CHECK_EQ(pool.used(), model.size());
        CHECK(pool.idleBytes() <= pool.bytes());
      }
    }
  }
}

TEST("after a peak, memory goes back to the system beside what is still in use") {
  const ChunkSize chunk(1'000, 8);
  CellPool pool(1'000, 8);
  Model steady(pool, 1'000, 8);
  for (int i = 0; i < 10; ++i) steady.take();
  const std::size_t before = pool.bytes();
  std::mt19937 random(11);
  for (const bool inOrder : {true, false}) {
    Model peak(pool, 1'000, 8);
    for (int i = 0; i < 5'000; ++i) peak.take();
    // Others come and go meanwhile.
    for (int i = 0; i < 1'000; ++i) {
      steady.take();
      steady.giveBack(0);
    }
    CHECK(pool.bytes() > 5'000'000);
    while (peak.size() > 0) peak.giveBack(inOrder ? peak.size() - 1 : random() % peak.size());
    reclaimAll(pool);
    // Those that are in use may have spread while there was much to choose from.
    CHECK(pool.bytes() <= before + 2 * chunk.bytes);
    CHECK_EQ(pool.used(), 10u);
  }
}

TEST("what was needed a moment ago is not given back") {
  CellPool pool(1'000, 8);
  const auto needMany = [&pool] {
    Model model(pool, 1'000, 8);
    for (int i = 0; i < 2'000; ++i) model.take();
  };
  needMany();
  pool.age();
  for (int i = 0; i < 5; ++i) {
    const std::size_t before = pool.bytes();
    needMany();
    pool.age();
    CHECK_EQ(pool.reclaim(), 0u);
    CHECK_EQ(pool.bytes(), before);
  }
}

TEST("the next cell is the one that came back last") {
  CellPool pool(100, 8);
  void* const first = pool.take();
  void* const second = pool.take();
  pool.giveBack(first);
  CHECK_EQ(pool.take(), first);
  pool.giveBack(second);
  pool.giveBack(first);
  CHECK_EQ(pool.take(), first);
  CHECK_EQ(pool.take(), second);
  pool.giveBack(first);
  pool.giveBack(second);
}

TEST("half of what was not needed is due each time, and in pieces") {
  CellPool cells(4'000, 8);
  BufferPool blocks;
  Reclaimer memory;
  memory.add(cells);
  memory.add(blocks);
  {
    Model model(cells, 4'000, 8);
    std::vector<Block> held;
    for (int i = 0; i < 1'000; ++i) {
      model.take();
      held.push_back(blocks.acquire(60'000));
      *held.back().data() = 'x';
      held.push_back(blocks.acquire(3'000));
      *held.back().data() = 'x';
    }
  }
  const auto kept = [&] { return cells.idleBytes() + blocks.bytesKept(); };
  memory.age();
  CHECK(!memory.reclaim(1));  // all of it was needed lately
  memory.age();
  const std::size_t most = kept();
  constexpr std::size_t kPiece = 512 * 1024;
  std::size_t before = most;
  while (memory.reclaim(kPiece)) {
    CHECK(before - kept() >= kPiece && before - kept() < 2 * kPiece);
    before = kept();
  }
  // What was in front of the chunks has come to it.
  CHECK(kept() <= most / 2 + 4 * kPiece);
  CHECK(kept() >= most / 2 - 4 * kPiece);
  reclaimAll(cells);
  reclaimAll(blocks);
  CHECK_EQ(kept(), 0u);
}

TEST("objects of a slab begin and end where they are made and destroyed") {
  static int alive = 0;
  struct Counted {
    explicit Counted(int value) : value(value) { ++alive; }
    ~Counted() { --alive; }
    int value;
    std::array<char, 300> room;
  };
  Slab<Counted> slab;
  std::vector<Counted*> objects;
  for (int i = 0; i < 1'000; ++i) objects.push_back(slab.create(i));
  CHECK_EQ(alive, 1'000);
  CHECK_EQ(slab.live(), 1'000u);
  for (int i = 0; i < 1'000; ++i) {
    CHECK_EQ(objects[static_cast<std::size_t>(i)]->value, i);
    slab.destroy(objects[static_cast<std::size_t>(i)]);
  }
  CHECK_EQ(alive, 0);
  CHECK_EQ(slab.live(), 0u);
}

}  // namespace tidegate
